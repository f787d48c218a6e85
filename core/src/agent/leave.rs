//! Switches leave the agent by order, and its process stays: all of them until it is to resume, or one that moves.
//!
//! Meanwhile the agent's grade is `draining`, so that proxies send the switches to the other agent.

use super::Why;
use super::order::OrderId;
use crate::bounds::{ANNOUNCE, MOVE};
use crate::ids::SwitchName;
use crate::time::{Deadline, Time};

/// The progress of such an order.
#[derive(Clone, Debug, Default)]
pub(super) struct Leave(Option<Leaving>);

#[derive(Clone, Debug)]
struct Leaving {
    scope: Scope,
    stage: Stage,
}

/// Which switches leave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Scope {
    /// Every switch.
    All,
    /// One, and the order that awaits its end.
    One(SwitchName, OrderId),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The proxies fetch the grade, until then at most.
    Announcing(Time),
    /// The sessions were released; one switch has until then to reach the other agent.
    Released(Time),
}

/// What follows when time has passed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// The sessions with these switches are to be released.
    Release(Scope),
    /// A switch has not reached the other agent in time.
    Missed(SwitchName, OrderId),
}

impl Leave {
    /// Whether switches leave, or have left.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether every switch leaves, or has left.
    pub(super) fn is_all(&self) -> bool {
        self.0.as_ref().is_some_and(|leaving| leaving.scope == Scope::All)
    }

    /// Whether the proxies know.
    pub(super) fn is_announced(&self) -> bool {
        let released = |leaving: &Leaving| matches!(leaving.stage, Stage::Released(_));
        self.0.as_ref().is_some_and(released)
    }

    /// Switches are to leave.
    pub(super) fn begin(&mut self, now: Time, scope: Scope) {
        let stage = Stage::Announcing(now + ANNOUNCE);
        self.0 = Some(Leaving { scope, stage });
    }

    /// Switches are taken again. Returns the move that this ends.
    pub(super) fn end(&mut self) -> Option<(SwitchName, OrderId)> {
        match self.0.take()?.scope {
            Scope::All => None,
            Scope::One(switch, id) => Some((switch, id)),
        }
    }

    /// The switch that moves.
    pub(super) fn moving(&self) -> Option<&SwitchName> {
        match &self.0.as_ref()?.scope {
            Scope::All => None,
            Scope::One(switch, _) => Some(switch),
        }
    }

    /// Every proxy knows. Returns what leaves, once.
    pub(super) fn on_announced(&mut self, now: Time) -> Option<Scope> {
        let announcing = |leaving: &&mut Leaving| matches!(leaving.stage, Stage::Announcing(_));
        let leaving = self.0.as_mut().filter(announcing)?;
        leaving.stage = Stage::Released(now + MOVE);
        Some(leaving.scope.clone())
    }

    /// Goes on with what takes too long.
    pub(super) fn on_timeout(&mut self, now: Time) -> Option<Step> {
        let leaving = self.0.as_ref()?;
        match (leaving.stage, &leaving.scope) {
            (Stage::Announcing(due), _) if due <= now => self.on_announced(now).map(Step::Release),
            (Stage::Released(due), Scope::One(..)) if due <= now => {
                self.end().map(|(switch, id)| Step::Missed(switch, id))
            }
            (Stage::Announcing(_) | Stage::Released(_), _) => None,
        }
    }

    /// When to go on without waiting any longer.
    pub(super) fn deadline(&self) -> Option<Deadline<Why>> {
        let leaving = self.0.as_ref()?;
        match (leaving.stage, &leaving.scope) {
            (Stage::Announcing(at), _) => Some(Deadline {
                at,
                why: Why::AnnounceOverdue,
            }),
            (Stage::Released(at), Scope::One(..)) => Some(Deadline {
                at,
                why: Why::MoveOverdue,
            }),
            (Stage::Released(_), Scope::All) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Scope {
        Scope::One("tor1".into(), OrderId(7))
    }

    #[test]
    fn switches_are_released_when_the_proxies_know_or_have_not_polled_in_time() {
        for scope in [Scope::All, one()] {
            let mut leave = Leave::default();
            leave.begin(Time::ORIGIN, scope.clone());
            assert!(leave.is_on() && !leave.is_announced());
            let mut late = leave.clone();
            assert_eq!(leave.on_announced(Time::ORIGIN), Some(scope.clone()));
            assert_eq!(leave.on_announced(Time::ORIGIN), None, "once");
            assert!(leave.is_announced());
            assert_eq!(late.on_timeout(Time::ORIGIN), None);
            assert_eq!(late.deadline().map(|it| it.at), Some(Time::ORIGIN + ANNOUNCE));
            assert_eq!(late.on_timeout(Time::ORIGIN + ANNOUNCE), Some(Step::Release(scope)));
        }
    }

    #[test]
    fn all_switches_stay_away_until_resumed_and_one_has_a_bound() {
        let mut all = Leave::default();
        all.begin(Time::ORIGIN, Scope::All);
        all.on_announced(Time::ORIGIN);
        assert_eq!((all.deadline(), all.is_all()), (None, true));
        assert_eq!(all.end(), None);
        assert!(!all.is_on());

        let mut one_leaves = Leave::default();
        one_leaves.begin(Time::ORIGIN, one());
        one_leaves.on_announced(Time::ORIGIN);
        assert_eq!(one_leaves.deadline().map(|it| it.at), Some(Time::ORIGIN + MOVE));
        let missed = Step::Missed("tor1".into(), OrderId(7));
        assert_eq!(one_leaves.on_timeout(Time::ORIGIN + MOVE), Some(missed));
        assert!(!one_leaves.is_on());
    }
}
