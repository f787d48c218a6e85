//! The broadcast row: exactly one in each wanted logical switch, at our services node, before anything else.

use serde_json::{Value, json};
use tandem_core::Uuid;
use tandem_core::event::What;
use tandem_sim::switch::{Options, SchemaVersion};

use crate::contents::{assert_as_wanted, found};
use crate::wire::{SECOND, mentions, writes};
use crate::world::{TSN_A, TSN_B, Wanted, World, find_locator, find_logical_switch, leave_behind, name, ops, vtep};

fn rows(world: &World) -> Vec<Uuid> {
    world.switch.rows("Mcast_Macs_Remote").map(|(row, _)| row).collect()
}

/// A switch with logical switch 1, whose broadcast row was left at another services node.
fn left_at(tsn: std::net::Ipv4Addr) -> World {
    let mut world = World::new();
    leave_behind(&mut world, &name(1), 5001, tsn, &[]);
    world
}

/// One more row for broadcast in logical switch 1.
fn add_row(world: &mut World, mac: &str, ends: &[std::net::Ipv4Addr]) {
    let ls = ops::uuid(find_logical_switch(world, &name(1)).expect("there"));
    let mut operations = Vec::new();
    let mut locators = Vec::new();
    for (number, end) in ends.iter().enumerate() {
        locators.push(match find_locator(world, *end) {
            Some(row) => ops::uuid(row),
            None => {
                operations.push(ops::locator(&format!("l{number}"), *end));
                ops::named(&format!("l{number}"))
            }
        });
    }
    let row = json!({"locators": ["set", locators]});
    operations.push(json!({"op": "insert", "table": "Physical_Locator_Set", "uuid-name": "s", "row": row}));
    operations.push(ops::mcast("Mcast_Macs_Remote", mac, &ls, "s"));
    world.edit(Value::Array(operations));
}

fn all_networks(count: u32) -> Wanted {
    (1..=count).fold(Wanted::new(), |wanted, n| wanted.network(n, 5000 + n))
}

/// The same switch, left complete by the other agent.
fn left_complete(wanted: Wanted) -> World {
    let mut world = World::new();
    let conn = world.manage(&wanted.agent_b().0);
    world.disconnect(conn);
    world.commits();
    world.events.clear();
    world
}

#[test]
fn a_row_at_another_services_node_is_repointed_in_place() {
    let mut world = left_at(TSN_B);
    let before = rows(&world);
    let configuration = all_networks(1).0;
    world.manage(&configuration);
    assert_as_wanted(&world, &configuration);
    assert_eq!(rows(&world), before);
}

#[test]
fn the_old_locator_and_set_vanish_with_their_last_user() {
    let mut world = left_at(TSN_B);
    world.manage(&all_networks(1).0);
    assert_eq!(find_locator(&world, TSN_B), None);
    assert_eq!(world.switch.rows("Physical_Locator_Set").count(), 1);
}

#[test]
fn the_other_spelling_of_broadcast_becomes_unknown_dst_in_place() {
    let mut world = left_at(TSN_A);
    world.edit(
        json!([{"op": "update", "table": "Mcast_Macs_Remote", "where": [], "row": {"MAC": "ff:ff:ff:ff:ff:ff"}}]),
    );
    let before = rows(&world);
    world.manage(&all_networks(1).0);
    assert_as_wanted(&world, &all_networks(1).0);
    assert_eq!(rows(&world), before);
}

#[test]
fn of_several_rows_the_right_one_stays_and_the_others_go() {
    let mut world = left_at(TSN_A);
    let right = rows(&world);
    add_row(&mut world, "ff:ff:ff:ff:ff:ff", &[TSN_A]);
    add_row(&mut world, "unknown-dst", &[TSN_B]);
    add_row(&mut world, "unknown-dst", &[TSN_A, TSN_B]);
    world.manage(&all_networks(1).0);
    assert_as_wanted(&world, &all_networks(1).0);
    assert_eq!(rows(&world), right);
}

#[test]
fn a_row_with_two_tunnel_ends_is_brought_to_one() {
    let mut world = World::new();
    world.edit(json!([ops::logical_switch(&name(1), 5001)]));
    add_row(&mut world, "unknown-dst", &[TSN_A, TSN_B]);
    world.manage(&all_networks(1).0);
    assert_as_wanted(&world, &all_networks(1).0);
}

#[test]
fn a_missing_row_is_inserted_by_the_claim() {
    let mut world = World::new();
    world.edit(json!([ops::logical_switch(&name(1), 5001)]));
    let conn = world.manage(&all_networks(1).0);
    assert_as_wanted(&world, &all_networks(1).0);
    assert_eq!(world.lanes_written(conn)[0], "broadcast");
}

#[test]
fn a_new_logical_switch_gets_its_row_in_the_transaction_that_creates_it() {
    let mut world = World::new();
    let conn = world.manage(&all_networks(3).0);
    let transactions = world.transactions(conn);
    for operations in transactions
        .iter()
        .filter(|operations| writes(operations, "Logical_Switch"))
    {
        assert!(writes(operations, "Mcast_Macs_Remote"));
    }
    assert!(!world.lanes_written(conn).contains(&"broadcast".into()));
}

#[test]
fn a_claim_is_one_transaction_with_one_locator_and_one_set() {
    let mut world = left_complete(all_networks(300));
    let conn = world.manage(&all_networks(300).0);
    let transactions = world.transactions(conn);
    let [claim] = transactions.as_slice() else {
        panic!("one transaction, not {}", transactions.len());
    };
    let inserts = claim.iter().filter(|operation| operation["op"] == "insert").count();
    let updates = claim.iter().filter(|operation| operation["op"] == "update").count();
    assert_eq!((inserts, updates), (2, 300));
    assert!(world.happened(|what| matches!(what, What::Claimed { rows: 300 })));
}

