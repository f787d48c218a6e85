use super::testing::*;
use super::*;
use tandem_core::event::LogEvent;
use tandem_core::status::{Ownership, Phase};

const PROXIES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 3), Ipv4Addr::new(10, 0, 0, 4)];

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn agent_check(word: &str) -> Outcome {
    Outcome::AgentCheck(word.into())
}

#[test]
fn a_switch_that_connects_is_managed() {
    let mut bench = Bench::new(1, options());
    let conn = bench.connect();
    let tsn = TSN.to_string();
    let mut locators = bench.switch.rows("Physical_Locator");
    assert!(locators.any(|(_, row)| row.text("dst_ip") == Some(&tsn)));
    assert_eq!(bench.switch.rows("Mcast_Macs_Remote").count(), 1);
    assert_eq!(bench.switch.lock_holder("tandem"), Some(conn));
    let status = bench.host.status(bench.now);
    let sessions = &status.switches[&"tor1".into()].sessions;
    assert_eq!(
        (sessions[0].phase, sessions[0].ownership),
        (Phase::Synced, Ownership::Held)
    );
    assert_eq!(sessions[0].generation, Generation(101));
    // Two flights, one of either end.
    assert_eq!(sessions[0].takeover_ms.tls, Some(8.0));
    let line = &bench.host.sessions()[&conn];
    assert!(line.received_bytes > 0 && line.last_received > Time::ORIGIN);
    assert_eq!(bench.host.half_open(), 0);
    let audited = bench.words().contains(&"Audited");
    assert!(audited, "{:?}", bench.words());
}

#[test]
fn switches_are_taken_once_everything_is_known_and_health_checks_at_once() {
    let mut bench = Bench::new(
        1,
        Options {
            complete: false,
            ..options()
        },
    );
    assert_eq!(bench.listening, [HEALTH, AGENT_CHECK].into());
    let find = |bench: &mut Bench| {
        [CheckKind::Echo, CheckKind::Tls, CheckKind::Agent].map(|kind| bench.host.health(bench.now, kind, PROXIES[0]))
    };
    assert_eq!(
        find(&mut bench),
        [Outcome::Wrong, Outcome::Refused, agent_check("down")]
    );
    bench.handle(Input::Command(Command::Configure {
        configuration: configuration(),
        complete: true,
    }));
    assert_eq!(bench.listening, [HEALTH, AGENT_CHECK, OVSDB].into());
    assert_eq!(bench.words(), ["Graded", "HealthChanged"]);
    let passed = [Outcome::Passed, Outcome::Passed, agent_check("ready up 100%")];
    assert_eq!(find(&mut bench), passed);
}

#[test]
fn what_was_wanted_and_read_at_the_start_is_not_kept_beside_what_the_agent_knows() {
    let remembering = Options {
        control_nodes: vec![HEALTH],
        disk: Some(b"a file".to_vec()),
        ..options()
    };
    assert!(!remembering.configuration.networks.is_empty());
    let host = Host::new(1, remembering);
    assert_eq!(host.options.configuration.networks.len(), 0);
    assert_eq!(host.options.disk, Some(Vec::new()), "it remembers from now on");
}

#[test]
fn a_drain_goes_on_when_the_last_proxy_has_fetched_the_grade() {
    let mut bench = Bench::new(1, options());
    bench.connect();
    for proxy in PROXIES {
        let outcome = bench.host.health(bench.now, CheckKind::Agent, proxy);
        assert_eq!(outcome, agent_check("ready up 100%"));
    }
    bench.events.clear();
    bench.handle(Input::Command(Command::Drain));
    bench.pass(second(2));
    assert_eq!(bench.words(), ["Graded", "HealthChanged"]);
    for (proxy, drained) in PROXIES.into_iter().zip([false, true]) {
        assert_eq!(bench.host.health(bench.now, CheckKind::Echo, proxy), Outcome::Passed);
        assert_eq!(
            bench.host.health(bench.now, CheckKind::Agent, proxy),
            agent_check("drain")
        );
        bench.run();
        assert_eq!(bench.words().contains(&"Drained"), drained);
    }
    assert_eq!(bench.switch.lock_holder("tandem"), None);
    let agent = bench.host.health(bench.now, CheckKind::Agent, PROXIES[0]);
    assert_eq!((agent, bench.host.poll_timeout()), (Outcome::Refused, None));
}

