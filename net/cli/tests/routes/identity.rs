//! A certificate is a name: no other client disturbs an agent, and no client publishes the tunnel end of another.

use std::net::Ipv4Addr;
use std::path::Path;

use tandem_lab::agent::AgentOptions;
use tandem_lab::pki::Credentials;
use tandem_lab::{Agent, ControlNode, Pair, Scratch};

use crate::system::{TOR, audited, connected, installed, learn, start, wait};

const MAC: &str = "02:00:00:00:00:07";

/// Another agent, on an address and in a folder of its own.
fn stranger(pair: &Pair, scratch: &Scratch, part: u8, name: &str, credentials: Credentials) -> Agent {
    let address = pair.loopback.address(part);
    let mut options = AgentOptions::new(name, address, Ipv4Addr::new(10, 0, 0, 99), credentials);
    options.control.clone_from(&pair.agents[0].options().control);
    options.listen.orders = scratch.path().join(format!("{part}.sock"));
    Agent::start(scratch, Path::new(env!("CARGO_BIN_EXE_tandem")), options).expect("an agent")
}

/// Waits until a control node has logged a refused client with all of these words.
fn refused(pair: &Pair, words: &[&str]) {
    let words = [&["WARN", "ClientRefused:"], words].concat();
    for node in &pair.control_nodes {
        wait(pair, &format!("a line with {words:?}"), || {
            (!node.lines(&words).is_empty()).then_some(())
        });
    }
}

fn refusals(node: &ControlNode, client: &str) -> u64 {
    let status = node.status().unwrap_or_default();
    status["clients"][client]["refused"]["foreign_next_hop"]
        .as_u64()
        .unwrap_or(0)
}

#[test]
fn no_other_certificate_speaks_for_an_agent_and_unknown_clients_are_refused() {
    let pair = start();
    let owner = audited(&pair, "tor1");
    let scratch = Scratch::new().expect("a folder");
    let credentials = pair.pki.issue("intruder").expect("a certificate");
    let _intruder = stranger(&pair, &scratch, 91, "intruder", credentials);
    refused(
        &pair,
        &["intruder from", "the certificate of intruder (sha256:", "`[[client]]`"],
    );
    let other = pair.agents[1 - owner].options().agent.name.clone();
    let name = pair.agents[owner].options().agent.name.clone();
    let stolen = &pair.agents[1 - owner].options().tls;
    let credentials = Credentials {
        certificate: stolen.certificate.clone(),
        private_key: stolen.private_key.clone(),
        ca: stolen.ca.clone(),
    };
    let _impostor = stranger(&pair, &scratch, 92, &name, credentials);
    let words = format!("the certificate of {other} (sha256:");
    refused(
        &pair,
        &[
            &format!("{name} from"),
            &words,
            &format!("does not contain the name {name}"),
        ],
    );
    // The live agents were not disturbed.
    connected(&pair, 2);
    for node in &pair.control_nodes {
        assert_eq!(node.lines(&["ClientDown:", &name]), Vec::<String>::new());
    }
    learn(&pair.switches[0], MAC, TOR[0]);
    installed(&pair, 1, MAC, Some(TOR[0]));
}

#[test]
fn a_foreign_tunnel_end_reaches_no_switch_until_the_inventory_gives_it_to_the_agent() {
    const FOREIGN: &str = "10.0.9.9";
    let mut pair = start();
    let owner = audited(&pair, "tor1");
    let name = pair.agents[owner].options().agent.name.clone();
    learn(&pair.switches[0], MAC, FOREIGN);
    for node in &pair.control_nodes {
        wait(&pair, "a refused route", || (refusals(node, &name) > 0).then_some(()));
        assert!(!node.lines(&["WARN", "RouteRefused:", &name, MAC, FOREIGN]).is_empty());
        let status = node.status().expect("a status");
        assert_eq!(status["clients"][&name]["foreign_next_hops"][0], FOREIGN);
    }
    learn(&pair.switches[0], "02:00:00:00:00:08", TOR[0]);
    installed(&pair, 1, "02:00:00:00:00:08", Some(TOR[0]));
    installed(&pair, 1, MAC, None);

    for node in &mut pair.control_nodes {
        let mut options = node.options().clone();
        options.inventory.revision += 1;
        let client = format!("client = [{{ name = \"agent-*\", next_hops = [\"{FOREIGN}\"] }}]");
        options.more = client.parse().expect("TOML");
        node.reload(options).expect("a reload");
    }
    installed(&pair, 1, MAC, Some(FOREIGN));
}
