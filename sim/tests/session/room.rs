//! A switch that has no room: a statement about the server, not about a row.

use std::time::Duration;

use serde_json::Value;
use tandem_core::ConnId;
use tandem_core::alarm::AlarmKind;
use tandem_core::event::{Lane, What};
use tandem_core::session::Command;
use tandem_sim::switch::{Options, SchemaVersion};

use crate::contents::{assert_as_wanted, found};
use crate::wire::{SECOND, mentions};
use crate::world::{Wanted, World, mac};

const FULL: &str = "tor1.db: write failed (No space left on device)";

fn macs(count: u32) -> Wanted {
    Wanted::new().network(1, 5001).macs(1, count)
}

fn writes_macs(operations: &[Value]) -> bool {
    mentions(operations, "Ucast_Macs_Remote")
}

/// A switch whose disk is full from the first remote MAC on.
fn full_disk(operations: &[Value]) -> Option<(&'static str, String)> {
    writes_macs(operations).then(|| ("I/O error", FULL.to_owned()))
}

fn sent(world: &World, conn: ConnId) -> usize {
    let sent = world.transactions(conn);
    sent.iter().filter(|operations| writes_macs(operations)).count()
}

#[test]
fn a_full_disk_stops_the_lane_and_single_transactions_probe() {
    let mut world = World::new();
    let conn = world.connect(&macs(2000).0);
    world.run_refusing(conn, full_disk);
    assert!(sent(&world, conn) <= 8, "those that were on their way");
    let probes = |world: &mut World, span| {
        let before = sent(world, conn);
        world.pass_refusing(conn, span, full_disk);
        sent(world, conn) - before
    };
    assert_eq!(probes(&mut world, SECOND), 1);
    assert_eq!(probes(&mut world, 2 * SECOND), 1);
    assert_eq!(probes(&mut world, 4 * SECOND), 1);
    assert_eq!(probes(&mut world, 600 * SECOND), 3 + 9);
    assert_eq!(world.count(|what| matches!(what, What::WritesStopped { .. })), 1);
    assert_eq!(world.count(|what| matches!(what, What::Quarantined { .. })), 0);
}

#[test]
fn the_alarm_of_a_full_disk_counts_what_waits() {
    let mut world = World::new();
    let conn = world.connect(&macs(2000).0);
    world.run_refusing(conn, full_disk);
    let status = world.status(conn);
    let [alarm] = status.alarms.as_slice() else {
        panic!("{:?}", status.alarms)
    };
    assert_eq!((alarm.kind, alarm.objects), (AlarmKind::WritesStopped, 2000));
    assert!(alarm.detail.contains(FULL), "{}", alarm.detail);
    assert_eq!(status.quarantine, []);
    assert!(world.happened(|what| matches!(what, What::Audited { left: 2000, .. })));
}

#[test]
fn when_there_is_room_again_everything_resumes_in_batches() {
    let mut world = World::new();
    let conn = world.connect(&macs(2000).0);
    world.pass_refusing(conn, 10 * SECOND, full_disk);
    let before = sent(&world, conn);
    world.pass(8 * SECOND);
    assert_as_wanted(&world, &macs(2000).0);
    assert!(sent(&world, conn) - before <= 7 + 20, "{}", sent(&world, conn) - before);
    assert!(world.happened(|what| matches!(what, What::WritesResumed { lane: Lane::Unicast })));
    let status = world.status(conn);
    assert_eq!((status.alarms, status.pending), (vec![], 0));
}

#[test]
fn a_switch_that_is_full_of_macs_still_takes_deletions() {
    let mut world = World::new();
    let conn = world.manage(&macs(100).0);
    let inserts = |operations: &[Value]| {
        let insert = |operation: &Value| operation["op"] == "insert" && operation["table"] == "Ucast_Macs_Remote";
        operations
            .iter()
            .any(insert)
            .then(|| ("resources exhausted", String::new()))
    };
    // Twenty MACs go, and one comes for which there is no room.
    let wanted = macs(80).mac(1, mac(900), crate::world::vtep(1));
    let configuration = wanted.0.clone().into();
    let complete = true;
    world.command(
        conn,
        Command::Configure {
            configuration,
            complete,
        },
    );
    world.run_refusing(conn, inserts);
    assert_eq!(found(&world.switch).remote.len(), 80);
    world.pass(2 * SECOND);
    assert_as_wanted(&world, &wanted.0);
}

#[test]
fn a_row_that_the_switch_has_no_room_for_does_not_keep_the_others_waiting() {
    let mut world = World::new();
    let conn = world.connect(&macs(300).0);
    let culprit = mac(0).to_string();
    let refuse = move |operations: &[Value]| {
        mentions(operations, &culprit).then(|| ("resources exhausted", "no place in its bucket".to_owned()))
    };
    world.pass_refusing(conn, Duration::from_secs(30), refuse);
    assert_eq!(found(&world.switch).remote.len(), 299);
}

/// A switch whose table takes so many rows.
fn limited(table: &'static str, rows: usize) -> World {
    let mut options = Options::new(SchemaVersion::V1_7_0);
    options.max_rows.push((table, rows));
    World::with(options)
}

