//! Helpers for the whole system: conditions to wait for, and histories.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tandem_lab::journal::{ChangeKind, Transaction};
use tandem_lab::switch::Switch;
use tandem_lab::{Contents, Pair, PairOptions};

/// Generous: it guards against hanging, nothing else.
const LONG: Duration = Duration::from_secs(180);

/// The logical switch of the only network.
pub(crate) const BLUE: &str = "Contrail-6f1c0d0e-0000-4000-8000-000000000001";

/// The tunnel ends of `tor1` and `tor2`.
pub(crate) const TOR: [&str; 2] = ["10.0.1.1", "10.0.1.2"];

/// Two switches, and two control nodes that know everything; waits until the agents have nothing left to do.
pub(crate) fn start() -> Pair {
    start_with(|_| {})
}

/// The same, with changed options.
pub(crate) fn start_with(change: impl FnOnce(&mut PairOptions)) -> Pair {
    let mut options = PairOptions::new(env!("CARGO_BIN_EXE_tandem"));
    options.switches = 2;
    options.control_nodes = 2;
    options.more = "log = { level = \"debug\" }".parse().expect("TOML");
    change(&mut options);
    let pair = Pair::start(&options).expect("a system");
    for switch in ["tor1", "tor2"] {
        audited(&pair, switch);
    }
    connected(&pair, 2);
    pair
}

/// Copies are held for five minutes.
pub(crate) fn hold(options: &mut PairOptions) {
    let failover = "failover = { stale_hold = \"300s\" }";
    options.more.extend(failover.parse::<toml::Table>().expect("TOML"));
}

/// The agent that owns the switch and has nothing left to write.
pub(crate) fn audited(pair: &Pair, switch: &str) -> usize {
    wait(pair, &format!("an agent that has audited {switch}"), || {
        (0..pair.agents.len()).find(|agent| has_audited(pair, *agent, switch))
    })
}

/// Waits until this agent does, whether or not the other one believes to.
pub(crate) fn audited_by(pair: &Pair, agent: usize, switch: &str) {
    wait(pair, &format!("agent {agent} to have audited {switch}"), || {
        has_audited(pair, agent, switch).then_some(())
    });
}

fn has_audited(pair: &Pair, agent: usize, switch: &str) -> bool {
    let done = |session: &Value| session["ownership"] == "held" && !session["takeover_ms"]["audited"].is_null();
    let status = pair.agents[agent].status().unwrap_or_default();
    let sessions = status["switches"][switch]["sessions"].as_array();
    sessions.is_some_and(|sessions| sessions.iter().any(done))
}

/// Waits until each control node has so many routes of this agent.
pub(crate) fn published(pair: &Pair, agent: usize, count: impl Fn(u64) -> bool) {
    let name = &pair.agents[agent].options().agent.name;
    for node in &pair.control_nodes {
        wait(pair, &format!("the routes of {name}"), || {
            let routes = node.status().ok()?["clients"][name]["routes"].as_u64()?;
            count(routes).then_some(())
        });
    }
}

/// `tor1` has learned so many MACs, and `tor2` has all of them.
pub(crate) fn travelled(pair: &Pair, macs: usize) {
    for number in 0..macs {
        learn(&pair.switches[0], &mac(number), TOR[0]);
    }
    wait(pair, "every MAC in tor2", || {
        (remote(&pair.switches[1]).len() == macs).then_some(())
    });
}

/// Everything that happened so far has reached `tor2`: a MAC that came last has, and is gone again.
pub(crate) fn converged(pair: &Pair) {
    const LAST: &str = "02:00:00:00:ff:ff";
    learn(&pair.switches[0], LAST, TOR[0]);
    installed(pair, 1, LAST, Some(TOR[0]));
    forget(&pair.switches[0], LAST);
    installed(pair, 1, LAST, None);
}

/// For how long a row was not there, in milliseconds.
pub(crate) fn gap(steps: &[(u64, bool)]) -> u64 {
    let mut gone = None;
    let mut missing = 0;
    for (at, there) in steps {
        match (there, gone) {
            (false, None) => gone = Some(at),
            (true, Some(since)) => {
                missing += at - since;
                gone = None;
            }
            (false, Some(_)) | (true, None) => {}
        }
    }
    assert_eq!(gone, None, "it is there again");
    missing
}

