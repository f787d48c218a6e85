//! The reconciler: what differs from the desired state, what is in flight, what waits and on what.
//!
//! It decides the order of work. What is to be written for an object is decided in [`plan`](super::plan), and whether
//! anything may be written, by the [`lease`](super::lease).

mod audit_cursor;
mod fights;
mod ledger;
mod pace;
mod underway;
mod wait;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::Why;
use super::plan::{Batch, Step};
use crate::bounds::{ROOM_PROBE_FIRST, ROOM_PROBE_LONGEST};
use crate::event::{Lane, Object, What};
use crate::ids::{Mac, Uuid, Vni};
use crate::ovsdb::limits::{Limit, Limited, Rows};
use crate::ovsdb::reply::{Failure, Refusal};
use crate::time::{Deadline, Time};
use audit_cursor::AuditCursor;
pub(super) use audit_cursor::Stop;
pub(super) use fights::{Fight, FightLine, Fights};
use ledger::Ledger;
pub(super) use ledger::{Candidate, Cause};
use pace::Pace;
pub(super) use underway::Underway;
pub(super) use wait::Wait;

/// The work on a switch.
#[derive(Clone, Debug, Default)]
pub(super) struct Reconciler {
    ledger: Ledger,
    audit: AuditCursor,
    underway: Underway,
    /// The pace of each lane, by its place in [`Lane::ALL`].
    paces: [Pace; Lane::ALL.len()],
    fights: Fights,
    /// Tables at their limit, as reported last.
    full: BTreeSet<(Limited, Limit)>,
    /// Everything may differ, and was not marked yet.
    all_due: bool,
}

/// Tables that reached their limit, and that have room again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fullness {
    pub(super) full: Vec<(Limited, Limit)>,
    pub(super) free: Vec<(Limited, Limit)>,
}

/// The consequence of a rejected transaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Rejected {
    /// Its objects are tried again; these are in quarantine from now on.
    Objects(Vec<Object>),
    /// Its lane stopped. `first`: it had its full speed until now.
    Stopped { first: bool },
}

impl Reconciler {
    /// The facts of transactions on the wire that planning needs.
    pub(super) fn underway(&self) -> &Underway {
        &self.underway
    }

    /// Everything may differ: it is to be marked once, however often that happens in one step.
    pub(super) fn mark_all_due(&mut self) {
        self.all_due = true;
    }

    /// Takes the mark that everything is to be marked.
    pub(super) fn take_all_due(&mut self) -> bool {
        std::mem::take(&mut self.all_due)
    }

    /// An object may differ from what is desired.
    pub(super) fn mark(&mut self, object: Object, cause: Cause) {
        self.ledger.mark(object, cause);
    }

    /// An object is as desired, whichever client made it so.
    pub(super) fn unmark(&mut self, object: &Object) {
        self.ledger.unmark(object);
    }

    /// A logical switch, its broadcast row and stray rows in it may differ.
    pub(super) fn mark_logical_switch(&mut self, network: Uuid, cause: Cause) {
        for object in [Object::LogicalSwitch, Object::Broadcast, Object::Strays] {
            self.mark(object(network), cause);
        }
    }

    /// The MACs of a network are to be compared, from the first on.
    pub(super) fn mark_network(&mut self, network: Uuid) {
        self.audit.mark(network);
    }

    /// The next MAC to compare. The two functions answer the next remote or local MAC of a network after another. What was
    /// marked is compared, too: it may differ no more, and a session that waits for the lock never comes to write it.
    pub(super) fn next_to_compare(
        &mut self,
        remote: impl FnOnce(Uuid, Option<Mac>) -> Option<Mac>,
        local: impl FnOnce(Uuid, Option<Mac>) -> Option<Mac>,
    ) -> Option<Stop> {
        let ledger = &self.ledger;
        let remote = |network, after| {
            remote(network, after)
                .into_iter()
                .chain(ledger.next_mac(network, after))
                .min()
        };
        self.audit.next(remote, local)
    }

    /// Whether every MAC was compared.
    pub(super) fn is_compared(&self) -> bool {
        self.audit.is_done()
    }

    /// An event that objects wait on may have happened.
    pub(super) fn release(&mut self, happened: impl Fn(&Wait) -> bool) {
        self.ledger.release(happened);
    }

