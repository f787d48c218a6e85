//! Wanted against found gives transactions: lane by lane, in batches, with a bounded number on the wire.

mod bindings;
mod broadcast;
mod logical_switches;
mod manager;
mod unicast;

use super::lanes::Reason;
use super::requests::{Asked, Batch};
use super::{Cause, Session};
use crate::bounds::{LOOKS_PER_STEP, SEND_QUEUE_BYTES, TRANSACTIONS_IN_FLIGHT};
use crate::event::{Lane, Object, What};
use crate::ids::Vni;
use crate::machine::{CloseWhy, Fault};
use crate::ovsdb::reply::{Failure, Refusal};
use crate::ovsdb::transaction::{Ref, Transaction};
use crate::time::Time;

/// What looking at an object came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It is as wanted, or cannot be helped.
    Right,
    /// What makes it so stands in the transaction.
    Written,
    /// It has to wait.
    Wait(Reason),
    /// It is to go away, and that comes last.
    Delete,
}

impl Session {
    /// Puts as many transactions on the wire as there is room for.
    pub(super) fn program(&mut self, now: Time) {
        if !self.may_write() {
            return;
        }
        self.lanes.retry(now);
        let mut looks = LOOKS_PER_STEP;
        for lane in Lane::ALL {
            while looks > 0 && self.room() && self.may_enter(lane) && !self.lanes.is_empty(lane) {
                let part = self.lanes.take_part(lane).unwrap_or_default();
                let part = part.into_iter().map(|object| (object, Cause::Ours)).collect();
                self.write(now, lane, part, &mut looks);
            }
        }
        self.conclude_claim(now);
    }

    /// Whether there is something to look at right away.
    pub(super) fn has_to_program(&self) -> bool {
        let enterable = |lane: &Lane| self.may_enter(*lane) && !self.lanes.is_empty(*lane);
        self.may_write() && self.room() && Lane::ALL.iter().any(enterable)
    }

    fn room(&self) -> bool {
        (self.requests.writes() < TRANSACTIONS_IN_FLIGHT || planted!(self, WindowUnbounded))
            && self.send_queue_bytes < SEND_QUEUE_BYTES
            && !self.is_closing()
    }

    /// Nothing is deleted while something else still differs.
    fn may_enter(&self, lane: Lane) -> bool {
        let last = lane != Lane::Deletions;
        last || self.walk.is_done()
            && Lane::ALL
                .iter()
                .all(|lane| *lane == Lane::Deletions || self.lanes.is_empty(*lane))
    }

    /// Writes one transaction of these objects, or of the next of the lane, if any of them differs.
    fn write(&mut self, now: Time, lane: Lane, mut objects: Vec<(Object, Cause)>, looks: &mut usize) {
        let options = self.wanted.options();
        let asserts = self.lock == super::Lock::Held && !planted!(self, LockNotAsserted);
        let lock = asserts.then_some(self.lock_name.as_str());
        let comment = format!("tandem {} generation {}: {lane}", options.agent, self.generation);
        let mut transaction = Transaction::new(lock, &comment);
        let limit = self.wanted.rows_per_transaction(lane);
        let given = !objects.is_empty();
        objects.reverse();
        let mut written = Vec::new();
        while transaction.rows() < limit && *looks > 0 {
            let next = if given { objects.pop() } else { self.lanes.take(lane) };
            let Some((object, cause)) = next else {
                break;
            };
            *looks -= 1;
            if self.lanes.is_in_flight(&object) {
                continue;
            }
            match self.look(now, lane, &object, &mut transaction) {
                Verdict::Right => self.lanes.right(&object),
                Verdict::Wait(reason) => self.lanes.wait(object, reason),
                Verdict::Delete => self.lanes.mark_deletion(object, cause),
                Verdict::Written => {
                    if cause == Cause::Theirs && self.takeover.audited.is_some() {
                        self.event(What::Repaired { object: object.clone() });
                    }
                    written.push(object);
                }
            }
        }
        // What did not fit goes back to its lane.
        for (object, cause) in objects {
            self.lanes.mark(object, cause);
        }
        if !written.is_empty() {
            self.send(now, lane, written, transaction);
        }
    }

    fn send(&mut self, now: Time, lane: Lane, objects: Vec<Object>, transaction: Transaction) {
        self.lanes.sent(&objects);
        let creates: Vec<_> = transaction.created_locators().collect();
        self.creating.extend(creates.iter().copied());
        let numbers: Vec<_> = transaction.given_vnis().collect();
        self.numbering.extend(numbers.iter().copied());
        let rows = transaction.rows();
        let batch = Batch {
            lane,
            objects,
            rows,
            creates,
            numbers,
        };
        self.ask(now, Asked::Write(batch), "transact", &transaction.into_params());
    }

