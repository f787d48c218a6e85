//! The ledger: each object that may differ from what is desired, and where it stands.
//!
//! One map holds one state for each object, so that an object stands in one place only. The indexes beside it are kept
//! by [`place`](Ledger::place) and [`remove`](Ledger::remove) alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use super::wait::Wait;
use crate::bounds::{ATTEMPTS, QUARANTINE, RETRY_FIRST};
use crate::event::{Lane, Object};
use crate::ids::{Mac, Uuid};
use crate::time::Time;

/// Every object that may differ.
#[derive(Clone, Debug, Default)]
pub(in crate::session) struct Ledger {
    entries: BTreeMap<Object, Entry>,
    due: [BTreeSet<Object>; Lane::ALL.len()],
    parts: BTreeMap<(Lane, u64), BTreeSet<Object>>,
    waiting: BTreeMap<Wait, BTreeSet<Object>>,
    retries: BTreeSet<(Time, Object)>,
    in_flight: usize,
    parts_so_far: u64,
    /// Of a takeover: objects that were marked before everything was compared.
    inherited: Inherited,
    compared: bool,
}

/// Objects of a takeover that are to be planned or are on the wire.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Inherited {
    due: [usize; Lane::ALL.len()],
    in_flight: usize,
}

/// Why an object may differ.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::session) enum Cause {
    /// The desired state changed, or an audit found it, or we wrote it.
    Ours,
    /// The switch reported a change that we did not make.
    Theirs,
}

/// An object that was taken to be planned. It goes back by [`sent`](Ledger::sent), [`wait`](Ledger::wait),
/// [`delete_last`](Ledger::delete_last) or [`put_back`](Ledger::put_back); dropping it means that it is as desired.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::session) struct Candidate {
    pub(in crate::session) object: Object,
    pub(in crate::session) cause: Cause,
    attempts: u32,
    inherited: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Entry {
    state: State,
    cause: Cause,
    /// The number of its rejections while it stood alone in a transaction, since it was last applied.
    attempts: u32,
    /// It was marked before everything was compared.
    inherited: bool,
}

/// The state of an object.
#[derive(Clone, Debug, Eq, PartialEq)]
enum State {
    /// To be planned, with others of its lane.
    Due { lane: Lane },
    /// To be planned apart: its transaction was rejected, as a whole or because of it.
    Split { lane: Lane, part: u64 },
    /// In a transaction on the wire.
    InFlight {
        /// It may differ again, or it was not written completely: plan it once more when the answer comes.
        dirty: bool,
    },
    /// It cannot be written before something has happened.
    Waiting { lane: Lane, on: Wait },
    /// It was rejected alone, and is left alone until then.
    BackOff { lane: Lane, until: Time },
    /// It was rejected too often, and is left alone for long.
    Quarantined { lane: Lane, until: Time, reason: String },
}

impl Ledger {
    /// An object may differ.
    ///
    /// One in flight is planned again when its answer comes, and one that keeps failing when its time comes.
    pub(super) fn mark(&mut self, object: Object, cause: Cause) {
        let Some(entry) = self.entries.get_mut(&object) else {
            let inherited = !self.compared;
            return self.place_due(Candidate {
                object,
                cause,
                attempts: 0,
                inherited,
            });
        };
        if !self.compared && !entry.inherited {
            entry.inherited = true;
            self.inherited
                .count(&entry.state)
                .into_iter()
                .for_each(|count| *count += 1);
        }
        match &mut entry.state {
            // The rest of what is written in parts is ours, whatever the answer to the first part changed.
            State::InFlight { dirty: true } => {}
            State::InFlight { dirty } => {
                *dirty = true;
                entry.cause = cause;
                entry.stays_inherited(&mut self.inherited, !self.compared);
            }
            State::Split { .. } | State::BackOff { .. } | State::Quarantined { .. } => {}
            State::Due { lane } if *lane == object.lane() => {}
            State::Due { .. } | State::Waiting { .. } => self.look_again(object),
        }
    }

    /// The first remote MAC of a network that is here and comes after another.
    pub(super) fn next_mac(&self, network: Uuid, after: Option<Mac>) -> Option<Mac> {
        let from = match after {
            Some(mac) => Bound::Excluded(Object::Unicast(network, mac)),
            None => Bound::Included(Object::Unicast(network, Mac([0; 6]))),
        };
        let to = Bound::Included(Object::Unicast(network, Mac::BROADCAST));
        let (Object::Unicast(_, mac), _) = self.entries.range((from, to)).next()? else {
            return None;
        };
        Some(*mac)
    }

