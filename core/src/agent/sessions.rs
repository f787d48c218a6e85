//! The sessions with switches: which switches each serves, and which may write.

use std::collections::{BTreeMap, BTreeSet};

use crate::bounds::{NAMELESS_CONNECTIONS, NAMELESS_PATIENCE, SESSIONS_PER_SWITCH, UNIDENTIFIED_BYTES};
use crate::ids::{ConnId, Generation, SwitchName};
use crate::machine::Peer;
use crate::switch_identity::{SwitchIdentity, SwitchRow};
use crate::time::Time;

/// Every session that has not ended.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    by_conn: BTreeMap<ConnId, SessionRecord>,
    /// Of the session that was opened last.
    generation: Generation,
    /// The number of sessions that have been allowed to write so far.
    owners: u64,
    /// The number of probes so far.
    probes: u64,
    /// Sessions that were sent a close because there are too many, and have not closed yet.
    evicting: BTreeSet<ConnId>,
    /// When a database named a configured switch last.
    identified_at: Time,
}

/// The agent's knowledge of a session.
#[derive(Clone, Debug)]
pub(super) struct SessionRecord {
    generation: Generation,
    peer: Peer,
    opened_at: Time,
    /// The configured switches at the other end; a session without any is nameless.
    served: BTreeSet<SwitchName>,
    /// Bytes that it has received without a switch.
    received_bytes: usize,
    /// The switches that the database names instead.
    named: Vec<SwitchName>,
    /// Its place in the order in which sessions were allowed to write; 0 if it never was.
    owned: u64,
    /// It holds the lock of its server.
    holds_lock: bool,
    /// Nothing differs any more from the desired state.
    audited: bool,
    /// The switches as the session sees them.
    identities: BTreeMap<SwitchName, SwitchIdentity>,
    clearance: Clearance,
    /// The last probe, while its answer is awaited.
    probe: Option<u64>,
    /// It has shown that its line is alive, beside another session with a switch of the same name.
    proven: bool,
}

/// Whether a session may write as far as its agent is concerned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Clearance {
    /// It has not identified its switch.
    Pending,
    /// Another session must show whether its line is alive, until then.
    Awaited(Time),
    /// Another switch of this name is programmed.
    Barred,
    /// It may.
    Cleared,
}

impl SessionRecord {
    /// Which session of this agent it is.
    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// The other end of its connection.
    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The configured switches at the other end.
    pub(super) fn served(&self) -> &BTreeSet<SwitchName> {
        &self.served
    }

    /// The names in a database that names no configured switch.
    pub(super) fn named(&self) -> &[SwitchName] {
        &self.named
    }

    /// Its place in the order in which sessions were allowed to write; 0 if it never was.
    pub(super) fn owned(&self) -> u64 {
        self.owned
    }

    /// Whether it was ever allowed to write.
    pub(super) fn is_owner(&self) -> bool {
        self.owned > 0
    }

    /// Whether it holds the lock of its server.
    pub(super) fn holds_lock(&self) -> bool {
        self.holds_lock
    }

    /// The switches as the session sees them.
    pub(super) fn identities(&self) -> &BTreeMap<SwitchName, SwitchIdentity> {
        &self.identities
    }

    /// Whether it may write.
    pub(super) fn clearance(&self) -> Clearance {
        self.clearance
    }

    /// Whether it has waited long enough for its clearance.
    pub(super) fn is_overdue(&self, now: Time) -> bool {
        matches!(self.clearance, Clearance::Awaited(until) if until <= now)
    }

    /// The number of the last probe, while its answer is awaited.
    pub(super) fn probe(&self) -> Option<u64> {
        self.probe
    }

    /// Whether it has shown that its line is alive, beside another session with a switch of the same name.
    pub(super) fn is_proven(&self) -> bool {
        self.proven
    }

    /// Whether nothing differs any more from the desired state.
    pub(super) fn is_audited(&self) -> bool {
        self.audited
    }
}

impl Sessions {
    /// None yet. Generations begin above `generation`.
    pub(super) fn new(generation: Generation) -> Self {
        Self {
            by_conn: BTreeMap::new(),
            generation,
            owners: 0,
            probes: 0,
            evicting: BTreeSet::new(),
            identified_at: Time::ORIGIN,
        }
    }

    /// A session begins. Returns its generation.
    pub(super) fn open(&mut self, now: Time, conn: ConnId, peer: Peer) -> Generation {
        self.generation = Generation(self.generation.0 + 1);
        let known = SessionRecord {
            generation: self.generation,
            peer,
            opened_at: now,
            served: BTreeSet::new(),
            received_bytes: 0,
            named: Vec::new(),
            owned: 0,
            holds_lock: false,
            audited: false,
            identities: BTreeMap::new(),
            clearance: Clearance::Pending,
            probe: None,
            proven: false,
        };
        self.by_conn.insert(conn, known);
        self.generation
    }

