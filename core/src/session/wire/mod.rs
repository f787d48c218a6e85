//! The wire: bytes in and messages out, requests and their deadlines, the keepalive, and the queue of outputs.
//!
//! It knows whether the line is alive and whether an answer is overdue, and nothing of what is written in a message.

mod backlog;
mod keepalive;
mod requests;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::lease::Permit;
use super::plan::Batch;
use super::{Notice, Output, Why};
use crate::bounds::{ANSWERS_BYTES, SEND_QUEUE_BYTES, TRANSACTIONS_IN_FLIGHT};
use crate::configuration::SessionOptions;
use crate::event::{Event, Lane};
use crate::machine::{CloseReason, CloseWhy};
use crate::ovsdb::DATABASE;
use crate::ovsdb::Frame;
use crate::ovsdb::monitor::Monitor;
use crate::ovsdb::rpc::{self, Message};
use crate::ovsdb::schema::Schema;
use crate::ovsdb::transaction::Transaction;
use crate::planted::Planted;
use crate::time::{Deadline, Time};
use backlog::Backlog;
pub(super) use backlog::{Reading, Work, bound_exceeded, protocol_error};
use keepalive::{Keepalive, Verdict};
pub(super) use requests::Asked;
use requests::Requests;

/// One connection, as a session uses it.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    backlog: Backlog,
    requests: Requests,
    keepalive: Keepalive,
    /// Bytes that were received.
    received_bytes: usize,
    /// Bytes that the driver has not sent yet, as it reported last.
    queued_bytes: usize,
    /// Bytes of answers to the switch's own requests that may still be among them.
    answers_bytes: usize,
    /// A message that means nothing to us was reported.
    ignored: bool,
    outputs: VecDeque<Output>,
    planted: Planted,
}

impl Wire {
    pub(super) fn new(now: Time, options: &SessionOptions) -> Self {
        Self {
            backlog: Backlog::new(),
            requests: Requests::default(),
            keepalive: Keepalive::new(now, options.keepalive),
            received_bytes: 0,
            queued_bytes: 0,
            answers_bytes: 0,
            ignored: false,
            outputs: VecDeque::new(),
            planted: Planted::of(options),
        }
    }

    /// Bytes arrived: the line is alive, the switch's requests are answered at once, and the rest waits for its turn.
    pub(super) fn on_bytes(&mut self, now: Time, bytes: &[u8]) -> Result<(), CloseWhy> {
        self.received_bytes += bytes.len();
        self.backlog.push(bytes);
        let mut messages = 0;
        while let Some((frame, message)) = self.backlog.next_frame().map_err(protocol_error)? {
            messages += 1;
            match message {
                Message::Request { id, method, params } => self.on_request(&frame, id, &method, params)?,
                Message::Notification { .. } | Message::Reply { .. } => {
                    self.backlog.wait(frame, message).map_err(bound_exceeded)?;
                }
            }
        }
        if messages > 0 || !planted!(self.planted, PartialNotLife) {
            self.keepalive.received(now);
        }
        Ok(())
    }

    /// The switch asks something. Echoes and refusals are answered at once, whatever else is going on.
    fn on_request(
        &mut self,
        frame: &Frame,
        id: Range<usize>,
        method: &str,
        params: Range<usize>,
    ) -> Result<(), CloseWhy> {
        let slice = |range: Range<usize>| frame.bytes().get(range).unwrap_or_default();
        if planted!(self.planted, EchoStarvedByDump) && self.requests.monitors(Monitor::Local) {
            return Ok(());
        }
        let answer = match method {
            "echo" => rpc::echo_reply(slice(id), slice(params)),
            _ => rpc::unknown_method(slice(id)),
        };
        self.answers_bytes += answer.len();
        if self.answers_bytes > ANSWERS_BYTES {
            let what = format!("it asks on and does not take the answers: more than {ANSWERS_BYTES} bytes");
            return Err(CloseWhy::new(CloseReason::SlowPeer, what));
        }
        self.send(answer);
        Ok(())
    }

