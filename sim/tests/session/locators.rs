//! Tunnel ends: unique, shared, and gone with the last row that refers to them.

use std::net::Ipv4Addr;

use serde_json::json;
use tandem_core::event::What;
use tandem_core::session::Command;
use tandem_core::{ConnId, Uuid};

use crate::contents::assert_as_wanted;
use crate::wire::{SECOND, mentions};
use crate::world::{
    TSN_A, TUNNEL_IP, Wanted, World, find_locator, find_remote, learn, leave_behind, mac, name, ops, vtep,
};

fn refusals(world: &World) -> usize {
    world.count(|what| matches!(what, What::TransactionRejected { .. }))
}

/// `count` MACs of network 1 behind one tunnel end.
fn macs_behind(count: u32, end: Ipv4Addr) -> Wanted {
    (0..count).fold(Wanted::new().network(1, 5001), |wanted, n| wanted.mac(1, mac(n), end))
}

fn configure(world: &mut World, conn: ConnId, wanted: &Wanted) {
    let (configuration, complete) = (wanted.0.clone().into(), true);
    world.command(
        conn,
        Command::Configure {
            configuration,
            complete,
        },
    );
}

fn locators(world: &World) -> usize {
    world.switch.rows("Physical_Locator").count()
}

#[test]
fn many_rows_that_need_one_new_locator_create_it_once_and_nothing_is_refused() {
    let configuration = macs_behind(350, vtep(1)).network(2, 5002).network(3, 5003).0;
    let mut world = World::new();
    let conn = world.manage(&configuration);
    assert_as_wanted(&world, &configuration);
    assert_eq!((refusals(&world), locators(&world)), (0, 2));
    let created = |end: Ipv4Addr| {
        let new = format!("\"dst_ip\":\"{end}\"");
        world
            .transactions(conn)
            .iter()
            .filter(|operations| mentions(operations, &new))
            .count()
    };
    assert_eq!((created(vtep(1)), created(TSN_A)), (1, 1));
}

#[test]
fn a_locator_that_is_there_is_used_even_if_foreign() {
    let mut world = World::new();
    leave_behind(&mut world, "theirs", 9000, TSN_A, &[(mac(1).to_string(), vtep(1))]);
    let rows = [find_locator(&world, TSN_A), find_locator(&world, vtep(1))];
    world.manage(&macs_behind(3, vtep(1)).0);
    assert_eq!([find_locator(&world, TSN_A), find_locator(&world, vtep(1))], rows);
    assert_eq!((locators(&world), refusals(&world)), (2, 0));
}

#[test]
fn a_locator_goes_with_the_last_mac_behind_it() {
    let mut world = World::new();
    let conn = world.manage(&macs_behind(3, vtep(1)).0);
    world.configure(conn, &macs_behind(3, vtep(2)).0);
    assert_as_wanted(&world, &macs_behind(3, vtep(2)).0);
    assert_eq!(find_locator(&world, vtep(1)), None);
}

#[test]
fn another_program_that_creates_the_same_locator_first_wins_and_we_use_its_row() {
    let configuration = macs_behind(30, vtep(1));
    let mut world = World::new();
    let conn = world.manage(&Wanted::new().network(1, 5001).0);
    configure(&mut world, conn, &configuration);
    world.wake_sessions();
    assert_eq!(world.lanes_written(conn).last().map(String::as_str), Some("unicast"));
    leave_behind(&mut world, "theirs", 9000, vtep(1), &[]);
    let theirs = find_locator(&world, vtep(1));
    world.pass(SECOND);
    assert!(world.happened(
        |what| matches!(what, What::TransactionRejected { text, .. } if text.starts_with("constraint violation"))
    ));
    assert_eq!(find_locator(&world, vtep(1)), theirs);
    let macs = world
        .switch
        .rows("Ucast_Macs_Remote")
        .filter(|(_, row)| row.reference("locator") == theirs);
    assert_eq!(macs.count(), 30);
}

#[test]
fn a_locator_that_vanishes_under_a_transaction_is_created_again() {
    let configuration = macs_behind(30, vtep(1));
    let mut world = World::new();
    leave_behind(&mut world, "theirs", 9000, TSN_A, &[(mac(900).to_string(), vtep(1))]);
    let conn = world.manage(&Wanted::new().network(1, 5001).0);
    configure(&mut world, conn, &configuration);
    world.wake_sessions();
    world.edit(json!([{"op": "delete", "table": "Ucast_Macs_Remote", "where": []}]));
    assert_eq!(find_locator(&world, vtep(1)), None);
    world.pass(SECOND);
    assert!(world.happened(
        |what| matches!(what, What::TransactionRejected { text, .. } if text.starts_with("referential integrity violation"))
    ));
    assert_eq!(world.switch.rows("Ucast_Macs_Remote").count(), 30);
}

