//! The server's one thread, in turns: it takes a message of each session that has one, sends merged updates, renders
//! dumps, and probes silent clients.
//!
//! A session has its turn only while all that was sent to it was taken. While a dump is rendered, no session has a
//! turn.

use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use serde_json::json;
use tandem_core::{CloseReason, CloseWhy, ConnId, Deadline, Machine, Time};

use super::pending::{Busy, Session, Waiting};
use super::{Input, Output, Switch, Why};

/// Why a client is cut off that does not answer the inactivity probe.
pub const UNANSWERED: &str = "inactivity probe not answered";

/// Bytes of a session that is not read from, above which the environment is asked for no more.
const HELD_BYTES: usize = 64 << 10;

impl Machine for Switch {
    type Input = Input;
    type Output = Output;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Input) {
        debug_assert!(self.outputs.is_empty(), "the outputs were not drained");
        self.now = now;
        match input {
            Input::Connected { conn } => {
                self.sessions.insert(conn, Session::new(now, self.options.probe));
            }
            Input::Bytes { conn, data } => self.change(conn, |session| session.receive(&data)),
            Input::Sent { conn, queued_bytes } => self.change(conn, |session| session.sent(now, queued_bytes)),
            Input::Finished { conn } => self.change(conn, |session| session.finished = true),
            Input::Closed { conn } => self.change(conn, |session| session.lost = true),
            Input::Timeout => {}
        }
        self.work();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        let at = |why| move |at| Deadline { at, why };
        if let Some(busy) = &self.busy {
            return Some(at(Why::Busy)(busy.until));
        }
        let waits = self.waiting.iter().filter_map(|waiting| waiting.until).min();
        let probes = self.sessions.values().filter_map(Session::probe_at).min();
        Deadline::earliest([waits.map(at(Why::WaitTimesOut)), probes.map(at(Why::ProbeDue))])
    }
}

impl Switch {
    /// Does what can be done now, in rounds: each session has its turn, and then the transactions that wait.
    pub(super) fn work(&mut self) {
        self.end_busy();
        while self.busy.is_none() {
            let is_due = |waiting: &Waiting| waiting.until.is_some_and(|until| until <= self.now);
            let after = self.turn_of.map_or(Unbounded, Excluded);
            if let Some(conn) = self.ready.range((after, Unbounded)).next().copied() {
                self.turn_of = Some(conn);
                self.turn(conn);
            } else {
                self.turn_of = None;
                if std::mem::take(&mut self.retry) || self.waiting.iter().any(is_due) {
                    self.retry_waiting();
                } else if self.ready.is_empty() {
                    return self.probe();
                }
            }
        }
    }

    /// Sends a reply that takes time to render; the server is deaf until then.
    pub(super) fn send_late(&mut self, conn: ConnId, reply: Vec<u8>, time: Duration) {
        if time.is_zero() {
            return self.send_bytes(conn, reply);
        }
        let until = self.now + time;
        self.busy = Some(Busy { until, conn, reply });
    }

    /// Whether updates to a session must wait and be merged.
    pub(super) fn is_deaf(&self) -> bool {
        self.busy.is_some()
    }

    fn change(&mut self, conn: ConnId, change: impl FnOnce(&mut Session)) {
        let is_busy = self.busy.is_some();
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        change(session);
        let waits = is_busy || session.queued_bytes > 0;
        if waits && session.framer.held_bytes() > HELD_BYTES && std::mem::replace(&mut session.reading, false) {
            self.outputs.push_back(Output::Read { conn, on: false });
        }
        self.ready.insert(conn);
    }

    /// Ends the busy time when it is over. Every session has a turn then, for updates may be due.
    fn end_busy(&mut self) {
        if self.busy.as_ref().is_none_or(|busy| busy.until > self.now) {
            return;
        }
        if let Some(Busy { conn, reply, .. }) = self.busy.take()
            && self.sessions.contains_key(&conn)
        {
            // Before what changed meanwhile: that is not in it.
            self.outputs.push_back(Output::Send { conn, bytes: reply });
        }
        self.ready.extend(self.sessions.keys());
    }

