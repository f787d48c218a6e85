//! Each check finds what it is for, and nothing where nothing is wrong.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::json;
use tandem_core::agent::{Fabric, ReceivedPath, uplinks};
use tandem_core::event::{self, What};
use tandem_core::evpn::Key;
use tandem_core::health::Grade;
use tandem_core::{CloseReason, CloseWhy, ConnId, Fault, Generation, Mac, Time, Vni};

use super::*;
use crate::device::{self, Ended};
use crate::operator::edits;
use crate::plan::{Edit, Plan, Workload};
use crate::switch::{RowChange, UNANSWERED, Writer};
use crate::world::log::ActorEvent;
use crate::{host, model};

#[test]
fn nothing_is_wrong_with_a_quiet_world() {
    let mut judges = Judges::default();
    let Stage { world, .. } = run(|Scene { world, .. }, entry| {
        let found = match entry {
            Some(entry) => judges.on_event(entry, world),
            None => judges.inspect(world, 0),
        };
        assert_eq!(found, []);
    });
    let switch = world.switches().next().expect("a switch");
    assert_eq!(model::pending(&world, switch), []);
}

#[test]
fn a_write_without_the_lock_is_found() {
    let stage = run(|_, _| {});
    let mut commit = commit(Vec::new());
    let check = |commit: &Commit| findings(|found| lock::Lock.on_commit("tor1", commit, stage.scene(), found));
    assert_eq!(check(&commit).len(), 1);
    commit.locks.insert("tandem".into());
    assert_eq!(check(&commit).len(), 0);
}

#[test]
fn a_write_that_nothing_fences_is_found() {
    let mut commit = commit(Vec::new());
    commit.locks.insert("tandem".into());
    let count = |settings: &str| {
        let text = format!("name = 'lockless'\nseed = 1\nduration = '1m'\n[switch]\nlockless = true\n{settings}");
        let stage = run_plan(Plan::parse(&text).expect("a plan"), |_, _| {});
        findings(|found| lock::Lock.on_commit("tor1", &commit, stage.scene(), found)).len()
    };
    assert_eq!(count(""), 0);
    assert_eq!(count("other_managers = 1\nsole_manager = true"), 0);
    assert_eq!(count("other_managers = 1"), 1);
}

#[test]
fn a_transaction_with_more_rows_than_configured_is_found() {
    let text = "name = 'small'\nseed = 1\nduration = '1m'\n[switch]\nrows_per_transaction_max = 2";
    let stage = run_plan(Plan::parse(text).expect("a plan"), |_, _| {});
    let change = |table: &'static str| RowChange {
        table,
        uuid: tandem_core::Uuid(1),
        old: None,
        new: None,
    };
    let count = |tables: &[&'static str]| {
        let commit = commit(tables.iter().map(|table| change(table)).collect());
        findings(|found| sizes::Sizes::default().on_commit("tor1", &commit, stage.scene(), found)).len()
    };
    assert_eq!(
        count(&["Ucast_Macs_Remote", "Physical_Locator", "Ucast_Macs_Remote"]),
        0
    );
    assert_eq!(count(&["Ucast_Macs_Remote"; 3]), 1);
}

#[test]
fn a_lock_that_an_agent_with_a_session_does_not_take_is_found() {
    let found = spoiled_by(&mut owner::Owner::default(), |world| world.forget_owner("tor1"));
    let first = found.first().expect("a finding");
    assert!(first.contains("has a session with it"), "{first}");
}

#[test]
fn a_switch_that_comes_to_no_agent_is_found_if_one_could_own_it() {
    let hang_up = |world: &mut World| {
        world.forget_owner("tor1");
        world.hang_up("tor1", "proxy-1");
    };
    let found = spoiled_by(&mut owner::Owner::default(), hang_up);
    assert!(
        !found.is_empty() && found.iter().all(|what| what.contains("could own it")),
        "{found:?}"
    );
}

#[test]
fn a_switch_that_only_dead_agents_could_own_needs_no_owner() {
    let spoil = |world: &mut World| {
        world.forget_owner("tor1");
        world.hang_up("tor1", "proxy-1");
        world.forget_program("agent-a");
        world.forget_program("agent-b");
    };
    assert_eq!(spoiled_by(&mut owner::Owner::default(), spoil), [] as [&str; 0]);
}

