//! Batches, windows and lanes; what happens to a transaction that fails; the switch's `Manager` row.

use std::time::Duration;

use serde_json::{Value, json};
use tandem_core::configuration::Configuration;
use tandem_core::event::What;
use tandem_core::session::{Command, Input};
use tandem_core::{ConnId, Machine};

use crate::contents::{assert_as_wanted, found};
use crate::wire::{SECOND, mentions};
use crate::world::{TSN_B, Wanted, World, find_logical_switch, find_remote, leave_behind, mac, name, ops, vtep};

const MILLISECOND: Duration = Duration::from_millis(1);

fn macs(count: u32) -> Wanted {
    Wanted::new().network(1, 5001).macs(1, count)
}

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

/// A switch that answers every write of this MAC with an error.
fn dislikes(n: u32, error: &'static str) -> impl Fn(&[Value]) -> Option<(&'static str, String)> {
    let text = mac(n).to_string();
    move |operations| mentions(operations, &text).then(|| (error, "I do not like it".to_owned()))
}

/// The number of attempts of a session to write this MAC.
fn attempts(world: &World, conn: ConnId, n: u32) -> usize {
    let text = mac(n).to_string();
    let sent = world.transactions(conn);
    sent.iter().filter(|operations| mentions(operations, &text)).count()
}

fn rows_per_transaction(world: &World, conn: ConnId, table: &str) -> Vec<usize> {
    let sent = world.transactions(conn);
    let rows = sent
        .iter()
        .map(|it| it.iter().filter(|operation| operation["table"] == table).count());
    rows.filter(|rows| *rows > 0).collect()
}

#[test]
fn rows_are_written_a_hundred_at_a_time() {
    let mut world = World::new();
    let conn = world.manage(&macs(250).0);
    assert_eq!(rows_per_transaction(&world, conn, "Ucast_Macs_Remote"), [100, 100, 50]);
}

#[test]
fn a_switch_that_can_take_less_gets_less() {
    let mut wanted = macs(25);
    wanted
        .0
        .switches
        .get_mut(&"tor1".into())
        .expect("tor1")
        .rows_per_transaction_max = Some(10);
    let mut world = World::new();
    let conn = world.manage(&wanted.0);
    assert_eq!(rows_per_transaction(&world, conn, "Ucast_Macs_Remote"), [10, 10, 5]);
    assert_as_wanted(&world, &wanted.0);
}

#[test]
fn a_switch_that_takes_one_row_at_a_time_never_gets_two() {
    let mut world = World::new();
    let old = [
        ("02:00:00:00:00:01".to_owned(), vtep(8)),
        ("02:00:00:00:00:01".to_owned(), vtep(9)),
    ];
    leave_behind(&mut world, &name(1), 5001, TSN_B, &old);
    let mut wanted = macs(3).network(2, 5002);
    let switch = wanted.0.switches.get_mut(&"tor1".into()).expect("tor1");
    switch.rows_per_transaction_max = Some(1);
    world.switch.take_commits();
    world.manage(&wanted.0);
    let commits = world.switch.take_commits().into_iter();
    let is_row = |table: &str| !table.starts_with("Physical_Locator");
    let rows = commits.map(|commit| commit.changes.iter().filter(|change| is_row(change.table)).count());
    assert_eq!(rows.max(), Some(1));
    assert_as_wanted(&world, &wanted.0);
}

#[test]
fn a_bounded_number_of_transactions_is_under_way_and_the_next_follows_each_answer() {
    let mut world = World::new();
    let conn = world.manage(&macs(4).0);
    let before = world.transactions(conn).len();
    configure(&mut world, conn, macs(2000));
    while world.wake_sessions() {}
    assert_eq!(
        (world.transactions(conn).len() - before, world.status(conn).in_flight),
        (8, 8)
    );
    world.switch_works(conn);
    let answers = world.intercept_answers(conn);
    let first = answers
        .iter()
        .position(|answer| answer.get("result").is_some())
        .expect("an answer");
    answers[..=first]
        .iter()
        .for_each(|answer| world.send_to_session(conn, answer));
    assert_eq!(world.transactions(conn).len() - before, 9);
    answers[first + 1..]
        .iter()
        .for_each(|answer| world.send_to_session(conn, answer));
    world.run();
    assert_as_wanted(&world, &macs(2000).0);
}

