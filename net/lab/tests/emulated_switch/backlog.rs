//! A client that did not read for a while: the changes of one row are merged into one.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tandem_lab::Result;
use tandem_sim::switch::{DATABASE, SchemaVersion};

use super::sides::{Arrived, Emulated, Real};

/// The client that watches and does not read, and the one that writes.
const WATCHER: u64 = 0;
const WRITER: u64 = 1;

fn insert(name: &str) -> Value {
    json!({"op": "insert", "table": "Logical_Switch", "row": {"name": name, "other_config": ["map", [["a", "1"], ["b", "2"]]]}})
}

fn change(name: &str, column: &str, value: &Value) -> Value {
    let condition = json!([["name", "==", name]]);
    json!({"op": "update", "table": "Logical_Switch", "where": condition, "row": {column: value}})
}

fn delete(name: &str) -> Value {
    json!({"op": "delete", "table": "Logical_Switch", "where": [["name", "==", name]]})
}

fn transaction(operation: &Value) -> String {
    json!({"id": "done", "method": "transact", "params": [DATABASE, operation]}).to_string()
}

/// The operations while the watcher does not read, each a transaction of its own.
fn meanwhile() -> Vec<Value> {
    let map = |pairs: Value| json!(["map", pairs]);
    vec![
        insert("new"),
        change("new", "tunnel_key", &json!(1)),
        insert("passing"),
        delete("passing"),
        change("changed", "tunnel_key", &json!(1)),
        change("changed", "tunnel_key", &json!(2)),
        change("changed", "other_config", &map(json!([["a", "3"], ["c", "4"]]))),
        change(
            "changed",
            "other_config",
            &map(json!([["a", "3"], ["b", "2"], ["d", "5"]])),
        ),
        change("restored", "description", &json!("x")),
        change("restored", "description", &json!("")),
        change("deleted", "description", &json!("x")),
        delete("deleted"),
    ]
}

/// The last update of each row that the watcher received, as texts in order, without the one that filled its socket.
fn received(arrived: &Arrived) -> Vec<String> {
    let mut rows: BTreeMap<String, Value> = BTreeMap::new();
    for message in &arrived[&WATCHER] {
        let updates = message["params"].as_array().and_then(|params| params.last());
        let updates = updates.and_then(|updates| updates["Logical_Switch"].as_object());
        rows.extend(
            updates
                .into_iter()
                .flatten()
                .map(|(uuid, row)| (uuid.clone(), row.clone())),
        );
    }
    let mut texts: Vec<_> = rows
        .values()
        .map(Value::to_string)
        .filter(|text| text.len() < 10_000)
        .collect();
    texts.sort();
    texts
}

#[test]
fn a_client_that_did_not_read_receives_merged_changes() -> Result<()> {
    for method in ["monitor", "monitor_cond", "monitor_cond_since"] {
        let mut real = Real::with_installed_schema()?;
        let mut emulated = Emulated::new(0, SchemaVersion::V1_7_0);
        let columns = json!(["name", "description", "tunnel_key", "other_config"]);
        let mut params = vec![
            json!(DATABASE),
            json!("m"),
            json!({"Logical_Switch": {"columns": columns}}),
        ];
        if method == "monitor_cond_since" {
            params.push(json!(tandem_core::Uuid(0)));
        }
        let monitor = json!({"id": "m", "method": method, "params": params}).to_string();
        for conn in [WATCHER, WRITER] {
            emulated.connect(conn);
            real.connect(conn)?;
        }
        let before = ["changed", "restored", "deleted", "filler"]
            .map(|name| transaction(&insert(name)))
            .concat();
        for (conn, text) in [(WRITER, before), (WATCHER, monitor)] {
            emulated.send(conn, &text);
            real.send(conn, &text);
            emulated.arrived();
            real.arrived(conn);
        }
        // More than a socket takes, as one update.
        let filler = transaction(&change("filler", "description", &json!("x".repeat(1 << 20))));
        real.request(WRITER, &filler);
        emulated.stall(WATCHER, 1);
        for operation in meanwhile() {
            let text = transaction(&operation);
            real.request(WRITER, &text);
            emulated.send(WRITER, &text);
        }
        assert!(!emulated.arrived().contains_key(&WATCHER));
        emulated.stall(WATCHER, 0);
        let (emulated, real) = (received(&emulated.arrived()), received(&real.arrived(WATCHER)));
        assert_eq!(emulated, real, "{method}");
        assert_eq!(emulated.len(), 3, "new, changed, deleted: {emulated:?}");
    }
    Ok(())
}
