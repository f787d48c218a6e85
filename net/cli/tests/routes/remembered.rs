//! A power cut of the whole site: agents start without a control node, and serve switches with what they remember.

use crate::system::{
    TOR, audited, connected, installed, learn, mac, nothing_was_deleted, remote, start_with, transactions, wait,
};

const MACS: usize = 20;

#[test]
fn agents_that_start_without_a_control_node_serve_switches_with_what_they_remember() {
    let mut pair = start_with(|options| options.remember = true);
    for number in 0..MACS {
        learn(&pair.switches[0], &mac(number), TOR[0]);
    }
    wait(&pair, "every MAC", || {
        (remote(&pair.switches[1]).len() == MACS).then_some(())
    });
    for node in &mut pair.control_nodes {
        node.process.kill().expect("killed");
    }
    for agent in &mut pair.agents {
        agent.process.kill().expect("killed");
    }
    let since = [0, 1].map(|switch| transactions(&pair.switches[switch]));
    for agent in &mut pair.agents {
        agent.restart().expect("started again");
    }
    for switch in ["tor1", "tor2"] {
        audited(&pair, switch);
    }
    for agent in 0..pair.agents.len() {
        wait(&pair, "the remembered revision", || {
            let status = pair.agents[agent].status().ok()?;
            let is_as_expected = status["remembered"] == true && status["revision"] == 1 && status["grade"] != "fit";
            is_as_expected.then_some(())
        });
        assert_eq!(pair.agents[agent].lines(&["Recalled: ", "revision 1"]).len(), 1);
    }

    for node in &mut pair.control_nodes {
        node.restart().expect("started again");
    }
    connected(&pair, 2);
    for agent in 0..pair.agents.len() {
        wait(&pair, "a control node that configures the agent", || {
            let status = pair.agents[agent].status().ok()?;
            (status["remembered"] == false && status["grade"] == "fit").then_some(())
        });
    }
    learn(&pair.switches[0], "02:00:00:00:ff:01", TOR[0]);
    installed(&pair, 1, "02:00:00:00:ff:01", Some(TOR[0]));
    for (switch, since) in pair.switches.iter().zip(since) {
        nothing_was_deleted(switch, since);
    }
}
