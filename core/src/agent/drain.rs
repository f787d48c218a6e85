//! The drain: the agent notifies the proxies, then its sessions end, then its routes stay until another agent has them.

use super::Why;
use crate::bounds::{ANNOUNCE, DRAIN, LINGER, WITHDRAWAL_SKEW};
use crate::time::{Deadline, Time};

/// The progress of a drain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drain(Option<Progress>);

#[derive(Clone, Copy, Debug)]
struct Progress {
    stage: Stage,
    /// When to go on without waiting any longer.
    due: Time,
}

/// The stages of a drain, in their order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The proxies fetch the new grade.
    Announcing,
    /// The sessions release their switches and close.
    Closing,
    /// No session is left; copies of their routes stay until another agent advertises the routes.
    Lingering,
    /// It does, and other agents are about to receive that.
    Propagating,
    /// The process may exit.
    Over,
}

/// The commands of a drain to the sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// To release their switches and close.
    Release,
    /// To close at once.
    Close,
}

impl Drain {
    /// Whether a drain has begun.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The agent is to go.
    pub(super) fn begin(&mut self, now: Time) {
        let (stage, due) = (Stage::Announcing, now + ANNOUNCE);
        self.0.get_or_insert(Progress { stage, due });
    }

    /// Every proxy knows. Returns what the sessions are to do, if that is news.
    pub(super) fn on_announced(&mut self, now: Time) -> Option<Step> {
        let progress = self.0.as_mut().filter(|it| it.stage == Stage::Announcing)?;
        let (stage, due) = (Stage::Closing, now + DRAIN);
        *progress = Progress { stage, due };
        Some(Step::Release)
    }

    /// Goes on with what takes too long. Returns what the sessions are to do.
    pub(super) fn on_timeout(&mut self, now: Time) -> Option<Step> {
        let progress = self.0.as_mut().filter(|it| it.due <= now)?;
        match progress.stage {
            Stage::Announcing => self.on_announced(now),
            Stage::Closing => {
                progress.due = now + DRAIN;
                Some(Step::Close)
            }
            Stage::Lingering | Stage::Propagating | Stage::Over => None,
        }
    }

    /// No session is left; `awaits`: another agent has yet to advertise our routes. Returns whether the drain
    /// is over now, once.
    pub(super) fn conclude(&mut self, now: Time, awaits: bool) -> bool {
        let Some(progress) = &mut self.0 else { return false };
        let due = progress.due;
        let (stage, due) = match progress.stage {
            Stage::Announcing | Stage::Over => return false,
            Stage::Closing if awaits => (Stage::Lingering, now + LINGER),
            // Other agents are about to receive the routes that we have received.
            Stage::Lingering if !awaits => (Stage::Propagating, due.min(now + WITHDRAWAL_SKEW)),
            Stage::Lingering | Stage::Propagating if due > now => return false,
            Stage::Closing | Stage::Lingering | Stage::Propagating => (Stage::Over, now),
        };
        *progress = Progress { stage, due };
        stage == Stage::Over
    }

