//! The features of a switch's schema: versions 1.0.0 (2013) to 1.7.0 are in the field.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::limits::Limits;
use crate::text::short;

/// The tables without which a switch cannot be managed, and the columns of schema 1.0 that we read.
pub const REQUIRED: &[(&str, &[&str])] = &[
    ("Global", &["managers", "switches"]),
    ("Manager", &["target", "max_backoff", "inactivity_probe"]),
    ("Physical_Switch", &["name", "ports", "tunnel_ips"]),
    ("Physical_Port", &["name", "vlan_bindings"]),
    ("Logical_Switch", &["name", "tunnel_key"]),
    ("Physical_Locator", &["encapsulation_type", "dst_ip"]),
    ("Physical_Locator_Set", &["locators"]),
    ("Mcast_Macs_Local", &["MAC", "logical_switch", "locator_set"]),
    ("Mcast_Macs_Remote", &["MAC", "logical_switch", "locator_set"]),
    ("Ucast_Macs_Local", &["MAC", "logical_switch", "locator"]),
    ("Ucast_Macs_Remote", &["MAC", "logical_switch", "locator"]),
];

/// The features of a schema that we use.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Schema {
    /// `1.7.0` and the like.
    pub(crate) version: String,
    /// `Physical_Locator.tunnel_key`, since 1.5.
    pub(crate) locator_tunnel_key: bool,
    /// `Physical_Switch.switch_fault_status`, since 1.1.
    pub(crate) switch_faults: bool,
    /// `Physical_Port.port_fault_status`, since 1.1.
    pub(crate) port_faults: bool,
    /// `Logical_Switch.replication_mode`, since 1.6.
    pub(crate) replication_mode: bool,
    /// The limits of tables.
    pub(crate) limits: Limits,
}

impl Schema {
    /// Reads the reply to `get_schema`. The error names what is missing: the peer is incompatible.
    pub(crate) fn read(json: &[u8]) -> Result<Self, String> {
        let text: Text = serde_json::from_slice(json).map_err(|error| format!("its schema cannot be read: {error}"))?;
        let has = |table: &str, column: &str| {
            let table = text.tables.get(table);
            table.is_some_and(|table| table.columns.contains_key(column))
        };
        for (table, columns) in REQUIRED {
            if let Some(column) = columns.iter().find(|column| !has(table, column)) {
                return Err(format!(
                    "its schema (version {}) has no column {table}.{column}",
                    short(&text.version)
                ));
            }
        }
        Ok(Self {
            locator_tunnel_key: has("Physical_Locator", "tunnel_key"),
            switch_faults: has("Physical_Switch", "switch_fault_status"),
            port_faults: has("Physical_Port", "port_fault_status"),
            replication_mode: has("Logical_Switch", "replication_mode"),
            limits: Limits::new(|table| text.tables.get(table)?.max_rows),
            version: short(&text.version),
        })
    }
}

#[derive(Deserialize)]
struct Text {
    #[serde(default)]
    version: String,
    tables: BTreeMap<String, Table>,
}

#[derive(Deserialize)]
struct Table {
    columns: BTreeMap<String, IgnoredAny>,
    #[serde(default, rename = "maxRows")]
    max_rows: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(version: &str, extra: &[(&str, &str)]) -> String {
        let mut tables: BTreeMap<&str, BTreeMap<&str, BTreeMap<&str, u8>>> = BTreeMap::new();
        let required = REQUIRED
            .iter()
            .flat_map(|(table, columns)| columns.iter().map(move |column| (*table, *column)));
        for (table, column) in required.chain(extra.iter().copied()) {
            let columns = tables.entry(table).or_default().entry("columns").or_default();
            columns.insert(column, 0);
        }
        serde_json::json!({"name": "hardware_vtep", "version": version, "tables": tables}).to_string()
    }

    #[test]
    fn later_columns_are_found_where_they_are() {
        let old = Schema::read(schema("1.0.0", &[]).as_bytes()).expect("a schema");
        assert!(!old.locator_tunnel_key && !old.replication_mode);
        let extra = [
            ("Physical_Locator", "tunnel_key"),
            ("Logical_Switch", "replication_mode"),
        ];
        let new = Schema::read(schema("1.7.0", &extra).as_bytes()).expect("a schema");
        assert!(new.locator_tunnel_key && new.replication_mode);
    }

    #[test]
    fn a_schema_that_lacks_what_we_need_is_named_so() {
        let error = Schema::read(br#"{"name":"Open_vSwitch","version":"8.3.1","tables":{}}"#);
        assert_eq!(
            error,
            Err("its schema (version 8.3.1) has no column Global.managers".into())
        );
    }
}