    /// The driver has so many bytes left that the network did not take yet.
    pub(super) fn on_sent(&mut self, queued_bytes: usize) {
        self.queued_bytes = queued_bytes;
        self.answers_bytes = self.answers_bytes.min(queued_bytes);
    }

    /// Takes the next piece of work.
    pub(super) fn next_work(&mut self) -> Option<Work> {
        self.backlog.next()
    }

    /// Table updates are to be read, or read on.
    pub(super) fn read(&mut self, reading: Reading) {
        self.backlog.read(reading);
    }

    /// Whether there is work without any new byte.
    pub(super) fn has_work(&self) -> bool {
        self.backlog.has_work()
    }

    /// Takes the request that an answer belongs to, and when it was made.
    pub(super) fn answered(&mut self, id: u64) -> Option<(Asked, Time)> {
        self.requests.answered(id)
    }

    /// An echo was answered. Returns when it went out.
    pub(super) fn echo_answered(&mut self) -> Option<Time> {
        self.keepalive.answered()
    }

    /// The peer sent what means nothing to us. Answers whether that is the first time: it may go on sending it.
    pub(super) fn on_ignored(&mut self) -> bool {
        !std::mem::replace(&mut self.ignored, true)
    }

    /// Whether these tables were ever asked for.
    pub(super) fn monitors(&self, monitor: Monitor) -> bool {
        self.requests.monitors(monitor)
    }

    /// Transactions on the wire.
    pub(super) fn writes(&self) -> usize {
        self.requests.writes()
    }

    /// Whether a transaction of a lane is on the wire.
    pub(super) fn is_writing(&self, lane: Lane) -> bool {
        self.requests.is_writing(lane)
    }

    /// Whether another transaction may be sent now.
    pub(super) fn has_room(&self) -> bool {
        (self.writes() < TRANSACTIONS_IN_FLIGHT || planted!(self.planted, WindowUnbounded))
            && self.queued_bytes < SEND_QUEUE_BYTES
    }

    /// Asks for the schema.
    pub(super) fn ask_schema(&mut self, now: Time) {
        let params = format!("[\"{DATABASE}\"]");
        self.ask(now, Asked::Schema, "get_schema", params.as_bytes());
    }

    /// The schema is known: the small tables may follow.
    pub(super) fn on_schema(&mut self) {
        self.backlog.accept_small_dumps();
    }

    /// Bytes that were received so far.
    pub(super) fn received_bytes(&self) -> usize {
        self.received_bytes
    }

    /// Asks for the small tables, with the columns that every schema has.
    pub(super) fn ask_small(&mut self, now: Time) {
        self.ask_monitor(now, Monitor::Small, &Schema::default(), false);
    }

    /// Asks which kind of server it is.
    pub(super) fn ask_server(&mut self, now: Time) {
        self.ask_monitor(now, Monitor::Server, &Schema::default(), false);
    }

    /// Asks for tables; for none if the schema has no such columns.
    pub(super) fn ask_monitor(&mut self, now: Time, monitor: Monitor, schema: &Schema, conditional: bool) {
        if let Some(params) = monitor.params(schema) {
            let method = if conditional { "monitor_cond" } else { "monitor" };
            self.ask(now, Asked::Monitor { monitor, conditional }, method, &params);
        }
    }

    /// Asks for the unicast tables, whose dumps may be large.
    pub(super) fn ask_unicast(&mut self, now: Time) {
        self.backlog.accept_dumps();
        for monitor in [Monitor::Local, Monitor::Remote] {
            self.ask_monitor(now, monitor, &Schema::default(), true);
        }
    }

    /// Asks for the lock.
    pub(super) fn ask_lock(&mut self, now: Time, lock: &str) {
        self.ask(now, Asked::Lock, "lock", format!("[\"{lock}\"]").as_bytes());
    }

    /// Gives the lock back.
    pub(super) fn release_lock(&mut self, now: Time, lock: &str) {
        self.ask(now, Asked::Unlock, "unlock", format!("[\"{lock}\"]").as_bytes());
    }

