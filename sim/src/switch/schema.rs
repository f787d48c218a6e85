//! The `hardware_vtep` schema, version by version: what a switch of some age knows, and what it does not.
//!
//! Source: the history of `vtep/vtep.ovsschema` in Open vSwitch, 2013 to 2016; nothing was added since.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use serde_json::{Map, Value, json};

pub(super) use super::columns::UNLIMITED;
pub use super::columns::{Base, Column, SchemaVersion, TableSchema, Type};

/// The database's name, which begins the parameters of most requests.
pub const DATABASE: &str = "hardware_vtep";

/// The database in which a server lists the databases that it serves.
pub(super) const RESERVED: &str = "_Server";

/// A schema, as a server knows it.
#[derive(Debug)]
pub struct Schema {
    /// The database's name.
    pub name: &'static str,
    version: &'static str,
    cksum: &'static str,
    text: OnceLock<String>,
    /// By name.
    pub tables: BTreeMap<&'static str, TableSchema>,
}

impl Schema {
    /// The schema of `hardware_vtep` as it was at `version`; all callers share one.
    pub fn of(version: SchemaVersion) -> Arc<Self> {
        static ALL: LazyLock<BTreeMap<SchemaVersion, Arc<Schema>>> = LazyLock::new(|| {
            let one = |version| (version, Arc::new(Schema::new(version)));
            SchemaVersion::ALL.into_iter().map(one).collect()
        });
        let known = ALL.get(&version).map(Arc::clone);
        known.unwrap_or_else(|| Arc::new(Self::new(version)))
    }

    /// The same, with limits of some tables.
    pub(super) fn limited(version: SchemaVersion, max_rows: &[(&'static str, usize)]) -> Arc<Self> {
        if max_rows.is_empty() {
            return Self::of(version);
        }
        let mut schema = Self::new(version);
        for (table, rows) in max_rows {
            if let Some(table) = schema.tables.get_mut(table) {
                table.max_rows = Some(*rows);
            }
        }
        Arc::new(schema)
    }

    /// The schema of the database in which a server describes itself (Open vSwitch, ovsdb-server(5)).
    pub(super) fn of_the_server() -> Arc<Self> {
        static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
            let table = super::tables::of_the_server();
            Arc::new(Schema {
                name: RESERVED,
                version: "1.2.0",
                cksum: "3009684573 744",
                text: OnceLock::new(),
                tables: BTreeMap::from([(table.name, table)]),
            })
        });
        Arc::clone(&SCHEMA)
    }

    fn new(version: SchemaVersion) -> Self {
        let (label, cksum) = version.labels();
        let tables = super::tables::all()
            .into_iter()
            .filter(|table| table.since <= version)
            .map(|table| (table.name, table.at(version)))
            .collect();
        Self {
            name: DATABASE,
            version: label,
            cksum,
            text: OnceLock::new(),
            tables,
        }
    }

    /// What `get_schema` answers, as text. It is asked at every connect, and written once.
    pub(super) fn text(&self) -> &str {
        self.text.get_or_init(|| self.to_json().to_string())
    }

    /// What `get_schema` answers.
    pub fn to_json(&self) -> Value {
        // Where every table is a root, `isRoot` is left out.
        let all_roots = self.tables.values().all(|table| table.is_root);
        let tables: Map<_, _> = self
            .tables
            .values()
            .map(|table| (table.name.to_owned(), table.to_json(all_roots)))
            .collect();
        json!({"name": self.name, "version": self.version, "cksum": self.cksum, "tables": tables})
    }
}

#[cfg(test)]
mod tests {
    use super::SchemaVersion::{V1_0_0, V1_2_0, V1_3_0, V1_4_1, V1_5_0, V1_5_1, V1_6_0};
    use super::*;

    fn knows(version: SchemaVersion, table: &str, column: &str) -> bool {
        let schema = Schema::of(version);
        schema
            .tables
            .get(table)
            .is_some_and(|table| table.columns.contains_key(column))
    }

    #[test]
    fn a_version_lacks_what_came_later() {
        assert!(!knows(V1_0_0, "Arp_Sources_Local", "src_mac"));
        assert!(knows(V1_2_0, "Arp_Sources_Local", "src_mac"));
        assert!(knows(V1_2_0, "Physical_Locator", "bfd"));
        assert!(!knows(V1_3_0, "Physical_Locator", "bfd"));
        assert!(knows(V1_3_0, "Tunnel", "bfd_params"));
        assert!(!knows(V1_5_1, "Logical_Switch", "replication_mode"));
        assert!(knows(V1_6_0, "Logical_Switch", "replication_mode"));
    }

    #[test]
    fn an_index_names_only_columns_that_exist() {
        let index = |version| Schema::of(version).tables["Physical_Locator"].indexes.clone();
        assert_eq!(index(V1_4_1), [["encapsulation_type", "dst_ip"]]);
        assert_eq!(index(V1_5_0), [["encapsulation_type", "dst_ip", "tunnel_key"]]);
    }

    #[test]
    fn every_reference_leads_to_a_table_of_the_same_version() {
        for version in SchemaVersion::ALL {
            let schema = Schema::of(version);
            for column in schema.tables.values().flat_map(|table| table.columns.values()) {
                for base in [Some(column.ty.key), column.ty.value].into_iter().flatten() {
                    if let Base::Ref(table) = base {
                        assert!(schema.tables.contains_key(table), "{version:?} {}", column.name);
                    }
                }
            }
        }
    }
}
