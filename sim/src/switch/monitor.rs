//! `monitor` with `update` (RFC 7047 sections 4.1.5 and 4.1.6), `monitor_cond` with `update2` and
//! `monitor_cond_since` with `update3` (Open vSwitch, ovsdb-server(7)).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};
use tandem_core::Uuid;

use super::commit::RowChange;
use super::database::{Database, Key};
use super::error::OpError;
use super::row::Row;
use super::schema::Schema;
use super::server::Served;
pub(super) use super::watch::Flavour;
use super::watch::Watch;

/// One monitor of one session.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    /// What the client calls it.
    pub(super) id: Value,
    /// Which database it watches.
    pub(super) served: Served,
    flavour: Flavour,
    tables: BTreeMap<&'static str, Watch>,
    /// How rows changed since the last update to the client.
    behind: BTreeMap<Key, RowChange>,
}

impl Monitor {
    /// Reads `<monitor-requests>`; one unknown table or column fails all of it.
    pub(super) fn parse(
        schema: &Schema,
        id: Value,
        served: Served,
        requests: &Value,
        flavour: Flavour,
    ) -> Result<Self, OpError> {
        let requests = requests
            .as_object()
            .ok_or_else(|| OpError::syntax(requests, "monitor-requests must be object"))?;
        let mut tables = BTreeMap::new();
        for (name, request) in requests {
            let unknown = || OpError::new("syntax error", format!("no table named {name}"));
            let table = schema.tables.get(name.as_str()).ok_or_else(unknown)?;
            tables.insert(table.name, Watch::read(table, request, flavour)?);
        }
        Ok(Self {
            id,
            served,
            flavour,
            tables,
            behind: BTreeMap::new(),
        })
    }

    /// The rows that are there: the result of the request, and how many they are.
    pub(super) fn initial(&self, database: &Database) -> (Value, usize) {
        let mut updates = Map::new();
        let mut count = 0;
        for (name, watch) in &self.tables {
            let rows: Map<_, _> = database
                .rows(name)
                .filter_map(|(uuid, row)| {
                    let update = watch.row_update(self.flavour, None, Some(row), true)?;
                    Some((uuid.to_string(), update))
                })
                .collect();
            count += rows.len();
            if !rows.is_empty() {
                updates.insert((*name).into(), rows.into());
            }
        }
        let updates = match self.flavour {
            Flavour::Update | Flavour::Update2 => updates.into(),
            // A standalone database keeps no history: never found, no transaction id.
            Flavour::Update3 => json!([false, Uuid(0), Value::from(updates)]),
        };
        (updates, count)
    }

