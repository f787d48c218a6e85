//! Which objects may differ from what is wanted, in which order they are looked at, and what some wait for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::Why;
use crate::bounds::{ATTEMPTS, QUARANTINE, RETRY_FIRST};
use crate::event::{Lane, Object};
use crate::ids::{Uuid, Vni};
use crate::time::{Deadline, Time};

/// Objects to look at: each stands in one place only.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    /// To be looked at, and whether somebody else's change made it so.
    due: [BTreeMap<Object, Cause>; Lane::ALL.len()],
    /// Parts of a transaction that failed as a whole, and objects that failed alone: each is tried by itself.
    parts: [VecDeque<Vec<Object>>; Lane::ALL.len()],
    /// On the wire; looked at again when the answer comes.
    in_flight: BTreeSet<Object>,
    waiting: BTreeMap<Reason, BTreeSet<Object>>,
    failing: BTreeMap<Object, Failing>,
    retries: BTreeSet<(Time, Object)>,
}

/// Why an object is to be looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// What is wanted changed, or an audit found it, or we wrote it.
    Ours,
    /// The switch reported a change that we did not make.
    Theirs,
}

/// What an object waits for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// Another transaction is just creating the locator of this tunnel end.
    Locator(Ipv4Addr),
    /// Another logical switch, by its row, has the VNI.
    Vni { tunnel_key: i64, holder: Uuid },
    /// A transaction on the wire gives the VNI to another logical switch.
    VniUnderWay(Vni),
    /// Nothing is deleted before everything that could want it is known.
    Incomplete,
    /// Ports are still bound to the logical switch.
    Bound,
    /// The switch has not yet taken back the MACs that it learned in the logical switch.
    LocalMacs,
}

/// An object that was refused when it was alone in its transaction.
#[derive(Clone, Debug)]
struct Failing {
    lane: Lane,
    attempts: u32,
    /// Left alone until then; `None` while it is being tried.
    until: Option<Time>,
    reason: String,
}

impl Lanes {
    /// An object may differ. One that is in flight is looked at anyway when its answer comes, and one that
    /// keeps failing when its time comes.
    pub fn mark(&mut self, object: Object, cause: Cause) {
        let failing = self.failing.get(&object).is_some_and(|failing| failing.until.is_some());
        if !failing && !self.in_flight.contains(&object) {
            let lane = object.lane();
            self.lane(lane).entry(object).or_insert(cause);
        }
    }

    /// An object was made right by somebody else: there is nothing to look at.
    pub fn unmark(&mut self, object: &Object) {
        self.lane(object.lane()).remove(object);
        self.lane(Lane::Deletions).remove(object);
    }

    /// What is not wanted any more goes last.
    pub fn mark_deletion(&mut self, object: Object, cause: Cause) {
        self.lane(Lane::Deletions).insert(object, cause);
    }

    /// The next object of a lane.
    pub fn take(&mut self, lane: Lane) -> Option<(Object, Cause)> {
        self.lane(lane).pop_first()
    }

    /// The next objects of a lane that are tried by themselves.
    pub fn take_part(&mut self, lane: Lane) -> Option<Vec<Object>> {
        self.parts.get_mut(lane as usize)?.pop_front()
    }

    /// Whether a lane has nothing to look at.
    pub fn is_empty(&self, lane: Lane) -> bool {
        self.due.get(lane as usize).is_none_or(BTreeMap::is_empty)
            && self.parts.get(lane as usize).is_none_or(VecDeque::is_empty)
    }

    /// Whether objects of a lane wait for a locator that another transaction is creating.
    pub fn awaits_locator(&self, lane: Lane) -> bool {
        let mut waiting = self
            .waiting
            .iter()
            .filter(|(reason, _)| matches!(reason, Reason::Locator(_)));
        waiting.any(|(_, objects)| objects.iter().any(|object| object.lane() == lane))
    }

    /// Whether anything waits for this.
    pub fn awaits(&self, reason: Reason) -> bool {
        self.waiting.contains_key(&reason)
    }

    /// Whether an object is on the wire.
    pub fn is_in_flight(&self, object: &Object) -> bool {
        self.in_flight.contains(object)
    }

