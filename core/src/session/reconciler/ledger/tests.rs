//! The ledger by itself, and whether its indexes follow its map whatever happens.

use super::*;
use crate::ids::{Mac, Uuid};
use proptest::prelude::*;

impl Ledger {
    /// Fails unless every index holds exactly the objects that the map has.
    fn check(&self) {
        let mut expected = Self::default();
        for (object, entry) in &self.entries {
            let candidate = Candidate {
                object: object.clone(),
                cause: entry.cause,
                attempts: entry.attempts,
                inherited: entry.inherited,
            };
            expected.place(candidate, entry.state.clone());
        }
        assert_eq!(self.due, expected.due);
        assert_eq!(self.parts, expected.parts);
        assert_eq!(self.waiting, expected.waiting);
        assert_eq!(self.retries, expected.retries);
        assert_eq!(self.in_flight, expected.in_flight);
        assert_eq!(self.inherited, expected.inherited);
    }

    /// Puts the due objects of a lane on the wire.
    fn send_all(&mut self, lane: Lane) -> Vec<Object> {
        let mut sent = Vec::new();
        while let Some(candidate) = self.take(lane, None) {
            sent.push(candidate.object.clone());
            self.sent(candidate, true);
        }
        sent
    }
}

fn network(n: u128) -> Object {
    Object::Broadcast(Uuid(n))
}

fn marked(objects: impl IntoIterator<Item = Object>) -> Ledger {
    let mut ledger = Ledger::default();
    for object in objects {
        ledger.mark(object, Cause::Ours);
    }
    ledger
}

#[test]
fn a_failed_transaction_is_split_until_the_culprit_stands_alone() {
    let lane = Lane::Broadcast;
    let mut ledger = marked((0..8).map(network));
    let (mut alone, mut others) = (0, 0);
    let mut batch = ledger.send_all(lane);
    while !batch.is_empty() {
        if batch.contains(&network(5)) {
            alone += usize::from(batch.len() == 1);
            ledger.rejected(Time::ORIGIN, lane, batch, "no");
        } else {
            others += batch.len();
            ledger.applied(batch);
        }
        batch = Vec::new();
        for candidate in ledger.take_part(lane) {
            batch.push(candidate.object.clone());
            ledger.sent(candidate, true);
        }
        ledger.check();
    }
    assert_eq!((alone, others), (1, 7));
}

#[test]
fn an_object_that_keeps_failing_is_quarantined_and_tried_again_after_it() {
    let lane = Lane::LogicalSwitches;
    let object = Object::LogicalSwitch(Uuid(1));
    let mut ledger = marked([object.clone()]);
    let mut batch = ledger.send_all(lane);
    for attempt in 1..=ATTEMPTS {
        let quarantined = ledger.rejected(Time::ORIGIN, lane, batch, "no");
        assert_eq!(quarantined.is_some(), attempt == ATTEMPTS);
        ledger.mark(object.clone(), Cause::Ours);
        assert!(ledger.is_empty(lane), "left alone until its time comes");
        assert_eq!(ledger.quarantined().count(), usize::from(attempt == ATTEMPTS));
        ledger.retry(ledger.next_retry().expect("a retry"));
        let part = ledger.take_part(lane);
        batch = part.iter().map(|candidate| candidate.object.clone()).collect();
        assert_eq!(batch, std::slice::from_ref(&object));
        part.into_iter().for_each(|candidate| ledger.sent(candidate, true));
    }
    ledger.rejected(Time::ORIGIN, lane, batch, "no");
    ledger.retry_all();
    assert_eq!(ledger.quarantined().count(), 0);
    assert!(!ledger.is_empty(lane));
}

#[test]
fn failures_before_an_object_was_applied_count_no_more() {
    let mut ledger = marked([network(0)]);
    let mut batch = ledger.send_all(Lane::Broadcast);
    for _ in 1..ATTEMPTS {
        ledger.rejected(Time::ORIGIN, Lane::Broadcast, batch, "no");
        ledger.retry(ledger.next_retry().expect("a retry"));
        let part = ledger.take_part(Lane::Broadcast);
        batch = part.iter().map(|candidate| candidate.object.clone()).collect();
        part.into_iter().for_each(|candidate| ledger.sent(candidate, true));
    }
    ledger.mark(network(0), Cause::Theirs);
    ledger.applied(batch);
    let batch = ledger.send_all(Lane::Broadcast);
    assert_eq!(ledger.rejected(Time::ORIGIN, Lane::Broadcast, batch, "no"), None);
    assert_eq!(ledger.next_retry(), Some(Time::ORIGIN + RETRY_FIRST));
}