#[test]
fn a_locator_that_the_switch_drops_during_the_claim_is_created_again() {
    let configuration = Wanted::new().network(1, 5001).network(2, 5002);
    let mut world = World::new();
    let first = world.manage(&configuration.0);
    world.disconnect(first);
    learn(&mut world, &name(1), mac(1), crate::world::TSN_B);
    let configuration = Wanted::new().network(1, 5001).network(2, 5002).agent_b().0;
    let conn = world.connect(&configuration);
    world.switch_works(conn);
    world.session_works(conn);
    world.edit(json!([{"op": "delete", "table": "Ucast_Macs_Local", "where": []}]));
    world.pass(SECOND);
    assert_as_wanted(&world, &configuration);
    assert!(refusals(&world) > 0);
}

/// Another client uses a locator that has a tunnel key of its own.
fn keyed_locator(world: &mut World, end: Ipv4Addr) -> Uuid {
    let row = json!({"dst_ip": end.to_string(), "encapsulation_type": "vxlan_over_ipv4", "tunnel_key": 7});
    world.edit(json!([
        ops::logical_switch("theirs", 9000),
        {"op": "insert", "table": "Physical_Locator", "uuid-name": "l", "row": row},
        ops::ucast("Ucast_Macs_Remote", "02:00:00:00:09:99", &ops::named("ls"), &ops::named("l")),
    ]));
    find_locator(world, end).expect("there")
}

#[test]
fn a_locator_with_a_key_of_its_own_is_not_ours_to_use() {
    let mut world = World::new();
    let macs = keyed_locator(&mut world, vtep(1));
    let wanted = macs_behind(3, vtep(1)).0;
    world.manage(&wanted);
    let ours = crate::contents::ours(&crate::contents::found(&world.switch));
    assert_eq!(ours, crate::contents::wanted(&wanted));
    let used = world
        .switch
        .rows("Ucast_Macs_Remote")
        .filter(|(_, row)| row.reference("locator") == Some(macs));
    assert_eq!(used.count(), 1);
}

#[test]
fn broadcast_never_stays_on_a_locator_with_a_key_of_its_own() {
    let mut world = World::new();
    let keyed = keyed_locator(&mut world, TSN_A);
    world.manage(&Wanted::new().network(1, 5001).0);
    let sets: Vec<Uuid> = world
        .switch
        .rows("Physical_Locator_Set")
        .flat_map(|(_, row)| row.references("locators"))
        .collect();
    assert_eq!(sets.len(), 1);
    assert_ne!(sets[0], keyed);
}

#[test]
fn the_switchs_own_tunnel_end_needs_no_second_locator() {
    let mut world = World::new();
    let mut wanted = Wanted::new().network(1, 5001);
    wanted.0.session.tsn = TUNNEL_IP;
    world.manage(&wanted.0);
    learn(&mut world, &name(1), mac(1), TUNNEL_IP);
    assert_eq!(locators(&world), 1);
}

#[test]
fn the_tunnel_end_of_a_mac_changes_and_an_end_that_is_gone_takes_the_row_with_it() {
    let mut world = World::new();
    let wanted = |end| Wanted::new().network(1, 5001).mac(1, mac(1), end);
    let conn = world.manage(&wanted(vtep(1)).0);
    let row = find_remote(&world, &mac(1).to_string());
    world.configure(conn, &wanted(vtep(2)).0);
    assert_as_wanted(&world, &wanted(vtep(2)).0);
    assert_eq!(find_remote(&world, &mac(1).to_string()), row);
    world.configure(conn, &Wanted::new().network(1, 5001).0);
    assert_eq!(find_remote(&world, &mac(1).to_string()), []);
}

#[test]
fn a_locator_that_gets_a_key_of_its_own_counts_as_foreign() {
    let configuration = Wanted::new().network(1, 5001).mac(1, mac(1), vtep(1)).0;
    let mut world = World::new();
    world.manage(&configuration);
    let keyed = find_locator(&world, vtep(1)).expect("a locator");
    let change = json!({"op": "update", "table": "Physical_Locator", "where": [["_uuid", "==", ops::uuid(keyed)]], "row": {"tunnel_key": 77}});
    world.edit(json!([change]));
    world.run();
    let row = find_remote(&world, &mac(1).to_string())[0];
    let rows: Vec<_> = world
        .switch
        .rows("Ucast_Macs_Remote")
        .filter(|(uuid, _)| *uuid == row)
        .collect();
    assert_ne!(rows[0].1.reference("locator"), Some(keyed));
    assert_as_wanted(&world, &configuration);
}
