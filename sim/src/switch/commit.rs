//! What a transaction must meet to be committed, all of it or nothing: references lead to rows, rows that are
//! referred to stay, rows that nothing keeps vanish, tables keep their size and indexes stay unique.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tandem_core::Uuid;

use super::database::{Database, Key};
use super::error::OpError;
use super::names::UuidSource;
use super::row::Row;
use super::schema::Base;
use super::value::Datum;

/// One row that a transaction inserted, modified or deleted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RowChange {
    /// Its table.
    pub table: &'static str,
    /// Its identity.
    pub uuid: Uuid,
    /// What it was; `None` if it was inserted.
    pub old: Option<Arc<Row>>,
    /// What it is; `None` if it was deleted, by an operation or because nothing refers to it any more.
    pub new: Option<Arc<Row>>,
}

impl Database {
    /// Ends the transaction: answers what changed, or why it was rolled back.
    pub(super) fn commit(&mut self, uuids: &mut UuidSource) -> Result<Vec<RowChange>, OpError> {
        self.drop_what_did_not_change();
        let checked = self.count_references().and_then(|mut references| {
            self.collect_garbage(&mut references);
            self.check_sizes()?;
            self.check_indexes(&references)?;
            Ok(references)
        });
        match checked {
            Ok(references) => Ok(self.conclude(&references, uuids)),
            Err(error) => {
                self.rollback();
                Err(error)
            }
        }
    }

    fn drop_what_did_not_change(&mut self) {
        let tables = &self.tables;
        self.before.retain(|(table, uuid), old| {
            let new = tables.get(table).and_then(|table| table.rows.get(uuid));
            old.as_ref() != new
        });
    }

    /// How often each row is referred to that the transaction touches or newly refers to.
    fn count_references(&self) -> Result<BTreeMap<Key, usize>, OpError> {
        let count = |key: Key| {
            let table = self.tables.get(key.0);
            table
                .and_then(|table| table.references.get(&key.1))
                .copied()
                .unwrap_or(0)
        };
        let mut counts: BTreeMap<Key, usize> = self.before.keys().map(|key| (*key, count(*key))).collect();
        // What is added goes first: a reference that only moves must not dip below zero.
        for key in self.before.keys() {
            let new = self.row(*key).into_iter();
            for (column, target) in new.flat_map(|row| self.strong_references(*key, row)) {
                if self.row(target).is_none() && !self.before.contains_key(&target) {
                    return Err(nonexistent(*key, column, target));
                }
                *counts.entry(target).or_insert_with(|| count(target)) += 1;
            }
        }
        for (key, old) in &self.before {
            for (_, target) in old.iter().flat_map(|row| self.strong_references(*key, row)) {
                let counted = counts.entry(target).or_insert_with(|| count(target));
                *counted = counted.saturating_sub(1);
            }
        }
        for key in self.before.keys() {
            let remaining = counts.get(key).copied().unwrap_or(0);
            if self.row(*key).is_none() && remaining > 0 {
                let (table, uuid) = key;
                let details = format!("cannot delete {table} row {uuid} because of {remaining} remaining reference(s)");
                return Err(OpError::new("referential integrity violation", details));
            }
        }
        Ok(counts)
    }

    /// The rows that a row keeps alive, each as often as it is named, and the columns that name them.
    fn strong_references(&self, (table, uuid): Key, row: &Row) -> Vec<(&'static str, Key)> {
        let mut found = Vec::new();
        let columns = self
            .schema
            .tables
            .get(table)
            .into_iter()
            .flat_map(|table| table.columns.values());
        let refers = |base: Base| matches!(base, Base::Ref(_));
        for column in columns.filter(|column| refers(column.ty.key) || column.ty.value.is_some_and(refers)) {
            let Some(datum) = row.datum(column.name) else {
                continue;
            };
            if let Base::Ref(target) = column.ty.key {
                let atoms = datum.atoms().filter_map(|atom| atom.as_uuid());
                found.extend(atoms.map(|atom| (column.name, (target, atom))));
            }
            if let Some(Base::Ref(target)) = column.ty.value {
                let atoms = datum.pairs().filter_map(|(_, atom)| atom.as_uuid());
                found.extend(atoms.map(|atom| (column.name, (target, atom))));
            }
        }
        // A row cannot keep itself alive.
        found.retain(|(_, target)| target.1 != uuid);
        found
    }

