//! What a switch has after it rebooted.

use std::collections::BTreeMap;
use std::sync::Arc;

use tandem_core::{Time, Uuid};

use super::database::Database;
use super::row::Row;
use super::value::Datum;
use super::{Switch, server};

/// The part of the database that a switch's own configuration defines, even if the database is lost: tables and
/// columns.
const IDENTITY: [(&str, &[&str]); 4] = [
    (
        "Manager",
        &["target", "max_backoff", "inactivity_probe", "other_config"],
    ),
    ("Physical_Port", &["name", "description", "other_config"]),
    (
        "Physical_Switch",
        &[
            "name",
            "description",
            "management_ips",
            "tunnel_ips",
            "other_config",
            "ports",
        ],
    ),
    ("Global", &["managers", "switches", "other_config"]),
];

impl Switch {
    /// Ends every session without a FIN or RST and starts again: no lock has a holder, the server has another id, and
    /// ephemeral columns have their defaults. What was under way is lost; what was committed stays.
    ///
    /// Without its database the switch comes back as its own configuration makes it: `Global`, `Manager`,
    /// `Physical_Switch` and `Physical_Port` rows with new identities and no bindings, and nothing else. That is no
    /// transaction; an observer of commits has to read the rows again.
    ///
    /// The caller notifies the other ends, if it models that, and never uses the numbers of the old connections again.
    pub fn reboot(&mut self, now: Time, keeps_database: bool) {
        self.now = now;
        self.sessions.clear();
        self.ready.clear();
        self.turn_of = None;
        self.busy = None;
        self.waiting.clear();
        self.retry = false;
        self.locks = super::Locks::default();
        self.asked_in_vain = super::Locks::default();
        self.outputs.clear();
        if keeps_database {
            self.forget_ephemeral();
        } else {
            self.forget_all_but_identity();
        }
        self.server_id = self.uuids.next();
        self.reserved = server::database(&self.database.schema, self.options.model, &mut self.uuids);
    }

    fn forget_ephemeral(&mut self) {
        for (name, table) in &mut self.database.tables {
            let columns = self.database.schema.tables.get(name).into_iter();
            for column in columns.flat_map(|table| table.columns.values().filter(|column| column.ephemeral)) {
                let default = Datum::default_of(&column.ty);
                let rows = table.rows.values_mut();
                for row in rows.filter(|row| row.datum(column.name) != Some(&default)) {
                    Arc::make_mut(row).set(column.name, default.clone());
                }
            }
        }
    }

