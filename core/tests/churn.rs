//! An agent and two control nodes whose streams delay, break and come back while networks come and go: whenever a network
//! counts as complete, every route that was there all the time has been received.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::agent::uplinks::{Input, Options, Output, UplinkId, Uplinks};
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::contrail_schema::{instance, virtual_network};
use tandem_core::control::{self, Access, ControlNode, Inventory, ListedClient, ServedSwitch};
use tandem_core::evpn::{InstanceName, Key, NextHop, Path};
use tandem_core::xmpp::Stanza;
use tandem_core::{CloseReason, CloseWhy, ConnId, Mac, Machine, Time, Uuid, Vni};

const NODES: usize = 2;
const NAMES: [&str; 3] = ["blue", "red", "green"];
const ROUTES: u8 = 3;
const THERE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 9);

struct Dice(u64);
impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }
}

fn vni(network: usize) -> Vni {
    Vni::new(5000 + network as u32).expect("a VNI")
}
fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, n])
}
fn name(network: usize) -> InstanceName {
    instance(&virtual_network(NAMES[network]))
}
fn network(n: usize) -> Network {
    Network {
        name: NAMES[n].into(),
        vni: vni(n),
        remote_macs: BTreeMap::new(),
    }
}

enum ToNode {
    In(control::Input),
}

struct World {
    now: Time,
    uplinks: Uplinks,
    nodes: Vec<ControlNode>,
    /// For each node: the agent's session, its connection; and that of the publisher.
    agent: Vec<Option<(UplinkId, ConnId)>>,
    publisher: Vec<Option<ConnId>>,
    started: Vec<Time>,
    to_node: Vec<VecDeque<ToNode>>,
    to_agent: Vec<VecDeque<Input>>,
    dials: Vec<(UplinkId, usize)>,
    conns: u64,
    /// By network UUID: which name index it has now in the agent's configuration.
    configured: BTreeMap<Uuid, usize>,
    complete: BTreeSet<Uuid>,
    imported: BTreeMap<(Uuid, Mac), Ipv4Addr>,
    log: Vec<String>,
    bad: Option<String>,
}

fn options() -> SessionOptions {
    SessionOptions {
        routed: true,
        ..SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST)
    }
}

fn inventory() -> Inventory {
    let mut switch = Switch::default();
    for n in 0..NAMES.len() {
        switch
            .ports
            .insert(format!("eth{n}").into(), [(1, Uuid(1 + n as u128))].into());
    }
    let served = ServedSwitch {
        switch,
        agents: vec!["agent-a".into(), "agent-z".into()],
        tsns: vec![],
    };
    Inventory {
        revision: 1,
        networks: (0..NAMES.len()).map(|n| (Uuid(1 + n as u128), network(n))).collect(),
        switches: [("tor1".into(), served)].into(),
        access: anything(),
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
        ..Access::default()
    }
}

impl World {
    fn new() -> Self {
        let nodes = (0..NODES).map(|n| ([10, 0, 0, n as u8 + 1], 5269).into()).collect();
        let mut world = Self {
            now: Time::ORIGIN,
            uplinks: Uplinks::new(Options {
                nodes,
                certificates: Vec::new(),
                session: options(),
                stale_hold: None,
                seed: 1,
            }),
            nodes: vec![],
            agent: vec![None; NODES],
            publisher: vec![None; NODES],
            started: vec![Time::ORIGIN; NODES],
            to_node: (0..NODES).map(|_| VecDeque::new()).collect(),
            to_agent: (0..NODES).map(|_| VecDeque::new()).collect(),
            dials: vec![],
            conns: 0,
            configured: BTreeMap::new(),
            complete: BTreeSet::new(),
            imported: BTreeMap::new(),
            log: vec![],
            bad: None,
        };
        for n in 0..NODES {
            world.nodes.push(ControlNode::new());
            world.node(n, control::Input::Configure(Arc::new(inventory())));
            world.publish_all(n);
        }
        world.uplinks(Input::Timeout);
        world
    }