    /// Whether no lane has anything to look at.
    pub fn all_empty(&self) -> bool {
        Lane::ALL.iter().all(|lane| self.is_empty(*lane))
    }

    /// An object has to wait.
    pub fn wait(&mut self, object: Object, reason: Reason) {
        self.waiting.entry(reason).or_default().insert(object);
    }

    /// What objects waited for may have happened.
    pub fn release(&mut self, happened: impl Fn(&Reason) -> bool) {
        let reasons: Vec<Reason> = self.waiting.keys().filter(|reason| happened(reason)).copied().collect();
        for reason in reasons {
            for object in self.waiting.remove(&reason).unwrap_or_default() {
                match self.failing.get(&object) {
                    Some(Failing { until: None, lane, .. }) => self.try_apart(*lane, vec![object]),
                    Some(_) | None => self.mark(object, Cause::Ours),
                }
            }
        }
    }

    /// Objects go on the wire.
    pub fn sent(&mut self, objects: &[Object]) {
        self.in_flight.extend(objects.iter().cloned());
    }

    /// A transaction was applied: look again at each of its objects.
    pub fn applied(&mut self, objects: Vec<Object>) {
        for object in objects {
            self.in_flight.remove(&object);
            self.failing.remove(&object);
            self.mark(object, Cause::Ours);
        }
    }

    /// An object is as wanted, whoever made it so.
    pub fn right(&mut self, object: &Object) {
        self.failing.remove(object);
    }

    /// A transaction was refused. Several objects are tried in two halves; one alone is tried again later.
    /// Answers the object if it failed too often.
    pub fn refused(&mut self, now: Time, lane: Lane, mut objects: Vec<Object>, reason: &str) -> Option<Object> {
        for object in &objects {
            self.in_flight.remove(object);
        }
        if objects.len() > 1 {
            let rest = objects.split_off(objects.len() / 2);
            self.try_apart(lane, objects);
            self.try_apart(lane, rest);
            return None;
        }
        let object = objects.pop()?;
        let failing = self.failing.entry(object.clone()).or_insert(Failing {
            lane,
            attempts: 0,
            until: None,
            reason: String::new(),
        });
        failing.lane = lane;
        failing.attempts = failing.attempts.saturating_add(1);
        failing.reason = reason.into();
        let quarantined = failing.attempts >= ATTEMPTS;
        let until = now
            + if quarantined {
                QUARANTINE
            } else {
                back_off(failing.attempts)
            };
        failing.until = Some(until);
        self.retries.insert((until, object.clone()));
        Some(object).filter(|_| quarantined)
    }

