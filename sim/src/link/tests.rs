//! Two hosts (and a third), and the inputs of their programs.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use tandem_core::{ConnId, Time};

use super::{Arrival, HostId, Links, Transit, Trouble, USER_TIMEOUT};
use crate::kernel::{Schedule, Stream, stream};
use crate::socket::DialFailure;

const A: HostId = HostId(0);
const B: HostId = HostId(1);
const C: HostId = HostId(2);
const LATENCY: Duration = Duration::from_millis(1);
const VIP: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);
const DIALLED: ConnId = ConnId(1);

struct Bench {
    links: Links,
    schedule: Schedule<Transit>,
    now: Time,
    received: Vec<(HostId, u128, Arrival)>,
}

impl Bench {
    fn new() -> Self {
        let mut links = Links::new([LATENCY, LATENCY], 500, stream(7, Stream::Latency));
        for part in 1..=3 {
            links.add_host(Ipv4Addr::new(10, 0, 0, part), USER_TIMEOUT);
        }
        let (schedule, now, received) = (Schedule::default(), Time::ORIGIN, Vec::new());
        Self {
            links,
            schedule,
            now,
            received,
        }
    }

    /// B listens, A is connected; answers B's number of the connection.
    fn connected() -> (Self, ConnId) {
        let mut bench = Self::new();
        bench.links.listen(B, at(2));
        bench.links.dial(bench.now, A, DIALLED, at(2));
        bench.pass(Duration::from_millis(10));
        let accepted = bench.accepted(B);
        bench.received.clear();
        (bench, accepted)
    }

    fn accepted(&self, host: HostId) -> ConnId {
        let accepted = |(at, _, arrival): &(HostId, u128, Arrival)| match arrival {
            Arrival::Accepted { conn, .. } if *at == host => Some(*conn),
            _ => None,
        };
        self.received.iter().find_map(accepted).expect("an accepted connection")
    }

    fn send(&mut self, from: HostId, conn: ConnId, text: &str) {
        self.links.send(self.now, from, conn, text.as_bytes().to_vec());
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            while let Some((at, transit)) = self.links.poll_later() {
                self.schedule.plan(at, transit);
            }
            while let Some((host, arrival)) = self.links.poll_arrival() {
                let at = self.now.since(Time::ORIGIN).as_millis();
                self.received.push((host, at, arrival));
            }
            if self.schedule.next_at().is_none_or(|at| at > until) {
                break;
            }
            let (at, transit) = self.schedule.pop().expect("something");
            self.now = at;
            self.links.arrive(at, transit);
        }
        self.now = until;
    }

    /// All bytes that a host was handed.
    fn text(&self, host: HostId) -> String {
        let bytes = self
            .received
            .iter()
            .filter(|(at, ..)| *at == host)
            .filter_map(|(.., arrival)| match arrival {
                Arrival::Bytes { data, .. } => Some(data.as_slice()),
                _ => None,
            });
        String::from_utf8(bytes.collect::<Vec<_>>().concat()).expect("text")
    }

    /// What else it received, and when, in milliseconds.
    fn arrivals(&self, host: HostId) -> Vec<(u128, &Arrival)> {
        let of_host = self
            .received
            .iter()
            .filter(|(at, _, arrival)| *at == host && !matches!(arrival, Arrival::Bytes { .. }));
        of_host.map(|(_, at, arrival)| (*at, arrival)).collect()
    }
}

fn at(part: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, part), 6640)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_dial_takes_a_round_trip_and_the_other_end_half_of_one_more() {
    let mut bench = Bench::new();
    bench.links.listen(B, at(2));
    bench.links.dial(bench.now, A, DIALLED, at(2));
    bench.pass(SECOND);
    assert_eq!(bench.arrivals(A), [(2, &Arrival::Connected { conn: DIALLED })]);
    assert!(matches!(bench.arrivals(B)[..], [(3, Arrival::Accepted { .. })]));
}

