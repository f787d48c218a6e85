//! Makes a database dirty, all in one transaction.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tandem_lab::snapshot::{Row, Snapshot};
use tandem_lab::switch::Switch;

/// A transaction in preparation, by a client that is not Tandem.
pub(crate) struct Dirt {
    snapshot: Snapshot,
    operations: Vec<Value>,
    locators: BTreeMap<(String, Option<i64>), Value>,
    logical_switches: BTreeMap<String, Value>,
}

impl Dirt {
    /// On the present database of the switch.
    pub(crate) fn on(switch: &Switch) -> Self {
        let snapshot = switch.snapshot().expect("a snapshot");
        let uuid = |row: &Row| row["_uuid"].clone();
        let text = |row: &Row, column: &str| row[column].as_str().expect("text").to_owned();
        let locators = snapshot.table("Physical_Locator").map(|row| {
            let key = row.get("tunnel_key").and_then(Value::as_i64);
            ((text(row, "dst_ip"), key), uuid(row))
        });
        let switches = snapshot
            .table("Logical_Switch")
            .map(|row| (text(row, "name"), uuid(row)));
        Self {
            locators: locators.collect(),
            logical_switches: switches.collect(),
            operations: vec![json!({ "op": "comment", "comment": "dirt" })],
            snapshot,
        }
    }

    pub(crate) fn write(self, switch: &Switch) {
        switch.transact(&Value::Array(self.operations)).expect("dirt");
    }

    pub(crate) fn operation(&mut self, operation: Value) {
        self.operations.push(operation);
    }

    pub(crate) fn insert(&mut self, table: &str, row: impl Into<Value>) -> Value {
        let row = row.into();
        let name = format!("row{}", self.operations.len());
        self.operation(json!({ "op": "insert", "table": table, "uuid-name": name, "row": row }));
        json!(["named-uuid", name])
    }

    /// A logical switch: the one that is there, or a new one with this VNI.
    pub(crate) fn logical_switch(&mut self, name: &str, vni: Option<i64>) -> Value {
        if let Some(row) = self.logical_switches.get(name) {
            return row.clone();
        }
        let mut row = json!({ "name": name });
        if let Some(vni) = vni {
            row["tunnel_key"] = vni.into();
        }
        let row = self.insert("Logical_Switch", row);
        self.logical_switches.insert(name.into(), row.clone());
        row
    }

    /// A locator: the one that is there, or a new one; with a tunnel key of its own if there is a `key`.
    pub(crate) fn locator(&mut self, vtep: &str, key: Option<i64>) -> Value {
        if let Some(row) = self.locators.get(&(vtep.to_owned(), key)) {
            return row.clone();
        }
        let mut row = json!({ "encapsulation_type": "vxlan_over_ipv4", "dst_ip": vtep });
        if let Some(key) = key {
            row["tunnel_key"] = key.into();
        }
        let row = self.insert("Physical_Locator", row);
        self.locators.insert((vtep.into(), key), row.clone());
        row
    }

    /// A row of `Ucast_Macs_Remote` or `Ucast_Macs_Local`.
    pub(crate) fn unicast(&mut self, table: &str, logical_switch: &str, mac: &str, vtep: &str) {
        self.unicast_keyed(table, logical_switch, mac, vtep, None);
    }

    pub(crate) fn unicast_keyed(&mut self, table: &str, logical_switch: &str, mac: &str, vtep: &str, key: Option<i64>) {
        let logical_switch = self.logical_switch(logical_switch, None);
        let locator = self.locator(vtep, key);
        self.insert(
            table,
            json!({ "MAC": mac, "logical_switch": logical_switch, "locator": locator }),
        );
    }

    /// A row of `Mcast_Macs_Remote` or `Mcast_Macs_Local`.
    pub(crate) fn multicast(&mut self, table: &str, logical_switch: &str, mac: &str, vteps: &[&str]) {
        let logical_switch = self.logical_switch(logical_switch, None);
        let locators: Vec<Value> = vteps.iter().map(|vtep| self.locator(vtep, None)).collect();
        let set = self.insert("Physical_Locator_Set", json!({ "locators": ["set", locators] }));
        self.insert(
            table,
            json!({ "MAC": mac, "logical_switch": logical_switch, "locator_set": set }),
        );
    }

    /// Binds a VLAN of the first port of this name, in place of its binding.
    pub(crate) fn bind(&mut self, port: &str, vlan: u16, logical_switch: &str) {
        let logical_switch = self.logical_switch(logical_switch, None);
        self.mutate(port, json!(["vlan_bindings", "delete", ["set", [vlan]]]));
        self.mutate(
            port,
            json!(["vlan_bindings", "insert", ["map", [[vlan, logical_switch]]]]),
        );
    }

    pub(crate) fn unbind(&mut self, port: &str, vlan: u16) {
        self.mutate(port, json!(["vlan_bindings", "delete", ["set", [vlan]]]));
    }

    /// Changes the rows of a MAC, or whichever rows have this value in this column.
    pub(crate) fn update(&mut self, table: &str, column: &str, value: &str, row: impl Into<Value>) {
        let row = row.into();
        self.operation(json!({ "op": "update", "table": table, "where": [[column, "==", value]], "row": row }));
    }

    pub(crate) fn delete(&mut self, table: &str, column: &str, value: impl Into<Value>) {
        let value = value.into();
        self.operation(json!({ "op": "delete", "table": table, "where": [[column, "==", value]] }));
    }

    /// Removes everything but the switch and its ports.
    pub(crate) fn wipe(&mut self) {
        for table in [
            "Ucast_Macs_Remote",
            "Ucast_Macs_Local",
            "Mcast_Macs_Remote",
            "Mcast_Macs_Local",
        ] {
            self.operation(json!({ "op": "delete", "table": table, "where": [] }));
        }
        self.operation(json!({
            "op": "update", "table": "Physical_Port", "where": [], "row": { "vlan_bindings": ["map", []] },
        }));
        self.operation(json!({ "op": "delete", "table": "Logical_Switch", "where": [] }));
        self.logical_switches.clear();
        self.locators.clear();
    }

    fn mutate(&mut self, port: &str, mutation: impl Into<Value>) {
        let mutation = mutation.into();
        let mut ports = self.snapshot.table("Physical_Port");
        let row = ports.find(|row| row["name"] == port).expect("a port")["_uuid"].clone();
        drop(ports);
        self.operation(json!({
            "op": "mutate", "table": "Physical_Port", "where": [["_uuid", "==", row]], "mutations": [mutation],
        }));
    }
}
