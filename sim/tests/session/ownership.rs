//! The lock decides which session writes, and nothing else does.

use serde_json::json;
use tandem_core::configuration::Configuration;
use tandem_core::event::What;
use tandem_core::session::Command;
use tandem_core::status::{Ownership, Phase};
use tandem_core::{ConnId, Fault};
use tandem_sim::switch::{Options, SchemaVersion, Writer};

use crate::contents::{assert_as_wanted, found};
use crate::wire::SECOND;
use crate::world::{TSN_B, TUNNEL_IP, Wanted, World, learn, mac, name, vtep};

fn wanted() -> Wanted {
    Wanted::new().network(1, 5001).network(2, 5002).macs(1, 20)
}

fn ownership(world: &World, conn: ConnId) -> Ownership {
    world.sessions[&conn].ownership()
}

fn steal(world: &mut World) -> ConnId {
    let thief = world.client();
    world.client_sends(thief, &json!({"id": 1, "method": "steal", "params": ["tandem"]}));
    thief
}

#[test]
fn every_write_asserts_the_lock_and_names_its_writer() {
    let mut world = World::new();
    let conn = world.manage(&wanted().0);
    world.configure(conn, &wanted().network(3, 5003).macs(3, 3).0);
    world.configure(conn, &wanted().0);
    let transactions = world.transactions(conn);
    assert!(transactions.len() > 4);
    for operations in transactions {
        assert_eq!(operations[0], json!({"op": "assert", "lock": "tandem"}));
        let comment = operations[1]["comment"].as_str().expect("a comment");
        assert!(comment.starts_with("tandem agent-a generation 1: "), "{comment}");
    }
    let foreign = |commit: &&tandem_sim::switch::Commit| matches!(commit.by, Writer::Remote(_));
    for commit in world.switch.commits().iter().filter(foreign) {
        assert!(commit.locks.contains("tandem"), "{commit:?}");
    }
}

#[test]
fn a_lock_of_another_name_is_what_is_asked_for_and_asserted_where_it_is_configured() {
    let mut configuration = wanted().0;
    configuration.session.lock = "tor_lock".into();
    let mut world = World::new();
    let conn = world.manage(&configuration);
    assert_eq!(world.switch.lock_holder("tor_lock"), Some(conn));
    assert!(
        world
            .transactions(conn)
            .iter()
            .all(|operations| operations[0]["lock"] == "tor_lock")
    );
    assert_as_wanted(&world, &configuration);
}

#[test]
fn of_two_sessions_of_one_switch_the_second_waits_reads_and_writes_nothing() {
    let mut world = World::new();
    let first = world.manage(&wanted().0);
    let second = world.manage(&wanted().agent_b().0);
    assert_eq!(ownership(&world, first), Ownership::Held);
    assert_eq!(ownership(&world, second), Ownership::Waiting);
    assert!(world.happened(|what| *what == What::Waiting));
    let status = world.status(second);
    assert_eq!(
        (status.phase, status.pending),
        (Phase::Synced, 0),
        "nothing is for it to write"
    );
    assert_eq!(world.transactions(second).len(), 0);
    assert_as_wanted(&world, &wanted().0);
}

#[test]
fn two_sessions_of_one_agent_for_one_switch_hand_the_lock_over_as_well() {
    let mut world = World::new();
    let first = world.manage(&wanted().0);
    let second = world.manage(&wanted().network(3, 5003).0);
    world.disconnect(first);
    world.run();
    assert_eq!(ownership(&world, second), Ownership::Held);
    assert_as_wanted(&world, &wanted().network(3, 5003).0);
    assert!(
        world
            .commits()
            .iter()
            .any(|(comment, _)| comment.contains("generation 2"))
    );
}

#[test]
fn a_waiting_session_keeps_reading() {
    let mut world = World::new();
    let first = world.manage(&wanted().0);
    let second = world.manage(&wanted().agent_b().0);
    world.configure(first, &wanted().macs(2, 30).0);
    learn(&mut world, &name(1), mac(77), TUNNEL_IP);
    let status = world.status(second);
    assert_eq!((status.rows_remote, status.rows_local), (50, 1));
}

#[test]
fn when_the_lock_comes_claim_and_differences_leave_in_the_same_moment() {
    let mut world = World::new();
    let first = world.manage(&wanted().0);
    let theirs = wanted().network(3, 5003).mac(1, mac(500), vtep(3)).agent_b().0;
    let second = world.manage(&theirs);
    world.disconnect(first);
    assert_eq!(world.transactions(second).len(), 0);
    world.deliver_to_session(second, usize::MAX);
    // The new logical switch needs the locator that the claim is just creating.
    assert_eq!(world.lanes_written(second), ["broadcast", "unicast"]);
    world.run();
    assert_as_wanted(&world, &theirs);
}

#[test]
fn a_waiting_session_exports_nothing_until_the_lock_is_its_own() {
    let mut world = World::new();
    let first = world.manage(&wanted().0);
    learn(&mut world, &name(1), mac(77), TUNNEL_IP);
    let second = world.manage(&wanted().agent_b().0);
    assert_eq!(world.sessions[&second].exported(), 0);
    world.disconnect(first);
    world.run();
    assert_eq!(world.sessions[&second].exported(), 1);
}

