//! What a switch knows without its database: the part that its own start-up configuration writes.

use serde_json::{Value, json};

use crate::switch::Switch;

/// The start-up configuration. It is written into the database when the switch boots and finds none of it.
#[derive(Clone, Debug, Default)]
pub struct Startup {
    /// The `Physical_Switch`, if there is one.
    pub physical: Option<Physical>,
    /// The `Manager` rows.
    pub managers: Vec<Manager>,
}

/// A `Physical_Switch` and its ports.
#[derive(Clone, Debug)]
pub struct Physical {
    pub name: String,
    pub tunnel_ip: String,
    pub ports: Vec<String>,
}

/// A `Manager` row.
#[derive(Clone, Debug, Default)]
pub struct Manager {
    /// Such as `ssl:10.0.0.1:6640`.
    pub target: String,
    /// Milliseconds, 1000 at least.
    pub max_backoff: Option<u32>,
    /// Milliseconds; 0 is off.
    pub inactivity_probe: Option<u32>,
}

impl Manager {
    /// A target, and nothing else set.
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            ..Self::default()
        }
    }

    fn row(&self) -> Value {
        let mut row = json!({"target": self.target});
        for (column, value) in [
            ("max_backoff", self.max_backoff),
            ("inactivity_probe", self.inactivity_probe),
        ] {
            if let (Some(value), Some(row)) = (value, row.as_object_mut()) {
                row.insert(column.to_owned(), value.into());
            }
        }
        row
    }
}

impl Startup {
    /// The operations that write what the database lacks; none if it lacks nothing.
    pub(super) fn operations(&self, switch: &Switch) -> Vec<Value> {
        let mut operations = Vec::new();
        let mut references = serde_json::Map::new();
        let lacks = |table| switch.rows(table).next().is_none();
        if let Some(physical) = self.physical.as_ref().filter(|_| lacks("Physical_Switch")) {
            let names = operations.len()..physical.ports.len();
            operations.extend(physical.ports.iter().zip(names.clone()).map(
                |(port, number)| json!({"op": "insert", "table": "Physical_Port", "uuid-name": format!("port{number}"), "row": {"name": port}}),
            ));
            let ports: Vec<_> = names.map(|number| named(&format!("port{number}"))).collect();
            let row = json!({"name": physical.name, "tunnel_ips": physical.tunnel_ip, "ports": ["set", ports]});
            operations.push(json!({"op": "insert", "table": "Physical_Switch", "uuid-name": "switch", "row": row}));
            references.insert("switches".to_owned(), json!(["set", [named("switch")]]));
        }
        if !self.managers.is_empty() && lacks("Manager") {
            let mut names = Vec::new();
            for (number, manager) in self.managers.iter().enumerate() {
                let name = format!("manager{number}");
                names.push(named(&name));
                operations.push(json!({"op": "insert", "table": "Manager", "uuid-name": name, "row": manager.row()}));
            }
            references.insert("managers".to_owned(), json!(["set", names]));
        }
        if operations.is_empty() {
            return operations;
        }
        operations.push(if lacks("Global") {
            json!({"op": "insert", "table": "Global", "row": references})
        } else {
            let mutations: Vec<_> = references
                .iter()
                .map(|(column, value)| json!([column, "insert", value]))
                .collect();
            json!({"op": "mutate", "table": "Global", "where": [], "mutations": mutations})
        });
        operations
    }
}

fn named(name: &str) -> Value {
    json!(["named-uuid", name])
}
