//! Draws the nodes of a plan, and their settings.

use super::choices::Choices;
use crate::plan::{Agent, Network, Plan, Proxy, Span, Switch, Topology, Workload};
use crate::socket::CheckKind;

pub(super) fn topology(choices: &mut Choices) -> Topology {
    Topology {
        // Few most often: the least world that shows something shows it fastest.
        switches: choices.weighted([(30, 1), (25, 2), (20, 3), (10, 4), (8, 5), (7, 6)]),
        agents: choices.weighted([(80, 2), (20, 3)]),
        proxies: choices.weighted([(50, 1), (50, 2)]),
        // Drawn after everything else.
        control_nodes: 0,
        vrouters: 0,
        // One target takes over by dialling again, two are warm.
        targets: choices.weighted([(60, 1), (40, 2)]),
        networks: choices.count(1, 4),
        remote_macs: rows(choices, 300),
        local_macs: rows(choices, 100) - 1,
    }
}

/// None most often: with them, configuration and routes come another way.
pub(super) fn control_nodes(choices: &mut Choices) -> usize {
    choices.weighted([(60, 0), (15, 1), (25, 2)])
}

/// One in some plans with control nodes; without them it would receive nothing.
pub(super) fn vrouters(topology: &Topology, choices: &mut Choices) -> usize {
    let often = if topology.control_nodes > 0 { 40 } else { 0 };
    usize::from(choices.percent(often))
}

pub(super) fn network(choices: &mut Choices) -> Network {
    let micros = |least, most| [Span::micros(least), Span::micros(most)];
    Network {
        // A rack, a hall, a campus, a region.
        latency: choices.weighted([
            (10, micros(10, 50)),
            (60, micros(50, 200)),
            (10, micros(200, 1000)),
            (10, micros(1000, 5000)),
            (10, micros(5000, 20_000)),
        ]),
        // From whole messages to none that arrives in one piece.
        split_permille: choices.weighted([(20, 0), (50, 20), (20, 200), (10, 1000)]),
    }
}

pub(super) fn agent(choices: &mut Choices) -> Agent {
    let any_keepalive = Span::seconds(choices.between(1, 10));
    let half_configured = choices.span(Span::millis(100), Span::seconds(10));
    Agent {
        keepalive: choices.weighted([(40, Span::seconds(10)), (20, Span::seconds(1)), (40, any_keepalive)]),
        configured_after: choices.weighted([(60, Span::ZERO), (40, half_configured)]),
        // Only the scenario of a planted bug could distinguish them from an agent that is down.
        strangers: 0,
        manager: choices.percent(80),
        tls: choices
            .weighted([(50, 4), (20, 1), (20, 15), (10, 50)].map(|(often, millis)| (often, Span::millis(millis)))),
        // Drawn after everything else.
        pair: false,
        tsn_probe: false,
        remember: false,
        stale_hold: Span::ZERO,
        brake_rows: 0,
    }
}

/// Makes a pair of the agents in some plans with control nodes. Three agents are no pair.
pub(super) fn pair(plan: &mut Plan, choices: &mut Choices) {
    let hold = [(60, Span::ZERO), (25, Span::seconds(300)), (15, Span::seconds(20))];
    let (pair, tsn_probe, hold) = (choices.percent(60), choices.percent(50), choices.weighted(hold));
    if plan.topology.control_nodes > 0 && plan.topology.agents == 2 {
        plan.agent.pair = pair;
        plan.agent.tsn_probe = tsn_probe;
        plan.agent.stale_hold = hold;
    }
}