#[test]
fn a_second_locked_is_harmless() {
    let mut world = World::new();
    let conn = world.manage(&wanted().0);
    let (words, written) = (world.words(), world.transactions(conn).len());
    let locked = json!({"id": null, "method": "locked", "params": ["tandem"]});
    world.send_to_session(conn, &locked);
    world.send_to_session(conn, &locked);
    world.run();
    assert_eq!((world.words(), world.transactions(conn).len()), (words, written));
    assert_eq!(ownership(&world, conn), Ownership::Held);
}

#[test]
fn a_lock_of_another_name_that_is_granted_or_stolen_is_nothing_to_us() {
    let mut world = World::new();
    world.manage(&wanted().0);
    let waiting = world.manage(&wanted().agent_b().0);
    for method in ["locked", "stolen"] {
        world.send_to_session(waiting, &json!({"id": null, "method": method, "params": ["other"]}));
    }
    assert_eq!(ownership(&world, waiting), Ownership::Waiting);
}

#[test]
fn a_stolen_lock_ends_the_session_at_once_and_its_routes_with_it() {
    let mut world = World::new();
    let conn = world.manage(&wanted().0);
    learn(&mut world, &name(1), mac(77), TUNNEL_IP);
    world.commits();
    steal(&mut world);
    world.run();
    assert_eq!(world.closed(conn).fault, Some(Fault::Environment));
    assert!(
        world.words().ends_with(&["Stolen", "Retracted", "Closed"]),
        "{:?}",
        world.words()
    );
    assert_eq!(world.commits(), []);
}

#[test]
fn what_is_under_way_when_the_lock_is_stolen_is_not_applied() {
    let mut world = World::new();
    let conn = world.manage(&wanted().0);
    let before = found(&world.switch);
    let configuration = wanted().network(3, 5003).macs(3, 500).0;
    let complete = true;
    let configuration = configuration.into();
    world.command(
        conn,
        Command::Configure {
            configuration,
            complete,
        },
    );
    steal(&mut world);
    world.run();
    assert!(!world.is_open(conn));
    assert_eq!(found(&world.switch), before);
}

#[test]
fn a_session_that_learns_of_the_theft_only_by_a_rejected_write_ends_as_well() {
    let mut world = World::new();
    let conn = world.manage(&wanted().0);
    world
        .switch
        .refuse_next(1, "not owner", "Asserted lock tandem not held.");
    world.configure(conn, &wanted().macs(2, 1).0);
    assert!(world.words().contains(&"Stolen"));
    assert!(!world.is_open(conn));
}

#[test]
fn tandem_never_steals_and_waits_until_the_thief_is_gone() {
    let mut world = World::new();
    world.manage(&wanted().0);
    let thief = steal(&mut world);
    world.run();
    let next = world.manage(&wanted().0);
    world.pass(300 * SECOND);
    assert_eq!(ownership(&world, next), Ownership::Waiting);
    world.client_leaves(thief);
    world.run();
    assert_eq!(ownership(&world, next), Ownership::Held);
    let sent = world.sent.values().flatten();
    assert!(sent.filter(|message| message["method"] == "steal").count() == 0);
}

/// A switch that knows no locks, with so many managers.
fn without_locks(managers: usize) -> World {
    let mut world = World::with(Options {
        locks: false,
        ..Options::new(SchemaVersion::V1_3_0)
    });
    for number in 0..managers {
        add_manager(&mut world, number);
    }
    world
}

fn add_manager(world: &mut World, number: usize) {
    let row = json!({"target": format!("ssl:192.0.2.{number}:6640")});
    world.edit(json!([
        {"op": "insert", "table": "Manager", "uuid-name": "m", "row": row},
        {"op": "mutate", "table": "Global", "where": [], "mutations": [["managers", "insert", ["set", [["named-uuid", "m"]]]]]},
    ]));
}

fn remove_managers(world: &mut World, from: usize) {
    let rows: Vec<_> = world.switch.rows("Manager").map(|(row, _)| row).collect();
    for row in &rows[from..] {
        world.edit(json!([
            {"op": "mutate", "table": "Global", "where": [], "mutations": [["managers", "delete", ["uuid", row.to_string()]]]},
        ]));
    }
}

fn sole_manager(mut configuration: Configuration) -> Configuration {
    configuration
        .switches
        .get_mut(&"tor1".into())
        .expect("tor1")
        .sole_manager = true;
    configuration
}

#[test]
fn a_switch_without_locks_and_with_one_manager_is_managed() {
    let mut world = without_locks(1);
    let conn = world.manage(&wanted().0);
    assert_eq!(ownership(&world, conn), Ownership::Lockless);
    assert!(world.happened(|what| matches!(
        what,
        What::Lockless {
            may_write: true,
            managers: 1
        }
    )));
    assert!(
        world
            .transactions(conn)
            .iter()
            .all(|operations| operations[0]["op"] == "comment")
    );
    assert_as_wanted(&world, &wanted().0);
}