    /// When to go on without waiting any longer.
    pub(super) fn deadline(&self) -> Option<Deadline<Why>> {
        let Progress { stage, due: at } = self.0?;
        let why = match stage {
            Stage::Announcing => Why::AnnounceOverdue,
            Stage::Closing | Stage::Lingering | Stage::Propagating => Why::DrainOverdue,
            Stage::Over => return None,
        };
        Some(Deadline { at, why })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::diagram::{Transition, assert_in_book};

    fn due(drain: &Drain) -> Time {
        drain.deadline().expect("it goes on").at
    }

    /// A drain whose sessions have been asked to release their switches.
    fn closing() -> Drain {
        let mut drain = Drain::default();
        drain.begin(Time::ORIGIN);
        assert_eq!(drain.on_announced(Time::ORIGIN), Some(Step::Release));
        assert_eq!(drain.on_announced(Time::ORIGIN), None, "they were asked already");
        drain
    }

    #[test]
    fn a_proxy_that_does_not_poll_delays_the_drain_for_a_bounded_time() {
        let mut drain = Drain::default();
        assert_eq!(drain.on_announced(Time::ORIGIN), None, "no drain was asked for");
        drain.begin(Time::ORIGIN);
        assert_eq!(drain.on_timeout(Time::ORIGIN), None);
        assert_eq!(drain.on_timeout(due(&drain)), Some(Step::Release));
    }

    #[test]
    fn a_drain_that_is_asked_for_again_goes_on_as_it_was() {
        let mut drain = closing();
        let before = due(&drain);
        drain.begin(Time::ORIGIN + Duration::from_secs(1));
        assert_eq!(due(&drain), before);
        assert!(drain.conclude(Time::ORIGIN, false), "it was closing");
        drain.begin(Time::ORIGIN);
        assert_eq!(drain.deadline(), None, "it is over");
    }

    #[test]
    fn a_session_that_does_not_end_is_closed() {
        let mut drain = closing();
        let overdue = due(&drain);
        assert_eq!(drain.on_timeout(overdue), Some(Step::Close));
        assert!(drain.conclude(overdue, false));
        assert!(!drain.conclude(overdue, false), "it is over once");
        assert_eq!(drain.deadline(), None);
    }

    #[test]
    fn routes_stay_until_another_agent_advertises_them_and_a_moment_longer() {
        let mut drain = closing();
        assert!(!drain.conclude(Time::ORIGIN, true));
        assert!(!drain.conclude(Time::ORIGIN, true));
        assert!(!drain.conclude(Time::ORIGIN, false));
        assert_eq!(due(&drain), Time::ORIGIN + WITHDRAWAL_SKEW);
        assert!(drain.conclude(due(&drain), false));
    }

    #[test]
    fn routes_that_no_agent_takes_stay_for_a_bounded_time() {
        let mut drain = closing();
        assert!(!drain.conclude(Time::ORIGIN, true));
        assert_eq!(due(&drain), Time::ORIGIN + LINGER);
        assert!(drain.conclude(due(&drain), true));
    }

    #[test]
    fn routes_that_an_agent_takes_late_stay_no_longer_than_the_bound() {
        let mut drain = closing();
        drain.conclude(Time::ORIGIN, true);
        let last = due(&drain);
        assert!(!drain.conclude(Time::ORIGIN + (LINGER - WITHDRAWAL_SKEW / 2), false));
        assert_eq!(due(&drain), last);
    }

    #[test]
    fn the_book_shows_every_stage_of_a_drain() {
        let name = |stage: Stage| format!("{stage:?}").to_lowercase();
        let mut drain = Drain::default();
        drain.begin(Time::ORIGIN);
        drain.on_announced(Time::ORIGIN);
        let announced = drain.0.map_or(Stage::Announcing, |progress| progress.stage);
        let on = "every proxy has fetched it, or 5 s";
        let mut transitions: Vec<Transition> = vec![(name(Stage::Announcing), on, name(announced))];
        for from in [
            Stage::Announcing,
            Stage::Closing,
            Stage::Lingering,
            Stage::Propagating,
            Stage::Over,
        ] {
            for (awaits, wait) in [
                (true, DRAIN),
                (true, Duration::ZERO),
                (false, DRAIN),
                (false, Duration::ZERO),
            ] {
                let due = Time::ORIGIN + wait;
                let mut drain = Drain(Some(Progress { stage: from, due }));
                drain.conclude(Time::ORIGIN, awaits);
                let to = drain.0.map_or(from, |progress| progress.stage);
                let on = match (from, to) {
                    (Stage::Closing, Stage::Lingering) => "no session is left, but copies are",
                    (Stage::Closing, _) => "no session and no copy is left",
                    (_, Stage::Propagating) => "another agent exports the routes",
                    (Stage::Lingering, _) => "5 s",
                    (_, _) => "0.5 s",
                };
                let transition = (name(from), on, name(to));
                if from != to && !transitions.contains(&transition) {
                    transitions.push(transition);
                }
            }
        }
        assert_in_book(include_str!("../../../docs/src/session.md"), "drain", &transitions);
    }
}