    /// Until when a new session has to wait, because the nameless ones have every place and may still name their switches:
    /// a thousand honest switches may come at one time.
    pub(super) fn full_until(&self, now: Time) -> Option<Time> {
        let mut nameless = self.nameless().peekable();
        let oldest = nameless.peek().map(|(_, known)| known.opened_at)?;
        let until = oldest.max(self.identified_at) + NAMELESS_PATIENCE;
        (now < until && nameless.count() >= NAMELESS_CONNECTIONS).then_some(until)
    }

    /// If there are too many nameless sessions, the oldest that is not closing yet: clients that connect and name no
    /// configured switch must not keep a switch out.
    pub(super) fn evict(&mut self) -> Option<ConnId> {
        if self.nameless().count() < NAMELESS_CONNECTIONS {
            return None;
        }
        let mut open = self.nameless().filter(|(conn, _)| !self.evicting.contains(conn));
        let conn = open.next()?.0;
        drop(open);
        self.evicting.insert(conn);
        Some(conn)
    }

    /// Sessions that serve no switch, the oldest first.
    fn nameless(&self) -> impl Iterator<Item = (ConnId, &SessionRecord)> {
        self.iter().filter(|(_, known)| known.served.is_empty())
    }

    /// A nameless session has received so many bytes. If all of them have received too many, the one with most, which is to
    /// be closed, and its number; of equal ones the newest.
    pub(super) fn on_received(&mut self, conn: ConnId, bytes: usize) -> Option<(ConnId, usize)> {
        self.by_conn.get_mut(&conn)?.received_bytes = bytes;
        let open = || self.nameless().filter(|(conn, _)| !self.evicting.contains(conn));
        if open().map(|(_, known)| known.received_bytes).sum::<usize>() <= UNIDENTIFIED_BYTES {
            return None;
        }
        let (conn, bytes) = open()
            .map(|(conn, known)| (conn, known.received_bytes))
            .max_by_key(|(conn, bytes)| (*bytes, *conn))?;
        self.evicting.insert(conn);
        Some((conn, bytes))
    }

    /// The database named configured switches. Returns those that the session served before.
    pub(super) fn on_identified(
        &mut self,
        now: Time,
        conn: ConnId,
        switches: BTreeMap<SwitchName, SwitchRow>,
    ) -> BTreeSet<SwitchName> {
        let Some(known) = self.by_conn.get_mut(&conn) else {
            return BTreeSet::new();
        };
        self.identified_at = now;
        let from = known.peer.origin();
        let certificate = known.peer.certificate.as_ref().map(|shown| shown.fingerprint);
        let served = switches.keys().cloned().collect();
        let identity = |row| SwitchIdentity { row, from, certificate };
        known.identities = switches.into_iter().map(|(name, row)| (name, identity(row))).collect();
        std::mem::replace(&mut known.served, served)
    }

    /// The database names no configured switch.
    pub(super) fn on_unidentified(&mut self, conn: ConnId, named: Vec<SwitchName>) {
        if let Some(known) = self.by_conn.get_mut(&conn) {
            known.named = named;
        }
    }

    /// A session may write from now on.
    pub(super) fn on_may_write(&mut self, conn: ConnId, holds_lock: bool) {
        self.owners += 1;
        if let Some(known) = self.by_conn.get_mut(&conn) {
            known.owned = self.owners;
            known.holds_lock = holds_lock;
        }
    }

    /// A session holds the lock of its server.
    pub(super) fn on_granted(&mut self, conn: ConnId) {
        if let Some(known) = self.by_conn.get_mut(&conn) {
            known.holds_lock = true;
        }
    }

    /// Whether a session may write is decided.
    pub(super) fn set_clearance(&mut self, conn: ConnId, clearance: Clearance) {
        if let Some(known) = self.by_conn.get_mut(&conn) {
            known.clearance = clearance;
        }
    }

    /// A session has shown that its line is alive, beside another one with a switch of the same name.
    pub(super) fn set_proven(&mut self, conn: ConnId) {
        if let Some(known) = self.by_conn.get_mut(&conn) {
            known.proven = true;
        }
    }

    /// A session is to be probed. Returns the number of the probe.
    pub(super) fn next_probe(&mut self, conn: ConnId) -> u64 {
        self.probes += 1;
        if let Some(known) = self.by_conn.get_mut(&conn) {
            known.probe = Some(self.probes);
        }
        self.probes
    }

    /// The last probe of a session was answered.
    pub(super) fn take_probe(&mut self, conn: ConnId) {
        if let Some(known) = self.by_conn.get_mut(&conn) {
            known.probe = None;
        }
    }

