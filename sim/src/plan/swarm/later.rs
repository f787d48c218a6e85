//! What later seeds have beside: certificates that end, boxes that share a name, disks, brakes, servers without room or without
//! locks, and networks that are lost for a while.
//! Each is drawn from a stream of its own, so that all else in the plan of a seed is as it would be without it.

use super::choices::Choices;
use crate::plan::{Configure, DiskFault, Fault, Plan, Role, Scheduled, Span};

const CERTIFICATES: u64 = 0x6365_7274;
const DISKS: u64 = 0x6469_736b;
const ROOM: u64 = 0x726f_6f6d;
const BRAKE: u64 = 0x6272_616b;
const LOSSES: u64 = 0x6c6f_7373;
const LOCKS: u64 = 0x6c6f_636b;
const CAPS: u64 = 0x6361_7073;
const MAINTENANCE: u64 = 0x6d61_696e;

pub(super) fn add(plan: &mut Plan) {
    let seed = plan.seed;
    add_certificates(plan, &mut Choices::of(seed, CERTIFICATES));
    add_disks(plan, &mut Choices::of(seed, DISKS));
    add_room(plan, &mut Choices::of(seed, ROOM));
    add_brake(plan, &mut Choices::of(seed, BRAKE));
    add_losses(plan, &mut Choices::of(seed, LOSSES));
    lose_locks(plan, &mut Choices::of(seed, LOCKS));
    add_cap(plan, &mut Choices::of(seed, CAPS));
    add_maintenance(plan, &mut Choices::of(seed, MAINTENANCE));
    plan.faults.sort_by_key(|fault| fault.at);
}

/// Switches with certificates in some plans; one of them ends and is issued again, or a box has the name of a switch.
fn add_certificates(plan: &mut Plan, choices: &mut Choices) {
    plan.switch.certificates = choices.percent(40);
    if !plan.switch.certificates {
        return;
    }
    if choices.percent(50) {
        let switch = any(plan, Role::Switch, choices);
        push(plan, choices, 120, Fault::Expire { switch });
    }
    if choices.percent(30) {
        let switch = any(plan, Role::Switch, choices);
        push(plan, choices, 180, Fault::Twin { switch });
    }
}

/// Agents that remember their configuration in half of the plans with control nodes, and files that go.
fn add_disks(plan: &mut Plan, choices: &mut Choices) {
    plan.agent.remember = plan.topology.control_nodes > 0 && choices.percent(50);
    if !plan.agent.remember {
        return;
    }
    let kinds = [DiskFault::Lost, DiskFault::Torn, DiskFault::Damaged, DiskFault::Old];
    for _ in 0..choices.count(0, 3) {
        let agent = any(plan, Role::Agent, choices);
        let how = choices.weighted(kinds.map(|kind| (1, kind)));
        let at = moment(plan, choices);
        let fault = Fault::Disk { agent, how };
        plan.faults.push(Scheduled { at, lasts: None, fault });
    }
}

/// A server without room for a while.
fn add_room(plan: &mut Plan, choices: &mut Choices) {
    if choices.percent(15) {
        let switch = any(plan, Role::Switch, choices);
        push(plan, choices, 30, Fault::Full { switch });
    }
}

/// A brake at the bound that is recommended.
fn add_brake(plan: &mut Plan, choices: &mut Choices) {
    if choices.percent(15) {
        plan.agent.brake_rows = 20;
    }
}

/// The configuration loses all networks but one, and has them again a moment or minutes later; at times under a brake.
fn add_losses(plan: &mut Plan, choices: &mut Choices) {
    if plan.topology.networks < 2 || !choices.percent(15) {
        return;
    }
    let what = Configure::LoseNetworks;
    for _ in 0..choices.count(1, 2) {
        let (lost, lasts) = (
            moment(plan, choices),
            choices.span(Span::millis(100), Span::seconds(150)),
        );
        let back = Span::millis((lost.as_micros() + lasts.as_micros()) / 1000);
        let faults = [lost, back].map(|at| (at, Fault::Configure { what }));
        let (lasts, faults) = (None, faults.into_iter());
        plan.faults
            .extend(faults.map(|(at, fault)| Scheduled { at, lasts, fault }));
    }
    if choices.percent(40) {
        plan.agent.brake_rows = 20;
    }
}

/// Servers without locks, at times with a manager that only reads. With two targets no agent would write to them.
fn lose_locks(plan: &mut Plan, choices: &mut Choices) {
    let (lockless, shared) = (choices.percent(15), choices.percent(30));
    if lockless && plan.topology.targets == 1 {
        plan.switch.lockless = true;
        plan.switch.sole_manager = shared;
        plan.switch.other_managers = usize::from(shared);
    }
}

/// Switches that take only small transactions.
fn add_cap(plan: &mut Plan, choices: &mut Choices) {
    let (capped, rows) = (
        choices.percent(15),
        choices.weighted([(1, 1), (1, 2), (2, 10), (1, 50)]),
    );
    plan.switch.rows_per_transaction_max = capped.then_some(rows);
}

/// Agents that an operator takes out of the proxies.
fn add_maintenance(plan: &mut Plan, choices: &mut Choices) {
    if choices.percent(15) {
        for _ in 0..choices.count(1, 3) {
            let agent = any(plan, Role::Agent, choices);
            push(plan, choices, 120, Fault::Maint { agent });
        }
    }
}

/// For a second or more, up to so many seconds.
fn push(plan: &mut Plan, choices: &mut Choices, most: u64, fault: Fault) {
    let (at, lasts) = (moment(plan, choices), choices.between(1000, most * 1000));
    plan.faults.push(Scheduled {
        at,
        lasts: Some(Span::millis(lasts)),
        fault,
    });
}

/// Early enough that what follows is seen.
fn moment(plan: &Plan, choices: &mut Choices) -> Span {
    let millis = plan.duration.as_micros() / 1000;
    Span::millis(choices.between(0, millis.saturating_sub(200_000)))
}

fn any(plan: &Plan, role: Role, choices: &mut Choices) -> String {
    role.node(choices.count(0, plan.topology.count(role).saturating_sub(1)))
}
