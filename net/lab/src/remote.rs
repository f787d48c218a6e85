//! Where a switch's database server takes clients, and what any client can ask it: a real server as well as an
//! emulated one.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::jsonrpc::Client;
use super::snapshot::{Row, Snapshot};
use super::{Error, Result};

/// An address of a database server. As text it is what `vtep-ctl` and `ovsdb-client` call it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Remote {
    /// `punix:` of the server.
    Unix(PathBuf),
    /// `ptcp:` of the server.
    Tcp(SocketAddr),
}

impl Remote {
    /// A connection of one's own, for locks and notifications.
    pub fn client(&self) -> Result<Client> {
        match self {
            Self::Unix(socket) => Client::connect(socket),
            Self::Tcp(address) => Client::dial(*address),
        }
    }

    /// One transaction; see [`Client::transact`].
    pub fn transact(&self, operations: &Value) -> Result<Value> {
        self.client()?.transact(operations)
    }

    /// A host that spoke is behind this tunnel end of the switch: a row of `Ucast_Macs_Local`, as its hardware writes it.
    pub fn learn(&self, logical_switch: &str, mac: &str, vtep: &str) -> Result<()> {
        let mut client = self.client()?;
        let uuid = self::logical_switch(&mut client, logical_switch)?;
        let (mut operations, locator) = locator(&mut client, vtep)?;
        let row = json!({ "MAC": mac, "logical_switch": uuid, "locator": locator });
        operations.push(json!({ "op": "insert", "table": "Ucast_Macs_Local", "row": row }));
        client.transact(&Value::Array(operations))?;
        Ok(())
    }

    /// Every row of every table, all of one moment.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let mut client = self.client()?;
        let schema = client.call("get_schema", &json!(["hardware_vtep"]))?;
        let tables: Vec<&String> = schema["tables"]
            .as_object()
            .into_iter()
            .flat_map(|tables| tables.keys())
            .collect();
        let select = |table: &&String| json!({ "op": "select", "table": table, "where": [] });
        let mut results = client.transact(&tables.iter().map(select).collect())?;
        let mut snapshot = Snapshot::default();
        for (table, result) in tables.iter().zip(results.as_array_mut().into_iter().flatten()) {
            rows(result).into_iter().for_each(|row| snapshot.add(table, row));
        }
        Ok(snapshot)
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(socket) => write!(f, "unix:{}", socket.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// The rows that a `select` found.
pub(super) fn rows(result: &mut Value) -> Vec<Row> {
    match result["rows"].take() {
        Value::Array(rows) => rows
            .into_iter()
            .filter_map(|row| match row {
                Value::Object(row) => Some(row),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// The uuid of the logical switch of this name, to be written into a column that refers to it.
pub(super) fn logical_switch(client: &mut Client, name: &str) -> Result<Value> {
    let mut found = client.transact(&json!([{
        "op": "select", "table": "Logical_Switch", "columns": ["_uuid"], "where": [["name", "==", name]],
    }]))?;
    match found[0]["rows"][0]["_uuid"].take() {
        Value::Null => Err(Error::failed(
            format!("find the logical switch {name}"),
            "there is none",
        )),
        uuid => Ok(uuid),
    }
}

/// The locator of a tunnel end: the one that exists (its index allows no second), or one to be inserted first.
pub(super) fn locator(client: &mut Client, vtep: &str) -> Result<(Vec<Value>, Value)> {
    let found = client.transact(&json!([{
        "op": "select", "table": "Physical_Locator", "columns": ["_uuid"], "where": [["dst_ip", "==", vtep]],
    }]))?;
    Ok(match &found[0]["rows"][0]["_uuid"] {
        Value::Null => {
            let row = json!({ "encapsulation_type": "vxlan_over_ipv4", "dst_ip": vtep });
            let insert = json!({ "op": "insert", "table": "Physical_Locator", "uuid-name": "locator", "row": row });
            (vec![insert], json!(["named-uuid", "locator"]))
        }
        uuid => (Vec::new(), uuid.clone()),
    })
}
