//! A transaction in the making.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};
use tandem_core::Uuid;

use super::view;
use crate::switch::Switch;

/// The operations so far, and the tunnel ends that they may refer to.
#[derive(Debug, Default)]
pub(super) struct Draft {
    operations: Vec<Value>,
    /// Found and created ones; the server takes only one row for each.
    found: BTreeMap<Ipv4Addr, Uuid>,
    created: BTreeMap<Ipv4Addr, Value>,
    names: usize,
}

impl Draft {
    /// For this database.
    pub(super) fn on(switch: &Switch) -> Self {
        let found = view::locators(switch).map(|(row, tunnel_end)| (tunnel_end, row));
        Self {
            found: found.collect(),
            ..Self::default()
        }
    }

    /// The operations, if there are any.
    pub(super) fn finish(self) -> Option<Value> {
        (!self.operations.is_empty()).then(|| self.operations.into())
    }

    /// Inserts a row; answers a reference to it.
    pub(super) fn insert(&mut self, table: &str, row: Value) -> Value {
        self.names += 1;
        let name = format!("row{}", self.names);
        let mut operation = json!({"op": "insert", "table": table, "uuid-name": name});
        if let Some(members) = operation.as_object_mut() {
            members.insert("row".into(), row);
        }
        self.operations.push(operation);
        json!(["named-uuid", name])
    }

    /// Sets one column of a row.
    pub(super) fn update(&mut self, table: &str, row: Uuid, column: &str, value: &Value) {
        let columns = json!({column: value});
        let found = json!([["_uuid", "==", reference(row)]]);
        self.operations
            .push(json!({"op": "update", "table": table, "where": found, "row": columns}));
    }

    /// Deletes a row.
    pub(super) fn delete(&mut self, table: &str, row: Uuid) {
        let found = json!([["_uuid", "==", reference(row)]]);
        self.operations
            .push(json!({"op": "delete", "table": table, "where": found}));
    }

    /// Takes VLANs off the port with this name.
    pub(super) fn unbind(&mut self, port: &str, vlans: &[i64]) {
        self.mutate_port(port, &json!([["vlan_bindings", "delete", ["set", vlans]]]));
    }

    /// Binds a VLAN of the port with this name, whatever it was bound to before.
    pub(super) fn bind(&mut self, port: &str, vlan: i64, logical_switch: &Value) {
        self.unbind(port, &[vlan]);
        let pairs = json!([[vlan, logical_switch]]);
        self.mutate_port(port, &json!([["vlan_bindings", "insert", ["map", pairs]]]));
    }

    /// Inserts a unicast row.
    pub(super) fn unicast(&mut self, table: &str, logical_switch: &Value, mac: &str, tunnel_end: Ipv4Addr, ip: &str) {
        let locator = self.locator(tunnel_end);
        let row = json!({"MAC": mac, "logical_switch": logical_switch, "locator": locator, "ipaddr": ip});
        self.insert(table, row);
    }

    /// Inserts a multicast row with one tunnel end.
    pub(super) fn multicast(&mut self, table: &str, logical_switch: &Value, mac: &str, tunnel_end: Ipv4Addr) {
        let set = self.locator_set(tunnel_end);
        self.insert(
            table,
            json!({"MAC": mac, "logical_switch": logical_switch, "locator_set": set}),
        );
    }

    /// The locator of a tunnel end.
    pub(super) fn locator(&mut self, tunnel_end: Ipv4Addr) -> Value {
        if let Some(found) = self.found.get(&tunnel_end) {
            return reference(*found);
        }
        if let Some(created) = self.created.get(&tunnel_end) {
            return created.clone();
        }
        let row = json!({"encapsulation_type": "vxlan_over_ipv4", "dst_ip": tunnel_end});
        let created = self.insert("Physical_Locator", row);
        self.created.insert(tunnel_end, created.clone());
        created
    }

    /// A new set of one locator.
    pub(super) fn locator_set(&mut self, tunnel_end: Ipv4Addr) -> Value {
        let locator = self.locator(tunnel_end);
        self.insert("Physical_Locator_Set", json!({"locators": locator}))
    }

    fn mutate_port(&mut self, port: &str, mutations: &Value) {
        let found = json!([["name", "==", port]]);
        self.operations
            .push(json!({"op": "mutate", "table": "Physical_Port", "where": found, "mutations": mutations}));
    }
}

/// A row that is there, in the wire's notation.
pub(super) fn reference(row: Uuid) -> Value {
    json!(["uuid", row])
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::switch::SchemaVersion;

    #[test]
    fn one_locator_serves_a_tunnel_end_within_a_transaction_and_from_then_on() {
        let mut switch = testing::switch(SchemaVersion::V1_7_0);
        let vtep = Ipv4Addr::new(10, 2, 0, 1);
        for mac in ["02:00:00:00:00:01", "02:00:00:00:00:02"] {
            let mut draft = Draft::on(&switch);
            let network = draft.insert("Logical_Switch", json!({"name": mac}));
            draft.unicast("Ucast_Macs_Remote", &network, mac, vtep, "");
            draft.multicast("Mcast_Macs_Remote", &network, "unknown-dst", vtep);
            testing::apply(&mut switch, draft.finish());
        }
        assert_eq!(switch.rows("Physical_Locator").count(), 1);
        assert_eq!(switch.rows("Ucast_Macs_Remote").count(), 2);
    }

    #[test]
    fn a_transaction_without_operations_is_none() {
        assert_eq!(Draft::default().finish(), None);
    }
}
