//! The database of the other end, and the desired state.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch as SwitchConfiguration};
use tandem_core::{Mac, Uuid, Vni};
use tandem_sim::switch::{Options, SchemaVersion, Switch};

use super::script::Script;

const TUNNEL_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);

/// A switch `tor1` of some kind with the ports `eth1` and `eth2`, and whether it knows locks.
pub(crate) fn switch(script: &mut Script<'_>) -> (Switch, bool) {
    let versions = [
        SchemaVersion::V1_7_0,
        SchemaVersion::V1_0_0,
        SchemaVersion::V1_3_0,
        SchemaVersion::V1_5_0,
    ];
    let kind = script.number();
    let mut options = Options::new(versions[usize::from(kind & 3)]);
    let locks = kind & 4 == 0;
    options.locks = locks;
    options.monitor_cond = kind & 8 == 0;
    options.probe = (kind & 16 != 0).then_some(Duration::from_secs(5));
    let mut switch = Switch::with_options(7, options);
    let added = switch.add_physical_switch("tor1", &TUNNEL_IP.to_string(), &["eth1", "eth2"]);
    assert!(added.is_ok(), "{added:?}");
    (switch, locks)
}

/// One of 4,096 configurations.
pub(crate) fn configuration(script: &mut Script<'_>) -> Configuration {
    let (what, how) = (script.number(), script.number());
    let mut networks = BTreeMap::new();
    let mut tor1 = SwitchConfiguration {
        vtep: Some(TUNNEL_IP),
        sole_manager: how & 1 != 0,
        rows_per_transaction_max: (how & 2 != 0).then_some(1),
        ..SwitchConfiguration::default()
    };
    let swapped = what & 8 != 0;
    for n in (1..=3u8).filter(|n| what >> (n - 1) & 1 == 1) {
        let vni = if swapped {
            5004 - u32::from(n)
        } else {
            5000 + u32::from(n)
        };
        let remote_macs = (0..2 * n).filter(|mac| (what >> 4) + mac != 2);
        let remote_macs = remote_macs.map(|mac| (Mac([2, 0, 0, 0, 0, mac]), vtep(mac % 3 + (what >> 4))));
        let network = Network {
            name: n.to_string(),
            vni: Vni::new(vni).unwrap_or_else(|| unreachable!("{vni} is a VNI")),
            remote_macs: remote_macs.collect(),
        };
        networks.insert(Uuid(n.into()), network);
        let port = if what & 16 == 0 { "eth1" } else { "eth2" };
        let bindings = tor1.ports.entry(port.into()).or_default();
        bindings.insert(10 * u16::from(n), Uuid(n.into()));
    }
    let mut session = SessionOptions::new("fuzz", Ipv4Addr::new(10, 0, 0, 11 + (how >> 2 & 1)));
    session.keepalive = [Some(10), None, Some(1), Some(60)][usize::from(how >> 3 & 3)].map(Duration::from_secs);
    if what & 32 != 0 {
        session.manager = None;
        session.lock = "other".into();
    }
    let name = if how & 32 == 0 { "tor1" } else { "tor2" };
    let switches = [(name.into(), tor1)].into();
    Configuration {
        session,
        networks,
        switches,
    }
}

