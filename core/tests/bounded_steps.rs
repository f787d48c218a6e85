//! What one input may cost, counted in outputs: a step that is too long makes a healthy agent look hung.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tandem_core::agent::uplinks::{Input, Options, Output, UplinkId, Uplinks, Why};
use tandem_core::bounds::LOOKS_PER_STEP;
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::contrail_schema::{instance, virtual_network};
use tandem_core::evpn::{InstanceName, Key, NextHop, Path};
use tandem_core::machine::{CloseReason, CloseWhy};
use tandem_core::xmpp::Stanza;
use tandem_core::{Mac, Machine, Time, Uuid, Vni};

const BLUE: Uuid = Uuid(1);
const MACS: usize = 5 * LOOKS_PER_STEP;

fn blue() -> InstanceName {
    instance(&virtual_network("blue"))
}

fn options() -> SessionOptions {
    SessionOptions {
        routed: true,
        ..SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST)
    }
}

fn mac(number: usize) -> Mac {
    let [.., a, b, c, d] = number.to_be_bytes();
    Mac([2, 0, a, b, c, d])
}

/// The uplinks of an agent with sessions of two control nodes, and the numbers of the subscriptions of each.
struct Agent {
    uplinks: Uplinks,
    numbers: BTreeMap<UplinkId, u64>,
}

impl Agent {
    fn new() -> Self {
        let vni = Vni::new(5001).expect("a VNI");
        let network = Network {
            name: "blue".into(),
            vni,
            remote_macs: BTreeMap::new(),
        };
        let switch = Switch {
            ports: [("eth1".into(), [(10, BLUE)].into())].into(),
            ..Switch::default()
        };
        let configuration = Configuration {
            session: options(),
            networks: [(BLUE, network)].into(),
            switches: [("tor1".into(), switch)].into(),
        };
        let mut agent = Self {
            uplinks: Uplinks::new(Options {
                nodes: vec![([10, 0, 0, 1], 5269).into(), ([10, 0, 0, 2], 5269).into()],
                certificates: Vec::new(),
                session: options(),
                stale_hold: None,
                seed: 1,
            }),
            numbers: BTreeMap::new(),
        };
        agent.handle(Input::Configured(Arc::new(configuration)));
        for id in [1, 2] {
            agent.handle(Input::Opened {
                id: UplinkId(id),
                name: format!("control-{id}"),
                ours: true,
                certificate: None,
            });
        }
        agent
    }

    /// Handles an input. Returns the number of MACs whose best path changed.
    fn handle(&mut self, input: Input) -> usize {
        self.uplinks.handle(Time::ORIGIN, input);
        let mut imported = 0;
        while let Some(output) = self.uplinks.poll_output() {
            match output {
                Output::SendStanza {
                    id,
                    stanza: Stanza::Subscribe {
                        number: Some(number), ..
                    },
                } => drop(self.numbers.insert(id, number)),
                Output::Imported { .. } => imported += 1,
                _ => {}
            }
        }
        imported
    }

    fn receive(&mut self, id: u64, stanza: Stanza) {
        let id = UplinkId(id);
        self.handle(Input::Received { id, stanza });
    }
}

/// The first control node alone has sent many routes; both have sent everything.
fn filled() -> Agent {
    let mut agent = Agent::new();
    let vni = Vni::new(5001).expect("a VNI");
    for number in 0..MACS {
        let path = Path {
            next_hops: vec![NextHop::vxlan(Ipv4Addr::new(10, 0, 9, 9), vni)],
            ..Path::default()
        };
        let items = vec![(Key::of_mac(vni, mac(number)), path)];
        let instance = blue();
        agent.receive(1, Stanza::Items { instance, items });
    }
    let numbers = agent.numbers.clone();
    for (id, subscription) in &numbers {
        let (instance, subscription) = (blue(), *subscription);
        agent.receive(id.0, Stanza::InstanceEndOfRib { instance, subscription });
    }
    assert!(agent.uplinks.is_complete(BLUE));
    agent
}

#[test]
fn a_control_node_that_dies_with_many_routes_costs_bounded_steps() {
    let mut agent = filled();
    let why = CloseWhy::new(CloseReason::ConnectionLost, "it died");
    let mut steps = vec![agent.handle(Input::Closed { id: UplinkId(1), why })];
    while agent.uplinks.poll_timeout().is_some_and(|due| due.why == Why::MoreWork) {
        steps.push(agent.handle(Input::Timeout));
    }
    assert!(steps.iter().all(|step| *step <= LOOKS_PER_STEP), "{steps:?}");
    assert_eq!(steps.iter().sum::<usize>(), MACS, "{steps:?}");
    assert!((0..MACS).all(|number| agent.uplinks.vtep(BLUE, mac(number)).is_none()));
}

#[test]
fn what_is_left_of_a_sweep_stays_when_the_last_control_node_dies() {
    let mut agent = filled();
    let mut removed = 0;
    for id in [1, 2] {
        let why = CloseWhy::new(CloseReason::ConnectionLost, "it died");
        removed += agent.handle(Input::Closed { id: UplinkId(id), why });
    }
    while agent.uplinks.poll_timeout().is_some_and(|due| due.why == Why::MoreWork) {
        removed += agent.handle(Input::Timeout);
    }
    assert_eq!(removed, LOOKS_PER_STEP, "the rest is kept without control nodes");
}
