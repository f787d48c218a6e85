//! Clearance: no session writes before it is certain that its switch is the only one of its name.
//!
//! A session that has identified its switch waits until it is cleared. It is cleared at once unless another session of
//! this agent, or the peer agent, serves a switch of the same name in another database. Then the other session must show
//! that its line is alive: a dead one ends, and the newcomer is cleared. If the line is alive, two switches have one name,
//! and only one of them is programmed: the one that has the configured tunnel end, or else the older one.

use std::net::Ipv4Addr;

use super::event::What;
use super::roles::Role;
use super::sessions::{Clearance, SessionRecord};
use super::{Agent, Output};
use crate::bounds::{CLEARANCE, DUPLICATE_PAUSE};
use crate::close::{CloseReason, CloseWhy};
use crate::ids::{ConnId, SwitchName};
use crate::session::Command;
use crate::switch_identity::SwitchIdentity;
use crate::time::Time;

/// What stands in the way of a session.
#[derive(Debug, Default)]
struct Doubts {
    /// Sessions that must show that their lines are alive.
    suspects: Vec<ConnId>,
    /// One of them, or the peer agent, has to be waited for.
    waits: bool,
    /// The peer agent has shown that its session with another switch of this name is alive.
    proven: Option<(SwitchName, SwitchIdentity)>,
}

impl Agent {
    /// Clears a session, unless another switch may have its name.
    pub(super) fn clear(&mut self, now: Time, conn: ConnId) {
        let Some(known) = self.sessions.get(conn).filter(|known| !known.served().is_empty()) else {
            return;
        };
        let doubts = self.doubts(now, conn, known);
        let (clearance, overdue) = (known.clearance(), known.is_overdue(now));
        if matches!(clearance, Clearance::Pending | Clearance::Cleared) {
            self.challenge(doubts.suspects);
        }
        match (doubts.proven, doubts.waits && !overdue) {
            (Some((name, other)), _) => self.bar(now, conn, &name, &other),
            (None, true) if clearance == Clearance::Cleared => {
                let what = "another switch may have its name";
                self.command(conn, Command::Close(CloseWhy::new(CloseReason::Duplicate, what)));
            }
            (None, true) if clearance == Clearance::Pending => {
                self.sessions.set_clearance(conn, Clearance::Awaited(now + CLEARANCE));
                self.roles.mark();
            }
            (None, true) => {}
            (None, false) if clearance == Clearance::Cleared => {}
            (None, false) => {
                self.sessions.set_clearance(conn, Clearance::Cleared);
                self.command(conn, Command::Clear);
            }
        }
    }

    /// A session that waits for its clearance holds the lock of its server. If another one holds one, too, there are two
    /// databases, although their rows may be the same.
    pub(super) fn on_granted(&mut self, now: Time, conn: ConnId) {
        self.sessions.on_granted(conn);
        let Some(known) = self.sessions.get(conn) else { return };
        if known.clearance() == Clearance::Cleared {
            return;
        }
        let holders = self.sessions.rivals(conn).filter(|(_, rival)| rival.holds_lock());
        let holders = holders.map(|(rival, _)| rival).collect();
        self.update_roles(conn);
        self.challenge(holders);
        self.clear(now, conn);
    }

    /// Sessions that were not cleared may be now: another one ended, or the peer agent sent a report.
    pub(super) fn clear_waiting(&mut self, now: Time) {
        let waiting = self.sessions.iter();
        let waiting = waiting.filter(|(_, known)| known.clearance() != Clearance::Cleared);
        let waiting: Vec<ConnId> = waiting.map(|(conn, _)| conn).collect();
        for conn in waiting {
            self.clear(now, conn);
        }
    }

