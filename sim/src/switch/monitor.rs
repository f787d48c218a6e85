//! `monitor` with `update` (RFC 7047 sections 4.1.5 and 4.1.6), `monitor_cond` with `update2` and
//! `monitor_cond_since` with `update3` (Open vSwitch, ovsdb-server(7)).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tandem_core::Uuid;

use super::commit::RowChange;
use super::condition::Condition;
use super::database::{Database, Row};
use super::error::OpError;
use super::members::Members;
use super::schema::{Column, Schema, TableSchema};

/// How changes are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flavour {
    Update,
    Update2,
    Update3,
}

/// One monitor of one session.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    /// What the client calls it.
    pub(super) id: Value,
    flavour: Flavour,
    tables: BTreeMap<&'static str, Watch>,
}

/// What of a table is watched.
#[derive(Clone, Debug, Default)]
struct Watch {
    columns: Vec<(Column, Select)>,
    select: Select,
    condition: Condition,
}

/// Which kinds of change are told.
#[derive(Clone, Copy, Debug, Default)]
struct Select(u8);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Initial = 1,
    Insert = 2,
    Delete = 4,
    Modify = 8,
}

impl Select {
    const ALL: Self = Self(15);

    fn has(self, kind: Kind) -> bool {
        self.0 & kind as u8 != 0
    }
}

impl Monitor {
    /// Reads `<monitor-requests>`; one unknown table or column fails all of it.
    pub(super) fn parse(schema: &Schema, id: Value, requests: &Value, flavour: Flavour) -> Result<Self, OpError> {
        let requests = requests
            .as_object()
            .ok_or_else(|| OpError::syntax(requests, "monitor-requests must be object"))?;
        let mut tables = BTreeMap::new();
        for (name, request) in requests {
            let unknown = || OpError::new("syntax error", format!("no table named {name}"));
            let table = schema.tables.get(name.as_str()).ok_or_else(unknown)?;
            let mut watch = Watch::default();
            match request.as_array() {
                Some(requests) => requests
                    .iter()
                    .try_for_each(|request| watch.add(table, request, flavour))?,
                None => watch.add(table, request, flavour)?,
            }
            tables.insert(table.name, watch);
        }
        Ok(Self { id, flavour, tables })
    }

    /// The rows that are there: the result of the request.
    pub(super) fn initial(&self, database: &Database) -> Value {
        let mut updates = Map::new();
        for (name, watch) in &self.tables {
            let rows: Map<_, _> = database
                .rows(name)
                .filter_map(|(uuid, row)| {
                    let update = self.row_update(watch, None, Some(row), true)?;
                    Some((uuid.to_string(), update))
                })
                .collect();
            if !rows.is_empty() {
                updates.insert((*name).into(), rows.into());
            }
        }
        match self.flavour {
            Flavour::Update | Flavour::Update2 => updates.into(),
            // A standalone database keeps no history: never found, no transaction id.
            Flavour::Update3 => json!([false, Uuid(0), updates]),
        }
    }

    /// The notification of a transaction; `None` if it changed nothing that is watched.
    pub(super) fn notification(&self, changes: &[RowChange]) -> Option<Value> {
        let mut updates: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for change in changes {
            let update = self
                .tables
                .get(change.table)
                .and_then(|watch| self.row_update(watch, change.old.as_ref(), change.new.as_ref(), false));
            if let Some(update) = update {
                updates
                    .entry(change.table)
                    .or_default()
                    .insert(change.uuid.to_string(), update);
            }
        }
        if updates.is_empty() {
            return None;
        }
        let (method, params) = match self.flavour {
            Flavour::Update => ("update", json!([self.id, updates])),
            Flavour::Update2 => ("update2", json!([self.id, updates])),
            Flavour::Update3 => ("update3", json!([self.id, Uuid(0), updates])),
        };
        Some(json!({"id": null, "method": method, "params": params}))
    }

    fn row_update(&self, watch: &Watch, old: Option<&Row>, new: Option<&Row>, initial: bool) -> Option<Value> {
        let kind = watch.kind(old, new, initial).filter(|kind| watch.select.has(*kind))?;
        if let (Kind::Modify, Some(old), Some(new)) = (kind, old, new) {
            let mut deciding = watch.deciding_columns();
            deciding.find(|name| old.datum(name) != new.datum(name))?;
        }
        Some(match self.flavour {
            Flavour::Update => watch.update(kind, old, new),
            Flavour::Update2 | Flavour::Update3 => watch.update2(kind, old, new),
        })
    }
}