#[test]
fn a_session_that_reads_before_it_claims_is_found() {
    let (mut check, mut early) = (claim::Claim::default(), Vec::new());
    let text = "name = 'crash'\nseed = 1\nduration = '1m'\n[[fault]]\nat = '20s'\nkind = 'crash'\nnode = 'agent-a'";
    run_plan(Plan::parse(text).expect("a plan"), |scene, entry| {
        let Some(entry) = entry else { return };
        let found = findings(|found| check.on_event(entry, scene, found));
        assert_eq!(found, [] as [&str; 0], "it claims first");
        let passed = matches!(
            entry.event,
            ActorEvent::Switch(device::Event::LockPassed { to: Some(_), .. })
        );
        if let Some(master) = scene.world.switches().next().and_then(|it| scene.world.master(it))
            && passed
        {
            let read = session_event(&master, What::Read { local: 0, remote: 0 });
            early.extend(findings(|found| check.clone().on_event(&read, scene, found)));
        }
    });
    let is_early = |what: &String| what.contains("agent-b has taken the lock and read the unicast tables");
    assert!(!early.is_empty() && early.iter().all(is_early), "{early:?}");
}

#[test]
fn a_session_that_has_waited_for_the_lock_and_does_not_claim_is_found() {
    let (mut check, mut found, mut passed) = (claim::Claim::default(), Findings::default(), false);
    run(|scene, happened| {
        let mut world = scene.world.clone();
        if happened.is_some() || world.now() < Time::from_micros(5_000_000) {
            return;
        }
        edit_now(&mut world, Edit::MisdirectBroadcast);
        let spoiled = Scene {
            world: &world,
            ways: scene.ways,
        };
        let switch = world.switches().next().expect("a switch");
        if !std::mem::replace(&mut passed, true) {
            let event = device::Event::LockPassed {
                lock: "tandem".into(),
                from: None,
                to: switch.switch.lock_holder("tandem"),
            };
            check.on_event(&entry("tor1", ActorEvent::Switch(event)), spoiled, &mut found);
        }
        check.inspect(spoiled, &mut found);
    });
    let found: Vec<_> = found.0.into_iter().map(|(_, what)| what).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("agent-a has waited for the lock"), "{found:?}");
}

#[test]
fn a_broadcast_row_that_stays_wrong_is_found() {
    let found = spoiled(&mut broadcast::Broadcast::default(), Edit::MisdirectBroadcast);
    assert!(found.iter().any(|what| what.contains("10.9.9.9")), "{found:?}");
}

#[test]
fn a_remote_mac_that_stays_away_is_found() {
    let found = spoiled(&mut tables::Tables::default(), Edit::DeleteRemote);
    assert!(found.iter().any(|what| what.contains("nothing is found")), "{found:?}");
}

#[test]
fn a_binding_that_stays_away_is_found() {
    let found = spoiled(&mut tables::Tables::default(), Edit::ClearBindings);
    assert!(found.iter().any(|what| what.contains("VLAN 101 of eth1")), "{found:?}");
}

#[test]
fn a_route_that_another_agent_exports_and_that_stays_away_is_found() {
    let found = spoiled_fabric(&mut tables::Tables::default(), |world| {
        let now = world.now();
        let device = world.device_mut("tor1");
        let operation = json!({"op": "delete", "table": "Ucast_Macs_Remote", "where": []});
        device.switch_mut().local(now, json!([operation]));
    });
    let learned = found.iter().find(|what| what.contains("02:00:0a"));
    assert!(
        learned.is_some_and(|what| what.contains("10.1.0.2 is wanted")),
        "{found:?}"
    );
}

#[test]
fn a_route_of_an_agent_that_is_dead_is_found() {
    let found = spoiled_fabric(&mut routes::Routes::default(), |world| world.forget_program("agent-a"));
    assert!(
        found
            .iter()
            .any(|what| what.contains("control-1 holds routes of agent-a")),
        "{found:?}"
    );
}

#[test]
fn a_mac_that_a_vrouter_lost_is_found() {
    let found = spoiled_fabric(&mut missing::Missing::default(), |world| {
        *world.vrouter_mut("vrouter-1").fabric_mut() = Fabric::default();
    });
    assert!(
        !found.is_empty() && found.iter().all(|what| what.contains("missing at vrouter-1")),
        "{found:?}"
    );
}

#[test]
fn a_copy_that_a_consumer_has_no_path_to_is_found() {
    let found = spoiled_fabric(&mut copies::Copies::default(), |world| {
        *world.vrouter_mut("vrouter-1").fabric_mut() = Fabric::default();
    });
    let holders = ["agent-a holds", "agent-b holds"].map(|holder| found.iter().any(|what| what.starts_with(holder)));
    assert!(holders.contains(&true), "{found:?}");
    assert!(
        found.iter().all(|what| what.contains("missing at vrouter-1")),
        "{found:?}"
    );
}

