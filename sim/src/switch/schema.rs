//! The `hardware_vtep` schema, version by version: what a switch of some age knows, and what it does not.
//!
//! Source: the history of `vtep/vtep.ovsschema` in Open vSwitch, 2013 to 2016; nothing was added since.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use serde_json::{Map, Value, json};

/// The database's name, which begins the parameters of most requests.
pub const DATABASE: &str = "hardware_vtep";

/// The database in which a server lists the databases that it serves.
pub(super) const RESERVED: &str = "_Server";

/// A version of the schema. Real switches are mostly at 1.3.0.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum SchemaVersion {
    V1_0_0,
    /// Fault status of switches and ports.
    V1_1_0,
    /// `Arp_Sources_*`.
    V1_2_0,
    /// `Tunnel`, which takes BFD over from `Physical_Locator`.
    V1_3_0,
    /// `ACL`, `ACL_entry`.
    V1_4_0,
    /// Statistics and status become ephemeral.
    V1_4_1,
    /// `Physical_Locator.tunnel_key`.
    V1_5_0,
    /// `other_config` in most tables.
    V1_5_1,
    /// `Logical_Switch.replication_mode`.
    V1_6_0,
    /// `Global.other_config`.
    V1_7_0,
}

use SchemaVersion::{V1_0_0, V1_1_0, V1_2_0, V1_3_0, V1_4_0, V1_4_1, V1_5_0, V1_5_1, V1_6_0, V1_7_0};

impl SchemaVersion {
    /// Every version, oldest first.
    pub const ALL: [Self; 10] = [
        V1_0_0, V1_1_0, V1_2_0, V1_3_0, V1_4_0, V1_4_1, V1_5_0, V1_5_1, V1_6_0, V1_7_0,
    ];

    /// `version` and `cksum` as `get_schema` answers them.
    fn labels(self) -> (&'static str, &'static str) {
        match self {
            V1_0_0 => ("1.0.0", "825115144 5318"),
            V1_1_0 => ("1.1.0", "1365749839 5604"),
            V1_2_0 => ("1.2.0", "1687941026 6625"),
            V1_3_0 => ("1.3.0", "58544667 7319"),
            V1_4_0 => ("1.4.0", "262972511 10369"),
            V1_4_1 => ("1.4.1", "2177247725 10499"),
            V1_5_0 => ("1.5.0", "1621458335 10585"),
            V1_5_1 => ("1.5.1", "770244945 11113"),
            V1_6_0 => ("1.6.0", "4127261095 11302"),
            V1_7_0 => ("1.7.0", "353943336 11434"),
        }
    }
}

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

/// One table.
#[derive(Debug)]
pub struct TableSchema {
    /// `Ucast_Macs_Remote` and so on.
    pub name: &'static str,
    /// Whether rows live without being referenced.
    pub is_root: bool,
    /// The most rows that it may have.
    pub max_rows: Option<usize>,
    /// Sets of columns of which no two rows may have the same values.
    pub indexes: Vec<Vec<&'static str>>,
    /// By name; `_uuid` and `_version` among them.
    pub columns: BTreeMap<&'static str, Column>,
    pub(super) since: SchemaVersion,
}

impl TableSchema {
    fn at(mut self, version: SchemaVersion) -> Self {
        self.columns.retain(|_, column| column.exists_at(version));
        for column in self.columns.values_mut() {
            column.ephemeral = column.ephemeral_since.is_some_and(|since| since <= version);
        }
        for index in &mut self.indexes {
            index.retain(|column| self.columns.contains_key(column));
        }
        self
    }

    fn to_json(&self, all_roots: bool) -> Value {
        let columns: Map<_, _> = self
            .columns
            .values()
            .filter(|column| !column.name.starts_with('_'))
            .map(|column| (column.name.to_owned(), column.to_json()))
            .collect();
        let mut json = Map::new();
        json.insert("columns".into(), columns.into());
        if self.is_root && !all_roots {
            json.insert("isRoot".into(), true.into());
        }
        if let Some(rows) = self.max_rows {
            json.insert("maxRows".into(), rows.into());
        }
        if !self.indexes.is_empty() {
            json.insert("indexes".into(), json!(self.indexes));
        }
        json.into()
    }
}

