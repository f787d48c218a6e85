//! Connections that send nothing, at the ports that agents and control nodes have for each other.

use std::net::{SocketAddr, TcpStream};

use crate::system::{connected, start_with, wait};

/// More than a port keeps of those.
fn silent(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let dial = || TcpStream::connect(address).expect("connected");
    std::iter::repeat_with(dial).take(count).collect()
}

#[test]
fn silent_connections_keep_no_agent_from_its_control_nodes_and_none_from_its_peer() {
    let mut pair = start_with(|options| options.peer = true);
    let peer_port = pair.agents[1].options().peer.as_ref().expect("a peer").listen;
    let mut held = silent(peer_port, 100);
    for node in &pair.control_nodes {
        held.extend(silent(node.options().control.listen, 300));
        let full = || {
            node.lines(&["WARN", "StreamEnded: ", "closed for a newer connection"])
                .pop()
        };
        println!("{}", wait(&pair, "a full port", full));
    }
    pair.agents[0].restart().expect("restarted");
    connected(&pair, 2);
    wait(&pair, "the link of the pair", || {
        let status = pair.agents[1].status().ok()?;
        (status["peer"]["agent"] == "agent-a" && status["grade"] == "fit").then_some(())
    });
    wait(&pair, "a fit agent", || {
        let status = pair.agents[0].status().ok()?;
        (status["grade"] == "fit").then_some(())
    });
    println!("{} connections were open all the time", held.len());
}
