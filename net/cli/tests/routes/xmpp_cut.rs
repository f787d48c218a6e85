//! An agent loses its control nodes and keeps its switch.

use tandem_lab::{Pair, Relay};

use crate::system::{
    TOR, audited, audited_by, connected, converged, hold, installed, learn, nothing_was_deleted, published, remote,
    start_with, transactions, travelled, wait,
};

const MACS: usize = 50;

/// Waits until an agent is of this grade, and HAProxy takes it for this.
fn graded(pair: &Pair, agent: usize, grade: &str, server: &str) {
    wait(pair, &format!("agent {agent} to be {grade}"), || {
        let status = pair.agents[agent].status().ok()?;
        (status["grade"] == grade).then_some(())
    });
    let name = &pair.agents[agent].options().agent.name;
    wait(pair, &format!("{name} {server} at the proxy"), || {
        let servers = pair.haproxy.servers().ok()?;
        let server = servers.iter().find(|it| it.name == *name)?.status.starts_with(server);
        server.then_some(())
    });
}

fn cut_off_and_back(holds: bool) {
    let pair = start_with(|options| {
        (options.peer, options.relays) = (true, true);
        if holds {
            hold(options);
        }
    });
    travelled(&pair, MACS);
    let before = remote(&pair.switches[1]);
    let since = transactions(&pair.switches[1]);
    let owner = audited(&pair, "tor1");
    let name = &pair.agents[owner].options().agent.name;

    pair.relays[owner].control.iter().for_each(Relay::cut);
    for node in &pair.control_nodes {
        wait(&pair, "the routes to be removed", || {
            let down = node.lines(&["ClientDown", name]);
            down.first().map(|line| assert!(!line.contains(" 0 routes"), "{line}"))
        });
    }
    graded(&pair, owner, "isolated", "DRAIN");
    for switch in ["tor1", "tor2"] {
        audited_by(&pair, 1 - owner, switch);
    }
    published(&pair, 1 - owner, |routes| routes >= MACS as u64);
    wait(&pair, "the same rows in tor2", || {
        (remote(&pair.switches[1]) == before).then_some(())
    });

    pair.relays[owner].control.iter().for_each(Relay::restore);
    connected(&pair, 2);
    graded(&pair, owner, "fit", "UP");
    if holds {
        nothing_was_deleted(&pair.switches[1], since);
    }
    converged(&pair);
    assert_eq!(remote(&pair.switches[1]), before);
}

#[test]
fn an_agent_without_control_nodes_hands_its_switch_over_and_is_as_good_as_before_when_they_are_back() {
    cut_off_and_back(false);
}

#[test]
fn with_copies_no_mac_is_missing_when_an_agent_loses_its_control_nodes() {
    cut_off_and_back(true);
}

#[test]
fn two_agents_without_control_nodes_keep_their_switches() {
    let pair = start_with(|options| (options.peer, options.relays) = (true, true));
    travelled(&pair, MACS);
    let before = remote(&pair.switches[1]);
    let owners = ["tor1", "tor2"].map(|switch| audited(&pair, switch));
    let cut = || pair.relays.iter().flat_map(|relays| &relays.control);
    cut().for_each(Relay::cut);
    for agent in 0..2 {
        graded(&pair, agent, "alone", "UP");
    }
    assert_eq!(["tor1", "tor2"].map(|switch| audited(&pair, switch)), owners);
    assert_eq!(remote(&pair.switches[1]), before);
    cut().for_each(Relay::restore);
    connected(&pair, 2);
    learn(&pair.switches[0], "02:00:00:00:fe:01", TOR[0]);
    installed(&pair, 1, "02:00:00:00:fe:01", Some(TOR[0]));
}
