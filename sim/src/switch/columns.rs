//! What a schema is made of: tables, columns and their types, each with the versions that have it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

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
    pub(super) fn labels(self) -> (&'static str, &'static str) {
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
    pub(super) fn at(mut self, version: SchemaVersion) -> Self {
        self.columns.retain(|_, column| column.exists_at(version));
        for column in self.columns.values_mut() {
            column.ephemeral = column.ephemeral_since.is_some_and(|since| since <= version);
        }
        for index in &mut self.indexes {
            index.retain(|column| self.columns.contains_key(column));
        }
        self
    }

    pub(super) fn to_json(&self, all_roots: bool) -> Value {
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
    pub(super) fn exists_at(&self, version: SchemaVersion) -> bool {
        self.since <= version && self.until.is_none_or(|until| version < until)
    }

    pub(super) fn to_json(&self) -> Value {
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

    pub(super) fn to_json(&self) -> Value {
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

    pub(super) fn to_json(self) -> Value {
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