#[test]
fn bytes_arrive_in_order_however_they_are_cut() {
    let (mut bench, accepted) = Bench::connected();
    let sent: String = (0..500).map(|number| format!("<{number}>")).collect();
    for piece in sent.as_bytes().chunks(7) {
        bench.links.send(bench.now, A, DIALLED, piece.to_vec());
    }
    bench.send(B, accepted, "back");
    bench.pass(SECOND);
    assert_eq!(bench.text(B), sent);
    assert_eq!(bench.text(A), "back");
}

#[test]
fn what_takes_many_windows_arrives_whole_and_in_order() {
    let (mut bench, _) = Bench::connected();
    let sent: Vec<String> = [0..40_000, 40_000..40_010, 40_010..80_000]
        .map(|numbers| numbers.map(|number| format!("<{number}>")).collect())
        .into();
    for piece in &sent {
        bench.send(A, DIALLED, piece);
    }
    bench.pass(SECOND);
    assert_eq!(bench.text(B), sent.concat());
    let last = bench.arrivals(A).pop().map(|(_, arrival)| arrival);
    assert!(matches!(last, Some(Arrival::Sent { queued_bytes: 0, .. })), "{last:?}");
}

#[test]
fn a_way_is_clear_when_the_last_has_arrived_that_went_while_it_was_slow() {
    let (mut bench, _) = Bench::connected();
    let slow = Trouble::Slow(1000);
    bench.links.begin(A, B, slow);
    bench.send(A, DIALLED, "late");
    bench.links.end(bench.now, A, B, slow);
    let ways = |bench: &Bench| [(A, B), (B, A)].map(|(from, to)| bench.links.is_clear(bench.now, from, to));
    assert_eq!(ways(&bench), [false, true]);
    bench.pass(SECOND / 2);
    assert_eq!((ways(&bench), bench.text(B)), ([false, true], String::new()));
    bench.pass(SECOND / 2);
    assert_eq!((ways(&bench), bench.text(B)), ([true, true], "late".to_owned()));
}

#[test]
fn refused_and_unanswered_dials_are_two_failures() {
    let mut bench = Bench::new();
    bench.links.power_off(C);
    bench.links.dial(bench.now, A, ConnId(1), at(2));
    bench.links.dial(bench.now, A, ConnId(2), at(3));
    bench.pass(SECOND * 200);
    let failed = |conn, why| Arrival::DialFailed {
        conn: ConnId(conn),
        why,
    };
    let (refused, timed_out) = (failed(1, DialFailure::Refused), failed(2, DialFailure::TimedOut));
    assert_eq!(bench.arrivals(A), [(2, &refused), (127_000, &timed_out)]);
    assert_eq!(bench.links.connections(), 0);
}

#[test]
fn a_dial_into_a_cut_succeeds_with_the_first_retry_after_it() {
    let mut bench = Bench::new();
    bench.links.listen(B, at(2));
    bench.links.begin(B, A, Trouble::Cut);
    bench.links.dial(bench.now, A, DIALLED, at(2));
    bench.pass(SECOND * 2);
    bench.links.end(bench.now, B, A, Trouble::Cut);
    bench.pass(SECOND * 3);
    assert_eq!(bench.arrivals(A), [(3002, &Arrival::Connected { conn: DIALLED })]);
    assert_eq!(bench.arrivals(B).len(), 1);
}

#[test]
fn what_a_cut_lost_is_sent_again_after_it_and_the_other_way_stays_open() {
    let (mut bench, accepted) = Bench::connected();
    bench.links.begin(A, B, Trouble::Cut);
    bench.send(A, DIALLED, "lost");
    bench.pass(SECOND);
    bench.send(A, DIALLED, " and found");
    bench.send(B, accepted, "the other way");
    bench.pass(SECOND);
    assert_eq!((bench.text(B), bench.text(A)), (String::new(), "the other way".into()));
    bench.links.end(bench.now, A, B, Trouble::Cut);
    bench.pass(Duration::from_millis(500));
    assert_eq!(bench.text(B), "", "TCP waits longer and longer");
    bench.pass(SECOND);
    assert_eq!(bench.text(B), "lost and found");
}