/// Waits until every agent that answers is complete at `count` control nodes, and connected to no other.
pub(crate) fn connected(pair: &Pair, count: usize) {
    wait(pair, &format!("agents with {count} control nodes"), || {
        let mut statuses = pair.agents.iter().filter_map(|agent| agent.status().ok());
        statuses.all(|status| complete(&status) == count).then_some(())
    });
}

fn complete(status: &Value) -> usize {
    let nodes = status["control_nodes"].as_array().cloned().unwrap_or_default();
    let complete = |node: &&Value| {
        !node["name"].is_null() && node["instances"] != 0 && node["instances"] == node["instances_complete"]
    };
    // One that was lost counts as such only when it is known to be.
    let half = nodes
        .iter()
        .filter(|node| !node["name"].is_null() && !complete(node))
        .count();
    nodes.iter().filter(complete).count() + 100 * half
}

/// The switch learns a MAC behind this tunnel end.
pub(crate) fn learn(switch: &Switch, mac: &str, vtep: &str) {
    switch
        .vtep_ctl(&["add-ucast-local", BLUE, mac, vtep])
        .expect("vtep-ctl");
}

/// The switch forgets it.
pub(crate) fn forget(switch: &Switch, mac: &str) {
    switch.vtep_ctl(&["del-ucast-local", BLUE, mac]).expect("vtep-ctl");
}

/// MAC to tunnel end of every row of `Ucast_Macs_Remote`.
pub(crate) fn remote(switch: &Switch) -> BTreeMap<String, String> {
    let contents = Contents::of(&switch.snapshot().expect("a snapshot"));
    let rows = contents.remote.into_iter();
    rows.map(|(logical_switch, mac, vtep)| {
        assert_eq!(logical_switch, BLUE);
        (mac, vtep)
    })
    .collect()
}

/// Waits until a switch has this MAC behind this tunnel end; `None`: nowhere.
pub(crate) fn installed(pair: &Pair, switch: usize, mac: &str, vtep: Option<&str>) {
    wait(pair, &format!("{mac} at {vtep:?} in tor{}", switch + 1), || {
        let remote = remote(&pair.switches[switch]);
        (remote.get(mac).map(String::as_str) == vtep).then_some(())
    });
}

/// The changes of the rows of `Ucast_Macs_Remote`, by MAC: the time, and whether the row is there afterwards.
pub(crate) type History = BTreeMap<String, Vec<(u64, bool)>>;

/// The changes since the log of the switch had so many transactions.
pub(crate) fn history(switch: &Switch, since: usize) -> History {
    let mut macs = BTreeMap::new();
    let mut history = History::new();
    for (number, Transaction { unix_ms, changes, .. }) in switch.log().expect("a log").into_iter().enumerate() {
        // A row that is replaced in one transaction is never missing.
        let (mut gone, mut there) = (BTreeSet::new(), BTreeSet::new());
        for change in changes.iter().filter(|change| change.table == "Ucast_Macs_Remote") {
            match change.kind {
                ChangeKind::Inserted => {
                    let mac = change.columns["MAC"].as_str().expect("a MAC").to_owned();
                    macs.insert(change.row.clone(), mac.clone());
                    there.insert(mac);
                }
                ChangeKind::Deleted => drop(gone.insert(macs[&change.row].clone())),
                ChangeKind::Modified => {}
            }
        }
        if number >= since {
            for mac in gone.difference(&there) {
                history.entry(mac.clone()).or_default().push((unix_ms, false));
            }
            for mac in there.difference(&gone) {
                history.entry(mac.clone()).or_default().push((unix_ms, true));
            }
        }
    }
    history
}

/// Fails if a switch has deleted a remote MAC since its log had so many transactions.
pub(crate) fn nothing_was_deleted(switch: &Switch, since: usize) {
    let history = history(switch, since);
    let deleted = |steps: &&Vec<(u64, bool)>| steps.iter().any(|(_, there)| !there);
    assert_eq!(history.values().filter(deleted).count(), 0, "{history:?}");
}

/// The number of transactions in the log of a switch.
pub(crate) fn transactions(switch: &Switch) -> usize {
    switch.log().expect("a log").len()
}

/// A MAC for each number.
pub(crate) fn mac(number: usize) -> String {
    format!("02:00:00:00:{:02x}:{:02x}", number >> 8, number & 0xff)
}

pub(crate) fn wait<T>(pair: &Pair, what: &str, condition: impl FnMut() -> Option<T>) -> T {
    pair.scratch
        .wait_until(what, LONG, condition)
        .unwrap_or_else(|error| panic!("{error}"))
}
