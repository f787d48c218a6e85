//! Whole conversations with a control node.

mod access;
mod configuration;
mod graceful_restart;
mod hostile;
mod model;
mod pace;
mod revision;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::close::CloseReason;
use crate::configuration::{Network, Switch};
use crate::contrail_schema::{GLOBAL, instance, virtual_network};
use crate::evpn::{Key, NextHop, Path};
use crate::ids::{Mac, Uuid, Vni};
use crate::xmpp::graph::Change;

/// A control node, and the routes that each client holds.
#[derive(Default)]
struct World {
    node: ControlNode,
    now: Time,
    held: BTreeMap<ConnId, BTreeMap<(InstanceName, Key), Path>>,
    changes: BTreeMap<ConnId, Vec<Change>>,
    /// Each message with changes.
    messages: Vec<Vec<Change>>,
    stanzas: BTreeMap<ConnId, Vec<Stanza>>,
    closed: Vec<(ConnId, CloseWhy)>,
    events: Vec<Event>,
    subscribed: u64,
}

impl World {
    /// With these instances configured: 1 is `blue`, 2 is `red`.
    fn with(instances: &[u8]) -> Self {
        let mut world = Self::default();
        world.handle(Input::Configure(inventory(1, instances)));
        world
    }

    fn handle(&mut self, input: Input) {
        self.node.handle(self.now, input);
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Send { conn, stanza } => self.receive(conn, stanza),
                Output::Close { conn, why } => self.closed.push((conn, why)),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn receive(&mut self, conn: ConnId, stanza: Stanza) {
        self.stanzas.entry(conn).or_default().push(stanza.clone());
        let held = self.held.entry(conn).or_default();
        match stanza {
            Stanza::Items { instance, items } => {
                held.extend(items.into_iter().map(|(key, path)| ((instance.clone(), key), path)));
            }
            Stanza::Retracts { instance, keys } => {
                for key in keys {
                    held.remove(&(instance.clone(), key));
                }
            }
            Stanza::Configuration(changes) => {
                self.messages.push(changes.clone());
                self.changes.entry(conn).or_default().extend(changes);
            }
            Stanza::InstanceEndOfRib { .. } | Stanza::EndOfRib => {}
            Stanza::Subscribe { .. } | Stanza::Unsubscribe { .. } | Stanza::Publish { .. } => panic!("only clients do"),
            Stanza::Collection { .. } | Stanza::SubscribeConfiguration { .. } => panic!("only clients do"),
            Stanza::Unreadable { .. } => panic!("it is never written"),
        }
    }

    /// Runs while there is anything to do at once.
    fn work(&mut self) {
        while let Some(Deadline { at, .. }) = self
            .node
            .poll_timeout()
            .filter(|deadline| deadline.why == Why::MoreWork)
        {
            self.now = self.now.max(at);
            self.handle(Input::Timeout);
        }
    }

    /// Runs until nothing is left to do.
    fn run_to_rest(&mut self) {
        while let Some(Deadline { at, .. }) = self.node.poll_timeout() {
            self.now = self.now.max(at);
            self.handle(Input::Timeout);
        }
    }

    fn open(&mut self, conn: u64, name: &str) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 5000));
        self.open_from(conn, name, address);
    }

    fn open_from(&mut self, conn: u64, name: &str, address: SocketAddr) {
        self.open_with(conn, name, address, None);
    }

    fn open_with(&mut self, conn: u64, name: &str, address: SocketAddr, certificate: Option<Certificate>) {
        self.handle(Input::Opened {
            conn: ConnId(conn),
            name: name.into(),
            address,
            certificate,
        });
    }

    fn close(&mut self, conn: u64) {
        let why = CloseWhy::new(CloseReason::PeerClosed, "it is over");
        self.handle(Input::Closed {
            conn: ConnId(conn),
            why,
        });
    }

    fn send(&mut self, conn: u64, stanza: Stanza) {
        self.handle(Input::Stanza {
            conn: ConnId(conn),
            stanza,
        });
    }

    /// As an agent of ours, which numbers its subscriptions. Answers the number.
    fn subscribe(&mut self, conn: u64, number: u8) -> u64 {
        self.subscribed += 1;
        self.send(conn, subscription(number, Some(self.subscribed)));
        self.subscribed
    }

    fn unsubscribe(&mut self, conn: u64, number: u8) {
        self.send(
            conn,
            Stanza::Unsubscribe {
                instance: named(number),
            },
        );
    }

    fn publish(&mut self, conn: u64, number: u8, key: Key, path: Path) {
        self.collect(conn, number, key, path, true);
    }

    fn withdraw(&mut self, conn: u64, number: u8, key: Key) {
        self.collect(conn, number, key, path(1), false);
    }

    fn collect(&mut self, conn: u64, number: u8, key: Key, path: Path, associate: bool) {
        self.send(
            conn,
            Stanza::Publish {
                node: key.node(),
                route: Box::new((key, path)),
            },
        );
        let node = key.node();
        self.send(
            conn,
            Stanza::Collection {
                instance: named(number),
                associate,
                node,
            },
        );
    }

    fn sent(&mut self, conn: u64, queued_bytes: usize) {
        self.handle(Input::Sent {
            conn: ConnId(conn),
            queued_bytes,
        });
    }

    /// The routes that a client holds in an instance: the last part of each next hop.
    fn holds(&self, conn: u64, number: u8) -> Vec<(Key, Vec<u8>)> {
        let held = self.held.get(&ConnId(conn)).into_iter().flatten();
        let held = held.filter(|((instance, _), _)| *instance == named(number));
        let last = |hop: &NextHop| hop.address.octets()[3];
        held.map(|((_, key), path)| (*key, path.next_hops.iter().map(last).collect()))
            .collect()
    }
}

