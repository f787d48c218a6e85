//! An agent of theirs at our control node.

use std::fs;
use std::net::{SocketAddr, TcpStream};

use tandem_lab::{Launch, Program, Stage};

use crate::agent_bytes::{
    ASSOCIATE, ASSOCIATE_BROADCAST, ASSOCIATE_REPLICATOR, DISSOCIATE, ITEM, LEAF_ITEM, OPENING, PUBLISH,
    PUBLISH_BROADCAST, PUBLISH_ONCE_MORE, PUBLISH_REPLICATOR, SUBSCRIBE, SUBSCRIBE_CONFIGURATION,
};
use crate::line::{Line, values};

/// The agent of the switch, and another subscriber.
const TOR: &str = "tor-agent-1";
const OTHER: &str = "vrouter-9";
const TSN: &str = "tsn-1";

#[test]
fn an_agent_of_theirs_is_configured_and_its_routes_come_back_to_it_and_reach_others() {
    let node = Node::start();
    let mut tor = node.connect(TOR);
    let mut other = node.connect(OTHER);
    node.expect_configuration(&mut tor);

    for (line, name) in [(&mut tor, TOR), (&mut other, OTHER)] {
        line.send(&of(name, SUBSCRIBE));
    }
    tor.send(PUBLISH);
    tor.send(ASSOCIATE);
    node.expect_item(&mut tor, TOR);
    node.expect_item(&mut other, OTHER);

    tor.send(PUBLISH_ONCE_MORE);
    tor.send(DISSOCIATE);
    node.expect_retract(&mut tor);
    node.expect_retract(&mut other);

    tor.send(PUBLISH);
    tor.send(ASSOCIATE);
    node.expect_item(&mut other, OTHER);
    drop(tor);
    node.expect_retract(&mut other);
}

#[test]
fn a_services_node_of_theirs_receives_the_switch_to_which_it_copies_broadcasts() {
    let node = Node::start();
    let mut tor = node.connect(TOR);
    let mut tsn = node.connect(TSN);
    tsn.send(&of(TSN, SUBSCRIBE));
    tsn.send(PUBLISH_REPLICATOR);
    tsn.send(ASSOCIATE_REPLICATOR);

    tor.send(SUBSCRIBE);
    tor.send(PUBLISH_BROADCAST);
    tor.send(ASSOCIATE_BROADCAST);
    let item = node.expect(&mut tsn, "<item ");
    let expected = LEAF_ITEM.map(|(_, value)| value);
    assert_eq!(values(&item, LEAF_ITEM.map(|(after, _)| after)), expected, "{item}");

    // The switch's agent receives no broadcast route: its first item is another one.
    tor.send(PUBLISH);
    tor.send(ASSOCIATE);
    node.expect_item(&mut tor, TOR);
    drop(tor);
    let retracts = ["101-00:11:22:33:44:55,0.0.0.0/32", "101-ff:ff:ff:ff:ff:ff,0.0.0.0/32"];
    let mut gone: Vec<String> = retracts.map(Into::into).into();
    node.wait("both to go", || {
        let stanza = tsn.stanza()?;
        gone.retain(|route| !stanza.contains(&format!("<retract id=\"{route}\" />")));
        gone.is_empty().then_some(())
    });
}

#[test]
fn a_session_lives_on_their_keepalive_alone_and_ends_without() {
    let node = Node::start();
    // Both have sent the same; the one that sends no keepalive came last.
    let [mut alive, mut silent] = [TOR, OTHER].map(|name| {
        let mut line = node.connect(name);
        line.send(&of(name, SUBSCRIBE));
        line
    });
    silent.keepalive = false;
    node.wait("the end of the one that is silent", || {
        while alive.stanza().is_some() || silent.stanza().is_some() {}
        silent.ended.then_some(())
    });
    assert!(!alive.ended);
    assert!(
        alive.keepalives_received > 0,
        "without keepalives of ours it would have closed, too"
    );
    alive.send(PUBLISH);
    alive.send(ASSOCIATE);
    node.expect_item(&mut alive, TOR);
}

/// A control node of ours, with one switch for that agent.
struct Node {
    stage: Stage,
    address: SocketAddr,
    process: Program,
}

impl Node {
    fn start() -> Self {
        let stage = Stage::new().expect("a stage");
        let address = SocketAddr::from((stage.loopback.address(21), stage.loopback.port(6653)));
        let folder = stage.scratch.folder("ctrl-1").expect("a folder");
        let file = folder.join("control.toml");
        fs::write(&file, configuration(address)).expect("a file");
        let launch = Launch::new(env!("CARGO_BIN_EXE_tandem")).expect("a program");
        let launch = launch.args(["control", "--config"]).arg(file);
        Self {
            process: launch.start(folder.join("control.log")).expect("a control node"),
            stage,
            address,
        }
    }

    /// A client that has opened its stream as theirs do.
    fn connect(&self, name: &str) -> Line {
        let stream = self.wait("the control node's port", || TcpStream::connect(self.address).ok());
        let mut line = Line::new(stream);
        line.send(&of(name, OPENING));
        let opening = self.wait("its answer", || line.opening());
        let attributes = values(&opening, ["<stream:stream", " from=\"", " to=\"", " id=\""]);
        assert_eq!(attributes[1..], ["ctrl-1", name, "++123"]);
        // An agent's stream is open now, and it sends a keepalive.
        line.send_keepalive();
        line
    }

