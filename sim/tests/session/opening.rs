//! The first flight, the identity of the switch, and connections without one.

use serde_json::{Value, json};
use tandem_core::configuration::{CertificateRule, Configuration};
use tandem_core::event::What;
use tandem_core::machine::{Certificate, Fingerprint, Peer};
use tandem_core::session::{Command, Input, Opening};
use tandem_core::status::Phase;
use tandem_core::{CloseReason, CloseWhy, ConnId, Fault, Generation, Machine};
use tandem_sim::switch::{Options, SchemaVersion};

use crate::contents::{assert_as_wanted, found};
use crate::wire::{SECOND, writes};
use crate::world::{TSN_A, TSN_B, Wanted, World, leave_behind, mac, name, vtep};

fn some_networks() -> Wanted {
    Wanted::new().network(1, 5001).network(2, 5002).macs(1, 20)
}

/// A switch that the other agent of the pair has left.
fn left_by_the_other() -> World {
    let mut world = World::new();
    let configuration = some_networks().agent_b().0;
    let conn = world.manage(&configuration);
    world.disconnect(conn);
    world.commits();
    world
}

#[test]
fn the_first_flight_asks_for_schema_small_tables_and_lock_before_any_answer() {
    let mut world = World::new();
    let conn = world.connect(&some_networks().0);
    assert_eq!(world.methods(conn), ["get_schema", "monitor", "monitor", "lock"]);
    let tables = &world.sent[&conn][1]["params"][2];
    assert!(tables.get("Mcast_Macs_Remote").is_some());
    let later = ["Ucast_Macs_Local", "Ucast_Macs_Remote"];
    assert!(later.iter().all(|table| tables.get(table).is_none()), "{tables}");
}

#[test]
fn the_first_monitor_names_only_columns_that_every_schema_has() {
    let mut world = World::with(Options::new(SchemaVersion::V1_0_0));
    let conn = world.connect(&some_networks().0);
    world.switch_works(conn);
    let answers = world.intercept_answers(conn);
    assert!(answers.iter().all(|answer| answer["error"].is_null()), "{answers:?}");
}

#[test]
fn the_claim_leaves_before_the_unicast_tables_are_asked_for() {
    let mut world = left_by_the_other();
    let conn = world.manage(&some_networks().0);
    let sent = &world.sent[&conn];
    let place = |what: &str| sent.iter().position(|message| message.to_string().contains(what));
    let claim = place(": broadcast\"").expect("a claim");
    let dump = place("Ucast_Macs_Local").expect("a question");
    assert!(claim < dump, "{claim} {dump}");
}

#[test]
fn broadcast_heals_in_two_round_trips() {
    let mut world = left_by_the_other();
    let configuration = some_networks().0;
    let conn = world.connect(&configuration);
    for _ in 0..2 {
        assert_eq!(world.commits().len(), 0);
        world.switch_works(conn);
        world.session_works(conn);
    }
    assert_eq!(found(&world.switch).broadcast[&name(1)][0].1, [TSN_A.to_string()]);
    assert_eq!(found(&world.switch).broadcast[&name(2)][0].1, [TSN_A.to_string()]);
}

#[test]
fn the_switch_is_managed_whatever_pieces_its_bytes_come_in() {
    let configuration = some_networks().0;
    for piece in [1, 7, 1000] {
        let mut world = left_by_the_other();
        let conn = world.connect(&configuration);
        while world.deliver_to_switch(conn, usize::MAX) | world.deliver_to_session(conn, piece) | world.wake_sessions()
        {
        }
        assert_as_wanted(&world, &configuration);
    }
}

#[test]
fn a_connection_that_breaks_at_any_moment_leaves_nothing_that_hinders_the_next() {
    let configuration = some_networks().0;
    for delivered in (0..12_000).step_by(331) {
        let mut world = left_by_the_other();
        let conn = world.connect(&configuration);
        let mut left = delivered;
        while left > 0 {
            world.switch_works(conn);
            let piece = left.min(331);
            world.deliver_to_session(conn, piece);
            world.wake_sessions();
            left -= piece;
        }
        world.disconnect(conn);
        assert_eq!(world.switch.lock_holder("tandem"), None);
        world.manage(&configuration);
        assert_as_wanted(&world, &configuration);
    }
}

#[test]
fn nothing_that_arrives_after_the_end_does_anything() {
    let mut world = World::new();
    let conn = world.manage(&some_networks().0);
    let mut session = world.sessions[&conn].clone();
    session.handle(world.now, Input::Closed(CloseWhy::new(CloseReason::PeerClosed, "cut")));
    while session.poll_output().is_some() {}
    for input in [
        Input::Closed(CloseWhy::new(CloseReason::PeerClosed, "cut again")),
        Input::Bytes(b"{\"id\":\"echo\",\"method\":\"echo\",\"params\":[]}".to_vec()),
        Input::Timeout,
        Input::Command(Command::Probe(1)),
        Input::Command(Command::Drain),
    ] {
        session.handle(world.now + 100 * SECOND, input.clone());
        assert_eq!(session.poll_output(), None, "{input:?}");
        assert_eq!(session.poll_timeout(), None, "{input:?}");
    }
}

