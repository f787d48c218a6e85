//! The agent: random histories of control nodes, switches and a peer agent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tandem_core::agent::uplinks::{self, UplinkId};
use tandem_core::agent::{Agent, Input, Output, PeerReport, Role, SwitchRole};
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::contrail_schema::{instance, virtual_network};
use tandem_core::event::Route;
use tandem_core::evpn::{InstanceName, Key, NextHop, Path};
use tandem_core::health::Grade;
use tandem_core::session::Notice;
use tandem_core::switch_identity::SwitchRow;
use tandem_core::xmpp::Stanza;
use tandem_core::{CloseReason, CloseWhy, ConnId, Generation, Mac, Machine, Peer, Time, Uuid};

use crate::{BLUE, LONG, SLACK, VTEPS, lines, macs, more, vni};

fn blue() -> InstanceName {
    instance(&virtual_network("blue"))
}

fn options() -> SessionOptions {
    SessionOptions {
        routed: true,
        ..SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST)
    }
}

/// Two switches of ours, in the network or in none.
fn configuration(takes_part: bool) -> Arc<Configuration> {
    let network = Network {
        name: "blue".into(),
        vni: vni(),
        remote_macs: BTreeMap::new(),
    };
    let bindings = || {
        if takes_part {
            [(10, BLUE)].into()
        } else {
            BTreeMap::new()
        }
    };
    let switch = |number: usize| Switch {
        vtep: Some(VTEPS[number]),
        ports: [("eth1".into(), bindings())].into(),
        ..Switch::default()
    };
    Arc::new(Configuration {
        session: options(),
        networks: [(BLUE, network)].into(),
        switches: [("tor0".into(), switch(0)), ("tor1".into(), switch(1))].into(),
    })
}

/// An operation. MACs are named by their group, switches and control nodes by their number.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Receive { node: usize, group: u8, vtep: usize },
    Retract { node: usize, group: u8 },
    EndOfRib { node: usize },
    CloseNode { node: usize },
    Own { switch: usize },
    Learn { switch: usize, group: u8 },
    Lose { switch: usize, group: u8 },
    CloseSession { switch: usize },
    Report { live: bool, row: u8 },
    Configure { takes_part: bool },
    Pass { seconds: u64 },
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let (two, three, group) = (0..2usize, 0..3usize, 0..6u8);
    prop_oneof![
        4 => (two.clone(), group.clone(), three).prop_map(|(node, group, vtep)| Receive { node, group, vtep }),
        2 => (two.clone(), group.clone()).prop_map(|(node, group)| Retract { node, group }),
        2 => two.clone().prop_map(|node| EndOfRib { node }),
        1 => two.clone().prop_map(|node| CloseNode { node }),
        2 => two.clone().prop_map(|switch| Own { switch }),
        4 => (two.clone(), group.clone()).prop_map(|(switch, group)| Learn { switch, group }),
        2 => (two.clone(), group).prop_map(|(switch, group)| Lose { switch, group }),
        1 => two.prop_map(|switch| CloseSession { switch }),
        2 => (any::<bool>(), 0..2u8).prop_map(|(live, row)| Report { live, row }),
        1 => any::<bool>().prop_map(|takes_part| Configure { takes_part }),
        2 => (0..60u64).prop_map(|seconds| Pass { seconds }),
    ]
}

/// An agent between two switches, two control nodes and a peer agent.
struct World {
    agent: Agent,
    now: Time,
    /// The open session with each control node, and the number of its subscription.
    nodes: [Option<(UplinkId, u64)>; 2],
    /// The session with each switch, and its exports.
    sessions: [Option<(u64, BTreeSet<Route>)>; 2],
    conns: u64,
}

impl World {
    fn new(stale_hold: Option<Duration>) -> Self {
        let agent = Agent::new(configuration(true), Generation(0)).with_peer();
        let mut world = Self {
            agent: agent.with_uplinks(uplinks::Options {
                nodes: vec![([10, 0, 0, 1], 5269).into(), ([10, 0, 0, 2], 5269).into()],
                certificates: Vec::new(),
                session: options(),
                stale_hold,
                seed: 1,
            }),
            now: Time::ORIGIN,
            nodes: [None, None],
            sessions: [None, None],
            conns: 0,
        };
        world.configure(true);
        world
    }

    fn configure(&mut self, takes_part: bool) {
        self.handle(Input::Configure {
            configuration: configuration(takes_part),
            complete: true,
        });
    }

