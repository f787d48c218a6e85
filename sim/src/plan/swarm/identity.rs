//! Faults of identity, drawn from a stream of their own: all else in the plan of a seed is as it would be without them.

use super::choices::Choices;
use crate::plan::{Fault, Intrusion, Plan, Role, Scheduled, Span};

/// In some plans with control nodes, an intruder or two.
pub(super) fn add(plan: &mut Plan, choices: &mut Choices) {
    let control_nodes = plan.topology.control_nodes;
    if control_nodes == 0 || !choices.percent(30) {
        return;
    }
    for _ in 0..choices.count(1, 2) {
        let millis = plan.duration.as_micros() / 1000;
        let at = Span::millis(choices.between(0, millis.saturating_sub(20_000)));
        let lasts = Span::millis(choices.between(1000, 60_000));
        let control = Role::Control.node(choices.count(0, control_nodes - 1));
        let how = choices.weighted(Intrusion::ALL.map(|how| (1, how)));
        plan.faults.push(Scheduled {
            at,
            lasts: Some(lasts),
            fault: Fault::Intrude { control, how },
        });
    }
    plan.faults.sort_by_key(|fault| fault.at);
}
