//! SIGHUP: the configuration is read again, and only differences reach the switch.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::SystemTime;

use tandem_lab::agent::{AgentOptions, NetworkSection, PortSection, RemoteMac};
use tandem_lab::pair::Pair;
use tandem_lab::snapshot::Difference;
use tandem_lab::switch::remote_mac;

use crate::events::{logged, opened};
use crate::pair::{
    BLUE, TSN, audited, audited_by, between, broadcast, changed, delete_remote_mac, nothing_flaps, remote, rewritten,
    sessions, start, vtep, wait, warm, with_macs,
};
use crate::watch::Watch;
use crate::writers::writers;

const RED: &str = "Contrail-6f1c0d0e-0000-4000-8000-000000000002";
const GREY: &str = "Contrail-6f1c0d0e-0000-4000-8000-000000000003";
const GREEN: &str = "Contrail-6f1c0d0e-0000-4000-8000-000000000004";

#[test]
fn only_what_differs_reaches_the_switch() {
    let mut options = with_macs(200);
    options.targets = 2;
    let mut pair = start(&options);
    let owner = audited(&pair, "tor1");
    warm(&pair, 1 - owner, 1);
    reload(&mut pair, |options| {
        options.network.extend([network(2, 5002, 15), network(3, 5003, 7)]);
        options.switch[0].ports = ports(&[("eth1", 10, "blue"), ("eth1", 20, "red"), ("eth2", 30, "grey")]);
    });
    converged(&pair, owner, &[BLUE, RED, GREY]);
    let (before, accepted) = (pair.switches[0].snapshot().expect("a snapshot"), opened(&pair));

    // Blue moves to another VLAN, red goes, grey gets another VNI, green comes.
    let asked = SystemTime::now();
    reload(&mut pair, |options| {
        options.network.retain(|network| network.name != "red");
        options
            .network
            .iter_mut()
            .find(|network| network.name == "grey")
            .expect("grey")
            .vni = 6003;
        options.network.push(network(4, 5004, 5));
        options.switch[0].ports = ports(&[("eth1", 11, "blue"), ("eth2", 30, "grey"), ("eth2", 40, "green")]);
    });
    converged(&pair, owner, &[BLUE, GREY, GREEN]);
    println!(
        "reload with four differences: converged after {}",
        between(asked, SystemTime::now())
    );
    let switch = &pair.switches[0];
    let differences = changed(switch, &before);
    let expected = [
        (("Logical_Switch", "deleted"), 1),
        (("Logical_Switch", "inserted"), 1),
        (("Logical_Switch", "modified"), 1),
        (("Mcast_Macs_Remote", "deleted"), 1),
        (("Mcast_Macs_Remote", "inserted"), 1),
        (("Physical_Port", "modified"), 2),
        (("Ucast_Macs_Remote", "deleted"), 15),
        (("Ucast_Macs_Remote", "inserted"), 5),
    ];
    assert_eq!(counted(&differences), BTreeMap::from(expected), "{differences:#?}");
    let bindings = |port| switch.vtep_ctl(&["list-bindings", "tor1", port]).expect("vtep-ctl");
    assert_eq!(bindings("eth1").trim(), format!("0011 {BLUE}"));
    assert_eq!(
        bindings("eth2").lines().collect::<Vec<_>>(),
        [format!("0030 {GREY}"), format!("0040 {GREEN}")]
    );
    assert_eq!(vni(&pair, GREY), 6003);

    // The same again is no difference.
    let written = switch.log().expect("a log").len();
    reload(&mut pair, |_| ());
    nothing_flaps(&pair);
    assert_eq!(
        (pair.switches[0].log().expect("a log").len(), opened(&pair)),
        (written, accepted)
    );

    // The warm agent has read it, too.
    let before = pair.switches[0].snapshot().expect("a snapshot");
    let watch = Watch::start(&pair.switches[0]);
    pair.agents[owner].process.kill().expect("killed");
    watch.until(&pair.scratch, TSN[1 - owner]);
    audited_by(&pair, 1 - owner, "tor1");
    let differences = changed(&pair.switches[0], &before);
    assert!(rewritten(&differences).is_empty(), "{differences:?}");
    assert_eq!(writers(&pair, 0), [owner, 1 - owner]);
}

/// Changes the configuration of both agents, and waits until both have read it.
fn reload(pair: &mut Pair, change: impl Fn(&mut AgentOptions)) {
    for agent in 0..2 {
        let read = logged(&pair.agents[agent], "Reloaded").len();
        let mut options = pair.agents[agent].options().clone();
        change(&mut options);
        pair.agents[agent].reload(options).expect("a signal");
        wait(pair, "the configuration to be read", || {
            (logged(&pair.agents[agent], "Reloaded").len() > read).then_some(())
        });
    }
}