#[test]
fn nothing_new_is_written_while_the_network_takes_nothing() {
    let mut world = World::new();
    let conn = world.manage(&macs(1).0);
    let before = world.transactions(conn).len();
    world.session_input(
        conn,
        Input::Sent {
            queued_bytes: 100 << 20,
        },
    );
    world.configure(conn, &macs(50).0);
    assert_eq!(world.transactions(conn).len(), before);
    world.session_input(conn, Input::Sent { queued_bytes: 0 });
    world.run();
    assert_as_wanted(&world, &macs(50).0);
}

#[test]
fn lanes_are_entered_in_order() {
    let mut world = World::new();
    leave_behind(&mut world, &name(1), 5001, vtep(9), &[(mac(900).to_string(), vtep(1))]);
    let conn = world.manage(&macs(5).network(2, 5002).0);
    let lanes = world.lanes_written(conn);
    let order = ["broadcast", "bindings", "logical switches", "unicast", "deletions"];
    let places: Vec<_> = order
        .iter()
        .map(|lane| lanes.iter().position(|it| it == lane).expect("each lane"))
        .collect();
    assert!(places.is_sorted(), "{lanes:?}");
}

#[test]
fn one_bad_row_in_a_batch_fails_alone_and_the_others_are_there_at_once() {
    for error in [
        "constraint violation",
        "referential integrity violation",
        "something new",
    ] {
        let mut world = World::new();
        let conn = world.connect(&macs(300).0);
        world.run_refusing(conn, dislikes(150, error));
        assert_eq!(found(&world.switch).remote.len(), 299, "{error}");
        let refused = world.count(|what| matches!(what, What::TransactionRejected { objects, .. } if *objects > 1));
        assert!(refused <= 7, "it is found by halving: {refused}");
    }
}

#[test]
fn where_the_switch_gives_no_leave_each_row_is_tried_by_itself() {
    let mut world = World::new();
    let conn = world.connect(&macs(50).0);
    world.pass_refusing(conn, SECOND, dislikes(20, "permission error"));
    assert_eq!(found(&world.switch).remote.len(), 49);
    assert_eq!(
        world.count(|what| matches!(what, What::TransactionRejected { objects, .. } if *objects > 1)),
        1
    );
}

#[test]
fn a_row_that_fails_is_tried_again_later_and_later_and_then_left_alone_for_a_minute() {
    let mut world = World::new();
    let conn = world.manage(&macs(1).0);
    world.command(
        conn,
        Command::Configure {
            configuration: macs(2).0.into(),
            complete: true,
        },
    );
    let refuse = dislikes(1, "constraint violation");
    let tried = |world: &mut World, span| {
        world.pass_refusing(conn, span, &refuse);
        attempts(world, conn, 1)
    };
    assert_eq!(tried(&mut world, Duration::ZERO), 1);
    assert_eq!(tried(&mut world, 100 * MILLISECOND), 2);
    assert_eq!(tried(&mut world, 200 * MILLISECOND), 3);
    assert_eq!(tried(&mut world, 400 * MILLISECOND), 4);
    assert_eq!(tried(&mut world, 800 * MILLISECOND), 5);
    assert!(world.words().contains(&"Quarantined"));
    assert_eq!(tried(&mut world, 59 * SECOND), 5);
    assert_eq!(tried(&mut world, SECOND), 6);
    assert_eq!(tried(&mut world, 600 * SECOND), 16);
}

/// A switch with a row in quarantine.
fn with_quarantine() -> (World, ConnId) {
    let mut world = World::new();
    let conn = world.connect(&macs(20).0);
    world.pass_refusing(conn, 5 * SECOND, dislikes(7, "constraint violation"));
    let reason = "constraint violation: I do not like it".to_owned();
    let object = format!("{} in {}", mac(7), crate::world::network(1));
    assert_eq!(world.status(conn).quarantine, [(object, reason)]);
    (world, conn)
}

#[test]
fn a_row_in_quarantine_is_named_in_status_and_delays_nothing_else() {
    let (mut world, conn) = with_quarantine();
    assert_eq!(found(&world.switch).remote.len(), 19);
    assert!(world.happened(|what| matches!(what, What::Audited { left: 1, .. })));
    world.configure(conn, &macs(20).network(2, 5002).macs(2, 5).0);
    assert!(found(&world.switch).remote.len() >= 24);
}

