//! One connection of a client: the messages that arrive on it, and the answers.
//!
//! Shapes (JSON-RPC 1.0 as the server writes it): a result comes with `"error": null`, an error comes without
//! `result`, a notification has `"id": null`.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tandem_core::ConnId;
use tandem_core::ovsdb::Frame;

use super::error::OpError;
use super::locks::Mode;
use super::members::is_id;
use super::monitor::{Flavour, Monitor};
use super::pending::Waiting;
use super::schema::{DATABASE, RESERVED, Schema};
use super::server::Served;
use super::{Output, Switch};

/// What a request is answered with.
enum Answer {
    Json(Value),
    Schema(Arc<Schema>),
    Dump { updates: Value, rows: usize },
}

/// A request that is answered with an error: a text, or an `<error>`.
enum Refusal {
    Text(&'static str),
    Error(OpError),
}

impl From<OpError> for Refusal {
    fn from(error: OpError) -> Self {
        Self::Error(error)
    }
}

impl Switch {
    /// Handles one message; an error is the reason to close the connection.
    pub(super) fn message(&mut self, conn: ConnId, frame: &Frame) -> Result<(), String> {
        let message = serde_json::from_slice(frame.bytes());
        let mut message: Map<String, Value> =
            message.map_err(|error| format!("it sent something that is not JSON: {error}"))?;
        let mut take = |name: &str| message.remove(name).filter(|value| !value.is_null());
        let (method, params, id) = (take("method"), take("params"), take("id"));
        let (result, error) = (take("result"), take("error"));
        if let Some(name) = message.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
            return Err(format!("it sent a message with the unexpected member `{name}`"));
        }
        if result.is_some() || error.is_some() {
            // The only request that this server sends is its echo.
            let is_echo = id.as_ref().is_some_and(|id| id == "echo") && method.is_none() && params.is_none();
            return if is_echo {
                Ok(())
            } else {
                Err("it sent a reply without a request".into())
            };
        }
        let (Some(Value::String(method)), Some(Value::Array(params))) = (method, params) else {
            return Err("it sent a message without a method or without an array of parameters".into());
        };
        match id {
            Some(id) => self.request(conn, id, &method, params),
            None if method == "cancel" => self.cancel(conn, &params),
            None => {}
        }
        Ok(())
    }

    fn request(&mut self, conn: ConnId, id: Value, method: &str, params: Vec<Value>) {
        let result = match method {
            "echo" => Ok(Answer::Json(params.into())),
            "list_dbs" if self.options.model.is_none() => Ok(Answer::Json(json!([DATABASE]))),
            "list_dbs" => Ok(Answer::Json(json!([DATABASE, RESERVED]))),
            "get_schema" => self
                .served(method, &params)
                .map(|served| Answer::Schema(self.schema_of(served))),
            "get_server_id" => Ok(Answer::Json(json!(self.server_id))),
            "transact" => match self
                .served(method, &params)
                .and_then(|served| self.check_id(conn, &id, served, &params))
            {
                Ok(served) => return self.transact(conn, id, served, params),
                Err(refusal) => Err(refusal),
            },
            "monitor" => self.monitor(conn, method, &params, Flavour::Update),
            "monitor_cond" if self.options.monitor_cond => self.monitor(conn, method, &params, Flavour::Update2),
            "monitor_cond_since" if self.options.monitor_cond => self.monitor(conn, method, &params, Flavour::Update3),
            "monitor_cond_change" if self.options.monitor_cond => {
                self.change_condition(conn, &params).map(Answer::Json)
            }
            "monitor_cancel" => self.cancel_monitor(conn, &params).map(Answer::Json),
            "lock" | "steal" | "unlock" if self.options.standby => Err(Refusal::Text(READ_ONLY)),
            "lock" if self.options.locks => self.lock(conn, method, &params, Mode::Lock).map(Answer::Json),
            "lock" => Err(self.note_in_vain(conn, &params)),
            "steal" if self.options.locks => self.lock(conn, method, &params, Mode::Steal).map(Answer::Json),
            "unlock" if self.options.locks => self.unlock(conn, method, &params).map(Answer::Json),
            "set_db_change_aware" => self.set_change_aware(conn, method, &params).map(Answer::Json),
            _ => Err(Refusal::Text("unknown method")),
        };
        match result {
            Ok(Answer::Json(result)) => self.reply(conn, &id, &result),
            Ok(Answer::Schema(schema)) => self.reply(conn, &id, &schema.text()),
            Ok(Answer::Dump { updates, rows }) => {
                let rows = u64::try_from(rows).unwrap_or(u64::MAX);
                let time = Duration::from_micros(self.options.dump_us_per_row.saturating_mul(rows));
                self.send_late(conn, reply(&id, &updates), time);
            }
            Err(refusal) => {
                let error = match refusal {
                    Refusal::Text(text) => json!(text),
                    Refusal::Error(error) => error.to_json(),
                };
                self.send_bytes(conn, format!("{{\"id\":{id},\"error\":{error}}}").into_bytes());
            }
        }
    }

