//! Control hosts and agent hosts on wires without delay.

use std::net::Ipv4Addr;

use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::control::{Access, ServedSwitch};
use tandem_core::event::LogEvent;
use tandem_core::health::Grade;
use tandem_core::{Generation, Uuid, Vni};

use super::*;
use crate::host::{self, Host};
use crate::socket::ACCEPTED;

const NODE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 3, 1), 5269);
const AGENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 11);

fn inventory(revision: u64, vlans: std::ops::Range<u16>) -> Inventory {
    let network = |vlan: u16| Uuid(u128::from(vlan) << 64 | 7);
    let about = |vlan: u16| Network {
        name: format!("net-{vlan}"),
        vni: Vni::new(5000 + u32::from(vlan)).expect("a VNI"),
        remote_macs: BTreeMap::new(),
    };
    let switch = Switch {
        vtep: Some(Ipv4Addr::new(10, 1, 0, 1)),
        ports: [("eth1".into(), vlans.clone().map(|vlan| (vlan, network(vlan))).collect())].into(),
        ..Switch::default()
    };
    let served = ServedSwitch {
        switch,
        agents: vec!["agent-a".into(), "agent-b".into()],
        tsns: Vec::new(),
    };
    Inventory {
        revision,
        networks: vlans.map(|vlan| (network(vlan), about(vlan))).collect(),
        switches: [("tor1".into(), served)].into(),
        access: Access::default(),
    }
}

fn agent() -> Host {
    let at = |port| SocketAddrV4::new(AGENT, port);
    let session = SessionOptions {
        routed: true,
        ..SessionOptions::new("agent-a", AGENT)
    };
    let configuration = Configuration {
        session,
        networks: BTreeMap::new(),
        switches: BTreeMap::new(),
    };
    Host::new(
        1,
        host::Options {
            listen: at(6640),
            health: at(8010),
            agent_check: at(8011),
            tls_work: std::time::Duration::ZERO,
            configuration: Arc::new(configuration),
            complete: false,
            generation: Generation(0),
            control_nodes: vec![NODE],
            stale_hold: None,
            pair: false,
            disk: None,
        },
    )
}

/// One agent and one control node, and the bytes between them that have not arrived yet.
struct Wire {
    agent: Host,
    node: ControlHost,
    now: Time,
    words: Vec<&'static str>,
}

impl Wire {
    fn new() -> Self {
        let options = Options {
            name: "control-1".into(),
            listen: NODE,
            certificates: Default::default(),
            #[cfg(feature = "mutants")]
            mutant: None,
        };
        let mut wire = Self {
            agent: agent(),
            node: ControlHost::new(options),
            now: Time::ORIGIN,
            words: Vec::new(),
        };
        wire.carry();
        wire
    }

    fn configure(&mut self, inventory: Inventory) {
        let command = Command::Configure(Arc::new(inventory));
        self.node.handle(self.now, Input::Command(command));
        self.carry();
    }

    /// Lets time pass.
    fn pass(&mut self, until: Time) {
        loop {
            let agent = self.agent.poll_timeout().map(|it| it.at);
            let node = self.node.poll_timeout().map(|it| it.at);
            let Some(next) = agent.into_iter().chain(node).min().filter(|next| *next <= until) else {
                break;
            };
            self.now = self.now.max(next);
            if agent.is_some_and(|at| at <= self.now) {
                self.agent.handle(self.now, Input::Timeout);
                self.carry();
            }
            if node.is_some_and(|at| at <= self.now) {
                self.node.handle(self.now, Input::Timeout);
                self.carry();
            }
        }
        self.now = until;
    }

    /// Carries bytes until neither end sends more.
    fn carry(&mut self) {
        let far = |conn: ConnId| ConnId(conn.0 ^ ACCEPTED);
        loop {
            let mut to_node = Vec::new();
            let mut to_agent = Vec::new();
            while let Some(output) = self.agent.poll_output() {
                match output {
                    Output::Dial { conn, .. } => {
                        let from = SocketAddrV4::new(AGENT, 40_000);
                        to_node.push(Input::Accepted {
                            conn: far(conn),
                            at: NODE,
                            from,
                        });
                        to_agent.push(Input::Connected { conn });
                    }
                    Output::Send { conn, bytes } => to_node.push(Input::Bytes {
                        conn: far(conn),
                        data: bytes,
                    }),
                    Output::Close { conn } => to_node.push(Input::Finished { conn: far(conn) }),
                    Output::Event(event) => self.words.push(event.word()),
                    _ => {}
                }
            }
            while let Some(output) = self.node.poll_output() {
                match output {
                    Output::Send { conn, bytes } => to_agent.push(Input::Bytes {
                        conn: far(conn),
                        data: bytes,
                    }),
                    Output::Close { conn } => to_agent.push(Input::Finished { conn: far(conn) }),
                    Output::Event(event) => self.words.push(event.word()),
                    _ => {}
                }
            }
            if to_node.is_empty() && to_agent.is_empty() {
                return;
            }
            for input in to_node {
                self.node.handle(self.now, input);
            }
            for input in to_agent {
                self.agent.handle(self.now, input);
            }
        }
    }
}

#[test]
fn an_agent_is_fit_once_its_control_node_has_sent_the_configuration() {
    let mut wire = Wire::new();
    wire.configure(inventory(7, 100..160));
    assert_eq!(wire.agent.agent().grade(), Grade::Unfit);
    wire.pass(Time::from_micros(1_000_000));
    assert_eq!(wire.agent.agent().grade(), Grade::Fit, "{:?}", wire.words);
    assert_eq!(
        wire.agent.agent().configuration().networks,
        inventory(7, 100..160).networks
    );
    let switches = &wire.agent.agent().configuration().switches;
    assert_eq!(
        switches[&"tor1".into()],
        inventory(7, 100..160).switches[&"tor1".into()].switch
    );
}

#[test]
fn another_inventory_is_in_force_at_once_and_an_older_one_never() {
    let mut wire = Wire::new();
    wire.configure(inventory(7, 100..103));
    wire.pass(Time::from_micros(1_000_000));
    wire.configure(inventory(8, 101..104));
    wire.pass(Time::from_micros(2_000_000));
    assert_eq!(
        wire.agent.agent().configuration().networks,
        inventory(8, 101..104).networks
    );
    wire.configure(inventory(6, 100..101));
    wire.pass(Time::from_micros(3_000_000));
    assert_eq!(
        wire.agent.agent().configuration().networks,
        inventory(8, 101..104).networks
    );
}

#[test]
fn an_agent_that_takes_everything_is_never_taken_for_slow() {
    let mut wire = Wire::new();
    for revision in 1..100 {
        let vlans = if revision % 2 == 0 { 1..2 } else { 1..60 };
        wire.configure(inventory(revision, vlans));
        wire.pass(Time::ORIGIN + std::time::Duration::from_secs(revision));
    }
    wire.pass(Time::ORIGIN + std::time::Duration::from_secs(200));
    assert!(wire.words.contains(&"ClientUp") && !wire.words.contains(&"ClientDown"));
}