#[test]
fn a_new_configuration_releases_what_is_in_quarantine() {
    let (mut world, conn) = with_quarantine();
    world.configure(conn, &macs(20).0);
    assert_as_wanted(&world, &macs(20).0);
    assert_eq!(world.status(conn).quarantine, []);
}

#[test]
fn what_is_in_quarantine_succeeds_by_itself_when_the_switch_changes_its_mind() {
    let (mut world, conn) = with_quarantine();
    world.pass(60 * SECOND);
    assert_as_wanted(&world, &macs(20).0);
    assert_eq!(world.status(conn).quarantine, []);
}

#[test]
fn what_another_client_made_right_leaves_the_quarantine() {
    let (mut world, conn) = with_quarantine();
    let ls = ops::uuid(find_logical_switch(&world, &name(1)).expect("there"));
    let end = macs(20).0.networks[&crate::world::network(1)].remote_macs[&mac(7)];
    let locator = ops::uuid(crate::world::find_locator(&world, end).expect("there"));
    world.edit(json!([ops::ucast(
        "Ucast_Macs_Remote",
        &mac(7).to_string(),
        &ls,
        &locator
    )]));
    world.pass(61 * SECOND);
    assert_as_wanted(&world, &macs(20).0);
    let status = world.status(conn);
    assert_eq!((status.quarantine, status.pending), (vec![], 0));
}

#[test]
fn a_retry_that_is_due_in_a_session_that_may_not_write_does_not_spin() {
    let mut world = World::new();
    let conn = world.manage(&macs(1).0);
    configure(&mut world, conn, macs(2));
    world.run_refusing(conn, dislikes(1, "constraint violation"));
    let row = find_remote(&world, &mac(0).to_string())[0];
    world.edit(json!([ops::delete("Ucast_Macs_Remote", row)]));
    world.session_works(conn);
    assert_eq!(world.status(conn).in_flight, 1, "it is being put back");
    world.command(conn, Command::Drain);
    world.now = world.now + SECOND;
    world.wake_sessions();
    let deadline = world.sessions[&conn].poll_timeout().expect("the answer is awaited");
    assert!(deadline.at > world.now, "{deadline:?}");
}

#[test]
fn a_logical_switch_that_cannot_be_created_holds_up_only_what_belongs_in_it() {
    let wanted = macs(5).network(2, 5002).macs(2, 5);
    let mut world = World::new();
    let conn = world.connect(&wanted.0);
    let culprit = name(2);
    let refuse = move |operations: &[Value]| {
        mentions(operations, &culprit).then(|| ("constraint violation", "not this one".to_owned()))
    };
    world.pass_refusing(conn, 5 * SECOND, &refuse);
    assert_eq!(found(&world.switch).remote.len(), 5);
    assert_eq!(world.status(conn).quarantine[0].1, "constraint violation: not this one");
    world.pass(61 * SECOND);
    assert_as_wanted(&world, &wanted.0);
}

fn add_manager(world: &mut World, row: &Value) {
    world.edit(json!([
        {"op": "insert", "table": "Manager", "uuid-name": "m", "row": row},
        {"op": "mutate", "table": "Global", "where": [], "mutations": [["managers", "insert", ["set", [["named-uuid", "m"]]]]]},
    ]));
}

fn timers(world: &World, target: &str) -> (Option<i64>, Option<i64>) {
    let mut rows = world.switch.rows("Manager");
    let (_, row) = rows.find(|(_, row)| row.text("target") == Some(target)).expect("there");
    (row.integer("max_backoff"), row.integer("inactivity_probe"))
}

const A: &str = "ssl:192.0.2.11:6640";
const B: &str = "ssl:192.0.2.12:6640";
const SET: (Option<i64>, Option<i64>) = (Some(1000), Some(5000));

fn for_target(target: Option<&str>) -> Configuration {
    let mut configuration = macs(1).0;
    configuration.session.manager.as_mut().expect("timers").target = target.map(Into::into);
    configuration
}

