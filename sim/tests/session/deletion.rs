//! Deletions: of which rows, when, and of which rows never.

use serde_json::json;
use tandem_core::session::Command;
use tandem_core::{ConnId, Mac};

use crate::contents::{assert_as_wanted, foreign, found};
use crate::wire::SECOND;
use crate::world::{
    TSN_A, TUNNEL_IP, Wanted, World, find_logical_switch, find_port, learn, leave_behind, mac, name, network, ops, vtep,
};

fn two_networks() -> Wanted {
    Wanted::new().network(1, 5001).network(2, 5002).macs(1, 10)
}

/// A switch full of rows that are not desired any more: MACs, a logical switch with MACs, a binding.
fn full_of_leftovers() -> World {
    let mut world = World::new();
    let conn = world.manage(&two_networks().network(3, 5003).macs(1, 20).macs(3, 20).0);
    world.disconnect(conn);
    world.sent.clear();
    world.commits();
    world
}

/// Rows of another client: a logical switch with broadcast, MACs and a binding.
fn add_theirs(world: &mut World) {
    let macs = [(mac(900).to_string(), vtep(90)), ("AA:bb:00:00:00:01".into(), vtep(91))];
    leave_behind(world, "theirs", 9000, vtep(92), &macs);
    leave_behind(world, "Contrail-but-not-quite", 9001, vtep(93), &[]);
    let row = ops::uuid(find_logical_switch(world, "theirs").expect("there"));
    let port = ops::uuid(find_port(world, "eth2").expect("eth2"));
    world.edit(
        json!([{"op": "mutate", "table": "Physical_Port", "where": [["_uuid", "==", port]],
        "mutations": [["vlan_bindings", "insert", ["map", [[77, row]]]]]}]),
    );
    learn(world, "theirs", mac(901), vtep(94));
}

fn unlearn(world: &mut World, mac: Mac) {
    let text = mac.to_string();
    world.edit(json!([{"op": "delete", "table": "Ucast_Macs_Local", "where": [["MAC", "==", text]]}]));
    world.run();
}

fn has(world: &World, n: u32) -> bool {
    found(&world.switch).logical_switches.contains_key(&name(n))
}

#[test]
fn nothing_is_deleted_before_the_configuration_is_complete_and_everything_else_is_done_all_the_same() {
    let mut world = full_of_leftovers();
    let before = found(&world.switch);
    let configuration = two_networks().network(4, 5004).mac(2, mac(99), vtep(1)).0;
    let conn = world.open(&configuration, false, true);
    world.run();
    let after = found(&world.switch);
    assert!(before.remote.keys().all(|key| after.remote.contains_key(key)));
    assert!(before.bindings.keys().all(|key| after.bindings.contains_key(key)));
    assert!(
        before
            .logical_switches
            .keys()
            .all(|key| after.logical_switches.contains_key(key))
    );
    assert_eq!(after.remote.len(), before.remote.len() + 1);
    assert!(after.logical_switches.contains_key(&name(4)));
    let reasons = world.status(conn).blocked;
    assert!(
        reasons
            .iter()
            .any(|(_, why)| why == "not deleted before configuration and routes are complete"),
        "{reasons:?}"
    );
    world.configure(conn, &configuration);
    assert_as_wanted(&world, &configuration);
}

#[test]
fn a_mac_that_waits_for_its_deletion_and_is_desired_again_does_not_wait_any_more() {
    let mut world = World::new();
    leave_behind(&mut world, &name(1), 5001, TSN_A, &[(mac(1).to_string(), vtep(1))]);
    let mut wanted = Wanted::new().network(1, 5001);
    wanted.0.session.routed = true;
    let conn = world.manage(&wanted.0);
    let waiting = |world: &World| world.status(conn).blocked.len();
    assert_eq!((waiting(&world), world.status(conn).pending), (1, 1));
    let import = |vtep| Command::Import {
        network: network(1),
        macs: vec![(mac(1), vtep)],
    };
    world.command(conn, import(Some(vtep(1))));
    assert_eq!(
        (waiting(&world), world.status(conn).pending),
        (0, 0),
        "an import made it right"
    );
    world.command(conn, import(None));
    world.run();
    assert_eq!(waiting(&world), 1);
}

#[test]
fn leftovers_of_ours_go_once_the_configuration_is_complete() {
    let mut world = full_of_leftovers();
    world.manage(&two_networks().0);
    assert_as_wanted(&world, &two_networks().0);
}