    /// When the first session has waited long enough for its clearance.
    pub(super) fn clearance_due(&self) -> Option<Time> {
        let awaited = self.by_conn.values().filter_map(|known| match known.clearance {
            Clearance::Awaited(until) => Some(until),
            Clearance::Pending | Clearance::Barred | Clearance::Cleared => None,
        });
        awaited.min()
    }

    /// A session has written everything that it can.
    pub(super) fn on_audited(&mut self, conn: ConnId) {
        if let Some(known) = self.by_conn.get_mut(&conn) {
            known.audited = true;
        }
    }

    /// A session has named its switch. If too many others serve it, the oldest that does not own it, which is to be closed:
    /// the owner and the newest stay.
    pub(super) fn crowded(&mut self, conn: ConnId) -> Option<ConnId> {
        let names = &self.by_conn.get(&conn)?.served;
        let oldest = names.iter().find_map(|name| {
            let others = || {
                let others = self
                    .iter()
                    .filter(|(other, _)| *other != conn && !self.evicting.contains(other));
                others.filter(|(_, known)| known.served.contains(name))
            };
            let waiting = others().filter(|(_, known)| !known.is_owner());
            let oldest = waiting.min_by_key(|(_, known)| known.generation)?.0;
            (others().count() >= SESSIONS_PER_SWITCH).then_some(oldest)
        })?;
        self.evicting.insert(oldest);
        Some(oldest)
    }

    /// A session ended. Returns the switches that it served.
    pub(super) fn on_closed(&mut self, conn: ConnId) -> BTreeSet<SwitchName> {
        self.evicting.remove(&conn);
        self.by_conn.remove(&conn).map(|known| known.served).unwrap_or_default()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_conn.is_empty()
    }

    /// One of them.
    pub(super) fn get(&self, conn: ConnId) -> Option<&SessionRecord> {
        self.by_conn.get(&conn)
    }

