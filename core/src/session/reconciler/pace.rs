//! The pace of a lane. A refusal for lack of room is a statement about the server, not about a row: the lane stops, one
//! transaction after another probes whether there is room again, and each that succeeds is followed by one of twice its
//! size, until the lane has its full speed back.

use std::time::Duration;

use crate::bounds::{ROOM_PROBE_FIRST, ROWS_PER_TRANSACTION};
use crate::event::Object;
use crate::time::Time;

/// The pace of a lane.
#[derive(Clone, Debug, Default)]
pub(super) enum Pace {
    /// As many transactions as there is a place for.
    #[default]
    Full,
    /// Nothing is written until then.
    Stopped(Stop),
    /// One transaction at a time, of so many rows.
    Probing { rows: usize, stop: Stop },
}

/// Why and for how long a lane stopped.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    /// When the next transaction probes.
    until: Time,
    pause: Duration,
    /// The words of the server.
    pub(super) reason: String,
    /// The last object of the transaction that was refused: the next probe begins behind it.
    after: Option<Object>,
}

impl Pace {
    /// The server refused a transaction for lack of room, or because it takes none. The pause between two probes doubles
    /// up to `longest`. Answers whether the lane had its full speed until now.
    pub(super) fn refused(&mut self, now: Time, reason: &str, after: Option<Object>, longest: Duration) -> bool {
        let (pause, first) = match self {
            Self::Full => (ROOM_PROBE_FIRST, true),
            // A transaction that was on its way already.
            Self::Stopped(_) => return false,
            Self::Probing { rows: 1, stop } => ((stop.pause * 2).min(longest), false),
            Self::Probing { .. } => (ROOM_PROBE_FIRST, false),
        };
        *self = Self::Stopped(Stop {
            until: now + pause,
            pause,
            reason: reason.into(),
            after,
        });
        first
    }

    /// The server applied a transaction. Answers whether that gives the lane its full speed back: it has applied enough, or
    /// nothing is left to write.
    pub(super) fn applied(&mut self, is_done: bool) -> bool {
        let Self::Probing { rows, .. } = self else { return false };
        *rows *= 2;
        let full = *rows > ROWS_PER_TRANSACTION || is_done;
        if full {
            *self = Self::Full;
        }
        full
    }

    /// Time has passed: a lane that stopped may probe. Answers whether it has its full speed back, because nothing is left
    /// to write.
    pub(super) fn resume(&mut self, now: Time, is_done: bool) -> bool {
        let stop = match self {
            Self::Stopped(stop) if stop.until <= now => stop.clone(),
            Self::Probing { stop, .. } if is_done => stop.clone(),
            Self::Full | Self::Stopped(_) | Self::Probing { .. } => return false,
        };
        *self = match is_done {
            true => Self::Full,
            false => Self::Probing { rows: 1, stop },
        };
        is_done
    }

    /// Why the lane has not its full speed.
    pub(super) fn stop(&self) -> Option<&Stop> {
        match self {
            Self::Full => None,
            Self::Stopped(stop) | Self::Probing { stop, .. } => Some(stop),
        }
    }

    /// When the next transaction probes, if the lane waits for that.
    pub(super) fn probe_at(&self) -> Option<Time> {
        match self {
            Self::Stopped(stop) => Some(stop.until),
            Self::Full | Self::Probing { .. } => None,
        }
    }

    /// Whether a transaction may be sent, where one of the lane is on the wire or not.
    pub(super) fn admits(&self, on_the_wire: bool) -> bool {
        match self {
            Self::Full => true,
            Self::Stopped(_) => false,
            Self::Probing { .. } => !on_the_wire,
        }
    }

    /// Rows of the next transaction.
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Full => usize::MAX,
            Self::Stopped(_) => 0,
            Self::Probing { rows, .. } => *rows,
        }
    }

    /// The object behind which the next transaction begins, so that no single object can keep all others waiting.
    pub(super) fn after(&self) -> Option<&Object> {
        self.stop()?.after.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::ROOM_PROBE_LONGEST;

    fn probes(pace: &mut Pace) -> Vec<u64> {
        let mut now = Time::ORIGIN;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pace.refused(now, "no room", None, ROOM_PROBE_LONGEST);
            let at = pace.probe_at().expect("it stopped");
            pauses.push(at.since(now).as_secs());
            now = at;
            assert!(!pace.admits(false));
            pace.resume(now, false);
            assert!(pace.admits(false) && !pace.admits(true));
        }
        pauses
    }

    #[test]
    fn one_transaction_probes_after_pauses_that_double_up_to_a_bound() {
        assert_eq!(probes(&mut Pace::default()), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn each_probe_that_succeeds_doubles_the_next_until_the_lane_has_its_full_speed() {
        let mut pace = Pace::default();
        assert!(
            pace.refused(Time::ORIGIN, "no room", None, ROOM_PROBE_LONGEST),
            "the first"
        );
        assert!(
            !pace.refused(Time::ORIGIN, "no room", None, ROOM_PROBE_LONGEST),
            "it was on its way"
        );
        pace.resume(Time::ORIGIN + ROOM_PROBE_FIRST, false);
        let mut rows = vec![pace.rows()];
        while !pace.applied(false) {
            rows.push(pace.rows());
        }
        assert_eq!(rows, [1, 2, 4, 8, 16, 32, 64]);
        assert!(pace.stop().is_none() && pace.admits(true));
    }

    #[test]
    fn a_lane_with_nothing_left_to_write_has_its_full_speed_back() {
        let mut pace = Pace::default();
        let resumed = Time::ORIGIN + ROOM_PROBE_FIRST;
        pace.refused(Time::ORIGIN, "no room", None, ROOM_PROBE_LONGEST);
        assert!(!pace.resume(Time::ORIGIN, true), "it may come to something yet");
        assert!(pace.resume(resumed, true) && pace.stop().is_none());
        pace.refused(Time::ORIGIN, "no room", None, ROOM_PROBE_LONGEST);
        assert!(!pace.resume(resumed, false) && pace.resume(resumed, true));
        assert!(!pace.resume(resumed, true), "once");
    }

    #[test]
    fn a_refusal_after_progress_begins_with_the_shortest_pause() {
        let mut pace = Pace::default();
        probes(&mut pace);
        pace.applied(false);
        let now = Time::ORIGIN;
        pace.refused(now, "no room", None, ROOM_PROBE_LONGEST);
        assert_eq!(pace.probe_at(), Some(now + ROOM_PROBE_FIRST));
    }
}
