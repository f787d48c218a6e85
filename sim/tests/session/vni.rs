//! One VNI, one logical switch, at every moment.

use serde_json::json;
use tandem_core::session::Command;

use crate::contents::{assert_as_wanted, found};
use crate::wire::SECOND;
use crate::world::{TSN_A, Wanted, World, find_logical_switch, leave_behind, mac, name, ops, vtep};

fn networks(vnis: &[(u32, u32)]) -> Wanted {
    vnis.iter()
        .fold(Wanted::new(), |wanted, (n, vni)| wanted.network(*n, *vni))
}

/// Manages the first, configures the second, and expects the second, with never two of one VNI.
fn changes(before: &[(u32, u32)], after: &[(u32, u32)]) -> World {
    let mut world = World::new();
    let conn = world.manage(&networks(before).0);
    let row = find_logical_switch(&world, &name(before[0].0));
    world.configure(conn, &networks(after).0);
    world.pass(SECOND);
    assert_as_wanted(&world, &networks(after).0);
    world.assert_vnis_were_always_unique();
    assert!(!world.words().contains(&"TransactionRejected"));
    if before[0].0 == after[0].0 {
        assert_eq!(find_logical_switch(&world, &name(after[0].0)), row, "changed in place");
    }
    world
}

#[test]
fn a_vni_changes_in_place() {
    changes(&[(1, 5001)], &[(1, 6001)]);
}

#[test]
fn two_networks_swap_their_vnis() {
    changes(&[(1, 5001), (2, 5002)], &[(1, 5002), (2, 5001)]);
}

#[test]
fn three_networks_pass_their_vnis_round_in_a_ring() {
    changes(&[(1, 5001), (2, 5002), (3, 5003)], &[(1, 5002), (2, 5003), (3, 5001)]);
    changes(&[(1, 5001), (2, 5002), (3, 5003)], &[(1, 5003), (2, 5001), (3, 5002)]);
}

#[test]
fn two_rings_and_a_chain_at_once() {
    changes(
        &[(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7)],
        &[(1, 2), (2, 1), (3, 4), (4, 5), (5, 3), (6, 7), (7, 8)],
    );
}

#[test]
fn networks_move_up_one_after_the_other() {
    changes(&[(1, 1), (2, 2), (3, 3), (4, 4)], &[(1, 2), (2, 3), (3, 4), (4, 5)]);
}

#[test]
fn a_network_takes_the_vni_of_one_that_goes() {
    changes(&[(1, 5001), (2, 5002)], &[(1, 5002)]);
    changes(&[(2, 5001), (1, 5002)], &[(1, 5001), (3, 5002)]);
}

#[test]
fn one_vni_is_used_by_ten_networks_one_after_the_other() {
    let mut world = World::new();
    let conn = world.manage(&networks(&[(1, 5001)]).0);
    for n in 2..12 {
        world.configure(conn, &networks(&[(n, 5001)]).0);
        assert_as_wanted(&world, &networks(&[(n, 5001)]).0);
    }
    world.assert_vnis_were_always_unique();
}

#[test]
fn a_takeover_in_the_middle_of_a_swap_completes_it() {
    let after = networks(&[(1, 5002), (2, 5001)]);
    let mut world = World::new();
    leave_behind(&mut world, &name(1), 5001, TSN_A, &[]);
    leave_behind(&mut world, &name(2), 5001, TSN_A, &[]);
    world.edit(
        json!([{"op": "update", "table": "Logical_Switch", "where": [["name", "==", name(1)]],
        "row": {"tunnel_key": ["set", []]}}]),
    );
    world.manage(&after.0);
    assert_as_wanted(&world, &after.0);
}

#[test]
fn two_logical_switches_that_were_left_with_one_vni_get_their_own() {
    let mut world = World::new();
    leave_behind(&mut world, &name(1), 5001, TSN_A, &[]);
    leave_behind(&mut world, &name(2), 5001, TSN_A, &[]);
    let wanted = networks(&[(1, 5001), (2, 5002)]).0;
    world.manage(&wanted);
    assert_as_wanted(&world, &wanted);
}

#[test]
fn a_vni_that_a_foreign_logical_switch_holds_is_waited_for_and_status_shows_it() {
    let mut world = World::new();
    leave_behind(&mut world, "theirs", 5001, vtep(90), &[]);
    let wanted = networks(&[(1, 5001), (2, 5002)])
        .mac(1, mac(1), vtep(1))
        .mac(2, mac(1), vtep(1))
        .0;
    let conn = world.manage(&wanted);
    let theirs = find_logical_switch(&world, "theirs").expect("there");
    assert!(!found(&world.switch).logical_switches.contains_key(&name(1)));
    assert!(
        found(&world.switch).logical_switches.contains_key(&name(2)),
        "nothing else is delayed"
    );
    let why = "VNI 5001 is still in use by logical switch theirs, which is not ours";
    assert!(world.status(conn).blocked.iter().any(|(_, reason)| reason == why));
    world.edit(json!([
        {"op": "delete", "table": "Mcast_Macs_Remote", "where": [["logical_switch", "==", ops::uuid(theirs)]]},
        ops::delete("Logical_Switch", theirs),
    ]));
    world.run();
    assert_as_wanted(&world, &wanted);
    assert_eq!(world.status(conn).blocked, []);
}

