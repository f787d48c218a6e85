//! Fewer nodes, networks and rows.

use super::Search;
use crate::plan::{Plan, Role};

pub(super) fn shrink(search: &mut Search<'_>) {
    for role in Role::ALL {
        for index in (0..search.best.topology.count(role)).rev() {
            let plan = without_node(&search.best, role, index);
            search.propose(plan);
        }
    }
    towards(search, 1, |plan| &mut plan.topology.targets);
    towards(search, 1, |plan| &mut plan.topology.networks);
    towards(search, 0, |plan| &mut plan.topology.remote_macs);
    towards(search, 0, |plan| &mut plan.topology.local_macs);
    towards(search, 0, |plan| &mut plan.switch.foreign);
}

/// Goes to `least` at once, or by steps that are halved each time.
fn towards(search: &mut Search<'_>, least: usize, number: fn(&mut Plan) -> &mut usize) {
    let now = *number(&mut search.best);
    let mut step = now.saturating_sub(least);
    while step > 0 {
        while search.change(|plan| {
            let number = number(plan);
            *number = number.saturating_sub(step);
        }) {}
        step /= 2;
    }
}

/// Without this node and the faults that name it. The nodes after it move up, and so do their names.
fn without_node(plan: &Plan, role: Role, index: usize) -> Plan {
    let mut plan = plan.clone();
    let gone = role.node(index);
    plan.faults
        .retain(|fault| fault.fault.nodes().iter().all(|(name, _)| *name != gone));
    for later in index + 1..plan.topology.count(role) {
        let (old, new) = (role.node(later), role.node(later - 1));
        let names = plan.faults.iter_mut().flat_map(|fault| fault.fault.names_mut());
        for name in names.filter(|name| **name == old) {
            name.clone_from(&new);
        }
    }
    let count = match role {
        Role::Switch => &mut plan.topology.switches,
        Role::Agent => &mut plan.topology.agents,
        Role::Proxy => &mut plan.topology.proxies,
        Role::Control => &mut plan.topology.control_nodes,
        Role::VRouter => &mut plan.topology.vrouters,
    };
    *count = count.saturating_sub(1);
    plan
}
