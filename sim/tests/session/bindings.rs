//! The bindings of ports and VLANs to logical switches.

use serde_json::{Value, json};
use tandem_core::event::What;
use tandem_core::session::Command;

use crate::contents::{assert_as_wanted, found};
use crate::wire::{SECOND, writes};
use crate::world::{Wanted, World, find_logical_switch, find_port, name, network, ops};

/// The operations on ports that agents sent.
fn port_operations(world: &World) -> Vec<Value> {
    let sent: Vec<_> = world.sent.keys().flat_map(|conn| world.transactions(*conn)).collect();
    let operations = sent.into_iter().flatten();
    operations
        .filter(|operation| operation["table"] == "Physical_Port")
        .collect()
}

/// Another client binds VLANs of `eth1` to a logical switch.
fn bind(world: &mut World, vlans: &[u16], ls: &str) {
    let row = ops::uuid(find_logical_switch(world, ls).expect("a logical switch"));
    let pairs: Vec<Value> = vlans.iter().map(|vlan| json!([vlan, row])).collect();
    let port = ops::uuid(find_port(world, "eth1").expect("eth1"));
    world.edit(
        json!([{"op": "mutate", "table": "Physical_Port", "where": [["_uuid", "==", port]],
        "mutations": [["vlan_bindings", "delete", ["set", vlans]], ["vlan_bindings", "insert", ["map", pairs]]]}]),
    );
}

fn foreign(world: &mut World) {
    world.edit(json!([ops::logical_switch("theirs", 9000)]));
}

#[test]
fn keys_are_added_and_removed_one_by_one_and_the_column_is_never_replaced() {
    let mut world = World::new();
    let conn = world.manage(&Wanted::new().network(1, 5001).network(2, 5002).0);
    world.configure(conn, &Wanted::new().network(1, 5001).0);
    let operations = port_operations(&world);
    assert_eq!(operations.len(), 2);
    assert!(operations.iter().all(|operation| operation["op"] == "mutate"));
    assert_eq!(operations[0]["mutations"][0][1], "insert");
    assert_eq!(
        operations[1]["mutations"],
        json!([["vlan_bindings", "delete", ["set", [2]]]])
    );
}

#[test]
fn a_key_that_changes_is_deleted_and_inserted_in_one_operation() {
    let wanted = |n| Wanted::new().network(1, 5001).network(2, 5002).bind("eth2", 10, n);
    let mut world = World::new();
    let conn = world.manage(&wanted(1).0);
    world.configure(conn, &wanted(2).0);
    assert_as_wanted(&world, &wanted(2).0);
    let operations = port_operations(&world);
    let mutations = operations.last().expect("one")["mutations"].as_array().cloned();
    let kinds: Vec<_> = mutations.expect("mutations").iter().map(|it| it[1].clone()).collect();
    assert_eq!(kinds, ["delete", "insert"]);
}

#[test]
fn all_keys_of_a_port_change_in_one_operation() {
    let wanted = (1..=50).fold(Wanted::new(), |wanted, n| wanted.network(n, 5000 + n)).0;
    let mut world = World::new();
    let conn = world.manage(&wanted);
    world.disconnect(conn);
    let port = find_port(&world, "eth1").expect("eth1");
    let unbound = json!({"vlan_bindings": ["map", []]});
    world.edit(json!([{"op": "update", "table": "Physical_Port", "where": [["_uuid", "==", ops::uuid(port)]], "row": unbound}]));
    world.sent.clear();
    world.manage(&wanted);
    assert_as_wanted(&world, &wanted);
    assert_eq!(port_operations(&world).len(), 1);
}

#[test]
fn untagged_and_tagged_ports_of_one_network_are_bound() {
    let wanted = Wanted::new()
        .unbound(1, 5001)
        .bind("eth1", 0, 1)
        .bind("eth2", 4095, 1)
        .0;
    let mut world = World::new();
    world.manage(&wanted);
    assert_as_wanted(&world, &wanted);
}