#[test]
fn a_foreign_logical_switch_with_its_macs_and_bindings_stays_as_it_is() {
    let mut world = World::new();
    add_theirs(&mut world);
    let theirs = foreign(&found(&world.switch));
    let locals = world.switch.rows("Ucast_Macs_Local").count();
    let conn = world.manage(&two_networks().0);
    world.configure(conn, &Wanted::new().network(3, 5003).0);
    world.configure(conn, &Wanted::new().0);
    let after = found(&world.switch);
    assert_eq!(after.logical_switches.len(), 2, "{:?}", after.logical_switches);
    for (name, vni) in &theirs.logical_switches {
        assert_eq!(after.logical_switches.get(name), Some(vni));
    }
    assert_eq!(
        (after.broadcast.len(), after.remote.len(), after.bindings.len()),
        (2, 2, 1)
    );
    assert_eq!(world.switch.rows("Ucast_Macs_Local").count(), locals);
}

#[test]
fn deletions_come_last() {
    let mut world = full_of_leftovers();
    let configuration = two_networks().network(4, 5004).macs(4, 250).0;
    let conn = world.manage(&configuration);
    assert_as_wanted(&world, &configuration);
    let lanes = world.lanes_written(conn);
    let first = lanes.iter().position(|lane| lane == "deletions").expect("deletions");
    assert!(lanes[first..].iter().all(|lane| lane == "deletions"), "{lanes:?}");
    assert!(lanes[..first].contains(&"unicast".into()));
}

#[test]
fn a_logical_switch_goes_together_with_what_stands_in_it() {
    let mut world = World::new();
    let conn = world.manage(&two_networks().0);
    world.commits();
    world.configure(conn, &Wanted::new().network(2, 5002).0);
    assert!(!has(&world, 1));
    let lanes: Vec<String> = world.commits().into_iter().map(|(comment, _)| comment).collect();
    assert_eq!(
        lanes,
        [
            "tandem agent-a generation 1: bindings",
            "tandem agent-a generation 1: deletions"
        ]
    );
}

#[test]
fn a_logical_switch_waits_until_the_switch_took_its_own_macs_back() {
    let mut world = World::new();
    let conn = world.manage(&two_networks().0);
    learn(&mut world, &name(1), mac(77), TUNNEL_IP);
    world.configure(conn, &Wanted::new().network(2, 5002).0);
    world.pass(10 * SECOND);
    assert!(has(&world, 1));
    let why = "the switch has not yet taken back the MACs that it learned";
    assert_eq!(world.status(conn).blocked[0].1, why);
    unlearn(&mut world, mac(77));
    assert!(!has(&world, 1));
    assert!(
        world
            .transactions(conn)
            .iter()
            .flatten()
            .all(|it| it["table"] != "Ucast_Macs_Local")
    );
}

#[test]
fn a_switch_that_never_takes_its_macs_back_is_not_waited_for_forever() {
    let mut world = World::new();
    let conn = world.manage(&two_networks().0);
    learn(&mut world, &name(1), mac(77), TUNNEL_IP);
    world.configure(conn, &Wanted::new().network(2, 5002).0);
    world.pass(15 * SECOND - SECOND / 1000);
    assert!(has(&world, 1));
    world.pass(SECOND / 1000);
    assert!(!has(&world, 1));
    assert_eq!(world.switch.rows("Ucast_Macs_Local").count(), 0);
}

#[test]
fn a_network_that_returns_while_its_logical_switch_waits_to_go_stays_with_all_that_is_in_it() {
    let mut world = World::new();
    let conn = world.manage(&two_networks().0);
    learn(&mut world, &name(1), mac(77), TUNNEL_IP);
    let row = find_logical_switch(&world, &name(1));
    world.configure(conn, &Wanted::new().network(2, 5002).0);
    world.pass(10 * SECOND);
    world.configure(conn, &two_networks().0);
    world.pass(60 * SECOND);
    assert_as_wanted(&world, &two_networks().0);
    assert_eq!(find_logical_switch(&world, &name(1)), row);
    assert_eq!(world.switch.rows("Ucast_Macs_Local").count(), 1);
}

#[test]
fn a_logical_switch_that_another_client_still_binds_stays_and_status_shows_why() {
    let mut world = World::new();
    world
        .switch
        .add_physical_switch("tor9", "10.0.1.9", &["eth9"])
        .expect("added");
    world.edit(json!([]));
    let conn = world.manage(&two_networks().0);
    let row = ops::uuid(find_logical_switch(&world, &name(1)).expect("there"));
    let port = ops::uuid(find_port(&world, "eth9").expect("eth9"));
    let bound = json!({"vlan_bindings": ["map", [[5, row]]]});
    world.edit(json!([{"op": "update", "table": "Physical_Port", "where": [["_uuid", "==", port]], "row": bound}]));
    world.run();
    world.configure(conn, &Wanted::new().network(2, 5002).0);
    assert!(has(&world, 1));
    assert_eq!(world.status(conn).blocked[0].1, "ports are still bound to it");
    let free = json!({"vlan_bindings": ["map", []]});
    world.edit(json!([{"op": "update", "table": "Physical_Port", "where": [["_uuid", "==", port]], "row": free}]));
    world.run();
    assert!(!has(&world, 1));
}

