//! The agent: many switches, several sessions, and a drain.

use serde_json::json;
use tandem_core::agent::Input;
use tandem_core::configuration::Configuration;
use tandem_core::event::{LogEvent, Route, What};
use tandem_core::health::Grade;
use tandem_core::session::Notice;
use tandem_core::{CloseReason, ConnId, Generation};
use tandem_sim::switch::{Options, SchemaVersion, Switch};

use crate::contents::found;
use crate::fleet::{Fleet, and_switch};
use crate::wire::SECOND;
use crate::world::{TUNNEL_IP, Wanted, World, learn, mac, name, network, ops};

/// `tor1` with network 1, `tor2` with network 2.
fn two_switches() -> Configuration {
    let wanted = Wanted::new().network(1, 5001).unbound(2, 5002).macs(1, 5).macs(2, 7);
    and_switch(wanted.0, "tor2", 2)
}

fn fleet_of_two() -> Fleet {
    let mut fleet = Fleet::configured(&two_switches());
    fleet.add_switch("tor1");
    fleet.add_switch("tor2");
    fleet
}

fn logical_switches(world: &World) -> Vec<String> {
    found(&world.switch).logical_switches.into_keys().collect()
}

/// Port rows of a switch that are bound, by switch and port.
fn bound(world: &World) -> Vec<(String, String)> {
    let mut bound = Vec::new();
    for (_, switch) in world.switch.rows("Physical_Switch") {
        for port in switch.references("ports") {
            let mut rows = world.switch.rows("Physical_Port");
            let (_, row) = rows.find(|(row, _)| *row == port).expect("the port");
            if row.datum("vlan_bindings").is_some_and(|bindings| !bindings.is_empty()) {
                let text = |row: &tandem_sim::switch::Row| row.text("name").unwrap_or_default().to_owned();
                bound.push((text(switch), text(row)));
            }
        }
    }
    bound.sort();
    bound
}

fn rename(world: &mut World, from: &str, to: &str) {
    world.edit(
        json!([{"op": "update", "table": "Physical_Switch", "where": [["name", "==", from]], "row": {"name": to}}]),
    );
}

#[test]
fn every_switch_gets_what_is_wanted_of_it_although_all_come_from_one_address() {
    let mut fleet = fleet_of_two();
    fleet.connect("tor1");
    fleet.connect("tor2");
    assert_eq!(logical_switches(fleet.world("tor1")), [name(1)]);
    assert_eq!(logical_switches(fleet.world("tor2")), [name(2)]);
    assert_eq!(found(&fleet.world("tor2").switch).remote.len(), 7);
    let status = fleet.status();
    assert!(status.switches.values().all(|switch| switch.sessions.len() == 1));
    assert!(status.unidentified.is_empty());
}

#[test]
fn a_new_configuration_reaches_every_session() {
    let mut fleet = fleet_of_two();
    fleet.connect("tor1");
    fleet.connect("tor2");
    let mut configuration = two_switches();
    for n in [1, 2] {
        let macs = &mut configuration.networks.get_mut(&network(n)).expect("there").remote_macs;
        macs.insert(mac(500), crate::world::vtep(1));
    }
    fleet.configure(&configuration, true);
    assert_eq!(found(&fleet.world("tor1").switch).remote.len(), 6);
    assert_eq!(found(&fleet.world("tor2").switch).remote.len(), 8);
}

#[test]
fn the_line_about_what_a_file_takes_away_names_the_file() {
    let mut fleet = fleet_of_two();
    fleet.connect("tor1");
    let mut configuration = two_switches();
    configuration.networks.remove(&network(1));
    configuration
        .switches
        .get_mut(&"tor1".into())
        .expect("there")
        .ports
        .clear();
    fleet.configure(&configuration, true);
    let events = fleet.events("tor1").iter();
    let lost = events.filter(|event| event.what.word() == "Reconfigured");
    let lost: Vec<String> = lost.map(|event| event.what.to_string()).collect();
    assert_eq!(
        lost,
        ["1 binding, 1 logical switch and 5 MACs are no longer configured (by its file)"]
    );
}

#[test]
fn a_switch_that_is_not_configured_any_more_is_let_go_and_the_others_stay() {
    let mut fleet = fleet_of_two();
    let first = fleet.connect("tor1");
    let second = fleet.connect("tor2");
    let mut configuration = two_switches();
    configuration.switches.remove(&"tor2".into());
    fleet.configure(&configuration, true);
    assert_eq!(fleet.world("tor2").closed(second).fault, None);
    assert!(fleet.world("tor1").is_open(first));
    assert_eq!(
        logical_switches(fleet.world("tor2")),
        [name(2)],
        "what is in it is not configured"
    );
}