fn vni() -> Vni {
    Vni::new(101).expect("a VNI")
}

fn mac(last: u8) -> Key {
    Key::of_mac(vni(), Mac([2, 0, 0, 0, 0, last]))
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, last)
}

fn path(hop: u8) -> Path {
    Path {
        next_hops: vec![NextHop::vxlan(address(hop), vni())],
        ..Path::default()
    }
}

fn subscription(number: u8, subscription: Option<u64>) -> Stanza {
    Stanza::Subscribe {
        instance: named(number),
        instance_id: number.into(),
        no_ribout: false,
        number: subscription,
    }
}

fn end_of_rib(number: u8, subscription: u64) -> Stanza {
    let instance = named(number);
    Stanza::InstanceEndOfRib { instance, subscription }
}

fn named(number: u8) -> InstanceName {
    instance(&virtual_network(name(number)))
}

fn name(number: u8) -> &'static str {
    match number {
        1 => "blue",
        2 => "red",
        _ => "green",
    }
}

/// Every client may publish every tunnel end.
fn anything() -> Access {
    let listed = ListedClient {
        name: "*".into(),
        certificates: Vec::new(),
        next_hops: vec!["0.0.0.0/0".parse().expect("a prefix")],
    };
    Access {
        listed: vec![listed],
        unknown: UnknownClients::Refuse,
    }
}

/// One network for each number; and one switch, with a port in `blue`.
fn inventory(revision: u64, numbers: &[u8]) -> Arc<Inventory> {
    let network = |number: &u8| {
        let network = Network {
            name: name(*number).into(),
            vni: Vni::new(100 + u32::from(*number)).expect("a VNI"),
            remote_macs: BTreeMap::new(),
        };
        (Uuid((*number).into()), network)
    };
    let switch = ServedSwitch {
        switch: Switch {
            vtep: Some(address(11)),
            ports: BTreeMap::from([("eth1".into(), BTreeMap::from([(10, Uuid(1))]))]),
            ..Switch::default()
        },
        agents: vec!["agent-a".into(), "agent-b".into()],
        tsns: vec!["tsn-a".into()],
    };
    Arc::new(Inventory {
        revision,
        networks: numbers.iter().map(network).collect(),
        switches: BTreeMap::from([("tor1".into(), switch)]),
        access: anything(),
    })
}