/// One column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// Whether `update` and `mutate` may change it.
    pub mutable: bool,
    /// Whether a restart of the server forgets it.
    pub ephemeral: bool,
    pub(super) ephemeral_since: Option<SchemaVersion>,
    pub(super) since: SchemaVersion,
    /// The first version that lacks it again.
    pub(super) until: Option<SchemaVersion>,
}

impl Column {
    fn exists_at(&self, version: SchemaVersion) -> bool {
        self.since <= version && self.until.is_none_or(|until| version < until)
    }

    fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("type".into(), self.ty.to_json());
        if !self.mutable {
            json.insert("mutable".into(), false.into());
        }
        if self.ephemeral {
            json.insert("ephemeral".into(), true.into());
        }
        json.into()
    }
}

/// The type of a column: RFC 7047 section 3.2, `<type>`.
#[derive(Clone, Debug)]
pub struct Type {
    /// The type of an element, or of a map's keys.
    pub key: Base,
    /// The type of a map's values.
    pub value: Option<Base>,
    /// The fewest elements: 0 or 1.
    pub min: usize,
    /// The most elements; `u32::MAX` for any number.
    pub max: usize,
}

/// As many elements as one likes; the number that the server prints for it.
pub(super) const UNLIMITED: usize = u32::MAX as usize;

impl Type {
    /// Exactly one element.
    pub fn is_scalar(&self) -> bool {
        self.value.is_none() && self.min == 1 && self.max == 1
    }

    /// One element or none.
    pub fn is_optional_scalar(&self) -> bool {
        self.value.is_none() && self.min == 0 && self.max == 1
    }

    /// The type in the words of the server's error texts.
    pub fn to_english(&self) -> String {
        let key = self.key.name();
        if self.is_scalar() {
            return key.into();
        }
        let many = match (self.min, self.max) {
            (0, UNLIMITED) => "of".into(),
            (min, UNLIMITED) => format!("of {min} or more"),
            (0, max) => format!("of up to {max}"),
            (min, max) => format!("of {min} to {max}"),
        };
        match &self.value {
            None => format!("set {many} {key}s"),
            Some(value) => format!("map {many} ({key}, {}) pairs", value.name()),
        }
    }

    fn to_json(&self) -> Value {
        if self.is_scalar() && self.key.is_plain() {
            return self.key.to_json();
        }
        let mut json = Map::new();
        json.insert("key".into(), self.key.to_json());
        if let Some(value) = &self.value {
            json.insert("value".into(), value.to_json());
        }
        if self.min != 1 {
            json.insert("min".into(), self.min.into());
        }
        if self.max == UNLIMITED {
            json.insert("max".into(), "unlimited".into());
        }
        json.into()
    }
}

/// The type of an atom and its constraints: RFC 7047 section 3.2, `<base-type>`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Base {
    /// From `min` to `max`, both included.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// `true` or `false`.
    Boolean,
    /// Any text.
    String,
    /// One of these texts, which are in order.
    Enum(&'static [&'static str]),
    /// Any row's identity.
    Uuid,
    /// A strong reference to a row of this table.
    Ref(&'static str),
}

impl Base {
    /// An integer without bounds.
    pub const INTEGER: Self = Self::Integer {
        min: i64::MIN,
        max: i64::MAX,
    };

    /// The name of the atomic type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Integer { .. } => "integer",
            Self::Boolean => "boolean",
            Self::String | Self::Enum(_) => "string",
            Self::Uuid | Self::Ref(_) => "uuid",
        }
    }

    fn is_plain(self) -> bool {
        [Self::INTEGER, Self::Boolean, Self::String, Self::Uuid].contains(&self)
    }

    fn to_json(self) -> Value {
        let mut json = Map::new();
        json.insert("type".into(), self.name().into());
        match self {
            Self::Integer { min, max } => {
                if min != i64::MIN {
                    json.insert("minInteger".into(), min.into());
                }
                if max != i64::MAX {
                    json.insert("maxInteger".into(), max.into());
                }
            }
            Self::Enum([only]) => drop(json.insert("enum".into(), json!(only))),
            Self::Enum(words) => drop(json.insert("enum".into(), json!(["set", words]))),
            Self::Ref(table) => drop(json.insert("refTable".into(), table.into())),
            Self::Boolean | Self::String | Self::Uuid => {}
        }
        if self.is_plain() {
            self.name().into()
        } else {
            json.into()
        }
    }
}

#[cfg(test)]
mod tests {
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
