//! How soon a death is seen, and what follows from it.

use super::*;
use crate::plan::Span;
use tandem_core::event::LogEvent;

/// The lab's recipes.
fn h1(proxy: &mut plan::Proxy) {
    h3(proxy);
    (proxy.inter, proxy.fastinter, proxy.downinter) = (Span::seconds(2), Span::ZERO, Span::ZERO);
    (proxy.fall, proxy.timeout_check) = (3, Span::ZERO);
    (proxy.redispatch, proxy.shutdown_sessions) = (false, false);
}

fn h3(proxy: &mut plan::Proxy) {
    (proxy.check, proxy.agent_check) = (CheckKind::Connect, false);
    proxy.timeout_check = Span::millis(200);
}

fn h4(proxy: &mut plan::Proxy) {
    h3(proxy);
    proxy.check = CheckKind::Tls;
}

/// The shortest and the longest time, in milliseconds, over 60 phases, from a fault to `ServerDown`.
fn seen_after(settings: fn(&mut plan::Proxy), condition: Condition) -> Option<(u128, u128)> {
    let times: Option<Vec<_>> = (0..60).map(|phase| seen_in_phase(settings, condition, phase)).collect();
    times.and_then(|times| Some((*times.iter().min()?, *times.iter().max()?)))
}

fn seen_in_phase(settings: fn(&mut plan::Proxy), condition: Condition, phase: u32) -> Option<u128> {
    let mut bench = Bench::new(settings);
    bench.run(MILLISECOND * 37 * phase);
    bench.set(1, condition);
    let begin = bench.now;
    bench.run(SECOND * 30);
    let down = bench.log.iter().find(|(_, event)| event.word() == "ServerDown");
    down.map(|(at, _)| at.since(begin).as_millis())
}

fn within(seen: Option<(u128, u128)>, shortest: u128, longest: u128) {
    let (from, to) = seen.expect("seen");
    assert!(shortest <= from && to <= longest, "{from} to {to} ms");
    assert!(
        from <= shortest + 40 + (longest - shortest) / 20,
        "{from} ms is never so soon"
    );
    assert!(
        to + 40 + (longest - shortest) / 20 >= longest,
        "{to} ms is never so late"
    );
}

#[test]
fn a_silent_death_is_seen_after_two_time_outs() {
    // In the lab the switch was served again after 1.65 s, 1.0 s of which was its back-off.
    within(seen_after(h3, Condition::Dark), 500, 700);
    within(seen_after(h4, Condition::Dark), 500, 700);
    within(seen_after(h1, Condition::Dark), 10_000, 12_000);
}

#[test]
fn a_refusal_is_seen_after_two_checks() {
    // HAProxy 2.6.12, twelve times: 108 to 299 ms.
    within(seen_after(h3, Condition::Refusing), 100, 300);
    within(seen_after(h1, Condition::Refusing), 4_000, 6_000);
}

#[test]
fn a_hang_is_seen_only_by_a_check_that_asks_the_program() {
    assert_eq!(seen_after(h3, Condition::Hung), None);
    within(seen_after(h4, Condition::Hung), 500, 700);
    // The book's settings: an answer may take 300 ms, connecting 200 ms. HAProxy 2.6.12, twelve times: 705 to 886 ms.
    within(seen_after(|_| {}, Condition::Hung), 700, 900);
    within(seen_after(|_| {}, Condition::Dark), 500, 700);
}

#[test]
fn a_server_that_comes_back_is_up_after_two_checks() {
    let mut bench = Bench::new(|_| {});
    bench.set(1, Condition::Refusing);
    bench.run(SECOND * 3);
    bench.set(1, Condition::Alive);
    let begin = bench.now;
    bench.run(SECOND * 3);
    let (up, _) = bench.log.last().expect("an event");
    let after = up.since(begin).as_millis();
    assert!((100..=600).contains(&after), "{after} ms");
    assert_eq!(bench.words(), ["ServerDown a: refused", "ServerUp a"]);
}