#[test]
fn a_claim_is_split_to_what_the_switch_can_take() {
    let mut world = left_complete(all_networks(25));
    let mut configuration = all_networks(25).0;
    configuration
        .switches
        .get_mut(&"tor1".into())
        .expect("tor1")
        .rows_per_transaction_max = Some(10);
    let conn = world.manage(&configuration);
    let sizes: Vec<usize> = world
        .transactions(conn)
        .iter()
        .map(|claim| claim.iter().filter(|operation| operation["op"] == "update").count())
        .collect();
    assert_eq!(sizes, [10, 10, 5]);
    assert_as_wanted(&world, &configuration);
}

#[test]
fn a_claim_that_fails_is_split_until_the_culprit_stands_alone_and_the_others_go_through() {
    let mut world = left_complete(all_networks(8));
    let culprit = rows(&world)[5].to_string();
    let conn = world.connect(&all_networks(8).0);
    let refuse = |operations: &[Value]| {
        mentions(operations, &culprit).then(|| ("constraint violation", "no such luck".to_owned()))
    };
    world.run_refusing(conn, refuse);
    let at = |tsn: std::net::Ipv4Addr| {
        let rows = found(&world.switch).broadcast.into_values();
        rows.filter(|rows| rows[0].1 == [tsn.to_string()]).count()
    };
    assert_eq!((at(TSN_A), at(TSN_B)), (7, 1));
    assert!(
        world.happened(|what| matches!(what, What::Claimed { rows: 7 })),
        "each row counts once, and only when it was applied"
    );
    world.pass_refusing(conn, 5 * SECOND, refuse);
    let quarantine = world.status(conn).quarantine;
    assert_eq!(quarantine.len(), 1);
    assert!(quarantine[0].0.starts_with("broadcast row of "), "{quarantine:?}");
    assert_eq!(quarantine[0].1, "constraint violation: no such luck");
}

#[test]
fn the_claim_holds_up_nothing_although_one_row_of_it_fails() {
    let wanted = || all_networks(8).mac(1, crate::world::mac(1), vtep(1));
    let mut world = left_complete(all_networks(8));
    let culprit = rows(&world)[5].to_string();
    let conn = world.connect(&wanted().0);
    world.run_refusing(conn, |operations| {
        mentions(operations, &culprit).then(|| ("constraint violation", String::new()))
    });
    assert_eq!(found(&world.switch).remote.len(), 1);
    assert!(world.happened(|what| matches!(what, What::Audited { left: 1, .. })));
}

#[test]
fn a_row_that_another_client_deletes_or_repoints_is_put_back() {
    let mut world = World::new();
    let configuration = all_networks(1).0;
    world.manage(&configuration);
    let row = rows(&world)[0];
    world.edit(json!([ops::delete("Mcast_Macs_Remote", row)]));
    world.run();
    assert_as_wanted(&world, &configuration);
    let row = ops::uuid(rows(&world)[0]);
    world.edit(json!([
        ops::locator("l", TSN_B),
        ops::set("s", "l"),
        {"op": "update", "table": "Mcast_Macs_Remote", "where": [["_uuid", "==", row]], "row": {"locator_set": ops::named("s")}},
    ]));
    world.pass(SECOND);
    assert_as_wanted(&world, &configuration);
    assert_eq!(world.count(|what| matches!(what, What::Repaired { .. })), 2);
}

#[test]
fn another_services_node_in_the_configuration_moves_every_row() {
    let mut world = World::new();
    let conn = world.manage(&all_networks(3).0);
    let mut configuration = all_networks(3).0;
    configuration.session.tsn = TSN_B;
    world.commits();
    world.configure(conn, &configuration);
    assert_as_wanted(&world, &configuration);
    assert_eq!(world.commits().len(), 1);
}

#[test]
fn replication_is_left_to_the_services_node_where_the_schema_knows_the_word() {
    for (version, expected) in [(SchemaVersion::V1_5_0, false), (SchemaVersion::V1_7_0, true)] {
        let mut world = World::with(Options::new(version));
        let conn = world.manage(&all_networks(1).0);
        let transactions = world.transactions(conn);
        let found = transactions
            .iter()
            .any(|operations| mentions(operations, "service_node"));
        assert_eq!(found, expected);
    }
}

#[test]
fn a_logical_switch_that_replicates_at_the_source_is_brought_back() {
    let mut world = left_at(TSN_A);
    let source =
        json!({"op": "update", "table": "Logical_Switch", "where": [], "row": {"replication_mode": "source_node"}});
    world.edit(json!([source]));
    world.manage(&all_networks(1).0);
    let mode = |world: &World| {
        let (_, row) = world.switch.rows("Logical_Switch").next().expect("there");
        row.text("replication_mode").map(ToOwned::to_owned)
    };
    assert_eq!(mode(&world).as_deref(), Some("service_node"));
    world.edit(json!([source]));
    world.run();
    assert_eq!(mode(&world).as_deref(), Some("service_node"));
}

#[test]
fn a_logical_switch_is_named_after_its_network_with_a_prefix_that_is_not_all_digits() {
    let mut world = World::new();
    world.manage(&all_networks(1).0);
    assert!(find_logical_switch(&world, "Contrail-00000000-0000-0000-0000-000000000001").is_some());
    let mut configuration = all_networks(1).0;
    configuration.session.logical_switch_prefix = "ls.".into();
    let mut world = World::new();
    world.manage(&configuration);
    assert!(find_logical_switch(&world, "ls.00000000-0000-0000-0000-000000000001").is_some());
}