#[test]
fn the_timers_of_the_sole_manager_row_are_set_after_the_claim() {
    let mut world = World::new();
    add_manager(&mut world, &json!({"target": A}));
    leave_behind(&mut world, &name(1), 5001, vtep(9), &[]);
    let conn = world.manage(&macs(1).0);
    assert_eq!(timers(&world, A), SET);
    let tables: Vec<bool> = world
        .transactions(conn)
        .iter()
        .map(|it| mentions(it, "max_backoff"))
        .collect();
    assert!(!tables[0], "the claim comes first");
}

#[test]
fn of_several_manager_rows_only_the_configured_one_is_touched() {
    for (target, a, b) in [(None, (None, None), (None, None)), (Some(B), (None, None), SET)] {
        let mut world = World::new();
        add_manager(&mut world, &json!({"target": A}));
        add_manager(&mut world, &json!({"target": B}));
        world.manage(&for_target(target));
        assert_eq!((timers(&world, A), timers(&world, B)), (a, b));
    }
}

#[test]
fn timers_that_no_row_gets_are_reported_once_and_only_where_some_are_missing() {
    let missing = json!({"target": B});
    let set = json!({"target": B, "max_backoff": 2000, "inactivity_probe": 0});
    let listens = json!({"target": "ptcp:6632"});
    let cases = [
        (None, &missing, 1),
        (Some("ssl:192.0.2.99:6640"), &missing, 1),
        (Some(A), &missing, 0),
        (None, &set, 0),
        (None, &listens, 0),
    ];
    for (target, second, reports) in cases {
        let mut world = World::new();
        // With `set`, no row lacks a timer.
        let first = json!({"target": A, "max_backoff": 1000, "inactivity_probe": 5000});
        add_manager(&mut world, &first);
        add_manager(&mut world, second);
        let conn = world.manage(&for_target(target));
        world.configure(conn, &macs(2).0);
        let words = world.words();
        let unset = words.iter().filter(|word| **word == "TimersUnset");
        assert_eq!(unset.count(), reports, "{target:?} {second}");
    }
}

#[test]
fn timers_that_an_operator_set_stay() {
    let mut world = World::new();
    add_manager(&mut world, &json!({"target": A, "max_backoff": 8000}));
    let conn = world.manage(&macs(1).0);
    assert_eq!(timers(&world, A), (Some(8000), Some(5000)));
    world.edit(json!([{"op": "update", "table": "Manager", "where": [], "row": {"inactivity_probe": 60000}}]));
    world.configure(conn, &macs(2).0);
    assert_eq!(timers(&world, A), (Some(8000), Some(60000)));
}

#[test]
fn timers_are_set_once_in_a_session_and_not_again_when_an_operator_clears_them() {
    let mut world = World::new();
    add_manager(&mut world, &json!({"target": A}));
    let conn = world.manage(&macs(1).0);
    world.edit(json!([{"op": "update", "table": "Manager", "where": [], "row": {"max_backoff": ["set", []]}}]));
    world.configure(conn, &macs(2).0);
    assert_eq!(timers(&world, A), (None, Some(5000)));
}

#[test]
fn timers_are_left_alone_where_that_is_configured() {
    let mut configuration = macs(1).0;
    configuration.session.manager = None;
    let mut world = World::new();
    add_manager(&mut world, &json!({"target": A}));
    world.manage(&configuration);
    assert_eq!(timers(&world, A), (None, None));
}

#[test]
fn timers_that_could_not_be_set_are_tried_again() {
    let mut world = World::new();
    add_manager(&mut world, &json!({"target": A}));
    let conn = world.connect(&macs(1).0);
    world.run_refusing(conn, |operations| {
        mentions(operations, "max_backoff").then(|| ("resources exhausted", String::new()))
    });
    world.pass(SECOND);
    assert_eq!(timers(&world, A), SET);
    assert_eq!(world.status(conn).pending, 0);
}

#[test]
fn a_row_that_another_client_keeps_deleting_is_put_back_each_time() {
    let mut world = World::new();
    world.manage(&macs(3).0);
    for _ in 0..5 {
        let row = find_remote(&world, &mac(1).to_string())[0];
        world.edit(json!([ops::delete("Ucast_Macs_Remote", row)]));
        world.pass(10 * SECOND);
    }
    assert_as_wanted(&world, &macs(3).0);
    assert_eq!(world.count(|what| matches!(what, What::Repaired { .. })), 5);
}