#[test]
fn the_first_checks_are_staggered() {
    let first = |options: Options| {
        let mut proxy = Proxy::new(7, options);
        proxy.handle(Time::ORIGIN, Input::Timeout);
        let outputs = std::iter::from_fn(|| proxy.poll_output());
        let first = |output| {
            let Output::Check { what, .. } = output else {
                return None;
            };
            Some(what.first)
        };
        let firsts: Vec<_> = outputs.filter_map(first).collect();
        assert!(firsts[0] < MILLISECOND * 100, "a process starts in {:?}", firsts[0]);
        firsts
            .iter()
            .map(|at| (*at - firsts[0]).as_millis())
            .collect::<Vec<_>>()
    };
    // Each by its own first interval: `fastinter` for checks, `inter` for questions to the agent. HAProxy 2.6.12 with
    // the check and the agent of one server: 0 and 98 ms.
    assert_eq!(first(options(|_| {})), [0, 50, 50, 150]);
    assert_eq!(first(options(h3)), [0, 50]);
    assert_eq!(first(options(h1)), [0, 1000]);
}

#[test]
fn a_server_that_is_marked_down_loses_its_sessions_at_both_ends() {
    let mut bench = Bench::new(|_| {});
    let (one, other) = (bench.dial(), bench.dial());
    assert_eq!([bench.server_of(one), bench.server_of(other)], ["a", "b"]);
    let conn = bench.server_conn(one);
    bench.words();
    bench.wire();
    bench.set(1, Condition::Dark);
    bench.run(SECOND);
    let closes = [Output::Close { conn: one }, Output::Close { conn }];
    assert_eq!(bench.wire(), closes);
    let closed = "ProxySessionClosed 10.0.1.1:1 to a: server down";
    assert_eq!(bench.words(), ["ServerDown a: no answer", closed]);
    let sessions: Vec<_> = bench
        .proxy
        .servers()
        .map(|server| (server.name, server.up, server.sessions))
        .collect();
    assert_eq!(sessions, [("a", false, 0), ("b", true, 1)]);
}

#[test]
fn without_shutdown_sessions_they_stay_on_the_dead_server() {
    let mut bench = Bench::new(|proxy| proxy.shutdown_sessions = false);
    let client = bench.dial();
    bench.set(1, Condition::Dark);
    bench.run(SECOND * 60);
    assert_eq!(bench.server_of(client), "a");
    assert_eq!(
        bench.words().last().map(String::as_str),
        Some("ServerDown a: no answer")
    );
}

#[test]
fn drain_keeps_the_sessions_and_down_cuts_them() {
    let mut bench = Bench::new(|_| {});
    let client = bench.dial();
    bench.answer(1, "drain");
    let others = [bench.dial(), bench.dial()];
    assert_eq!(others.map(|other| bench.server_of(other).to_owned()), ["b", "b"]);
    assert_eq!(bench.server_of(client), "a");
    bench.answer(1, "up 100%");
    assert!(!bench.proxy.servers().next().expect("a").usable);
    bench.answer(1, "down");
    assert_eq!(bench.server_of(client), "");
    bench.answer(1, "ready up 100%");
    bench.words();
    let back = bench.dial();
    assert_eq!(bench.server_of(back), "a");
}

#[test]
fn the_drain_of_an_agent_holds_until_it_answers_ready() {
    let mut bench = Bench::new(|_| {});
    bench.answer(1, "drain");
    bench.words();
    bench.set(1, Condition::Refusing);
    bench.run(SECOND);
    bench.set(1, Condition::Alive);
    bench.run(SECOND * 2);
    assert_eq!(bench.words(), ["ServerDown a: refused", "ServerUp a"]);
    assert!(bench.proxy.servers().next().expect("a").drained);
}

#[test]
fn with_every_server_drained_or_down_a_client_is_accepted_and_closed_at_once() {
    for text in ["drain", "down"] {
        let mut bench = Bench::new(|_| {});
        bench.answer(1, text);
        bench.answer(2, text);
        bench.wire();
        bench.words();
        let client = bench.dial();
        assert_eq!(bench.wire(), [Output::Close { conn: client }]);
        assert_eq!(bench.words(), ["NoServer for 10.0.1.1:1"]);
        assert_eq!(bench.proxy.connections().count(), 0);
    }
}