impl Watch {
    /// Adds one `<monitor-request>`.
    fn add(&mut self, table: &TableSchema, request: &Value, flavour: Flavour) -> Result<(), OpError> {
        let mut members = Members::new(request, format!("table {}", table.name));
        let condition = if flavour == Flavour::Update {
            None
        } else {
            members.optional("where", Value::as_array)
        };
        let columns = members.optional("columns", |json| json.as_array().map(|_| json));
        let select = members.optional("select", |json| json.as_object().map(|_| json));
        members.finish()?;
        let select = select.map_or(Ok(Select::ALL), |json| read_select(table, json))?;
        self.select.0 |= select.0;
        match columns {
            None => {
                for column in table.columns.values().filter(|column| column.name != "_uuid") {
                    self.watch(column, select, &Value::Null)?;
                }
            }
            Some(json) => {
                for name in json.as_array().into_iter().flatten() {
                    let name = name
                        .as_str()
                        .ok_or_else(|| OpError::syntax(json, "array of column names expected"))?;
                    let column = table
                        .columns
                        .get(name)
                        .ok_or_else(|| OpError::syntax(json, format!("{name} is not a valid column name")))?;
                    self.watch(column, select, json)?;
                }
            }
        }
        if let Some(clauses) = condition {
            self.condition = Condition::parse(table, clauses, None)?;
        }
        Ok(())
    }

    fn watch(&mut self, column: &Column, select: Select, json: &Value) -> Result<(), OpError> {
        if self.columns.iter().any(|(known, _)| known.name == column.name) {
            let details = format!("column {} mentioned more than once", column.name);
            return Err(if json.is_null() {
                OpError::new("syntax error", details)
            } else {
                OpError::syntax(json, details)
            });
        }
        self.columns.push((column.clone(), select));
        Ok(())
    }

    /// The columns whose change makes a row worth telling, the condition's included.
    fn deciding_columns(&self) -> impl Iterator<Item = &'static str> {
        let watched = self.columns.iter().map(|(column, _)| column.name);
        watched.chain(self.condition.columns())
    }

    /// What happened to a row in the eyes of someone who sees only rows that meet the condition.
    fn kind(&self, old: Option<&Row>, new: Option<&Row>, initial: bool) -> Option<Kind> {
        let seen = |row: Option<&Row>| row.is_some_and(|row| self.condition.any(row));
        match (seen(old), seen(new)) {
            (false, false) => None,
            (false, true) if initial => Some(Kind::Initial),
            (false, true) => Some(Kind::Insert),
            (true, false) => Some(Kind::Delete),
            (true, true) => Some(Kind::Modify),
        }
    }

    fn columns(&self, kind: Kind) -> impl Iterator<Item = &Column> {
        let wanted = self.columns.iter().filter(move |(_, select)| select.has(kind));
        wanted.map(|(column, _)| column)
    }

    /// `<row-update>`: `old` has what changed or is gone, `new` has everything.
    fn update(&self, kind: Kind, old: Option<&Row>, new: Option<&Row>) -> Value {
        let mut update = Map::new();
        if let (Kind::Delete | Kind::Modify, Some(old)) = (kind, old) {
            let changed = |column: &&Column| {
                kind == Kind::Delete || new.is_none_or(|new| new.datum(column.name) != old.datum(column.name))
            };
            update.insert("old".into(), columns_of(old, self.columns(kind).filter(changed)));
        }
        if let (Kind::Initial | Kind::Insert | Kind::Modify, Some(new)) = (kind, new) {
            update.insert("new".into(), columns_of(new, self.columns(kind)));
        }
        update.into()
    }

    /// `<row-update2>`: defaults are left out, and a modification is told by its differences.
    fn update2(&self, kind: Kind, old: Option<&Row>, new: Option<&Row>) -> Value {
        let insert = |word: &str| {
            let is_telling = |row: &Row, column: &&Column| {
                row.datum(column.name)
                    .is_some_and(|datum| *datum != super::value::Datum::default_of(&column.ty))
            };
            let columns = new.map(|row| columns_of(row, self.columns(kind).filter(|column| is_telling(row, column))));
            json!({word: columns})
        };
        match kind {
            Kind::Initial => insert("initial"),
            Kind::Insert => insert("insert"),
            Kind::Delete => json!({"delete": null}),
            Kind::Modify => {
                let differences: Map<_, _> = self
                    .columns(kind)
                    .filter_map(|column| {
                        let (old, new) = (old?.datum(column.name)?, new?.datum(column.name)?);
                        let difference = old.difference(new, &column.ty).to_json(&column.ty);
                        (old != new).then(|| (column.name.to_owned(), difference))
                    })
                    .collect();
                json!({"modify": differences})
            }
        }
    }
}