/// Waits until these logical switches are there, each with its broadcast row, and the owner has nothing left to do.
fn converged(pair: &Pair, owner: usize, logical_switches: &[&str]) {
    let mut wanted: Vec<_> = logical_switches.to_vec();
    wanted.sort_unstable();
    wait(pair, "the configuration on the switch", || {
        let broadcast = broadcast(&pair.switches[0]);
        let session = sessions(pair, owner, "tor1").pop()?;
        let idle = session["pending"] == 0 && session["in_flight"] == 0;
        let read = session["rows_remote"] == session["rows_desired"];
        let there = broadcast.keys().eq(&wanted) && broadcast.values().all(|rows| *rows == [[TSN[owner]]]);
        let complete = remote(&pair.switches[0]).len() as u64 == session["rows_desired"].as_u64()?;
        (idle && read && there && complete).then_some(())
    });
}

fn counted(differences: &[Difference]) -> BTreeMap<(&str, &str), usize> {
    let mut counts = BTreeMap::new();
    // Broadcast rows that were written together share their locators.
    for difference in differences
        .iter()
        .filter(|row| !row.table.starts_with("Physical_Locator"))
    {
        let kind = match (&difference.before, &difference.after) {
            (None, _) => "inserted",
            (_, None) => "deleted",
            _ => "modified",
        };
        *counts.entry((difference.table.as_str(), kind)).or_default() += 1;
    }
    counts
}

fn vni(pair: &Pair, logical_switch: &str) -> u64 {
    let rows = pair.switches[0]
        .dump("Logical_Switch", &["name", "tunnel_key"])
        .expect("a table");
    let row = rows.iter().find(|row| row["name"] == logical_switch).expect("a row");
    row["tunnel_key"].as_u64().expect("a VNI")
}

/// Its MACs are at tunnel ends that blue has, too.
fn network(number: u32, vni: u32, macs: u32) -> NetworkSection {
    NetworkSection {
        name: ["", "blue", "red", "grey", "green"][number as usize].into(),
        uuid: format!("6f1c0d0e-0000-4000-8000-00000000000{number}"),
        vni,
        remote_macs: (0..macs)
            .map(|n| RemoteMac {
                mac: remote_mac(number * 10_000 + n),
                vtep: vtep(n),
            })
            .collect(),
        remote_macs_file: None,
    }
}

fn ports(bindings: &[(&str, u16, &str)]) -> Vec<PortSection> {
    let section = |(port, vlan, network): &(&str, u16, &str)| PortSection {
        port: (*port).into(),
        vlan: *vlan,
        network: (*network).into(),
    };
    bindings.iter().map(section).collect()
}

#[test]
fn a_file_that_lost_most_macs_deletes_them_when_an_operator_confirms_and_not_before() {
    let mut pair = start(&with_macs(100));
    let owner = audited(&pair, "tor1");
    reload(&mut pair, |options| {
        options.network[0] = network(1, options.network[0].vni, 5)
    });
    let agent = &pair.agents[owner];
    wait(&pair, "a line about deletions", || {
        agent.lines(&["ERROR", "DeletionsWithheld", "tor1"]).pop()
    });
    // A change that arrives after it: rows that are not withheld would be gone by then.
    wait(&pair, "the new rows", || {
        (remote(&pair.switches[0]).len() >= 105).then_some(())
    });
    delete_remote_mac(&pair.switches[0], &remote_mac(10_003));
    wait(&pair, "the row to be put back", || {
        (remote(&pair.switches[0]).len() == 105).then_some(())
    });
    let output = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["confirm", "tor1", "--socket"])
        .arg(&agent.options().listen.orders)
        .output()
        .expect("tandem confirm runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, "tor1: 100 withheld rows of network blue released\n");
    wait(&pair, "the deletions", || {
        (remote(&pair.switches[0]).len() == 5).then_some(())
    });
    wait(&pair, "a line about the order", || {
        agent.lines(&["DeletionsConfirmed"]).pop()
    });
}

#[test]
fn a_new_file_with_a_wrong_key_changes_nothing_at_all() {
    let mut pair = start(&with_macs(10));
    let owner = audited(&pair, "tor1");
    let before = pair.switches[0].snapshot().expect("a snapshot");
    let mut options = pair.agents[owner].options().clone();
    options.tls.private_key = pair.agents[1 - owner].options().tls.private_key.clone();
    options.network[0].vni = 7777;
    pair.agents[owner].reload(options).expect("a signal");
    wait(&pair, "a line with the reason", || {
        let log = pair.agents[owner].log();
        log.iter().any(|line| line.contains("nothing is changed")).then_some(())
    });
    // A change that arrives after it: the changes of the refused file would be there by then.
    delete_remote_mac(&pair.switches[0], &remote_mac(3));
    wait(&pair, "the row to be put back", || {
        (remote(&pair.switches[0]).len() == 10).then_some(())
    });
    let mut changed = changed(&pair.switches[0], &before);
    changed.retain(|row| !["Ucast_Macs_Remote", "Physical_Locator"].contains(&row.table.as_str()));
    assert!(changed.is_empty(), "{changed:?}");
}
