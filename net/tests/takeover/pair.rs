//! What these tests ask of a pair.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tandem_net::lab::agent::RemoteMac;
use tandem_net::lab::pair::{Pair, PairOptions};
use tandem_net::lab::switch::{Switch, remote_mac};

/// Generous: it guards against hanging, nothing else.
pub(crate) const LONG: Duration = Duration::from_secs(60);

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

/// The newest session of an agent with a switch.
pub(crate) fn session(pair: &Pair, agent: usize, switch: &str) -> Option<Value> {
    let status = pair.agents[agent].status().ok()?;
    status["switches"][switch]["sessions"].as_array()?.last().cloned()
}

pub(crate) fn wait<T>(pair: &Pair, what: &str, condition: impl FnMut() -> Option<T>) -> T {
    pair.scratch
        .wait_until(what, LONG, condition)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Logical switch to the tunnel ends of its broadcast rows: `unknown-dst` only, every row a list.
pub(crate) fn broadcast(switch: &Switch) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut found: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    let locators = by_uuid(switch, "Physical_Locator");
    let sets = by_uuid(switch, "Physical_Locator_Set");
    let names = by_uuid(switch, "Logical_Switch");
    for row in by_uuid(switch, "Mcast_Macs_Remote").values() {
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
    let locators = by_uuid(switch, "Physical_Locator");
    let names = by_uuid(switch, "Logical_Switch");
    let mut rows: Vec<_> = by_uuid(switch, "Ucast_Macs_Remote")
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
    let rows = switch.dump(table, &[]).expect("a table");
    rows.into_iter()
        .map(|row| (references(&row["_uuid"]).remove(0), row))
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

/// The tables of the rows that differ, apart from the broadcast rows and what they consist of.
pub(crate) fn rewritten(differences: &[tandem_net::lab::snapshot::Difference]) -> BTreeSet<String> {
    let broadcast = ["Mcast_Macs_Remote", "Physical_Locator_Set", "Physical_Locator"];
    let others = differences.iter().map(|difference| difference.table.clone());
    others.filter(|table| !broadcast.contains(&table.as_str())).collect()
}

pub(crate) fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
