//! Whether the line is alive: T of silence and an echo goes out, 2T and the session closes.

use std::time::Duration;

use crate::bounds::{DUMP_SILENCE, PROBE_ANSWER};
use crate::session::Why;
use crate::time::{Deadline, Time};

/// Any byte is a sign of life, a partial message too, and makes an echo needless.
#[derive(Clone, Debug)]
pub(super) struct Keepalive {
    /// T; `None` is off.
    interval: Option<Duration>,
    last_received: Time,
    /// When an echo went out, if no byte has come since.
    echoed: Option<Time>,
    /// The same, until its own answer has come.
    unanswered: Option<Time>,
    /// A byte must come by then, because something makes us doubt the line.
    probe_due: Option<Time>,
    /// Echoes that went out because an interval was silent.
    pub(super) misses: u64,
}

/// The action after a silence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Nothing yet.
    Wait,
    /// Send an echo.
    Echo,
    /// Close: silent for so long.
    Dead(Duration),
}

impl Keepalive {
    /// Starts with the connection.
    pub(super) fn new(now: Time, interval: Option<Duration>) -> Self {
        Self {
            interval,
            last_received: now,
            echoed: None,
            unanswered: None,
            probe_due: None,
            misses: 0,
        }
    }

    /// T changed in the configuration.
    pub(super) fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval;
    }

    /// Bytes came, any bytes.
    pub(super) fn received(&mut self, now: Time) {
        self.last_received = now;
        self.echoed = None;
        self.probe_due = None;
    }

    /// The last echo was answered. Returns when it went out.
    pub(super) fn answered(&mut self) -> Option<Time> {
        self.unanswered.take()
    }

    /// Another connection makes us doubt that the line is alive: a byte is due within a second. The caller sends an
    /// echo.
    pub(super) fn probe(&mut self, now: Time) {
        self.probe_due.get_or_insert(now + PROBE_ANSWER);
    }

    /// The action now. While a dump is awaited, the server answers nothing.
    pub(super) fn check(&mut self, now: Time, dump_awaited: bool) -> Verdict {
        let Some(deadline) = self.deadline(dump_awaited).filter(|deadline| deadline.at <= now) else {
            return Verdict::Wait;
        };
        if deadline.why == Why::KeepaliveDue {
            self.echoed = Some(now);
            self.unanswered = Some(now);
            self.misses += 1;
            return Verdict::Echo;
        }
        Verdict::Dead(now.since(self.last_received))
    }

    /// When to check.
    pub(super) fn deadline(&self, dump_awaited: bool) -> Option<Deadline<Why>> {
        let proof = self.probe_due.map(|due| Deadline {
            at: if dump_awaited {
                due.max(self.last_received + DUMP_SILENCE)
            } else {
                due
            },
            why: Why::ProofOverdue,
        });
        let silence = self.interval.map(|interval| match self.echoed {
            None => Deadline {
                at: self.last_received + interval,
                why: Why::KeepaliveDue,
            },
            Some(echoed) => {
                let silence = if dump_awaited { DUMP_SILENCE } else { Duration::ZERO };
                // An echo that went out late, because T changed or we were asleep, has its T all the same.
                let answer_due = echoed + interval;
                Deadline {
                    at: answer_due.max(self.last_received + silence.max(interval * 2)),
                    why: Why::KeepaliveOverdue,
                }
            }
        });
        Deadline::earliest([proof, silence])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Time {
        Time::ORIGIN + Duration::from_secs(seconds)
    }

    #[test]
    fn an_echo_goes_out_after_t_and_the_line_is_dead_after_2t() {
        let mut keepalive = Keepalive::new(at(0), Some(T));
        assert_eq!(keepalive.check(at(9), false), Verdict::Wait);
        assert_eq!(keepalive.check(at(10), false), Verdict::Echo);
        assert_eq!(keepalive.check(at(19), false), Verdict::Wait);
        assert_eq!(keepalive.check(at(20), false), Verdict::Dead(2 * T));
    }

    #[test]
    fn any_byte_in_the_interval_makes_the_echo_needless() {
        let mut keepalive = Keepalive::new(at(0), Some(T));
        for second in [9, 18, 27] {
            assert_eq!(keepalive.check(at(second), false), Verdict::Wait);
            keepalive.received(at(second));
        }
        assert_eq!(keepalive.misses, 0);
    }

    #[test]
    fn while_a_dump_is_awaited_the_server_may_be_silent_for_a_minute() {
        let mut keepalive = Keepalive::new(at(0), Some(Duration::from_secs(1)));
        assert_eq!(keepalive.check(at(1), true), Verdict::Echo);
        assert_eq!(keepalive.check(at(59), true), Verdict::Wait);
        assert!(matches!(keepalive.check(at(60), true), Verdict::Dead(_)));
    }

    #[test]
    fn an_echo_that_goes_out_late_has_its_time_for_an_answer() {
        let mut keepalive = Keepalive::new(at(0), Some(T));
        assert_eq!(keepalive.check(at(35), false), Verdict::Echo);
        assert_eq!(keepalive.check(at(44), false), Verdict::Wait);
        assert_eq!(keepalive.check(at(45), false), Verdict::Dead(Duration::from_secs(45)));
    }

    #[test]
    fn zero_is_off_but_a_doubt_still_wants_its_proof() {
        let mut keepalive = Keepalive::new(at(0), None);
        assert_eq!(keepalive.deadline(false), None);
        keepalive.probe(at(100));
        assert_eq!(keepalive.check(at(101), false), Verdict::Dead(Duration::from_secs(101)));
        keepalive.received(at(101));
        assert_eq!(keepalive.check(at(200), false), Verdict::Wait);
    }
}