#[test]
fn an_unexported_mac_is_missing_at_every_consumer_but_its_owner() {
    let found = spoiled_fabric(&mut missing::Missing::default(), |world| {
        let now = world.now();
        let device = world.device_mut("tor1");
        let Some([network, locator]) = learned_row(device.switch()) else {
            return;
        };
        let row = json!({"MAC": "02:00:00:00:00:99", "logical_switch": network, "locator": locator, "ipaddr": ""});
        let operation = json!({"op": "insert", "table": "Ucast_Macs_Local", "row": row});
        device.switch_mut().local(now, json!([operation]));
    });
    let consumers = ["agent-a", "agent-b", "vrouter-1"].map(|name| format!("missing at {name}"));
    let missing = consumers.map(|consumer| found.iter().any(|what| what.contains(&consumer)));
    assert_eq!(missing.iter().filter(|it| **it).count(), 2, "{found:?}");
    assert!(
        missing[2] && found.iter().all(|what| what.contains("02:00:00:00:00:99")),
        "{found:?}"
    );
}

/// The logical switch and the locator of a MAC that was learned in a network of ours.
fn learned_row(switch: &crate::switch::Switch) -> Option<[serde_json::Value; 2]> {
    let mut rows = switch.rows("Ucast_Macs_Local");
    rows.find_map(|(_, row)| {
        let network = row.reference("logical_switch")?;
        model::network_named(switch.row("Logical_Switch", network)?.text("name")?)?;
        Some([network, row.reference("locator")?].map(|uuid| json!(["uuid", uuid])))
    })
}

#[test]
fn a_route_that_a_vrouter_keeps_though_no_control_node_has_it_is_found() {
    let found = spoiled_fabric(&mut routes::Routes::default(), |world| {
        let network = *world.wanted(0).networks.keys().next().expect("a network");
        let key = Key::of_mac(Vni::new(5001).expect("a VNI"), Mac([2, 0, 0, 0, 0, 0x99]));
        let path = ReceivedPath {
            vtep: Ipv4Addr::new(10, 1, 0, 1),
            preference: 100,
            sticky: false,
            sequence: 0,
        };
        world
            .vrouter_mut("vrouter-1")
            .fabric_mut()
            .insert(0, network, key, path)
            .expect("there is room");
    });
    assert!(
        found.iter().any(|what| what.starts_with("vrouter-1 has held")),
        "{found:?}"
    );
}

#[test]
fn nothing_is_wrong_with_quiet_control_nodes() {
    assert_eq!(spoiled_fabric(&mut routes::Routes::default(), |_| {}), [] as [&str; 0]);
    assert_eq!(spoiled_fabric(&mut tables::Tables::default(), |_| {}), [] as [&str; 0]);
    assert_eq!(
        spoiled_fabric(&mut missing::Missing::default(), |_| {}),
        [] as [&str; 0]
    );
}

#[test]
fn a_line_that_is_closed_for_silence_though_bytes_came_is_found() {
    let mut check = keepalive::Keepalive::default();
    let stage = run(|scene, entry| match entry {
        Some(entry) => check.on_event(entry, scene, &mut Findings::default()),
        None => check.inspect(scene, &mut Findings::default()),
    });
    let Stage { world, .. } = &stage;
    let master = world
        .master(world.switches().next().expect("a switch"))
        .expect("an owner");
    let why = CloseWhy::new(CloseReason::Silent, "nothing received for 20.0 s");
    let closed = session_event(&master, What::Closed { why });
    assert_eq!(findings(|found| check.on_event(&closed, stage.scene(), found)).len(), 1);
}

#[test]
fn a_line_that_the_switch_gives_up_though_it_is_open_is_found() {
    let mut check = keepalive::Keepalive::default();
    let stage = run(|scene, entry| match entry {
        Some(entry) => check.on_event(entry, scene, &mut Findings::default()),
        None => check.inspect(scene, &mut Findings::default()),
    });
    let Stage { world, .. } = &stage;
    let switch = world.switches().next().expect("a switch");
    let conn = world.master(switch).expect("an owner").switch_conn;
    let event = device::Event::Disconnected {
        target: "ssl:10.0.2.1:6640".into(),
        conn,
        why: Ended::ServerClosed(UNANSWERED.into()),
    };
    let gone = entry("tor1", ActorEvent::Switch(event));
    assert_eq!(findings(|found| check.on_event(&gone, stage.scene(), found)).len(), 1);
}