#[test]
fn two_listens_with_backups_keep_one_connection_on_each() {
    let mut options = options(|_| {});
    let mut second = options.listens[0].clone();
    second.at.set_port(6641);
    options.listens[0].servers[1].backup = true;
    second.servers[0].backup = true;
    options.listens.push(second);
    let mut bench = Bench::with_options(3, options);
    bench.run(SECOND);
    let one = bench.dial();
    let other = ConnId(ACCEPTED + 100);
    let at = SocketAddrV4::new(*listen().ip(), 6641);
    bench.handle(Input::Accepted {
        conn: other,
        at,
        from: listen(),
    });
    assert_eq!([bench.server_of(one), bench.server_of(other)], ["a", "b"]);
    bench.set(1, Condition::Refusing);
    bench.run(SECOND);
    let again = bench.dial();
    assert_eq!([bench.server_of(again), bench.server_of(other)], ["b", "b"]);
}

#[test]
fn a_server_in_maintenance_has_no_sessions_whatever_checks_find_until_it_is_ready() {
    let mut bench = Bench::new(|_| {});
    let at = *server("a", 1).at.ip();
    let order = |maint| Input::Command(Command::Order { at, maint });
    // `ready` would undo it.
    bench.answer(1, "up 100%");
    let (one, other) = (bench.dial(), bench.dial());
    bench.words();
    bench.handle(order(true));
    assert_eq!([bench.server_of(one), bench.server_of(other)], ["", "b"]);
    bench.run(SECOND * 10);
    let [second, third] = [bench.dial(), bench.dial()];
    assert_eq!([bench.server_of(second), bench.server_of(third)], ["b", "b"]);
    assert!(bench.words().iter().any(|word| word == "ServerDown a: maintenance"));
    bench.handle(order(false));
    let back = bench.dial();
    assert_eq!(bench.server_of(back), "a");
    bench.handle(order(true));
    bench.set(1, Condition::Refusing);
    bench.run(SECOND * 10);
    bench.handle(order(false));
    bench.run(SECOND * 2);
    assert!(bench.proxy.servers().any(|server| server.name == "a" && !server.up));
}

#[test]
fn a_reload_checks_afresh_and_leaves_old_sessions_unchecked_until_the_hard_stop() {
    let mut bench = Bench::new(|_| {});
    let (old, gone) = (bench.dial(), bench.dial());
    bench.handle(Input::Command(Command::Reload));
    bench.handle(Input::Finished { conn: gone });
    bench.handle(Input::Finished {
        conn: bench.server_conn(gone),
    });
    let fresh = bench.dial();
    // The new process knows nothing of the session that its predecessor gave to `a`.
    assert_eq!([bench.server_of(old), bench.server_of(fresh)], ["a", "a"]);
    let kept: Vec<_> = bench
        .proxy
        .connections()
        .map(|connection| (connection.client, connection.old))
        .collect();
    assert_eq!(kept, [(old, true), (fresh, false)]);
    bench.set(1, Condition::Dark);
    bench.run(SECOND * 590);
    assert_eq!([bench.server_of(old), bench.server_of(fresh)], ["a", ""]);
    bench.words();
    bench.run(SECOND * 20);
    assert_eq!(bench.words(), ["ProxySessionClosed 10.0.1.1:1 to a: hard stop"]);
    assert_eq!(bench.checks.len(), 4);
}

#[test]
fn a_stop_closes_every_session_and_then_nothing_happens() {
    let mut bench = Bench::new(|_| {});
    let old = bench.dial();
    bench.handle(Input::Command(Command::Reload));
    let fresh = bench.dial();
    let conns = [old, fresh].map(|client| (client, bench.server_conn(client)));
    bench.wire();
    bench.handle(Input::Command(Command::Stop));
    let closes = conns
        .iter()
        .flat_map(|(client, server)| [*client, *server])
        .map(|conn| Output::Close { conn });
    let wanted: Vec<_> = std::iter::once(Output::Unlisten { at: listen() })
        .chain(closes)
        .collect();
    assert_eq!(bench.wire(), wanted);
    assert!(bench.checks.is_empty() && bench.proxy.poll_timeout().is_none());
    let late = bench.dial();
    assert_eq!(bench.wire(), [Output::Reset { conn: late }]);
}