/// The book's recipe, those of the laboratory (H1 to H5), and one without their marked-down sessions.
pub(super) fn proxy(choices: &mut Choices) -> Proxy {
    let book = Proxy::default();
    let quick = Proxy {
        check: CheckKind::Connect,
        timeout_check: Span::millis(200),
        agent_check: false,
        ..Proxy::default()
    };
    // The laboratory's sloppy one: no other interval, no time-out of its own, three failures.
    let slow = Proxy {
        inter: Span::seconds(2),
        fastinter: Span::seconds(2),
        downinter: Span::seconds(2),
        fall: 3,
        timeout_check: Span::seconds(2),
        redispatch: false,
        shutdown_sessions: false,
        ..quick.clone()
    };
    let recipe = choices.weighted([(40, 0), (8, 1), (8, 2), (12, 3), (16, 4), (8, 5), (8, 6)]);
    let chosen = match recipe {
        0 => book,
        1 => slow,
        2 => Proxy {
            redispatch: true,
            ..slow
        },
        3 => quick,
        4 => Proxy {
            check: CheckKind::Tls,
            ..quick
        },
        5 => Proxy {
            shutdown_sessions: false,
            ..quick
        },
        _ => Proxy {
            shutdown_sessions: false,
            ..book
        },
    };
    Proxy {
        advert: choices.weighted([(50, Span::millis(100)), (50, Span::seconds(1))]),
        // Never "never": a virtual IP that stays with a dead proxy cannot converge.
        track: choices.weighted([(60, Span::seconds(1)), (20, Span::millis(200)), (20, Span::seconds(2))]),
        ..chosen
    }
}

/// None most often; otherwise long enough for a connection that carries only keepalives.
pub(super) fn idle_timeouts(plan: &mut Plan, choices: &mut Choices) {
    let keepalive = plan.agent.keepalive;
    let thrice = Span::micros(keepalive.as_micros() * 3);
    let either = [(70, Span::ZERO), (15, Span::seconds(3600)), (15, thrice)];
    plan.proxy.timeout_client = choices.weighted(either);
    plan.proxy.timeout_server = choices.weighted(either);
}

pub(super) fn switch(topology: &Topology, choices: &mut Choices) -> Switch {
    // Off: such a plan has only faults that close connections. Where a virtual IP may move back to a node that returns,
    // there are no others.
    let off = if topology.proxies == 1 { 10 } else { 0 };
    Switch {
        // Real switches are mostly at 1.3.0, laboratories at 1.7.0.
        schema: choices
            .weighted([
                (35, "1.7.0"),
                (25, "1.3.0"),
                (5, "1.0.0"),
                (5, "1.1.0"),
                (5, "1.2.0"),
                (5, "1.4.0"),
                (5, "1.4.1"),
                (5, "1.5.0"),
                (5, "1.5.1"),
                (5, "1.6.0"),
            ])
            .into(),
        max_backoff: choices.weighted([
            (45, None),
            (40, Some(Span::seconds(1))),
            (10, Some(Span::seconds(2))),
            (5, Some(Span::seconds(8))),
        ]),
        inactivity_probe: choices.weighted([
            (45, None),
            (20, Some(Span::seconds(1))),
            (10, Some(Span::seconds(2))),
            (20, Some(Span::seconds(5))),
            (off, Some(Span::ZERO)),
        ]),
        monitor_cond: choices.percent(80),
        // Ten is as measured; a hundred is a weak switch.
        dump_us_per_row: choices.weighted([(20, 0), (60, 10), (20, 100)]),
        foreign: choices.count(0, 3),
        ..Switch::default()
    }
}

/// Rows that all sessions together compare because a remote MAC changed.
const COMPARED_PER_H: usize = 10_000_000;

pub(super) fn workload(topology: &Topology, choices: &mut Choices) -> Workload {
    // An agent that receives another configuration compares all of it, in every session.
    let Topology {
        switches,
        agents,
        targets,
        networks,
        remote_macs,
        ..
    } = topology;
    let compared = switches * agents * targets * networks * (remote_macs + 1);
    let most = u64::try_from(COMPARED_PER_H / compared.max(1))
        .unwrap_or(u64::MAX)
        .clamp(20, 20_000);
    Workload {
        local_changes_per_h: rate(choices, 20, 20_000),
        remote_changes_per_h: rate(choices, 20, most),
        // Operators are rare, and plans with a busy operator are rarer.
        configuration_changes_per_h: rate(choices, 70, 120),
    }
}

/// Idle so often in a hundred; else up to `most` an hour.
fn rate(choices: &mut Choices, idle: u64, most: u64) -> u32 {
    let busy = choices.scale(6, most);
    let rate = choices.weighted([(idle, 0), (100 - idle, busy)]);
    u32::try_from(rate).unwrap_or(0)
}

fn rows(choices: &mut Choices, most: u64) -> usize {
    usize::try_from(choices.scale(1, most)).unwrap_or(1)
}