    fn look(&mut self, now: Time, lane: Lane, object: &Object, transaction: &mut Transaction) -> Verdict {
        let deleting = lane == Lane::Deletions;
        match object {
            Object::Broadcast(network) => self.look_at_broadcast(*network, transaction),
            Object::Port(switch, port) => self.look_at_port(switch, port, transaction),
            Object::LogicalSwitch(network) => self.look_at_logical_switch(now, *network, deleting, transaction),
            Object::Unicast(network, mac) => self.look_at_unicast(*network, *mac, deleting, transaction),
            Object::Strays(network) => self.look_at_strays(*network, transaction),
            Object::Manager => self.look_at_manager(transaction),
        }
    }

    /// A locator to refer to: found, or created by this transaction, unless another one is just creating it.
    pub(super) fn locator(&self, vtep: std::net::Ipv4Addr, transaction: &mut Transaction) -> Result<Ref, Reason> {
        let found = self.replica.locators.find(vtep);
        if found.is_none() && self.creating.contains(&vtep) {
            return Err(Reason::Locator(vtep));
        }
        Ok(transaction.locator(vtep, found))
    }

    /// Rows that the switch still takes in this transaction; at least one for each object that is looked at.
    fn rows_left(&self, transaction: &Transaction) -> usize {
        let max = self.wanted.rows_per_transaction_max();
        max.saturating_sub(transaction.rows())
    }

    /// Rows that may still be deleted by this transaction.
    fn room_for_deletions(&self, transaction: &Transaction) -> usize {
        let limit = self.wanted.rows_per_transaction(Lane::Deletions);
        limit.saturating_sub(transaction.rows())
    }

    /// A transaction was applied. Its rows have arrived before this answer.
    pub(super) fn programmed(&mut self, _now: Time, batch: Batch) {
        let Batch {
            lane,
            objects,
            rows,
            creates,
            numbers,
        } = batch;
        self.rows_written += rows;
        self.manager_done |= objects.contains(&Object::Manager);
        self.event(What::Programmed {
            lane,
            objects: objects.len(),
            rows,
        });
        self.lanes.applied(objects);
        self.answered_for(&creates, &numbers);
    }

    /// A transaction was refused, as a whole.
    pub(super) fn program_refused(&mut self, now: Time, batch: Batch, refusal: &Refusal) {
        let Batch {
            lane,
            objects,
            creates,
            numbers,
            ..
        } = batch;
        let stolen = refusal.failure == Failure::NotOwner && self.lock == super::Lock::Held;
        if stolen && !planted!(self, StolenLockIgnored) {
            self.lock = super::Lock::Stolen;
            self.event(What::Stolen);
            let what = "the switch says that the lock is not ours";
            return self.close(now, CloseWhy::fault(Fault::Environment, what));
        }
        let text = refusal.text.clone();
        self.event(What::TransactionRejected {
            lane,
            objects: objects.len(),
            text,
        });
        if planted!(self, LocatorRaceNotRetried) && refusal.failure == Failure::Constraint {
            return;
        }
        if planted!(self, FailureForgotten) {
            return;
        }
        let splits = !matches!(refusal.failure, Failure::Resource | Failure::Permission);
        let groups = if splits {
            vec![objects]
        } else {
            objects.into_iter().map(|object| vec![object]).collect()
        };
        for group in groups {
            if let Some(object) = self.lanes.refused(now, lane, group, &refusal.text) {
                let reason = refusal.text.clone();
                self.event(What::Quarantined { object, reason });
            }
        }
        self.answered_for(&creates, &numbers);
    }

    /// Locators that a transaction was creating and VNIs that it gave are there now, or will not come from it.
    fn answered_for(&mut self, creates: &[std::net::Ipv4Addr], numbers: &[Vni]) {
        for vni in numbers {
            self.numbering.remove(vni);
            self.lanes.release(|reason| *reason == Reason::VniUnderWay(*vni));
        }
        for vtep in creates {
            self.creating.remove(vtep);
            self.lanes.release(|reason| *reason == Reason::Locator(*vtep));
        }
    }

    /// Whether every broadcast row that must be repointed is on its way.
    pub(super) fn claim_sent(&self) -> bool {
        self.lanes.is_empty(Lane::Broadcast) && !self.lanes.awaits_locator(Lane::Broadcast)
    }

    fn conclude_claim(&mut self, now: Time) {
        if self.takeover.claimed.is_none() && self.claim_sent() && !self.requests.writing(Lane::Broadcast) {
            self.takeover.claimed = Some(now);
            let rows = self.broadcast_rows_written;
            self.event(What::Claimed { rows });
        }
    }
}