    /// A table at its limit may have room again: as many objects are planned. `room` answers the rows that it takes.
    /// Answers the tables that are full from now on, and those that are not any more.
    pub(super) fn follow_limits(&mut self, room: impl Fn(Limited, Limit) -> usize) -> Fullness {
        for (table, limit) in self.full() {
            self.ledger
                .release_some(&Wait::Full { table, limit }, room(table, limit));
        }
        let full = self.full();
        let before = std::mem::replace(&mut self.full, full);
        Fullness {
            full: self.full.difference(&before).copied().collect(),
            free: before.difference(&self.full).copied().collect(),
        }
    }

    fn full(&self) -> BTreeSet<(Limited, Limit)> {
        let full = self.ledger.waits().filter_map(|on| match on {
            Wait::Full { table, limit } => Some((*table, *limit)),
            Wait::Locator(_) | Wait::Vni { .. } | Wait::VniInFlight(_) => None,
            Wait::Incomplete | Wait::Withheld | Wait::Bound | Wait::LocalMacs { .. } => None,
        });
        full.collect()
    }

    /// Tables at their limit, and the number of objects that wait for each.
    pub(super) fn full_tables(&self) -> impl Iterator<Item = (Limited, Limit, usize)> + '_ {
        let count = |table, limit| self.ledger.waiting_on(&Wait::Full { table, limit });
        let full = self.full().into_iter();
        full.map(move |(table, limit)| (table, limit, count(table, limit)))
    }

    /// The desired state changed: what failed and what waited may succeed now.
    pub(super) fn retry_all(&mut self) {
        self.ledger.retry_all();
    }

    /// Time has passed: what was left alone for a while is tried again. Answers the lanes that stopped and have nothing left
    /// to write, so that they have their full speed back.
    pub(super) fn retry(&mut self, now: Time) -> Vec<Lane> {
        self.ledger.retry(now);
        self.fights.forget(now);
        let (ledger, paces) = (&self.ledger, &mut self.paces);
        let lanes = Lane::ALL.into_iter().zip(paces);
        let resumed = lanes.filter_map(|(lane, pace)| {
            let is_done = ledger.is_empty(lane) && !ledger.has_in_flight();
            pace.resume(now, is_done).then_some(lane)
        });
        resumed.collect()
    }

    /// A switch that did not take back its own MACs in time loses them with the logical switch.
    pub(super) fn end_grace(&mut self, now: Time) {
        self.ledger
            .release(|on| matches!(on, Wait::LocalMacs { until } if *until <= now));
    }

    /// Whether a lane has something to plan, and its turn has come: nothing is deleted while anything else differs.
    /// `on_the_wire`: whether a transaction of the lane is.
    pub(super) fn has_due(&self, lane: Lane, on_the_wire: bool) -> bool {
        let others = || Lane::ALL.into_iter().filter(|other| *other != Lane::Deletions);
        let has_turn = lane != Lane::Deletions || self.audit.is_done() && others().all(|other| self.is_done(other));
        has_turn && !self.ledger.is_empty(lane) && self.pace(lane).admits(on_the_wire)
    }

    /// Whether a lane has nothing to plan, or the server has no room for it: deletions may give it some.
    fn is_done(&self, lane: Lane) -> bool {
        self.ledger.is_empty(lane) || self.pace(lane).stop().is_some()
    }

    fn pace(&self, lane: Lane) -> &Pace {
        let [broadcast, bindings, logical_switches, unicast, deletions] = &self.paces;
        match lane {
            Lane::Broadcast => broadcast,
            Lane::Bindings => bindings,
            Lane::LogicalSwitches => logical_switches,
            Lane::Unicast => unicast,
            Lane::Deletions => deletions,
        }
    }

    /// Rows that the next transaction of a lane may write.
    pub(super) fn rows(&self, lane: Lane) -> usize {
        self.pace(lane).rows()
    }

    /// Takes objects of a lane that share a transaction with no others; none if there are none.
    pub(super) fn take_part(&mut self, lane: Lane) -> Vec<Candidate> {
        self.ledger.take_part(lane)
    }

    /// Takes the next object of a lane.
    pub(super) fn take(&mut self, lane: Lane) -> Option<Candidate> {
        let after = self.pace(lane).after().cloned();
        self.ledger.take(lane, after.as_ref())
    }

    /// A taken object is planned later after all.
    pub(super) fn put_back(&mut self, candidate: Candidate) {
        self.ledger.put_back(candidate);
    }

    /// Until when an object that another client keeps changing is not to be repaired again.
    pub(super) fn repair_until(&self, now: Time, candidate: &Candidate) -> Option<Time> {
        self.fights.until(now, &candidate.object)
    }

    /// A taken object is repaired later.
    pub(super) fn postpone(&mut self, lane: Lane, candidate: Candidate, until: Time) {
        self.ledger.postpone(candidate, lane, until);
    }

    /// An object is being repaired; `found` is what another client wrote. Answers the line for the log that is due.
    pub(super) fn repaired(&mut self, now: Time, object: &Object, found: String) -> Option<FightLine> {
        self.fights.repaired(now, object, found)
    }

    /// The objects that another client fights over.
    pub(super) fn fights(&self) -> impl Iterator<Item = (&Object, &Fight)> + '_ {
        self.fights.all()
    }

    /// Files what planning an object came to. If it stands in the transaction now, answers it, and what to report when
    /// the transaction is applied.
    pub(super) fn file(&mut self, lane: Lane, candidate: Candidate, step: Step) -> Option<(Object, Vec<What>)> {
        if let Object::LogicalSwitch(network) = candidate.object {
            self.file_retirement(lane, network, &step);
        }
        match step {
            // A candidate that is dropped is as desired.
            Step::Right => None,
            Step::Wait(on) => {
                self.ledger.wait(candidate, lane, on);
                None
            }
            Step::Delete => {
                self.ledger.delete_last(candidate);
                None
            }
            Step::Write { whole, notes } => {
                let object = candidate.object.clone();
                self.ledger.sent(candidate, whole);
                Some((object, notes))
            }
        }
    }

    /// Remembers until when a switch may take back its own MACs, as long as the logical switch is to go.
    fn file_retirement(&mut self, lane: Lane, network: Uuid, step: &Step) {
        match step {
            Step::Wait(Wait::LocalMacs { until }) => self.underway.retire(network, *until),
            Step::Wait(Wait::Incomplete | Wait::Withheld | Wait::Bound) | Step::Delete => {}
            Step::Write { .. } if lane == Lane::Deletions => {}
            Step::Wait(_) | Step::Right | Step::Write { .. } => self.underway.keep(network),
        }
    }

    /// A transaction is on the wire.
    pub(super) fn sent(&mut self, batch: &Batch) {
        self.underway.sent(&batch.creates, &batch.gives);
        self.underway.sent_inserts(&batch.inserts);
    }

    /// A transaction was applied. Answers whether its lane has its full speed back with that.
    pub(super) fn applied(&mut self, batch: Batch) -> bool {
        if batch.objects.contains(&Object::Manager) {
            self.underway.manager_done();
        }
        self.ledger.applied(batch.objects);
        self.answered(&batch.creates, &batch.gives, &batch.inserts);
        let is_done = self.ledger.is_empty(batch.lane);
        let pace = self.paces.get_mut(batch.lane as usize);
        pace.is_some_and(|pace| pace.applied(is_done))
    }

    /// A transaction was rejected.
    pub(super) fn rejected(&mut self, now: Time, batch: Batch, refusal: &Refusal) -> Rejected {
        let Batch { lane, objects, .. } = batch;
        if let ([Object::LogicalSwitch(network)], Failure::Referential) = (objects.as_slice(), refusal.failure)
            && lane == Lane::Deletions
        {
            self.underway.refer(*network);
        }
        let rejected = match refusal.failure {
            Failure::Resource => self.stop(now, lane, objects, &refusal.text, ROOM_PROBE_LONGEST),
            // It may be promoted at any time, and is asked as often as for the lock.
            Failure::ReadOnly => self.stop(now, lane, objects, &refusal.text, ROOM_PROBE_FIRST),
            // One bad object does not explain this failure: splitting would not find it.
            Failure::Permission => self.each_rejected(now, lane, objects, &refusal.text),
            Failure::Constraint | Failure::Referential | Failure::NotOwner | Failure::Other => {
                let quarantined = self.ledger.rejected(now, lane, objects, &refusal.text);
                Rejected::Objects(quarantined.into_iter().collect())
            }
        };
        self.answered(&batch.creates, &batch.gives, &batch.inserts);
        rejected
    }

    /// The server has no room, or takes no writes: no object of the lane is to blame, and all of them wait.
    fn stop(&mut self, now: Time, lane: Lane, objects: Vec<Object>, reason: &str, longest: Duration) -> Rejected {
        let after = objects.last().cloned();
        self.ledger.not_written(lane, objects);
        let pace = self.paces.get_mut(lane as usize);
        let first = pace.is_some_and(|pace| pace.refused(now, reason, after, longest));
        Rejected::Stopped { first }
    }

    fn each_rejected(&mut self, now: Time, lane: Lane, objects: Vec<Object>, reason: &str) -> Rejected {
        let groups = objects.into_iter().map(|object| vec![object]);
        let rejected = groups.filter_map(|group| self.ledger.rejected(now, lane, group, reason));
        Rejected::Objects(rejected.collect())
    }

    /// Locators that a transaction was creating and VNIs that it gave are there now, or will not come from it.
    fn answered(&mut self, creates: &[Ipv4Addr], gives: &[Vni], inserts: &Rows) {
        self.underway.answered(creates, gives);
        self.underway.answered_inserts(inserts);
        if creates.is_empty() && gives.is_empty() {
            return;
        }
        self.ledger.release(|on| match on {
            Wait::Locator(vtep) => creates.contains(vtep),
            Wait::VniInFlight(vni) => gives.contains(vni),
            Wait::Vni { .. } | Wait::Full { .. } | Wait::Incomplete | Wait::Withheld => false,
            Wait::Bound | Wait::LocalMacs { .. } => false,
        });
    }

    /// Whether every broadcast row that is to be repointed is on the wire.
    pub(super) fn is_claim_sent(&self) -> bool {
        self.is_done(Lane::Broadcast) && !self.ledger.awaits_locator(Lane::Broadcast)
    }

    /// A takeover begins: everything is compared, for the first time or once more.
    pub(super) fn begin_takeover(&mut self) {
        self.ledger.begin_takeover();
    }

    /// Everything was compared: what is marked from now on does not belong to the takeover.
    pub(super) fn on_compared(&mut self) {
        self.ledger.on_compared();
    }

    /// Whether everything that the takeover found to differ has been written, or cannot be written for now.
    pub(super) fn is_takeover_written(&self) -> bool {
        let is_planned = |lane| self.ledger.inherited_planned(lane) || self.pace(lane).stop().is_some();
        self.ledger.is_compared() && self.ledger.inherited_answered() && Lane::ALL.into_iter().all(is_planned)
    }

    /// When an object that failed is tried again, or a lane that stopped probes.
    pub(super) fn retry_deadline(&self) -> Option<Deadline<Why>> {
        let stopped = Lane::ALL.into_iter().filter(|lane| !self.ledger.is_empty(*lane));
        let probes = stopped.filter_map(|lane| self.pace(lane).probe_at());
        let others = [self.ledger.next_retry(), self.fights.deadline()];
        let at = probes.chain(others.into_iter().flatten()).min()?;
        let why = Why::RetryDue;
        Some(Deadline { at, why })
    }

    /// When a switch has had its time for taking back its own MACs.
    pub(super) fn grace_deadline(&self) -> Option<Deadline<Why>> {
        let until = self.ledger.waits().filter_map(|on| match on {
            Wait::LocalMacs { until } => Some(*until),
            Wait::Locator(_) | Wait::Vni { .. } | Wait::VniInFlight(_) | Wait::Full { .. } => None,
            Wait::Incomplete | Wait::Withheld | Wait::Bound => None,
        });
        let at = until.min()?;
        let why = Why::LocalMacsDue;
        Some(Deadline { at, why })
    }

    /// Objects that differ and are not on the wire.
    pub(super) fn pending(&self) -> usize {
        self.ledger.pending()
    }

    /// Objects that cannot be written for now.
    pub(super) fn left(&self) -> usize {
        self.ledger.left() + self.stopped().map(|(lane, _)| self.ledger.due(lane)).sum::<usize>()
    }

    /// Lanes for which the server has no room, and its words.
    pub(super) fn stopped(&self) -> impl Iterator<Item = (Lane, &str)> + '_ {
        let stop = |lane| Some((lane, self.pace(lane).stop()?.reason.as_str()));
        Lane::ALL.into_iter().filter_map(stop)
    }

    /// Whether any object is to be planned.
    pub(super) fn has_anything_due(&self) -> bool {
        Lane::ALL.into_iter().any(|lane| !self.ledger.is_empty(lane))
    }

    /// Objects that wait on this.
    pub(super) fn waiting_on(&self, on: &Wait) -> usize {
        self.ledger.waiting_on(on)
    }

    /// Objects of a lane that are to be planned.
    pub(super) fn due(&self, lane: Lane) -> usize {
        self.ledger.due(lane)
    }

    /// Objects that wait, and on what.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&Object, &Wait)> + '_ {
        self.ledger.waiting()
    }

    /// Objects in quarantine, and why.
    pub(super) fn quarantined(&self) -> impl Iterator<Item = (&Object, &str)> + '_ {
        self.ledger.quarantined()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transaction that creates the locator of a tunnel end.
    fn batch(vtep: Ipv4Addr) -> Batch {
        Batch {
            lane: Lane::LogicalSwitches,
            objects: Vec::new(),
            rows: 1,
            creates: vec![vtep],
            gives: Vec::new(),
            inserts: Rows::default(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn what_waits_for_a_locator_goes_on_when_the_transaction_that_creates_it_is_rejected() {
        let (lane, tsn) = (Lane::Broadcast, Ipv4Addr::LOCALHOST);
        let mut reconciler = Reconciler::default();
        let creator = batch(tsn);
        reconciler.sent(&creator);
        reconciler.mark(Object::Broadcast(Uuid(1)), Cause::Ours);
        let row = reconciler.take(lane).expect("a broadcast row");
        reconciler.file(lane, row, Step::Wait(Wait::Locator(tsn)));
        let refusal = Refusal {
            failure: Failure::Constraint,
            text: "no".into(),
        };
        reconciler.rejected(Time::ORIGIN, creator, &refusal);
        assert!(!reconciler.underway().creates(tsn));
        assert!(reconciler.has_due(lane, false), "it is to create the locator itself");
    }

    #[test]
    fn the_grace_of_a_switch_begins_once_and_ends_when_the_logical_switch_is_to_stay() {
        let (lane, network) = (Lane::Deletions, Uuid(1));
        let until = Time::ORIGIN + Duration::from_secs(15);
        let mut reconciler = Reconciler::default();
        let mut retires = |lane, step| {
            reconciler.mark(Object::LogicalSwitch(network), Cause::Ours);
            let logical_switch = reconciler.take(Lane::LogicalSwitches).expect("it is due");
            reconciler.file(lane, logical_switch, step);
            reconciler.underway().retires(network)
        };
        assert_eq!(retires(lane, Step::Wait(Wait::LocalMacs { until })), Some(until));
        for step in [Step::Wait(Wait::Bound), Step::Wait(Wait::Incomplete), Step::Delete] {
            assert_eq!(retires(lane, step), Some(until));
        }
        assert_eq!(retires(Lane::LogicalSwitches, Step::Right), None);
    }

    #[test]
    fn a_claim_is_not_sent_while_a_broadcast_row_waits_for_its_locator() {
        let (lane, tsn) = (Lane::Broadcast, Ipv4Addr::LOCALHOST);
        let mut reconciler = Reconciler::default();
        let creator = batch(tsn);
        reconciler.sent(&creator);
        reconciler.mark(Object::Broadcast(Uuid(1)), Cause::Ours);
        assert!(!reconciler.is_claim_sent(), "it is to be planned");
        let row = reconciler.take(lane).expect("a broadcast row");
        reconciler.file(lane, row, Step::Wait(Wait::Locator(tsn)));
        assert!(!reconciler.is_claim_sent(), "it waits");
        reconciler.applied(creator);
        let row = reconciler.take(lane).expect("the locator is there");
        let (whole, notes) = (true, Vec::new());
        reconciler.file(lane, row, Step::Write { whole, notes });
        assert!(reconciler.is_claim_sent());
    }
}