    /// Sends a session its replies and updates, and takes one message of it if all that was sent to it was taken.
    fn turn(&mut self, conn: ConnId) {
        self.ready.remove(&conn);
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        if session.lost {
            return self.forget(conn);
        }
        for (id, results) in std::mem::take(&mut session.completed) {
            self.reply(conn, &id, &results);
        }
        let Some(session) = self.sessions.get_mut(&conn).filter(|session| session.queued_bytes == 0) else {
            return;
        };
        if std::mem::take(&mut session.bytes_came) {
            session.last_received = self.now;
            session.probed = None;
        }
        let frame = session.framer.next_frame();
        if !session.reading && session.framer.held_bytes() <= HELD_BYTES {
            session.reading = true;
            self.outputs.push_back(Output::Read { conn, on: true });
        }
        self.catch_up(conn);
        match frame {
            Ok(Some(frame)) => {
                self.ready.insert(conn);
                if let Err(what) = self.message(conn, &frame) {
                    self.close(conn, CloseWhy::new(CloseReason::ProtocolError, what));
                }
            }
            Ok(None) => {
                if self.sessions.get(&conn).is_some_and(|session| session.finished) {
                    self.close(conn, CloseWhy::new(CloseReason::PeerClosed, "the other end closed"));
                }
            }
            Err(error) => self.close(conn, CloseWhy::new(CloseReason::ProtocolError, error.to_string())),
        }
    }

    /// Sends an echo to clients that have been silent, and cuts off those that did not answer.
    fn probe(&mut self) {
        let is_due = |session: &Session| session.probe_at().is_some_and(|at| at <= self.now);
        let due = self.sessions.iter().filter(|(_, session)| is_due(session));
        let due: Vec<_> = due.map(|(conn, session)| (*conn, session.probed.is_some())).collect();
        for (conn, probed) in due {
            if probed {
                let what = UNANSWERED;
                self.close(conn, CloseWhy::new(CloseReason::NoAnswer, what));
                continue;
            }
            self.send(conn, &json!({"id": "echo", "method": "echo", "params": []}));
            if let Some(session) = self.sessions.get_mut(&conn) {
                session.probed = Some(self.now);
            }
        }
    }

    pub(super) fn close(&mut self, conn: ConnId, why: CloseWhy) {
        self.forget(conn);
        self.outputs.push_back(Output::Close { conn, why });
    }

