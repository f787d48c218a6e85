//! Helpers for a pair of agents: conditions to wait for, and differences.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value, json};
use tandem_lab::agent::RemoteMac;
use tandem_lab::pair::{Pair, PairOptions};
use tandem_lab::snapshot::{Difference, Snapshot};
use tandem_lab::switch::{Switch, remote_mac};

use crate::events::opened;

/// Generous: it guards against hanging, nothing else.
pub(crate) const LONG: Duration = Duration::from_secs(180);

pub(crate) const BLUE: &str = "Contrail-6f1c0d0e-0000-4000-8000-000000000001";

/// The services nodes of `agent-a` and `agent-b`.
pub(crate) const TSN: [&str; 2] = ["10.0.0.11", "10.0.0.12"];

pub(crate) fn options() -> PairOptions {
    PairOptions::new(env!("CARGO_BIN_EXE_tandem"))
}

/// With so many remote MACs in `blue`.
pub(crate) fn with_macs(count: u32) -> PairOptions {
    let mut options = options();
    options.networks[0].remote_macs = (0..count)
        .map(|n| RemoteMac {
            mac: remote_mac(n),
            vtep: vtep(n),
        })
        .collect();
    options
}

pub(crate) fn vtep(n: u32) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 9, u8::try_from(n % 16).expect("small") + 1)
}

pub(crate) fn start(options: &PairOptions) -> Pair {
    Pair::start(options).expect("a pair")
}

/// The agent that owns the switch and has nothing left to write.
pub(crate) fn audited(pair: &Pair, switch: &str) -> usize {
    wait(pair, &format!("an agent that has audited {switch}"), || {
        (0..2).find(|agent| {
            session(pair, *agent, switch).is_some_and(|session| !session["takeover_ms"]["audited"].is_null())
        })
    })
}

/// Waits until this agent owns the switch and has nothing left to write. Asks no other agent, which may hang.
pub(crate) fn audited_by(pair: &Pair, agent: usize, switch: &str) {
    let done = |session: &Value| session["ownership"] == "held" && !session["takeover_ms"]["audited"].is_null();
    wait(pair, &format!("the audit of {switch} by {}", TSN[agent]), || {
        sessions(pair, agent, switch).iter().any(done).then_some(())
    });
}

/// Waits until one of these agents owns the switch. Asks no other: it may hang.
pub(crate) fn owner_among(pair: &Pair, agents: &[usize]) -> usize {
    wait(pair, "an owner", || {
        let owns = |agent: &&usize| {
            let sessions = sessions(pair, **agent, "tor1");
            sessions.iter().any(|session| session["ownership"] == "held")
        };
        agents.iter().find(owns).copied()
    })
}

/// The newest session of an agent with a switch.
pub(crate) fn session(pair: &Pair, agent: usize, switch: &str) -> Option<Value> {
    sessions(pair, agent, switch).pop()
}

/// Every session of an agent with a switch, the newest last.
pub(crate) fn sessions(pair: &Pair, agent: usize, switch: &str) -> Vec<Value> {
    let status = pair.agents[agent].status().unwrap_or_default();
    let sessions = status["switches"][switch]["sessions"].as_array();
    sessions.cloned().unwrap_or_default()
}

/// Waits until an agent has so many sessions with the only switch, and has read everything in each.
pub(crate) fn warm(pair: &Pair, agent: usize, count: usize) {
    wait(pair, &format!("{count} warm sessions of {}", TSN[agent]), || {
        let sessions = sessions(pair, agent, "tor1");
        let warm = sessions
            .iter()
            .filter(|session| !session["takeover_ms"]["read"].is_null());
        (warm.count() == count && sessions.len() == count).then_some(())
    });
}

/// Waits until the proxy shows this status of an agent in each of its sections: `UP`, `DOWN` ...
pub(crate) fn proxied(pair: &Pair, agent: usize, status: &str) {
    let name = &pair.agents[agent].options().agent.name;
    wait(pair, &format!("{name} to be {status} for the proxy"), || {
        let servers = pair.haproxy.servers().ok()?;
        let mut ours = servers.iter().filter(|server| server.name == *name);
        ours.all(|server| server.status == status).then_some(())
    });
}

/// Looks on for some seconds: no session is accepted, and no switch is written to.
pub(crate) fn nothing_flaps(pair: &Pair) {
    let count = || {
        let written = pair.switches.iter().map(|switch| switch.log().expect("a log").len());
        (opened(pair), written.collect::<Vec<_>>())
    };
    let before = count();
    thread::sleep(QUIET);
    assert_eq!(count(), before, "sessions accepted, transactions of each switch");
}

/// A switch that flaps between two sessions of one agent does so every second or three.
const QUIET: Duration = Duration::from_secs(5);

/// The switch learns a MAC behind its own tunnel end, in `blue`.
pub(crate) fn learn(switch: &Switch, mac: &str) {
    let blue = by_uuid(switch, "Logical_Switch")
        .into_iter()
        .find(|(_, row)| row["name"] == BLUE);
    let (blue, _) = blue.expect("a logical switch");
    let locator = json!({ "encapsulation_type": "vxlan_over_ipv4", "dst_ip": "10.0.1.1" });
    let learned = switch.transact(&json!([
        { "op": "comment", "comment": "test: the switch learns a MAC" },
        { "op": "insert", "table": "Physical_Locator", "uuid-name": "here", "row": locator },
        { "op": "insert", "table": "Ucast_Macs_Local", "row": {
            "MAC": mac, "logical_switch": ["uuid", blue], "locator": ["named-uuid", "here"],
        }},
    ]));
    learned.expect("a transaction");
}