    pub(super) fn reply(&mut self, conn: ConnId, id: &Value, result: &impl Display) {
        self.send_bytes(conn, reply(id, result));
    }

    pub(super) fn notify(&mut self, conn: ConnId, method: &str, lock: &str) {
        self.send(conn, &json!({"id": null, "method": method, "params": [lock]}));
    }

    pub(super) fn send(&mut self, conn: ConnId, message: &Value) {
        self.send_bytes(conn, message.to_string().into_bytes());
    }

    /// Sends a message. Updates come before it, however much is queued already.
    pub(super) fn send_bytes(&mut self, conn: ConnId, bytes: Vec<u8>) {
        self.catch_up(conn);
        if self.sessions.contains_key(&conn) {
            self.outputs.push_back(Output::Send { conn, bytes });
        }
    }

    /// Which database a request names.
    fn served(&self, method: &str, params: &[Value]) -> Result<Served, Refusal> {
        match params.first().and_then(Value::as_str) {
            Some(DATABASE) => Ok(Served::Switch),
            Some(RESERVED) if self.options.model.is_some() => Ok(Served::Server),
            Some(other) => {
                let details = format!("{method} request specifies unknown database {other}");
                Err(OpError::new("unknown database", details).at(&json!(params)).into())
            }
            None => Err(syntax(
                params,
                &format!("{method} request params must begin with <db-name>"),
            )),
        }
    }

    fn schema_of(&self, served: Served) -> Arc<Schema> {
        Arc::clone(match served {
            Served::Switch => &self.database.schema,
            Served::Server => &self.reserved.schema,
        })
    }

    fn check_id(&self, conn: ConnId, id: &Value, served: Served, params: &[Value]) -> Result<Served, Refusal> {
        let same = |waiting: &&Waiting| waiting.conn == conn && waiting.id == *id;
        match self.waiting.iter().find(same) {
            None => Ok(served),
            Some(_) => Err(syntax(params, "transact: duplicate request ID")),
        }
    }

    fn cancel(&mut self, conn: ConnId, params: &[Value]) {
        let is_meant = |waiting: &Waiting| waiting.conn == conn && *params == [waiting.id.clone()];
        let Some(place) = self.waiting.iter().position(is_meant) else {
            return;
        };
        let waiting = self.waiting.remove(place);
        if self.sessions.get(&conn).is_some_and(|session| session.change_aware) {
            self.send(conn, &json!({"id": waiting.id, "error": "canceled"}));
        }
    }

    fn monitor(&mut self, conn: ConnId, method: &str, params: &[Value], flavour: Flavour) -> Result<Answer, Refusal> {
        let served = self.served(method, params)?;
        let (id, requests) = match (params, flavour) {
            ([_, id, requests, ..], Flavour::Update) | ([_, id, requests], Flavour::Update2) => (id, requests),
            ([_, id, requests, last], Flavour::Update3) => {
                check_transaction_id(last)?;
                (id, requests)
            }
            (_, Flavour::Update | Flavour::Update2 | Flavour::Update3) => {
                return Err(syntax(params, "invalid parameters"));
            }
        };
        let Some(session) = self.sessions.get_mut(&conn) else {
            return Ok(Answer::Json(Value::Null));
        };
        if requests.is_object() && session.monitors.iter().any(|monitor| monitor.id == *id) {
            return Err(OpError::syntax(id, "duplicate monitor ID").into());
        }
        let database = match served {
            Served::Switch => &self.database,
            Served::Server => &self.reserved,
        };
        let monitor = Monitor::parse(&database.schema, id.clone(), served, requests, flavour)?;
        let (updates, rows) = monitor.initial(database);
        session.monitors.push(monitor);
        Ok(Answer::Dump { updates, rows })
    }

    fn change_condition(&mut self, conn: ConnId, params: &[Value]) -> Result<Value, Refusal> {
        let [id, new_id, requests] = params else {
            return Err(syntax(params, "invalid parameters"));
        };
        let monitors = self.sessions.get_mut(&conn).map(|session| &mut session.monitors);
        let monitors = monitors.map(Vec::as_mut_slice).unwrap_or_default();
        let is_taken = id != new_id && monitors.iter().any(|monitor| monitor.id == *new_id);
        let Some(monitor) = monitors.iter_mut().find(|monitor| monitor.id == *id) else {
            return Err(OpError::syntax(id, "unknown monitor session").into());
        };
        if is_taken {
            return Err(OpError::syntax(new_id, "duplicate monitor ID").into());
        }
        let database = match monitor.served {
            Served::Switch => &self.database,
            Served::Server => &self.reserved,
        };
        if let Some(bytes) = monitor.change_condition(database, new_id, requests)? {
            self.send_bytes(conn, bytes);
        }
        Ok(json!({}))
    }