fn columns_of<'a>(row: &Row, columns: impl Iterator<Item = &'a Column>) -> Value {
    let members: Map<_, _> = columns
        .filter_map(|column| Some((column.name.into(), row.datum(column.name)?.to_json(&column.ty))))
        .collect();
    members.into()
}

fn read_select(table: &TableSchema, json: &Value) -> Result<Select, OpError> {
    let mut members = Members::new(json, format!("table {} select", table.name));
    let mut select = Select::default();
    for (name, kind) in [
        ("initial", Kind::Initial),
        ("insert", Kind::Insert),
        ("delete", Kind::Delete),
        ("modify", Kind::Modify),
    ] {
        if members.optional(name, Value::as_bool).unwrap_or(true) {
            select.0 |= kind as u8;
        }
    }
    members.finish()?;
    Ok(select)
}

#[cfg(test)]
mod tests {
    use super::super::SchemaVersion;
    use super::super::testing::Bench;
    use super::*;

    fn bench() -> Bench {
        let mut bench = Bench::new(SchemaVersion::V1_7_0);
        bench.connect(1);
        bench.connect(2);
        bench
    }

    fn monitor(bench: &mut Bench, method: &str, request: Value) -> Value {
        let mut requests = json!({});
        requests["Logical_Switch"] = request;
        bench.ask(1, method, json!(["hardware_vtep", "m", requests]))
    }

    fn insert(bench: &mut Bench, conn: u64, row: Value) -> String {
        let mut insert = json!({"op": "insert", "table": "Logical_Switch"});
        insert["row"] = row;
        let results = bench.transact(conn, json!([insert]));
        results[0]["uuid"][1].as_str().expect("a uuid").to_owned()
    }

    #[test]
    fn an_empty_table_gives_an_empty_object() {
        assert_eq!(monitor(&mut bench(), "monitor", json!({}))["result"], json!({}));
    }

    #[test]
    fn an_update_comes_before_the_reply_to_the_transaction() {
        let mut bench = bench();
        monitor(&mut bench, "monitor", json!({"columns": ["name"]}));
        let insert = json!({"op": "insert", "table": "Logical_Switch", "row": {"name": "blue"}});
        bench.send(
            1,
            &json!({"id": 7, "method": "transact", "params": ["hardware_vtep", insert]}),
        );
        let [update, reply] = bench.arrived(1).try_into().expect("two messages");
        let uuid = reply["result"][0]["uuid"][1].as_str().expect("a uuid");
        let rows = json!({"Logical_Switch": {uuid: {"new": {"name": "blue"}}}});
        assert_eq!(update, json!({"id": null, "method": "update", "params": ["m", rows]}));
    }

    #[test]
    fn an_update_tells_old_values_of_what_changed_and_new_values_of_all() {
        let mut bench = bench();
        let uuid = insert(&mut bench, 2, json!({"name": "blue", "tunnel_key": 5}));
        monitor(&mut bench, "monitor", json!({"columns": ["name", "tunnel_key"]}));
        bench.transact(
            2,
            json!([{"op": "update", "table": "Logical_Switch", "where": [], "row": {"tunnel_key": ["set", []]}}]),
        );
        bench.transact(
            2,
            json!([{"op": "update", "table": "Logical_Switch", "where": [], "row": {"description": "unseen"}}]),
        );
        bench.transact(2, json!([{"op": "delete", "table": "Logical_Switch", "where": []}]));
        let updates = bench
            .arrived(1)
            .into_iter()
            .map(|update| update["params"][1]["Logical_Switch"][&uuid].clone());
        assert_eq!(
            updates.collect::<Vec<_>>(),
            [
                json!({"old": {"tunnel_key": 5}, "new": {"name": "blue", "tunnel_key": ["set", []]}}),
                json!({"old": {"name": "blue", "tunnel_key": ["set", []]}}),
            ]
        );
    }

