//! TLS handshakes with switches that fail again and again: each switch that a proxy sends to this agent is lost to it.
//!
//! An agent without connections attracts switches wherever the proxy counts connections. So after some failures without
//! a success it is distrusted for a while, then tried again: the first failure of a trial ends it, with a longer pause, and
//! a success ends everything. While a session serves a switch, failures say nothing about the agent.

use std::time::Duration;

use crate::bounds::{HANDSHAKE_FAILURES, HANDSHAKE_FAILURES_FOR, HANDSHAKE_PAUSE_FIRST, HANDSHAKE_PAUSE_LONGEST};
use crate::time::Time;

/// How handshakes went since the last that succeeded.
#[derive(Clone, Debug, Default)]
pub(super) struct Handshakes {
    failures: u32,
    /// The first of these failures.
    since: Option<Time>,
    distrusted: Option<Distrusted>,
}

#[derive(Clone, Copy, Debug)]
struct Distrusted {
    until: Time,
    pause: Duration,
}

impl Handshakes {
    /// A handshake failed for a reason that may be this agent's.
    pub(super) fn on_failed(&mut self, now: Time) {
        self.failures = self.failures.saturating_add(1);
        let since = *self.since.get_or_insert(now);
        let pause = match self.distrusted {
            Some(Distrusted { until, .. }) if now < until => return,
            Some(Distrusted { pause, .. }) => (pause * 2).min(HANDSHAKE_PAUSE_LONGEST),
            None if self.failures < HANDSHAKE_FAILURES || now.since(since) < HANDSHAKE_FAILURES_FOR => return,
            None => HANDSHAKE_PAUSE_FIRST,
        };
        let until = now + pause;
        self.distrusted = Some(Distrusted { until, pause });
    }

    /// A handshake succeeded, or a session serves a switch.
    pub(super) fn on_success(&mut self) {
        *self = Self::default();
    }

    /// Whether handshakes keep failing, and the next trial is yet to come.
    pub(super) fn keep_failing(&self, now: Time) -> bool {
        self.trial_at().is_some_and(|at| now < at)
    }

    /// When the next trial begins, or began.
    pub(super) fn trial_at(&self) -> Option<Time> {
        self.distrusted.map(|distrusted| distrusted.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ORIGIN + Duration::from_secs(seconds)
    }

    /// Handshakes that have failed each second until they are distrusted, and when that was.
    fn distrusted() -> (Handshakes, u64) {
        let mut handshakes = Handshakes::default();
        for second in 0..60 {
            handshakes.on_failed(at(second));
            if handshakes.keep_failing(at(second)) {
                return (handshakes, second);
            }
        }
        panic!("never distrusted");
    }

    #[test]
    fn handshakes_are_distrusted_after_several_failures_over_some_time() {
        let (_, second) = distrusted();
        assert_eq!(Duration::from_secs(second), HANDSHAKE_FAILURES_FOR);
        let mut burst = Handshakes::default();
        (0..100).for_each(|_| burst.on_failed(at(0)));
        assert!(!burst.keep_failing(at(0)), "all of one moment may have one cause");
        let mut rare = Handshakes::default();
        (0..u64::from(HANDSHAKE_FAILURES) - 1).for_each(|n| rare.on_failed(at(n * 100)));
        assert!(!rare.keep_failing(at(1000)));
    }

    #[test]
    fn a_trial_that_fails_is_followed_by_a_longer_pause() {
        let (mut handshakes, _) = distrusted();
        let mut pauses = Vec::new();
        for _ in 0..5 {
            let trial = handshakes.trial_at().expect("a trial");
            assert!(!handshakes.keep_failing(trial));
            handshakes.on_failed(trial);
            pauses.push(handshakes.trial_at().expect("another").since(trial));
        }
        let expected = [2, 4, 8].map(|factor| HANDSHAKE_PAUSE_FIRST * factor);
        assert_eq!(pauses[..3], expected);
        assert_eq!(pauses[3..], [HANDSHAKE_PAUSE_LONGEST; 2]);
    }

    #[test]
    fn failures_during_a_pause_prolong_nothing() {
        let (mut handshakes, second) = distrusted();
        let trial = handshakes.trial_at();
        handshakes.on_failed(at(second + 1));
        assert_eq!(handshakes.trial_at(), trial);
    }

    #[test]
    fn a_success_ends_the_distrust_and_the_count() {
        let (mut handshakes, second) = distrusted();
        handshakes.on_success();
        assert!(!handshakes.keep_failing(at(second)));
        handshakes.on_failed(at(second + 1));
        assert!(!handshakes.keep_failing(at(second + 1)));
    }
}