#[test]
fn a_switch_without_locks_and_with_two_managers_is_only_read_and_that_is_logged() {
    let mut world = without_locks(2);
    let conn = world.manage(&wanted().0);
    assert!(world.happened(|what| matches!(
        what,
        What::Lockless {
            may_write: false,
            managers: 2
        }
    )));
    assert_eq!(world.transactions(conn).len(), 0);
    assert_eq!(world.status(conn).phase, Phase::Synced);
}

#[test]
fn a_switch_without_locks_is_managed_against_the_count_of_managers_if_configured_so() {
    let mut world = without_locks(2);
    let configuration = sole_manager(wanted().0);
    world.manage(&configuration);
    assert_as_wanted(&world, &configuration);
}

#[test]
fn without_locks_the_second_manager_that_goes_leaves_the_switch_to_us() {
    let mut world = without_locks(2);
    world.manage(&wanted().0);
    remove_managers(&mut world, 1);
    world.run();
    assert_as_wanted(&world, &wanted().0);
    assert!(world.happened(|what| matches!(
        what,
        What::Lockless {
            may_write: true,
            managers: 1
        }
    )));
}

#[test]
fn without_locks_a_second_manager_that_comes_ends_the_session_and_its_routes() {
    let mut world = without_locks(1);
    let conn = world.manage(&wanted().0);
    learn(&mut world, &name(1), mac(77), TUNNEL_IP);
    add_manager(&mut world, 9);
    world.run();
    assert_eq!(world.closed(conn).fault, Some(Fault::Environment));
    assert!(world.words().contains(&"Retracted"));
    let next = world.manage(&wanted().0);
    assert_eq!(world.transactions(next).len(), 0);
}

#[test]
fn a_drain_finishes_writes_then_unlocks_then_closes() {
    let mut world = World::new();
    let conn = world.manage(&wanted().0);
    let (configuration, complete) = (wanted().macs(2, 50).0.into(), true);
    world.command(
        conn,
        Command::Configure {
            configuration,
            complete,
        },
    );
    world.command(conn, Command::Drain);
    assert!(!world.methods(conn).contains(&"unlock".into()), "a write is under way");
    world.switch_works(conn);
    world.deliver_to_session(conn, usize::MAX);
    assert_eq!(world.methods(conn).last().map(String::as_str), Some("unlock"));
    assert!(world.is_open(conn), "the answer to unlock is under way");
    world.run();
    assert_eq!(world.closed(conn).fault, None);
    assert_eq!(found(&world.switch).remote.len(), 70);
}

#[test]
fn a_draining_owner_hands_over_to_the_session_that_waits() {
    let mut world = World::new();
    let first = world.manage(&wanted().0);
    learn(&mut world, &name(1), mac(77), TUNNEL_IP);
    let second = world.manage(&wanted().agent_b().0);
    world.command(first, Command::Drain);
    world.run();
    assert_eq!(ownership(&world, second), Ownership::Held);
    assert_eq!(found(&world.switch).broadcast[&name(1)][0].1, [TSN_B.to_string()]);
    assert!(world.happened(|what| matches!(what, What::Retracted { routes: 1 })));
}

#[test]
fn a_draining_session_that_waits_leaves_the_queue() {
    let mut world = World::new();
    let first = world.manage(&wanted().0);
    let second = world.manage(&wanted().agent_b().0);
    world.command(second, Command::Drain);
    world.run();
    assert!(!world.is_open(second));
    assert_eq!(ownership(&world, first), Ownership::Held);
}

#[test]
fn a_draining_session_writes_nothing_new() {
    let mut world = World::new();
    let conn = world.manage(&wanted().0);
    world.command(conn, Command::Drain);
    let written = world.transactions(conn).len();
    world.configure(conn, &wanted().macs(2, 50).0);
    assert_eq!(world.transactions(conn).len(), written);
}

#[test]
fn another_lock_or_prefix_in_the_configuration_counts_from_a_fresh_session_on() {
    let change: [fn(&mut Configuration); 2] = [
        |configuration| configuration.session.lock = "other".into(),
        |configuration| configuration.session.logical_switch_prefix = "Other-".into(),
    ];
    for change in change {
        let mut world = World::new();
        let conn = world.manage(&wanted().0);
        let mut configuration = wanted().network(3, 5003).0;
        change(&mut configuration);
        world.configure(conn, &configuration);
        assert_eq!(world.closed(conn).fault, None);
        assert!(
            !world
                .words()
                .iter()
                .any(|word| ["Stolen", "TransactionRejected"].contains(word))
        );
        world.manage(&configuration);
        assert!(world.words().ends_with(&["Audited"]));
    }
}

#[test]
fn a_waiting_session_keeps_nothing_of_what_the_owner_sets_right() {
    let mut world = World::new();
    let owner = world.manage(&Wanted::new().network(1, 5001).0);
    let configuration = Wanted::new().network(1, 5001).macs(1, 1000).0;
    let waiting = world.manage(&configuration);
    world.configure(owner, &configuration);
    assert_as_wanted(&world, &configuration);
    let pending = world.sessions[&waiting].status(world.now).pending;
    assert!(pending < 20, "{pending}");
}