#[test]
fn a_key_that_names_a_foreign_logical_switch_stays() {
    let mut world = World::new();
    foreign(&mut world);
    bind(&mut world, &[77], "theirs");
    let conn = world.manage(&Wanted::new().network(1, 5001).0);
    world.configure(conn, &Wanted::new().0);
    assert_eq!(
        found(&world.switch).bindings,
        [(("eth1".into(), 77), "theirs".into())].into()
    );
}

#[test]
fn a_foreign_key_where_ours_belongs_is_replaced_and_reported() {
    let mut world = World::new();
    foreign(&mut world);
    bind(&mut world, &[1, 77], "theirs");
    world.manage(&Wanted::new().network(1, 5001).0);
    let bindings = found(&world.switch).bindings;
    assert_eq!(bindings[&("eth1".into(), 1)], name(1));
    assert_eq!(bindings[&("eth1".into(), 77)], "theirs");
    let reported = What::BindingReplaced {
        switch: "tor1".into(),
        port: "eth1".into(),
        vlan: 1,
        foreign: "theirs".into(),
    };
    assert_eq!(world.count(|what| *what == reported), 1);
}

#[test]
fn a_foreign_key_is_reported_once_and_not_before_it_was_replaced() {
    let mut world = World::new();
    foreign(&mut world);
    bind(&mut world, &[1], "theirs");
    let conn = world.connect(&Wanted::new().network(1, 5001).0);
    let refuse = |operations: &[Value]| {
        writes(operations, "Physical_Port").then(|| ("constraint violation", "not now".to_owned()))
    };
    world.pass_refusing(conn, SECOND, refuse);
    let reports = |world: &World| world.count(|what| matches!(what, What::BindingReplaced { .. }));
    assert!(
        world.count(|what| matches!(what, What::TransactionRejected { .. })) > 1,
        "it was tried again"
    );
    assert_eq!(reports(&world), 0, "nothing was replaced");
    world.pass(5 * SECOND);
    assert_eq!(found(&world.switch).bindings[&("eth1".into(), 1)], name(1));
    assert_eq!(reports(&world), 1);
}

#[test]
fn a_stale_key_of_ours_goes() {
    let mut world = World::new();
    let conn = world.manage(&Wanted::new().network(1, 5001).0);
    world.disconnect(conn);
    bind(&mut world, &[8, 9], &name(1));
    world.manage(&Wanted::new().network(1, 5001).0);
    assert_as_wanted(&world, &Wanted::new().network(1, 5001).0);
}

#[test]
fn a_stale_key_stays_as_long_as_the_configuration_is_incomplete_and_new_ones_come_all_the_same() {
    let mut world = World::new();
    let conn = world.manage(&Wanted::new().network(1, 5001).0);
    world.disconnect(conn);
    bind(&mut world, &[9], &name(1));
    let configuration = Wanted::new().network(1, 5001).network(2, 5002).0;
    let conn = world.open(&configuration, false, true);
    world.run();
    let vlans: Vec<i64> = found(&world.switch).bindings.keys().map(|(_, vlan)| *vlan).collect();
    assert_eq!(vlans, [1, 2, 9]);
    world.configure(conn, &configuration);
    assert_as_wanted(&world, &configuration);
}

#[test]
fn a_binding_that_another_client_edits_is_put_back() {
    let configuration = Wanted::new().network(1, 5001).network(2, 5002).0;
    let mut world = World::new();
    world.manage(&configuration);
    bind(&mut world, &[1, 3], &name(2));
    world.run();
    assert_as_wanted(&world, &configuration);
    assert!(world.words().contains(&"Repaired"));
}

#[test]
fn a_port_that_is_not_there_is_named_in_status_and_bound_when_it_comes() {
    let configuration = Wanted::new().unbound(1, 5001).bind("eth9", 10, 1).0;
    let mut world = World::new();
    let conn = world.manage(&configuration);
    let missing = ("port eth9 of tor1".to_owned(), "the switch has no such port".to_owned());
    assert_eq!(world.status(conn).blocked, [missing]);
    add_port(&mut world, "eth9");
    assert_as_wanted(&world, &configuration);
    assert_eq!(world.status(conn).blocked, []);
}

