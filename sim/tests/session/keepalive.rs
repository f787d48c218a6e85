//! Keepalive of either end, with and without other traffic.

use std::time::Duration;

use serde_json::json;
use tandem_core::event::What;
use tandem_core::session::{Command, Input, Why};
use tandem_core::{ConnId, Fault, Machine};

use crate::wire::SECOND;
use crate::world::{TUNNEL_IP, Wanted, World, learn, mac, name};

const MILLISECOND: Duration = Duration::from_millis(1);

fn wanted(keepalive: Option<Duration>) -> Wanted {
    let mut wanted = Wanted::new().network(1, 5001).macs(1, 20);
    wanted.0.session.keepalive = keepalive;
    wanted
}

/// A managed switch whose network swallows everything from now on.
fn gone_silent(keepalive: Option<Duration>) -> (World, ConnId) {
    let mut world = World::new();
    let conn = world.manage(&wanted(keepalive).0);
    world.to_switch.remove(&conn);
    (world, conn)
}

fn echoes(world: &World) -> usize {
    world.count(|what| *what == What::Echoed)
}

fn echo(id: u32) -> serde_json::Value {
    json!({"id": id, "method": "echo", "params": [1]})
}

#[test]
fn an_echo_goes_out_after_an_interval_of_silence_and_its_answer_keeps_the_session() {
    let mut world = World::new();
    let conn = world.manage(&wanted(Some(10 * SECOND)).0);
    world.pass(10 * SECOND - MILLISECOND);
    assert_eq!(echoes(&world), 0);
    world.pass(MILLISECOND);
    assert_eq!(echoes(&world), 1);
    world.pass(600 * SECOND);
    assert!(world.is_open(conn));
    assert_eq!(world.status(conn).keepalive_misses, 61);
}

#[test]
fn a_silent_line_is_cut_after_two_intervals_and_its_routes_are_retracted() {
    let mut world = World::new();
    let conn = world.manage(&wanted(Some(10 * SECOND)).0);
    learn(&mut world, &name(1), mac(77), TUNNEL_IP);
    world.to_switch.remove(&conn);
    world.pass(20 * SECOND - MILLISECOND);
    assert!(world.is_open(conn));
    world.pass(MILLISECOND);
    let why = world.closed(conn);
    assert_eq!(
        (why.fault, why.detail.as_str()),
        (Some(Fault::Environment), "nothing received for 20.0 s")
    );
    assert!(world.happened(|what| matches!(what, What::Retracted { routes: 1 })));
}

#[test]
fn the_switchs_own_traffic_makes_echoes_needless() {
    let mut world = World::new();
    world.manage(&wanted(Some(10 * SECOND)).0);
    for n in 0..20 {
        world.pass(9 * SECOND);
        learn(&mut world, &name(1), mac(100 + n), TUNNEL_IP);
    }
    assert_eq!(echoes(&world), 0);
}

#[test]
fn a_message_that_arrives_byte_by_byte_is_life() {
    let (mut world, conn) = gone_silent(Some(10 * SECOND));
    for byte in b"{\"id\":null,\"method\":\"upda" {
        world.pass(9 * SECOND);
        world.session_input(conn, Input::Bytes(vec![*byte]));
    }
    assert_eq!(echoes(&world), 0);
    assert!(world.is_open(conn));
}

#[test]
fn while_a_dump_is_awaited_the_switch_may_be_silent_for_a_minute_or_two_intervals() {
    for (interval, patience) in [(1, 60), (10, 60), (40, 80)] {
        let mut world = World::new();
        let conn = world.connect(&wanted(Some(interval * SECOND)).0);
        world.switch_works(conn);
        world.session_works(conn);
        assert!(
            world.methods(conn).contains(&"monitor_cond".into()),
            "the dump is asked for"
        );
        world.to_switch.remove(&conn);
        world.pass(patience * SECOND - MILLISECOND);
        assert!(world.is_open(conn), "{interval}");
        world.pass(MILLISECOND);
        assert!(!world.is_open(conn), "{interval}");
    }
}

#[test]
fn once_the_dump_is_there_patience_is_two_intervals_again() {
    let (mut world, conn) = gone_silent(Some(SECOND));
    world.pass(2 * SECOND);
    assert!(!world.is_open(conn));
}