/// Another program, or the switch itself, writes; what the database refuses does not happen.
pub(crate) fn edit(script: &mut Script<'_>, switch: &Switch) -> Value {
    let table = script.pick(&[
        "Ucast_Macs_Remote",
        "Ucast_Macs_Local",
        "Mcast_Macs_Remote",
        "Mcast_Macs_Local",
        "Logical_Switch",
        "Physical_Port",
        "Physical_Switch",
        "Manager",
        "Physical_Locator",
    ]);
    let insert = |row: Value| json!([{"op": "insert", "table": table, "row": row}]);
    match script.number() % 3 {
        0 => json!([{"op": "delete", "table": table, "where": one(script, switch, table)}]),
        1 => {
            let of = one(script, switch, table);
            let row = match table {
                "Physical_Port" => json!({"vlan_bindings": bindings(script, switch)}),
                "Physical_Switch" => json!({"name": script.pick(&["tor1", "tor2", ""])}),
                "Logical_Switch" => json!({"tunnel_key": vni(script)}),
                "Physical_Locator" | "Manager" => json!({}),
                _ => json!({"MAC": mac(script)}),
            };
            json!([{"op": "update", "table": table, "where": of, "row": row}])
        }
        _ => match table {
            "Logical_Switch" => {
                let names = [Uuid(1), Uuid(2), Uuid(9)].map(|uuid| format!("Contrail-{uuid}"));
                let name = match usize::from(script.number()) {
                    n @ 0..=2 => names[n].as_str(),
                    _ => "theirs",
                };
                insert(json!({"name": name, "tunnel_key": vni(script)}))
            }
            "Manager" => {
                let target = format!("ssl:10.0.8.{}:6640", script.number());
                let manager = json!({"op": "insert", "table": table, "uuid-name": "m", "row": {"target": target}});
                let mutations = json!([["managers", "insert", ["named-uuid", "m"]]]);
                json!([manager, {"op": "mutate", "table": "Global", "where": [], "mutations": mutations}])
            }
            "Physical_Port" | "Physical_Switch" | "Physical_Locator" => json!([]),
            _ => {
                let address = vtep(script.number() % 4).to_string();
                let logical_switch = reference(script, switch, "Logical_Switch");
                let mut rows = switch.rows("Physical_Locator");
                let mut operations = Vec::new();
                let locator = match rows.find(|(_, row)| row.text("dst_ip") == Some(&address)) {
                    Some((row, _)) => json!(["uuid", row.to_string()]),
                    None => {
                        let row = json!({"dst_ip": address, "encapsulation_type": "vxlan_over_ipv4"});
                        let table = "Physical_Locator";
                        operations.push(json!({"op": "insert", "table": table, "uuid-name": "l", "row": row}));
                        json!(["named-uuid", "l"])
                    }
                };
                let mut row = json!({"MAC": mac(script), "logical_switch": logical_switch});
                if table.starts_with("Ucast") {
                    row["locator"] = locator;
                } else {
                    let set = json!({"locators": locator});
                    let table = "Physical_Locator_Set";
                    operations.push(json!({"op": "insert", "table": table, "uuid-name": "s", "row": set}));
                    row["locator_set"] = json!(["named-uuid", "s"]);
                }
                operations.push(json!({"op": "insert", "table": table, "row": row}));
                operations.into()
            }
        },
    }
}

fn vtep(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 9, n)
}

fn mac(script: &mut Script<'_>) -> &'static str {
    script.pick(&[
        "02:00:00:00:00:01",
        "unknown-dst",
        "02:00:00:00:00:02",
        "02:00:00:00:00:0A",
        "ff:ff:ff:ff:ff:ff",
        "01:00:5e:00:00:01",
        "none",
        "",
    ])
}

fn vni(script: &mut Script<'_>) -> Value {
    script
        .pick(&[Some(5001), Some(5002), None, Some(5003), Some(0), Some(i64::MAX)])
        .map_or_else(|| json!(["set", []]), Into::into)
}

fn bindings(script: &mut Script<'_>, switch: &Switch) -> Value {
    let vlan = script.pick(&[10, 20, 0, 4095]);
    match script.number() & 1 {
        0 => json!(["map", [[vlan, reference(script, switch, "Logical_Switch")]]]),
        _ => json!(["map", []]),
    }
}

/// A condition that one row of a table meets.
fn one(script: &mut Script<'_>, switch: &Switch, table: &str) -> Value {
    json!([["_uuid", "==", reference(script, switch, table)]])
}

fn reference(script: &mut Script<'_>, switch: &Switch, table: &str) -> Value {
    let rows: Vec<Uuid> = switch.rows(table).map(|(row, _)| row).collect();
    let row = rows.get(usize::from(script.number()) % rows.len().max(1));
    json!(["uuid", row.copied().unwrap_or(Uuid(77)).to_string()])
}