#[test]
fn a_connection_that_names_no_configured_switch_claims_nothing_and_lets_the_lock_go() {
    let mut switch = tandem_sim::switch::Switch::new(7, SchemaVersion::V1_7_0);
    switch
        .add_physical_switch("tor9", "10.0.1.9", &["eth1"])
        .expect("added");
    let mut world = World::of(switch);
    leave_behind(&mut world, &name(1), 5001, TSN_B, &[(mac(1).to_string(), vtep(1))]);
    let before = found(&world.switch);
    let conn = world.manage(&some_networks().0);
    assert!(world.happened(|what| *what
        == What::Unidentified {
            named: vec!["tor9".into()]
        }));
    assert_eq!(world.switch.lock_holder("tandem"), None);
    assert_eq!((world.transactions(conn).len(), found(&world.switch)), (0, before));
    world.pass(60 * SECOND);
    assert_eq!(world.closed(conn).detail, "it has not named a configured switch");
}

#[test]
fn a_connection_that_never_identifies_itself_holds_the_lock_for_two_seconds_at_most() {
    let mut world = World::new();
    let conn = world.connect(&some_networks().0);
    world.switch_works(conn);
    // Of all answers only the one to `lock` arrives.
    let mut answers = world.intercept_answers(conn);
    answers.retain(|answer| answer["result"].get("locked").is_some());
    world.send_to_session(conn, &answers[0]);
    world.pass(2 * SECOND - SECOND / 1000);
    assert_eq!(world.switch.lock_holder("tandem"), Some(conn));
    world.pass(SECOND / 1000);
    assert_eq!(world.switch.lock_holder("tandem"), None);
    assert_eq!(world.transactions(conn).len(), 0);
}

#[test]
fn a_switch_that_gets_its_name_late_is_managed_from_then_on() {
    let mut world = World::of(tandem_sim::switch::Switch::new(7, SchemaVersion::V1_7_0));
    let configuration = some_networks().0;
    world.manage(&configuration);
    world.pass(5 * SECOND);
    world
        .switch
        .add_physical_switch("tor1", "10.0.1.1", &["eth1"])
        .expect("added");
    world.edit(json!([]));
    world.run();
    assert_as_wanted(&world, &configuration);
}

#[test]
fn a_lock_that_is_granted_before_the_switch_has_named_itself_writes_nothing_yet() {
    let mut world = left_by_the_other();
    let configuration = some_networks().0;
    let conn = world.connect(&configuration);
    world.switch_works(conn);
    let mut answers = world.intercept_answers(conn);
    answers.sort_by_key(|answer| answer["result"].get("locked").is_none());
    let [lock, rest @ ..] = answers.as_slice() else {
        panic!("answers");
    };
    world.send_to_session(conn, lock);
    assert_eq!(world.transactions(conn).len(), 0);
    rest.iter().for_each(|answer| world.send_to_session(conn, answer));
    world.run();
    assert_as_wanted(&world, &configuration);
}

#[test]
fn an_agent_that_is_not_fit_asks_for_no_lock_until_it_is() {
    let mut world = World::new();
    let configuration = some_networks().0;
    let conn = world.open(&configuration, true, false);
    world.run();
    assert!(!world.methods(conn).contains(&"lock".into()));
    assert_eq!(world.commits(), []);
    world.command(conn, Command::Fit);
    world.run();
    assert_as_wanted(&world, &configuration);
}

#[test]
fn the_unicast_tables_come_last_and_the_session_is_synced_when_they_are_read() {
    let mut world = left_by_the_other();
    let conn = world.connect(&some_networks().0);
    world.switch_works(conn);
    world.session_works(conn);
    assert_eq!(world.sessions[&conn].phase(), Phase::Reading);
    world.run();
    assert_eq!(world.sessions[&conn].phase(), Phase::Synced);
    assert_eq!(world.status(conn).rows_remote, 20);
}

#[test]
fn a_certificate_that_is_not_the_configured_one_manages_nothing() {
    let mut configuration = some_networks().0;
    let rule = CertificateRule::Pinned(Fingerprint([7; 32]));
    configuration
        .switches
        .get_mut(&"tor1".into())
        .expect("tor1")
        .certificate = Some(rule);
    let mut world = World::new();
    let conn = world.manage(&configuration);
    let why = world.closed(conn);
    assert_eq!(why.fault, Some(Fault::PeerMisbehaved));
    assert!(why.detail.contains("certificate (none)"), "{why}");
    assert_eq!((world.transactions(conn).len(), world.commits()), (0, vec![]));
}

