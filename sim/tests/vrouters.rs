//! Scenarios with vRouters, compared more closely than by the checks.

#![allow(clippy::disallowed_methods, reason = "a test reads its files")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;

use tandem_core::{Mac, Uuid};
use tandem_sim::plan::Plan;
use tandem_sim::run::{Detail, Run};
use tandem_sim::world::{SwitchView, World};
use tandem_sim::{bounds, model};

#[test]
fn vrouters_end_with_exactly_the_learned_macs() {
    let run = finished(&scenario("vrouter-keeps-hearing"));
    let world = run.world();
    let learned = learned(world);
    assert!(learned.len() > 20, "{} MACs", learned.len());
    assert_eq!(world.vrouters().count(), 2);
    for view in world.vrouters() {
        let vrouter = view.vrouter.expect("a program");
        for ((network, mac), ends) in &learned {
            let mut paths = vrouter.fabric().paths(*network, *mac);
            assert!(
                paths.any(|path| ends.contains(&path.vtep)),
                "{mac} in {network} at {}",
                view.name
            );
        }
        let configured = world.wanted(0);
        let networks = configured.networks.iter();
        let known = networks.map(|(network, about)| {
            let macs = vrouter.fabric().macs_of(*network);
            macs.filter(|mac| !about.remote_macs.contains_key(mac)).count()
        });
        assert_eq!(known.sum::<usize>(), learned.len(), "at {}", view.name);
    }
}

/// The times are those of the world: half a second of detection, the switch's second, and the rest.
#[test]
fn what_a_crash_takes_from_vrouters_is_back_soon_and_counted() {
    let run = finished(&scenario("vrouter-keeps-hearing"));
    let bound = bounds::missing(run.world().plan());
    let report = run.finish(|_| {});
    let crash = &report.missing_us["crash"];
    let longest = crash.iter().max().expect("a time");
    assert!(crash.len() > 20, "{} times", crash.len());
    assert!(u128::from(*longest) < bound.as_micros(), "{longest} us");
    assert!(!report.missing_us.contains_key("power_loss"), "{:?}", report.missing_us);
}

#[test]
fn an_agent_that_drains_takes_no_mac_from_any_node() {
    let report = finished(&scenario("drain-leaves-its-routes")).finish(|_| {});
    assert!(report.ok(), "{report:?}");
    assert!(report.missing_us.is_empty(), "{:?}", report.missing_us);
}

#[test]
fn a_new_tunnel_end_of_a_switch_reaches_every_other_switch() {
    let run = finished(&scenario("locator-changes"));
    let world = run.world();
    let ends: Vec<_> = world.switches().map(|switch| switch.tunnel_ip).collect();
    assert_eq!(ends, [[10, 1, 0, 1], [10, 1, 1, 2], [10, 1, 0, 3]].map(Ipv4Addr::from));
    let mut compared = 0;
    for here in world.switches() {
        let own = model::learned(world, here.switch);
        for there in world.switches().filter(|there| there.name != here.name) {
            let (known, imported) = (model::learned(world, there.switch), remote(there));
            for (key, end) in own.iter().filter(|(key, _)| !known.contains_key(*key)) {
                assert_eq!(*end, here.tunnel_ip);
                let others = learned(world);
                let found = imported.get(key);
                assert!(
                    found.is_some_and(|found| others[key].contains(found)),
                    "{key:?} at {}: {found:?}",
                    there.name
                );
                compared += 1;
            }
        }
        let old = Ipv4Addr::from_octets({
            let [a, b, c, d] = here.tunnel_ip.octets();
            [a, b, 1 - c, d]
        });
        assert!(
            world
                .switches()
                .all(|there| remote(there).values().all(|end| *end != old)),
            "{old}"
        );
    }
    assert!(compared > 20, "{compared} MACs were compared");
}

fn learned(world: &World) -> BTreeMap<(Uuid, Mac), BTreeSet<Ipv4Addr>> {
    let mut all = BTreeMap::<_, BTreeSet<_>>::new();
    for switch in world.switches() {
        for (key, end) in model::learned(world, switch.switch) {
            all.entry(key).or_default().insert(end);
        }
    }
    all
}

/// The remote MACs of a switch, in networks of ours.
fn remote(view: SwitchView<'_>) -> BTreeMap<(Uuid, Mac), Ipv4Addr> {
    let switch = view.switch;
    let rows = switch.rows("Ucast_Macs_Remote").filter_map(|(_, row)| {
        let network = switch.row("Logical_Switch", row.reference("logical_switch")?)?;
        let locator = switch.row("Physical_Locator", row.reference("locator")?)?;
        let key = (
            model::network_named(network.text("name")?)?,
            row.text("MAC")?.parse().ok()?,
        );
        Some((key, locator.text("dst_ip")?.parse().ok()?))
    });
    rows.collect()
}

/// A run that ended well.
fn finished(plan: &Plan) -> Run {
    let mut run = Run::new(plan, Detail::Outcome);
    while run.step(&mut |_| {}) {}
    assert_eq!(run.violations(), []);
    run
}

fn scenario(name: &str) -> Plan {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let text = std::fs::read_to_string(folder.join(name).with_extension("toml")).expect("a scenario");
    Plan::parse(&text).expect("a plan")
}