#[test]
fn a_drain_waits_five_seconds_for_a_proxy_that_polls_unseen() {
    let mut bench = Bench::new(1, options());
    bench.host.health(bench.now, CheckKind::Agent, PROXIES[0]);
    bench.pass(second(600));
    let mut alone = bench.clone();
    alone.handle(Input::Command(Command::Drain));
    assert!(alone.words().contains(&"Drained"), "no proxy polls any more");
    bench.handle(Input::Command(Command::Polled { from: PROXIES[0] }));
    bench.handle(Input::Command(Command::Drain));
    bench.pass(second(60));
    let drained = bench.events.iter().find(|(_, event)| *event == Event::Drained);
    assert_eq!(drained.map(|(at, _)| *at), Some(Time::ORIGIN + second(605)));
}

#[test]
fn a_switch_that_connects_to_a_draining_agent_is_refused_behind_tls() {
    let mut bench = Bench::new(1, options());
    bench.connect();
    bench.host.health(bench.now, CheckKind::Agent, PROXIES[0]);
    bench.handle(Input::Command(Command::Drain));
    let late = bench.connect();
    assert!(bench.closed.contains(&late));
    assert_eq!(bench.ends(), ["the agent is draining"]);
}

#[test]
fn a_stalled_handshake_ends_at_its_deadline() {
    let mut bench = Bench::new(1, options());
    bench.handle(Input::Command(Command::Tls(Some(TlsFault::Stalled))));
    let outcome = bench.host.health(bench.now, CheckKind::Tls, PROXIES[0]);
    assert_eq!(outcome, Outcome::TimedOut);
    bench.connect();
    assert_eq!(bench.host.half_open(), 1);
    bench.pass(second(60));
    assert_eq!(bench.host.half_open(), 0);
    assert_eq!(
        bench.ends(),
        ["the handshake took longer than 10s; waited for TLS (the peer misbehaved)"]
    );
    assert_eq!(
        bench.events.last().map(|(at, _)| *at),
        Some(Time::ORIGIN + HANDSHAKE_DEADLINE)
    );
    assert_eq!(bench.host.poll_timeout(), None);
}

#[test]
fn a_fault_of_tls_concerns_new_connections_alone_and_passes() {
    let mut bench = Bench::new(1, options());
    let managed = bench.connect();
    bench.handle(Input::Command(Command::Tls(Some(TlsFault::Refused))));
    let refused = bench.connect();
    assert!(bench.closed.contains(&refused));
    assert_eq!(bench.ends(), ["the handshake was refused (the environment)"]);
    assert!(bench.host.sessions().contains_key(&managed));
    bench.handle(Input::Command(Command::Tls(None)));
    let next = bench.connect();
    assert!(bench.host.sessions().contains_key(&next));
}

#[test]
fn a_failed_handshake_is_reported_by_its_kind() {
    let mut bench = Bench::new(1, options());
    let [silent, cut, other] = [(); 3].map(|()| bench.dial());
    bench.handle(Input::Finished { conn: silent });
    bench.bytes(cut, b"[client");
    bench.handle(Input::Lost { conn: cut });
    bench.bytes(other, b"GET / HTTP/1.1");
    assert_eq!(
        bench.ends(),
        [
            "the peer closed before it sent anything",
            "the peer closed in the middle of the TLS handshake (the peer misbehaved)",
            "the peer does not speak TLS (the peer misbehaved)"
        ]
    );
    assert_eq!(bench.closed, [silent, other].into(), "nothing is left of the other one");
    assert_eq!((bench.host.half_open(), bench.host.poll_timeout()), (0, None));
}