#[test]
fn failures_before_the_desired_state_changed_count_no_more() {
    let mut ledger = marked([network(0)]);
    for _ in 0..=ATTEMPTS {
        let batch = ledger.send_all(Lane::Broadcast);
        assert_eq!(ledger.rejected(Time::ORIGIN, Lane::Broadcast, batch, "no"), None);
        assert_eq!(ledger.next_retry(), Some(Time::ORIGIN + RETRY_FIRST));
        ledger.retry_all();
    }
}

#[test]
fn what_changes_while_it_is_in_flight_is_planned_again_when_its_answer_comes() {
    let mut ledger = marked((0..2).map(network));
    let batch = ledger.send_all(Lane::Broadcast);
    ledger.mark(network(0), Cause::Theirs);
    assert!(ledger.is_empty(Lane::Broadcast));
    ledger.applied(batch);
    let due = ledger.take(Lane::Broadcast, None).expect("an object");
    assert_eq!((due.object, due.cause), (network(0), Cause::Theirs));
    assert_eq!(ledger.take(Lane::Broadcast, None), None);
}

#[test]
fn what_a_transaction_does_not_write_as_a_whole_is_planned_again() {
    let mut ledger = marked([network(0)]);
    let candidate = ledger.take(Lane::Broadcast, None).expect("an object");
    ledger.sent(candidate, false);
    ledger.applied(vec![network(0)]);
    assert!(!ledger.is_empty(Lane::Broadcast));
}

#[test]
fn a_wait_ends_when_its_reason_does() {
    let mut ledger = marked([network(0)]);
    let candidate = ledger.take(Lane::Broadcast, None).expect("an object");
    ledger.wait(candidate, Lane::Broadcast, Wait::Incomplete);
    ledger.release(|on| *on == Wait::Bound);
    assert!(ledger.is_empty(Lane::Broadcast));
    ledger.release(|on| *on == Wait::Incomplete);
    assert!(!ledger.is_empty(Lane::Broadcast));
}

#[test]
fn what_became_right_while_it_waited_or_failed_is_not_left() {
    for waits in [true, false] {
        let mut ledger = marked([network(0)]);
        if waits {
            let candidate = ledger.take(Lane::Broadcast, None).expect("an object");
            ledger.wait(candidate, Lane::Broadcast, Wait::Incomplete);
        } else {
            let batch = ledger.send_all(Lane::Broadcast);
            ledger.rejected(Time::ORIGIN, Lane::Broadcast, batch, "no");
        }
        assert_eq!((ledger.left(), ledger.pending()), (1, 1));
        ledger.unmark(&network(0));
        assert_eq!((ledger.left(), ledger.pending()), (0, 0));
    }
}

#[test]
fn what_is_desired_again_leaves_the_lane_of_deletions() {
    let object = Object::Unicast(Uuid(1), Mac([2; 6]));
    let mut ledger = marked([object.clone()]);
    let candidate = ledger.take(Lane::Unicast, None).expect("an object");
    ledger.delete_last(candidate);
    assert!(ledger.is_empty(Lane::Unicast));
    ledger.mark(object, Cause::Ours);
    assert!(ledger.is_empty(Lane::Deletions) && !ledger.is_empty(Lane::Unicast));
}

/// Something that may happen to a ledger.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Mark(u8, bool),
    Unmark(u8),
    Take(usize, Outcome),
    TakePart(usize, Outcome),
    Applied(usize),
    Rejected(usize),
    Release(bool),
    Retry(u64),
    RetryAll,
    Compared,
}

/// The outcome of a taken object.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Right,
    Sent(bool),
    Wait(bool),
    Delete,
    PutBack,
}

fn any_object(n: u8) -> Object {
    match n % 5 {
        0 => Object::Broadcast(Uuid(n.into())),
        1 => Object::LogicalSwitch(Uuid(n.into())),
        2 => Object::Unicast(Uuid(1), Mac([n; 6])),
        3 => Object::Strays(Uuid(n.into())),
        _ => Object::Port("tor1".into(), n.to_string().into()),
    }
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Right),
        any::<bool>().prop_map(Outcome::Sent),
        any::<bool>().prop_map(Outcome::Wait),
        Just(Outcome::Delete),
        Just(Outcome::PutBack),
    ]
}

fn happenings() -> impl Strategy<Value = Happening> {
    let (object, lane) = (0u8..20, 0..Lane::ALL.len());
    prop_oneof![
        4 => (object.clone(), any::<bool>()).prop_map(|(object, ours)| Happening::Mark(object, ours)),
        2 => object.prop_map(Happening::Unmark),
        4 => (lane.clone(), outcomes()).prop_map(|(lane, outcome)| Happening::Take(lane, outcome)),
        2 => (lane, outcomes()).prop_map(|(lane, outcome)| Happening::TakePart(lane, outcome)),
        2 => any::<usize>().prop_map(Happening::Applied),
        2 => any::<usize>().prop_map(Happening::Rejected),
        1 => any::<bool>().prop_map(Happening::Release),
        1 => (0u64..90).prop_map(Happening::Retry),
        1 => Just(Happening::RetryAll),
        1 => Just(Happening::Compared),
    ]
}