    /// A session has shown that its line is alive. If another one serves a switch of the same name with a lock of its
    /// own, there are two such switches.
    pub(super) fn on_alive(&mut self, now: Time, conn: ConnId, probe: u64) {
        let Some(known) = self.sessions.get(conn).filter(|known| known.probe() == Some(probe)) else {
            return;
        };
        let rivals = self.sessions.rivals(conn).filter(|(_, rival)| are_two(known, rival));
        let rivals: Vec<ConnId> = rivals.map(|(rival, _)| rival).collect();
        let with_peer = self.proven_rival(now, known);
        self.sessions.take_probe(conn);
        if !rivals.is_empty() || with_peer.is_some() {
            self.sessions.set_proven(conn);
            self.update_roles(conn);
        }
        for rival in rivals {
            self.settle(now, conn, rival);
        }
        if let Some((name, theirs, is_active)) = with_peer {
            self.settle_with_peer(now, conn, &name, &theirs, is_active);
        }
    }

    /// The peer agent sent a report: sessions with a switch that is another one there must show that they are alive.
    pub(super) fn on_peer_identities(&mut self, now: Time) {
        let doubted = self.sessions.iter().filter(|(_, known)| {
            let is_doubted = known.clearance() == Clearance::Cleared && !known.is_proven() && known.probe().is_none();
            is_doubted && self.proven_rival(now, known).is_some()
        });
        let doubted = doubted.map(|(conn, _)| conn).collect();
        self.challenge(doubted);
        self.clear_waiting(now);
    }

    fn doubts(&self, now: Time, conn: ConnId, known: &SessionRecord) -> Doubts {
        let mut doubts = Doubts::default();
        for (rival_conn, rival) in self.sessions.rivals(conn) {
            if rival.clearance() != Clearance::Cleared {
                continue;
            }
            for (name, ours) in known.identities() {
                let Some(theirs) = rival.identities().get(name) else {
                    continue;
                };
                // One that is cleared has shown already that a copy of its database is not meant.
                let may_be_copy = known.clearance() != Clearance::Cleared && ours.may_differ(theirs);
                if theirs.row.row != ours.row.row || may_be_copy || rival.is_proven() {
                    doubts.suspects.push(rival_conn);
                    doubts.waits |= !self.is_better(name, ours, theirs);
                }
            }
        }
        if let Some((name, theirs, true)) = self.peer_rival(now, known)
            && (known.clearance() != Clearance::Cleared || self.proven_rival(now, known).is_some())
            && known
                .identities()
                .get(&name)
                .is_none_or(|ours| !self.is_better(&name, ours, &theirs))
        {
            doubts.waits = true;
            let is_proven = self.is_proven_by_peer(now, &name) && self.proven_rival(now, known).is_some();
            doubts.proven = is_proven.then_some((name, theirs));
        }
        doubts.suspects.sort_unstable();
        doubts.suspects.dedup();
        doubts
    }

    /// A switch of a session that the peer agent serves in another database: its row is another one, or each of the two
    /// sessions holds the lock of its server.
    fn proven_rival(&self, now: Time, known: &SessionRecord) -> Option<(SwitchName, SwitchIdentity, bool)> {
        let (_, report) = self.pair.as_ref()?.fresh(now)?;
        self.peer_rival(now, known).filter(|(name, theirs, is_active)| {
            let is_other_row = |ours: &SwitchIdentity| ours.row.row != theirs.row.row;
            let theirs_holds = *is_active || report.switches.get(name).is_some_and(|role| role.holds_lock);
            known.identities().get(name).is_some_and(is_other_row) || known.holds_lock() && theirs_holds
        })
    }

    /// A switch of a session that the peer agent may serve in another database, and whether it owns it.
    fn peer_rival(&self, now: Time, known: &SessionRecord) -> Option<(SwitchName, SwitchIdentity, bool)> {
        let (_, report) = self.pair.as_ref()?.fresh(now)?;
        known.identities().iter().find_map(|(name, ours)| {
            let role = report.switches.get(name)?;
            let theirs = role.identity.clone().filter(|theirs| theirs.may_differ(ours))?;
            Some((name.clone(), theirs, role.role == Role::Active))
        })
    }

    fn is_proven_by_peer(&self, now: Time, name: &SwitchName) -> bool {
        let report = self.pair.as_ref().and_then(|pair| pair.fresh(now));
        let role = report.and_then(|(_, report)| report.switches.get(name));
        role.is_some_and(|role| role.proven)
    }

