//! What a client and a server notice of each other.

use rand_chacha::ChaCha8Rng;
use tandem_core::event::LogEvent;

use super::*;
use crate::plan::Span;

fn bytes(conn: ConnId, text: &str) -> Input<Command> {
    Input::Bytes {
        conn,
        data: text.into(),
    }
}

fn send(conn: ConnId, text: &str) -> Output<Event> {
    Output::Send {
        conn,
        bytes: text.into(),
    }
}

/// A client, its server's connection, and nothing on the wire yet.
fn open(settings: impl FnOnce(&mut plan::Proxy)) -> (Bench, ConnId, ConnId) {
    let mut bench = Bench::new(settings);
    let client = bench.dial();
    let server = bench.server_conn(client);
    bench.words();
    bench.wire();
    (bench, client, server)
}

#[test]
fn bytes_go_both_ways() {
    let (mut bench, client, server) = open(|_| {});
    bench.handle(bytes(client, "question"));
    bench.handle(bytes(server, "answer"));
    assert_eq!(bench.wire(), [send(server, "question"), send(client, "answer")]);
}

#[test]
fn one_direction_may_close_before_the_other() {
    for client_first in [true, false] {
        let (mut bench, client, server) = open(|_| {});
        let (first, second) = if client_first {
            (client, server)
        } else {
            (server, client)
        };
        bench.handle(Input::Finished { conn: first });
        assert_eq!(bench.wire(), [Output::Finish { conn: second }]);
        bench.handle(bytes(second, "more"));
        assert_eq!(bench.wire(), [send(first, "more")]);
        bench.handle(Input::Finished { conn: second });
        assert_eq!(
            bench.wire(),
            [Output::Close { conn: client }, Output::Close { conn: server }]
        );
        let end = if client_first { "client" } else { "server" };
        assert_eq!(
            bench.words(),
            [format!("ProxySessionClosed 10.0.1.1:1 to a: {end} closed")]
        );
    }
}

#[test]
fn a_clients_reset_is_passed_on_as_a_reset_and_a_servers_as_an_end() {
    let (mut bench, client, server) = open(|_| {});
    bench.handle(Input::Lost { conn: client });
    assert_eq!(bench.wire(), [Output::Reset { conn: server }]);

    let (mut bench, client, server) = open(|_| {});
    bench.handle(Input::Lost { conn: server });
    assert_eq!(bench.wire(), [Output::Close { conn: client }]);
    assert_eq!(bench.words(), ["ProxySessionClosed 10.0.1.1:1 to a: server lost"]);
}

#[test]
fn a_silent_server_ends_its_direction_and_any_byte_restarts_the_clock() {
    let (mut bench, client, server) = open(|proxy| proxy.timeout_server = Span::seconds(2));
    for _ in 0..4 {
        bench.run(SECOND);
        bench.handle(bytes(client, "x"));
        bench.run(SECOND);
        bench.handle(bytes(server, "y"));
    }
    bench.wire();
    bench.run(SECOND * 2 - MILLISECOND);
    assert_eq!(bench.wire(), []);
    bench.run(MILLISECOND);
    assert_eq!(bench.wire(), [Output::Finish { conn: client }]);
    bench.handle(Input::Finished { conn: client });
    assert_eq!(bench.words(), ["ProxySessionClosed 10.0.1.1:1 to a: server silent"]);
}

#[test]
fn silence_ends_the_session_with_both_timeouts() {
    let (mut bench, ..) =
        open(|proxy| (proxy.timeout_client, proxy.timeout_server) = (Span::seconds(5), Span::seconds(5)));
    bench.run(SECOND * 5);
    assert_eq!(bench.words(), ["ProxySessionClosed 10.0.1.1:1 to a: client silent"]);
}

#[test]
fn bytes_that_a_server_never_takes_end_the_session() {
    let (mut bench, client, server) = open(|proxy| proxy.timeout_server = Span::seconds(2));
    bench.handle(bytes(client, "x"));
    bench.handle(Input::Sent {
        conn: server,
        queued_bytes: 1,
    });
    bench.run(SECOND * 2);
    assert_eq!(bench.words(), ["ProxySessionClosed 10.0.1.1:1 to a: server silent"]);
}

#[test]
fn a_slow_end_stops_the_other_end() {
    let (mut bench, client, server) = open(|_| {});
    for (queued_bytes, wanted) in [
        (9_000, None),
        (17_000, Some(false)),
        (20_000, None),
        (9_000, None),
        (100, Some(true)),
    ] {
        bench.handle(Input::Sent {
            conn: server,
            queued_bytes,
        });
        let wanted: Vec<_> = wanted.map(|on| Output::Read { conn: client, on }).into_iter().collect();
        assert_eq!(bench.wire(), wanted, "{queued_bytes}");
    }
}

#[test]
fn early_bytes_of_a_client_wait_for_its_server_and_are_bounded() {
    let mut bench = Bench::new(|_| {});
    bench.set(1, Condition::Dark);
    let client = bench.dial();
    bench.wire();
    bench.handle(bytes(client, "early"));
    bench.handle(bytes(client, &"x".repeat(20_000)));
    assert_eq!(
        bench.wire(),
        [Output::Read {
            conn: client,
            on: false
        }]
    );
    bench.handle(Input::Finished { conn: client });
    let dead = bench.server_conn(client);
    bench.run(MILLISECOND * 300);
    assert_eq!(bench.server_of(client), "b");
    let conn = bench.server_conn(client);
    let text = format!("early{}", "x".repeat(20_000));
    let on = Output::Read { conn: client, on: true };
    assert_eq!(
        bench.wire(),
        [
            Output::Close { conn: dead },
            send(conn, &text),
            on,
            Output::Finish { conn }
        ]
    );
}