    /// Writes. Nothing is written without a permit.
    pub(super) fn transact(&mut self, now: Time, _: &Permit, batch: Batch, transaction: Transaction) {
        let params = transaction.into_params();
        if planted!(self.planted, WritingCountsAsLife) {
            self.keepalive.received(now);
        }
        self.ask(now, Asked::Write(batch), "transact", &params);
    }

    /// Another connection claims to be this switch: the line has to show that it is alive.
    pub(super) fn probe(&mut self, now: Time, number: u64) {
        self.keepalive.probe(now);
        self.ask(now, Asked::Probe(number), "echo", b"[]");
    }

    /// T of the keepalive changed in the configuration.
    pub(super) fn set_keepalive(&mut self, interval: Option<Duration>) {
        self.keepalive.set_interval(interval);
    }

    /// Echoes that went out because an interval was silent.
    pub(super) fn misses(&self) -> u64 {
        self.keepalive.misses
    }

    /// Time has passed: is the line alive, and is an answer overdue? Answers whether an echo went out.
    pub(super) fn check(&mut self, now: Time) -> Result<bool, CloseWhy> {
        let echoed = match self.keepalive.check(now, self.requests.dump_awaited()) {
            Verdict::Wait => false,
            Verdict::Echo => {
                self.send(rpc::ECHO.to_vec());
                true
            }
            Verdict::Dead(_) if planted!(self.planted, SilentLineStays) => {
                self.keepalive.received(now);
                false
            }
            Verdict::Dead(silence) => {
                let what = format!("nothing received for {:.1} s", silence.as_secs_f64());
                return Err(CloseWhy::new(CloseReason::Silent, what));
            }
        };
        match self.requests.overdue(now) {
            None => Ok(echoed),
            Some(asked) => {
                let what = format!("no answer to {}", asked.name());
                Err(CloseWhy::new(CloseReason::NoAnswer, what))
            }
        }
    }

    /// When to check.
    pub(super) fn deadline(&self) -> Option<Deadline<Why>> {
        let keepalive = self.keepalive.deadline(self.requests.dump_awaited());
        Deadline::earliest([keepalive, self.requests.deadline()])
    }

    /// Queues a close. Nothing may follow.
    pub(super) fn close(&mut self, why: CloseWhy) {
        self.outputs.push_back(Output::Close(why));
    }

    /// Queues a notice for the agent.
    pub(super) fn notify(&mut self, notice: Notice) {
        self.outputs.push_back(Output::Notify(notice));
    }