    #[test]
    fn an_update2_omits_defaults_and_tells_differences() {
        let mut bench = bench();
        let columns = json!({"columns": ["name", "description", "other_config"], "where": [true]});
        let uuid = insert(
            &mut bench,
            2,
            json!({"name": "blue", "other_config": ["map", [["a", "1"], ["b", "2"]]]}),
        );
        let initial = monitor(&mut bench, "monitor_cond", columns);
        let row = json!({"name": "blue", "other_config": ["map", [["a", "1"], ["b", "2"]]]});
        assert_eq!(initial["result"]["Logical_Switch"][&uuid], json!({"initial": row}));
        let mutations = json!([
            ["other_config", "delete", ["set", ["a"]]],
            ["other_config", "insert", ["map", [["c", "3"]]]]
        ]);
        bench.transact(
            2,
            json!([{"op": "mutate", "table": "Logical_Switch", "where": [], "mutations": mutations}]),
        );
        bench.transact(2, json!([{"op": "delete", "table": "Logical_Switch", "where": []}]));
        let updates = bench
            .arrived(1)
            .into_iter()
            .map(|update| update["params"][1]["Logical_Switch"][&uuid].clone());
        assert_eq!(
            updates.collect::<Vec<_>>(),
            [
                json!({"modify": {"other_config": ["map", [["a", "1"], ["c", "3"]]]}}),
                json!({"delete": null}),
            ]
        );
    }

    #[test]
    fn a_row_that_comes_to_meet_the_condition_is_inserted_and_one_that_ceases_to_is_deleted() {
        let mut bench = bench();
        let uuid = insert(&mut bench, 2, json!({"name": "blue"}));
        let request = json!({"columns": ["name"], "where": [["tunnel_key", "==", 5], ["tunnel_key", "==", 6]]});
        assert_eq!(monitor(&mut bench, "monitor_cond", request)["result"], json!({}));
        for key in [5, 6, 7] {
            bench.transact(
                2,
                json!([{"op": "update", "table": "Logical_Switch", "where": [], "row": {"tunnel_key": key}}]),
            );
        }
        let updates = bench
            .arrived(1)
            .into_iter()
            .map(|update| update["params"][1]["Logical_Switch"][&uuid].clone());
        // The change from 5 to 6 is told although no column that is watched changed: so does the real server.
        assert_eq!(
            updates.collect::<Vec<_>>(),
            [
                json!({"insert": {"name": "blue"}}),
                json!({"modify": {}}),
                json!({"delete": null})
            ]
        );
    }

    #[test]
    fn without_inserts_a_later_change_is_told_of_a_row_never_seen() {
        let mut bench = bench();
        let select = json!({"initial": false, "insert": false});
        monitor(
            &mut bench,
            "monitor_cond",
            json!({"columns": ["name"], "select": select}),
        );
        let uuid = insert(&mut bench, 2, json!({"name": "blue"}));
        bench.transact(
            2,
            json!([{"op": "update", "table": "Logical_Switch", "where": [], "row": {"name": "red"}}]),
        );
        let [update] = bench.arrived(1).try_into().expect("one update");
        assert_eq!(
            update["params"][1]["Logical_Switch"][&uuid],
            json!({"modify": {"name": "red"}})
        );
    }

    #[test]
    fn one_unknown_column_or_table_fails_the_whole_monitor() {
        let mut bench = bench();
        let error = monitor(&mut bench, "monitor", json!({"columns": ["name", "colour"]}));
        assert_eq!(error.get("result"), None);
        assert_eq!(error["error"]["details"], "colour is not a valid column name");
        let requests = json!({"Logical_Switch": {}, "Colours": {}});
        let error = bench.ask(1, "monitor", json!(["hardware_vtep", "m", requests]));
        assert_eq!(error["error"]["details"], "no table named Colours");
        // Neither left anything behind that would make the name taken.
        assert_eq!(monitor(&mut bench, "monitor", json!({}))["result"], json!({}));
        let taken = monitor(&mut bench, "monitor", json!({}));
        assert_eq!(taken["error"]["details"], "duplicate monitor ID");
    }
}