#[test]
fn an_echo_of_the_switch_is_answered_before_it_is_identified() {
    let mut world = World::new();
    let conn = world.connect(&wanted(None).0);
    world.intercept_requests(conn);
    world.send_to_session(conn, &echo(5));
    let answer = json!({"id": 5, "result": [1], "error": null});
    assert_eq!(world.intercept_requests(conn), [answer]);
}

#[test]
fn an_echo_is_answered_at_once_while_a_large_dump_is_being_processed() {
    let mut world = World::new();
    let configuration = wanted(None).macs(1, 30_000).0;
    let first = world.manage(&configuration);
    world.disconnect(first);
    let conn = world.connect(&configuration);
    world.switch_works(conn);
    world.session_works(conn);
    world.switch_works(conn);
    world.deliver_to_session(conn, usize::MAX);
    world.intercept_requests(conn);
    world.session_input(conn, Input::Bytes(echo(5).to_string().into_bytes()));
    let deadline = world.sessions[&conn].poll_timeout().expect("a deadline");
    assert_eq!(deadline.why, Why::MoreWork, "the dump is not processed yet");
    assert_eq!(world.intercept_requests(conn)[0]["result"], json!([1]));
}

#[test]
fn a_peer_that_answers_echoes_but_no_request_is_cut_and_the_request_is_named() {
    let mut world = World::new();
    let conn = world.manage(&wanted(Some(10 * SECOND)).0);
    let configuration = wanted(Some(10 * SECOND)).macs(1, 25).0;
    let (configuration, complete) = (configuration.into(), true);
    world.command(
        conn,
        Command::Configure {
            configuration,
            complete,
        },
    );
    for _ in 0..10 {
        for request in world.intercept_requests(conn) {
            if request["method"] == "echo" {
                world.send_to_session(conn, &json!({"id": request["id"], "result": [], "error": null}));
            }
        }
        world.pass(10 * SECOND);
    }
    let why = world.closed(conn);
    assert_eq!(why.fault, Some(Fault::PeerMisbehaved));
    assert_eq!(why.detail, "no answer to transact (unicast, 5 rows)");
}

#[test]
fn a_peer_that_answers_nothing_at_all_is_cut_even_with_the_keepalive_off() {
    let mut world = World::new();
    let conn = world.connect(&wanted(None).0);
    world.intercept_requests(conn);
    world.pass(600 * SECOND);
    assert!(!world.is_open(conn));
}

#[test]
fn with_the_keepalive_off_silence_cuts_nothing() {
    let (mut world, conn) = gone_silent(None);
    world.pass(86_400 * SECOND);
    assert!(world.is_open(conn));
    assert_eq!(echoes(&world), 0);
}

#[test]
fn a_shorter_interval_counts_from_now_on_and_cuts_nothing_in_retrospect() {
    let mut world = World::new();
    let conn = world.manage(&wanted(None).0);
    world.pass(300 * SECOND);
    let (configuration, complete) = (wanted(Some(SECOND)).0.into(), true);
    world.command(
        conn,
        Command::Configure {
            configuration,
            complete,
        },
    );
    while world.wake_sessions() {}
    world.pass(5 * SECOND);
    assert!(
        world.is_open(conn),
        "the switch answers every echo: {:?}",
        world.words()
    );
}

#[test]
fn an_agent_that_was_itself_asleep_gives_the_switch_time_to_answer() {
    let mut world = World::new();
    let conn = world.manage(&wanted(Some(SECOND)).0);
    world.now = world.now + 30 * SECOND;
    while world.wake_sessions() {}
    world.pass(5 * SECOND);
    assert!(world.is_open(conn), "{:?}", world.words());
}

#[test]
fn a_doubted_line_has_one_second_to_show_that_it_is_alive() {
    let (mut world, conn) = gone_silent(None);
    world.pass(100 * SECOND);
    world.command(conn, Command::Probe(1));
    world.pass(SECOND - MILLISECOND);
    assert!(world.is_open(conn));
    world.pass(MILLISECOND);
    assert!(!world.is_open(conn));
}

#[test]
fn a_doubted_line_that_is_alive_stays() {
    let mut world = World::new();
    let conn = world.manage(&wanted(None).0);
    world.pass(100 * SECOND);
    world.command(conn, Command::Probe(1));
    world.pass(100 * SECOND);
    assert!(world.is_open(conn));
}