    fn publish_all(&mut self, n: usize) {
        self.conns += 1;
        let conn = ConnId(self.conns);
        self.publisher[n] = Some(conn);
        let opened = control::Input::Opened {
            conn,
            name: "agent-z".into(),
            address: (Ipv4Addr::LOCALHOST, 9).into(),
            certificate: None,
        };
        self.to_node[n].push_back(ToNode::In(opened));
        for i in 0..NAMES.len() {
            let sub = Stanza::Subscribe {
                instance: name(i),
                instance_id: 1,
                no_ribout: false,
                number: Some(i as u64),
            };
            self.to_node[n].push_back(ToNode::In(control::Input::Stanza { conn, stanza: sub }));
            for m in 1..=ROUTES {
                let key = Key::of_mac(vni(i), mac(m));
                let path = Path {
                    next_hops: vec![NextHop::vxlan(THERE, vni(i))],
                    local_preference: 100,
                    ..Path::default()
                };
                let node = key.node();
                let publish = Stanza::Publish {
                    node: node.clone(),
                    route: Box::new((key, path)),
                };
                let collection = Stanza::Collection {
                    instance: name(i),
                    associate: true,
                    node,
                };
                for stanza in [publish, collection] {
                    self.to_node[n].push_back(ToNode::In(control::Input::Stanza { conn, stanza }));
                }
            }
        }
    }

    fn uplinks(&mut self, input: Input) {
        self.uplinks.handle(self.now, input);
        while let Some(output) = self.uplinks.poll_output() {
            match output {
                Output::Dial { id, to } => {
                    let n = match to.ip() {
                        std::net::IpAddr::V4(ip) => ip.octets()[3] as usize - 1,
                        _ => 0,
                    };
                    self.dials.push((id, n));
                }
                Output::SendStanza { id, stanza } => {
                    for n in 0..NODES {
                        if let Some((own, conn)) = self.agent[n]
                            && own == id
                        {
                            self.log.push(format!("agent -> {n}: {stanza:?}"));
                            self.to_node[n].push_back(ToNode::In(control::Input::Stanza {
                                conn,
                                stanza: stanza.clone(),
                            }));
                        }
                    }
                }
                Output::Close { .. } => self.bad = Some("closed".into()),
                Output::Imported { network, mac, vtep } => match vtep {
                    Some(vtep) => drop(self.imported.insert((network, mac), vtep)),
                    None => drop(self.imported.remove(&(network, mac))),
                },
                Output::RoutesComplete { network, complete } => {
                    self.log.push(format!("complete {network} {complete}"));
                    if complete {
                        self.complete.insert(network);
                    } else {
                        self.complete.remove(&network);
                    }
                }
                Output::Configure { .. } | Output::Event(_) | Output::Remember { .. } => {}
            }
        }
        for network in &self.complete {
            let missing = (1..=ROUTES)
                .filter(|m| !self.imported.contains_key(&(*network, mac(*m))))
                .count();
            if missing > 0 {
                self.bad = Some(format!("{network} is complete and lacks {missing} routes"));
            }
        }
        for ((network, mac), vtep) in &self.imported {
            if self.uplinks.vtep(*network, *mac) != Some(*vtep) {
                self.bad = Some(format!("{network} {mac} was imported at {vtep}, and is elsewhere"));
            }
        }
    }

    fn node(&mut self, n: usize, input: control::Input) {
        self.nodes[n].handle(self.now, input);
        while let Some(output) = self.nodes[n].poll_output() {
            match output {
                control::Output::Send { conn, stanza } => {
                    if let Some((id, own)) = self.agent[n]
                        && own == conn
                    {
                        self.log.push(format!("{n} -> agent: {stanza:?}"));
                        self.to_agent[n].push_back(Input::Received { id, stanza });
                    }
                }
                control::Output::Close { conn, why } => {
                    if self.agent[n].is_some_and(|(_, own)| own == conn) {
                        self.bad = Some(format!("{n} closes: {why}"));
                    }
                }
                control::Output::Event(_) => {}
            }
        }
    }