#[test]
fn a_jam_delivers_everything_the_moment_it_ends() {
    let (mut bench, _) = Bench::connected();
    bench.links.begin(A, B, Trouble::Jam);
    bench.send(A, DIALLED, "late");
    bench.pass(SECOND * 50);
    assert_eq!(bench.text(B), "");
    bench.links.end(bench.now, A, B, Trouble::Jam);
    bench.pass(LATENCY * 2);
    assert_eq!(bench.text(B), "late");
}

#[test]
fn a_dead_program_sends_a_fin_and_a_dead_host_does_not() {
    let (mut bench, _) = Bench::connected();
    bench.links.crash(bench.now, A);
    bench.pass(SECOND);
    assert!(matches!(bench.arrivals(B)[..], [(11, Arrival::Finished { .. })]));

    let (mut bench, accepted) = Bench::connected();
    bench.links.power_off(A);
    bench.send(B, accepted, "hello?");
    bench.pass(SECOND * 60);
    assert!(bench.arrivals(B).is_empty());
    bench.links.power_on(bench.now, A);
    bench.pass(SECOND * 60);
    assert!(
        matches!(bench.arrivals(B)[..], [(_, Arrival::Lost { .. })]),
        "the kernel that booted knows nothing of it"
    );
}

#[test]
fn a_sender_that_waits_for_a_dead_host_is_reset_when_the_host_is_back() {
    let (mut bench, accepted) = Bench::connected();
    bench.links.freeze(A);
    bench.links.send(bench.now, B, accepted, vec![0; 100 << 10]);
    bench.pass(SECOND);
    bench.links.power_off(A);
    bench.pass(SECOND * 60);
    let lost = |bench: &Bench| {
        bench
            .arrivals(B)
            .iter()
            .any(|(_, arrival)| matches!(arrival, Arrival::Lost { .. }))
    };
    assert!(!lost(&bench));
    bench.links.power_on(bench.now, A);
    bench.pass(SECOND * 60);
    assert!(lost(&bench), "{:?}", bench.arrivals(B));
}

#[test]
fn tcp_gives_up_in_the_end() {
    let (mut bench, accepted) = Bench::connected();
    bench.links.begin(B, A, Trouble::Cut);
    bench.send(B, accepted, "hello?");
    bench.pass(USER_TIMEOUT - SECOND);
    assert!(bench.arrivals(B).is_empty());
    bench.pass(SECOND * 2);
    assert_eq!(bench.arrivals(B), [(924_010, &Arrival::Lost { conn: accepted })]);
}

#[test]
fn a_hung_program_gets_connections_and_reads_everything_later() {
    let mut bench = Bench::new();
    bench.links.listen(B, at(2));
    bench.links.freeze(B);
    bench.links.dial(bench.now, A, DIALLED, at(2));
    bench.pass(SECOND);
    assert_eq!(bench.arrivals(A), [(2, &Arrival::Connected { conn: DIALLED })]);
    bench.send(A, DIALLED, "knock");
    bench.pass(SECOND);
    assert!(bench.arrivals(B).is_empty());
    bench.links.thaw(bench.now, B);
    bench.pass(SECOND);
    bench.accepted(B);
    assert_eq!(bench.text(B), "knock");
}