    /// Objects whose time has come are tried again, each alone: others shall not fail with it.
    pub fn retry(&mut self, now: Time) {
        while self.retries.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, object)) = self.retries.pop_first() else {
                return;
            };
            if let Some(failing) = self.failing.get_mut(&object) {
                failing.until = None;
                let lane = failing.lane;
                self.try_apart(lane, vec![object]);
            }
        }
    }

    /// What is wanted changed: what failed and what waited may succeed now.
    pub fn forgive(&mut self) {
        self.retries.clear();
        for object in std::mem::take(&mut self.failing).into_keys() {
            self.mark(object, Cause::Ours);
        }
        self.release(|_| true);
    }

    /// When an object is tried again.
    pub fn deadline(&self) -> Option<Deadline<Why>> {
        let (first, _) = self.retries.first()?;
        Some(Deadline {
            at: *first,
            why: Why::RetryDue,
        })
    }

    /// Objects that differ and are not on the wire.
    pub fn pending(&self) -> usize {
        let due: usize = self.due.iter().map(BTreeMap::len).sum();
        let parts: usize = self.parts.iter().flatten().map(Vec::len).sum();
        due + parts + self.left()
    }

    /// Objects that cannot be written for now.
    pub fn left(&self) -> usize {
        self.failing.len() + self.waiting.values().map(BTreeSet::len).sum::<usize>()
    }

    /// Objects that wait, and for what.
    pub fn waiting(&self) -> impl Iterator<Item = (&Object, &Reason)> + '_ {
        self.waiting
            .iter()
            .flat_map(|(reason, objects)| objects.iter().map(move |object| (object, reason)))
    }

    /// Objects in quarantine, and why.
    pub fn quarantine(&self) -> impl Iterator<Item = (&Object, &str)> + '_ {
        let failed = self.failing.iter().filter(|(_, failing)| failing.attempts >= ATTEMPTS);
        failed.map(|(object, failing)| (object, failing.reason.as_str()))
    }

    fn try_apart(&mut self, lane: Lane, objects: Vec<Object>) {
        if let Some(parts) = self.parts.get_mut(lane as usize) {
            parts.push_back(objects);
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut BTreeMap<Object, Cause> {
        let [broadcast, bindings, logical_switches, unicast, deletions] = &mut self.due;
        match lane {
            Lane::Broadcast => broadcast,
            Lane::Bindings => bindings,
            Lane::LogicalSwitches => logical_switches,
            Lane::Unicast => unicast,
            Lane::Deletions => deletions,
        }
    }
}

fn back_off(attempts: u32) -> Duration {
    RETRY_FIRST * 2u32.saturating_pow(attempts.saturating_sub(1).min(16))
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locator(vtep) => write!(f, "the locator of {vtep} is just being created"),
            Self::Vni { tunnel_key, holder } => {
                write!(f, "VNI {tunnel_key} is still in use by logical switch {holder}")
            }
            Self::VniUnderWay(vni) => write!(f, "VNI {vni} is just being given to another logical switch"),
            Self::Incomplete => f.write_str("not deleted before everything that could want it is known"),
            Self::Bound => f.write_str("ports are still bound to it"),
            Self::LocalMacs => f.write_str("the switch has not yet taken back the MACs that it learned"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(n: u128) -> Vec<Object> {
        (0..n).map(|network| Object::Broadcast(Uuid(network))).collect()
    }

    #[test]
    fn a_failed_transaction_is_split_until_the_culprit_stands_alone() {
        let mut lanes = Lanes::default();
        let culprit = Object::Broadcast(Uuid(5));
        let (mut alone, mut others) = (0, 0);
        let lane = Lane::Broadcast;
        lanes.try_apart(lane, objects(8));
        while let Some(part) = lanes.take_part(lane) {
            lanes.sent(&part);
            if !part.contains(&culprit) {
                others += part.len();
            } else {
                alone += usize::from(part.len() == 1);
                lanes.refused(Time::ORIGIN, lane, part, "no");
            }
        }
        assert_eq!((alone, others), (1, 7));
    }

    #[test]
    fn an_object_that_keeps_failing_is_quarantined_and_tried_again_after_it() {
        let mut lanes = Lanes::default();
        let mut now = Time::ORIGIN;
        let object = Object::LogicalSwitch(Uuid(1));
        for attempt in 1..=ATTEMPTS {
            let quarantined = lanes.refused(now, Lane::LogicalSwitches, vec![object.clone()], "no");
            assert_eq!(quarantined.is_some(), attempt == ATTEMPTS);
            lanes.mark(object.clone(), Cause::Ours);
            assert!(lanes.all_empty(), "left alone until its time comes");
            now = lanes.deadline().expect("a retry").at;
            lanes.retry(now);
            assert_eq!(lanes.take_part(Lane::LogicalSwitches), Some(vec![object.clone()]));
        }
        assert_eq!(lanes.quarantine().count(), 1);
        lanes.forgive();
        assert_eq!(lanes.quarantine().count(), 0);
    }

    #[test]
    fn what_is_in_flight_is_looked_at_again_when_its_answer_comes() {
        let mut lanes = Lanes::default();
        lanes.sent(&objects(1));
        lanes.mark(Object::Broadcast(Uuid(0)), Cause::Theirs);
        assert!(lanes.all_empty());
        lanes.applied(objects(1));
        assert!(!lanes.is_empty(Lane::Broadcast));
    }

    #[test]
    fn a_wait_ends_when_its_reason_does() {
        let mut lanes = Lanes::default();
        lanes.wait(Object::LogicalSwitch(Uuid(1)), Reason::Incomplete);
        lanes.release(|reason| *reason == Reason::Bound);
        assert!(lanes.all_empty());
        lanes.release(|reason| *reason == Reason::Incomplete);
        assert!(!lanes.is_empty(Lane::LogicalSwitches));
    }
}