#[test]
fn a_client_that_leaves_before_its_server_is_there_leaves_nothing_behind() {
    for input in [|conn| Input::Finished { conn }, |conn| Input::Lost { conn }] {
        let mut bench = Bench::new(|_| {});
        bench.set(1, Condition::Dark);
        let client = bench.dial();
        bench.handle(input(client));
        assert_eq!(bench.proxy.connections().count(), 0);
        assert!(bench.proxy.servers().all(|server| server.sessions == 0));
    }
}

/// How long a client waits for what becomes of it, and the words.
fn fate(settings: impl FnOnce(&mut plan::Proxy), conditions: [Condition; 2]) -> (u128, Vec<String>) {
    let mut bench = Bench::with_options(1, options(settings));
    bench.proxy.options.proxy.fall = 1000;
    bench.run(MILLISECOND);
    for (number, condition) in [1, 2].into_iter().zip(conditions) {
        bench.set(number, condition);
    }
    // Without checks: this is about servers that the proxy takes to be up.
    bench.checks.clear();
    let begin = bench.now;
    bench.dial();
    bench.run(SECOND * 10);
    let took = bench.log.last().map_or(0, |(at, _)| at.since(begin).as_millis());
    (took, bench.words())
}

#[test]
fn a_refused_client_goes_to_another_server_at_once_and_an_unanswered_one_after_the_timeout() {
    let words = [
        "Redispatched 10.0.1.1:1 from a to b",
        "ProxySessionOpened 10.0.1.1:1 to b",
    ]
    .map(String::from);
    assert_eq!(
        fate(|_| {}, [Condition::Refusing, Condition::Alive]),
        (0, words.to_vec())
    );
    assert_eq!(fate(|_| {}, [Condition::Dark, Condition::Alive]), (300, words.to_vec()));
}

#[test]
fn without_redispatch_the_same_server_is_tried_four_times_with_pauses() {
    let words = vec!["ProxySessionClosed 10.0.1.1:1 to a: unreachable".to_owned()];
    let stubborn = |proxy: &mut plan::Proxy| proxy.redispatch = false;
    // HAProxy 2.6.12 took 0.905 s.
    assert_eq!(
        fate(stubborn, [Condition::Refusing, Condition::Alive]),
        (900, words.clone())
    );
    assert_eq!(
        fate(stubborn, [Condition::Dark, Condition::Alive]),
        (1200, words.clone())
    );
    let patient = |proxy: &mut plan::Proxy| (proxy.redispatch, proxy.timeout_connect) = (false, Span::seconds(5));
    assert_eq!(fate(patient, [Condition::Refusing, Condition::Alive]), (3000, words));
}

#[test]
fn without_a_reachable_server_the_client_is_closed_after_four_attempts() {
    let (took, words) = fate(|_| {}, [Condition::Refusing, Condition::Refusing]);
    assert_eq!(took, 0);
    assert_eq!(words.len(), 4);
    assert_eq!(
        words.last().map(String::as_str),
        Some("ProxySessionClosed 10.0.1.1:1 to b: unreachable")
    );
}

#[test]
fn the_only_server_left_is_tried_again_with_pauses() {
    let mut bench = Bench::new(|_| {});
    bench.answer(2, "drain");
    bench.words();
    bench.set(1, Condition::Refusing);
    bench.checks.clear();
    let begin = bench.now;
    bench.dial();
    bench.run(SECOND * 10);
    // HAProxy 2.6.12 took 0.907 s.
    let (at, event) = bench.log.last().expect("an event");
    assert_eq!((at.since(begin).as_millis(), event.word()), (900, "ProxySessionClosed"));
}

#[test]
fn whatever_happens_every_session_is_counted_once() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut bench =
        Bench::new(|proxy| (proxy.timeout_client, proxy.timeout_server) = (Span::seconds(4), Span::seconds(3)));
    for _ in 0..5_000 {
        let conns: Vec<_> = bench
            .proxy
            .connections()
            .flat_map(|connection| [Some(connection.client), connection.server_conn])
            .flatten()
            .collect();
        let mut pick = |most: usize| usize::try_from(random.next_u64() % most as u64).expect("small");
        let number = if pick(2) == 0 { 1 } else { 2 };
        let condition = [Condition::Alive, Condition::Refusing, Condition::Hung, Condition::Dark][pick(4)];
        let conn = conns.get(pick(conns.len().max(1))).copied().unwrap_or(ConnId(77));
        let queued_bytes = pick(40_000);
        match pick(12) {
            0..=3 => drop(bench.dial()),
            4 => bench.handle(Input::Finished { conn }),
            5 if bench.proxy.connections().all(|c| c.server_conn != Some(conn) || c.open) => {
                bench.handle(Input::Lost { conn })
            }
            6 => bench.handle(Input::Sent { conn, queued_bytes }),
            7 => bench.set(number, condition),
            8 => bench.servers.get_mut(&number).expect("a server").1 = ["ready up", "drain", "down", "1%"][pick(4)],
            9 if pick(20) == 0 => bench.handle(Input::Command(Command::Reload)),
            _ => bench.run(MILLISECOND * u32::try_from(pick(700)).expect("small")),
        }
        let counted: u32 = bench.proxy.servers().map(|server| server.sessions).sum();
        let waiting = bench
            .proxy
            .connections()
            .filter(|c| !c.old && c.server_conn.is_none())
            .count();
        let there = bench.proxy.connections().filter(|connection| !connection.old).count();
        let counted = usize::try_from(counted).expect("small");
        assert!(there - waiting <= counted && counted <= there, "{counted} of {there}");
    }
    assert!(bench.clients > 1000);
}
