//! A switch's database as people think of it: names and tunnel ends instead of UUIDs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::snapshot::{Row, Snapshot};

/// What stands in a database; everything sorted, so that two can be compared.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Contents {
    /// Name to VNI of every logical switch.
    pub logical_switches: BTreeMap<String, Option<i64>>,
    /// (logical switch, MAC, tunnel ends) of `Mcast_Macs_Remote`.
    pub broadcast: Vec<(String, String, Vec<String>)>,
    /// (logical switch, MAC, tunnel end) of `Ucast_Macs_Remote`.
    pub remote: Vec<(String, String, String)>,
    /// (logical switch, MAC, tunnel end) of `Ucast_Macs_Local`.
    pub local: Vec<(String, String, String)>,
    /// (switch, port, VLAN) to logical switch.
    pub bindings: BTreeMap<(String, String, i64), String>,
}

impl Contents {
    /// What a snapshot shows. A locator with a tunnel key of its own is shown as `10.0.9.1 key 7`.
    pub fn of(snapshot: &Snapshot) -> Self {
        let index = |table: &str| -> BTreeMap<String, &Row> {
            let rows = snapshot.table(table);
            rows.map(|row| (one(&row["_uuid"]), row)).collect()
        };
        let switches = index("Logical_Switch");
        let name = |uuid: &str| switches.get(uuid).map_or_else(|| uuid.into(), |row| text(&row["name"]));
        let locators = index("Physical_Locator");
        let place = |uuid: &String| locators.get(uuid).map_or_else(|| uuid.clone(), |row| tunnel_end(row));
        let sets = index("Physical_Locator_Set");
        let ends = |uuid: &str| {
            let locators = sets.get(uuid).map(|set| all(&set["locators"])).unwrap_or_default();
            let mut ends: Vec<String> = locators.iter().map(place).collect();
            ends.sort();
            ends
        };
        let unicast = |table| {
            let rows = snapshot.table(table).map(|row| {
                let logical_switch = name(&one(&row["logical_switch"]));
                (logical_switch, text(&row["MAC"]), place(&one(&row["locator"])))
            });
            sorted(rows.collect())
        };
        let broadcast = snapshot.table("Mcast_Macs_Remote").map(|row| {
            let logical_switch = name(&one(&row["logical_switch"]));
            (logical_switch, text(&row["MAC"]), ends(&one(&row["locator_set"])))
        });
        let named = switches
            .values()
            .map(|row| (text(&row["name"]), row["tunnel_key"].as_i64()));
        Self {
            logical_switches: named.collect(),
            broadcast: sorted(broadcast.collect()),
            remote: unicast("Ucast_Macs_Remote"),
            local: unicast("Ucast_Macs_Local"),
            bindings: bindings(snapshot, &name),
        }
    }
}

fn bindings(snapshot: &Snapshot, name: &dyn Fn(&str) -> String) -> BTreeMap<(String, String, i64), String> {
    let mut bindings = BTreeMap::new();
    for switch in snapshot.table("Physical_Switch") {
        let ports = all(&switch["ports"]);
        for port in snapshot
            .table("Physical_Port")
            .filter(|port| ports.contains(&one(&port["_uuid"])))
        {
            for pair in port["vlan_bindings"][1].as_array().into_iter().flatten() {
                let place = (
                    text(&switch["name"]),
                    text(&port["name"]),
                    pair[0].as_i64().unwrap_or_default(),
                );
                bindings.insert(place, name(&one(&pair[1])));
            }
        }
    }
    bindings
}

fn tunnel_end(locator: &Row) -> String {
    let end = text(&locator["dst_ip"]);
    match locator.get("tunnel_key").and_then(Value::as_i64) {
        Some(key) => format!("{end} key {key}"),
        None => end,
    }
}

fn sorted<T: Ord>(mut rows: Vec<T>) -> Vec<T> {
    rows.sort();
    rows
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().into()
}

/// The UUID of a reference.
fn one(value: &Value) -> String {
    all(value).pop().unwrap_or_default()
}

/// The UUIDs of a reference, or of a set of them.
fn all(value: &Value) -> Vec<String> {
    match value[0].as_str() {
        Some("uuid") => vec![text(&value[1])],
        _ => value[1].as_array().into_iter().flatten().flat_map(all).collect(),
    }
}
