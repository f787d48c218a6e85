//! An eye on the switch's database that asks no agent: where the broadcast rows point, and since when.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::lab::jsonrpc::Client;
use crate::lab::{Remote, Result};

/// What a broadcast row may say at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sight {
    /// When the database server had told us.
    pub(super) at: Instant,
    /// The tunnel ends of each broadcast row.
    pub(super) rows: Vec<Vec<String>>,
}

impl Sight {
    /// Whether there are broadcast rows, and all of them name this tunnel end and no other.
    pub(super) fn all_at(&self, tunnel_end: &str) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|ends| ends == &[tunnel_end])
    }
}

/// Every change of the broadcast rows, the present state first; the channel closes when the server hangs up.
pub(super) fn broadcast_rows(switch: &Remote) -> Result<mpsc::Receiver<Sight>> {
    let mut client = switch.client()?;
    let mut tables = Tables::default();
    let requests = json!({
        "Mcast_Macs_Remote": { "columns": ["locator_set"] },
        "Physical_Locator_Set": { "columns": ["locators"] },
        "Physical_Locator": { "columns": ["dst_ip"] },
    });
    tables.update(&client.call("monitor", &json!(["hardware_vtep", null, requests]))?);
    let (sender, sights) = mpsc::channel();
    thread::spawn(move || watch(&mut client, tables, &sender));
    Ok(sights)
}

fn watch(client: &mut Client, mut tables: Tables, sights: &mpsc::Sender<Sight>) {
    let mut last = None;
    loop {
        let at = Instant::now();
        let rows = tables.broadcast_rows();
        if last.as_ref() != Some(&rows) {
            last = Some(rows.clone());
            if sights.send(Sight { at, rows }).is_err() {
                return;
            }
        }
        match client.notification() {
            Ok(update) => tables.update(&update["params"][1]),
            Err(_) => return,
        }
    }
}

/// The monitored columns, by table and row.
#[derive(Default)]
struct Tables(BTreeMap<String, BTreeMap<String, Value>>);

impl Tables {
    /// `<table-updates>` of RFC 7047, 4.1.6.
    fn update(&mut self, updates: &Value) {
        let entries = |value: &Value| value.as_object().cloned().unwrap_or_else(Map::new);
        for (table, rows) in entries(updates) {
            let known = self.0.entry(table).or_default();
            for (uuid, mut change) in entries(&rows) {
                match change["new"].take() {
                    Value::Null => known.remove(&uuid),
                    new => known.insert(uuid, new),
                };
            }
        }
    }

    fn broadcast_rows(&self) -> Vec<Vec<String>> {
        let rows = self.0.get("Mcast_Macs_Remote").into_iter().flat_map(BTreeMap::values);
        rows.map(|row| {
            let sets = self.follow("Physical_Locator_Set", &row["locator_set"]);
            let locators = sets
                .into_iter()
                .flat_map(|set| self.follow("Physical_Locator", &set["locators"]));
            locators
                .filter_map(|locator| locator["dst_ip"].as_str().map(Into::into))
                .collect()
        })
        .collect()
    }

    /// The rows that a reference, or a set of references, names.
    fn follow(&self, table: &str, references: &Value) -> Vec<&Value> {
        let row = |uuid: &Value| self.0.get(table)?.get(uuid.as_str()?);
        match references[0].as_str() {
            Some("uuid") => row(&references[1]).into_iter().collect(),
            Some("set") => {
                let members = references[1].as_array().into_iter().flatten();
                members.flat_map(|member| self.follow(table, member)).collect()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_followed_to_its_tunnel_ends_through_every_update() {
        let mut tables = Tables::default();
        tables.update(&json!({
            "Mcast_Macs_Remote": { "m": { "new": { "locator_set": ["uuid", "s1"] } } },
            "Physical_Locator_Set": { "s1": { "new": { "locators": ["uuid", "l1"] } } },
            "Physical_Locator": { "l1": { "new": { "dst_ip": "10.0.0.11" } } },
        }));
        assert_eq!(tables.broadcast_rows(), [["10.0.0.11"]]);
        tables.update(&json!({
            "Mcast_Macs_Remote": { "m": { "old": {}, "new": { "locator_set": ["uuid", "s2"] } } },
            "Physical_Locator_Set": {
                "s1": { "old": {} },
                "s2": { "new": { "locators": ["set", [["uuid", "l2"], ["uuid", "l3"]]] } },
            },
            "Physical_Locator": {
                "l1": { "old": {} }, "l2": { "new": { "dst_ip": "10.0.0.12" } }, "l3": { "new": { "dst_ip": "10.0.0.13" } },
            },
        }));
        assert_eq!(tables.broadcast_rows(), [["10.0.0.12", "10.0.0.13"]]);
        assert!(tables.0["Physical_Locator_Set"].len() == 1 && tables.0["Physical_Locator"].len() == 2);
    }

    #[test]
    fn all_rows_must_name_the_tunnel_end_and_no_other() {
        let sight = |rows: &[&str]| Sight {
            at: Instant::now(),
            rows: rows
                .iter()
                .map(|ends| ends.split_whitespace().map(Into::into).collect())
                .collect(),
        };
        assert!(sight(&["a", "a"]).all_at("a"));
        for wrong in [&[][..], &["a", "b"], &["a b"], &[""]] {
            assert!(!sight(wrong).all_at("a"), "{wrong:?}");
        }
    }
}