/// One database with `tor1` and `tor2`, each with a port `eth1`.
fn two_in_one_database() -> World {
    let mut switch = Switch::new(7, SchemaVersion::V1_7_0);
    for (name, ip) in [("tor1", "10.0.1.1"), ("tor2", "10.0.1.2")] {
        switch.add_physical_switch(name, ip, &["eth1", "eth2"]).expect("added");
    }
    World::of(switch)
}

#[test]
fn two_switches_behind_one_connection_are_both_managed() {
    let mut fleet = Fleet::configured(&two_switches());
    fleet.add_world("both", two_in_one_database());
    fleet.connect("both");
    assert_eq!(logical_switches(fleet.world("both")), [name(1), name(2)]);
    let both = ["tor1", "tor2"].map(|switch| (switch.to_owned(), "eth1".to_owned()));
    assert_eq!(bound(fleet.world("both")), both);
    assert!(
        fleet
            .status()
            .switches
            .values()
            .all(|switch| switch.sessions.len() == 1)
    );
}

#[test]
fn of_two_switches_behind_one_connection_the_one_that_is_not_configured_is_left_alone() {
    let mut fleet = Fleet::configured(&Wanted::new().network(1, 5001).0);
    fleet.add_world("both", two_in_one_database());
    fleet.connect("both");
    assert_eq!(bound(fleet.world("both")), [("tor1".to_owned(), "eth1".to_owned())]);
}

#[test]
fn a_second_switch_that_appears_behind_a_connection_is_managed_with_it() {
    let mut fleet = Fleet::configured(&two_switches());
    fleet.add_switch("tor1");
    let conn = fleet.connect("tor1");
    let world = fleet.world("tor1");
    world
        .switch
        .add_physical_switch("tor2", "10.0.1.2", &["eth1"])
        .expect("added");
    world.edit(json!([]));
    fleet.run();
    assert_eq!(logical_switches(fleet.world("tor1")), [name(1), name(2)]);
    assert!(fleet.world("tor1").is_open(conn));
}

#[test]
fn a_switch_that_is_renamed_in_place_gets_what_its_new_name_wants() {
    let mut fleet = fleet_of_two();
    let conn = fleet.connect("tor1");
    rename(fleet.world("tor1"), "tor1", "tor2");
    fleet.run();
    fleet.pass(SECOND);
    assert!(fleet.world("tor1").is_open(conn));
    assert_eq!(logical_switches(fleet.world("tor1")), [name(2)]);
    let status = fleet.status();
    assert_eq!(status.switches[&"tor1".into()].sessions.len(), 0);
    assert_eq!(status.switches[&"tor2".into()].sessions.len(), 1);
}

#[test]
fn a_switch_that_is_renamed_to_an_unknown_name_is_let_go_and_keeps_what_it_has() {
    let mut fleet = fleet_of_two();
    let conn = fleet.connect("tor1");
    rename(fleet.world("tor1"), "tor1", "tor9");
    fleet.run();
    assert_eq!(fleet.world("tor1").closed(conn).fault, None);
    assert_eq!(logical_switches(fleet.world("tor1")), [name(1)]);
    rename(fleet.world("tor1"), "tor9", "tor1");
    fleet.connect("tor1");
    assert_eq!(fleet.status().switches[&"tor1".into()].sessions.len(), 1);
}

#[test]
fn a_connection_that_names_no_configured_switch_is_shown_with_the_name_it_gave() {
    let mut fleet = Fleet::configured(&two_switches());
    fleet.add_switch("tor9");
    let conn = fleet.connect("tor9");
    let unidentified = fleet.status().unidentified;
    assert_eq!(
        (unidentified[0].conn, &unidentified[0].named),
        (conn, &vec!["tor9".into()])
    );
    fleet.pass(61 * SECOND);
    assert_eq!(fleet.status().unidentified.len(), 0);
}

#[test]
fn of_too_many_connections_without_a_name_the_oldest_goes_and_a_switch_still_gets_in() {
    let mut fleet = fleet_of_two();
    fleet.connect("tor1");
    let nameless: Vec<_> = (0..256).map(|_| fleet.connect_only("tor2")).collect();
    for conn in &nameless {
        fleet.world("tor2").to_switch.remove(conn);
    }
    let conn = fleet.connect("tor2");
    assert_eq!(fleet.refused.len(), 0, "{:?}", fleet.refused);
    let mut open = |conn: &ConnId| fleet.world("tor2").is_open(*conn);
    assert!(open(&conn));
    let open: Vec<bool> = nameless.iter().map(&mut open).collect();
    assert_eq!((open[0], open[1..].iter().all(|open| *open)), (false, true));
}