    /// An object is as desired, whichever client made it so. One in flight stays until its answer comes.
    pub(super) fn unmark(&mut self, object: &Object) {
        match self.entries.get_mut(object).map(|entry| &mut entry.state) {
            Some(State::InFlight { dirty }) => *dirty = false,
            Some(_) => drop(self.remove(object)),
            None => {}
        }
    }

    /// Takes the next object of a lane: the first behind `after`, or else the first.
    pub(super) fn take(&mut self, lane: Lane, after: Option<&Object>) -> Option<Candidate> {
        let due = self.due.get(lane as usize)?;
        let behind = after.and_then(|after| due.range((Bound::Excluded(after), Bound::Unbounded)).next());
        let object = behind.or_else(|| due.first())?.clone();
        self.take_one(object)
    }

    /// Takes the next objects of a lane that are planned apart from all others; none if there are none.
    pub(super) fn take_part(&mut self, lane: Lane) -> Vec<Candidate> {
        let mut parts = self.parts.range((lane, 0)..=(lane, u64::MAX));
        let objects = parts.next().map(|(_, objects)| objects.clone()).unwrap_or_default();
        objects.into_iter().filter_map(|object| self.take_one(object)).collect()
    }

    /// A taken object is planned later after all.
    pub(super) fn put_back(&mut self, candidate: Candidate) {
        self.place_due(candidate);
    }

    /// A taken object is not desired any more, and what is not desired goes last.
    pub(super) fn delete_last(&mut self, candidate: Candidate) {
        let lane = Lane::Deletions;
        self.place(candidate, State::Due { lane });
    }

    /// A taken object cannot be written yet.
    pub(super) fn wait(&mut self, candidate: Candidate, lane: Lane, on: Wait) {
        self.place(candidate, State::Waiting { lane, on });
    }

    /// A taken object is left alone until then.
    pub(super) fn postpone(&mut self, candidate: Candidate, lane: Lane, until: Time) {
        self.place(candidate, State::BackOff { lane, until });
    }

    /// A taken object is on the wire. `whole`: the transaction writes all of it.
    pub(super) fn sent(&mut self, mut candidate: Candidate, whole: bool) {
        if !whole {
            candidate.cause = Cause::Ours;
        }
        self.place(candidate, State::InFlight { dirty: !whole });
    }

    /// A transaction was applied. Its rows have arrived before this answer, so that what still differs is marked.
    pub(super) fn applied(&mut self, objects: Vec<Object>) {
        for object in objects {
            if let Some(entry) = self.remove(&object)
                && entry.state == (State::InFlight { dirty: true })
            {
                let (cause, attempts, inherited) = (entry.cause, 0, entry.inherited);
                self.place_due(Candidate {
                    object,
                    cause,
                    attempts,
                    inherited,
                });
            }
        }
    }

    /// A transaction was rejected as a whole: its objects are tried in two halves, and a single one again later.
    /// Answers the object that was rejected too often.
    pub(super) fn rejected(&mut self, now: Time, lane: Lane, mut objects: Vec<Object>, reason: &str) -> Option<Object> {
        if objects.len() > 1 {
            let rest = objects.split_off(objects.len() / 2);
            self.split(lane, objects);
            self.split(lane, rest);
            return None;
        }
        let object = objects.pop()?;
        let mut candidate = self.take_one(object.clone())?;
        candidate.attempts = candidate.attempts.saturating_add(1);
        if candidate.attempts < ATTEMPTS {
            let until = now + back_off(candidate.attempts);
            self.place(candidate, State::BackOff { lane, until });
            return None;
        }
        let (until, reason) = (now + QUARANTINE, reason.into());
        self.place(candidate, State::Quarantined { lane, until, reason });
        Some(object)
    }

    /// A transaction was rejected, and not because of its objects: they are due again, and their failures are as before.
    pub(super) fn not_written(&mut self, lane: Lane, objects: Vec<Object>) {
        for object in objects {
            if let Some(candidate) = self.take_one(object) {
                self.place(candidate, State::Due { lane });
            }
        }
    }

    /// An event that objects wait on may have happened.
    pub(super) fn release(&mut self, happened: impl Fn(&Wait) -> bool) {
        let over: Vec<Wait> = self.waiting.keys().filter(|on| happened(on)).copied().collect();
        for on in over {
            for object in self.waiting.get(&on).cloned().unwrap_or_default() {
                self.look_again(object);
            }
        }
    }

