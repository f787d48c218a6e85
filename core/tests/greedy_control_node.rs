//! A control node that sends without end: routes beyond the bound are counted and logged, and harm no earlier route.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tandem_core::agent::uplinks::{Input, Options, Output, UplinkId, Uplinks, What};
use tandem_core::bounds::{GRAPH_BYTES, ROUTES_PER_CONTROL_NODE, UNUSABLE_NAMED};
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::evpn::{InstanceName, Key, NextHop, Path, Unusable};
use tandem_core::status::Ignored;
use tandem_core::xmpp::graph::{Change, Node, NodeId};
use tandem_core::xmpp::{Element, Stanza};
use tandem_core::{Mac, Machine, Time, Uuid, Vni};

const NETWORK: Uuid = Uuid(1);
const VTEP: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
#[allow(clippy::cast_possible_truncation, reason = "the bound is far below")]
const MOST: u32 = ROUTES_PER_CONTROL_NODE as u32;
const BLUE: &str = "default-domain:default-project:blue:blue";

/// An agent that takes part in the network `blue`, and has a session with a control node.
struct Agent {
    uplinks: Uplinks,
    session: UplinkId,
    outputs: Vec<Output>,
}

impl Agent {
    fn new() -> Self {
        let options = Options {
            nodes: vec![([10, 0, 0, 5], 5269).into()],
            certificates: Vec::new(),
            session: SessionOptions::new("agent-a", [10, 0, 0, 11].into()),
            stale_hold: None,
            seed: 1,
        };
        let mut agent = Self {
            uplinks: Uplinks::new(options.clone()),
            session: UplinkId(0),
            outputs: Vec::new(),
        };
        let configured = Input::Configured(Arc::new(configuration(options.session)));
        agent.handle(configured);
        let dialled = agent.outputs.iter().find_map(|output| match output {
            Output::Dial { id, .. } => Some(*id),
            _ => None,
        });
        agent.session = dialled.expect("a dial");
        agent.handle(Input::Opened {
            id: agent.session,
            name: "control-1".into(),
            ours: true,
            certificate: None,
        });
        agent.outputs.clear();
        agent
    }

    fn handle(&mut self, input: Input) {
        self.uplinks.handle(Time::ORIGIN, input);
        self.outputs.extend(std::iter::from_fn(|| self.uplinks.poll_output()));
    }

    fn receive(&mut self, stanza: Stanza) {
        let id = self.session;
        self.handle(Input::Received { id, stanza });
    }

    /// Receives routes of the MACs with these numbers, and drops the outputs about each.
    fn receive_routes(&mut self, instance: &str, macs: impl Iterator<Item = u32>) {
        let items = macs.map(|number| (key(number), path())).collect();
        let instance = InstanceName::from(instance);
        self.receive(Stanza::Items { instance, items });
        self.outputs
            .retain(|output| !matches!(output, Output::Imported { .. } | Output::Event(What::Imported { .. })));
    }

    fn unusable(&self) -> BTreeMap<Unusable, u64> {
        self.uplinks.status()[0].routes_unusable.clone()
    }

    fn has_route(&self, number: u32) -> bool {
        self.uplinks.vtep(NETWORK, mac(number)) == Some(VTEP)
    }
}

fn configuration(session: SessionOptions) -> Configuration {
    let network = Network {
        name: "blue".into(),
        vni: vni(),
        remote_macs: BTreeMap::new(),
    };
    let mut switch = Switch::default();
    switch.ports.insert("eth1".into(), [(10, NETWORK)].into());
    Configuration {
        session,
        networks: [(NETWORK, network)].into(),
        switches: [("tor1".into(), switch)].into(),
    }
}

fn vni() -> Vni {
    Vni::new(5001).expect("a VNI")
}

fn mac(number: u32) -> Mac {
    let [a, b, c, d] = number.to_be_bytes();
    Mac([2, 0, a, b, c, d])
}

fn key(number: u32) -> Key {
    Key::of_mac(vni(), mac(number))
}

fn path() -> Path {
    Path {
        next_hops: vec![NextHop::vxlan(VTEP, vni())],
        ..Path::default()
    }
}

#[test]
fn routes_beyond_the_bound_are_refused_and_counted_until_others_are_withdrawn() {
    let mut agent = Agent::new();
    for first in (0..MOST).step_by(1 << 14) {
        agent.receive_routes(BLUE, first..first + (1 << 14));
    }
    assert_eq!(agent.unusable(), BTreeMap::new());
    agent.receive_routes(BLUE, MOST..MOST + 3);
    assert_eq!(agent.unusable(), [(Unusable::TooMany, 3)].into());
    assert!(agent.has_route(0) && agent.has_route(MOST - 1) && !agent.has_route(MOST));
    // A route that is in the table may change.
    agent.receive_routes(BLUE, 0..2);
    assert_eq!(agent.unusable(), [(Unusable::TooMany, 3)].into());
    agent.receive(Stanza::Retracts {
        instance: BLUE.into(),
        keys: vec![key(0)],
    });
    agent.receive_routes(BLUE, MOST..=MOST);
    assert!(agent.has_route(MOST) && !agent.has_route(0));
    assert_eq!(agent.unusable(), [(Unusable::TooMany, 3)].into());
}

#[test]
fn routes_of_no_use_are_all_counted_and_the_first_of_them_named() {
    let mut agent = Agent::new();
    let count = UNUSABLE_NAMED + 50;
    let nowhere = (0..count).map(|number| (key(number), Path::default())).collect();
    agent.receive(Stanza::Items {
        instance: BLUE.into(),
        items: nowhere,
    });
    agent.receive_routes("default-domain:default-project:red:red", 0..7);
    let unusable = [(Unusable::NoVxlan, u64::from(count)), (Unusable::NotAsked, 7)];
    assert_eq!(agent.unusable(), unusable.into());
    let named = |output: &&Output| matches!(output, Output::Event(What::Unusable { .. }));
    assert_eq!(agent.outputs.iter().filter(named).count(), UNUSABLE_NAMED as usize);
}

#[test]
fn a_configuration_without_end_is_ignored_and_the_session_stays() {
    let mut agent = Agent::new();
    let property = Element::leaf("display-name", "x".repeat(1 << 20));
    for number in 0..=(GRAPH_BYTES >> 20) {
        let node = Node {
            id: NodeId::new("physical-router", format!("default-global-system-config:tor{number}")),
            properties: vec![property.clone()],
        };
        agent.receive(Stanza::Configuration(vec![Change::UpdateNode(node)]));
    }
    let [Output::Event(What::ConfigurationTooLarge { .. })] = agent.outputs.as_slice() else {
        panic!("{:?}", agent.outputs.len());
    };
    assert_eq!(agent.uplinks.status()[0].ignored, Some(Ignored::TooLarge));
    // The same node again and again counts once.
    let mut agent = Agent::new();
    for _ in 0..=(GRAPH_BYTES >> 20) {
        let node = Node {
            id: NodeId::new("physical-router", "default-global-system-config:tor1"),
            properties: vec![property.clone()],
        };
        agent.receive(Stanza::Configuration(vec![Change::UpdateNode(node)]));
    }
    assert!(agent.outputs.is_empty());
}