#[test]
fn an_agent_is_unfit_and_claims_nothing_until_its_configuration_is_complete() {
    let mut fleet = Fleet::new(&two_switches());
    fleet.add_switch("tor1");
    fleet.connect("tor1");
    fleet.configure(&two_switches(), false);
    assert_eq!((fleet.agent.grade(), fleet.grades.len()), (Grade::Unfit, 0));
    assert_eq!(logical_switches(fleet.world("tor1")), Vec::<String>::new());
    fleet.configure(&two_switches(), true);
    assert_eq!(fleet.grades, [Grade::Fit]);
    assert_eq!(logical_switches(fleet.world("tor1")), [name(1)]);
}

#[test]
fn every_session_has_a_higher_generation_than_all_before_it() {
    let mut fleet = fleet_of_two();
    for switch in ["tor1", "tor2", "tor1"] {
        let conn = fleet.connect(switch);
        fleet.world(switch).disconnect(conn);
        fleet.run();
    }
    let opened = |name: &str| {
        let events = fleet.events(name).iter();
        let opened = events.filter(|event| matches!(event.what, What::Opened { .. }));
        opened.map(|event| event.generation).collect::<Vec<_>>()
    };
    assert_eq!(opened("tor1"), [Generation(101), Generation(103)]);
    assert_eq!(opened("tor2"), [Generation(102)]);
}

fn learned(fleet: &mut Fleet) -> Route {
    learn(fleet.world("tor1"), &name(1), mac(77), TUNNEL_IP);
    fleet.run();
    Route {
        network: network(1),
        mac: mac(77),
        vtep: TUNNEL_IP,
    }
}

#[test]
fn what_a_switch_learned_is_exported_until_its_session_ends() {
    let mut fleet = fleet_of_two();
    let conn = fleet.connect("tor1");
    let route = learned(&mut fleet);
    assert_eq!(fleet.agent.exports().routes().collect::<Vec<_>>(), [&route]);
    fleet.world("tor1").disconnect(conn);
    fleet.run();
    assert_eq!(fleet.agent.exports().routes().count(), 0);
    let closed: Vec<_> = fleet.status().closed.iter().collect();
    assert_eq!(closed, [(CloseReason::PeerClosed, 1)]);
}

#[test]
fn late_news_of_an_older_session_touches_no_route_of_the_newer() {
    let mut fleet = fleet_of_two();
    let conn = fleet.connect("tor1");
    let route = learned(&mut fleet);
    let generation = fleet.agent.generation(conn).expect("a session");
    fleet.world("tor1").disconnect(conn);
    fleet.run();
    fleet.connect("tor1");
    for notice in [Notice::Withdrawn(route), Notice::Closed(CloseReason::ConnectionLost)] {
        fleet.handle(Input::Session {
            conn,
            generation,
            notice,
        });
    }
    assert_eq!(fleet.agent.exports().routes().collect::<Vec<_>>(), [&route]);
}

#[test]
fn a_waiting_second_session_changes_nothing_about_what_is_exported() {
    let mut fleet = fleet_of_two();
    fleet.connect("tor1");
    learned(&mut fleet);
    fleet.connect("tor1");
    let status = fleet.status();
    let tor1 = &status.switches[&"tor1".into()];
    assert_eq!((tor1.sessions.len(), tor1.exported), (2, 1));
}

fn echoes_sent(world: &World, conn: ConnId) -> usize {
    world.methods(conn).iter().filter(|method| *method == "echo").count()
}

#[test]
fn an_older_session_that_is_alive_proves_it_and_stays() {
    let mut fleet = fleet_of_two();
    let older = fleet.connect("tor1");
    fleet.connect("tor1");
    assert_eq!(echoes_sent(fleet.world("tor1"), older), 1);
    fleet.pass(5 * SECOND);
    assert!(fleet.world("tor1").is_open(older));
}

#[test]
fn an_older_session_that_is_dead_goes_after_a_second_and_the_newer_takes_over() {
    let mut fleet = fleet_of_two();
    let older = fleet.connect("tor1");
    let route = learned(&mut fleet);
    fleet.world("tor1").to_session.remove(&older);
    let newer = fleet.connect("tor1");
    fleet.pass(2 * SECOND);
    assert!(!fleet.world("tor1").is_open(older));
    assert_eq!(fleet.status().switches[&"tor1".into()].sessions[0].conn, newer);
    assert_eq!(fleet.agent.exports().routes().collect::<Vec<_>>(), [&route]);
}

