//! Whether a plan runs the same way twice, and if not, where the two part.

use std::collections::VecDeque;

use tandem_sim::plan::Plan;
use tandem_sim::run::{Detail, Report, Run};
use tandem_sim::world::log::Entry;

use super::trial;

/// Runs the plan a second time. `false` if that was not the same.
///
/// The second run also writes down how each session stood, as a log does; that must change nothing. `None` if `go_on`
/// answered false.
pub(super) fn is_same_again(plan: &Plan, first: &Report, go_on: &dyn Fn() -> bool) -> Option<bool> {
    let second = trial::run(plan, Detail::Sessions, &mut |_| (), go_on)?;
    let outcome = |report: &Report| {
        (
            report.chain.clone(),
            report.steps,
            report.simulated_us,
            report.converged_us,
        )
    };
    Some(outcome(first) == outcome(&second) && first.violations == second.violations)
}

/// The first event in which two runs of a plan differ; `None` where one has ended.
pub(super) struct Difference {
    pub one: Option<Entry>,
    pub other: Option<Entry>,
}

/// Runs both, side by side, to where they part; `None` if they never do.
pub(super) fn first_difference(one: Run, other: Run) -> Option<Difference> {
    let (mut one, mut other) = (Side::new(one), Side::new(other));
    loop {
        let (left, right) = (one.next(), other.next());
        match (left, right) {
            (None, None) => return None,
            (Some(left), Some(right)) if same(&left, &right) => {}
            (one, other) => return Some(Difference { one, other }),
        }
    }
}

struct Side {
    run: Run,
    pending: VecDeque<Entry>,
}

impl Side {
    fn new(run: Run) -> Self {
        let pending = VecDeque::new();
        Self { run, pending }
    }

    fn next(&mut self) -> Option<Entry> {
        let pending = &mut self.pending;
        while pending.is_empty() && self.run.step(&mut |entry| pending.push_back(entry.clone())) {}
        pending.pop_front()
    }
}

/// How a session stood is not part of what happened.
fn same(one: &Entry, other: &Entry) -> bool {
    let text = |entry: &Entry| serde_json::to_string(&entry.event).unwrap_or_default();
    (one.id, one.at, &one.node, one.cause) == (other.id, other.at, &other.node, other.cause) && text(one) == text(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64) -> Plan {
        let text = format!("name = 'x'\nseed = {seed}\nduration = '2s'\n");
        Plan::parse(&text).expect("a plan")
    }

    #[test]
    fn a_plan_runs_the_same_way_twice() {
        let plan = plan(1);
        let report = trial::run(&plan, Detail::Chain, &mut |_| (), &|| true).expect("a report");
        assert_eq!(is_same_again(&plan, &report, &|| true), Some(true));
        assert!(first_difference(Run::new(&plan, Detail::Outcome), Run::new(&plan, Detail::Sessions)).is_none());
    }

    #[test]
    fn two_plans_part_at_an_event_that_is_found() {
        let report = trial::run(&plan(1), Detail::Chain, &mut |_| (), &|| true).expect("a report");
        assert_eq!(is_same_again(&plan(2), &report, &|| true), Some(false));
        let Difference { one, other } =
            first_difference(Run::new(&plan(1), Detail::Outcome), Run::new(&plan(2), Detail::Outcome))
                .expect("they differ");
        let (one, other) = (one.expect("an event"), other.expect("an event"));
        assert_eq!(one.id, other.id, "everything before it is the same");
        assert!(!same(&one, &other));
    }
}