    /// The notification of changes; `None` if they changed nothing that is watched.
    pub(super) fn notification<'a>(&self, changes: impl IntoIterator<Item = &'a RowChange>) -> Option<Vec<u8>> {
        let changes = changes.into_iter();
        self.compose(changes.map(|change| {
            (
                (change.table, change.uuid),
                change.old.as_deref(),
                change.new.as_deref(),
            )
        }))
    }

    /// Merges changes into one, for a later update.
    pub(super) fn merge(&mut self, changes: &[RowChange]) {
        for change in changes.iter().filter(|change| self.tables.contains_key(change.table)) {
            let key = (change.table, change.uuid);
            let merged = self.behind.entry(key).or_insert_with(|| change.clone());
            merged.new.clone_from(&change.new);
            if merged.old.is_none() && merged.new.is_none() {
                self.behind.remove(&key);
            }
        }
    }

    /// Whether an update is due.
    pub(super) fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// The notification of everything that was merged; `None` if all of it changed back.
    pub(super) fn catch_up(&mut self) -> Option<Vec<u8>> {
        let changes = std::mem::take(&mut self.behind);
        self.notification(changes.values())
    }

    /// Gives the monitor other conditions and another name (`monitor_cond_change`). Answers the notification of the
    /// rows that come or go thereby.
    pub(super) fn change_condition(
        &mut self,
        database: &Database,
        id: &Value,
        requests: &Value,
    ) -> Result<Option<Vec<u8>>, OpError> {
        let wrong = |details: String| OpError::new("syntax error", details);
        let requests = requests
            .as_object()
            .ok_or_else(|| wrong("monitor-cond-change-requests must be object".into()))?;
        for (name, request) in requests {
            let table = database.schema.tables.get(name.as_str());
            let table = table.ok_or_else(|| wrong(format!("no table named {name}")))?;
            let watch = self.tables.get_mut(name.as_str());
            let watch = watch.ok_or_else(|| wrong(format!("no table named {name} in monitor session")))?;
            let requests = request.as_array();
            let requests = requests.ok_or_else(|| wrong(format!("table {name} no monitor-cond-change JSON array")))?;
            for request in requests {
                watch.ask(table, request, self.flavour)?;
            }
        }
        self.id = id.clone();
        let asked: Vec<_> = self
            .tables
            .iter()
            .filter(|(_, watch)| watch.is_asked())
            .map(|(name, _)| *name)
            .collect();
        let rows = asked.iter().flat_map(|name| {
            database
                .rows(name)
                .map(|(uuid, row)| ((*name, uuid), Some(row), Some(row)))
        });
        let notification = self.compose(rows);
        self.tables.values_mut().for_each(Watch::commit);
        Ok(notification)
    }

    /// The notification of changes: what each row was and is.
    fn compose<'a>(&self, changes: impl Iterator<Item = (Key, Option<&'a Row>, Option<&'a Row>)>) -> Option<Vec<u8>> {
        let mut tables: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for ((table, uuid), old, new) in changes {
            let watch = self.tables.get(table);
            if let Some(update) = watch.and_then(|watch| watch.row_update(self.flavour, old, new, false)) {
                tables.entry(table).or_default().insert(uuid.to_string(), update);
            }
        }
        if tables.is_empty() {
            return None;
        }
        let updates: Map<_, _> = tables
            .into_iter()
            .map(|(name, rows)| (name.into(), rows.into()))
            .collect();
        let (id, updates) = (self.id.clone(), Value::from(updates));
        let (method, params) = match self.flavour {
            Flavour::Update => ("update", vec![id, updates]),
            Flavour::Update2 => ("update2", vec![id, updates]),
            Flavour::Update3 => ("update3", vec![id, json!(Uuid(0)), updates]),
        };
        let notification = Notification { id: (), method, params };
        serde_json::to_vec(&notification).ok()
    }
}

/// A JSON-RPC notification, whose id is `null`.
#[derive(Serialize)]
struct Notification {
    id: (),
    method: &'static str,
    params: Vec<Value>,
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
    fn an_update_contains_old_values_of_changed_columns_and_new_values_of_all() {
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
    fn an_update2_omits_defaults_and_has_differences() {
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
        // The change from 5 to 6 is sent although no watched column changed: the real server does the same.
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
    fn without_inserts_a_later_change_of_an_unseen_row_is_sent() {
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

    #[test]
    fn a_new_condition_sends_its_differences_before_its_reply() {
        let mut bench = bench();
        let [blue, red] = ["blue", "red"].map(|name| insert(&mut bench, 2, json!({"name": name})));
        let where_name = |name: &str| json!([{"where": [["name", "==", name]]}]);
        let mut request = where_name("blue")[0].take();
        request["columns"] = json!(["description"]);
        monitor(&mut bench, "monitor_cond", request);
        let change = json!(["m", "n", {"Logical_Switch": where_name("red")}]);
        bench.send(1, &json!({"id": 7, "method": "monitor_cond_change", "params": change}));
        let [update, reply] = bench.arrived(1).try_into().expect("two messages");
        let rows = json!({blue: {"delete": null}, red.clone(): {"insert": {}}});
        assert_eq!(update["params"], json!(["n", {"Logical_Switch": rows}]));
        assert_eq!(reply, json!({"id": 7, "result": {}, "error": null}));
        bench.transact(2, json!([{"op": "delete", "table": "Logical_Switch", "where": []}]));
        let [update] = bench.arrived(1).try_into().expect("one message");
        assert_eq!(
            update["params"],
            json!(["n", {"Logical_Switch": {red: {"delete": null}}}])
        );
    }
}