fn add_port(world: &mut World, port: &str) {
    world.edit(json!([
        {"op": "insert", "table": "Physical_Port", "uuid-name": "p", "row": {"name": port}},
        {"op": "mutate", "table": "Physical_Switch", "where": [["name", "==", "tor1"]],
            "mutations": [["ports", "insert", ["set", [["named-uuid", "p"]]]]]},
    ]));
    world.run();
}

#[test]
fn a_port_that_is_deleted_and_comes_back_with_another_uuid_is_bound_again() {
    let configuration = Wanted::new().network(1, 5001).0;
    let mut world = World::new();
    world.manage(&configuration);
    let port = find_port(&world, "eth1").expect("eth1");
    world.edit(json!([{"op": "mutate", "table": "Physical_Switch", "where": [],
        "mutations": [["ports", "delete", ops::uuid(port)]]}]));
    world.run();
    assert_eq!(find_port(&world, "eth1"), None);
    add_port(&mut world, "eth1");
    assert_as_wanted(&world, &configuration);
    assert_ne!(find_port(&world, "eth1"), Some(port));
}

#[test]
fn a_port_that_is_replaced_in_one_transaction_is_bound_again() {
    let configuration = Wanted::new().network(1, 5001).0;
    let mut world = World::new();
    world.manage(&configuration);
    let port = find_port(&world, "eth1").expect("eth1");
    world.edit(json!([
        {"op": "insert", "table": "Physical_Port", "uuid-name": "p", "row": {"name": "eth1"}},
        {"op": "mutate", "table": "Physical_Switch", "where": [], "mutations": [
            ["ports", "delete", ops::uuid(port)], ["ports", "insert", ["set", [["named-uuid", "p"]]]]]},
    ]));
    world.run();
    assert_as_wanted(&world, &configuration);
}

#[test]
fn a_port_and_vlan_wait_for_their_logical_switch_and_are_bound_as_soon_as_it_is_there() {
    let mut world = World::new();
    foreign(&mut world);
    let configuration = Wanted::new().network(1, 9000).network(2, 5002).0;
    let conn = world.manage(&configuration);
    assert_eq!(found(&world.switch).bindings.len(), 1, "network 1 waits for its VNI");
    let theirs = find_logical_switch(&world, "theirs").expect("there");
    world.edit(json!([ops::delete("Logical_Switch", theirs)]));
    world.run();
    assert_as_wanted(&world, &configuration);
    assert!(world.is_open(conn));
}

#[test]
fn a_vlan_that_moves_between_networks_in_quick_succession_ends_where_it_was_put_last() {
    let wanted = |n| Wanted::new().network(1, 5001).network(2, 5002).bind("eth2", 10, n).0;
    let mut world = World::new();
    let conn = world.manage(&wanted(1));
    for n in [2, 1, 2, 1, 2] {
        let (configuration, complete) = (wanted(n).into(), true);
        world.command(
            conn,
            Command::Configure {
                configuration,
                complete,
            },
        );
    }
    world.run();
    assert_as_wanted(&world, &wanted(2));
}

#[test]
fn a_network_that_is_bound_and_nowhere_described_binds_nothing() {
    let mut configuration = Wanted::new().network(1, 5001).network(2, 5002).0;
    configuration.networks.remove(&network(2));
    let mut world = World::new();
    let conn = world.manage(&configuration);
    assert_eq!(found(&world.switch).bindings.len(), 1);
    assert!(
        !world
            .transactions(conn)
            .iter()
            .any(|operations| writes(operations, "Ucast_Macs_Remote"))
    );
}

#[test]
fn a_network_that_was_made_anew_gets_the_vni_and_the_vlan_of_the_old_one() {
    let mut world = World::new();
    let conn = world.manage(&Wanted::new().unbound(1, 5001).bind("eth1", 10, 1).0);
    let configuration = Wanted::new().unbound(2, 5001).bind("eth1", 10, 2).0;
    world.configure(conn, &configuration);
    assert_as_wanted(&world, &configuration);
}
