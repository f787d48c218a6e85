//! Differences become transactions: lane by lane, in batches, with a bounded number on the wire.

use super::Session;
use super::found::found;
use super::lease::Permit;
use super::plan::{self, Batch, Step, View};
use super::reconciler::{Candidate, Cause, FightLine, Rejected, Wait};
use super::replica::Replica;
use crate::bounds::LOOKS_PER_STEP;
use crate::event::{Lane, Object, What};
use crate::ovsdb::limits::{Limit, Limited, Limits, Rows};
use crate::ovsdb::reply::{Failure, Refusal};
use crate::time::Time;

impl Session {
    /// Puts as many transactions on the wire as there is room for.
    pub(super) fn write(&mut self, now: Time) {
        let Some(permit) = self.lease.permit() else { return };
        for lane in self.reconciler.retry(now) {
            self.report(What::WritesResumed { lane });
        }
        self.follow_limits();
        let mut looks = LOOKS_PER_STEP;
        for lane in Lane::ALL {
            while looks > 0 && self.has_turn(lane) {
                self.write_batch(now, &permit, lane, &mut looks);
            }
        }
    }

    /// Whether there is something to write at once.
    pub(super) fn can_write(&self) -> bool {
        let has_work = Lane::ALL.into_iter().any(|lane| self.has_turn(lane)) || self.has_room_for_waiting();
        has_work && self.lease.permit().is_some()
    }

    fn has_turn(&self, lane: Lane) -> bool {
        self.wire.has_room() && self.reconciler.has_due(lane, self.wire.is_writing(lane))
    }

    /// Plans the next objects of a lane, and sends what they need as one transaction. Takes from `looks` one for each
    /// object.
    fn write_batch(&mut self, now: Time, permit: &Permit, lane: Lane, looks: &mut usize) {
        let (agent, generation) = (&self.desired.options().agent, self.id.generation);
        let mut transaction = permit.transaction(&format!("tandem {agent} generation {generation}: {lane}"));
        let limit = self.desired.rows_per_transaction(lane).min(self.reconciler.rows(lane));
        let part = self.reconciler.take_part(lane);
        let apart = !part.is_empty();
        let mut part = part.into_iter();
        let (mut objects, mut notes) = (Vec::new(), Vec::new());
        while transaction.rows() < limit && *looks > 0 {
            let next = if apart { part.next() } else { self.reconciler.take(lane) };
            let Some(candidate) = next else { break };
            *looks -= 1;
            let repairs = candidate.cause == Cause::Theirs && self.progress.is_audited();
            let candidate = if repairs {
                self.postpone(now, permit, lane, candidate)
            } else {
                Some(candidate)
            };
            let Some(candidate) = candidate else { continue };
            let step = plan::object(&self.view(now), lane, &candidate.object, &mut transaction);
            let whole = matches!(step, Step::Write { whole: true, .. });
            self.report_vni_taken(&candidate.object, &step);
            if let Some((object, reports)) = self.reconciler.file(lane, candidate, step) {
                let repaired = (repairs && whole).then(|| self.repaired(now, &object));
                notes.extend(reports.into_iter().chain(repaired));
                objects.push(object);
            }
        }
        // Objects that did not fit are planned again with others of their lane.
        part.for_each(|candidate| self.reconciler.put_back(candidate));
        if objects.is_empty() {
            return;
        }
        let batch = Batch {
            lane,
            objects,
            rows: transaction.rows(),
            creates: transaction.created_locators().collect(),
            gives: transaction.given_vnis().collect(),
            inserts: transaction.inserts(),
            notes,
        };
        self.reconciler.sent(&batch);
        self.wire.transact(now, permit, batch, transaction);
    }

    /// An object that another client keeps changing is repaired later, if it differs at all. Answers it if it is to be
    /// planned now.
    fn postpone(&mut self, now: Time, permit: &Permit, lane: Lane, candidate: Candidate) -> Option<Candidate> {
        let until = self.reconciler.repair_until(now, &candidate);
        let Some(until) = until.filter(|_| !planted!(self, RepairsNotSlowed)) else {
            return Some(candidate);
        };
        let step = plan::object(&self.view(now), lane, &candidate.object, &mut permit.transaction(""));
        if !matches!(step, Step::Write { .. }) {
            return Some(candidate);
        }
        self.reconciler.postpone(lane, candidate, until);
        None
    }

    /// An object that another client changed is being repaired. Answers the event to report when that is applied.
    fn repaired(&mut self, now: Time, object: &Object) -> What {
        let found = found(&self.replica, object);
        self.stats.count_repair();
        if let Some(FightLine { objects, repairs }) = self.reconciler.repaired(now, object, found.clone()) {
            let object = object.clone();
            self.report(What::Contested {
                objects,
                repairs,
                object,
                found,
            });
        }
        What::Repaired { object: object.clone() }
    }

