//! The steps that follow every input: from bytes to rows, from rows to differences, from differences to transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::lease::Change;
use super::reconciler::{Cause, Stop};
use super::stats::Milestone;
use super::{Notice, Session, Why};
use crate::bounds::{AUDIT_ROWS_PER_STEP, NAMELESS, NAMELESS_LOCK, STATUS_ENTRIES};
use crate::event::{Lane, Object, What};
use crate::ids::{Mac, SwitchName};
use crate::machine::{CloseReason, CloseWhy};
use crate::status::{Ownership, Phase};
use crate::switch_identity::SwitchRow;
use crate::text::short;
use crate::time::{Deadline, Time};

impl Session {
    /// Goes on after an input, with a bounded amount of work. Every step sees what the steps before it have left.
    pub(super) fn advance(&mut self, now: Time) {
        const STEPS: [fn(&mut Session, Time); 14] = [
            // First, because everything else depends on what the switch sent.
            Session::process_backlog,
            // Before the lease: a lock is worth nothing before the switch is known to be one of ours.
            Session::identify,
            // After the switch is known by its name, and its ports by theirs.
            Session::report_faults,
            // Before the audit: from here on it exports, too.
            Session::follow_lease,
            // Before writing: it marks what differs.
            Session::audit,
            // Before the audit is concluded: what is exported now was there before.
            Session::place,
            // Before writing: what waited for the end of a grace is due now.
            Session::end_grace,
            // Before writing: from here on it is known which deletions are too many.
            Session::judge_withdrawals,
            // Before the unicast tables are asked for, so that the broadcast rows go first.
            Session::write,
            // After writing: only now it is known whether anything waits.
            Session::end_brake,
            // After writing: only now it is known whether a broadcast row is left to send.
            Session::conclude_claim,
            // After the broadcast rows: a server that renders a dump answers nothing else meanwhile.
            Session::ask_unicast,
            // After writing: only now it is known whether anything is left.
            Session::conclude_audit,
            // Last: what is on the wire settles before the lock is released.
            Session::drain,
        ];
        for step in STEPS {
            // Each of them may find a reason to close, and nothing follows that.
            if self.progress.is_closing() {
                return;
            }
            step(self, now);
        }
    }

    /// Finds out which switch it is: again whenever a switch comes, goes or is renamed, or is configured.
    fn identify(&mut self, now: Time) {
        if !self.progress.can_identify() || !self.desired.take_serve_due() {
            return;
        }
        // Once for all that was read in this step.
        self.replica.ports.index();
        let switches = || self.replica.ports.switches();
        let configured = &self.desired.configuration().switches;
        let served: BTreeSet<SwitchName> = switches()
            .map(|switch| &switch.name)
            .filter(|name| configured.contains_key(name))
            .cloned()
            .collect();
        if let Some(name) = served.iter().find(|name| !self.is_certified(name)) {
            let what = self.wrong_certificate(name);
            return self.close(CloseWhy::new(CloseReason::WrongCertificate, what));
        }
        if served.is_empty() {
            return self.on_unidentified(now);
        }
        let rows = self.replica.ports.rows();
        let rows: Vec<_> = rows.filter(|(_, switch)| served.contains(&switch.name)).collect();
        let others = rows.iter().filter(|(_, switch)| switch.has_other_ends);
        let others: BTreeSet<SwitchName> = others.map(|(_, switch)| switch.name.clone()).collect();
        let rows: BTreeMap<SwitchName, SwitchRow> = rows
            .into_iter()
            .map(|(row, switch)| {
                let tunnel_ips = switch.tunnel_ips.clone();
                (switch.name.clone(), SwitchRow { row, tunnel_ips })
            })
            .collect();
        let tunnel_ips: Vec<Ipv4Addr> = rows.values().flat_map(|row| row.tunnel_ips.clone()).collect();
        let new = served != *self.desired.served();
        let changed = self.desired.serve(served, tunnel_ips.into_iter());
        self.progress.on_identified();
        if new {
            self.on_identified(now);
        }
        let configured = &self.desired.configuration().switches;
        for what in self.tunnel_ends.compare(&rows, &others, configured) {
            self.report(what);
        }
        if rows != self.rows {
            self.rows = rows;
            let switches = self.rows.clone();
            self.wire.notify(Notice::Identified { switches });
        }
        if self.progress.tables_read() && !new {
            self.report_reconfigured();
        }
        self.apply_brake();
        match changed {
            Some(changed) => self.mark_changed(changed),
            None => self.mark_all(),
        }
    }