    /// Deletes rows that are referred to no more, and what only they referred to.
    fn collect_garbage(&mut self, references: &mut BTreeMap<Key, usize>) {
        let mut pending: Vec<Key> = references
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(key, _)| *key)
            .collect();
        while let Some(key) = pending.pop() {
            let is_root = self.schema.tables.get(key.0).is_none_or(|table| table.is_root);
            let Some(row) = self.row(key).filter(|_| !is_root) else {
                continue;
            };
            for (_, target) in self.strong_references(key, row) {
                let stored = self
                    .tables
                    .get(target.0)
                    .and_then(|table| table.references.get(&target.1));
                let count = references.entry(target).or_insert_with(|| stored.copied().unwrap_or(0));
                *count = count.saturating_sub(1);
                if *count == 0 {
                    pending.push(target);
                }
            }
            self.delete(key);
        }
    }

    fn check_sizes(&self) -> Result<(), OpError> {
        let touched: BTreeSet<_> = self.before.keys().map(|(table, _)| *table).collect();
        for name in touched {
            let rows = self.tables.get(name).map_or(0, |table| table.rows.len());
            let limit = self.schema.tables.get(name).and_then(|table| table.max_rows);
            if let Some(limit) = limit.filter(|limit| rows > *limit) {
                let details = format!(
                    "transaction causes \"{name}\" table to contain {rows} rows, greater than the schema-defined limit of {limit} row(s)"
                );
                return Err(OpError::new("constraint violation", details));
            }
        }
        Ok(())
    }

    /// The references are those of every row that the transaction touches.
    fn check_indexes(&self, references: &BTreeMap<Key, usize>) -> Result<(), OpError> {
        let mut taken: BTreeMap<(&str, usize, Vec<Datum>), Key> = BTreeMap::new();
        for key in references.keys() {
            let (Some(row), Some(schema)) = (self.row(*key), self.schema.tables.get(key.0)) else {
                continue;
            };
            for (number, columns) in schema.indexes.iter().enumerate() {
                let values = row.project(columns);
                let committed = self
                    .tables
                    .get(key.0)
                    .and_then(|table| table.indexes.get(number)?.get(&values));
                let committed = committed
                    .map(|uuid| (key.0, *uuid))
                    .filter(|key| !references.contains_key(key));
                if let Some(other) = taken.insert((key.0, number, values), *key).or(committed) {
                    return Err(self.duplicate(columns, *key, other));
                }
            }
        }
        Ok(())
    }

    fn duplicate(&self, columns: &[&'static str], first: Key, second: Key) -> OpError {
        let (names, values): (Vec<_>, Vec<_>) = columns
            .iter()
            .filter_map(|name| {
                let ty = &self.schema.tables.get(first.0)?.columns.get(name)?.ty;
                Some((format!("\"{name}\""), self.row(first)?.datum(name)?.to_text(ty)))
            })
            .unzip();
        let noun = if columns.len() == 1 { "column" } else { "columns" };
        let details = format!(
            "Transaction causes multiple rows in \"{}\" table to have identical values ({}) for index on {noun} {}.  First row, with UUID {}, {}  Second row, with UUID {}, {}",
            first.0,
            english_list(&values),
            english_list(&names),
            first.1,
            self.history(first, columns),
            second.1,
            self.history(second, columns),
        );
        OpError::new("constraint violation", details)
    }

    /// How a row came to have the values that it has.
    fn history(&self, key: Key, columns: &[&'static str]) -> String {
        match (self.before.get(&key), self.row(key)) {
            (Some(None), _) => "was inserted by this transaction.".into(),
            (Some(Some(old)), Some(new)) if old.agrees(new, columns.iter()) => {
                "existed in the database before this transaction, which modified some of the row's columns but not any columns in this index.".into()
            }
            (Some(Some(old)), _) => {
                let schema = self.schema.tables.get(key.0);
                let values: Vec<_> = columns
                    .iter()
                    .filter_map(|name| Some(old.datum(name)?.to_text(&schema?.columns.get(name)?.ty)))
                    .collect();
                format!("had the following index values before the transaction: {}.", english_list(&values))
            }
            (None, _) => {
                "existed in the database before this transaction and was not modified by the transaction.".into()
            }
        }
    }

    /// Makes the changes last and answers them.
    fn conclude(&mut self, references: &BTreeMap<Key, usize>, uuids: &mut UuidSource) -> Vec<RowChange> {
        let schema = Arc::clone(&self.schema);
        for ((name, uuid), count) in references {
            let Some(table) = self.tables.get_mut(name) else {
                continue;
            };
            if *count > 0 && table.rows.contains_key(uuid) {
                table.references.insert(*uuid, *count);
            } else {
                table.references.remove(uuid);
            }
        }
        let mut changes = Vec::new();
        for ((name, uuid), old) in std::mem::take(&mut self.before) {
            let (Some(table), Some(schema)) = (self.tables.get_mut(name), schema.tables.get(name)) else {
                continue;
            };
            if old.is_some()
                && let Some(row) = table.rows.get_mut(&uuid)
            {
                Arc::make_mut(row).set_version(uuids.next());
            }
            let new = table.rows.get(&uuid).cloned();
            for (columns, index) in schema.indexes.iter().zip(&mut table.indexes) {
                // Another row of this transaction may have taken the old values already.
                if let Some(values) = old.as_ref().map(|row| row.project(columns))
                    && index.get(&values) == Some(&uuid)
                {
                    index.remove(&values);
                }
                if let Some(row) = &new {
                    index.insert(row.project(columns), uuid);
                }
            }
            changes.push(RowChange {
                table: name,
                uuid,
                old,
                new,
            });
        }
        changes
    }
}

fn nonexistent(key: Key, column: &str, target: Key) -> OpError {
    let details = format!(
        "Table {} column {column} row {} references nonexistent row {} in table {}.",
        key.0, key.1, target.1, target.0
    );
    OpError::new("referential integrity violation", details)
}

/// `a`, `a and b`, `a, b, and c`.
fn english_list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [one, other] => format!("{one} and {other}"),
        [head @ .., last] => format!("{}, and {last}", head.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, insert_mac};
    use super::super::{Row, SchemaVersion};
    use serde_json::{Value, json};

    fn bench() -> Bench {
        let mut bench = Bench::new(SchemaVersion::V1_7_0);
        bench.connect(1);
        bench
    }

    fn count(bench: &Bench, table: &str) -> usize {
        bench.switch.rows(table).count()
    }

    #[test]
    fn a_duplicate_in_an_index_rolls_everything_back_and_names_both_rows() {
        let mut bench = bench();
        let insert = |name| json!({"op": "insert", "table": "Logical_Switch", "row": {"name": name}});
        bench.transact(1, json!([insert("blue")]));
        let results = bench.transact(1, json!([insert("red"), insert("blue")]));
        assert_eq!(results.as_array().map(Vec::len), Some(3), "{results}");
        assert_eq!(results[2]["error"], "constraint violation");
        let details = results[2]["details"].as_str().expect("details");
        assert!(details.starts_with("Transaction causes multiple rows in \"Logical_Switch\" table to have identical values (blue) for index on column \"name\"."), "{details}");
        assert!(details.contains("was inserted by this transaction."), "{details}");
        assert!(
            details.contains("existed in the database before this transaction"),
            "{details}"
        );
        assert_eq!(count(&bench, "Logical_Switch"), 1);
    }

    #[test]
    fn two_rows_may_swap_the_values_of_an_index() {
        let mut bench = bench();
        let insert =
            |name| json!({"op": "insert", "table": "Logical_Switch", "row": {"name": name, "description": name}});
        bench.transact(1, json!([insert("blue"), insert("red")]));
        let rename = |was, name| json!({"op": "update", "table": "Logical_Switch", "where": [["description", "==", was]], "row": {"name": name}});
        let results = bench.transact(1, json!([rename("blue", "red"), rename("red", "blue")]));
        assert_eq!(results, json!([{"count": 1}, {"count": 1}]));
        let again = bench.transact(1, json!([insert("blue")]));
        assert_eq!(again[1]["error"], "constraint violation");
    }

    #[test]
    fn a_row_that_nothing_keeps_vanishes_at_commit() {
        let mut bench = bench();
        let orphan = json!([{"op": "insert", "table": "Physical_Locator", "row": {"encapsulation_type": "vxlan_over_ipv4", "dst_ip": "10.0.0.9"}}]);
        assert!(bench.transact(1, orphan)[0]["uuid"].is_array());
        assert_eq!(count(&bench, "Physical_Locator"), 0);
        assert!(bench.switch.commits().is_empty());
    }

    #[test]
    fn moving_a_mac_in_place_takes_the_old_locator_away_and_deleting_it_takes_the_new() {
        let mut bench = bench();
        bench.transact(1, insert_mac("blue", "00:01", "10.0.0.1"));
        let locator = json!({"op": "insert", "table": "Physical_Locator", "uuid-name": "l", "row": {"encapsulation_type": "vxlan_over_ipv4", "dst_ip": "10.0.0.2"}});
        let update =
            json!({"op": "update", "table": "Ucast_Macs_Remote", "where": [], "row": {"locator": ["named-uuid", "l"]}});
        bench.transact(1, json!([locator, update]));
        let ips: Vec<_> = bench
            .switch
            .rows("Physical_Locator")
            .filter_map(|(_, row)| row.text("dst_ip"))
            .collect();
        assert_eq!(ips, ["10.0.0.2"]);
        bench.transact(1, json!([{"op": "delete", "table": "Ucast_Macs_Remote", "where": []}]));
        assert_eq!(count(&bench, "Physical_Locator"), 0);
    }

    #[test]
    fn a_row_that_is_referred_to_stays_unless_the_references_go_with_it() {
        let mut bench = bench();
        bench.transact(1, insert_mac("blue", "00:01", "10.0.0.1"));
        let delete = |table| json!({"op": "delete", "table": table, "where": []});
        let refused = bench.transact(1, json!([delete("Logical_Switch")]));
        assert_eq!(refused[1]["error"], "referential integrity violation");
        let details = refused[1]["details"].as_str().expect("details");
        assert!(details.ends_with("because of 1 remaining reference(s)"), "{details}");
        let both = bench.transact(1, json!([delete("Logical_Switch"), delete("Ucast_Macs_Remote")]));
        assert_eq!(both, json!([{"count": 1}, {"count": 1}]));
        assert_eq!(count(&bench, "Logical_Switch") + count(&bench, "Physical_Locator"), 0);
    }

    #[test]
    fn a_reference_to_a_locator_that_is_gone_is_refused() {
        let mut bench = bench();
        bench.transact(1, insert_mac("blue", "00:01", "10.0.0.1"));
        let locator = bench
            .switch
            .rows("Physical_Locator")
            .map(|(uuid, _)| uuid)
            .next()
            .expect("a locator");
        let network = bench
            .switch
            .rows("Logical_Switch")
            .map(|(uuid, _)| uuid)
            .next()
            .expect("a network");
        bench.transact(1, json!([{"op": "delete", "table": "Ucast_Macs_Remote", "where": []}]));
        let row = json!({"MAC": "00:02", "locator": ["uuid", locator], "logical_switch": ["uuid", network]});
        let refused = bench.transact(1, json!([{"op": "insert", "table": "Ucast_Macs_Remote", "row": row}]));
        assert_eq!(refused[1]["error"], "referential integrity violation");
        assert_eq!(count(&bench, "Ucast_Macs_Remote"), 0);
    }

    #[test]
    fn there_is_one_global_row_at_most() {
        let mut bench = bench();
        let insert = json!({"op": "insert", "table": "Global", "row": {}});
        let refused = bench.transact(1, json!([insert, insert]));
        assert_eq!(refused[2]["error"], "constraint violation");
        assert_eq!(count(&bench, "Global"), 0);
    }

    #[test]
    fn only_a_row_that_changed_gets_a_new_version() {
        let mut bench = bench();
        let insert = |name| json!({"op": "insert", "table": "Logical_Switch", "row": {"name": name}});
        bench.transact(1, json!([insert("blue"), insert("red")]));
        let versions = |bench: &Bench| -> Vec<Option<tandem_core::Uuid>> {
            bench
                .switch
                .rows("Logical_Switch")
                .map(|(_, row): (_, &Row)| row.reference("_version"))
                .collect()
        };
        let before = versions(&bench);
        let update: Value = json!([{"op": "update", "table": "Logical_Switch", "where": [], "row": {"name": "red"}}]);
        assert_eq!(bench.transact(1, update)[1]["error"], "constraint violation");
        assert_eq!(versions(&bench), before);
        let update = json!([{"op": "update", "table": "Logical_Switch", "where": [["name", "!=", "x"]], "row": {"description": ""}},
            {"op": "update", "table": "Logical_Switch", "where": [["name", "==", "red"]], "row": {"description": "x"}}]);
        bench.transact(1, update);
        let changed = before
            .iter()
            .zip(versions(&bench))
            .filter(|(was, is)| *was != is)
            .count();
        assert_eq!(changed, 1);
    }
}
