//! The counts and times of a session. They are shown, and decide nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::{Lane, Level, LogEvent, Object, What};
use crate::measures::{Measure, Measures, Request, Step};
use crate::status::Takeover;
use crate::time::Time;

/// Times and counts of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Stats {
    /// When each milestone was reached, by its place in [`Milestone`].
    reached: [Option<Time>; 6],
    rows_written: usize,
    broadcast_rows: usize,
    /// Warnings and errors, by their words.
    warnings: BTreeMap<&'static str, u64>,
    repairs: u64,
    /// How long things took since the driver asked last.
    measures: Measures,
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
        let Some(reached @ None) = self.reached.get_mut(milestone as usize) else {
            return;
        };
        *reached = Some(now);
        let step = match milestone {
            // The driver knows when the connection was accepted, and a standby waits for the lock.
            Milestone::Opened | Milestone::MayWrite => return,
            Milestone::Identified => (Step::Identified, Milestone::Opened),
            Milestone::Read => (Step::Read, Milestone::Identified),
            Milestone::Claimed => (Step::Claimed, Milestone::MayWrite),
            Milestone::Audited => (Step::Audited, Milestone::MayWrite),
        };
        if let (step, Some(from)) = (step.0, self.reached_at(step.1)) {
            self.measures.add(Measure::Takeover(step), now.since(from));
        }
    }

    /// The TLS handshake took so long.
    pub(super) fn secured(&mut self, took: Duration) {
        self.measures.add(Measure::Takeover(Step::Tls), took);
    }

    /// A request was answered after so long.
    pub(super) fn answered(&mut self, request: Request, took: Duration) {
        self.measures.add(Measure::Answer(request), took);
    }

    /// How long things took since this was asked last.
    pub(super) fn take_measures(&mut self) -> Measures {
        std::mem::take(&mut self.measures)
    }

    fn reached_at(&self, milestone: Milestone) -> Option<Time> {
        self.reached.get(milestone as usize).copied().flatten()
    }

    /// An event is reported. Warnings and errors are counted, because the log summarises those that are many.
    pub(super) fn count(&mut self, event: &What) {
        if event.level() >= Level::Warn {
            *self.warnings.entry(event.word()).or_default() += 1;
        }
    }

    /// Warnings and errors so far, by their words.
    pub(super) fn warnings(&self) -> BTreeMap<String, u64> {
        let counts = self.warnings.iter();
        counts.map(|(word, count)| ((*word).to_owned(), *count)).collect()
    }

    /// The switch acknowledged a transaction.
    pub(super) fn acknowledge(&mut self, lane: Lane, objects: &[Object], rows: usize) {
        self.rows_written += rows;
        if lane == Lane::Broadcast {
            self.broadcast_rows += objects.len();
        }
    }

    /// An object that another client had changed is being repaired.
    pub(super) fn count_repair(&mut self) {
        self.repairs += 1;
    }

    /// Repairs of what other clients changed.
    pub(super) fn repairs(&self) -> u64 {
        self.repairs
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
            self.reached_at(milestone)
                .map(|at| at.since(start).as_secs_f64() * 1000.0)
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
    fn the_steps_of_a_takeover_contain_no_time_of_waiting_for_the_lock() {
        let at = |seconds| Time::ORIGIN + Duration::from_secs(seconds);
        let mut stats = Stats::default();
        stats.reach(Milestone::Opened, at(0));
        stats.reach(Milestone::Identified, at(1));
        stats.reach(Milestone::Read, at(3));
        // A day on standby.
        stats.reach(Milestone::MayWrite, at(86_400));
        stats.reach(Milestone::Claimed, at(86_404));
        stats.reach(Milestone::Audited, at(86_405));
        stats.reach(Milestone::Audited, at(90_000));
        let measures = stats.take_measures();
        let took = |step| {
            let histogram = measures.of(Measure::Takeover(step));
            (histogram.count, histogram.sum.as_secs())
        };
        let steps = [Step::Tls, Step::Identified, Step::Read, Step::Claimed, Step::Audited].map(took);
        assert_eq!(steps, [(0, 0), (1, 1), (1, 2), (1, 4), (1, 5)]);
        assert!(stats.take_measures().is_empty(), "taken once");
    }

    #[test]
    fn only_acknowledged_broadcast_rows_count_as_such() {
        let mut stats = Stats::default();
        stats.acknowledge(Lane::Broadcast, &[Object::Broadcast(Uuid(1))], 1);
        stats.acknowledge(Lane::LogicalSwitches, &[Object::LogicalSwitch(Uuid(2))], 2);
        assert_eq!((stats.rows_written(), stats.broadcast_rows()), (3, 1));
    }
}