    /// The switch is one of ours, or another of ours is in the same database now.
    fn on_identified(&mut self, now: Time) {
        self.stats.reach(Milestone::Identified, now);
        let switches: Vec<SwitchName> = self.desired.served().iter().cloned().collect();
        let schema = self.progress.schema().map(|schema| schema.version.clone());
        let schema = schema.unwrap_or_default();
        self.report(What::Identified { switches, schema });
        self.ask_lock(now);
    }

    /// The database names no switch of ours: nothing is claimed, and the lock is released.
    fn on_unidentified(&mut self, now: Time) {
        if self.progress.is_identified() {
            let what = "the database no longer names a switch that is configured here";
            return self.close(CloseWhy::new(CloseReason::Unidentified, what));
        }
        let named = self.replica.ports.switches().take(STATUS_ENTRIES);
        let named: Vec<SwitchName> = named.map(|switch| short(switch.name.as_str()).into()).collect();
        if self.progress.on_unidentified(&named) {
            let notice = Notice::Unidentified { named: named.clone() };
            self.report(What::Unidentified { named });
            self.wire.notify(notice);
        }
        if self.is_nameless() {
            self.release_lock(now);
        }
    }

    fn is_certified(&self, name: &SwitchName) -> bool {
        if planted!(self, SwitchNotIdentified) {
            return true;
        }
        let switch = self.desired.configuration().switches.get(name);
        let rule = switch.and_then(|switch| switch.certificate.as_ref());
        let shown = self.id.peer.certificate.as_ref();
        match rule {
            Some(rule) => rule.admits(shown),
            None => shown.is_none_or(|shown| !shown.pinned_only),
        }
    }

    fn wrong_certificate(&self, name: &SwitchName) -> String {
        let shown = self.id.peer.certificate.as_ref();
        let pinned_only = shown.is_some_and(|shown| shown.pinned_only);
        let shown = shown.map_or_else(|| "none".into(), |shown| shown.fingerprint.to_string());
        let why = match pinned_only {
            true => "is pinned to another switch, and no CA vouches for it",
            false => "is not the one configured for it",
        };
        format!("it calls itself {name}, but its certificate ({shown}) {why}")
    }

    /// Reports the faults that the switch has of itself or of its ports, and their ends.
    fn report_faults(&mut self, _now: Time) {
        if !self.progress.is_identified() {
            return;
        }
        let served = self.desired.served();
        for what in self.faults.compare(&self.replica, |name| served.contains(name)) {
            self.report(what);
        }
    }

    /// Acts on a change of the lease.
    fn follow_lease(&mut self, now: Time) {
        if !self.progress.is_identified() || self.is_put_off(now) {
            return;
        }
        let managers = self.replica.managers.len();
        let sole_manager = || self.desired.sole_manager() || managers <= 1;
        match self.lease.advance(sole_manager) {
            None => {}
            Some(Change::Unfenced(model)) => self.report(What::Unfenced { model }),
            Some(Change::Waiting) => self.report(What::Waiting),
            Some(Change::Granted) => self.wire.notify(Notice::Granted),
            Some(Change::Held) => {
                self.report(What::Locked);
                self.begin_claim(now, true);
            }
            Some(Change::Lockless) => {
                self.begin_claim(now, false);
                let may_write = true;
                self.report(What::Lockless { may_write, managers });
            }
            Some(Change::LocklessShared { wrote }) => {
                let may_write = false;
                self.report(What::Lockless { may_write, managers });
                if wrote {
                    let what = "another manager may write now, and the switch knows no locks";
                    self.close(CloseWhy::new(CloseReason::OtherManager, what));
                }
            }
        }
    }