    /// What waited for room in a table is planned when there is some.
    fn follow_limits(&mut self) {
        let (replica, inserts) = (&self.replica, self.reconciler.underway().all_inserts());
        let changes = self
            .reconciler
            .follow_limits(|table, limit| room(replica, &inserts, table, limit));
        for (table, limit) in changes.full {
            let (table, limit) = (table.name().to_owned(), limit.to_string());
            self.report(What::TableFull { table, limit });
        }
        for (table, _) in changes.free {
            let table = table.name().to_owned();
            self.report(What::TableHasRoom { table });
        }
    }

    fn has_room_for_waiting(&self) -> bool {
        let inserts = self.reconciler.underway().all_inserts();
        let mut full = self.reconciler.full_tables();
        full.any(|(table, limit, _)| room(&self.replica, &inserts, table, limit) > 0)
    }

    /// A logical switch of another controller has the VNI of a network: that is reported once, for the network waits until
    /// an operator removes one of them.
    fn report_vni_taken(&mut self, object: &Object, step: &Step) {
        let Object::LogicalSwitch(network) = *object else {
            return;
        };
        let Step::Wait(Wait::Vni { tunnel_key, holder }) = *step else {
            self.vni_taken.remove(&network);
            return;
        };
        let entry = self.replica.logical_switches.row(holder);
        let Some(entry) = entry.filter(|entry| entry.network.is_none()) else {
            return;
        };
        let foreign = entry.name.clone();
        if self.vni_taken.insert(network, holder) != Some(holder) {
            self.report(What::VniTaken {
                network,
                vni: tunnel_key,
                foreign,
            });
        }
    }

    /// The switch keeps its own pauses, up to 8 s, because the row to set is not known: an operator has to name it.
    pub(super) fn report_timers_unset(&mut self, now: Time) {
        let Some(rows) = plan::untimed(&self.view(now)) else {
            return;
        };
        let manager = self.desired.options().manager.as_ref();
        let target = manager.and_then(|timers| timers.target.clone());
        self.report(What::TimersUnset { rows, target });
    }

    fn view(&self, now: Time) -> View<'_> {
        static NO_LIMITS: Limits = Limits::NONE;
        View {
            now,
            replica: &self.replica,
            desired: &self.desired,
            underway: self.reconciler.underway(),
            tables_read: self.progress.tables_read(),
            replication_mode: self.progress.schema().is_some_and(|schema| schema.replication_mode),
            uncounted: self.is_uncounted(),
            withheld: &self.withheld,
            withdrawals: &self.withdrawals,
            limits: self.progress.schema().map_or(&NO_LIMITS, |schema| &schema.limits),
        }
    }

    /// A transaction was applied. Its rows have arrived before this answer.
    pub(super) fn on_applied(&mut self, mut batch: Batch) {
        let (lane, objects, rows) = (batch.lane, batch.objects.len(), batch.rows);
        self.stats.acknowledge(lane, &batch.objects, rows);
        self.report(What::Programmed { lane, objects, rows });
        for note in std::mem::take(&mut batch.notes) {
            self.report(note);
        }
        if self.reconciler.applied(batch) {
            self.report(What::WritesResumed { lane });
        }
    }

    /// A transaction was rejected, as a whole.
    pub(super) fn on_rejected(&mut self, now: Time, batch: Batch, refusal: &Refusal) {
        if refusal.failure == Failure::NotOwner && self.lease.on_loss() {
            return self.on_stolen("the switch reports that the lock is not ours");
        }
        let (lane, objects) = (batch.lane, batch.objects.len());
        let text = refusal.text.clone();
        self.report(What::TransactionRejected { lane, objects, text });
        if planted!(self, FailureForgotten) {
            return;
        }
        if planted!(self, LocatorRaceNotRetried) && refusal.failure == Failure::Constraint {
            return;
        }
        let reason = || refusal.text.clone();
        match self.reconciler.rejected(now, batch, refusal) {
            Rejected::Objects(quarantined) => {
                for object in quarantined {
                    let reason = reason();
                    self.report(What::Quarantined { object, reason });
                }
            }
            Rejected::Stopped { first: true } => {
                let reason = reason();
                self.report(What::WritesStopped { lane, reason });
            }
            Rejected::Stopped { first: false } => {}
        }
    }
}

/// Rows that a table still takes beyond those that are there and on the wire.
fn room(replica: &Replica, inserts: &Rows, table: Limited, limit: Limit) -> usize {
    limit.rows.saturating_sub(replica.count(table) + inserts.of(table))
}