#[test]
fn a_table_at_its_limit_takes_what_fits_and_the_rest_waits_without_a_refusal() {
    let mut world = limited("Ucast_Macs_Remote", 1234);
    let conn = world.manage(&macs(2000).0);
    assert_eq!(found(&world.switch).remote.len(), 1234);
    let status = world.status(conn);
    let [alarm] = status.alarms.as_slice() else {
        panic!("{:?}", status.alarms)
    };
    assert_eq!((alarm.kind, alarm.objects), (AlarmKind::TableFull, 766));
    assert_eq!((status.pending, status.quarantine), (766, vec![]));
    assert!(world.happened(|what| matches!(what, What::Audited { left: 766, .. })));
    assert_eq!(world.count(|what| matches!(what, What::TransactionRejected { .. })), 0);
    assert_eq!(world.count(|what| matches!(what, What::TableFull { .. })), 1);
}

#[test]
fn as_many_rows_as_go_make_room_for_others() {
    let mut world = limited("Ucast_Macs_Remote", 100);
    let conn = world.manage(&macs(150).0);
    // The first thirty go, of those that wait thirty come.
    let mut wanted = macs(150);
    let network = wanted.0.networks.values_mut().next().expect("a network");
    network.remote_macs.retain(|it, _| *it >= mac(30));
    world.configure(conn, &wanted.0);
    assert_eq!(found(&world.switch).remote.len(), 100);
    assert_eq!(world.status(conn).alarms[0].objects, 20);
    let network = wanted.0.networks.values_mut().next().expect("a network");
    network.remote_macs.retain(|it, _| *it >= mac(50));
    world.configure(conn, &wanted.0);
    assert_as_wanted(&world, &wanted.0);
    assert_eq!(world.status(conn).alarms, []);
    assert!(world.happened(|what| matches!(what, What::TableHasRoom { .. })));
}

#[test]
fn a_switch_is_programmed_up_to_our_own_bound_and_further_when_rows_leave() {
    let mut world = World::new();
    let mut wanted = macs(150);
    wanted.0.session.programmed_rows = 100;
    let conn = world.manage(&wanted.0);
    assert_eq!(found(&world.switch).remote.len(), 100);
    let status = world.status(conn);
    let [alarm] = status.alarms.as_slice() else {
        panic!("{:?}", status.alarms)
    };
    assert_eq!((alarm.kind, alarm.objects), (AlarmKind::TableFull, 50));
    let detail = "Ucast_Macs_Remote is at Tandem's limit of 100 rows: 50 objects wait";
    assert_eq!(alarm.detail, detail);
    let at_ours = |what: &What| matches!(what, What::TableFull { limit, .. } if limit == "Tandem's limit of 100 rows");
    assert_eq!(world.count(at_ours), 1);
    assert_eq!(world.count(|what| matches!(what, What::TransactionRejected { .. })), 0);
    // As many rows leave as wait.
    let network = wanted.0.networks.values_mut().next().expect("a network");
    network.remote_macs.retain(|it, _| *it >= mac(50));
    world.configure(conn, &wanted.0);
    assert_as_wanted(&world, &wanted.0);
    assert_eq!(world.status(conn).alarms, []);
    assert_eq!(world.count(|what| matches!(what, What::TableHasRoom { .. })), 1);
}

#[test]
fn limits_of_logical_switches_and_locators_are_kept_as_well() {
    let wanted = Wanted::new().network(1, 5001).macs(1, 8).network(2, 5002).macs(2, 8);
    for (table, rows) in [("Logical_Switch", 1), ("Mcast_Macs_Remote", 1), ("Physical_Locator", 3)] {
        let mut world = limited(table, rows);
        let conn = world.manage(&wanted.0);
        assert_eq!(world.switch.rows(table).count(), rows, "{table}");
        assert_eq!(world.status(conn).alarms[0].kind, AlarmKind::TableFull, "{table}");
        assert_eq!(
            world.count(|what| matches!(what, What::TransactionRejected { .. })),
            0,
            "{table}"
        );
    }
}

#[test]
fn the_alarm_of_a_lane_with_little_to_write_ends_when_that_is_written() {
    let mut world = World::new();
    let conn = world.connect(&macs(2).0);
    world.pass_refusing(conn, 5 * SECOND, full_disk);
    assert_eq!(world.status(conn).alarms.len(), 1);
    world.pass(60 * SECOND);
    assert_as_wanted(&world, &macs(2).0);
    assert_eq!(world.status(conn).alarms, []);
    assert!(world.happened(|what| matches!(what, What::WritesResumed { .. })));
}

/// A server that grants the lock and takes no writes.
fn read_only(_: &[Value]) -> Option<(&'static str, String)> {
    let details = "insert operation not allowed when database server is in read only mode";
    Some(("not allowed", details.to_owned()))
}

#[test]
fn a_server_that_takes_no_writes_is_asked_each_second_and_blames_no_object() {
    let mut world = World::new();
    let conn = world.connect(&macs(300).0);
    world.pass_refusing(conn, 120 * SECOND, read_only);
    let before = world.transactions(conn).len();
    world.pass_refusing(conn, 10 * SECOND, read_only);
    let probes = world.transactions(conn).len() - before;
    assert!((10..=50).contains(&probes), "{probes} in 10 s, for at most five lanes");
    assert_eq!(world.count(|what| matches!(what, What::Quarantined { .. })), 0);
    let status = world.status(conn);
    assert!(
        status
            .alarms
            .iter()
            .any(|alarm| alarm.kind == AlarmKind::WritesStopped && alarm.detail.contains("read only"))
    );
    world.pass(8 * SECOND);
    assert_as_wanted(&world, &macs(300).0);
    assert_eq!(world.status(conn).alarms, []);
}