    /// Planted bugs: the lock is asked for late, or is not used at once.
    fn is_put_off(&mut self, now: Time) -> bool {
        const TURN_US: u64 = 20_000_000;
        if planted!(self, LockAskedLate) {
            self.ask_lock(now);
        }
        let unused = self.ownership() == Ownership::Held && self.lease.permit().is_none();
        let waited = self.phase() == Phase::Synced && now.micros() % TURN_US >= TURN_US / 2;
        let mut put_off = false;
        if planted!(self, ClaimAfterDump) {
            put_off |= !self.progress.tables_read();
        }
        if planted!(self, WaiterClaimsLate) {
            put_off |= waited;
        }
        unused && put_off
    }

    /// From now on this session writes, from the broadcast rows on.
    fn begin_claim(&mut self, now: Time, locked: bool) {
        self.wire.notify(Notice::MayWrite { locked });
        if self.progress.begin_claim() {
            self.stats.reach(Milestone::MayWrite, now);
            self.reconciler.begin_takeover();
            // The former owner may have deleted what this session withheld.
            if self.progress.tables_read() {
                self.apply_brake();
            }
            self.reconciler.mark(Object::Manager, Cause::Ours);
            self.report_timers_unset(now);
            self.mark_all();
        }
    }

    /// Compares a bounded number of MACs, once the unicast tables are known.
    fn audit(&mut self, _now: Time) {
        if self.reconciler.take_all_due() {
            self.mark_all();
        }
        if !self.progress.tables_read() {
            return;
        }
        for _ in 0..AUDIT_ROWS_PER_STEP {
            let (replica, desired, exporter) = (&self.replica, &self.desired, &self.exporter);
            let row = |network| replica.logical_switches.of_network(network);
            let remote = |network, after| {
                let row = row(network)?;
                let found = replica.ucast_remote.next_mac(row, after);
                found.into_iter().chain(desired.next_mac(network, after)).min()
            };
            let local = |network, after| {
                let found = row(network).and_then(|row| replica.ucast_local.next_mac(row, after));
                found.into_iter().chain(exporter.next_mac(network, after)).min()
            };
            match self.reconciler.next_to_compare(remote, local) {
                Some(Stop::Remote(network, Some(mac))) => self.mark_unicast(network, mac, Cause::Ours),
                Some(Stop::Remote(_, None)) => {}
                Some(Stop::Local(network, mac)) => self.update_exports(network, mac.unwrap_or(Mac::BROADCAST)),
                None => return,
            }
        }
    }

    /// Locators came: a bounded number of MACs that were learned behind them can be exported now.
    fn place(&mut self, _now: Time) {
        for (network, mac) in self.exporter.take_placeable(AUDIT_ROWS_PER_STEP) {
            self.update_exports(network, mac);
        }
    }

    /// A switch that did not take back its own MACs in time loses them with the logical switch.
    fn end_grace(&mut self, now: Time) {
        self.reconciler.end_grace(now);
    }

    /// The takeover has repointed broadcast when the switch has acknowledged every broadcast row.
    fn conclude_claim(&mut self, now: Time) {
        let acknowledged = self.reconciler.is_claim_sent() && !self.wire.is_writing(Lane::Broadcast);
        if acknowledged && self.lease.permit().is_some() && self.progress.conclude_claim() {
            self.stats.reach(Milestone::Claimed, now);
            let rows = self.stats.broadcast_rows();
            self.report(What::Claimed { rows });
        }
    }

