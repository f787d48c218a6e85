//! Foreign rows in the database, which no agent may touch.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde_json::{Value, json};
use tandem_core::{Uuid, configuration};

use super::configuration::vtep_of;
use super::draft::Draft;
use super::{FOREIGN_PORT, view};
use crate::switch::{Row, Switch};

/// The transaction that creates foreign logical switches `vendor-1` to `vendor-<count>` in a database that has no
/// locators yet: with VNIs from 16,000,001, MACs of their own and at a tunnel end that ours use as well, and VLANs
/// from 901 of the last port.
pub fn furnish(switch_name: &str, count: usize) -> Value {
    let mut draft = Draft::default();
    for number in (1..=NUMBERS).take(count) {
        logical_switch(&mut draft, number, vtep_of(switch_name));
    }
    draft.finish().unwrap_or_else(|| json!([]))
}

/// The transaction that adds the next foreign logical switch to those that are there.
pub(super) fn add(switch: &Switch) -> Option<Value> {
    let names: BTreeSet<_> = switch
        .rows("Logical_Switch")
        .filter_map(|(_, row)| row.text("name"))
        .collect();
    let number = (1..=NUMBERS).find(|number| !names.contains(name(*number).as_str()))?;
    let mut draft = Draft::on(switch);
    logical_switch(&mut draft, number, view::own_tunnel_end(switch)?);
    draft.finish()
}

/// Something foreign, in words that mean the same in every database.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ForeignRow {
    /// A logical switch that no agent has made.
    LogicalSwitch {
        name: String,
        vni: Option<i64>,
        description: String,
    },
    /// A row of one of the four tables of MACs in such a logical switch.
    Mac {
        table: &'static str,
        network: String,
        mac: String,
        ip: String,
        tunnel_ends: BTreeSet<String>,
    },
    /// A VLAN of a port that is bound to such a logical switch.
    Binding { port: String, vlan: i64, network: String },
}

impl ForeignRow {
    /// Whether this is a binding of a port and VLAN that the configuration wants for itself: it may be replaced.
    pub fn is_claimed_by(&self, configuration: &configuration::Switch) -> bool {
        match self {
            Self::Binding { port, vlan, .. } => {
                let vlans = configuration.ports.get(&port.as_str().into());
                vlans.is_some_and(|vlans| vlans.keys().any(|claimed| i64::from(*claimed) == *vlan))
            }
            Self::LogicalSwitch { .. } | Self::Mac { .. } => false,
        }
    }
}

/// Everything foreign in a database.
pub fn foreign_rows(switch: &Switch) -> BTreeSet<ForeignRow> {
    let networks: BTreeMap<_, _> = switch
        .rows("Logical_Switch")
        .filter(|(_, row)| view::is_foreign(row))
        .map(|(network, row)| (network, text(row, "name")))
        .collect();
    let logical_switches = switch
        .rows("Logical_Switch")
        .filter(|(network, _)| networks.contains_key(network))
        .map(|(_, row)| ForeignRow::LogicalSwitch {
            name: text(row, "name"),
            vni: row.integer("tunnel_key"),
            description: text(row, "description"),
        });
    let ends: BTreeMap<_, _> = switch
        .rows("Physical_Locator")
        .map(|(locator, row)| (locator, text(row, "dst_ip")))
        .collect();
    let sets: BTreeMap<_, _> = switch.rows("Physical_Locator_Set").collect();
    let macs = TABLES.into_iter().flat_map(|table| {
        let (networks, ends, sets) = (&networks, &ends, &sets);
        switch.rows(table).filter_map(move |(_, row)| {
            let set = row.reference("locator_set").and_then(|set| sets.get(&set));
            let listed = set.into_iter().flat_map(|set| set.references("locators"));
            let locators = row.reference("locator").into_iter().chain(listed);
            Some(ForeignRow::Mac {
                table,
                network: networks.get(&row.reference("logical_switch")?)?.clone(),
                mac: text(row, "MAC"),
                ip: text(row, "ipaddr"),
                tunnel_ends: locators
                    .filter_map(|locator: Uuid| ends.get(&locator).cloned())
                    .collect(),
            })
        })
    });
    let bindings = view::bindings(switch).filter_map(|(port, vlan, network)| {
        let network = networks.get(&network)?.clone();
        let port = port.to_owned();
        Some(ForeignRow::Binding { port, vlan, network })
    });
    logical_switches.chain(macs).chain(bindings).collect()
}