#[test]
fn the_newest_of_too_many_handshakes_is_closed_at_once() {
    let mut bench = Bench::new(1, options());
    for _ in 0..HALF_OPEN_MAX {
        bench.dial();
    }
    assert!(bench.closed.is_empty());
    let newest = bench.dial();
    assert_eq!(bench.closed, [newest].into());
    assert_eq!(bench.host.half_open(), HALF_OPEN_MAX);
    bench.pass(HANDSHAKE_DEADLINE);
    assert_eq!(bench.host.half_open(), 0);
    let next = bench.connect();
    assert!(bench.host.sessions().contains_key(&next));
}

#[test]
fn a_connection_that_ends_ends_its_session_with_its_reason() {
    let mut bench = Bench::new(1, options());
    let (finished, lost) = (bench.connect(), bench.connect());
    bench.handle(Input::Finished { conn: finished });
    bench.handle(Input::Lost { conn: lost });
    assert!(bench.host.sessions().is_empty());
    assert_eq!(
        bench.ends(),
        [
            "the switch closed the connection",
            "the connection broke: connection reset (the environment)"
        ]
    );
    assert_eq!(bench.closed, [finished].into(), "nothing is left of the other one");
}

/// Drains three sessions, two of which wait. Returns their events, in order.
fn let_go(seed: u64) -> Vec<(ConnId, &'static str)> {
    let mut bench = Bench::new(seed, options());
    for _ in 0..3 {
        bench.connect();
    }
    bench.events.clear();
    bench.handle(Input::Command(Command::Drain));
    bench.run();
    let session_event = |event: &Event| match event {
        Event::Session(event) => Some((event.conn, event.what.word())),
        Event::HandshakeFailed { .. } | Event::ConnectionRefused { .. } => None,
        Event::Uplink(_) | Event::Graded(_) | Event::HealthChanged | Event::Drained => None,
    };
    bench
        .events
        .iter()
        .filter_map(|(_, event)| session_event(event))
        .collect()
}

#[test]
fn sessions_act_in_another_order_for_another_seed_and_each_of_them_in_its_own() {
    let all: Vec<_> = (0..20).map(let_go).collect();
    assert!(all.iter().any(|events| *events != all[0]), "{:?}", all[0]);
    for events in &all {
        for (conn, _) in events {
            let of_one = |events: &Vec<(ConnId, &'static str)>| -> Vec<_> {
                let own = events.iter().filter(|(other, _)| other == conn);
                own.map(|(_, word)| *word).collect()
            };
            assert_eq!(of_one(events), of_one(&all[0]));
        }
    }
    assert_eq!(let_go(7), let_go(7));
}

#[test]
fn a_switch_that_probes_for_days_and_takes_every_answer_is_not_cut_off() {
    let mut bench = Bench::new(1, options());
    let conn = bench.connect();
    let before = bench.received_bytes;
    while bench.received_bytes - before < 2 * tandem_core::bounds::ANSWERS_BYTES {
        bench.bytes(conn, br#"{"id":"echo","method":"echo","params":["once more"]}"#);
        assert!(bench.closed.is_empty(), "{:?}", bench.ends());
    }
}

#[test]
fn a_switch_that_takes_no_answers_is_cut_off() {
    let mut bench = Bench::new(1, options());
    let conn = bench.connect();
    let queued_bytes = 2 * tandem_core::bounds::ANSWERS_BYTES;
    bench.handle(Input::Sent { conn, queued_bytes });
    let echo = br#"{"id":"echo","method":"echo","params":["once more"]}"#;
    for _ in 0..queued_bytes / echo.len() {
        bench.bytes(conn, echo);
    }
    assert_eq!(bench.closed, [conn].into());
}