#[test]
fn a_network_that_changes_to_a_vni_that_others_hold_keeps_its_own_until_it_is_free() {
    let mut world = World::new();
    leave_behind(&mut world, "theirs", 6001, vtep(90), &[]);
    let conn = world.manage(&networks(&[(1, 5001)]).0);
    world.configure(conn, &networks(&[(1, 6001)]).0);
    assert_eq!(found(&world.switch).logical_switches[&name(1)], Some(5001));
    world.edit(
        json!([{"op": "update", "table": "Logical_Switch", "where": [["name", "==", "theirs"]],
        "row": {"tunnel_key": 7001}}]),
    );
    world.run();
    assert_eq!(found(&world.switch).logical_switches[&name(1)], Some(6001));
}

#[test]
fn a_network_that_is_renewed_while_others_hold_its_vni_comes_when_it_is_free() {
    let mut world = World::new();
    let conn = world.manage(&networks(&[(1, 5001)]).0);
    world.configure(conn, &Wanted::new().0);
    leave_behind(&mut world, "theirs", 5001, vtep(90), &[]);
    world.run();
    world.configure(conn, &networks(&[(1, 5001)]).0);
    assert!(!found(&world.switch).logical_switches.contains_key(&name(1)));
    let theirs = find_logical_switch(&world, "theirs").expect("there");
    world.edit(json!([
        {"op": "delete", "table": "Mcast_Macs_Remote", "where": [["logical_switch", "==", ops::uuid(theirs)]]},
        ops::delete("Logical_Switch", theirs),
    ]));
    world.run();
    assert_as_wanted(&world, &networks(&[(1, 5001)]).0);
    world.assert_vnis_were_always_unique();
}

#[test]
fn of_two_networks_that_want_one_vni_one_is_there_and_the_other_waits() {
    let mut world = World::new();
    let conn = world.manage(&networks(&[(1, 5001), (2, 5001)]).0);
    world.assert_vnis_were_always_unique();
    assert_eq!(found(&world.switch).logical_switches.len(), 1);
    assert!(
        world
            .status(conn)
            .blocked
            .iter()
            .any(|(_, why)| why.starts_with("VNI 5001 is still in use"))
    );
    world.configure(conn, &networks(&[(1, 5001), (2, 5002)]).0);
    assert_as_wanted(&world, &networks(&[(1, 5001), (2, 5002)]).0);
}

#[test]
fn a_vni_that_is_just_being_given_away_is_not_given_twice() {
    let mut world = World::new();
    let conn = world.manage(&Wanted::new().0);
    for wanted in [networks(&[(1, 5001)]), networks(&[(2, 5001)])] {
        let (configuration, complete) = (wanted.0.into(), true);
        world.command(
            conn,
            Command::Configure {
                configuration,
                complete,
            },
        );
    }
    world.run();
    assert_as_wanted(&world, &networks(&[(2, 5001)]).0);
    world.assert_vnis_were_always_unique();
}

#[test]
fn a_vni_that_another_client_changes_is_put_back() {
    let mut world = World::new();
    world.manage(&networks(&[(1, 5001), (2, 5002)]).0);
    for value in [json!(9999), json!(["set", []]), json!(5002)] {
        world.edit(
            json!([{"op": "update", "table": "Logical_Switch", "where": [["name", "==", name(1)]],
            "row": {"tunnel_key": value}}]),
        );
        world.pass(SECOND);
        assert_as_wanted(&world, &networks(&[(1, 5001), (2, 5002)]).0);
    }
}

#[test]
fn a_logical_switch_that_another_client_replaces_in_one_transaction_stays_ours() {
    // The order of the two rows in an update depends on their uuids: with several, both orders occur.
    let wanted = networks(&(1..=8).map(|n| (n, 5000 + n)).collect::<Vec<_>>());
    let mut world = World::new();
    world.manage(&wanted.0);
    for n in 1..=8 {
        let row = ops::uuid(find_logical_switch(&world, &name(n)).expect("there"));
        world.edit(json!([
            {"op": "update", "table": "Physical_Port", "where": [], "row": {"vlan_bindings": ["map", []]}},
            {"op": "delete", "table": "Mcast_Macs_Remote", "where": [["logical_switch", "==", row]]},
            {"op": "delete", "table": "Logical_Switch", "where": [["_uuid", "==", row]]},
            ops::logical_switch(&name(n), 5000 + n),
        ]));
        world.run();
        assert_as_wanted(&world, &wanted.0);
    }
    assert!(!world.words().contains(&"TransactionRejected"));
}

#[test]
fn a_foreign_logical_switch_that_has_a_vni_is_reported_once() {
    let mut world = World::new();
    leave_behind(&mut world, "theirs", 5001, vtep(9), &[]);
    world.manage(&networks(&[(1, 5001)]).0);
    world.pass(5 * SECOND);
    let taken = world.words().into_iter().filter(|word| *word == "VniTaken");
    assert_eq!(taken.count(), 1);
}
