//! Machines on wires without delay; the test plays the sessions with switches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tandem_core::agent::uplinks::{Input as Up, Options, UplinkId};
use tandem_core::agent::{Advert, Agent, Input, Output, PeerReport};
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::control::{self, Access, ControlNode, Inventory, ServedSwitch};
use tandem_core::event::{LogEvent, Route};
use tandem_core::health::Grade;
use tandem_core::session::{Command, Notice};
use tandem_core::status::AgentStatus;
use tandem_core::switch_identity::SwitchRow;
use tandem_core::xmpp::Stanza;
use tandem_core::{CloseReason, CloseWhy, ConnId, Generation, Mac, Machine, Peer, Time, Uuid, Vni};

pub(crate) const SWITCHES: [&str; 2] = ["tor0", "tor1"];

pub(crate) fn network() -> Uuid {
    Uuid(1)
}

pub(crate) fn vtep(switch: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 0, u8::try_from(switch).expect("a small number") + 1)
}

pub(crate) fn mac(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, number])
}

/// Agents and control nodes.
pub(crate) struct Net {
    now: Time,
    agents: Vec<AgentSide>,
    nodes: Vec<Option<ControlNode>>,
    inventory: Inventory,
    /// Open streams: agent, node, and the agent's number of that session.
    streams: BTreeMap<ConnId, (usize, usize, UplinkId)>,
    conns: u64,
    /// Agents that reach no control node.
    cut: BTreeSet<usize>,
    /// The reports of the agents to each other are lost.
    pub(crate) is_peer_link_cut: bool,
    /// Publications of agents stay under way for now.
    pub(crate) slow: bool,
    under_way: Vec<Letter>,
    /// Agents whose drain is complete.
    pub(crate) drained: BTreeSet<usize>,
    /// The pair events of the agents.
    pub(crate) news: Vec<String>,
    /// Every log word about control nodes so far.
    pub(crate) words: BTreeSet<&'static str>,
    in_transit: VecDeque<Letter>,
}

struct AgentSide {
    agent: Agent,
    /// The connection of each switch that it owns.
    sessions: BTreeMap<usize, ConnId>,
    /// The commands that each of its sessions received.
    commands: BTreeMap<ConnId, Commands>,
}

impl AgentSide {
    fn new(agent: usize, nodes: &[SocketAddr], stale_hold: Option<Duration>) -> Self {
        let session = SessionOptions {
            routed: true,
            ..SessionOptions::new(agent_name(agent), Ipv4Addr::LOCALHOST)
        };
        let configuration = Configuration {
            session: session.clone(),
            networks: BTreeMap::new(),
            switches: BTreeMap::new(),
        };
        let options = Options {
            nodes: nodes.to_vec(),
            certificates: Vec::new(),
            session,
            stale_hold,
            seed: 1,
        };
        let agent = Agent::new(Arc::new(configuration), Generation(0));
        Self {
            agent: agent.with_uplinks(options).with_peer(),
            sessions: BTreeMap::new(),
            commands: BTreeMap::new(),
        }
    }

    /// A session receives a command of the agent.
    fn on_command(&mut self, conn: ConnId, command: Command) {
        let sent = self.commands.entry(conn).or_default();
        match command {
            Command::Import { macs, .. } => {
                sent.times += 1;
                for (mac, vtep) in macs {
                    match vtep {
                        Some(vtep) => drop(sent.macs.insert(mac, vtep)),
                        None => {
                            sent.macs.remove(&mac);
                            sent.missed.insert(mac);
                        }
                    }
                }
            }
            Command::RoutesComplete { complete, .. } => {
                sent.complete = complete;
                sent.macs_when_complete = sent.macs.clone();
            }
            Command::Drain | Command::HandOver => sent.drained = true,
            Command::Probe(_) => sent.doubted = true,
            // A session drops the routes of networks that it has left.
            Command::Configure { configuration, .. } => {
                let switch = self.sessions.iter().find(|(_, it)| **it == conn);
                let ports = switch.map(|(switch, _)| &configuration.switches[&SWITCHES[*switch].into()].ports);
                if ports.is_some_and(BTreeMap::is_empty) {
                    self.commands.remove(&conn);
                }
            }
            _ => {}
        }
    }
}