    /// Whether one switch has the configured tunnel end and the other has not.
    fn is_better(&self, name: &SwitchName, one: &SwitchIdentity, other: &SwitchIdentity) -> bool {
        let vtep: Option<Ipv4Addr> = self.configuration.switches.get(name).and_then(|switch| switch.vtep);
        one.row.has(vtep) && !other.row.has(vtep)
    }

    /// Two sessions with two switches of one name are alive: one of them is not programmed.
    fn settle(&mut self, now: Time, alive: ConnId, rival: ConnId) {
        let (Some(one), Some(other)) = (self.sessions.get(alive), self.sessions.get(rival)) else {
            return;
        };
        let mut shared = one.identities().iter();
        let shared = shared.find_map(|(name, ours)| Some((name, ours, other.identities().get(name)?)));
        let Some((name, ours, theirs)) = shared else { return };
        let newer = one.generation() > other.generation();
        let wrong = self.is_better(name, theirs, ours) || newer && !self.is_better(name, ours, theirs);
        let (name, ours, theirs) = (name.clone(), ours.clone(), theirs.clone());
        let (barred, kept) = if wrong { (alive, theirs) } else { (rival, ours) };
        self.bar(now, barred, &name, &kept);
    }

    fn settle_with_peer(
        &mut self,
        now: Time,
        conn: ConnId,
        name: &SwitchName,
        theirs: &SwitchIdentity,
        is_active: bool,
    ) {
        let ours = self.sessions.get(conn).and_then(|known| known.identities().get(name));
        let Some(ours) = ours.cloned() else { return };
        if is_active && self.is_better(name, theirs, &ours) {
            self.bar(now, conn, name, theirs);
        } else {
            self.report_duplicate(now, name, &ours, theirs);
        }
    }

    /// A switch is not programmed, because another one of its name is. A session that writes already ends: the next one
    /// of that switch waits for its clearance.
    fn bar(&mut self, now: Time, conn: ConnId, name: &SwitchName, kept: &SwitchIdentity) {
        let Some(known) = self.sessions.get(conn) else { return };
        let Some(barred) = known.identities().get(name).cloned() else {
            return;
        };
        let what = format!("two switches are named {name}: {kept} is programmed, {barred} is not");
        match known.clearance() {
            Clearance::Barred => return,
            Clearance::Cleared => self.command(conn, Command::Close(CloseWhy::new(CloseReason::Duplicate, what))),
            Clearance::Pending | Clearance::Awaited(_) => {
                self.sessions.set_clearance(conn, Clearance::Barred);
                self.command(conn, Command::Bar(what));
            }
        }
        self.report_duplicate(now, name, kept, &barred);
    }

    fn report_duplicate(&mut self, now: Time, name: &SwitchName, kept: &SwitchIdentity, barred: &SwitchIdentity) {
        let rows = [kept.row.row, barred.row.row];
        let known = self.duplicates.get(name);
        if known.is_none_or(|(at, known)| *known != rows || now.since(*at) >= DUPLICATE_PAUSE) {
            self.duplicates.insert(name.clone(), (now, rows));
            self.outputs.push_back(Output::Pair(What::Duplicate {
                switch: name.clone(),
                kept: Box::new(kept.clone()),
                barred: Box::new(barred.clone()),
            }));
        }
    }

    /// Sessions must show that their lines are alive, and answer for it.
    pub(super) fn challenge(&mut self, conns: Vec<ConnId>) {
        for conn in conns {
            let probe = self.sessions.next_probe(conn);
            self.command(conn, Command::Probe(probe));
        }
    }
}

/// Whether two sessions that are alive have two switches: in two databases, or each with a lock of its own.
fn are_two(one: &SessionRecord, other: &SessionRecord) -> bool {
    let row = |known: &SessionRecord, name| known.identities().get(name).map(|it| it.row.row);
    let differ = one.identities().keys().any(|name| {
        let theirs = row(other, name);
        theirs.is_some() && theirs != row(one, name)
    });
    let is_copy = one.is_proven() && other.clearance() != Clearance::Cleared;
    differ || is_copy || one.holds_lock() && other.holds_lock()
}