    /// Queues an event for logs, checks and metrics.
    pub(super) fn report(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Takes the next output.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether every output was taken.
    pub(super) fn is_drained(&self) -> bool {
        self.outputs.is_empty()
    }

    fn ask(&mut self, now: Time, asked: Asked, method: &str, params: &[u8]) {
        let id = self.requests.ask(now, asked);
        self.send(rpc::request(id, method, params));
    }

    fn send(&mut self, bytes: Vec<u8>) {
        self.outputs.push_back(Output::Send(bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::bounds::{OPENING_MESSAGE_BYTES, SCHEMA_BYTES};
    use crate::ovsdb::limits::Rows;
    use crate::session::lease::tests::permit;

    fn wire() -> Wire {
        Wire::new(Time::ORIGIN, &SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST))
    }

    fn batch() -> Batch {
        Batch {
            lane: Lane::Unicast,
            objects: Vec::new(),
            rows: 1,
            creates: Vec::new(),
            gives: Vec::new(),
            inserts: Rows::default(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn an_echo_is_answered_at_once_and_takes_no_place_in_the_backlog() {
        let mut wire = wire();
        let echo = br#"{"id":1,"method":"echo","params":["x"]}"#;
        assert_eq!(wire.on_bytes(Time::ORIGIN, echo), Ok(()));
        assert!(matches!(wire.poll_output(), Some(Output::Send(_))));
        assert!(!wire.has_work() && wire.is_drained());
    }

    #[test]
    fn answers_that_are_never_taken_end_the_connection() {
        let mut wire = wire();
        let echo = format!(
            r#"{{"id":1,"method":"echo","params":["{}"]}}"#,
            "x".repeat(ANSWERS_BYTES / 2)
        );
        assert_eq!(wire.on_bytes(Time::ORIGIN, echo.as_bytes()), Ok(()));
        let error = wire.on_bytes(Time::ORIGIN, echo.as_bytes()).expect_err("too many");
        assert_eq!(error.reason, CloseReason::SlowPeer);
        let mut wire = self::wire();
        for _ in 0..10 {
            assert_eq!(wire.on_bytes(Time::ORIGIN, echo.as_bytes()), Ok(()));
            wire.on_sent(0);
        }
    }

    #[test]
    fn the_window_is_bounded_and_opens_with_each_answer() {
        let mut wire = wire();
        for _ in 0..TRANSACTIONS_IN_FLIGHT {
            assert!(wire.has_room());
            let transaction = permit().transaction("");
            wire.transact(Time::ORIGIN, &permit(), batch(), transaction);
        }
        assert!(!wire.has_room() && wire.is_writing(Lane::Unicast));
        assert!(matches!(wire.answered(0), Some((Asked::Write(_), _))));
        assert!(wire.has_room());
        wire.on_sent(SEND_QUEUE_BYTES);
        assert!(!wire.has_room(), "the network does not take more");
    }

    #[test]
    fn the_first_deadline_is_that_of_the_keepalive_or_of_a_request() {
        let mut wire = wire();
        wire.ask_schema(Time::ORIGIN);
        let deadline = wire.deadline().expect("a deadline");
        assert_eq!(deadline.why, Why::KeepaliveDue);
        assert_eq!(wire.check(deadline.at), Ok(true));
        let overdue = wire.deadline().expect("a deadline");
        assert_eq!(overdue.why, Why::KeepaliveOverdue);
        let error = wire.check(overdue.at).expect_err("silence");
        assert_eq!(error.reason, CloseReason::Silent);
    }

    #[test]
    fn nothing_that_we_send_counts_as_life() {
        let mut wire = wire();
        let silent = wire.deadline().expect("a deadline").at;
        let just_before = Time::from_micros(silent.micros() - 1);
        wire.transact(just_before, &permit(), batch(), permit().transaction(""));
        wire.ask_lock(just_before, "tandem");
        wire.probe(just_before, 1);
        assert_eq!(wire.check(silent), Ok(true), "an echo is due all the same");
    }

    #[test]
    fn messages_may_be_large_once_dumps_were_asked_for_and_not_before() {
        let dump = |bytes: usize| format!(r#"{{"method":"update","params":["{}"]}}"#, "x".repeat(bytes)).into_bytes();
        let mut early = wire();
        assert!(early.on_bytes(Time::ORIGIN, &dump(SCHEMA_BYTES)).is_err());
        let mut wire = wire();
        wire.on_schema();
        assert_eq!(wire.on_bytes(Time::ORIGIN, &dump(SCHEMA_BYTES)), Ok(()));
        let mut identifying = wire.clone();
        assert!(
            identifying
                .on_bytes(Time::ORIGIN, &dump(OPENING_MESSAGE_BYTES))
                .is_err()
        );
        wire.ask_unicast(Time::ORIGIN);
        assert_eq!(wire.on_bytes(Time::ORIGIN, &dump(OPENING_MESSAGE_BYTES)), Ok(()));
    }

    #[test]
    fn an_answer_that_is_overdue_names_its_request() {
        let mut wire = wire();
        wire.set_keepalive(None);
        wire.ask_schema(Time::ORIGIN);
        let overdue = wire.deadline().expect("a deadline");
        assert_eq!(overdue.why, Why::AnswerOverdue);
        let error = wire.check(overdue.at).expect_err("no answer");
        assert_eq!(
            (error.reason, error.detail.as_str()),
            (CloseReason::NoAnswer, "no answer to get_schema")
        );
    }
}
