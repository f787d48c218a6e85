//! The messages on the wire, one by one: for tests that hold a message back, or answer it themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_core::event::What;
use tandem_core::machine::CloseWhy;
use tandem_core::session::Input;
use tandem_core::status::SessionStatus;
use tandem_core::{ConnId, Machine, Uuid};

use crate::world::World;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

impl World {
    /// The requests that a session has sent so far, by method.
    pub(crate) fn methods(&self, conn: ConnId) -> Vec<String> {
        let sent = self.sent.get(&conn).into_iter().flatten();
        sent.filter_map(|message| message["method"].as_str().map(Into::into))
            .collect()
    }

    /// The transactions that a session has sent so far: the operations of each.
    pub(crate) fn transactions(&self, conn: ConnId) -> Vec<Vec<Value>> {
        let sent = self.sent.get(&conn).into_iter().flatten();
        sent.filter_map(operations).collect()
    }

    /// The comments of the transactions that a session has sent so far, without their common beginning.
    pub(crate) fn lanes_written(&self, conn: ConnId) -> Vec<String> {
        self.transactions(conn)
            .iter()
            .map(|operations| lane(operations))
            .collect()
    }

    pub(crate) fn status(&self, conn: ConnId) -> SessionStatus {
        self.sessions.get(&conn).expect("an open session").status(self.now)
    }

    pub(crate) fn is_open(&self, conn: ConnId) -> bool {
        self.sessions.contains_key(&conn)
    }

    /// The reason of the end of a session.
    #[track_caller]
    pub(crate) fn closed(&self, conn: ConnId) -> CloseWhy {
        let closed = self.events.iter().filter(|event| event.conn == conn);
        let mut whys = closed.filter_map(|event| match &event.what {
            What::Closed { why } => Some(why.clone()),
            _ => None,
        });
        let why = whys.next().expect("the session is over");
        assert!(whys.next().is_none(), "it is over once");
        why
    }

    /// The number of events of this kind.
    pub(crate) fn count(&self, what: impl Fn(&What) -> bool) -> usize {
        self.events.iter().filter(|event| what(&event.what)).count()
    }

    /// The switch sends something that the emulated one would not.
    pub(crate) fn send_to_session(&mut self, conn: ConnId, message: &Value) {
        self.session_input(conn, Input::Bytes(message.to_string().into_bytes()));
    }

    /// Takes the messages under way to the switch.
    pub(crate) fn intercept_requests(&mut self, conn: ConnId) -> Vec<Value> {
        self.to_switch
            .get_mut(&conn)
            .map(|stream| messages(&stream.drain(..).collect::<Vec<_>>()))
            .unwrap_or_default()
    }

    /// Takes the messages under way to the session.
    pub(crate) fn intercept_answers(&mut self, conn: ConnId) -> Vec<Value> {
        self.to_session
            .get_mut(&conn)
            .map(|stream| messages(&stream.drain(..).collect::<Vec<_>>()))
            .unwrap_or_default()
    }

    /// The switch processes the messages under way to it; its answers stay under way.
    pub(crate) fn switch_works(&mut self, conn: ConnId) {
        self.deliver_to_switch(conn, usize::MAX);
    }

    /// A session receives and processes the messages under way to it; its own messages stay under way.
    pub(crate) fn session_works(&mut self, conn: ConnId) {
        self.deliver_to_session(conn, usize::MAX);
        while self.wake_sessions() {}
    }

    /// Runs everything that needs no time, with a switch that fails the transactions for which `refuse` returns
    /// (error, details).
    pub(crate) fn run_refusing(&mut self, conn: ConnId, refuse: impl Fn(&[Value]) -> Option<(&'static str, String)>) {
        for _ in 0..10_000 {
            let requests = self.intercept_requests(conn);
            let mut quiet = requests.is_empty();
            for request in requests {
                match operations(&request).and_then(|operations| refuse(&operations)) {
                    Some((error, details)) => {
                        let result = json!([{}, {"error": error, "details": details}]);
                        self.send_to_session(conn, &json!({"id": request["id"], "result": result, "error": null}));
                    }
                    None => self.client_sends(conn, &request),
                }
            }
            quiet &= !self.deliver_to_session(conn, usize::MAX);
            quiet &= !self.wake_sessions();
            if quiet {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// The same for a while.
    pub(crate) fn pass_refusing(
        &mut self,
        conn: ConnId,
        span: Duration,
        refuse: impl Fn(&[Value]) -> Option<(&'static str, String)>,
    ) {
        let until = self.now + span;
        loop {
            self.run_refusing(conn, &refuse);
            let deadline = self.sessions.get(&conn).and_then(Machine::poll_timeout);
            let Some(deadline) = deadline.filter(|deadline| deadline.at <= until) else {
                self.now = until;
                return;
            };
            self.now = deadline.at.max(self.now);
            self.wake_sessions();
        }
    }

    /// No two logical switches ever had one VNI at the same time, not after any commit.
    #[track_caller]
    pub(crate) fn assert_vnis_were_always_unique(&self) {
        let mut vnis: BTreeMap<Uuid, i64> = BTreeMap::new();
        for commit in self.switch.commits() {
            for change in commit.changes.iter().filter(|change| change.table == "Logical_Switch") {
                vnis.remove(&change.uuid);
                let vni = change.new.as_ref().and_then(|row| row.integer("tunnel_key"));
                vnis.extend(vni.map(|vni| (change.uuid, vni)));
            }
            let mut seen: Vec<i64> = vnis.values().copied().collect();
            seen.sort_unstable();
            assert!(
                seen.windows(2).all(|pair| pair[0] != pair[1]),
                "{seen:?} after {commit:?}"
            );
        }
    }
}

/// The operations of a transaction; `None` for another message.
pub(crate) fn operations(message: &Value) -> Option<Vec<Value>> {
    let params = message["params"].as_array()?;
    (message["method"] == "transact").then(|| params[1..].to_vec())
}

/// The lane that a transaction's comment names.
pub(crate) fn lane(operations: &[Value]) -> String {
    let comment = operations
        .iter()
        .find_map(|operation| operation["comment"].as_str())
        .expect("a comment");
    comment.rsplit(": ").next().expect("a lane").to_owned()
}

/// Whether a transaction does something with a table.
pub(crate) fn writes(operations: &[Value], table: &str) -> bool {
    operations.iter().any(|operation| operation["table"] == table)
}

/// Whether this text stands anywhere in a transaction.
pub(crate) fn mentions(operations: &[Value], text: &str) -> bool {
    operations.iter().any(|operation| operation.to_string().contains(text))
}

fn messages(bytes: &[u8]) -> Vec<Value> {
    let stream = serde_json::Deserializer::from_slice(bytes).into_iter();
    stream.map(|message| message.expect("a whole message")).collect()
}
