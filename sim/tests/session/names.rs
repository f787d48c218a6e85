//! Two switches with one name: only one of them is programmed, and the log names both.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::json;
use tandem_core::agent::What as Reported;
use tandem_core::alarm::AlarmKind;
use tandem_core::event::What;
use tandem_core::machine::CloseReason;
use tandem_core::status::Ownership;
use tandem_core::{ConnId, SwitchName};
use tandem_sim::switch::{SchemaVersion, Switch};

use crate::contents::found;
use crate::fleet::Fleet;
use crate::wire::SECOND;
use crate::world::{TUNNEL_IP, Wanted, World};

const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);

/// A switch `tor1` with a database of its own.
fn switch(seed: u64, tunnel_ip: Ipv4Addr) -> World {
    let mut switch = Switch::new(seed, SchemaVersion::V1_7_0);
    switch
        .add_physical_switch("tor1", &tunnel_ip.to_string(), &["eth1", "eth2"])
        .expect("a switch");
    World::of(switch)
}

/// An agent, the switch at the configured tunnel end, and another one of its name.
fn fleet(stranger: Ipv4Addr) -> Fleet {
    let mut fleet = Fleet::configured(&Wanted::new().network(1, 5001).macs(1, 5).0);
    fleet.add_world("right", switch(7, TUNNEL_IP));
    fleet.add_world("stranger", switch(8, stranger));
    fleet
}

fn is_programmed(fleet: &Fleet, world: &str) -> bool {
    !found(&fleet.worlds[world].switch).logical_switches.is_empty()
}

fn wrote(fleet: &Fleet, world: &str, conn: ConnId) -> bool {
    !fleet.worlds[world].transactions(conn).is_empty()
}

fn alarms(fleet: &Fleet) -> Vec<AlarmKind> {
    let status = fleet.status();
    let sessions = status.switches[&SwitchName::from("tor1")].sessions.iter();
    sessions
        .flat_map(|session| session.alarms.iter().map(|alarm| alarm.kind))
        .collect()
}

#[test]
fn a_second_switch_of_one_name_at_another_tunnel_end_is_not_written_and_both_are_named() {
    let mut fleet = fleet(ELSEWHERE);
    let right = fleet.connect("right");
    let stranger = fleet.connect("stranger");
    fleet.pass(5 * SECOND);
    assert!(!wrote(&fleet, "stranger", stranger) && !is_programmed(&fleet, "stranger"));
    assert!(fleet.worlds["right"].is_open(right) && is_programmed(&fleet, "right"));
    assert_eq!(
        fleet.worlds["stranger"].sessions[&stranger].ownership(),
        Ownership::Barred
    );
    assert!(alarms(&fleet).contains(&AlarmKind::Duplicate));
    let [Reported::Duplicate { kept, barred, .. }] = fleet.reports.as_slice() else {
        panic!("{:?}", fleet.reports);
    };
    assert_eq!(
        (&kept.row.tunnel_ips, &barred.row.tunnel_ips),
        (&vec![TUNNEL_IP], &vec![ELSEWHERE])
    );
}

#[test]
fn the_switch_at_the_configured_tunnel_end_is_programmed_though_the_stranger_came_first() {
    let mut fleet = fleet(ELSEWHERE);
    let first = fleet.connect("stranger");
    let right = fleet.connect("right");
    assert!(is_programmed(&fleet, "right"), "it waits for nothing");
    assert_eq!(fleet.worlds["stranger"].closed(first).reason, CloseReason::Duplicate);
    let again = fleet.connect("stranger");
    fleet.pass(5 * SECOND);
    assert!(fleet.worlds["right"].is_open(right));
    assert!(!wrote(&fleet, "stranger", again));
    assert!(alarms(&fleet).contains(&AlarmKind::Duplicate));
}

#[test]
fn of_two_switches_at_one_tunnel_end_the_newer_is_not_written() {
    let mut fleet = fleet(TUNNEL_IP);
    fleet.connect("right");
    let newer = fleet.connect("stranger");
    fleet.pass(5 * SECOND);
    assert!(!wrote(&fleet, "stranger", newer) && is_programmed(&fleet, "right"));
}

#[test]
fn a_copy_of_the_database_is_let_go_and_not_written_again() {
    let mut fleet = fleet(TUNNEL_IP);
    fleet.add_world("stranger", switch(7, TUNNEL_IP));
    let right = fleet.connect("right");
    let copy = fleet.connect("stranger");
    assert_eq!(fleet.worlds["stranger"].closed(copy).reason, CloseReason::Duplicate);
    let again = fleet.connect("stranger");
    fleet.pass(5 * SECOND);
    assert!(fleet.worlds["right"].is_open(right));
    assert!(!wrote(&fleet, "stranger", again) && alarms(&fleet).contains(&AlarmKind::Duplicate));
}

#[test]
fn a_switch_that_lost_its_database_is_programmed_when_its_dead_session_has_ended() {
    let mut fleet = fleet(TUNNEL_IP);
    let dead = fleet.connect("right");
    fleet.world("right").to_session.remove(&dead);
    let newer = fleet.connect("stranger");
    assert!(!wrote(&fleet, "stranger", newer), "the older session may be alive");
    fleet.pass(Duration::from_millis(1100));
    assert!(is_programmed(&fleet, "stranger"));
    assert_eq!((alarms(&fleet), fleet.reports.len()), (Vec::new(), 0));
}

#[test]
fn the_stranger_is_programmed_when_the_other_switch_has_gone() {
    let mut fleet = fleet(ELSEWHERE);
    let right = fleet.connect("right");
    let stranger = fleet.connect("stranger");
    fleet.world("right").disconnect(right);
    fleet.run();
    assert!(is_programmed(&fleet, "stranger"), "it is the only one");
    let events = fleet.events("stranger").iter();
    let locked = events.filter(|event| event.conn == stranger && event.what == What::Locked);
    assert_eq!(locked.count(), 1);
}

#[test]
fn the_alarm_of_a_stranger_ends_when_it_is_the_one_that_is_programmed() {
    let mut fleet = fleet(TUNNEL_IP);
    let right = fleet.connect("right");
    fleet.connect("stranger");
    assert_eq!(alarms(&fleet), [AlarmKind::Duplicate]);
    fleet.world("right").disconnect(right);
    fleet.run();
    assert!(is_programmed(&fleet, "stranger"));
    assert_eq!(alarms(&fleet), []);
}

#[test]
fn a_switch_that_takes_the_name_of_another_is_let_go() {
    let mut fleet = fleet(ELSEWHERE);
    fleet.connect("right");
    let world = fleet.world("stranger");
    world.edit(json!([{"op": "update", "table": "Physical_Switch", "where": [], "row": {"name": "tor9"}}]));
    let stranger = fleet.connect("stranger");
    let world = fleet.world("stranger");
    world.edit(json!([{"op": "update", "table": "Physical_Switch", "where": [], "row": {"name": "tor1"}}]));
    fleet.run();
    fleet.pass(5 * SECOND);
    assert!(!wrote(&fleet, "stranger", stranger));
}