#[test]
fn a_bug_that_an_agent_reports_is_found() {
    let stage = run(|_, _| {});
    let master = stage
        .world
        .master(stage.world.switches().next().expect("a switch"))
        .expect("an owner");
    let closed = |fault| {
        let why = CloseWhy::new(CloseReason::ConnectionLost, "something").with_fault(fault);
        session_event(&master, What::Closed { why })
    };
    let errors =
        |entry: &Entry| findings(|found| loudness::Loudness::default().on_event(entry, stage.scene(), found)).len();
    assert_eq!(errors(&closed(Fault::OurBug)), 1);
    assert_eq!(errors(&closed(Fault::Environment)), 0);
}

#[test]
fn a_session_that_ends_in_a_quiet_world_is_found_and_one_that_a_fault_ended_is_not() {
    let mut check = cause::Cause::default();
    let stage = watched(&mut check, "");
    let master = stage
        .world
        .master(stage.world.switches().next().expect("a switch"))
        .expect("an owner");
    let why = CloseWhy::new(CloseReason::ConnectionLost, "reset");
    let closed = session_event(&master, What::Closed { why: why.clone() });
    let address = "10.0.3.1:5269".parse().expect("an address");
    let opened = uplinks::What::UplinkUp {
        address,
        name: "control-1".into(),
    };
    let ended = uplinks::What::UplinkDown { address, why };
    let [opened, ended] =
        [opened, ended].map(|what| entry(master.agent.name, ActorEvent::Agent(host::Event::Uplink(what))));
    let [fit, alone] =
        [Grade::Fit, Grade::Alone].map(|it| entry(master.agent.name, ActorEvent::Agent(host::Event::Graded(it))));
    let judge = |check: &cause::Cause| {
        let mut check = check.clone();
        [&closed, &opened, &ended, &fit, &alone]
            .map(|entry| findings(|found| check.on_event(entry, stage.scene(), found)).len())
    };
    assert_eq!(judge(&check), [1, 0, 1, 0, 1]);
    let crash = |agent| format!("[[fault]]\nat = '9m'\nfor = '10s'\nkind = 'crash'\nnode = '{agent}'\n");
    let faults = ["agent-a", "agent-b"].map(crash).concat();
    let stage = watched(&mut check, &faults);
    let judge = |check: &cause::Cause| {
        let mut check = check.clone();
        [&closed, &opened, &ended, &fit, &alone]
            .map(|entry| findings(|found| check.on_event(entry, stage.scene(), found)).len())
    };
    assert_eq!(judge(&check), [0; 5]);
}

/// Ten quiet minutes but for these faults, which a check watches.
fn watched(check: &mut dyn Check, faults: &str) -> Stage {
    let text = format!("name = 'quiet'\nseed = 1\nduration = '10m'\n[topology]\ncontrol_nodes = 1\n{faults}");
    run_plan(Plan::parse(&text).expect("a plan"), |scene, entry| match entry {
        Some(entry) => check.on_event(entry, scene, &mut Findings::default()),
        None => check.inspect(scene, &mut Findings::default()),
    })
}

#[test]
fn a_foreign_row_that_an_agent_deletes_is_found_and_one_of_ours_is_not() {
    let stage = run(|_, _| {});
    for (table, foreign) in [
        ("Logical_Switch", "vendor-1"),
        ("Ucast_Macs_Remote", "vendor-1"),
        ("Physical_Switch", ""),
    ] {
        assert_eq!(
            deleted(&stage, table, |name| name == foreign || foreign.is_empty()),
            1,
            "{table}"
        );
    }
    for table in ["Logical_Switch", "Ucast_Macs_Remote", "Mcast_Macs_Remote"] {
        assert_eq!(
            deleted(&stage, table, |name| name.starts_with("Contrail-")),
            0,
            "{table}"
        );
    }
    assert_eq!(deleted(&stage, "Ucast_Macs_Local", |_| true), 1);
}

/// What is found when an agent deletes a row whose logical switch has such a name.
fn deleted(stage: &Stage, table: &'static str, named: impl Fn(&str) -> bool) -> usize {
    let server = stage.world.switches().next().expect("a switch").switch;
    let fits = |row: &crate::switch::Row| {
        let of = row
            .reference("logical_switch")
            .and_then(|uuid| server.row("Logical_Switch", uuid));
        of.unwrap_or(row).text("name").is_some_and(&named)
    };
    let (uuid, row) = server.rows(table).find(|(_, row)| fits(row)).expect("a row");
    let old = Some(Arc::new(row.clone()));
    let commit = commit(vec![RowChange {
        table,
        uuid,
        old,
        new: None,
    }]);
    findings(|found| foreign::Foreign::default().on_commit("tor1", &commit, stage.scene(), found)).len()
}

