//! A smaller plan that fails in the same way: what is left is what it takes.
//!
//! Every step proposes a plan that is simpler in a fixed order (fewer faults, fewer nodes and rows, less workload,
//! more defaults, rounder and shorter times), and keeps it if it still fails. When no step finds anything more, that
//! is the answer: no fault of it can be left out.

mod search;
mod settings;
mod times;
mod topology;

use std::collections::BTreeSet;

use super::Plan;
pub use search::Progress;
use search::Search;

/// Makes `plan` smaller as long as `fails` returns true for the smaller plan, with at most `budget` calls.
///
/// `fails` must mean "the same check on the same objects"; otherwise the search ends at another failure. The result is
/// always a plan that failed (or `plan` itself), and one that [`Plan::check`] accepts.
pub fn shrink(plan: &Plan, fails: impl FnMut(&Plan) -> bool, budget: usize) -> Plan {
    shrink_with_progress(plan, fails, budget, |_| {})
}

/// As [`shrink`], with a progress report after each call.
pub fn shrink_with_progress(
    plan: &Plan,
    mut fails: impl FnMut(&Plan) -> bool,
    budget: usize,
    mut on_progress: impl FnMut(&Progress<'_>),
) -> Plan {
    let mut search = Search {
        best: plan.clone(),
        fails: &mut fails,
        on_progress: &mut on_progress,
        tried: BTreeSet::new(),
        runs: 0,
        budget,
    };
    loop {
        let before = search.best.clone();
        drop_faults(&mut search);
        topology::shrink(&mut search);
        settings::shrink(&mut search);
        times::shrink(&mut search);
        if search.best == before || search.is_spent() {
            return search.best;
        }
    }
}

/// Leaves out all faults, then halves, quarters, and so on down to single faults (Zeller's delta debugging).
fn drop_faults(search: &mut Search<'_>) {
    let mut size = search.best.faults.len();
    while size > 0 {
        // From the end: what comes last depends on the rest, and the rest not on it.
        let mut end = search.best.faults.len();
        while end > 0 {
            let start = end.saturating_sub(size);
            search.change(|plan| {
                plan.faults.drain(start..end);
            });
            end = start;
        }
        size /= 2;
    }
}

#[cfg(test)]
mod tests;