    /// All of them, by connection.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &SessionRecord)> {
        self.by_conn.iter().map(|(conn, known)| (*conn, known))
    }

    /// The session that decides what the agent is to a switch: the one that was allowed to write last, else the newest.
    pub(super) fn latest(&self, switch: &SwitchName) -> Option<&SessionRecord> {
        let serving = self.by_conn.values().filter(|known| known.served.contains(switch));
        serving.max_by_key(|known| (known.owned, known.generation))
    }

    /// The other sessions that serve a switch of this one.
    pub(super) fn rivals(&self, conn: ConnId) -> impl Iterator<Item = (ConnId, &SessionRecord)> {
        let served = self.by_conn.get(&conn).map(|known| &known.served);
        let shares = move |known: &SessionRecord| served.is_some_and(|served| !served.is_disjoint(&known.served));
        self.iter()
            .filter(move |(other, known)| *other != conn && shares(known))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn peer() -> Peer {
        Peer {
            address: (Ipv4Addr::LOCALHOST, 1).into(),
            proxied: None,
            certificate: None,
        }
    }

    /// Sessions that serve one switch each, on connections 1, 2, 3 ...
    fn sessions(switches: &[&str]) -> Sessions {
        let mut sessions = Sessions::new(Generation(7));
        for (conn, switch) in (1..).map(ConnId).zip(switches) {
            sessions.open(Time::ORIGIN, conn, peer());
            sessions.on_identified(Time::ORIGIN, conn, [((*switch).into(), SwitchRow::default())].into());
        }
        sessions
    }

    #[test]
    fn generations_begin_above_those_of_an_earlier_life() {
        assert_eq!(sessions(&[]).open(Time::ORIGIN, ConnId(1), peer()), Generation(8));
    }

    #[test]
    fn the_session_that_was_allowed_to_write_last_decides_else_the_newest() {
        let mut sessions = sessions(&["tor1", "tor1", "tor2"]);
        let latest = |sessions: &Sessions| sessions.latest(&"tor1".into()).map(|known| known.generation.0);
        assert_eq!(latest(&sessions), Some(9));
        sessions.on_may_write(ConnId(1), true);
        assert_eq!(latest(&sessions), Some(8));
        sessions.on_may_write(ConnId(2), true);
        assert_eq!(latest(&sessions), Some(9));
        sessions.on_closed(ConnId(2));
        assert_eq!(latest(&sessions), Some(8));
    }

    #[test]
    fn rivals_serve_the_same_switch() {
        let sessions = sessions(&["tor1", "tor2", "tor1"]);
        let rivals = |conn| {
            sessions
                .rivals(ConnId(conn))
                .map(|(conn, _)| conn.0)
                .collect::<Vec<_>>()
        };
        assert_eq!((rivals(1), rivals(2), rivals(9)), (vec![3], vec![], vec![]));
    }

    #[test]
    fn of_too_many_sessions_with_one_switch_the_oldest_goes_that_does_not_own_it() {
        let mut sessions = sessions(&["tor1"; SESSIONS_PER_SWITCH]);
        sessions.on_may_write(ConnId(1), true);
        assert_eq!(sessions.crowded(ConnId(2)), None);
        let newest = |sessions: &mut Sessions, conn| {
            sessions.open(Time::ORIGIN, ConnId(conn), peer());
            sessions.on_identified(
                Time::ORIGIN,
                ConnId(conn),
                [("tor1".into(), SwitchRow::default())].into(),
            );
            sessions.crowded(ConnId(conn))
        };
        assert_eq!(newest(&mut sessions, 100), Some(ConnId(2)));
        assert_eq!(
            newest(&mut sessions, 101),
            Some(ConnId(3)),
            "the other is about to close"
        );
        sessions.on_closed(ConnId(2));
        sessions.on_closed(ConnId(3));
        assert_eq!(sessions.crowded(ConnId(101)), None);
        let many = (0..20).map(|number| SwitchName::from(format!("tor{number}")));
        let many: BTreeMap<_, _> = many.map(|name| (name, SwitchRow::default())).collect();
        for (conn, name) in (200..).zip(many.keys()) {
            sessions.open(Time::ORIGIN, ConnId(conn), peer());
            sessions.on_identified(
                Time::ORIGIN,
                ConnId(conn),
                [(name.clone(), SwitchRow::default())].into(),
            );
        }
        sessions.on_closed(ConnId(201));
        (102..108).for_each(|conn| drop(sessions.on_closed(ConnId(conn))));
        (4..9).for_each(|conn| drop(sessions.on_closed(ConnId(conn))));
        sessions.open(Time::ORIGIN, ConnId(300), peer());
        sessions.on_identified(Time::ORIGIN, ConnId(300), many);
        assert_eq!(sessions.crowded(ConnId(300)), None, "one of each");
    }

    #[test]
    fn too_many_nameless_sessions_are_evicted_one_for_one_and_the_oldest_first() {
        let mut sessions = sessions(&["tor1"]);
        let first = 2;
        for conn in (first..).take(NAMELESS_CONNECTIONS - 1) {
            sessions.open(Time::ORIGIN, ConnId(conn), peer());
        }
        assert_eq!(sessions.evict(), None, "one more has room");
        sessions.open(Time::ORIGIN, ConnId(1000), peer());
        assert_eq!([(); 2].map(|()| sessions.evict()), [Some(ConnId(2)), Some(ConnId(3))]);
        sessions.on_closed(ConnId(2));
        assert_eq!(sessions.evict(), None);
    }

    #[test]
    fn a_herd_waits_while_the_sessions_before_it_may_still_name_their_switches() {
        let at = |millis| Time::ORIGIN + Duration::from_millis(millis);
        let mut sessions = sessions(&["tor1"]);
        for conn in (2..).take(NAMELESS_CONNECTIONS) {
            assert_eq!(sessions.full_until(at(conn)), None);
            sessions.open(at(conn), ConnId(conn), peer());
        }
        assert_eq!(sessions.full_until(at(1000)), Some(at(2) + NAMELESS_PATIENCE));
        sessions.on_identified(at(1000), ConnId(100), [("tor2".into(), SwitchRow::default())].into());
        assert_eq!(sessions.full_until(at(1000)), None, "its place");
        sessions.open(at(1000), ConnId(1000), peer());
        let last = at(1000) + NAMELESS_PATIENCE;
        assert_eq!(sessions.full_until(at(2002)), Some(last), "places become free");
        assert_eq!(sessions.full_until(last), None);
        assert_eq!(sessions.evict(), Some(ConnId(2)), "then the oldest goes");
    }

    #[test]
    fn nameless_sessions_share_one_budget_and_the_one_with_most_bytes_goes() {
        let mut sessions = sessions(&["tor1"]);
        for conn in 2..6 {
            sessions.open(Time::ORIGIN, ConnId(conn), peer());
        }
        let quarter = UNIDENTIFIED_BYTES / 4;
        assert_eq!(
            sessions.on_received(ConnId(1), 2 * UNIDENTIFIED_BYTES),
            None,
            "it has a switch"
        );
        for conn in 2..6 {
            assert_eq!(sessions.on_received(ConnId(conn), quarter), None);
        }
        assert_eq!(
            sessions.on_received(ConnId(2), quarter + 1),
            Some((ConnId(2), quarter + 1))
        );
        assert_eq!(
            sessions.on_received(ConnId(3), quarter + 1),
            None,
            "one was closed for that"
        );
        sessions.on_closed(ConnId(2));
        assert_eq!(sessions.on_received(ConnId(9), 1), None, "an ended session");
        let more = sessions.on_received(ConnId(4), 2 * quarter);
        assert_eq!(more, Some((ConnId(4), 2 * quarter)));
    }
}
