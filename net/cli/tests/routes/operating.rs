//! An operator at a control node: reads its status, reloads it, ends it.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use tandem_lab::agent::RemoteMac;
use tandem_lab::{Pair, Pki, Signal};

use crate::system::{BLUE, TOR, audited, installed, start, wait};

const MAC: &str = "02:00:00:00:00:09";

#[test]
fn a_new_inventory_reaches_switches_at_once_and_a_bad_one_changes_nothing() {
    let mut pair = start();
    let file = pair.control_nodes[0].file();
    let good = std::fs::read_to_string(&file).expect("its file");
    std::fs::write(&file, good.replace("vni = 5001", "vni = 0")).expect("written");
    pair.control_nodes[0].process.signal(Signal::SIGHUP).expect("a signal");
    wait(&pair, "a complaint", || {
        pair.control_nodes[0]
            .lines(&["ReloadFailed: 1 problem; nothing is changed"])
            .pop()
    });
    let status = wait(&pair, "the reload in the status", || {
        let status = pair.control_nodes[0].status().ok()?;
        (status["reload"]["successful"] == false).then_some(status)
    });
    assert_eq!((&status["format"], &status["name"]), (&json!(1), &json!("control-1")));
    let problem = status["reload"]["problems"][0].as_str().expect("a problem");
    assert!(problem.contains("control.toml:"), "{problem}");

    // Every agent follows the newer revision, and names the other control node until it has caught up.
    let disagrees = |pair: &Pair, agent: usize| -> Option<Vec<bool>> {
        let status = pair.agents[agent].status().ok()?;
        let nodes = status["control_nodes"].as_array()?;
        nodes.iter().map(|node| node["disagrees"].as_bool()).collect()
    };
    for (node, expected) in [(1, [true, false]), (0, [false, false])] {
        let mut options = pair.control_nodes[node].options().clone();
        options.inventory.revision += 1;
        options.network[0].remote_macs.push(RemoteMac {
            mac: MAC.into(),
            vtep: Ipv4Addr::new(10, 0, 9, 9),
        });
        pair.control_nodes[node].reload(options).expect("reloaded");
        for switch in 0..2 {
            installed(&pair, switch, MAC, Some("10.0.9.9"));
        }
        for agent in 0..2 {
            wait(&pair, "the disagreement", || {
                disagrees(&pair, agent).filter(|found| *found == expected).map(drop)
            });
        }
    }
    for agent in &pair.agents {
        assert_ne!(
            agent.lines(&["RevisionOutdated", "revision 1 ignored: revision 2 is in force"]),
            [] as [&str; 0]
        );
    }
}

#[test]
fn a_certificate_that_moved_is_shown_to_control_nodes_after_a_reload() {
    let mut pair = start();
    let mut options = pair.agents[0].options().clone();
    // The same name, and another key: the files of the old one are gone.
    let issued = pair.pki.issue("agent-a").expect("a certificate");
    let moved = ["cert", "key"].map(|part| issued.ca.with_file_name(format!("moved-{part}.pem")));
    std::fs::rename(issued.certificate, &moved[0]).expect("moved");
    std::fs::rename(issued.private_key, &moved[1]).expect("moved");
    [options.tls.certificate, options.tls.private_key] = moved;
    pair.agents[0].reload(options).expect("reloaded");
    wait(&pair, "the reload", || pair.agents[0].lines(&["Reloaded: "]).pop());
    pair.control_nodes[0].restart().expect("a control node");
    wait(&pair, "the agent at the control node", || {
        pair.control_nodes[0].status().ok()?["clients"].get("agent-a").map(drop)
    });
}

#[test]
fn a_port_that_is_taken_is_named_as_the_file_of_the_control_node_names_it() {
    let mut pair = start();
    let [one, other] = [0, 1].map(|node| pair.control_nodes[node].options().control.clone());
    let file = pair.control_nodes[1].file();
    let good = std::fs::read_to_string(&file).expect("its file");
    for (key, own, taken) in [("listen", other.listen, one.listen), ("http", other.http, one.http)] {
        std::fs::write(&file, good.replace(&own.to_string(), &taken.to_string())).expect("written");
        pair.control_nodes[1].restart().expect("a control node");
        wait(&pair, "its complaint", || {
            let words = ["the control node cannot start: ", "Address already in use"];
            let lines = pair.control_nodes[1].lines(&words);
            lines
                .into_iter()
                .find(|line| line.contains(&format!("[control] {key}")))
        });
    }
}

