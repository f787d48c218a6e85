//! The rows, and what the transaction under way has changed of them.
//!
//! A transaction changes rows in place and remembers what they were; it ends by `commit` (in `commit.rs`) or
//! by `rollback`. Between transactions nothing is remembered.

use std::collections::BTreeMap;
use std::sync::Arc;

use tandem_core::Uuid;

use super::condition::Condition;
use super::row::Row;
use super::schema::Schema;
use super::value::{Atom, Datum};

/// A row's table and identity.
pub(super) type Key = (&'static str, Uuid);

/// Every table of a switch.
#[derive(Clone, Debug)]
pub(super) struct Database {
    pub(super) schema: Arc<Schema>,
    pub(super) tables: BTreeMap<&'static str, Table>,
    /// What the rows were that this transaction touched; `None` for a row that it inserted.
    pub(super) before: BTreeMap<Key, Option<Arc<Row>>>,
}

/// The rows of one table, and what speeds up commit.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) rows: BTreeMap<Uuid, Arc<Row>>,
    /// How often each row is referred to; rows that never are do not occur.
    pub(super) references: BTreeMap<Uuid, usize>,
    /// For each index of the schema, the committed row that has these values.
    pub(super) indexes: Vec<BTreeMap<Vec<Datum>, Uuid>>,
}

impl Database {
    pub(super) fn new(schema: Arc<Schema>) -> Self {
        let tables = schema.tables.values().map(|table| {
            let indexes = vec![BTreeMap::new(); table.indexes.len()];
            let empty = Table {
                indexes,
                ..Table::default()
            };
            (table.name, empty)
        });
        Self {
            tables: tables.collect(),
            schema,
            before: BTreeMap::new(),
        }
    }

    /// The rows of a table, by uuid.
    pub(super) fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Row)> {
        let table = self.tables.get(table).into_iter();
        table.flat_map(|table| table.rows.iter().map(|(uuid, row)| (*uuid, &**row)))
    }

    pub(super) fn row(&self, (table, uuid): Key) -> Option<&Row> {
        self.tables.get(table)?.rows.get(&uuid).map(|row| &**row)
    }

    /// The rows that meet every clause.
    pub(super) fn query(&self, table: &str, condition: &Condition) -> Vec<Uuid> {
        let Some(rows) = self.tables.get(table).map(|table| &table.rows) else {
            return Vec::new();
        };
        if let Some(uuid) = condition.only_uuid() {
            let row = rows.get(&uuid).filter(|row| condition.all(row));
            return row.map(|_| uuid).into_iter().collect();
        }
        let matching = rows.iter().filter(|(_, row)| condition.all(row));
        matching.map(|(uuid, _)| *uuid).collect()
    }

    /// Whether a row of this transaction may have this identity.
    pub(super) fn may_insert(&self, key: Key) -> bool {
        self.row(key).is_none() && !self.before.contains_key(&key)
    }

    pub(super) fn insert(&mut self, (table, uuid): Key, mut row: Row) {
        row.set("_uuid", Datum::one(Atom::Uuid(uuid)));
        if let Some(table) = self.tables.get_mut(table) {
            table.rows.insert(uuid, Arc::new(row));
        }
        self.before.insert((table, uuid), None);
    }

    /// The row, to be changed; what it was is remembered.
    pub(super) fn modify(&mut self, key: Key) -> Option<&mut Row> {
        let row = self.tables.get_mut(key.0)?.rows.get_mut(&key.1)?;
        self.before.entry(key).or_insert_with(|| Some(Arc::clone(row)));
        Some(Arc::make_mut(row))
    }

    pub(super) fn delete(&mut self, key: Key) {
        let Some(row) = self.tables.get_mut(key.0).and_then(|table| table.rows.remove(&key.1)) else {
            return;
        };
        if self.before.get(&key) == Some(&None) {
            // Inserted by this very transaction: it never was.
            self.before.remove(&key);
        } else {
            self.before.entry(key).or_insert(Some(row));
        }
    }

    /// Undoes the transaction.
    pub(super) fn rollback(&mut self) {
        for ((table, uuid), row) in std::mem::take(&mut self.before) {
            let Some(table) = self.tables.get_mut(table) else {
                continue;
            };
            match row {
                Some(row) => table.rows.insert(uuid, row),
                None => table.rows.remove(&uuid),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::SchemaVersion;
    use super::*;

    #[test]
    fn a_rollback_restores_changed_deleted_and_inserted_rows() {
        let schema = Schema::of(SchemaVersion::V1_7_0);
        let mut database = Database::new(Arc::clone(&schema));
        let table = &schema.tables["Logical_Switch"];
        let key = |number| ("Logical_Switch", Uuid(number));
        for number in [1, 2] {
            database.insert(key(number), Row::new(table));
        }
        database.before.clear();
        let rows = |database: &Database| database.tables["Logical_Switch"].rows.clone();
        let before = rows(&database);
        let changed = Datum::one(Atom::String("changed".into()));
        database.modify(key(1)).expect("a row").set("name", changed);
        database.delete(key(1));
        database.delete(key(2));
        database.insert(key(3), Row::new(table));
        database.delete(key(3));
        database.insert(key(4), Row::new(table));
        assert_ne!(rows(&database), before);
        database.rollback();
        assert_eq!(rows(&database), before);
        assert!(database.before.is_empty());
    }
}
