//! Faults, and their times.

use super::choices::Choices;
use crate::plan::{Configure, DiskFault, Edit, Fault, Intrusion, Kind, Plan, Role, Scheduled, Span, TlsFault};
use crate::socket::CheckKind;

/// The faults of a plan, 5 to 30 of them and a burst or two more, in order of time.
pub(super) fn schedule(plan: &Plan, choices: &mut Choices) -> Vec<Scheduled> {
    let kinds = some_kinds(plan, choices);
    let moments = moments(plan, choices);
    let wanted = choices.count(5, 30);
    let mut faults: Vec<Scheduled> = Vec::new();
    // At most one lasts for ever; more would leave little to break.
    let mut for_ever = choices.percent(30);
    while faults.len() < wanted {
        let at = moment(plan, &moments, choices);
        let kind = one_kind(&kinds, choices);
        if matches!(kind, Kind::Isolate | Kind::Cut) && choices.percent(15) {
            faults.extend(burst(plan, at, kind, choices));
            continue;
        }
        let fault = fault(plan, kind, choices);
        let mut lasts = (!kind.is_momentary()).then(|| lasting(plan, at, &fault, choices));
        if for_ever && lasts.is_some() && may_outlast(plan, &fault) {
            (for_ever, lasts) = (false, None);
        }
        faults.push(Scheduled { at, lasts, fault });
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// The faults of control nodes and of their lines to agents, up to eight, among those that there are.
pub(super) fn add_of_control_nodes(plan: &mut Plan, choices: &mut Choices) {
    add_of(plan, Role::Control, Role::Agent, 8, choices);
}

/// The faults of vRouters and of their lines to control nodes, up to three.
pub(super) fn add_of_vrouters(plan: &mut Plan, choices: &mut Choices) {
    add_of(plan, Role::VRouter, Role::Control, 3, choices);
}

/// A switch or two get another tunnel end, in some plans with control nodes.
pub(super) fn add_moves(plan: &mut Plan, choices: &mut Choices) {
    if plan.topology.control_nodes == 0 || !choices.percent(30) {
        return;
    }
    for _ in 0..choices.count(1, 2) {
        let fault = Fault::Edit {
            switch: node(plan, Role::Switch, choices),
            what: Edit::MoveTunnelEnd,
        };
        let at = any_time(plan, choices);
        plan.faults.push(Scheduled { at, lasts: None, fault });
    }
    plan.faults.sort_by_key(|fault| fault.at);
}

/// At most `most` faults of nodes of one role, and of their links to nodes of another.
fn add_of(plan: &mut Plan, role: Role, with: Role, most: usize, choices: &mut Choices) {
    if plan.topology.count(role) == 0 {
        return;
    }
    for _ in 0..choices.count(0, most) {
        let at = any_time(plan, choices);
        let victim = node(plan, role, choices);
        let other = node(plan, with, choices);
        let fault = fault_between(plan, victim, other, choices);
        let lasts = (!fault.kind().is_momentary()).then(|| {
            // Long enough for hold timers, at times.
            let lasts = choices.span(Span::millis(100), Span::seconds(200));
            if may_outlast(plan, &fault) {
                lasts
            } else {
                lasts.min(rest(plan, at))
            }
        });
        plan.faults.push(Scheduled { at, lasts, fault });
    }
    plan.faults.sort_by_key(|fault| fault.at);
}

/// A fault of one node, or of its link to the other.
fn fault_between(plan: &Plan, victim: String, other: String, choices: &mut Choices) -> Fault {
    let probes = plan.switch.inactivity_probe != Some(Span::ZERO);
    let silent = if probes { 1 } else { 0 };
    let (from, to) = if choices.percent(50) {
        (victim.clone(), other)
    } else {
        (other, victim.clone())
    };
    let kinds = [
        (3, 0),
        (1, 1),
        (1, 2),
        (1, 3),
        (silent, 4),
        (2 * silent, 5),
        (2 * silent, 6),
    ];
    match choices.weighted(kinds) {
        0 => Fault::Crash { node: victim },
        1 => Fault::Reset { between: from, and: to },
        2 => Fault::Drift {
            node: victim,
            ppm: drift(choices),
        },
        3 => Fault::Slow {
            from,
            to,
            times: slowness(plan, choices),
        },
        4 => Fault::Jam { from, to },
        5 => Fault::Cut { from, to },
        _ => match choices.between(1, 3) {
            1 => Fault::PowerLoss { node: victim },
            2 => Fault::Pause { node: victim },
            _ => Fault::Isolate { node: victim },
        },
    }
}

/// Faults of the link between the two agents of a pair, up to three.
pub(super) fn add_of_pair(plan: &mut Plan, choices: &mut Choices) {
    if !plan.agent.pair {
        return;
    }
    for _ in 0..choices.count(0, 3) {
        let at = any_time(plan, choices);
        let [from, to] = choices
            .weighted([(1, [0, 1]), (1, [1, 0])])
            .map(|number| Role::Agent.node(number));
        let times = slowness(plan, choices);
        let fault = if choices.percent(50) && is_possible(plan, Kind::Cut) {
            Fault::Cut { from, to }
        } else {
            Fault::Slow { from, to, times }
        };
        let lasts = choices.span(Span::millis(100), Span::seconds(100)).min(rest(plan, at));
        plan.faults.push(Scheduled {
            at,
            lasts: Some(lasts),
            fault,
        });
    }
    plan.faults.sort_by_key(|fault| fault.at);
}

/// A random half, quarter or three quarters of the kinds, each with a weight of its own.
fn some_kinds(plan: &Plan, choices: &mut Choices) -> Vec<(u64, Kind)> {
    let chance = choices.weighted([(25, 25), (50, 50), (25, 75)]);
    let possible: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| is_possible(plan, *kind)).collect();
    let mut kinds = Vec::new();
    for kind in &possible {
        let weight = choices.scale(1, 8);
        if choices.percent(chance) {
            kinds.push((weight, *kind));
        }
    }
    if kinds.is_empty() {
        kinds.extend(choices.one(&possible).map(|kind| (1, kind)));
    }
    kinds
}

/// A switch without a probe does not notice silence, so it could never converge after it.
fn is_possible(plan: &Plan, kind: Kind) -> bool {
    let two_proxies = plan.topology.proxies == 2;
    let probes = plan.switch.inactivity_probe != Some(Span::ZERO);
    match kind {
        Kind::MoveVip | Kind::SplitVip => two_proxies && probes,
        Kind::PowerLoss | Kind::Pause | Kind::Cut | Kind::Isolate | Kind::Jam => probes,
        Kind::Crash
        | Kind::Drain
        | Kind::Slow
        | Kind::Reset
        | Kind::Reload
        | Kind::Reboot
        | Kind::Edit
        | Kind::Steal
        | Kind::Tls
        | Kind::Drift
        | Kind::TsnDeath
        | Kind::Configure => true,
        // An intruder has a stream of choices of its own, `identity`; the others occur in scenarios.
        Kind::Intrude | Kind::Twin | Kind::Expire | Kind::Disk | Kind::Undo | Kind::Full | Kind::Maint => false,
    }
}

fn one_kind(kinds: &[(u64, Kind)], choices: &mut Choices) -> Kind {
    let all: u64 = kinds.iter().map(|(weight, _)| weight).sum();
    let mut left = choices.between(1, all.max(1));
    for (weight, kind) in kinds {
        if left <= *weight {
            return *kind;
        }
        left -= weight;
    }
    Kind::Crash
}

/// The moments around which faults gather, if they do.
fn moments(plan: &Plan, choices: &mut Choices) -> Vec<Span> {
    let number = choices.weighted([(60, 0), (10, 1), (10, 2), (20, 4)]);
    (0..number).map(|_| any_time(plan, choices)).collect()
}

/// Any time, or within ten seconds of a moment, so that faults overlap.
fn moment(plan: &Plan, moments: &[Span], choices: &mut Choices) -> Span {
    match choices.one(moments) {
        None => any_time(plan, choices),
        Some(moment) => plus(moment, Span::millis(choices.between(0, 10_000))),
    }
}

/// Up to twenty seconds before the end.
fn any_time(plan: &Plan, choices: &mut Choices) -> Span {
    let millis = plan.duration.as_micros() / 1000;
    Span::millis(choices.between(0, millis.saturating_sub(20_000)))
}

/// A blink or a minute. What may not outlast the plan ends a second before it.
fn lasting(plan: &Plan, at: Span, fault: &Fault, choices: &mut Choices) -> Span {
    let lasts = choices.span(Span::millis(100), Span::seconds(60));
    if may_outlast(plan, fault) {
        lasts
    } else {
        lasts.min(rest(plan, at))
    }
}

fn rest(plan: &Plan, at: Span) -> Span {
    let end = plan.duration.as_micros().saturating_sub(1_000_000);
    Span::micros(end.saturating_sub(at.as_micros()))
}

/// Whether the rest of the system can see that a node is of no use, and go round it. An agent whose checks pass is
/// given connections for ever; a virtual IP stays at a proxy that cannot reach the agents.
fn may_outlast(plan: &Plan, fault: &Fault) -> bool {
    let probes = plan.switch.inactivity_probe != Some(Span::ZERO);
    match fault {
        Fault::Crash { .. }
        | Fault::PowerLoss { .. }
        | Fault::Isolate { .. }
        | Fault::Drain { .. }
        | Fault::Drift { .. } => probes,
        Fault::Pause { node } => {
            probes && (plan.proxy.check != CheckKind::Connect || plan.topology.role(node) != Some(Role::Agent))
        }
        Fault::Cut { .. }
        | Fault::Slow { .. }
        | Fault::Jam { .. }
        | Fault::Reset { .. }
        | Fault::Reload { .. }
        | Fault::MoveVip
        | Fault::SplitVip
        | Fault::Reboot { .. }
        | Fault::Edit { .. }
        | Fault::Steal { .. }
        | Fault::Tls { .. }
        | Fault::TsnDeath { .. }
        | Fault::Configure { .. }
        | Fault::Intrude { .. }
        | Fault::Twin { .. }
        | Fault::Expire { .. }
        | Fault::Disk { .. }
        | Fault::Undo { .. }
        | Fault::Full { .. }
        | Fault::Maint { .. } => false,
    }
}

/// Several are cut off one by one, and come back in another order: each heals into a world that has changed.
fn burst(plan: &Plan, at: Span, kind: Kind, choices: &mut Choices) -> Vec<Scheduled> {
    let nodes = choices.shuffled(plan.topology.nodes());
    let number = choices.count(2, nodes.len().clamp(2, 6));
    let step = choices.span(Span::millis(100), Span::seconds(5)).as_micros();
    let order = choices.shuffled((0..number as u64).collect());
    let mut faults = Vec::new();
    for ((node, healed), index) in nodes.into_iter().zip(order).zip(0..) {
        let at = plus(at, Span::micros(step * index));
        let lasts = Span::micros(step * (number as u64 - index + healed));
        let fault = if kind == Kind::Isolate {
            Fault::Isolate { node }
        } else {
            fault(plan, kind, choices)
        };
        let lasts = if may_outlast(plan, &fault) {
            lasts
        } else {
            lasts.min(rest(plan, at))
        };
        if at < plan.duration && lasts > Span::ZERO {
            faults.push(Scheduled {
                at,
                lasts: Some(lasts),
                fault,
            });
        }
    }
    faults
}

fn fault(plan: &Plan, kind: Kind, choices: &mut Choices) -> Fault {
    match kind {
        Kind::Crash => with_node(plan, choices, |node| Fault::Crash { node }),
        Kind::PowerLoss => with_node(plan, choices, |node| Fault::PowerLoss { node }),
        Kind::Pause => with_node(plan, choices, |node| Fault::Pause { node }),
        Kind::Isolate => with_node(plan, choices, |node| Fault::Isolate { node }),
        Kind::Drift => {
            let (node, ppm) = (any(plan, choices), drift(choices));
            Fault::Drift { node, ppm }
        }
        Kind::Drain => with_role(plan, Role::Agent, choices, |agent| Fault::Drain { agent }),
        Kind::TsnDeath => with_role(plan, Role::Agent, choices, |agent| Fault::TsnDeath { agent }),
        Kind::Tls => {
            let agent = node(plan, Role::Agent, choices);
            let how = choices.weighted(TlsFault::ALL.map(|how| (1, how)));
            Fault::Tls { agent, how }
        }
        Kind::Cut => with_link(plan, choices, |from, to| Fault::Cut { from, to }),
        Kind::Jam => with_link(plan, choices, |from, to| Fault::Jam { from, to }),
        Kind::Slow => {
            let ((from, to), times) = (pair(plan, choices), slowness(plan, choices));
            Fault::Slow { from, to, times }
        }
        Kind::Reset => with_link(plan, choices, |between, and| {
            let proxies = [&between, &and].map(|node| plan.topology.role(node)) == [Some(Role::Proxy); 2];
            // Adverts pass between the proxies, but there is no connection.
            let and = if proxies { Role::Agent.node(0) } else { and };
            Fault::Reset { between, and }
        }),
        Kind::Reload => with_role(plan, Role::Proxy, choices, |proxy| Fault::Reload { proxy }),
        Kind::MoveVip => Fault::MoveVip,
        Kind::SplitVip => Fault::SplitVip,
        Kind::Reboot => {
            let switch = node(plan, Role::Switch, choices);
            let keeps_database = choices.percent(50);
            Fault::Reboot { switch, keeps_database }
        }
        Kind::Edit => {
            let switch = node(plan, Role::Switch, choices);
            // Tunnel ends move later: `add_moves`. Broadcast rows with two ends occur in scenarios.
            let occurs = |edit| !matches!(edit, Edit::MoveTunnelEnd | Edit::WidenBroadcast);
            let what = choices.weighted(Edit::ALL.map(|edit| (u64::from(occurs(edit)), edit)));
            Fault::Edit { switch, what }
        }
        Kind::Steal => with_role(plan, Role::Switch, choices, |switch| Fault::Steal { switch }),
        Kind::Configure => Fault::Configure {
            what: configuration(plan, choices),
        },
        Kind::Undo => with_role(plan, Role::Switch, choices, |switch| Fault::Undo { switch }),
        Kind::Full => with_role(plan, Role::Switch, choices, |switch| Fault::Full { switch }),
        Kind::Maint => with_role(plan, Role::Agent, choices, |agent| Fault::Maint { agent }),
        Kind::Disk => with_role(plan, Role::Agent, choices, |agent| Fault::Disk {
            agent,
            how: DiskFault::Lost,
        }),
        Kind::Twin => with_role(plan, Role::Switch, choices, |switch| Fault::Twin { switch }),
        Kind::Expire => with_role(plan, Role::Switch, choices, |switch| Fault::Expire { switch }),
        Kind::Intrude => with_role(plan, Role::Control, choices, |control| Fault::Intrude {
            control,
            how: Intrusion::TakenName,
        }),
    }
}

fn with_node(plan: &Plan, choices: &mut Choices, fault: impl Fn(String) -> Fault) -> Fault {
    fault(any(plan, choices))
}

fn with_role(plan: &Plan, role: Role, choices: &mut Choices, fault: impl Fn(String) -> Fault) -> Fault {
    fault(node(plan, role, choices))
}

fn with_link(plan: &Plan, choices: &mut Choices, fault: impl Fn(String, String) -> Fault) -> Fault {
    let (from, to) = pair(plan, choices);
    fault(from, to)
}

/// Any node; agents and proxies more often than switches, for they are what must fail over.
fn any(plan: &Plan, choices: &mut Choices) -> String {
    let role = choices.weighted([(15, Role::Switch), (50, Role::Agent), (35, Role::Proxy)]);
    node(plan, role, choices)
}

fn node(plan: &Plan, role: Role, choices: &mut Choices) -> String {
    role.node(choices.count(0, plan.topology.count(role).saturating_sub(1)))
}

/// Two that talk to each other, in either order: a switch and a proxy, a proxy and an agent, or the proxies.
fn pair(plan: &Plan, choices: &mut Choices) -> (String, String) {
    let between_proxies = if plan.topology.proxies == 2 { 10 } else { 0 };
    let roles = choices.weighted([
        (45, Some((Role::Switch, Role::Proxy))),
        (45, Some((Role::Proxy, Role::Agent))),
        (between_proxies, None),
    ]);
    let (one, other) = match roles {
        Some((one, other)) => (node(plan, one, choices), node(plan, other, choices)),
        None => (Role::Proxy.node(0), Role::Proxy.node(1)),
    };
    if choices.percent(50) {
        (one, other)
    } else {
        (other, one)
    }
}

/// Up to a thousand times, but no way takes longer than five seconds.
fn slowness(plan: &Plan, choices: &mut Choices) -> u32 {
    let [_, latency] = plan.network.latency;
    let times = choices.weighted([(30, 10), (40, 100), (30, 1000)]);
    let most = 5_000_000 / latency.as_micros().max(1);
    u32::try_from(most).unwrap_or(u32::MAX).min(times)
}

/// What clocks do, from a good one to one that a hypervisor starves.
fn drift(choices: &mut Choices) -> i32 {
    let ppm = choices.weighted([(30, 20), (30, 100), (20, 500), (15, 2000), (5, 10_000)]);
    if choices.percent(50) { ppm } else { -ppm }
}

fn configuration(plan: &Plan, choices: &mut Choices) -> Configure {
    let swaps = u64::from(plan.topology.networks >= 2);
    choices.weighted([
        (1, Configure::AddNetwork),
        (1, Configure::RemoveNetwork),
        (swaps, Configure::SwapVnis),
        (1, Configure::Rebind),
    ])
}

fn plus(one: Span, other: Span) -> Span {
    Span::micros(one.as_micros() + other.as_micros())
}
