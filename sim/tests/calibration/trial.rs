//! One trial: a world with one switch and two agents, left alone, and broken.

use std::time::Duration;

use tandem_core::Time;
use tandem_core::event::What;
use tandem_sim::plan::{Agent, Fault, Plan, Scheduled, Span, Switch, Topology, Workload};
use tandem_sim::world::World;
use tandem_sim::world::log::{ActorEvent, Entry};
use tandem_sim::{host, vip};

use crate::rows::{Breaks, Ends, Row};

const OWNER: &str = "agent-a";
const SURVIVOR: &str = "agent-b";
const PROXY: &str = "proxy-1";

/// Trials of a row: so many worlds, each with a seed of its own, and of each so many copies, broken at different times.
const SEEDS: u64 = 10;
const COPIES: u64 = 20;

/// The time from an agent's first replies to the end of its opening traffic.
const OPENING: Duration = Duration::from_millis(10);

/// The longest time from a fault to its end.
const PATIENCE: Duration = Duration::from_secs(60);

/// From the fault (or from the return of an agent) to the end, in every trial.
///
/// It ends with the first replies at an agent ([`What::Identified`]: those to the schema and to the small tables, one
/// round trip after [`What::Opened`]), or with the virtual IP at another node.
pub(crate) fn times(row: &Row) -> Vec<Duration> {
    (0..SEEDS).flat_map(|seed| times_of_seed(row, seed)).collect()
}

fn times_of_seed(row: &Row, seed: u64) -> Vec<Duration> {
    let mut world = World::new(&plan(row, seed), false);
    let begun = until(&mut world, Time::ORIGIN, |entry| is_identified(entry, OWNER));
    let quiet = begun + OPENING + row.quiet.duration();
    let trial = |copy: u64| {
        let late = row.spread.as_micros() * (copy * SEEDS + seed) / (COPIES * SEEDS);
        let at = quiet + Duration::from_micros(late);
        pass(&mut world, at);
        time(world.clone(), row)
    };
    (0..COPIES).map(trial).collect()
}

/// Breaks the world, and waits.
fn time(mut world: World, row: &Row) -> Duration {
    let mut from = world.now();
    let mut answering = vec![SURVIVOR];
    let owner = || OWNER.to_owned();
    let proxy = || PROXY.to_owned();
    match row.breaks {
        Breaks::Kill => world.strike(Fault::Crash { node: owner() }, None),
        Breaks::Stop => world.strike(Fault::Pause { node: owner() }, None),
        Breaks::Hole => world.strike(Fault::Isolate { node: owner() }, None),
        Breaks::ProxyKill => world.strike(Fault::Crash { node: proxy() }, None),
        Breaks::ProxyHole => world.strike(Fault::Isolate { node: proxy() }, None),
        Breaks::Both(away) => {
            let node = SURVIVOR.to_owned();
            world.strike(Fault::Crash { node }, Some(away));
            world.strike(Fault::Crash { node: owner() }, None);
            from = from + away.duration();
        }
    }
    if matches!(row.breaks, Breaks::ProxyKill | Breaks::ProxyHole) {
        // The other proxy may choose the same agent.
        answering.push(OWNER);
    }
    let is_it = |entry: &Entry| match row.ends {
        Ends::Reply => answering.iter().any(|agent| is_identified(entry, agent)),
        Ends::Address => matches!(entry.event, ActorEvent::Vip(vip::Event::VipMaster)),
    };
    until(&mut world, from, is_it).since(from)
}

/// Lets the world go on to this time.
fn pass(world: &mut World, at: Time) {
    while world.next_at().is_some_and(|next| next < at) {
        world.step();
        while world.poll_entry().is_some() {}
    }
    world.pass_to(at);
}

/// When, from `from` on, this happens first.
fn until(world: &mut World, from: Time, is_it: impl Fn(&Entry) -> bool) -> Time {
    while world.now() < from + PATIENCE {
        while let Some(entry) = world.poll_entry() {
            if entry.at >= from && is_it(&entry) {
                return entry.at;
            }
        }
        world.step();
    }
    panic!("it has not happened {PATIENCE:?} after {from:?}");
}

fn is_identified(entry: &Entry, agent: &str) -> bool {
    let ActorEvent::Agent(host::Event::Session(event)) = &entry.event else {
        return false;
    };
    &*entry.node == agent && matches!(event.what, What::Identified { .. })
}

fn plan(row: &Row, seed: u64) -> Plan {
    Plan {
        topology: Topology {
            proxies: row.setup.proxies(),
            networks: 1,
            remote_macs: 0,
            local_macs: 0,
            ..Topology::default()
        },
        agent: Agent {
            keepalive: row.echo,
            manager: false,
            ..Agent::default()
        },
        proxy: row.setup.proxy(),
        switch: Switch {
            max_backoff: row.max_backoff,
            inactivity_probe: row.probe,
            foreign: 0,
            ..Switch::default()
        },
        workload: Workload {
            local_changes_per_h: 0,
            remote_changes_per_h: 0,
            configuration_changes_per_h: 0,
        },
        ..Plan::parse(&format!("name = 'calibration'\nseed = {seed}\nduration = '1h'")).expect("a plan")
    }
}

#[test]
fn a_fault_that_strikes_is_as_one_of_the_plan() {
    let at = Span::micros(2_500_001);
    let fault = Fault::Crash { node: OWNER.into() };
    let row = &crate::rows::agents()[0];
    let log = |mut world: World| {
        let mut log = Vec::new();
        while world.now().micros() < 10_000_000 {
            while let Some(entry) = world.poll_entry() {
                log.push(entry.to_string());
            }
            world.step();
        }
        log.retain(|entry| entry.contains("Fault") || entry.contains("agent-b"));
        log
    };
    let mut planned = plan(row, 1);
    planned.faults = vec![Scheduled {
        at,
        lasts: None,
        fault: fault.clone(),
    }];
    let mut struck = World::new(&plan(row, 1), false);
    pass(&mut struck, Time::from_micros(at.as_micros()));
    struck.strike(fault, None);
    let struck = log(struck);
    let planned = log(World::new(&planned, false));
    assert!(struck.len() > 3, "{struck:#?}");
    assert!(planned.ends_with(&struck), "{planned:#?} {struck:#?}");
}