#[test]
fn a_network_that_comes_again_with_another_uuid_takes_over_vni_port_and_vlan() {
    let with = |n| {
        Wanted::new()
            .unbound(n, 5001)
            .bind("eth1", 10, n)
            .mac(n, mac(1), vtep(1))
            .0
    };
    let mut world = World::new();
    let conn = world.manage(&with(1));
    world.configure(conn, &with(2));
    world.pass(SECOND);
    assert_as_wanted(&world, &with(2));
    world.assert_vnis_were_always_unique();
}

/// Sends a session its configuration, and lets nothing else happen.
fn configure(world: &mut World, conn: ConnId, wanted: Wanted) {
    let (configuration, complete) = (wanted.0.into(), true);
    world.command(
        conn,
        Command::Configure {
            configuration,
            complete,
        },
    );
}

#[test]
fn what_is_wanted_again_while_its_deletion_is_under_way_comes_back() {
    let mut world = World::new();
    let conn = world.manage(&two_networks().0);
    configure(&mut world, conn, Wanted::new().network(1, 5001).network(2, 5002));
    world.wake_sessions();
    assert_eq!(world.lanes_written(conn).last().map(String::as_str), Some("deletions"));
    configure(&mut world, conn, two_networks());
    world.run();
    assert_as_wanted(&world, &two_networks().0);
}

#[test]
fn a_network_that_returns_while_its_deletion_is_under_way_comes_back() {
    let mut world = World::new();
    let conn = world.manage(&two_networks().0);
    for steps in 0..6 {
        configure(&mut world, conn, Wanted::new().network(2, 5002));
        for _ in 0..steps {
            world.switch_works(conn);
            world.session_works(conn);
        }
        configure(&mut world, conn, two_networks());
        world.pass(SECOND);
        assert_as_wanted(&world, &two_networks().0);
    }
}

#[test]
fn deletions_keep_to_the_size_that_the_switch_can_take() {
    let mut world = World::new();
    let limit = |mut wanted: Wanted| {
        wanted
            .0
            .switches
            .get_mut(&"tor1".into())
            .expect("tor1")
            .rows_per_transaction_max = Some(10);
        wanted.0
    };
    let conn = world.manage(&limit(
        Wanted::new().network(1, 5001).network(2, 5002).macs(1, 45).macs(2, 45),
    ));
    world.commits();
    world.switch.take_commits();
    world.configure(conn, &limit(Wanted::new().network(1, 5001)));
    assert_as_wanted(&world, &limit(Wanted::new().network(1, 5001)));
    for commit in world.switch.take_commits() {
        let rows = commit
            .changes
            .iter()
            .filter(|change| !change.table.starts_with("Physical_Locator"));
        assert!(rows.count() <= 10, "{:?}", commit.comments);
    }
}

#[test]
fn rows_that_the_switch_learned_are_never_touched_while_their_network_is_wanted() {
    let mut world = World::new();
    let conn = world.manage(&two_networks().0);
    for n in 0..5 {
        learn(&mut world, &name(1), mac(700 + n), TUNNEL_IP);
    }
    world.configure(conn, &two_networks().network(3, 5003).0);
    world.disconnect(conn);
    world.manage(&two_networks().agent_b().0);
    assert_eq!(world.switch.rows("Ucast_Macs_Local").count(), 5);
}

#[test]
fn a_logical_switch_that_a_router_binds_loses_its_macs_and_is_named() {
    let mut world = World::new();
    let conn = world.manage(&two_networks().0);
    let bound = ops::uuid(find_logical_switch(&world, &name(1)).expect("there"));
    let binding = json!({"name": "router", "switch_binding": ["map", [["10.0.0.0/24", bound]]]});
    world.edit(json!([{"op": "insert", "table": "Logical_Router", "row": binding}]));
    let without = Wanted::new().network(2, 5002);
    world.configure(conn, &without.0);
    world.command(conn, Command::Confirm);
    world.pass(SECOND * 20);
    assert!(has(&world, 1), "a router refers to it");
    let after = found(&world.switch);
    assert_eq!(after.remote.len(), 0, "its MACs are gone: {:?}", after.remote);
    let quarantined = world.status(conn).quarantine;
    assert!(
        quarantined
            .iter()
            .any(|(_, reason)| reason.contains("remaining reference")),
        "{quarantined:?}"
    );
    world.edit(json!([{"op": "delete", "table": "Logical_Router", "where": []}]));
    world.pass(SECOND * 70);
    assert!(!has(&world, 1), "nothing refers to it any more");
    assert_as_wanted(&world, &without.0);
}