    fn cancel_monitor(&mut self, conn: ConnId, params: &[Value]) -> Result<Value, Refusal> {
        let [id] = params else {
            return Err(Refusal::Text("invalid parameters"));
        };
        let monitors = self.sessions.get_mut(&conn).map(|session| &mut session.monitors);
        let place = monitors.and_then(|monitors| {
            let place = monitors.iter().position(|monitor| monitor.id == *id)?;
            Some(monitors.remove(place))
        });
        place.map(|_| json!({})).ok_or(Refusal::Text("unknown monitor"))
    }

    /// A server without locks answers as to any other method that it does not know. Only the observer sees who asked.
    fn note_in_vain(&mut self, conn: ConnId, params: &[Value]) -> Refusal {
        if let Ok(name) = lock_name("lock", params) {
            self.asked_in_vain.ask(conn, name, Mode::Lock);
        }
        Refusal::Text("unknown method")
    }

    fn lock(&mut self, conn: ConnId, method: &str, params: &[Value], mode: Mode) -> Result<Value, Refusal> {
        let name = lock_name(method, params)?;
        let Some(asked) = self.locks.ask(conn, name, mode) else {
            return Err(syntax(
                params,
                &format!("must issue \"unlock\" before new \"{method}\""),
            ));
        };
        if let Some(robbed) = asked.robbed {
            self.notify(robbed, "stolen", name);
        }
        Ok(json!({"locked": asked.locked}))
    }

    fn unlock(&mut self, conn: ConnId, method: &str, params: &[Value]) -> Result<Value, Refusal> {
        let name = lock_name(method, params)?;
        let first = self
            .locks
            .unlock(conn, name)
            .ok_or_else(|| syntax(params, "unlock: \"unlock\" without \"lock\" or \"steal\""))?;
        if let Some(first) = first {
            self.notify(first, "locked", name);
        }
        Ok(json!({}))
    }

    fn set_change_aware(&mut self, conn: ConnId, method: &str, params: &[Value]) -> Result<Value, Refusal> {
        let [Value::Bool(aware)] = params else {
            return Err(syntax(params, &format!("{method}: true or false parameter expected")));
        };
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.change_aware = *aware;
        }
        Ok(json!({}))
    }
}

/// What a read-only server answers to requests for locks.
const READ_ONLY: &str = "lock and unlock methods not allowed, DB server is read only.";

const MEMBERS: [&str; 5] = ["method", "params", "id", "result", "error"];

fn syntax(params: &[Value], details: &str) -> Refusal {
    OpError::syntax(&json!(params), details).into()
}

/// A result comes with `"error": null`.
fn reply(id: &Value, result: &impl Display) -> Vec<u8> {
    format!("{{\"id\":{id},\"result\":{result},\"error\":null}}").into_bytes()
}

fn check_transaction_id(json: &Value) -> Result<(), Refusal> {
    let text = json
        .as_str()
        .ok_or_else(|| OpError::syntax(json, "last-txn-id must be string"))?;
    let bad = |_| OpError::syntax(json, "last-txn-id must be UUID format.");
    text.parse::<tandem_core::Uuid>().map_err(bad)?;
    Ok(())
}

fn lock_name<'a>(method: &str, params: &'a [Value]) -> Result<&'a str, Refusal> {
    match params {
        [Value::String(name)] if is_id(name) => Ok(name),
        _ => Err(syntax(params, &format!("{method} request params must be <id>"))),
    }
}

#[cfg(test)]
mod tests {
    use tandem_core::Time;

    use super::super::testing::Bench;
    use super::super::{Options, SchemaVersion};
    use super::*;

    fn bench() -> Bench {
        let mut bench = Bench::new(SchemaVersion::V1_7_0);
        (1..=2).for_each(|conn| bench.connect(conn));
        bench
    }

    #[test]
    fn an_error_has_no_result_and_a_result_has_a_null_error() {
        let mut bench = bench();
        let unknown = bench.ask(1, "no_such_method", json!([]));
        assert_eq!(unknown, json!({"id": unknown["id"], "error": "unknown method"}));
        let echo = bench.ask(1, "echo", json!(["x"]));
        assert_eq!(echo, json!({"id": echo["id"], "result": ["x"], "error": null}));
        let database = bench.ask(1, "get_schema", json!(["Open_vSwitch"]));
        assert_eq!(database["error"]["error"], "unknown database");
    }