    /// Everything that a session had ends with it.
    fn forget(&mut self, conn: ConnId) {
        if self.sessions.remove(&conn).is_none() {
            return;
        }
        self.waiting.retain(|waiting| waiting.conn != conn);
        self.asked_in_vain.release(conn);
        for (first, lock) in self.locks.release(conn) {
            self.notify(first, "locked", &lock);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{Bench, insert_mac};
    use super::super::{Options, SchemaVersion};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Time {
        Time::ORIGIN + seconds * SECOND
    }

    fn bytes(conn: u64, message: &Value) -> Input {
        let data = message.to_string().into_bytes();
        Input::Bytes {
            conn: ConnId(conn),
            data,
        }
    }

    fn probing() -> Bench {
        let mut bench = Bench::with_options(Options {
            probe: Some(5 * SECOND),
            dump_us_per_row: 1_000_000,
            ..Options::new(SchemaVersion::V1_7_0)
        });
        (1..=2).for_each(|conn| bench.connect(conn));
        bench
    }

    fn deadline(bench: &Bench) -> Option<(Time, Why)> {
        let deadline = bench.switch.poll_timeout();
        deadline.map(|deadline| (deadline.at, deadline.why))
    }

    /// The words of what arrived: a reply's id, a notification's method, or that it is closed.
    fn words(bench: &mut Bench, conn: u64) -> Vec<String> {
        let arrived = bench.arrived(conn).into_iter();
        let word = |message: Value| match (&message["method"], &message["id"]) {
            (Value::String(method), _) => method.clone(),
            (_, Value::String(id)) => id.clone(),
            (_, _) => message.to_string(),
        };
        arrived.map(word).collect()
    }

    #[test]
    fn a_silent_client_is_probed_and_then_cut_off_and_any_byte_counts() {
        let mut bench = probing();
        bench.close(2);
        bench.handle(at(5), Input::Timeout);
        assert_eq!(
            bench.arrived(1),
            [json!({"id": "echo", "method": "echo", "params": []})]
        );
        let data = b" ".to_vec();
        bench.handle(at(7), Input::Bytes { conn: ConnId(1), data });
        assert_eq!(deadline(&bench), Some((at(12), Why::ProbeDue)));
        bench.handle(at(12), Input::Timeout);
        assert_eq!(words(&mut bench, 1), ["echo"]);
        bench.handle(at(17), Input::Timeout);
        assert_eq!(words(&mut bench, 1), ["\"closed\""]);
        assert_eq!(deadline(&bench), None);
    }

    #[test]
    fn a_client_may_have_a_probe_of_its_own_or_none() {
        let mut bench = probing();
        bench.switch.set_probe(ConnId(1), None);
        bench.switch.set_probe(ConnId(2), Some(Duration::from_millis(1)));
        assert_eq!(deadline(&bench), Some((at(1), Why::ProbeDue)));
    }

    #[test]
    fn while_a_dump_is_rendered_no_message_is_read_and_then_all_in_order() {
        let mut bench = probing();
        bench.transact(2, insert_mac("blue", "00:01", "10.0.0.1"));
        let dump = json!({"id": "dump", "method": "monitor", "params": ["hardware_vtep", "m", {"Ucast_Macs_Remote": {}, "Physical_Locator": {}}]});
        let echo = |id| json!({"id": id, "method": "echo", "params": []});
        bench.handle(at(1), bytes(1, &dump));
        bench.handle(at(1), bytes(2, &echo("first")));
        bench.handle(at(2), bytes(1, &echo("second")));
        bench.switch.local(
            at(2),
            json!([{"op": "delete", "table": "Ucast_Macs_Remote", "where": []}]),
        );
        bench.handle(at(2), Input::Timeout);
        assert_eq!((words(&mut bench, 1), words(&mut bench, 2)), (vec![], vec![]));
        assert_eq!(deadline(&bench), Some((at(3), Why::Busy)));
        bench.handle(at(3), Input::Timeout);
        assert_eq!(words(&mut bench, 1), ["dump", "update", "second"]);
        assert_eq!(words(&mut bench, 2), ["first"]);
        assert_eq!(deadline(&bench), Some((at(8), Why::ProbeDue)));
    }

    #[test]
    fn a_lock_does_not_pass_before_the_dump_is_rendered() {
        let mut bench = probing();
        bench.ask(1, "lock", json!(["tandem"]));
        bench.ask(2, "lock", json!(["tandem"]));
        bench.transact(2, insert_mac("blue", "00:01", "10.0.0.1"));
        bench.send(
            2,
            &json!({"id": "dump", "method": "monitor", "params": ["hardware_vtep", "m", {"Logical_Switch": {}}]}),
        );
        bench.close(1);
        assert_eq!(bench.switch.lock_holder("tandem"), Some(ConnId(1)));
        bench.handle(at(1), Input::Timeout);
        assert_eq!(bench.switch.lock_holder("tandem"), Some(ConnId(2)));
        assert_eq!(words(&mut bench, 2), ["dump", "locked"]);
    }

    #[test]
    fn a_client_that_left_is_noticed_when_its_dump_is_rendered() {
        let mut bench = probing();
        bench.transact(2, insert_mac("blue", "00:01", "10.0.0.1"));
        bench.send(
            1,
            &json!({"id": "dump", "method": "monitor", "params": ["hardware_vtep", "m", {"Logical_Switch": {}}]}),
        );
        bench.close(1);
        bench.handle(at(1), Input::Timeout);
        // The server writes it before it looks.
        assert_eq!(words(&mut bench, 1), ["dump"]);
        bench.transact(2, json!([{"op": "delete", "table": "Ucast_Macs_Remote", "where": []}]));
        assert_eq!(words(&mut bench, 1), [""; 0]);
    }

    #[test]
    fn a_stalled_client_gets_no_answer_and_no_probe_and_then_one_merged_update() {
        let mut bench = probing();
        let requests = json!({"Logical_Switch": {"columns": ["name", "tunnel_key"]}});
        bench.ask(1, "monitor_cond", json!(["hardware_vtep", "m", requests]));
        let conn = ConnId(1);
        let change = |bench: &mut Bench, operation: Value| drop(bench.transact(2, json!([operation])));
        let insert = |name| json!({"op": "insert", "table": "Logical_Switch", "row": {"name": name}});
        let update = |name, key| json!({"op": "update", "table": "Logical_Switch", "where": [["name", "==", name]], "row": {"tunnel_key": key}});
        let delete = |name| json!({"op": "delete", "table": "Logical_Switch", "where": [["name", "==", name]]});
        for name in ["kept", "changed", "restored", "deleted"] {
            change(&mut bench, insert(name));
        }
        bench.arrived(1);
        bench.handle(Time::ORIGIN, Input::Sent { conn, queued_bytes: 9 });
        bench.send(1, &json!({"id": "asked", "method": "echo", "params": []}));
        change(&mut bench, insert("new"));
        change(&mut bench, update("new", json!(1)));
        change(&mut bench, insert("passing"));
        change(&mut bench, delete("passing"));
        change(&mut bench, update("changed", json!(1)));
        change(&mut bench, update("changed", json!(2)));
        change(&mut bench, update("restored", json!(1)));
        change(&mut bench, update("restored", json!(["set", []])));
        change(&mut bench, update("deleted", json!(1)));
        change(&mut bench, delete("deleted"));
        assert_eq!(deadline(&bench), Some((at(5), Why::ProbeDue)));
        bench.switch.set_probe(ConnId(2), None);
        assert_eq!(deadline(&bench), None);
        bench.handle(at(60), Input::Sent { conn, queued_bytes: 3 });
        assert_eq!(words(&mut bench, 1), [""; 0]);
        bench.handle(at(61), Input::Sent { conn, queued_bytes: 0 });
        let [merged, asked] = bench.arrived(1).try_into().expect("an update and a reply");
        assert_eq!(asked["id"], "asked");
        let rows = merged["params"][1]["Logical_Switch"].as_object().expect("rows");
        let mut rows_sent: Vec<_> = rows.values().map(Value::to_string).collect();
        rows_sent.sort();
        assert_eq!(
            rows_sent,
            [
                r#"{"delete":null}"#,
                r#"{"insert":{"name":"new","tunnel_key":1}}"#,
                r#"{"modify":{"tunnel_key":2}}"#,
            ]
        );
        assert_eq!(deadline(&bench), Some((at(66), Why::ProbeDue)));
    }

    #[test]
    fn a_notice_is_sent_to_a_client_that_takes_nothing_with_the_updates_before_it() {
        let mut bench = probing();
        bench.ask(1, "monitor", json!(["hardware_vtep", "m", {"Logical_Switch": {}}]));
        bench.ask(2, "lock", json!(["tandem"]));
        bench.ask(1, "lock", json!(["tandem"]));
        let queued_bytes = 9;
        let conn = ConnId(1);
        bench.handle(Time::ORIGIN, Input::Sent { conn, queued_bytes });
        bench.transact(
            2,
            json!([{"op": "insert", "table": "Logical_Switch", "row": {"name": "blue"}}]),
        );
        bench.ask(2, "unlock", json!(["tandem"]));
        assert_eq!(words(&mut bench, 1), ["update", "locked"]);
    }

    #[test]
    fn a_client_that_finishes_gets_its_replies_and_then_the_end() {
        let mut bench = probing();
        let wait =
            json!({"op": "wait", "table": "Global", "where": [], "until": "!=", "columns": ["switches"], "rows": []});
        bench.send(
            1,
            &json!({"id": "waits", "method": "transact", "params": ["hardware_vtep", wait]}),
        );
        let conn = ConnId(1);
        bench.handle(Time::ORIGIN, Input::Sent { conn, queued_bytes: 9 });
        bench.send(1, &json!({"id": "asked", "method": "echo", "params": []}));
        bench.handle(Time::ORIGIN, Input::Finished { conn });
        assert_eq!(words(&mut bench, 1), [""; 0]);
        bench.handle(Time::ORIGIN, Input::Sent { conn, queued_bytes: 0 });
        assert_eq!(words(&mut bench, 1), ["asked", "\"closed\""]);
        bench
            .switch
            .local(Time::ORIGIN, json!([{"op": "insert", "table": "Global", "row": {}}]));
        bench.drain();
        assert_eq!(words(&mut bench, 1), [""; 0]);
    }

    #[test]
    fn a_server_that_does_not_listen_asks_for_no_more_than_it_can_hold() {
        let mut bench = probing();
        let conn = ConnId(1);
        bench.handle(Time::ORIGIN, Input::Sent { conn, queued_bytes: 9 });
        let echo = json!({"id": 1, "method": "echo", "params": ["x".repeat(1000)]});
        (0..100).for_each(|_| bench.send(1, &echo));
        assert_eq!(bench.arrived(1), [json!({"read": false})]);
        bench.handle(Time::ORIGIN, Input::Sent { conn, queued_bytes: 0 });
        let arrived = bench.arrived(1);
        assert_eq!(arrived.iter().filter(|message| message["id"] == 1).count(), 100);
        let on: Vec<_> = arrived.iter().filter(|message| message["read"] == true).collect();
        assert_eq!(on.len(), 1);
    }
}