    /// Asks for the unicast tables once the claim is on its way, or when another client owns the switch.
    fn ask_unicast(&mut self, now: Time) {
        let claimed = self.lease.permit().is_some() && self.reconciler.is_claim_sent();
        let early = planted!(self, ClaimAfterDump) && self.lease.occupies_lock();
        if (claimed || self.lease.is_watching() || early) && self.progress.ask_unicast() {
            self.wire.ask_unicast(now);
        }
    }

    /// The takeover is over when every table was compared and what was found to differ is written: whatever else is due
    /// since then. A switch that is always busy would never be audited.
    fn conclude_audit(&mut self, now: Time) {
        if self.reconciler.is_compared() {
            self.progress.on_compared();
            if self.phase() == Phase::Synced {
                self.reconciler.on_compared();
            }
        }
        let is_written = self.reconciler.is_takeover_written() && !self.exporter.has_placeable();
        if is_written && self.lease.permit().is_some() && self.progress.conclude_audit() {
            self.stats.reach(Milestone::Audited, now);
            let (rows_written, left) = (self.stats.rows_written(), self.reconciler.left());
            self.report(What::Audited { rows_written, left });
            self.wire.notify(Notice::Audited);
        }
    }

    /// An orderly end: what is on the wire settles, then the lock is free for the other agent.
    fn drain(&mut self, now: Time) {
        if !self.lease.is_stopping() || self.wire.writes() > 0 {
            return;
        }
        if self.lease.is_free() {
            return self.close(CloseWhy::new(
                CloseReason::Drained,
                "the agent drains, or hands the switch over",
            ));
        }
        self.release_lock(now);
    }

    /// Asks for the lock, if the lease wants it.
    pub(super) fn ask_lock(&mut self, now: Time) {
        let late = planted!(self, LockAskedLate) && now.since(self.id.opened_at).as_secs() < 20;
        if !late && self.lease.ask() {
            self.wire.ask_lock(now, self.lease.lock());
        }
    }

    /// When to ask for the lock again that the switch has refused; a nameless connection does not.
    pub(super) fn asks_lock_again(&self) -> Option<Deadline<Why>> {
        let at = self.lease.asks_again().filter(|_| self.progress.is_identified())?;
        let why = Why::LockDue;
        Some(Deadline { at, why })
    }

    /// Gives the lock back, or leaves the queue for it.
    pub(super) fn release_lock(&mut self, now: Time) {
        if self.lease.release() {
            self.wire.release_lock(now, self.lease.lock());
        }
    }

    /// Whether the connection has named no switch of ours.
    fn is_nameless(&self) -> bool {
        !self.progress.is_identified() && !planted!(self, ProbeClaims)
    }

    /// A connection that names no configured switch keeps no lock, and does not stay forever.
    pub(super) fn check_nameless(&mut self, now: Time) {
        let due = self.nameless_deadline().filter(|deadline| deadline.at <= now);
        match due.map(|deadline| deadline.why) {
            Some(Why::NamelessLock) => self.release_lock(now),
            Some(_) => {
                let what = "it has not named a configured switch";
                self.close(CloseWhy::new(CloseReason::Unidentified, what));
            }
            None => {}
        }
    }

    /// When to do so.
    pub(super) fn nameless_deadline(&self) -> Option<Deadline<Why>> {
        if !self.is_nameless() {
            return None;
        }
        let (span, why) = if self.lease.occupies_lock() {
            (NAMELESS_LOCK, Why::NamelessLock)
        } else {
            (NAMELESS, Why::Nameless)
        };
        let at = self.id.opened_at + span;
        Some(Deadline { at, why })
    }

    /// Whether there is work that needs no input.
    pub(super) fn more_work(&self) -> Option<Deadline<Why>> {
        let to_audit = self.progress.tables_read() && !self.reconciler.is_compared();
        let more = self.wire.has_work() || to_audit || self.exporter.has_placeable() || self.can_write();
        more.then_some(Deadline {
            at: self.now,
            why: Why::MoreWork,
        })
    }
}