/// A ledger, and the transactions on the wire as a session knows them.
#[derive(Default)]
struct World {
    ledger: Ledger,
    now: Time,
    wire: Vec<(Lane, Vec<Object>)>,
}

impl World {
    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Mark(n, ours) => {
                let cause = if ours { Cause::Ours } else { Cause::Theirs };
                self.ledger.mark(any_object(n), cause);
            }
            Happening::Unmark(n) => self.ledger.unmark(&any_object(n)),
            Happening::Take(lane, outcome) => {
                let lane = Lane::ALL[lane];
                let taken = self.ledger.take(lane, None).into_iter().collect();
                self.decide(lane, taken, outcome);
            }
            Happening::TakePart(lane, outcome) => {
                let lane = Lane::ALL[lane];
                let taken = self.ledger.take_part(lane);
                self.decide(lane, taken, outcome);
            }
            Happening::Applied(n) if !self.wire.is_empty() => {
                let (_, objects) = self.wire.remove(n % self.wire.len());
                self.ledger.applied(objects);
            }
            Happening::Rejected(n) if !self.wire.is_empty() => {
                let (lane, objects) = self.wire.remove(n % self.wire.len());
                self.ledger.rejected(self.now, lane, objects, "no");
            }
            Happening::Applied(_) | Happening::Rejected(_) => {}
            Happening::Release(bound) => self.ledger.release(|on| (*on == Wait::Bound) == bound),
            Happening::Retry(seconds) => {
                self.now = self.now + Duration::from_secs(seconds);
                self.ledger.retry(self.now);
            }
            Happening::RetryAll => self.ledger.retry_all(),
            Happening::Compared => self.ledger.on_compared(),
        }
    }

    fn decide(&mut self, lane: Lane, taken: Vec<Candidate>, outcome: Outcome) {
        let mut sent = Vec::new();
        for candidate in taken {
            match outcome {
                Outcome::Right => {}
                Outcome::Sent(whole) => {
                    sent.push(candidate.object.clone());
                    self.ledger.sent(candidate, whole);
                }
                Outcome::Wait(bound) => {
                    let on = if bound { Wait::Bound } else { Wait::Incomplete };
                    self.ledger.wait(candidate, lane, on);
                }
                Outcome::Delete => self.ledger.delete_last(candidate),
                Outcome::PutBack => self.ledger.put_back(candidate),
            }
        }
        if !sent.is_empty() {
            self.wire.push((lane, sent));
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_each_object_stands_in_one_place_and_the_indexes_say_so(
        happenings in proptest::collection::vec(happenings(), 0..80),
    ) {
        let mut world = World::default();
        for happening in happenings {
            world.happens(happening);
            world.ledger.check();
            let on_the_wire: usize = world.wire.iter().map(|(_, objects)| objects.len()).sum();
            prop_assert_eq!(world.ledger.in_flight, on_the_wire);
        }
        // Nothing is lost: when every transaction is applied and every wait is over, all can be planned.
        for (_, objects) in std::mem::take(&mut world.wire) {
            world.ledger.applied(objects);
        }
        world.ledger.retry_all();
        let due: usize = Lane::ALL.into_iter().map(|lane| {
            let due = std::iter::from_fn(|| world.ledger.take(lane, None)).count();
            let parts = std::iter::from_fn(|| Some(world.ledger.take_part(lane)).filter(|part| !part.is_empty()));
            due + parts.flatten().count()
        }).sum();
        prop_assert!(world.ledger.entries.is_empty(), "{due} were planned");
    }
}

#[test]
fn a_takeover_waits_for_what_was_marked_before_everything_was_compared_and_for_nothing_else() {
    let lane = Lane::Broadcast;
    let mut ledger = marked([network(0), network(1)]);
    ledger.on_compared();
    ledger.mark(network(2), Cause::Ours);
    assert!(!ledger.inherited_planned(lane));
    let batch = ledger.send_all(lane);
    assert!(ledger.inherited_planned(lane) && !ledger.inherited_answered());
    // One of them changes again on the wire: that is new.
    ledger.mark(network(0), Cause::Theirs);
    ledger.applied(batch);
    assert!(ledger.inherited_answered() && ledger.inherited_planned(lane));
    assert!(!ledger.is_empty(lane), "the new change is still to be planned");
}