/// Routes of the only switch that an agent exports.
pub(crate) fn exported(pair: &Pair, agent: usize) -> u64 {
    let status = pair.agents[agent].status().unwrap_or_default();
    status["switches"]["tor1"]["exported"].as_u64().unwrap_or_default()
}

/// Deletes a row of `Ucast_Macs_Remote` as another client.
pub(crate) fn delete_remote_mac(switch: &Switch, mac: &str) {
    let deleted = switch.transact(&json!([
        { "op": "comment", "comment": "test: delete a MAC" },
        { "op": "delete", "table": "Ucast_Macs_Remote", "where": [["MAC", "==", mac]] },
    ]));
    assert_eq!(deleted.expect("a transaction")[1]["count"], 1);
}

/// The differences from an earlier moment. The server writes its `Manager` rows by itself, every few seconds.
pub(crate) fn changed(switch: &Switch, before: &Snapshot) -> Vec<Difference> {
    let mut differences = switch.snapshot().expect("a snapshot").since(before);
    differences.retain(|difference| difference.table != "Manager");
    differences
}

pub(crate) fn wait<T>(pair: &Pair, what: &str, condition: impl FnMut() -> Option<T>) -> T {
    pair.scratch
        .wait_until(what, LONG, condition)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Logical switch to the tunnel ends of its broadcast rows: `unknown-dst` only, every row a list.
pub(crate) type Broadcast = BTreeMap<String, Vec<Vec<String>>>;

/// The broadcast rows as they are now.
pub(crate) fn broadcast(switch: &Switch) -> Broadcast {
    let mut found = Broadcast::new();
    let snapshot = switch.snapshot().expect("a snapshot");
    let locators = rows(&snapshot, "Physical_Locator");
    let sets = rows(&snapshot, "Physical_Locator_Set");
    let names = rows(&snapshot, "Logical_Switch");
    for row in rows(&snapshot, "Mcast_Macs_Remote").values() {
        assert_eq!(row["MAC"], "unknown-dst");
        let set = &sets[&reference(&row["logical_switch"], &row["locator_set"]).1];
        let ends = references(&set["locators"])
            .into_iter()
            .map(|locator| text(&locators[&locator]["dst_ip"]));
        let name = text(&names[&reference(&row["logical_switch"], &row["locator_set"]).0]["name"]);
        found.entry(name).or_default().push(ends.collect());
    }
    found
}

/// (logical switch, MAC, tunnel end) of every remote row.
pub(crate) fn remote(switch: &Switch) -> Vec<(String, String, String)> {
    let snapshot = switch.snapshot().expect("a snapshot");
    let locators = rows(&snapshot, "Physical_Locator");
    let names = rows(&snapshot, "Logical_Switch");
    let mut rows: Vec<_> = rows(&snapshot, "Ucast_Macs_Remote")
        .values()
        .map(|row| {
            let (logical_switch, locator) = reference(&row["logical_switch"], &row["locator"]);
            let place = text(&locators[&locator]["dst_ip"]);
            (text(&names[&logical_switch]["name"]), text(&row["MAC"]), place)
        })
        .collect();
    rows.sort();
    rows
}

pub(crate) fn by_uuid(switch: &Switch, table: &str) -> BTreeMap<String, Map<String, Value>> {
    rows(&switch.snapshot().expect("a snapshot"), table)
}

/// A table of one moment: references are right only within one.
fn rows(snapshot: &Snapshot, table: &str) -> BTreeMap<String, Map<String, Value>> {
    let rows = snapshot.table(table);
    rows.map(|row| (references(&row["_uuid"]).remove(0), row.clone()))
        .collect()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// The UUIDs of a reference, or of a set of them.
pub(crate) fn references(value: &Value) -> Vec<String> {
    match value[0].as_str() {
        Some("uuid") => vec![text(&value[1])],
        Some("set") => value[1]
            .as_array()
            .expect("a set")
            .iter()
            .flat_map(references)
            .collect(),
        _ => panic!("{value} is no reference"),
    }
}

fn reference(first: &Value, second: &Value) -> (String, String) {
    (references(first).remove(0), references(second).remove(0))
}

/// The tables of the rows that differ, apart from the broadcast rows and their locators.
/// The server writes its `Manager` rows by itself, every few seconds.
pub(crate) fn rewritten(differences: &[Difference]) -> BTreeSet<String> {
    let broadcast = [
        "Mcast_Macs_Remote",
        "Physical_Locator_Set",
        "Physical_Locator",
        "Manager",
    ];
    let others = differences.iter().map(|difference| difference.table.clone());
    others.filter(|table| !broadcast.contains(&table.as_str())).collect()
}

pub(crate) fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// Milliseconds between two moments, for people.
pub(crate) fn between(from: SystemTime, to: SystemTime) -> String {
    match to.duration_since(from) {
        Ok(later) => format!("{:.1} ms", later.as_secs_f64() * 1000.0),
        Err(earlier) => format!("-{:.1} ms", earlier.duration().as_secs_f64() * 1000.0),
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("no such long time")
}