#[test]
fn a_slow_reader_stops_the_sender_and_no_byte_is_lost() {
    let (mut bench, accepted) = Bench::connected();
    bench.links.read(bench.now, B, accepted, false);
    bench.links.send(bench.now, A, DIALLED, vec![b'x'; 100_000]);
    bench.pass(SECOND);
    let queued = |queued_bytes| Arrival::Sent {
        conn: DIALLED,
        queued_bytes,
    };
    assert_eq!(bench.arrivals(A).last(), Some(&(10, &queued(100_000 - 65_536))));
    bench.links.read(bench.now, B, accepted, true);
    bench.pass(SECOND);
    assert_eq!(bench.text(B).len(), 100_000);
    assert_eq!(bench.arrivals(A).last().map(|(_, arrival)| *arrival), Some(&queued(0)));
}

#[test]
fn bytes_before_a_close_arrive_before_it() {
    let (mut bench, accepted) = Bench::connected();
    bench.send(A, DIALLED, "last words");
    bench.links.close(bench.now, A, DIALLED);
    bench.pass(SECOND);
    assert_eq!(bench.text(B), "last words");
    assert_eq!(bench.arrivals(B).len(), 1);
    bench.send(B, accepted, "too late");
    bench.pass(SECOND);
    assert_eq!(
        bench.arrivals(B).last().map(|(_, arrival)| *arrival),
        Some(&Arrival::Lost { conn: accepted })
    );
    assert_eq!(bench.links.connections(), 0);
}

#[test]
fn an_address_that_moves_answers_old_connections_with_a_reset() {
    let mut bench = Bench::new();
    let vip = SocketAddrV4::new(VIP, 6640);
    for host in [B, C] {
        bench.links.listen(host, vip);
    }
    bench.links.hold(bench.now, B, VIP);
    bench.pass(SECOND);
    bench.links.dial(bench.now, A, DIALLED, vip);
    bench.pass(SECOND);
    bench.accepted(B);
    bench.links.power_off(B);
    bench.links.hold(bench.now, C, VIP);
    bench.pass(SECOND * 60);
    assert_eq!(bench.arrivals(A).len(), 1, "it is silent until something is sent");
    bench.send(A, DIALLED, "?");
    bench.pass(SECOND);
    assert_eq!(
        bench.arrivals(A).last().map(|(_, arrival)| *arrival),
        Some(&Arrival::Lost { conn: DIALLED })
    );
    bench.links.dial(bench.now, A, ConnId(2), vip);
    bench.pass(SECOND);
    bench.accepted(C);
}

#[test]
fn an_operator_resets_what_is_between_two_hosts() {
    let (mut bench, accepted) = Bench::connected();
    bench.links.reset_between(B, A);
    bench.pass(SECOND);
    assert_eq!(bench.arrivals(A), [(10, &Arrival::Lost { conn: DIALLED })]);
    assert_eq!(bench.arrivals(B), [(10, &Arrival::Lost { conn: accepted })]);
}

#[test]
fn a_sender_that_missed_a_move_asks_for_the_address_before_it_sends_again() {
    let mut bench = Bench::new();
    let vip = SocketAddrV4::new(VIP, 6640);
    for host in [B, C] {
        bench.links.listen(host, vip);
    }
    bench.links.hold(bench.now, B, VIP);
    bench.pass(SECOND);
    bench.links.dial(bench.now, A, DIALLED, vip);
    bench.pass(SECOND);
    bench.links.begin(C, A, Trouble::Cut);
    bench.links.release(B, VIP);
    bench.links.hold(bench.now, C, VIP);
    bench.links.end(bench.now, C, A, Trouble::Cut);
    bench.send(A, DIALLED, "?");
    bench.pass(SECOND * 7);
    assert_eq!(bench.arrivals(A).len(), 1, "it still sends to the former holder");
    bench.pass(SECOND * 2);
    let lost = Arrival::Lost { conn: DIALLED };
    assert_eq!(bench.arrivals(A).last().map(|(_, arrival)| *arrival), Some(&lost));
}

