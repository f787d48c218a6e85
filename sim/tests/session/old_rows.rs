//! Only a row that the switch inserted while the owner watched is a MAC that it learned just now. A row that becomes a
//! route for any other reason may be older than the rows of other switches, and must not count as a move.

use serde_json::json;
use tandem_core::ConnId;
use tandem_core::session::Notice;

use crate::world::{TUNNEL_IP, Wanted, World, learn, mac, name, ops, vtep};

fn wanted() -> Wanted {
    Wanted::new().network(1, 5001).network(2, 5002)
}

fn without_network() -> Wanted {
    Wanted::new().network(2, 5002)
}

/// The MACs that were exported since this was asked last, and whether each was learned just now.
fn exported(world: &mut World) -> Vec<(u8, bool)> {
    let notices = std::mem::take(&mut world.notices).into_iter();
    let exported = notices.filter_map(|(_, _, notice)| match notice {
        Notice::Exported { route, just_learned } => Some((route.mac.0[5], just_learned)),
        _ => None,
    });
    exported.collect()
}

/// An owner, and a MAC that the switch has learned meanwhile.
fn learned() -> (World, ConnId) {
    let mut world = World::new();
    let conn = world.manage(&wanted().0);
    learn(&mut world, &name(1), mac(1), TUNNEL_IP);
    assert_eq!(exported(&mut world), [(1, true)]);
    (world, conn)
}

#[test]
fn a_network_that_is_had_again_has_old_rows_and_those_that_came_meanwhile() {
    let (mut world, conn) = learned();
    world.configure(conn, &without_network().0);
    learn(&mut world, &name(1), mac(2), TUNNEL_IP);
    assert_eq!(exported(&mut world), []);
    world.configure(conn, &wanted().0);
    assert_eq!(exported(&mut world), [(1, false), (2, true)]);
    world.configure(conn, &without_network().0);
    world.configure(conn, &wanted().0);
    assert_eq!(exported(&mut world), [(1, false), (2, false)], "no more than once");
}

#[test]
fn a_row_that_a_switch_deletes_and_inserts_again_is_learned_again() {
    let (mut world, _) = learned();
    world.edit(json!([{"op": "delete", "table": "Ucast_Macs_Local", "where": []}]));
    world.run();
    learn(&mut world, &name(1), mac(1), TUNNEL_IP);
    assert_eq!(exported(&mut world), [(1, true)]);
}

#[test]
fn another_tunnel_end_of_the_switch_makes_no_row_new() {
    let (mut world, conn) = learned();
    world.configure(conn, &without_network().0);
    world.edit(json!([
        ops::locator("l", vtep(77)),
        {"op": "update", "table": "Ucast_Macs_Local", "where": [], "row": {"locator": ops::named("l")}},
    ]));
    world.run();
    world.configure(conn, &wanted().0);
    assert_eq!(exported(&mut world), [(1, false)]);
}

#[test]
fn a_former_owner_may_have_exported_what_came_before_this_session_may_write() {
    let (mut world, owner) = learned();
    let waits = world.manage(&wanted().agent_b().0);
    learn(&mut world, &name(1), mac(2), TUNNEL_IP);
    exported(&mut world);
    world.disconnect(owner);
    world.run();
    assert_eq!(exported(&mut world), [(1, false), (2, false)]);
    world.configure(waits, &without_network().agent_b().0);
    world.configure(waits, &wanted().agent_b().0);
    assert_eq!(exported(&mut world), [(1, false), (2, false)]);
    learn(&mut world, &name(1), mac(3), TUNNEL_IP);
    assert_eq!(exported(&mut world), [(3, true)]);
}

#[test]
fn a_row_in_a_logical_switch_that_gets_our_name_later_is_an_old_one() {
    let (mut world, conn) = learned();
    world.edit(json!([ops::logical_switch("theirs", 9000)]));
    learn(&mut world, "theirs", mac(4), TUNNEL_IP);
    world.configure(conn, &wanted().network(3, 9000).0);
    let row = json!({"name": name(3)});
    world.edit(json!([
        {"op": "update", "table": "Logical_Switch", "where": [["name", "==", "theirs"]], "row": row}
    ]));
    world.run();
    assert_eq!(exported(&mut world), [(4, false)]);
}