fn commit(changes: Vec<RowChange>) -> Commit {
    Commit {
        at: Time::ORIGIN,
        by: Writer::Remote(ConnId(1)),
        locks: BTreeSet::new(),
        comments: vec!["tandem agent-a generation 1: broadcast".into()],
        changes,
    }
}

/// The findings of a check in a world in which this edit is never repaired.
fn spoiled(check: &mut dyn Check, edit: Edit) -> Vec<String> {
    spoiled_by(check, |world| edit_now(world, edit))
}

/// The findings of a check in a world that is spoiled in this way at every look.
fn spoiled_by(check: &mut dyn Check, spoil: impl Fn(&mut World)) -> Vec<String> {
    let mut found = Findings::default();
    run(|scene, entry| {
        if let Some(entry) = entry {
            return check.on_event(entry, scene, &mut found);
        }
        let mut world = scene.world.clone();
        if world.now() > Time::from_micros(5_000_000) {
            spoil(&mut world);
        }
        let spoiled = Scene {
            world: &world,
            ways: scene.ways,
        };
        check.inspect(spoiled, &mut found);
    });
    found.0.into_iter().map(|(_, what)| what).collect()
}

fn edit_now(world: &mut World, edit: Edit) {
    let (configuration, now) = (world.wanted(0), world.now());
    let device = world.device_mut("tor1");
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let operations = edits::edit(edit, device.switch(), &configuration, "tor1", &mut random);
    device.switch_mut().local(now, operations.expect("something to edit"));
}

/// The same, of two switches and a control node that are spoiled in another way.
fn spoiled_fabric(check: &mut dyn Check, spoil: impl Fn(&mut World)) -> Vec<String> {
    let text = "name = 'quiet'\nseed = 1\nduration = '10m'\n[topology]\nswitches = 2\ncontrol_nodes = 1\nvrouters = 1\n\
                local_macs = 20\n[agent]\npair = true\nstale_hold = '5m'";
    let mut found = Findings::default();
    run_plan(Plan::parse(text).expect("a plan"), |scene, entry| {
        if let Some(entry) = entry {
            return check.on_event(entry, scene, &mut found);
        }
        let mut world = scene.world.clone();
        if world.now() > Time::from_micros(30_000_000) {
            spoil(&mut world);
        }
        let spoiled = Scene {
            world: &world,
            ways: scene.ways,
        };
        check.inspect(spoiled, &mut found);
    });
    found.0.into_iter().map(|(_, what)| what).collect()
}

/// A quiet minute: calls `each` with every event, and once a second.
fn run(each: impl FnMut(Scene<'_>, Option<&Entry>)) -> Stage {
    let plan = Plan::parse("name = 'quiet'\nseed = 1\nduration = '1m'").expect("a plan");
    run_plan(plan, each)
}

fn run_plan(mut plan: Plan, mut each: impl FnMut(Scene<'_>, Option<&Entry>)) -> Stage {
    plan.workload = Workload {
        local_changes_per_h: 0,
        remote_changes_per_h: 0,
        configuration_changes_per_h: 0,
    };
    let mut stage = Stage {
        world: World::new(&plan, false),
        ways: Ways::default(),
    };
    let end = Time::from_micros(plan.duration.as_micros());
    let mut second = Time::ORIGIN;
    while stage.world.next_at().is_some_and(|at| at <= end) {
        stage.world.step();
        while let Some(entry) = stage.world.poll_entry() {
            stage.ways.on_event(&entry, &stage.world);
            each(stage.scene(), Some(&entry));
        }
        if stage.world.now() >= second {
            second = stage.world.now() + std::time::Duration::from_secs(1);
            stage.ways.update(&stage.world);
            each(stage.scene(), None);
        }
    }
    stage
}

/// A world, and since when its ways have been open.
struct Stage {
    world: World,
    ways: Ways,
}

impl Stage {
    fn scene(&self) -> Scene<'_> {
        Scene {
            world: &self.world,
            ways: &self.ways,
        }
    }
}

fn session_event(master: &crate::world::Way<'_>, what: What) -> Entry {
    let event = event::Event {
        conn: master.conn,
        generation: Generation(1),
        what,
    };
    entry(master.agent.name, ActorEvent::Agent(host::Event::Session(event)))
}

fn entry(node: &str, event: ActorEvent) -> Entry {
    Entry {
        id: 1,
        at: Time::ORIGIN,
        node: node.into(),
        event,
        cause: 0,
        session: None,
    }
}

fn findings(find: impl FnOnce(&mut Findings)) -> Vec<String> {
    let mut found = Findings::default();
    find(&mut found);
    found.0.into_iter().map(|(_, what)| what).collect()
}