    /// An event that objects wait on has happened for so many of them.
    pub(super) fn release_some(&mut self, on: &Wait, objects: usize) {
        let waiting = self.waiting.get(on).into_iter().flatten();
        for object in waiting.take(objects).cloned().collect::<Vec<_>>() {
            self.look_again(object);
        }
    }

    /// Objects that wait on an event.
    pub(super) fn waiting_on(&self, on: &Wait) -> usize {
        self.waiting.get(on).map_or(0, BTreeSet::len)
    }

    /// Objects whose time has come are tried again, each alone: no other is to fail with it.
    pub(super) fn retry(&mut self, now: Time) {
        while let Some((_, object)) = self.retries.first().filter(|(until, _)| *until <= now) {
            let object = object.clone();
            self.look_again(object);
        }
    }

    /// The desired state changed: what failed and what waited may succeed now.
    pub(super) fn retry_all(&mut self) {
        while let Some((_, object)) = self.retries.first() {
            let object = object.clone();
            let inherited = self.remove(&object).is_some_and(|entry| entry.inherited);
            let (cause, attempts) = (Cause::Ours, 0);
            self.place_due(Candidate {
                object,
                cause,
                attempts,
                inherited,
            });
        }
        self.release(|_| true);
    }

    /// A takeover begins: everything is compared, for the first time or once more.
    pub(super) fn begin_takeover(&mut self) {
        self.compared = false;
    }

    /// Whether everything was compared since the takeover began.
    pub(super) fn is_compared(&self) -> bool {
        self.compared
    }

    /// Everything was compared: what is marked from now on does not belong to the takeover.
    pub(super) fn on_compared(&mut self) {
        self.compared = true;
    }

    /// Whether no object of the takeover is on the wire.
    pub(super) fn inherited_answered(&self) -> bool {
        self.inherited.in_flight == 0
    }

    /// Whether no object of the takeover is to be planned in a lane.
    pub(super) fn inherited_planned(&self, lane: Lane) -> bool {
        self.inherited.due.get(lane as usize).is_none_or(|due| *due == 0)
    }

    /// Whether a lane has nothing to plan.
    pub(super) fn is_empty(&self, lane: Lane) -> bool {
        let mut parts = self.parts.range((lane, 0)..=(lane, u64::MAX));
        self.due.get(lane as usize).is_none_or(BTreeSet::is_empty) && parts.next().is_none()
    }

    /// Objects of a lane that are to be planned.
    pub(super) fn due(&self, lane: Lane) -> usize {
        let parts = self.parts.range((lane, 0)..=(lane, u64::MAX));
        let apart: usize = parts.map(|(_, objects)| objects.len()).sum();
        self.due.get(lane as usize).map_or(0, BTreeSet::len) + apart
    }

    /// Whether any object of a lane waits for a locator that another transaction is creating.
    pub(super) fn awaits_locator(&self, lane: Lane) -> bool {
        let mut waiting = self.waiting.iter().filter(|(on, _)| matches!(on, Wait::Locator(_)));
        waiting.any(|(_, objects)| objects.iter().any(|object| object.lane() == lane))
    }