/// The commands of an agent to a session, summed up.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Commands {
    macs: BTreeMap<Mac, Ipv4Addr>,
    complete: bool,
    /// The MACs that it had received when the network became complete.
    macs_when_complete: BTreeMap<Mac, Ipv4Addr>,
    /// MACs that were nowhere at any time.
    missed: BTreeSet<Mac>,
    /// It was sent `Drain`, or `Probe`.
    drained: bool,
    doubted: bool,
    /// The number of imports.
    times: usize,
}

enum Letter {
    Agent(usize, Up),
    Peer(usize, PeerReport),
    Node(usize, control::Input),
}

impl Net {
    pub(crate) fn new(agents: usize, nodes: usize) -> Self {
        Self::holding(agents, nodes, None)
    }

    /// The same, with agents that hold copies for `stale_hold`.
    pub(crate) fn holding(agents: usize, nodes: usize, stale_hold: Option<Duration>) -> Self {
        let addresses: Vec<SocketAddr> = (0..nodes).map(node_address).collect();
        let side = |agent| AgentSide::new(agent, &addresses, stale_hold);
        let mut net = Self {
            now: Time::ORIGIN,
            agents: (0..agents).map(side).collect(),
            nodes: vec![None; nodes],
            inventory: first_inventory(agents),
            streams: BTreeMap::new(),
            conns: 1000,
            cut: BTreeSet::new(),
            is_peer_link_cut: false,
            slow: false,
            under_way: Vec::new(),
            news: Vec::new(),
            drained: BTreeSet::new(),
            words: BTreeSet::new(),
            in_transit: VecDeque::new(),
        };
        for node in 0..nodes {
            net.start_node(node);
        }
        net
    }

