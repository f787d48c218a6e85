//! Scenarios with control nodes, looked at more closely than the checks do.

#![allow(clippy::disallowed_methods, reason = "a test reads its files")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;

use tandem_core::event::LogEvent;
use tandem_core::{Mac, Uuid};
use tandem_sim::host;
use tandem_sim::plan::Plan;
use tandem_sim::run::{Detail, Run};
use tandem_sim::switch::{Row, Switch};
use tandem_sim::world::World;
use tandem_sim::world::log::{ActorEvent, Entry};

/// The checks take any right tunnel end, and none where a switch has a MAC itself; here no MAC moves any more.
#[test]
fn learned_macs_appear_in_the_other_switches_at_their_tunnel_end() {
    let mut imported = 0;
    let world = at_the_end(&scenario("mac-travels"), &mut |entry| {
        imported += usize::from(entry.event.word() == "Imported");
    });
    assert!(imported > 100, "{imported} routes were imported");
    let switches: Vec<_> = world.switches().collect();
    let mut compared = 0;
    for (here, there) in [(0, 1), (1, 0)].map(|(here, there)| (switches[here], switches[there])) {
        let learned = macs(here.switch, "Ucast_Macs_Local");
        let known = macs(there.switch, "Ucast_Macs_Local");
        let imported = macs(there.switch, "Ucast_Macs_Remote");
        for key in learned.keys().filter(|key| !known.contains_key(*key)) {
            assert_eq!(imported.get(key), Some(&here.tunnel_ip), "{key:?} of {}", here.name);
            compared += 1;
        }
    }
    assert!(compared > 3, "{compared} MACs were compared");
}

/// Five raises within three minutes freeze a MAC elsewhere. A MAC that two switches have learned is another matter: its
/// best path may be at the other tunnel end.
#[test]
fn a_takeover_raises_no_sequence() {
    let mut plan = scenario("routes-after-agent-crash");
    plan.workload.local_changes_per_h = 0;
    plan.workload.remote_changes_per_h = 0;
    let mut before = BTreeMap::new();
    let mut run = Run::new(&plan, Detail::Outcome);
    while run.step(&mut |_| {}) {
        if run.world().active_faults().is_empty() && run.world().now().micros() < 60_000_000 {
            before = sequences(run.world());
        }
    }
    assert_eq!(run.violations(), []);
    assert!(before.len() > 10, "{before:?}");
    let after = sequences(run.world());
    let stayed = after
        .iter()
        .filter(|(route, _)| before.get(*route).is_none_or(|sequence| *sequence <= 1));
    let changed = stayed.filter(|(route, sequence)| before.get(*route) != Some(sequence));
    let changed: Vec<_> = changed
        .map(|(route, sequence)| (route, before.get(route), sequence))
        .collect();
    assert_eq!(changed, []);
}

#[test]
fn agents_without_a_configuration_delete_nothing() {
    let mut plan = scenario("both-control-nodes-die");
    // Nothing comes or goes of itself.
    plan.workload.local_changes_per_h = 0;
    plan.workload.remote_changes_per_h = 0;
    plan.workload.configuration_changes_per_h = 0;
    let mut run = Run::new(&plan, Detail::Outcome);
    let mut rows = BTreeSet::new();
    let mut looked = 0;
    while run.step(&mut |_| {}) {
        let now = run.world().now().micros();
        if now < 115_000_000 {
            rows = remote_rows(run.world());
        } else if now < 350_000_000 {
            assert_eq!(remote_rows(run.world()), rows, "at {now}");
            looked += 1;
        }
    }
    assert_eq!(run.violations(), []);
    assert!(rows.len() > 20 && looked > 100, "{} rows, {looked} looks", rows.len());
}

#[test]
fn what_both_agents_published_is_published_again_after_both_control_nodes_died() {
    let mut up = BTreeSet::new();
    at_the_end(&scenario("both-control-nodes-die"), &mut |entry| {
        if let ActorEvent::Agent(host::Event::Uplink(what)) = &entry.event
            && what.word() == "UplinkUp"
            && entry.at.micros() > 240_000_000
        {
            up.insert(format!("{} {what}", entry.node));
        }
    });
    assert_eq!(up.len(), 4, "{up:?}");
}

#[test]
fn an_agent_that_is_configured_while_it_publishes_sends_the_rest_first() {
    at_the_end(&scenario("regressions/configured-while-speaking"), &mut |_| {});
}

/// The world in which a scenario has ended well.
fn at_the_end(plan: &Plan, on_entry: &mut dyn FnMut(&Entry)) -> World {
    let mut run = Run::new(plan, Detail::Outcome);
    while run.step(on_entry) {}
    assert_eq!(run.violations(), []);
    run.world().clone()
}

/// The highest sequence of each MAC, whichever control node has it.
fn sequences(world: &World) -> BTreeMap<String, u32> {
    let mut sequences = BTreeMap::new();
    for host in world.control_nodes().filter_map(|control| control.host) {
        for (instance, network) in host.node().status().networks {
            for route in network.routes {
                let highest = route.paths.iter().map(|path| path.sequence).max();
                let sequence = sequences.entry(format!("{} in {instance}", route.route)).or_default();
                *sequence = highest.max(Some(*sequence)).unwrap_or(0);
            }
        }
    }
    sequences
}

fn remote_rows(world: &World) -> BTreeSet<(String, Uuid, Mac, Ipv4Addr)> {
    let rows = world.switches().flat_map(|view| {
        let rows = macs(view.switch, "Ucast_Macs_Remote").into_iter();
        rows.map(move |((network, mac), end)| (view.name.to_owned(), network, mac, end))
    });
    rows.collect()
}

/// The MACs of a table, by the row of their logical switch, and where they are; those of networks of ours.
fn macs(switch: &Switch, table: &str) -> BTreeMap<(Uuid, Mac), Ipv4Addr> {
    let read = |row: &Row| {
        let name = switch
            .row("Logical_Switch", row.reference("logical_switch")?)?
            .text("name")?;
        let network = name.strip_prefix("Contrail-")?.parse().ok()?;
        let locator = switch.row("Physical_Locator", row.reference("locator")?)?;
        let mac = row.text("MAC")?.parse().ok()?;
        Some(((network, mac), locator.text("dst_ip")?.parse().ok()?))
    };
    switch.rows(table).filter_map(|(_, row)| read(row)).collect()
}

fn scenario(name: &str) -> Plan {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let text = std::fs::read_to_string(folder.join(name).with_extension("toml")).expect("a scenario");
    Plan::parse(&text).expect("a plan")
}