#[test]
fn what_was_sent_to_an_address_before_it_moved_is_sent_again_and_answered_with_a_reset() {
    let mut bench = Bench::new();
    let vip = SocketAddrV4::new(VIP, 6640);
    for host in [B, C] {
        bench.links.listen(host, vip);
    }
    bench.links.hold(bench.now, B, VIP);
    bench.pass(SECOND);
    bench.links.dial(bench.now, A, DIALLED, vip);
    bench.pass(SECOND);
    bench.links.power_off(B);
    bench.send(A, DIALLED, "?");
    bench.pass(Duration::from_millis(300));
    bench.links.hold(bench.now, C, VIP);
    bench.pass(SECOND);
    let lost = Arrival::Lost { conn: DIALLED };
    assert_eq!(
        bench.arrivals(A).last(),
        Some(&(2602, &lost)),
        "0.6 s after it was sent"
    );
}

#[test]
fn bytes_to_a_wrong_host_that_cannot_answer_reach_the_right_one_when_the_address_moves_back() {
    let mut bench = Bench::new();
    let vip = SocketAddrV4::new(VIP, 6640);
    bench.links.listen(B, vip);
    bench.links.hold(bench.now, B, VIP);
    bench.pass(SECOND);
    bench.links.dial(bench.now, A, DIALLED, vip);
    bench.pass(SECOND);
    bench.links.hold(bench.now, C, VIP);
    bench.pass(SECOND);
    bench.links.begin(C, A, Trouble::Cut);
    bench.send(A, DIALLED, "misled, ");
    bench.pass(SECOND);
    bench.links.release(C, VIP);
    bench.links.hold(bench.now, B, VIP);
    bench.pass(SECOND * 2);
    bench.send(A, DIALLED, "and found");
    bench.pass(SECOND);
    assert_eq!(bench.text(B), "misled, and found");
}

#[test]
fn a_program_that_hung_gets_failed_dials_and_its_backlog_when_it_goes_on() {
    let mut bench = Bench::new();
    bench.links.dial(bench.now, A, DIALLED, at(2));
    bench.links.freeze(A);
    bench.pass(SECOND);
    assert!(bench.arrivals(A).is_empty());
    bench.links.thaw(bench.now, A);
    bench.pass(SECOND);
    let why = DialFailure::Refused;
    assert_eq!(bench.arrivals(A), [(1000, &Arrival::DialFailed { conn: DIALLED, why })]);

    let (mut bench, accepted) = Bench::connected();
    bench.links.read(bench.now, B, accepted, false);
    bench.links.send(bench.now, A, DIALLED, vec![b'x'; 100_000]);
    bench.links.freeze(A);
    bench.links.read(bench.now, B, accepted, true);
    bench.pass(SECOND);
    bench.links.thaw(bench.now, A);
    bench.pass(SECOND);
    let (conn, queued_bytes) = (DIALLED, 0);
    let last = bench.arrivals(A).last().map(|(_, arrival)| *arrival);
    assert_eq!(last, Some(&Arrival::Sent { conn, queued_bytes }));
}

#[test]
fn the_end_of_a_dead_programs_connection_leaves_that_of_the_next_program_with_the_same_number_alone() {
    let (mut bench, old) = Bench::connected();
    bench.links.begin(A, B, Trouble::Cut);
    bench.links.crash(bench.now, A);
    bench.links.listen(B, at(2));
    bench.links.end(bench.now, A, B, Trouble::Cut);
    bench.links.dial(bench.now, A, DIALLED, at(2));
    bench.pass(Duration::from_millis(10));
    let new = bench.accepted(B);
    bench.send(B, old, "late");
    bench.pass(Duration::from_secs(1));
    bench.received.clear();
    bench.send(A, DIALLED, "hello");
    bench.pass(Duration::from_millis(10));
    let received = bench.received.iter().any(|(host, _, arrival)| {
        let bytes = matches!(arrival, Arrival::Bytes { conn, .. } if *conn == new);
        *host == B && bytes
    });
    assert!(received && new != old, "{:?}", bench.received);
}