    fn forget_all_but_identity(&mut self) {
        let schema = Arc::clone(&self.database.schema);
        let before = std::mem::replace(&mut self.database, Database::new(Arc::clone(&schema)));
        let mut reborn: BTreeMap<Uuid, Uuid> = BTreeMap::new();
        for (name, columns) in IDENTITY {
            let Some(table) = schema.tables.get(name) else {
                continue;
            };
            for (uuid, old) in before.rows(name) {
                let mut row = Row::new(table);
                for (column, datum) in columns.iter().filter_map(|column| Some((*column, old.datum(column)?))) {
                    row.set(column, datum.rename(&reborn));
                }
                row.set_version(self.uuids.next());
                let new = self.uuids.next();
                reborn.insert(uuid, new);
                self.database.insert((table.name, new), row);
            }
        }
        // These rows met every constraint before, and meet them still.
        let committed = self.database.commit(&mut self.uuids);
        debug_assert!(committed.is_ok(), "{committed:?}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tandem_core::{ConnId, Machine};

    use super::super::testing::{Bench, insert_mac};
    use super::super::{Input, SchemaVersion};
    use super::*;

    /// A switch with a bound port, a manager with a status, and a client that holds a lock and watches.
    fn bench() -> Bench {
        let mut bench = Bench::new(SchemaVersion::V1_7_0);
        bench.connect(1);
        bench
            .switch
            .add_physical_switch("tor1", "10.0.1.1", &["eth1"])
            .expect("added");
        let manager = json!({"target": "ssl:10.0.0.1:6640", "max_backoff": 1000, "is_connected": true});
        let operations = json!([
            {"op": "insert", "table": "Manager", "row": manager, "uuid-name": "manager"},
            {"op": "mutate", "table": "Global", "where": [], "mutations": [["managers", "insert", ["named-uuid", "manager"]]]},
            {"op": "insert", "table": "Logical_Switch", "uuid-name": "red", "row": {"name": "red"}},
            {"op": "update", "table": "Physical_Port", "where": [], "row": {"vlan_bindings": ["map", [[5, ["named-uuid", "red"]]]]}},
        ]);
        bench.transact(1, operations);
        bench.transact(1, insert_mac("blue", "00:01", "10.0.0.1"));
        bench.ask(1, "lock", json!(["tandem"]));
        bench.ask(1, "monitor", json!(["hardware_vtep", "m", {"Logical_Switch": {}}]));
        bench
    }

    fn reboot(bench: &mut Bench, keeps_database: bool) -> Value {
        let id = bench.ask(1, "get_server_id", json!([]))["result"].take();
        bench.switch.reboot(Time::ORIGIN, keeps_database);
        assert_eq!(
            (bench.switch.poll_output(), bench.switch.lock_holder("tandem")),
            (None, None)
        );
        bench.handle(Time::ORIGIN, Input::Closed { conn: ConnId(1) });
        bench.connect(2);
        assert_ne!(bench.ask(2, "get_server_id", json!([]))["result"], id);
        bench.transact(
            2,
            json!([
                {"op": "select", "table": "Manager", "where": [], "columns": ["target", "max_backoff", "is_connected"]},
                {"op": "select", "table": "Physical_Switch", "where": [], "columns": ["name", "tunnel_ips"]},
                {"op": "select", "table": "Physical_Port", "where": [], "columns": ["name", "vlan_bindings"]},
                {"op": "select", "table": "Ucast_Macs_Remote", "where": [], "columns": ["MAC"]},
            ]),
        )
    }

    #[test]
    fn a_switch_that_keeps_its_database_forgets_sessions_and_ephemeral_columns() {
        let mut bench = bench();
        let networks: Vec<_> = bench.switch.rows("Logical_Switch").map(|(uuid, _)| uuid).collect();
        let results = reboot(&mut bench, true);
        let manager = json!({"target": "ssl:10.0.0.1:6640", "max_backoff": 1000, "is_connected": false});
        assert_eq!(results[0]["rows"], json!([manager]));
        assert_eq!(results[3]["rows"], json!([{"MAC": "00:01"}]));
        assert!(bench.switch.rows("Logical_Switch").map(|(uuid, _)| uuid).eq(networks));
        bench.transact(2, insert_mac("green", "00:02", "10.0.0.2"));
        assert_eq!(bench.arrived(1), [Value::Null; 0]);
    }

    #[test]
    fn a_switch_that_lost_its_database_has_only_its_startup_configuration() {
        let mut bench = bench();
        let port = bench.switch.rows("Physical_Port").map(|(uuid, _)| uuid).next();
        let results = reboot(&mut bench, false);
        let expected = json!([
            {"rows": [{"target": "ssl:10.0.0.1:6640", "max_backoff": 1000, "is_connected": false}]},
            {"rows": [{"name": "tor1", "tunnel_ips": "10.0.1.1"}]},
            {"rows": [{"name": "eth1", "vlan_bindings": ["map", []]}]},
            {"rows": []},
        ]);
        assert_eq!(results, expected);
        assert_ne!(bench.switch.rows("Physical_Port").map(|(uuid, _)| uuid).next(), port);
        for table in ["Logical_Switch", "Physical_Locator"] {
            assert_eq!(bench.switch.rows(table).count(), 0, "{table}");
        }
        // References are counted anew: a port that nothing names vanishes.
        bench.transact(
            2,
            json!([{"op": "update", "table": "Physical_Switch", "where": [], "row": {"ports": ["set", []]}}]),
        );
        assert_eq!(bench.switch.rows("Physical_Port").count(), 0);
    }
}