#[test]
fn health_and_metrics_are_served_by_control_nodes_as_by_agents() {
    let pair = start();
    for node in &pair.control_nodes {
        let metrics = node.http("/metrics").expect("metrics");
        for line in [
            "tandem_worker_up 1.0\n",
            "tandem_clients 2.0\n",
            "tandem_inventory_revision 1.0\n",
            "tandem_instance_subscribers{instance=\"default-domain:default-project:blue:blue\"} 2.0\n",
            "tandem_switch_owners{switch=\"tor1\",network=\"6f1c0d0e-0000-4000-8000-000000000001\"} ",
        ] {
            assert!(metrics.contains(line), "{line} in {metrics}");
        }
        assert!(!metrics.contains("tandem_accepted_connections_total 0\n"), "{metrics}");
        assert_eq!(node.http("/health").expect("its health"), "fit\n");
    }
    let metrics = pair.agents[0].http("/metrics").expect("metrics");
    assert_eq!(metrics.matches("tandem_control_node_up{").count(), 2, "{metrics}");
}

#[test]
fn control_nodes_see_who_owns_a_switch_that_takes_broadcasts() {
    let pair = start();
    pair.switches[0]
        .vtep_ctl(&["add-mcast-local", BLUE, "unknown-dst", TOR[0]])
        .expect("vtep-ctl");
    let owner = &pair.agents[audited(&pair, "tor1")].options().agent.name;
    for node in &pair.control_nodes {
        wait(&pair, "one owner of tor1", || {
            let status = node.status().ok()?;
            let fingerprint = |status: &Value| status["switches"]["tor1"]["fingerprint"].clone();
            for agent in &pair.agents {
                let of_agent = agent.status().expect("a status");
                assert_eq!(fingerprint(&of_agent), fingerprint(&status), "they mean the same");
                assert_eq!(of_agent["revision"], status["revision"]);
            }
            let owners = status["switches"]["tor1"]["owners"]
                .as_object()?
                .values()
                .next()?
                .clone();
            (owners == json!([owner])).then_some(())
        });
    }
}

#[test]
fn an_agent_that_trusts_another_ca_than_its_control_nodes_have_names_the_key_of_its_file() {
    let mut pair = start();
    let folder = pair.scratch.path().join("strangers");
    std::fs::create_dir(&folder).expect("a folder");
    let strangers = Pki::new(folder).expect("an authority");
    let mut options = pair.agents[0].options().clone();
    options.control.as_mut().expect("control nodes").ca = strangers.ca();
    pair.agents[0].reload(options).expect("reloaded");
    pair.agents[0].restart().expect("an agent");
    wait(&pair, "the reason in the agent's log", || {
        let words = ["UplinkDown", "control.ca"];
        pair.agents[0].lines(&words).pop()
    });
}

#[test]
fn an_agent_that_drains_without_switches_ends_its_streams_to_the_control_nodes() {
    let pair = start();
    let idle = 1 - audited(&pair, "tor1");
    let name = pair.agents[idle].options().agent.name.clone();
    pair.agents[idle].process.terminate().expect("a signal");
    let status = wait(&pair, "the end of an agent", || pair.agents[idle].process.exited());
    assert!(status.success(), "{status}");
    for node in &pair.control_nodes {
        wait(&pair, "the control node to notice it", || {
            node.lines(&["ClientDown", &name, "the peer ended the stream"]).pop()
        });
    }
}

#[test]
fn a_control_node_that_stops_ends_its_streams_to_the_agents() {
    let mut pair = start();
    let node = &mut pair.control_nodes[0];
    node.process.signal(Signal::SIGTERM).expect("a signal");
    let status = wait(&pair, "the end of a control node", || {
        pair.control_nodes[0].process.exited()
    });
    assert!(status.success(), "{status}");
    assert_eq!(pair.control_nodes[0].lines(&["Stopped"]).len(), 1);
    for agent in &pair.agents {
        wait(&pair, "the agent to notice it", || {
            agent.lines(&["UplinkDown", "the peer ended the stream"]).pop()
        });
    }
}