    pub(crate) fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut Inventory)) {
        change(&mut self.inventory);
        self.inventory.revision += 1;
        for node in 0..self.nodes.len() {
            self.node_input(node, control::Input::Configure(Arc::new(self.inventory.clone())));
        }
        self.run_to_rest();
    }

    /// The same, for one control node alone. Control nodes that are started later have it, too.
    pub(crate) fn configure_one(&mut self, node: usize, change: impl FnOnce(&mut Inventory)) {
        change(&mut self.inventory);
        self.node_input(node, control::Input::Configure(Arc::new(self.inventory.clone())));
        self.run_to_rest();
    }

    /// Control nodes that are started from now on have this inventory.
    pub(crate) fn stale(&mut self, change: impl FnOnce(&mut Inventory)) {
        change(&mut self.inventory);
    }

    /// An agent gets a session with a switch, and its lock.
    pub(crate) fn own(&mut self, agent: usize, switch: usize) {
        self.conns += 1;
        let conn = ConnId(self.conns);
        let peer = Peer {
            address: (Ipv4Addr::LOCALHOST, 1).into(),
            proxied: None,
            certificate: None,
        };
        let accepted_at = self.now;
        self.agent_input(
            agent,
            Input::Connected {
                conn,
                peer,
                accepted_at,
            },
        );
        self.agents[agent].sessions.insert(switch, conn);
        let switches = [(SWITCHES[switch].into(), SwitchRow::default())].into();
        self.notify(agent, switch, Notice::Identified { switches });
        self.notify(agent, switch, Notice::MayWrite { locked: true });
    }

    pub(crate) fn learn(&mut self, agent: usize, switch: usize, mac: Mac) {
        self.export(agent, switch, mac, true);
    }

    /// A switch has had a MAC all the time, and a session exports it only now.
    pub(crate) fn export_again(&mut self, agent: usize, switch: usize, mac: Mac) {
        self.export(agent, switch, mac, false);
    }

    fn export(&mut self, agent: usize, switch: usize, mac: Mac, just_learned: bool) {
        let route = route(switch, mac);
        self.notify(agent, switch, Notice::Exported { route, just_learned });
    }

    pub(crate) fn lose(&mut self, agent: usize, switch: usize, mac: Mac) {
        self.notify(agent, switch, Notice::Withdrawn(route(switch, mac)));
    }

    /// A session with a switch is over.
    pub(crate) fn end(&mut self, agent: usize, switch: usize) {
        self.notify(agent, switch, Notice::Closed(CloseReason::ConnectionLost));
        self.agents[agent].sessions.remove(&switch);
    }

    /// The tunnel end of a MAC, as an agent sent it to its session with a switch.
    pub(crate) fn imported(&self, agent: usize, switch: usize, mac: Mac) -> Option<Ipv4Addr> {
        self.commands(agent, switch).macs.get(&mac).copied()
    }

    /// Whether the session ever received the withdrawal of a MAC.
    pub(crate) fn missed(&self, agent: usize, switch: usize, mac: Mac) -> bool {
        self.commands(agent, switch).missed.contains(&mac)
    }

    /// A session has read its switch, and nothing differs any more.
    pub(crate) fn audited(&mut self, agent: usize, switch: usize) {
        self.notify(agent, switch, Notice::Audited);
    }

    pub(crate) fn is_complete(&self, agent: usize, switch: usize) -> bool {
        self.commands(agent, switch).complete
    }

    /// The number of MACs that a session had received when the network became complete.
    pub(crate) fn macs_when_complete(&self, agent: usize, switch: usize) -> usize {
        self.commands(agent, switch).macs_when_complete.len()
    }

    /// The tunnel end of a MAC that a session had received when the network became complete.
    pub(crate) fn imported_when_complete(&self, agent: usize, switch: usize, mac: Mac) -> Option<Ipv4Addr> {
        self.commands(agent, switch).macs_when_complete.get(&mac).copied()
    }

    pub(crate) fn commands(&self, agent: usize, switch: usize) -> Commands {
        let agent = &self.agents[agent];
        let conn = agent.sessions.get(&switch).expect("a session");
        agent.commands.get(conn).cloned().unwrap_or_default()
    }

    pub(crate) fn advert(&self, agent: usize, mac: Mac) -> Option<Advert> {
        self.agents[agent].agent.uplinks()?.advert(network(), mac)
    }

    /// The number of routes of which an agent holds a copy.
    pub(crate) fn held(&self, agent: usize) -> usize {
        self.agents[agent].agent.uplinks().map_or(0, |it| it.held().count())
    }

    /// The routes of a control node.
    pub(crate) fn keys(&self, node: usize) -> Vec<String> {
        let status = self.nodes[node].as_ref().expect("it runs").status();
        let routes = status.networks.values().flat_map(|network| network.routes.iter());
        routes.map(|route| route.route.to_string()).collect()
    }

    pub(crate) fn kill_node(&mut self, node: usize) {
        self.nodes[node] = None;
        let gone = self.streams.iter().filter(|(_, (_, of, _))| *of == node);
        for conn in gone.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.disconnect(conn);
        }
        self.run_to_rest();
    }

    pub(crate) fn start_node(&mut self, node: usize) {
        self.nodes[node] = Some(ControlNode::new());
        self.node_input(node, control::Input::Configure(Arc::new(self.inventory.clone())));
    }

    /// An agent reaches no control node.
    pub(crate) fn cut(&mut self, agent: usize) {
        self.cut.insert(agent);
        let gone = self.streams.iter().filter(|(_, (of, ..))| *of == agent);
        for conn in gone.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            let (_, node, _) = self.streams[&conn];
            let why = CloseWhy::new(CloseReason::PeerClosed, "cut");
            self.in_transit
                .push_back(Letter::Node(node, control::Input::Closed { conn, why }));
            self.disconnect(conn);
        }
        self.run_to_rest();
    }

    pub(crate) fn restore(&mut self, agent: usize) {
        self.cut.remove(&agent);
    }

    pub(crate) fn grade(&self, agent: usize) -> Grade {
        self.agents[agent].agent.grade()
    }

    /// The status of an agent, without its sessions.
    pub(crate) fn status(&self, agent: usize) -> AgentStatus {
        self.agents[agent].agent.status([])
    }

    /// Whether a session was sent `Drain`, and whether `Probe`.
    pub(crate) fn orders(&self, agent: usize, switch: usize) -> (bool, bool) {
        let sent = self.commands(agent, switch);
        (sent.drained, sent.doubted)
    }

    /// An agent drains, and its only session releases its switch.
    pub(crate) fn drain(&mut self, agent: usize, switch: usize) {
        self.agent_input(agent, Input::Drain);
        self.agent_input(agent, Input::Announced);
        self.end(agent, switch);
    }

    /// The services node of an agent passes its probe, or does not.
    pub(crate) fn probe(&mut self, agent: usize, alive: bool) {
        self.agent_input(agent, Input::Tsn { alive });
        self.run_to_rest();
    }

    /// The delayed publications arrive.
    pub(crate) fn arrive(&mut self) {
        self.slow = false;
        self.in_transit.extend(self.under_way.drain(..));
        self.run_to_rest();
    }

    /// Lets seconds pass.
    pub(crate) fn pass(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while self.step(until) {}
        self.now = until;
    }

    /// Runs everything that needs little time.
    pub(crate) fn run_to_rest(&mut self) {
        self.pass(1);
    }

    fn step(&mut self, until: Time) -> bool {
        if let Some(letter) = self.in_transit.pop_front() {
            match letter {
                Letter::Agent(agent, input) => self.agent_input(agent, Input::Uplink(input)),
                Letter::Peer(agent, report) => self.agent_input(agent, Input::Peer(report)),
                Letter::Node(node, input) => self.node_input(node, input),
            }
            return true;
        }
        let agents = self.agents.iter().map(|side| side.agent.poll_timeout().map(|it| it.at));
        let nodes = self
            .nodes
            .iter()
            .map(|node| node.as_ref()?.poll_timeout().map(|it| it.at));
        let due = agents.chain(nodes).enumerate().filter_map(|(who, at)| Some((at?, who)));
        let Some((at, who)) = due.min().filter(|(at, _)| *at <= until) else {
            return false;
        };
        self.now = self.now.max(at);
        match who.checked_sub(self.agents.len()) {
            None => self.agent_input(who, Input::Timeout),
            Some(node) => self.node_input(node, control::Input::Timeout),
        }
        true
    }

    /// The session with a switch notifies its agent.
    fn notify(&mut self, agent: usize, switch: usize, notice: Notice) {
        let conn = *self.agents[agent].sessions.get(&switch).expect("a session");
        let generation = Generation(conn.0);
        let generation = self.generation(agent, conn).unwrap_or(generation);
        let input = Input::Session {
            conn,
            generation,
            notice,
        };
        self.agent_input(agent, input);
        self.run_to_rest();
    }

    /// The agent numbers its sessions from 1 on, in the order in which they were connected.
    fn generation(&self, agent: usize, conn: ConnId) -> Option<Generation> {
        self.agents[agent].agent.generation(conn)
    }

    fn agent_input(&mut self, number: usize, input: Input) {
        let side = &mut self.agents[number];
        side.agent.handle(self.now, input);
        while let Some(output) = self.agents[number].agent.poll_output() {
            self.carry(number, output);
        }
    }

    fn carry(&mut self, number: usize, output: Output) {
        match output {
            Output::Dial { id, to } => self.dial(number, id, to),
            Output::SendPeer(report) if !self.is_peer_link_cut => {
                let others = (0..self.agents.len()).filter(|other| *other != number);
                self.in_transit
                    .extend(others.map(|other| Letter::Peer(other, report.clone())));
            }
            Output::Event(what) => drop(self.words.insert(what.word())),
            Output::Drained => drop(self.drained.insert(number)),
            Output::Pair(news) => self.news.push(format!("{} {news}", news.word())),
            Output::SendStanza { id, stanza } => self.carry_stanza(number, id, stanza),
            Output::Command { conn, command } => self.agents[number].on_command(conn, command),
            _ => {}
        }
    }

    fn carry_stanza(&mut self, agent: usize, id: UplinkId, stanza: Stanza) {
        let mut streams = self.streams.iter();
        let stream = streams.find(|(_, (from, _, it))| (*from, *it) == (agent, id));
        if let Some((conn, (_, node, _))) = stream {
            let (conn, node) = (*conn, *node);
            let is_route = matches!(stanza, Stanza::Publish { .. } | Stanza::Collection { .. });
            let letter = Letter::Node(node, control::Input::Stanza { conn, stanza });
            if is_route && self.slow {
                self.under_way.push(letter);
            } else {
                self.in_transit.push_back(letter);
            }
        }
    }

    fn dial(&mut self, agent: usize, id: UplinkId, to: SocketAddr) {
        let node = (0..self.nodes.len())
            .find(|node| node_address(*node) == to)
            .expect("a node");
        if self.cut.contains(&agent) || self.nodes[node].is_none() {
            let why = CloseWhy::new(CloseReason::PeerClosed, "no control node is there");
            return self.in_transit.push_back(Letter::Agent(agent, Up::Closed { id, why }));
        }
        self.conns += 1;
        let conn = ConnId(self.conns);
        self.streams.insert(conn, (agent, node, id));
        let name = format!("control-{node}");
        let opened = Up::Opened {
            id,
            name,
            ours: true,
            certificate: None,
        };
        self.in_transit.push_back(Letter::Agent(agent, opened));
        let octet = u8::try_from(agent).expect("a small number");
        let opened = control::Input::Opened {
            conn,
            name: format!("agent-{agent}").as_str().into(),
            address: (Ipv4Addr::new(10, 0, 0, octet), 4000).into(),
            certificate: None,
        };
        self.in_transit.push_back(Letter::Node(node, opened));
    }

    fn disconnect(&mut self, conn: ConnId) {
        if let Some((agent, _, id)) = self.streams.remove(&conn) {
            let why = CloseWhy::new(CloseReason::PeerClosed, "the other end is gone");
            self.in_transit.push_back(Letter::Agent(agent, Up::Closed { id, why }));
        }
    }

    fn node_input(&mut self, number: usize, input: control::Input) {
        let Some(node) = self.nodes[number].as_mut() else {
            return;
        };
        node.handle(self.now, input);
        while let Some(output) = node.poll_output() {
            match output {
                control::Output::Send { conn, stanza } => {
                    if let Some((agent, _, id)) = self.streams.get(&conn) {
                        let id = *id;
                        self.in_transit
                            .push_back(Letter::Agent(*agent, Up::Received { id, stanza }));
                    }
                }
                control::Output::Close { conn, why } => panic!("{conn} was closed: {why}"),
                control::Output::Event(_) => {}
            }
        }
        let conns: Vec<ConnId> = self.streams.keys().copied().collect();
        for conn in conns {
            if let Some(node) = self.nodes[number].as_mut() {
                node.handle(self.now, control::Input::Sent { conn, queued_bytes: 0 });
                assert!(
                    node.poll_output()
                        .is_none_or(|output| matches!(output, control::Output::Event(_)))
                );
            }
        }
    }
}

