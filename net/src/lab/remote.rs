//! Where a switch's database server takes clients, and what any client can ask it: a real server as well as an
//! emulated one.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Result;
use super::jsonrpc::Client;
use super::snapshot::{Row, Snapshot};

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