    fn cut(&mut self, n: usize) {
        if let Some((id, conn)) = self.agent[n].take() {
            self.log.push(format!("cut {n}"));
            let why = CloseWhy::new(CloseReason::PeerClosed, "cut");
            self.to_node[n]
                .retain(|it| !matches!(it, ToNode::In(control::Input::Stanza { conn: own, .. }) if *own == conn));
            self.to_node[n].push_back(ToNode::In(control::Input::Closed { conn, why: why.clone() }));
            self.to_agent[n].clear();
            self.uplinks(Input::Closed { id, why });
        }
    }

    fn restart(&mut self, n: usize) {
        self.log.push(format!("restart {n}"));
        self.cut(n);
        self.to_node[n].clear();
        self.publisher[n] = None;
        self.started[n] = self.now;
        self.nodes[n] = ControlNode::new();
        self.node(n, control::Input::Configure(Arc::new(inventory())));
    }

    fn configure(&mut self, dice: &mut Dice) {
        // Each name has one of two UUIDs, or none.
        self.configured.clear();
        for i in 0..NAMES.len() {
            match dice.roll(4) {
                0 => {}
                1 => drop(self.configured.insert(Uuid(100 + i as u128), i)),
                _ => drop(self.configured.insert(Uuid(1 + i as u128), i)),
            }
        }
        self.log.push(format!("configure {:?}", self.configured));
        let mut switch = Switch::default();
        for (uuid, i) in &self.configured {
            switch.ports.insert(format!("eth{i}").into(), [(1, *uuid)].into());
        }
        let configuration = Configuration {
            session: options(),
            networks: self.configured.iter().map(|(uuid, i)| (*uuid, network(*i))).collect(),
            switches: [("tor1".into(), switch)].into(),
        };
        self.uplinks(Input::Configured(Arc::new(configuration)));
    }

    fn step(&mut self, dice: &mut Dice, flaps: bool) {
        match dice.roll(100) {
            0..=34 => {
                let n = dice.roll(NODES as u64) as usize;
                if let Some(ToNode::In(input)) = self.to_node[n].pop_front() {
                    self.node(n, input);
                }
            }
            35..=64 => {
                let n = dice.roll(NODES as u64) as usize;
                if let Some(input) = self.to_agent[n].pop_front() {
                    self.uplinks(input);
                }
            }
            65..=82 => {
                self.now = self.now + Duration::from_millis([1, 3, 50, 300, 1500][dice.roll(5) as usize]);
                for n in 0..NODES {
                    // Every agent comes back and publishes long before graceful restart may end.
                    if self.publisher[n].is_none() && self.now.since(self.started[n]) > Duration::from_secs(20) {
                        self.publish_all(n);
                    }
                    if self.publisher[n].is_some() {
                        let of = self.publisher[n];
                        while self.to_node[n].iter().any(|ToNode::In(input)| match input {
                            control::Input::Opened { conn, .. } | control::Input::Stanza { conn, .. } => {
                                Some(*conn) == of
                            }
                            _ => false,
                        }) {
                            let Some(ToNode::In(input)) = self.to_node[n].pop_front() else {
                                break;
                            };
                            self.node(n, input);
                        }
                    }
                    if self.nodes[n].poll_timeout().is_some_and(|it| it.at <= self.now) {
                        self.node(n, control::Input::Timeout);
                    }
                }
                if self.uplinks.poll_timeout().is_some_and(|it| it.at <= self.now) {
                    self.uplinks(Input::Timeout);
                }
            }
            83..=89 if !self.dials.is_empty() => {
                let (id, n) = self.dials.remove(0);
                self.conns += 1;
                let conn = ConnId(self.conns);
                self.agent[n] = Some((id, conn));
                let opened = control::Input::Opened {
                    conn,
                    name: "agent-a".into(),
                    address: (Ipv4Addr::LOCALHOST, 1).into(),
                    certificate: None,
                };
                self.to_node[n].push_back(ToNode::In(opened));
                self.log.push(format!("open {n} {id:?}"));
                self.uplinks(Input::Opened {
                    id,
                    name: format!("control-{n}"),
                    ours: true,
                    certificate: None,
                });
            }
            90..=94 => self.configure(dice),
            95 => {
                let n = dice.roll(NODES as u64) as usize;
                self.cut(n);
            }
            96 if flaps => {
                let n = dice.roll(NODES as u64) as usize;
                self.restart(n);
            }
            97 | 98 => {
                let n = dice.roll(NODES as u64) as usize;
                if self.publisher[n].is_none() {
                    self.publish_all(n);
                }
            }
            _ => {}
        }
    }
}