fn route(switch: usize, mac: Mac) -> Route {
    Route {
        network: network(),
        mac,
        vtep: vtep(switch),
    }
}

fn agent_name(agent: usize) -> String {
    format!("agent-{agent}")
}

/// The network, and every switch in it, served by all agents.
fn first_inventory(agents: usize) -> Inventory {
    let switch = |number: usize| ServedSwitch {
        switch: Switch {
            vtep: Some(vtep(number)),
            ports: [("eth1".into(), [(1, network())].into())].into(),
            ..Switch::default()
        },
        agents: (0..agents).map(|agent| agent_name(agent).as_str().into()).collect(),
        tsns: Vec::new(),
    };
    let about = Network {
        name: "blue".into(),
        vni: Vni::new(5000).expect("a VNI"),
        remote_macs: BTreeMap::new(),
    };
    let switches = SWITCHES.iter().enumerate();
    Inventory {
        revision: 1,
        networks: [(network(), about)].into(),
        switches: switches
            .map(|(number, name)| ((*name).into(), switch(number)))
            .collect(),
        access: Access::default(),
    }
}

fn node_address(node: usize) -> SocketAddr {
    let octet = u8::try_from(node).expect("a small number");
    (Ipv4Addr::new(10, 0, 3, octet), 5269).into()
}