    #[test]
    fn a_server_before_open_vswitch_2_9_has_no_database_of_its_own() {
        let mut options = Options::new(SchemaVersion::V1_3_0);
        options.model = None;
        let mut bench = Bench::with_options(options);
        bench.connect(1);
        assert_eq!(bench.ask(1, "list_dbs", json!([]))["result"], json!(["hardware_vtep"]));
        let requests = json!({"Database": {"columns": ["name", "model"]}});
        let reply = bench.ask(1, "monitor", json!(["_Server", "m", requests]));
        assert_eq!(reply["error"]["error"], "unknown database");
    }

    #[test]
    fn a_lock_passes_to_the_waiter_when_the_holder_disconnects() {
        let mut bench = bench();
        assert_eq!(
            bench.ask(1, "lock", json!(["tandem"]))["result"],
            json!({"locked": true})
        );
        assert_eq!(
            bench.ask(2, "lock", json!(["tandem"]))["result"],
            json!({"locked": false})
        );
        bench.close(1);
        let locked = json!({"id": null, "method": "locked", "params": ["tandem"]});
        assert_eq!(bench.arrived(2), [locked]);
        assert_eq!(bench.switch.lock_holder("tandem"), Some(ConnId(2)));
    }

    #[test]
    fn the_server_notifies_a_robbed_client() {
        let mut bench = bench();
        bench.ask(1, "lock", json!(["tandem"]));
        assert_eq!(
            bench.ask(2, "steal", json!(["tandem"]))["result"],
            json!({"locked": true})
        );
        let stolen = json!({"id": null, "method": "stolen", "params": ["tandem"]});
        assert_eq!(bench.arrived(1), [stolen]);
        let error = bench.ask(1, "lock", json!(["tandem"]));
        assert_eq!(error["error"]["details"], "must issue \"unlock\" before new \"lock\"");
    }

    #[test]
    fn a_server_without_locks_or_conditions_knows_no_such_methods() {
        let options = Options {
            locks: false,
            monitor_cond: false,
            ..Options::new(SchemaVersion::V1_0_0)
        };
        let mut bench = Bench::with_options(options);
        bench.connect(1);
        for method in ["lock", "steal", "unlock", "monitor_cond", "monitor_cond_since"] {
            assert_eq!(
                bench.ask(1, method, json!(["tandem"]))["error"],
                "unknown method",
                "{method}"
            );
        }
    }

    #[test]
    fn the_observer_sees_who_would_hold_a_lock_that_the_server_does_not_know() {
        let options = Options {
            locks: false,
            ..Options::new(SchemaVersion::V1_0_0)
        };
        let mut bench = Bench::with_options(options);
        for conn in [1, 2] {
            bench.connect(conn);
            bench.ask(conn, "lock", json!(["tandem"]));
        }
        assert_eq!(bench.switch.lock_holder("tandem"), Some(ConnId(1)));
        bench.close(1);
        assert_eq!(bench.switch.lock_holder("tandem"), Some(ConnId(2)));
    }

    #[test]
    fn a_peer_that_breaks_the_protocol_is_cut_off_and_its_lock_passed_on() {
        let messages = [
            "]",
            "[]",
            "{\"id\":1}",
            "{\"id\":1,\"result\":{},\"error\":null}",
            "{\"id\":1,\"method\":\"echo\",\"params\":[],\"x\":1}",
        ];
        for message in messages {
            let mut bench = bench();
            bench.ask(1, "lock", json!(["tandem"]));
            bench.ask(2, "lock", json!(["tandem"]));
            bench.bytes(1, message.as_bytes());
            assert_eq!(bench.arrived(1), [json!("closed")], "{message}");
            assert_eq!(bench.switch.lock_holder("tandem"), Some(ConnId(2)), "{message}");
            bench.bytes(1, b"{}");
            assert_eq!(bench.arrived(1), [Value::Null; 0], "{message}");
        }
    }

    #[test]
    fn a_transaction_that_waits_can_be_cancelled_without_a_reply() {
        let mut bench = bench();
        let wait =
            json!({"op": "wait", "table": "Global", "where": [], "until": "!=", "columns": ["switches"], "rows": []});
        let request = json!({"id": 7, "method": "transact", "params": ["hardware_vtep", wait]});
        bench.send(1, &request);
        bench.send(1, &request);
        let [duplicate] = bench.arrived(1).try_into().expect("one reply");
        assert_eq!(duplicate["error"]["details"], "transact: duplicate request ID");
        bench.send(1, &json!({"id": null, "method": "cancel", "params": [7]}));
        bench
            .switch
            .local(Time::ORIGIN, json!([{"op": "insert", "table": "Global", "row": {}}]));
        bench.drain();
        assert_eq!(bench.arrived(1), [Value::Null; 0]);
    }
}