fn run(flaps: bool, seeds: std::ops::Range<u64>) {
    let mut completes = 0;
    for seed in seeds {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut world = World::new();
        // Both nodes know everything, and graceful restart is over.
        for n in 0..NODES {
            while let Some(ToNode::In(input)) = world.to_node[n].pop_front() {
                world.node(n, input);
            }
        }
        world.now = world.now + Duration::from_secs(60);
        for n in 0..NODES {
            world.node(n, control::Input::Timeout);
        }
        for _ in 0..1500 {
            world.step(&mut dice, flaps);
            if let Some(bad) = &world.bad {
                let tail = world.log.len().saturating_sub(60);
                panic!("seed {seed}: {bad}\n{}", world.log[tail..].join("\n"));
            }
        }
        completes += world.log.iter().filter(|line| line.ends_with("true")).count();
    }
    assert!(completes > 0);
}

#[test]
fn a_complete_network_lacks_no_route_while_sessions_and_networks_come_and_go() {
    run(false, 1..300);
}

#[test]
fn a_complete_network_lacks_no_route_while_control_nodes_restart() {
    run(true, 1..600);
}

/// A control node that was just started, and two agents that connect to it; of one the connection breaks before it has
/// published anything.
#[test]
fn a_control_node_sends_no_end_while_an_agent_is_gone_again() {
    let mut node = ControlNode::new();
    let mut now = Time::ORIGIN;
    let mut ends = |now: Time, input: control::Input| {
        node.handle(now, input);
        let mut ends = 0;
        while let Some(output) = node.poll_output() {
            let control::Output::Send { stanza, .. } = output else {
                continue;
            };
            ends += usize::from(matches!(stanza, Stanza::InstanceEndOfRib { .. }));
        }
        ends
    };
    let opened = |conn, name: &str, last| {
        let address = (Ipv4Addr::new(10, 0, 0, last), 9).into();
        control::Input::Opened {
            conn: ConnId(conn),
            name: name.into(),
            address,
            certificate: None,
        }
    };
    let subscribe = Stanza::Subscribe {
        instance: name(0),
        instance_id: 1,
        no_ribout: false,
        number: Some(1),
    };
    let why = CloseWhy::new(CloseReason::ConnectionLost, "it broke");
    for input in [
        control::Input::Configure(Arc::new(inventory())),
        opened(1, "agent-a", 1),
        control::Input::Stanza {
            conn: ConnId(1),
            stanza: subscribe,
        },
        opened(2, "agent-z", 2),
        control::Input::Closed { conn: ConnId(2), why },
    ] {
        assert_eq!(ends(now, input), 0);
    }
    // It dials again after some seconds.
    for _ in 0..10 {
        now = now + Duration::from_secs(1);
        assert_eq!(ends(now, control::Input::Timeout), 0, "agent-z is not connected");
    }
    assert_eq!(ends(now, opened(3, "agent-z", 2)), 0);
    let later = now + Duration::from_secs(1);
    assert_eq!((0..3).map(|_| ends(later, control::Input::Timeout)).sum::<usize>(), 1);
}