/// As many as the VLANs of the last port suffice for.
const NUMBERS: u16 = 3000;

/// The tables of MACs.
pub(super) const TABLES: [&str; 4] = [
    "Ucast_Macs_Local",
    "Ucast_Macs_Remote",
    "Mcast_Macs_Local",
    "Mcast_Macs_Remote",
];

fn name(number: u16) -> String {
    format!("vendor-{number}")
}

fn logical_switch(draft: &mut Draft, number: u16, own_tunnel_end: Ipv4Addr) {
    let row = json!({
        "name": name(number), "description": "other operators", "tunnel_key": 16_000_000 + u32::from(number),
    });
    let network = draft.insert("Logical_Switch", row);
    let [high, low] = number.to_be_bytes();
    let mac = |last: u8| format!("02:00:0f:{high:02x}:{low:02x}:{last:02x}");
    let theirs = Ipv4Addr::new(10, 3, 0, 1);
    let shared = Ipv4Addr::new(10, 2, 0, 1);
    draft.unicast("Ucast_Macs_Remote", &network, &mac(1), theirs, "");
    draft.unicast("Ucast_Macs_Remote", &network, &mac(2), shared, "192.168.9.2");
    draft.unicast("Ucast_Macs_Local", &network, &mac(3), own_tunnel_end, "");
    draft.multicast("Mcast_Macs_Remote", &network, "unknown-dst", theirs);
    draft.bind(FOREIGN_PORT, 900 + i64::from(number), &network);
}

fn text(row: &Row, column: &str) -> String {
    row.text(column).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, act, apply};
    use super::*;
    use crate::switch::SchemaVersion;

    #[test]
    fn a_switch_is_furnished_with_what_is_foreign_whatever_its_schema() {
        for version in SchemaVersion::ALL {
            let mut switch = testing::switch(version);
            apply(&mut switch, Some(furnish("tor1", 2)));
            let rows = foreign_rows(&switch);
            assert_eq!(rows.len(), 2 * 6, "{rows:#?}");
            let binding = ForeignRow::Binding {
                port: "eth9".into(),
                vlan: 902,
                network: "vendor-2".into(),
            };
            let mac = ForeignRow::Mac {
                table: "Mcast_Macs_Remote",
                network: "vendor-1".into(),
                mac: "unknown-dst".into(),
                ip: String::new(),
                tunnel_ends: BTreeSet::from(["10.3.0.1".into()]),
            };
            assert!(rows.contains(&binding) && rows.contains(&mac), "{rows:#?}");
        }
    }

    #[test]
    fn what_is_ours_is_not_foreign_and_each_foreign_loss_is_seen() {
        let mut switch = testing::programmed(2);
        assert_eq!(foreign_rows(&switch), BTreeSet::new());
        act(&mut switch, add);
        let before = foreign_rows(&switch);
        assert_eq!(before.len(), 6);
        let mut lost = BTreeSet::new();
        for table in ["Ucast_Macs_Remote", "Ucast_Macs_Local", "Mcast_Macs_Remote"] {
            let mut without = switch.clone();
            let found = json!([{"op": "delete", "table": table, "where": []}]);
            apply(&mut without, Some(found));
            let after = foreign_rows(&without);
            lost.extend(before.difference(&after).cloned());
            assert!(after.is_subset(&before));
        }
        assert_eq!(lost.len(), 4);
        let mut moved = switch.clone();
        let other = json!([{"op": "update", "table": "Logical_Switch", "where": [], "row": {"tunnel_key": 7}}]);
        apply(&mut moved, Some(other));
        assert_eq!(before.difference(&foreign_rows(&moved)).count(), 1);
    }

    #[test]
    fn only_a_binding_of_a_configured_port_and_vlan_is_claimed() {
        let wanted = testing::configuration(1);
        let wanted = &wanted.switches[&"tor1".into()];
        let binding = |port: &str, vlan| ForeignRow::Binding {
            port: port.into(),
            vlan,
            network: "vendor-1".into(),
        };
        assert!(binding("eth1", 101).is_claimed_by(wanted));
        assert!(!binding("eth1", 102).is_claimed_by(wanted));
        assert!(!binding("eth9", 101).is_claimed_by(wanted));
    }
}