#[test]
fn a_certificate_that_only_a_pin_admits_serves_no_other_switch_whatever_names_it_has() {
    let pin = Fingerprint([7; 32]);
    let named = CertificateRule::Named("tor1.example".into());
    let pinned = CertificateRule::Pinned(pin);
    for (rule, pinned_only, serves) in [
        (None, false, true),
        (None, true, false),
        (Some(named.clone()), false, true),
        (Some(named), true, false),
        (Some(pinned), true, true),
    ] {
        let mut configuration = some_networks().0;
        let tor1 = configuration.switches.get_mut(&"tor1".into()).expect("tor1");
        tor1.certificate = rule.clone();
        let mut world = World::new();
        let mut opening = opening(&world, ConnId(1), configuration);
        opening.peer.certificate = Some(Certificate {
            fingerprint: pin,
            names: vec!["tor1.example".into()],
            identities: vec!["tor1.example".into()],
            not_after_unix_s: 0,
            pinned_only,
        });
        world.connect_with(ConnId(1), opening);
        world.run();
        let refused = |what: &What| matches!(what, What::Closed { why } if why.reason == CloseReason::WrongCertificate);
        assert_eq!(world.happened(refused), !serves, "{rule:?} {pinned_only}");
        assert_eq!(world.commits().is_empty(), !serves, "{rule:?} {pinned_only}");
    }
}

fn opening(world: &World, conn: ConnId, configuration: Configuration) -> Opening {
    Opening {
        conn,
        generation: Generation(1),
        peer: Peer {
            address: ([192, 0, 2, 1], 6640).into(),
            proxied: None,
            certificate: None,
        },
        accepted_at: world.now,
        configuration: configuration.into(),
        complete: true,
        fit: true,
    }
}

/// A session with a peer that the test plays itself.
fn with_a_peer_of_our_own() -> (World, ConnId) {
    let mut world = World::new();
    let conn = ConnId(99);
    let opening = opening(&world, conn, some_networks().0);
    world.connect_with(conn, opening);
    world.intercept_requests(conn);
    (world, conn)
}

#[test]
fn a_peer_that_speaks_another_protocol_is_shown_the_door() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00",
        b"[1,2]",
        b"{\"id\":}",
        b"7",
    ] {
        let (mut world, conn) = with_a_peer_of_our_own();
        world.session_input(conn, Input::Bytes(bytes.to_vec()));
        assert_eq!(world.closed(conn).fault, Some(Fault::PeerMisbehaved), "{bytes:?}");
    }
}

#[test]
fn a_server_of_another_database_is_incompatible_and_the_close_names_why() {
    let unknown = json!({"error": "unknown database", "details": "no database named hardware_vtep", "syntax": ""});
    let other = json!({"name": "Open_vSwitch", "version": "8.3.1", "tables": {}});
    for (result, error, what) in [
        (Value::Null, unknown, "it refuses get_schema: unknown database"),
        (other, Value::Null, "its schema (version 8.3.1) has no column"),
    ] {
        let (mut world, conn) = with_a_peer_of_our_own();
        world.send_to_session(conn, &json!({"id": 0, "result": result, "error": error}));
        let why = world.closed(conn);
        assert_eq!(why.fault, Some(Fault::PeerIncompatible));
        assert!(why.detail.contains(what), "{why}");
    }
}

#[test]
fn an_unexpected_answer_or_notification_is_ignored() {
    let (mut world, conn) = with_a_peer_of_our_own();
    for message in [
        json!({"id": 999, "result": {}, "error": null}),
        json!({"id": "echo", "result": [], "error": null}),
        json!({"id": null, "method": "something new", "params": []}),
        json!({"id": null, "method": "stolen", "params": ["tandem"]}),
    ] {
        world.send_to_session(conn, &message);
        assert!(world.is_open(conn), "{message}");
    }
}

#[test]
fn a_method_that_we_do_not_know_is_refused_and_the_session_goes_on() {
    let (mut world, conn) = with_a_peer_of_our_own();
    world.send_to_session(conn, &json!({"id": 3, "method": "steal_my_lunch", "params": []}));
    let [answer] = world.intercept_requests(conn).try_into().expect("one answer");
    assert_eq!((&answer["id"], &answer["error"]), (&json!(3), &json!("unknown method")));
    assert!(world.is_open(conn));
}

#[test]
fn a_takeover_claims_with_nothing_but_broadcast_rows_and_their_locators() {
    let mut world = left_by_the_other();
    let conn = world.manage(&some_networks().0);
    let transactions = world.transactions(conn);
    let [claim] = transactions.as_slice() else {
        panic!("one transaction, not {transactions:?}");
    };
    let others = ["Ucast_Macs_Remote", "Logical_Switch", "Physical_Port"];
    assert!(!others.iter().any(|table| writes(claim, table)));
}
