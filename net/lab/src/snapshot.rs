//! Every row of a database at one moment, to see later what was rewritten.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A row, by its columns; with `_uuid` and `_version`.
pub type Row = Map<String, Value>;

/// Every row of every table, by table and `_uuid`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    rows: BTreeMap<(String, String), Row>,
}

/// A row that two snapshots do not agree about.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// The row as it was; `None` if it is new.
    pub before: Option<Row>,
    /// The row as it is; `None` if it is gone.
    pub after: Option<Row>,
}

impl Snapshot {
    pub(crate) fn add(&mut self, table: &str, row: Row) {
        let uuid = row.get("_uuid").and_then(|uuid| uuid[1].as_str()).unwrap_or_default();
        self.rows.insert((table.into(), uuid.into()), row);
    }

    /// The rows of one table.
    pub fn table(&self, table: &str) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(move |((name, _), _)| name == table)
            .map(|(_, row)| row)
    }

    /// What was inserted, deleted or written to since `before`, by table and row.
    ///
    /// A row that was written with the values that it had counts too: its `_version` changes. The server itself
    /// writes to `Manager` rows when a manager comes or goes.
    pub fn since(&self, before: &Self) -> Vec<Difference> {
        let difference = |key: &(String, String)| {
            let (before, after) = (before.rows.get(key), self.rows.get(key));
            (before != after).then(|| Difference {
                table: key.0.clone(),
                before: before.cloned(),
                after: after.cloned(),
            })
        };
        let gone = before.rows.keys().filter(|key| !self.rows.contains_key(*key));
        self.rows.keys().chain(gone).filter_map(difference).collect()
    }
}
