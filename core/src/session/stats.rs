//! The counts and times of a session. They are shown, and decide nothing.

use crate::event::{Lane, Object};
use crate::status::Takeover;
use crate::time::Time;

/// Times and counts of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Stats {
    /// When each milestone was reached, by its place in [`Milestone`].
    reached: [Option<Time>; 6],
    rows_written: usize,
    broadcast_rows: usize,
}

/// The steps of a takeover.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Milestone {
    Opened,
    Identified,
    MayWrite,
    Claimed,
    Read,
    Audited,
}

impl Stats {
    /// A milestone was reached. The first time counts.
    pub(super) fn reach(&mut self, milestone: Milestone, now: Time) {
        if let Some(reached) = self.reached.get_mut(milestone as usize) {
            reached.get_or_insert(now);
        }
    }

    /// The switch acknowledged a transaction.
    pub(super) fn acknowledge(&mut self, lane: Lane, objects: &[Object], rows: usize) {
        self.rows_written += rows;
        if lane == Lane::Broadcast {
            self.broadcast_rows += objects.len();
        }
    }

    /// Rows that the switch acknowledged.
    pub(super) fn rows_written(&self) -> usize {
        self.rows_written
    }

    /// Broadcast rows among them that were there before.
    pub(super) fn broadcast_rows(&self) -> usize {
        self.broadcast_rows
    }

    /// When each step of the takeover was reached, in milliseconds after `start`.
    pub(super) fn takeover(&self, start: Time) -> Takeover {
        let ms = |milestone: Milestone| {
            let reached = self.reached.get(milestone as usize).copied().flatten();
            reached.map(|at| at.since(start).as_secs_f64() * 1000.0)
        };
        Takeover {
            tls: ms(Milestone::Opened),
            identified: ms(Milestone::Identified),
            locked: ms(Milestone::MayWrite),
            claimed: ms(Milestone::Claimed),
            read: ms(Milestone::Read),
            audited: ms(Milestone::Audited),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ids::Uuid;

    #[test]
    fn a_milestone_counts_from_the_start_and_the_first_time() {
        let start = Time::ORIGIN + Duration::from_secs(5);
        let mut stats = Stats::default();
        stats.reach(Milestone::Claimed, start + Duration::from_millis(20));
        stats.reach(Milestone::Claimed, start + Duration::from_millis(30));
        let takeover = stats.takeover(start);
        assert_eq!((takeover.claimed, takeover.read), (Some(20.0), None));
    }

    #[test]
    fn only_acknowledged_broadcast_rows_count_as_such() {
        let mut stats = Stats::default();
        stats.acknowledge(Lane::Broadcast, &[Object::Broadcast(Uuid(1))], 1);
        stats.acknowledge(Lane::LogicalSwitches, &[Object::LogicalSwitch(Uuid(2))], 2);
        assert_eq!((stats.rows_written(), stats.broadcast_rows()), (3, 1));
    }
}