    /// Handles an input, and what it leads to: each dial opens a session at once.
    fn handle(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.agent.handle(self.now, input);
            while let Some(output) = self.agent.poll_output() {
                match output {
                    Output::Dial { id, to } => {
                        let node = usize::from(to.ip() != Ipv4Addr::new(10, 0, 0, 1));
                        self.nodes[node] = Some((id, 0));
                        inputs.push(Input::Uplink(uplinks::Input::Opened {
                            id,
                            name: format!("control-{node}"),
                            ours: true,
                            certificate: None,
                        }));
                    }
                    Output::SendStanza {
                        id,
                        stanza:
                            Stanza::Subscribe {
                                number: Some(number), ..
                            },
                    } => {
                        let mut nodes = self.nodes.iter_mut().flatten();
                        if let Some(node) = nodes.find(|(known, _)| *known == id) {
                            node.1 = number;
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn receive(&mut self, node: usize, stanza: impl FnOnce(u64) -> Stanza) {
        if let Some((id, number)) = self.nodes[node] {
            let stanza = stanza(number);
            self.handle(Input::Uplink(uplinks::Input::Received { id, stanza }));
        }
    }

    fn notify(&mut self, switch: usize, notice: Notice) {
        if let Some((conn, _)) = self.sessions[switch] {
            self.handle(Input::Session {
                conn: ConnId(conn),
                generation: Generation(conn),
                notice,
            });
        }
    }

    /// Goes on until nothing is due at or before a time.
    fn pass(&mut self, until: Time) {
        let due = |agent: &Agent| agent.poll_timeout().filter(|due| due.at <= until);
        while let Some(due) = due(&self.agent) {
            self.now = self.now.max(due.at);
            self.handle(Input::Timeout);
        }
        self.now = until;
    }

    fn route(switch: usize, mac: Mac) -> Route {
        Route {
            network: BLUE,
            mac,
            vtep: VTEPS[switch],
        }
    }

    fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Receive { node, group, vtep } => self.receive(node, |_| {
                let path = Path {
                    next_hops: vec![NextHop::vxlan(VTEPS[vtep], vni())],
                    local_preference: 100,
                    ..Path::default()
                };
                let items = macs(group).map(|mac| (Key::of_mac(vni(), mac), path.clone()));
                Stanza::Items {
                    instance: blue(),
                    items: items.collect(),
                }
            }),
            Operation::Retract { node, group } => self.receive(node, |_| Stanza::Retracts {
                instance: blue(),
                keys: macs(group).map(|mac| Key::of_mac(vni(), mac)).collect(),
            }),
            Operation::EndOfRib { node } => self.receive(node, |subscription| Stanza::InstanceEndOfRib {
                instance: blue(),
                subscription,
            }),
            Operation::CloseNode { node } => {
                if let Some((id, _)) = self.nodes[node].take() {
                    let why = CloseWhy::new(CloseReason::ConnectionLost, "it died");
                    self.handle(Input::Uplink(uplinks::Input::Closed { id, why }));
                }
            }
            Operation::Own { switch } => self.own(switch),
            Operation::Learn { switch, group } => self.learn(switch, group),
            Operation::Lose { switch, group } => {
                for mac in macs(group) {
                    let route = Self::route(switch, mac);
                    let session = self.sessions[switch].as_mut();
                    if session.is_some_and(|(_, exports)| exports.remove(&route)) {
                        self.notify(switch, Notice::Withdrawn(route));
                    }
                }
            }
            Operation::CloseSession { switch } => {
                self.notify(switch, Notice::Closed(CloseReason::ConnectionLost));
                self.sessions[switch] = None;
            }
            Operation::Report { live, row } => self.report(live, row),
            Operation::Configure { takes_part } => self.configure(takes_part),
            Operation::Pass { seconds } => self.pass(self.now + Duration::from_secs(seconds)),
        }
    }

    fn own(&mut self, switch: usize) {
        if self.sessions[switch].is_some() {
            return;
        }
        self.conns += 1;
        self.sessions[switch] = Some((self.conns, BTreeSet::new()));
        self.handle(Input::Connected {
            conn: ConnId(self.conns),
            peer: Peer {
                address: (Ipv4Addr::LOCALHOST, 1).into(),
                proxied: None,
                certificate: None,
            },
            accepted_at: self.now,
        });
        let switches = [(format!("tor{switch}").as_str().into(), SwitchRow::default())].into();
        self.notify(switch, Notice::Identified { switches });
        self.notify(switch, Notice::MayWrite { locked: true });
        self.notify(switch, Notice::Read);
        self.notify(switch, Notice::Audited);
    }

    fn learn(&mut self, switch: usize, group: u8) {
        for mac in macs(group) {
            let route = Self::route(switch, mac);
            let session = self.sessions[switch].as_mut();
            if session.is_some_and(|(_, exports)| exports.insert(route)) {
                self.notify(
                    switch,
                    Notice::Exported {
                        route,
                        just_learned: true,
                    },
                );
            }
        }
    }

    fn report(&mut self, live: bool, row: u8) {
        let identity = tandem_core::switch_identity::SwitchIdentity {
            row: SwitchRow {
                row: Uuid(row.into()),
                tunnel_ips: Vec::new(),
            },
            from: (Ipv4Addr::LOCALHOST, 1).into(),
            certificate: None,
        };
        let role = SwitchRole {
            role: if live { Role::Active } else { Role::Absent },
            audited: live,
            identity: Some(identity).filter(|_| live),
            ..SwitchRole::default()
        };
        self.handle(Input::Peer(PeerReport {
            agent: "agent-b".into(),
            grade: Grade::Fit,
            ready: true,
            switches: [("tor0".into(), role.clone()), ("tor1".into(), role)].into(),
        }));
    }

    /// Everything is withdrawn, every session with a switch ends, and the control nodes are open and have no routes.
    fn withdraw_everything(&mut self) {
        self.configure(true);
        for number in [0, 1] {
            self.run(Operation::Own { switch: number });
            self.run(Operation::CloseSession { switch: number });
            self.run(Operation::CloseNode { node: number });
        }
        self.report(false, 0);
        self.pass(self.now + LONG);
        for node in [0, 1] {
            self.run(Operation::EndOfRib { node });
        }
        self.pass(self.now + LONG);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_quiet_agent_returns_to_its_size(
        holds in any::<bool>(),
        operations in proptest::collection::vec(operation(), 1..40),
    ) {
        let hold = holds.then_some(Duration::from_secs(30));
        let [mut used, mut fresh] = [World::new(hold), World::new(hold)];
        for operation in operations {
            used.run(operation);
        }
        used.withdraw_everything();
        fresh.withdraw_everything();
        let sizes = [lines(&used.agent), lines(&fresh.agent)];
        prop_assert!(sizes[0] <= sizes[1] + SLACK, "{sizes:?}\n{}", more(&used.agent, &fresh.agent));
    }
}