#[test]
fn without_locks_a_dead_older_session_leaves_the_newers_routes_alone() {
    let mut switch = Switch::with_options(
        7,
        Options {
            locks: false,
            ..Options::new(SchemaVersion::V1_3_0)
        },
    );
    switch
        .add_physical_switch("tor1", "10.0.1.1", &["eth1"])
        .expect("added");
    let mut fleet = Fleet::configured(&two_switches());
    fleet.add_world("tor1", World::of(switch));
    let older = fleet.connect("tor1");
    let route = learned(&mut fleet);
    fleet.world("tor1").to_session.remove(&older);
    fleet.connect("tor1");
    fleet.pass(2 * SECOND);
    assert!(!fleet.world("tor1").is_open(older));
    assert_eq!(fleet.agent.exports().routes().collect::<Vec<_>>(), [&route]);
}

#[test]
fn a_drain_notifies_the_proxies_first_then_hands_over_every_switch() {
    let mut fleet = fleet_of_two();
    let conns = [("tor1", fleet.connect("tor1")), ("tor2", fleet.connect("tor2"))];
    fleet.handle(Input::Drain);
    assert_eq!(fleet.grades, [Grade::Fit, Grade::Draining]);
    assert!(conns.iter().all(|(switch, conn)| fleet.worlds[switch].is_open(*conn)));
    assert_eq!(fleet.drained, 0);
    fleet.handle(Input::Announced);
    for (switch, conn) in conns {
        assert_eq!(fleet.worlds[switch].closed(conn).fault, None);
        assert_eq!(fleet.worlds[switch].switch.lock_holder("tandem"), None);
    }
    assert_eq!(fleet.drained, 1);
}

#[test]
fn a_draining_agent_takes_no_new_connection() {
    let mut fleet = fleet_of_two();
    fleet.handle(Input::Drain);
    fleet.connect("tor1");
    assert_eq!(fleet.refused.len(), 1);
}

#[test]
fn a_drain_goes_on_after_five_seconds_without_the_proxies() {
    let mut fleet = fleet_of_two();
    fleet.connect("tor1");
    fleet.handle(Input::Drain);
    fleet.pass(5 * SECOND - SECOND / 10);
    assert_eq!(fleet.drained, 0);
    fleet.pass(SECOND / 10);
    assert_eq!(fleet.drained, 1);
}

#[test]
fn a_drain_does_not_wait_forever_for_a_switch_that_answers_nothing() {
    let mut fleet = fleet_of_two();
    let conn = fleet.connect("tor1");
    fleet.world("tor1").to_switch.remove(&conn);
    fleet.handle(Input::Drain);
    fleet.handle(Input::Announced);
    fleet.pass(5 * SECOND - SECOND / 10);
    assert_eq!(fleet.drained, 0);
    fleet.pass(SECOND / 10);
    assert_eq!(fleet.drained, 1);
    assert_eq!(fleet.world("tor1").closed(conn).detail, "the drain took too long");
}

#[test]
fn a_drain_without_any_session_is_over_when_the_proxies_know_and_is_over_once() {
    let mut fleet = fleet_of_two();
    for input in [Input::Drain, Input::Announced, Input::Announced, Input::Drain] {
        fleet.handle(input);
    }
    fleet.pass(20 * SECOND);
    assert_eq!((fleet.drained, fleet.grades.len()), (1, 2));
}

#[test]
fn a_configuration_that_arrives_during_a_drain_makes_no_agent_fit_again() {
    let mut fleet = fleet_of_two();
    fleet.connect("tor1");
    fleet.handle(Input::Drain);
    fleet.configure(&two_switches(), true);
    assert_eq!(fleet.agent.grade(), Grade::Draining);
    fleet.handle(Input::Announced);
    assert_eq!(fleet.drained, 1);
}

#[test]
fn a_switch_that_others_bind_in_one_database_is_not_unbound_by_us() {
    let mut fleet = Fleet::configured(&Wanted::new().network(1, 5001).0);
    let mut world = two_in_one_database();
    world.edit(json!([ops::logical_switch("theirs", 9000)]));
    let theirs = ops::uuid(crate::world::find_logical_switch(&world, "theirs").expect("there"));
    world.edit(
        json!([{"op": "update", "table": "Physical_Port", "where": [["name", "==", "eth2"]],
        "row": {"vlan_bindings": ["map", [[7, theirs]]]}}]),
    );
    fleet.add_world("both", world);
    fleet.connect("both");
    assert_eq!(bound(fleet.world("both")).len(), 3);
}
