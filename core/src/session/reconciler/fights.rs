//! Fights: objects that another client changes as often as they are repaired.
//!
//! The first repair is made at once. Each further one waits longer, so that two programs that undo each other do not load
//! the switch. An object that nobody touches for a while is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::bounds::{FIGHT_LINE, FIGHT_QUIET, FIGHT_REPAIRS, REPAIR_FIRST, REPAIR_LONGEST};
use crate::event::Object;
use crate::time::Time;

/// Objects that were repaired lately.
#[derive(Clone, Debug, Default)]
pub(in crate::session) struct Fights {
    by_object: BTreeMap<Object, Fight>,
    forget_at: BTreeSet<(Time, Object)>,
    /// When the last line about fights was written.
    line_at: Option<Time>,
    /// Repairs since then.
    repairs: usize,
}

/// The repairs of an object.
#[derive(Clone, Debug)]
pub(in crate::session) struct Fight {
    /// Their number, without a quiet time between them.
    pub(in crate::session) repairs: u32,
    /// What the other client wrote last.
    pub(in crate::session) found: String,
    last: Time,
}

/// A line for the log about all fights.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::session) struct FightLine {
    /// Objects that are fought over.
    pub(in crate::session) objects: usize,
    /// Repairs since the last line.
    pub(in crate::session) repairs: usize,
}

impl Fight {
    fn pause(&self) -> Duration {
        let doubled = REPAIR_FIRST * 2u32.saturating_pow(self.repairs.saturating_sub(1).min(16));
        doubled.min(REPAIR_LONGEST)
    }

    fn is_on(&self) -> bool {
        self.repairs >= FIGHT_REPAIRS
    }
}

impl Fights {
    /// Until when an object is not to be repaired again.
    pub(super) fn until(&self, now: Time, object: &Object) -> Option<Time> {
        let fight = self.by_object.get(object)?;
        Some(fight.last + fight.pause()).filter(|until| *until > now)
    }

    /// An object is being repaired; `found` is what another client wrote. Answers the line that is due.
    pub(super) fn repaired(&mut self, now: Time, object: &Object, found: String) -> Option<FightLine> {
        self.repairs += 1;
        let before = self.by_object.remove(object);
        if let Some(before) = &before {
            self.forget_at.remove(&(before.last + FIGHT_QUIET, object.clone()));
        }
        let repairs = before.map_or(0, |before| before.repairs).saturating_add(1);
        let last = now;
        let fight = Fight { repairs, found, last };
        let is_on = fight.is_on();
        self.by_object.insert(object.clone(), fight);
        self.forget_at.insert((now + FIGHT_QUIET, object.clone()));
        let is_due = self.line_at.is_none_or(|at| at + FIGHT_LINE <= now);
        (is_on && is_due).then(|| {
            self.line_at = Some(now);
            FightLine {
                objects: self.all().count(),
                repairs: std::mem::take(&mut self.repairs),
            }
        })
    }

    /// Forgets objects that have been quiet for long enough.
    pub(super) fn forget(&mut self, now: Time) {
        while let Some((_, object)) = self.forget_at.first().filter(|(at, _)| *at <= now).cloned() {
            self.forget_at.pop_first();
            self.by_object.remove(&object);
        }
    }

    /// When the next object is forgotten.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.forget_at.first().map(|(at, _)| *at)
    }

    /// The objects that are fought over.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Object, &Fight)> + '_ {
        self.by_object.iter().filter(|(_, fight)| fight.is_on())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uuid;

    const OBJECT: Object = Object::Broadcast(Uuid(1));

    /// Repairs an object as soon as it may be. Answers the pauses in milliseconds.
    fn fight(fights: &mut Fights, repairs: usize) -> Vec<u128> {
        let mut now = Time::ORIGIN;
        let mut pauses = Vec::new();
        for _ in 0..repairs {
            fights.repaired(now, &OBJECT, "absent".into());
            let until = fights.until(now, &OBJECT).expect("a pause");
            pauses.push(until.since(now).as_millis());
            now = until;
            assert_eq!(fights.until(now, &OBJECT), None);
        }
        pauses
    }

    #[test]
    fn the_first_repair_is_made_at_once_and_the_next_wait_longer_and_longer() {
        let mut fights = Fights::default();
        assert_eq!(fights.until(Time::ORIGIN, &OBJECT), None);
        let pauses = [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000];
        assert_eq!(fight(&mut fights, 9), pauses);
    }

    #[test]
    fn an_object_that_stays_as_it_is_is_forgotten() {
        let mut fights = Fights::default();
        fight(&mut fights, 9);
        assert_eq!(fights.all().count(), 1);
        let at = fights.deadline().expect("a deadline");
        fights.forget(at);
        assert_eq!((fights.all().count(), fights.deadline()), (0, None));
        assert!(fights.by_object.is_empty());
    }

    #[test]
    fn one_line_a_minute_counts_all_repairs_since_the_last() {
        let mut fights = Fights::default();
        let mut now = Time::ORIGIN;
        let mut lines = Vec::new();
        for _ in 0..130 {
            for network in 0..2 {
                let object = Object::Broadcast(Uuid(network));
                lines.extend(fights.repaired(now, &object, "absent".into()));
            }
            now = now + Duration::from_secs(1);
        }
        let counts: Vec<_> = lines.iter().map(|line| (line.objects, line.repairs)).collect();
        assert_eq!(counts, [(1, 5), (2, 120), (2, 120)]);
    }
}
