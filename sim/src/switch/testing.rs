//! A switch on a bench: what unit tests of this folder need to talk to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tandem_core::{ConnId, Machine, Time};

use super::{Input, Options, Output, SchemaVersion, Switch};

/// A switch, and its outputs that were not examined yet.
pub(super) struct Bench {
    pub(super) switch: Switch,
    arrived: BTreeMap<u64, Vec<Value>>,
    next_id: u64,
}

impl Bench {
    pub(super) fn new(version: SchemaVersion) -> Self {
        Self::with_options(Options::new(version))
    }

    pub(super) fn with_options(options: Options) -> Self {
        Self {
            switch: Switch::with_options(7, options),
            arrived: BTreeMap::new(),
            next_id: 1,
        }
    }

    pub(super) fn connect(&mut self, conn: u64) {
        self.handle(Time::ORIGIN, Input::Connected { conn: ConnId(conn) });
    }

    pub(super) fn close(&mut self, conn: u64) {
        self.handle(Time::ORIGIN, Input::Closed { conn: ConnId(conn) });
    }

    pub(super) fn send(&mut self, conn: u64, message: &Value) {
        self.bytes(conn, message.to_string().as_bytes());
    }

    pub(super) fn bytes(&mut self, conn: u64, data: &[u8]) {
        let data = data.to_vec();
        self.handle(
            Time::ORIGIN,
            Input::Bytes {
                conn: ConnId(conn),
                data,
            },
        );
    }

    pub(super) fn handle(&mut self, now: Time, input: Input) {
        self.switch.handle(now, input);
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            let (conn, message) = match output {
                Output::Send { conn, bytes } => (conn, serde_json::from_slice(&bytes).expect("JSON")),
                Output::Read { conn, on } => (conn, json!({"read": on})),
                Output::Close { conn, .. } => (conn, json!("closed")),
            };
            self.arrived.entry(conn.0).or_default().push(message);
        }
    }

    /// What arrived and was not a reply to `ask`.
    pub(super) fn arrived(&mut self, conn: u64) -> Vec<Value> {
        self.arrived.remove(&conn).unwrap_or_default()
    }

    /// The reply to a request.
    pub(super) fn ask(&mut self, conn: u64, method: &str, params: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        let mut message = json!({"id": id, "method": method});
        message["params"] = params;
        self.send(conn, &message);
        let arrived = self.arrived.entry(conn).or_default();
        let place = arrived.iter().position(|message| message["id"] == id).expect("a reply");
        arrived.remove(place)
    }

    /// The results of a transaction.
    pub(super) fn transact(&mut self, conn: u64, operations: Value) -> Value {
        let Value::Array(mut params) = operations else {
            panic!("an array of operations, not {operations}");
        };
        params.insert(0, json!("hardware_vtep"));
        self.ask(conn, "transact", params.into())["result"].take()
    }
}

/// The operations that add a logical switch, a locator and a remote MAC behind it.
pub(super) fn insert_mac(network: &str, mac: &str, vtep: &str) -> Value {
    let locator = json!({"encapsulation_type": "vxlan_over_ipv4", "dst_ip": vtep});
    let row = json!({"MAC": mac, "logical_switch": ["named-uuid", "network"], "locator": ["named-uuid", "locator"]});
    json!([
        {"op": "insert", "table": "Logical_Switch", "uuid-name": "network", "row": {"name": network}},
        {"op": "insert", "table": "Physical_Locator", "uuid-name": "locator", "row": locator},
        {"op": "insert", "table": "Ucast_Macs_Remote", "row": row},
    ])
}
