//! `_Server`: the database in which a server lists the databases that it serves (Open vSwitch, ovsdb-server(5)).

use std::sync::Arc;

use tandem_core::status::ServerModel;

use super::database::Database;
use super::names::UuidSource;
use super::row::Row;
use super::schema::Schema;
use super::value::{Atom, Datum};

/// Which of the two databases that a server serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Served {
    /// `hardware_vtep`.
    Switch,
    /// `_Server`.
    Server,
}

/// The database, with a row for the one that is served and a row for itself. Nothing ever changes it.
pub(super) fn database(served: &Schema, model: Option<ServerModel>, uuids: &mut UuidSource) -> Database {
    let schema = Schema::of_the_server();
    let mut database = Database::new(Arc::clone(&schema));
    for table in schema.tables.values() {
        for schema in [served, &schema] {
            let text = |text: &str| Datum::one(Atom::String(text.into()));
            let yes = || Datum::one(Atom::Boolean(true));
            let mut row = Row::new(table);
            row.set("name", text(schema.name));
            let model = model.filter(|_| schema.name == served.name);
            row.set("model", text(model.map_or("standalone", name)));
            row.set("connected", yes());
            row.set("leader", yes());
            row.set("schema", text(schema.text()));
            row.set_version(uuids.next());
            database.insert((table.name, uuids.next()), row);
        }
    }
    database.before.clear();
    database
}

/// The model as the real server writes it.
fn name(model: ServerModel) -> &'static str {
    match model {
        ServerModel::Standalone => "standalone",
        ServerModel::Clustered => "clustered",
        ServerModel::Relay => "relay",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::SchemaVersion;
    use super::super::testing::Bench;

    #[test]
    fn the_server_lists_its_databases_and_rejects_writes_to_them() {
        let mut bench = Bench::new(SchemaVersion::V1_3_0);
        bench.connect(1);
        assert_eq!(
            bench.ask(1, "list_dbs", json!([]))["result"],
            json!(["hardware_vtep", "_Server"])
        );
        let requests = json!({"Database": {"columns": ["name", "leader", "schema"]}});
        let reply = bench.ask(1, "monitor", json!(["_Server", "m", requests]));
        let rows = reply["result"]["Database"].as_object().expect("rows").values();
        let served = rows
            .map(|row| &row["new"])
            .find(|row| row["name"] == "hardware_vtep")
            .expect("a row");
        let schema: Value = serde_json::from_str(served["schema"].as_str().expect("a text")).expect("a schema");
        assert_eq!((&served["leader"], &schema["version"]), (&json!(true), &json!("1.3.0")));
        let delete = json!({"op": "delete", "table": "Database", "where": []});
        let results = bench.ask(1, "transact", json!(["_Server", delete]))["result"].take();
        assert_eq!(results[0]["error"], "not allowed");
        assert_eq!(bench.switch.reserved.rows("Database").count(), 2);
    }
}
