//! One run from beginning to end, whatever happens in it.

use std::collections::BTreeSet;

use tandem_core::Time;
use tandem_sim::check::Violation;
use tandem_sim::plan::Plan;
use tandem_sim::run::{Detail, Report, Run};
use tandem_sim::world::log::Entry;

use super::panics;

/// Runs to the end, or until `go_on` answers false: then there is no report. `observe` gets every event.
///
/// A panic is a violation of `panic` whose object is its place.
pub(super) fn run(
    plan: &Plan,
    detail: Detail,
    observe: &mut dyn FnMut(&Entry),
    go_on: &dyn Fn() -> bool,
) -> Option<Report> {
    let mut begun: Option<Run> = None;
    let mut last = (0, Time::ORIGIN);
    let caught = panics::catch(|| {
        let run = begun.insert(Run::new(plan, detail));
        let mut watch = |entry: &Entry| {
            last = (entry.id, entry.at);
            observe(entry);
        };
        while run.step(&mut watch) {
            if !go_on() {
                return false;
            }
        }
        true
    });
    let (entry, at) = last;
    let panic = match caught {
        Ok(true) => return begun.map(|run| run.finish(|_| ())),
        Ok(false) => return None,
        Err(panic) => Violation {
            check: "panic",
            at,
            entry,
            objects: BTreeSet::from([panic.place]),
            what: panic.text,
        },
    };
    Some(Report {
        plan: plan.name.clone(),
        seed: plan.seed,
        violations: vec![panic],
        excused: 0,
        missed: None,
        chain: begun.as_ref().and_then(Run::chain).map(|chain| chain.to_string()),
        steps: begun.as_ref().map_or(0, |run| run.world().steps()),
        entries: entry,
        simulated_us: at.micros(),
        converged_us: None,
        failovers: Vec::new(),
        missing_us: Default::default(),
    })
}

/// The first of what is wrong, as check and sentence.
pub(super) fn wrong(report: &Report) -> Option<(&str, String)> {
    let violation = report.violations.first().map(|found| (found.check, found.what.clone()));
    let missed = report.missed.as_deref();
    violation.or_else(|| missed.map(|check| (check, format!("by the plan {check} must fail, and it did not"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: &str = "name = 'x'\nseed = 1\nduration = '1s'\n";

    #[test]
    fn a_panic_in_a_run_is_a_violation_at_the_event_before_it() {
        let mut last = 0;
        let mut observe = |entry: &Entry| {
            last = entry.id;
            assert!(entry.id < 5, "too much");
        };
        let report = run(&plan(), Detail::Outcome, &mut observe, &|| true).expect("a report");
        let [violation] = &report.violations[..] else {
            panic!("{report:?}")
        };
        assert_eq!(
            (violation.check, violation.entry, violation.what.as_str()),
            ("panic", 5, "too much")
        );
        assert!(
            violation.objects.iter().all(|place| place.contains("trial.rs:")),
            "{violation:?}"
        );
    }

    #[test]
    fn a_run_stops_on_request() {
        assert!(run(&plan(), Detail::Outcome, &mut |_| (), &|| false).is_none());
    }

    fn plan() -> Plan {
        Plan::parse(SHORT).expect("a plan")
    }
}
