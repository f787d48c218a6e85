//! Alarms of a pair with a peer link: switches without an owner, different configurations, a dead services node.

use std::net::TcpListener;

use tandem_lab::pair::{Pair, PairOptions};

use crate::pair::{audited, audited_by, options, owner_among, proxied, start, wait};

fn with_peer() -> PairOptions {
    let mut options = options();
    options.peer = true;
    options
}

/// Waits until an agent's log, metrics and status show an alarm of the switch.
fn alarmed(pair: &Pair, agent: usize, alarm: &str, line: &str) {
    let agent = &pair.agents[agent];
    wait(pair, &format!("the alarm `{alarm}`"), || {
        let metrics = agent.http("/metrics").ok()?;
        let metric = format!("tandem_switch_alarm{{switch=\"tor1\",alarm=\"{alarm}\"}} 1.0\n");
        let status = agent.status().ok()?;
        let alarms = status["switches"]["tor1"]["alarms"].as_array()?;
        let logged = agent.log().iter().any(|it| it.contains(line));
        (metrics.contains(&metric) && alarms.iter().any(|it| it == alarm) && logged).then_some(())
    });
}

/// Waits until the agents show no alarm, and the log has this line.
fn calm(pair: &Pair, line: &str) {
    for agent in &pair.agents {
        wait(pair, "the end of the alarm", || {
            let status = agent.status().ok()?;
            let alarms = status["switches"]["tor1"]["alarms"].as_array()?;
            let logged = agent.log().iter().any(|it| it.contains(line));
            (alarms.is_empty() && logged).then_some(())
        });
    }
}

#[test]
fn a_switch_that_no_agent_owns_is_named_until_one_owns_it_again() {
    let mut pair = start(&with_peer());
    audited(&pair, "tor1");
    pair.switches[0].process.kill().expect("killed");
    for agent in 0..2 {
        alarmed(&pair, agent, "ownerless", "Mastership: no agent owns tor1");
    }
    pair.switches[0].restart_with_database().expect("started again");
    audited(&pair, "tor1");
    calm(&pair, "Mastership: agent-");
}

#[test]
fn a_pair_with_different_configurations_shows_it_until_they_are_alike() {
    let mut pair = start(&with_peer());
    audited(&pair, "tor1");
    let alike = pair.agents[1].options().clone();
    let mut different = alike.clone();
    different.network[0].vni += 1;
    pair.agents[1].reload(different).expect("reloaded");
    for agent in 0..2 {
        alarmed(
            &pair,
            agent,
            "disagreed",
            "Disagreed: the configuration of tor1 differs",
        );
    }
    pair.agents[1].reload(alike).expect("reloaded");
    calm(&pair, "Agreed: the configuration of tor1");
}

#[test]
fn an_agent_whose_services_node_dies_hands_its_switch_over_and_is_fit_again_when_it_lives() {
    let mut pair = start(&with_peer());
    audited(&pair, "tor1");
    let tsn = TcpListener::bind((pair.loopback.address(40), 0)).expect("a port");
    let address = tsn.local_addr().expect("its address");
    let mut options = pair.agents[0].options().clone();
    let probe = format!("tsn = {{ probe = \"tcp\", address = \"{address}\", interval = \"100ms\" }}");
    options.more = probe.parse().expect("TOML");
    pair.agents[0].reload(options).expect("written");
    pair.agents[0].restart().expect("started again");
    let graded = |pair: &Pair, grade: &str, alive: bool| {
        wait(pair, &format!("agent-a to be {grade}"), || {
            let status = pair.agents[0].status().ok()?;
            (status["grade"] == grade && status["tsn_alive"] == alive).then_some(())
        });
    };
    graded(&pair, "fit", true);
    proxied(&pair, 0, "UP");
    // It may have gone to the other one meanwhile.
    if owner_among(&pair, &[0, 1]) == 1 {
        pair.agents[1].restart().expect("started again");
        audited_by(&pair, 0, "tor1");
        wait(&pair, "a report of agent-b at agent-a", || {
            let status = pair.agents[0].status().ok()?;
            (status["peer"]["grade"] == "fit").then_some(())
        });
        proxied(&pair, 1, "UP");
    }

    drop(tsn);
    graded(&pair, "isolated", false);
    audited_by(&pair, 1, "tor1");
    proxied(&pair, 0, "DRAIN (agent)");
    let _tsn = TcpListener::bind(address).expect("the same port");
    graded(&pair, "fit", true);
    proxied(&pair, 0, "UP");
    let is_logged = |word: &str| pair.agents[0].log().iter().any(|line| line.contains(word));
    assert!(is_logged("TsnDown: the services node is dead: "));
}