    /// The client receives the graph around the agent's virtual router, in any order.
    fn expect_configuration(&self, line: &mut Line) {
        line.send(SUBSCRIBE_CONFIGURATION);
        let mut graph = String::new();
        self.wait("the last node", || {
            let stanza = line.stanza()?;
            let to = values(&stanza, ["<iq type=\"", " from=\"", " to=\"", "<config>"]);
            let agent = "default-global-system-config:tor-agent-1/config";
            assert_eq!(to[..3], ["set", "network-control@contrailsystems.com", agent]);
            graph += &stanza;
            let network = "<node type=\"virtual-network\"><name>default-domain:demo:vn1</name><";
            (graph.contains(network) && graph.contains("tandem-revision")).then_some(())
        });
        let property = |kind: &str, name: &str, after: &[&str]| {
            let node = format!("<node type=\"{kind}\"><name>{name}</name><");
            let start = graph.find(&node).unwrap_or_else(|| panic!("no {node} in {graph}"));
            let node = graph[start..].split("</node>").next().unwrap_or_default();
            values(node, after.iter().copied()).pop().unwrap_or_default()
        };
        let tor = "default-global-system-config:bms-tor1";
        let port = "default-global-system-config:bms-tor1:ge-0/0/10";
        let vlan = "default-global-system-config:bms-tor1:ge-0/0/10:ge-0/0/10.100";
        let network = "default-domain:demo:vn1";
        let global = "default-global-system-config:default-global-vrouter-config";
        for (kind, name, after, value) in [
            ("physical-router", tor, &["<display-name>"][..], "bms-tor1"),
            (
                "physical-router",
                tor,
                &["<physical-router-dataplane-ip>"],
                "10.10.10.20",
            ),
            ("physical-interface", port, &["<display-name>"], "ge-0/0/10"),
            ("logical-interface", vlan, &["<logical-interface-vlan-tag>"], "100"),
            ("virtual-network", network, &["<virtual-network-network-id>"], "101"),
            ("virtual-network", network, &["<vxlan-network-identifier>"], "101"),
            (
                "virtual-network",
                network,
                &["<id-perms>", "<uuid>", "<uuid-mslong>"],
                "8006288591338618880",
            ),
            (
                "virtual-network",
                network,
                &["<id-perms>", "<uuid>", "<uuid-lslong>"],
                "9223372036854775809",
            ),
            (
                "global-vrouter-config",
                global,
                &["<vxlan-network-identifier-mode>"],
                "configured",
            ),
        ] {
            assert_eq!(property(kind, name, after), value, "{after:?} of {name}");
        }
        for link in [
            "physical-router-virtual-router",
            "physical-router-physical-interface",
            "physical-interface-logical-interface",
            "logical-interface-virtual-machine-interface",
            "virtual-machine-interface-virtual-network",
            "virtual-network-routing-instance",
        ] {
            assert!(
                graph.contains(&format!("<metadata type=\"{link}\" /></link>")),
                "{link} in {graph}"
            );
        }
    }

    fn expect_item(&self, line: &mut Line, name: &str) {
        let item = self.expect(line, "<item ");
        let expected = ITEM.map(|(_, value)| value.replace(TOR, name));
        assert_eq!(values(&item, ITEM.map(|(after, _)| after)), expected, "{item}");
    }

    fn expect_retract(&self, line: &mut Line) {
        let retract = self.expect(line, "<retract ");
        let found = values(&retract, ["<items node=\"", "<retract id=\"", "</items"]);
        let [instance, route] = ["25/242/default-domain:demo:vn1:vn1", "101-00:11:22:33:44:55,0.0.0.0/32"];
        assert_eq!(found, [instance, route, ">"], "{retract}");
    }

    /// The next stanza with this in it. An agent of theirs takes no notice of items that are none.
    fn expect(&self, line: &mut Line, what: &str) -> String {
        self.wait(what, || {
            assert!(!line.ended, "{}", self.process.log());
            line.stanza().filter(|stanza| stanza.contains(what))
        })
    }

    fn wait<T>(&self, what: &str, condition: impl FnMut() -> Option<T>) -> T {
        self.stage
            .wait(what, condition)
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

/// The text as this client sends it.
fn of(name: &str, text: &str) -> String {
    text.replace(TOR, name)
}

fn configuration(address: SocketAddr) -> String {
    format!(
        r#"
[control]
name = "ctrl-1"
listen = "{address}"
http = "off"
tls = false

[inventory]
revision = 1

[[network]]
name = "default-domain:demo:vn1"
uuid = "6f1c0d0e-0000-4000-8000-000000000001"
vni = 101

[[client]]
name = "{OTHER}"

[[client]]
name = "{TSN}"
next_hops = ["10.84.5.11"]

[[switch]]
name = "bms-tor1"
vtep = "10.10.10.20"
agents = ["tor-agent-1"]
ports = [ {{ port = "ge-0/0/10", vlan = 100, network = "default-domain:demo:vn1" }} ]
"#
    )
}