    /// The events that objects wait on.
    pub(super) fn waits(&self) -> impl Iterator<Item = &Wait> + '_ {
        self.waiting.keys()
    }

    /// When the next object is tried again.
    pub(super) fn next_retry(&self) -> Option<Time> {
        self.retries.first().map(|(until, _)| *until)
    }

    /// Whether any object is on the wire.
    pub(super) fn has_in_flight(&self) -> bool {
        self.in_flight > 0
    }

    /// Objects that differ and are not on the wire.
    pub(super) fn pending(&self) -> usize {
        self.entries.len() - self.in_flight
    }

    /// Objects that cannot be written for now.
    pub(super) fn left(&self) -> usize {
        self.retries.len() + self.waiting.values().map(BTreeSet::len).sum::<usize>()
    }

    /// Objects that wait, and on what.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&Object, &Wait)> + '_ {
        let waiting = self.waiting.iter();
        waiting.flat_map(|(on, objects)| objects.iter().map(move |object| (object, on)))
    }

    /// Objects in quarantine, and why.
    pub(super) fn quarantined(&self) -> impl Iterator<Item = (&Object, &str)> + '_ {
        let retries = self
            .retries
            .iter()
            .filter_map(|(_, object)| self.entries.get_key_value(object));
        retries.filter_map(|(object, entry)| {
            let State::Quarantined { reason, .. } = &entry.state else {
                return None;
            };
            Some((object, reason.as_str()))
        })
    }

    /// An object whose time has come: alone if it failed before, otherwise with its lane.
    fn look_again(&mut self, object: Object) {
        let Some(Entry {
            state,
            cause,
            attempts,
            inherited,
        }) = self.remove(&object)
        else {
            return;
        };
        let candidate = Candidate {
            object,
            cause,
            attempts,
            inherited,
        };
        let (State::Waiting { lane, .. } | State::BackOff { lane, .. } | State::Quarantined { lane, .. }) = state
        else {
            return self.place_due(candidate);
        };
        if attempts == 0 {
            return self.place_due(candidate);
        }
        let part = self.next_part();
        self.place(candidate, State::Split { lane, part });
    }

    /// Objects of a rejected transaction are tried apart from all others.
    fn split(&mut self, lane: Lane, objects: Vec<Object>) {
        let part = self.next_part();
        for object in objects {
            if let Some(candidate) = self.take_one(object) {
                self.place(candidate, State::Split { lane, part });
            }
        }
    }

    fn next_part(&mut self) -> u64 {
        self.parts_so_far += 1;
        self.parts_so_far
    }

    fn take_one(&mut self, object: Object) -> Option<Candidate> {
        let Entry {
            cause,
            attempts,
            inherited,
            ..
        } = self.remove(&object)?;
        Some(Candidate {
            object,
            cause,
            attempts,
            inherited,
        })
    }

    fn place_due(&mut self, candidate: Candidate) {
        let lane = candidate.object.lane();
        self.place(candidate, State::Due { lane });
    }

    /// Gives an object that stands nowhere a state, in the map and in the index of that state.
    fn place(&mut self, candidate: Candidate, state: State) {
        let Candidate {
            object,
            cause,
            attempts,
            inherited,
        } = candidate;
        debug_assert!(!self.entries.contains_key(&object), "it was taken before");
        match &state {
            State::Due { lane } => {
                if let Some(due) = self.due.get_mut(*lane as usize) {
                    due.insert(object.clone());
                }
            }
            State::Split { lane, part } => {
                self.parts.entry((*lane, *part)).or_default().insert(object.clone());
            }
            State::InFlight { .. } => self.in_flight += 1,
            State::Waiting { on, .. } => {
                self.waiting.entry(*on).or_default().insert(object.clone());
            }
            State::BackOff { until, .. } | State::Quarantined { until, .. } => {
                self.retries.insert((*until, object.clone()));
            }
        }
        if inherited && let Some(count) = self.inherited.count(&state) {
            *count += 1;
        }
        let entry = Entry {
            state,
            cause,
            attempts,
            inherited,
        };
        self.entries.insert(object, entry);
    }

    /// Removes an object from the map and from the index of its state.
    fn remove(&mut self, object: &Object) -> Option<Entry> {
        let entry = self.entries.remove(object)?;
        if entry.inherited
            && let Some(count) = self.inherited.count(&entry.state)
        {
            *count -= 1;
        }
        match &entry.state {
            State::Due { lane } => {
                if let Some(due) = self.due.get_mut(*lane as usize) {
                    due.remove(object);
                }
            }
            State::Split { lane, part } => remove_from(&mut self.parts, &(*lane, *part), object),
            State::InFlight { .. } => self.in_flight -= 1,
            State::Waiting { on, .. } => remove_from(&mut self.waiting, on, object),
            State::BackOff { until, .. } | State::Quarantined { until, .. } => {
                self.retries.remove(&(*until, object.clone()));
            }
        }
        Some(entry)
    }
}

impl Entry {
    /// An object on the wire is marked again: the takeover does not wait for more than the present answer.
    fn stays_inherited(&mut self, counts: &mut Inherited, stays: bool) {
        if self.inherited && !stays {
            self.inherited = false;
            counts.in_flight -= 1;
        }
    }
}

impl Inherited {
    /// The count that an object of a takeover in this state belongs to.
    fn count(&mut self, state: &State) -> Option<&mut usize> {
        match state {
            State::Due { lane } | State::Split { lane, .. } => self.due.get_mut(*lane as usize),
            State::InFlight { .. } => Some(&mut self.in_flight),
            State::Waiting { .. } | State::BackOff { .. } | State::Quarantined { .. } => None,
        }
    }
}

fn remove_from<K: Ord>(index: &mut BTreeMap<K, BTreeSet<Object>>, key: &K, object: &Object) {
    if let Some(objects) = index.get_mut(key) {
        objects.remove(object);
        if objects.is_empty() {
            index.remove(key);
        }
    }
}

fn back_off(attempts: u32) -> Duration {
    RETRY_FIRST * 2u32.saturating_pow(attempts.saturating_sub(1).min(16))
}

#[cfg(test)]
mod tests;
