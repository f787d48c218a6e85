//! What every test with real parts starts from: two agents behind a proxy, and switches that dial it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::Result;
use super::agent::{Agent, AgentOptions, NetworkSection, PeerSection, PortSection, SwitchSection, UplinkSection};
use super::control::{ControlNode, ControlOptions, ServedSection};
use super::haproxy::{Backend, Haproxy, HaproxyOptions, Listen, ServerState};
use super::netns::{self, Link, Namespaces};
use super::pki::Pki;
use super::port::Loopback;
use super::relay::Relay;
use super::schema::Schema;
use super::scratch::Scratch;
use super::switch::{Manager, PhysicalSwitch, Switch, SwitchOptions};

/// What a pair is like. Change what a test is about, and leave the rest.
#[derive(Clone, Debug)]
pub struct PairOptions {
    /// The `tandem` program.
    pub binary: PathBuf,
    /// Whether it serves switches; the lab's own tests start programs that do not.
    pub serves: bool,
    /// How many switches: `tor1`, `tor2` ...
    pub switches: u8,
    /// How many control nodes; with none, the agents read networks and switches from their own files.
    pub control_nodes: u8,
    /// Whether the agents remember their configuration from control nodes.
    pub remember: bool,
    /// Whether the agents have a link to each other.
    pub peer: bool,
    /// Whether relays stand between each agent and its control nodes, and between the proxy and its port for switches.
    /// Not together with namespaces.
    pub relays: bool,
    /// The version of the switches' schema.
    pub schema: Schema,
    /// The port numbers of the proxy that every switch dials, each with its own agent first; one or two.
    pub targets: u8,
    /// Whether `agent-b` gets switches only while `agent-a` is down. With one target.
    pub standby: bool,
    /// `Manager.max_backoff` and `Manager.inactivity_probe` of the switches.
    pub max_backoff_ms: Option<u32>,
    /// See [`Manager::inactivity_probe_ms`].
    pub inactivity_probe_ms: Option<u32>,
    /// What both agents know; every switch has the first of them on `eth1`, VLAN 10.
    pub networks: Vec<NetworkSection>,
    /// Both agents' `keepalive.interval`.
    pub keepalive: String,
    /// Whether the proxy sends a PROXY header, and the agents want one.
    pub proxy_protocol: bool,
    /// Further keys of both agents' configuration.
    pub more: toml::Table,
    /// Further tables of the control nodes' configuration.
    pub control_more: toml::Table,
    /// Whether each agent lives in a network namespace of its own, behind a link that can be cut. Only inside
    /// [`netns::enter`].
    pub namespaces: bool,
}

impl PairOptions {
    /// One switch with one target, and one network `blue` without remote MACs.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            serves: true,
            switches: 1,
            control_nodes: 0,
            remember: false,
            peer: false,
            relays: false,
            schema: Schema::default(),
            targets: 1,
            standby: false,
            max_backoff_ms: Some(1000),
            inactivity_probe_ms: None,
            networks: vec![NetworkSection {
                name: "blue".into(),
                uuid: "6f1c0d0e-0000-4000-8000-000000000001".into(),
                vni: 5001,
                remote_macs: Vec::new(),
                remote_macs_file: None,
            }],
            keepalive: "10s".into(),
            proxy_protocol: false,
            more: toml::Table::new(),
            control_more: toml::Table::new(),
            namespaces: false,
        }
    }
}

/// Two agents, a proxy and switches, wired together on loopback addresses of their own.
pub struct Pair {
    /// The switches, which dial the proxy.
    pub switches: Vec<Switch>,
    /// The proxy.
    pub haproxy: Haproxy,
    /// `agent-a` and `agent-b`.
    pub agents: [Agent; 2],
    /// `control-1`, `control-2` ...; with namespaces, they are in the hub.
    pub control_nodes: Vec<ControlNode>,
    /// The relays of each agent, if there are any.
    pub relays: Vec<Relays>,
    /// The authority of all certificates.
    pub pki: Pki,
    /// The network namespaces, if there are any.
    pub island: Option<Island>,
    /// The network of their addresses.
    pub loopback: Loopback,
    /// The folder of their files.
    pub scratch: Scratch,
}

/// What stands around an agent.
pub struct Relays {
    /// On the way to its control nodes, one for each.
    pub control: Vec<Relay>,
    /// On the way of switches to it.
    pub ovsdb: Relay,
}

/// Network namespaces: proxy and switches in a hub, each agent at the other end of a link.
pub struct Island {
    /// Where the proxy and the switches are.
    pub hub: String,
    /// Where the agents are.
    pub nodes: [String; 2],
    /// The only link of each agent.
    pub links: [Link; 2],
    _namespaces: Namespaces,
}

/// The longest time that the proxy may take to see both agents: it asks five times a second.
const PROXY: Duration = Duration::from_secs(60);

/// The longest time that the agents may take to be configured by control nodes, with all the MACs that these know.
const CONFIGURATION: Duration = Duration::from_secs(180);

/// Parts of the loopback network.
const VIP: u8 = 1;
const CONTROL_NODES: u8 = 20;
const RELAYS: u16 = 6655;
const PEER: u16 = 6658;
const AGENTS: [(&str, u8, Ipv4Addr); 2] = [
    ("agent-a", 11, Ipv4Addr::new(10, 0, 0, 11)),
    ("agent-b", 12, Ipv4Addr::new(10, 0, 0, 12)),
];

impl Pair {
    /// Starts control nodes, the agents, the proxy, then the switches; waits until the agents are configured and the
    /// switches are reachable, not for a takeover.
    pub fn start(options: &PairOptions) -> Result<Self> {
        let ground = Ground::new(options)?;
        let control_nodes = ground.control_nodes()?;
        let relays = ground.relays()?;
        let agents = [ground.agent(0, &relays)?, ground.agent(1, &relays)?];
        if options.serves && options.control_nodes > 0 {
            wait_for_configuration(&ground.scratch, &control_nodes, &agents)?;
        }
        let haproxy = proxy(options, ground.hub(), &ground.loopback, &agents);
        let haproxy = Haproxy::start(&ground.scratch, "haproxy", haproxy)?;
        if options.serves && (options.targets > 1 || options.switches > 1 || options.standby) {
            ground.wait_for_servers(&haproxy, &control_nodes, &agents)?;
        }
        let switches = ground.switches(&haproxy)?;
        let Ground {
            scratch,
            loopback,
            pki,
            island,
            ..
        } = ground;
        Ok(Self {
            switches,
            haproxy,
            agents,
            control_nodes,
            relays,
            pki,
            island,
            loopback,
            scratch,
        })
    }

    /// The agent that owns this switch by its own status; `None` while none does.
    pub fn owner(&self, switch: &str) -> Option<usize> {
        self.agents.iter().position(|agent| {
            let status = agent.status().unwrap_or_default();
            let sessions = status["switches"][switch]["sessions"].as_array();
            sessions.is_some_and(|sessions| sessions.iter().any(owns))
        })
    }
}

/// What the parts of a pair start on: files, addresses and certificates.
struct Ground<'a> {
    options: &'a PairOptions,
    scratch: Scratch,
    loopback: Loopback,
    pki: Pki,
    island: Option<Island>,
}

impl<'a> Ground<'a> {
    fn new(options: &'a PairOptions) -> Result<Self> {
        let scratch = Scratch::new()?;
        Ok(Self {
            options,
            loopback: Loopback::claim()?,
            pki: Pki::new(scratch.folder("pki")?)?,
            island: options.namespaces.then(Island::new).transpose()?,
            scratch,
        })
    }

    /// The network namespace of the proxy and the switches.
    fn hub(&self) -> Option<String> {
        self.island.as_ref().map(|island| island.hub.clone())
    }

    fn control_nodes(&self) -> Result<Vec<ControlNode>> {
        let start = |number| {
            let mut node = control_node(self.options, number, &self.loopback, &self.pki)?;
            if let Some(hub) = self.hub() {
                node.namespace = Some(hub);
                node.control.listen.set_ip(Ipv4Addr::UNSPECIFIED.into());
            }
            ControlNode::start(&self.scratch, &self.options.binary, node)
        };
        (1..=self.options.control_nodes).map(start).collect()
    }

    fn relays(&self) -> Result<Vec<Relays>> {
        let agents = if self.options.relays { 0..2 } else { 0..0 };
        agents
            .map(|index| relays(self.options, index, &self.loopback))
            .collect()
    }

    fn agent(&self, index: usize, relays: &[Relays]) -> Result<Agent> {
        let mut agent = agent(self.options, index, &self.loopback, &self.pki)?;
        if let Some(island) = &self.island {
            island.move_to(&mut agent, index);
        }
        if let (Some(relays), Some(control)) = (relays.get(index), &mut agent.control) {
            control.nodes = relays.control.iter().map(Relay::address).collect();
        }
        Agent::start(&self.scratch, &self.options.binary, agent)
    }

    /// Waits until the proxy has checked both agents, or a process has ended. A switch that dials earlier goes to an agent
    /// that has a target of its own already, or another switch, or that is to stand by.
    fn wait_for_servers(&self, haproxy: &Haproxy, control_nodes: &[ControlNode], agents: &[Agent; 2]) -> Result<()> {
        self.scratch.wait_until("both agents UP at the proxy", PROXY, || {
            let ended = any_ended(control_nodes, agents);
            let servers = haproxy.servers().ok()?;
            // Before the first check the proxy takes every server for UP.
            let up = |server: &ServerState| server.status.starts_with("UP") && server.check == "L7OK";
            (ended || servers.iter().all(up)).then_some(())
        })
    }

    fn switches(&self, haproxy: &Haproxy) -> Result<Vec<Switch>> {
        let start = |number| {
            let name = switch_name(number);
            let managers = haproxy.options().listens.iter().map(|listen| Manager {
                target: format!("ssl:{}", listen.bind),
                max_backoff_ms: self.options.max_backoff_ms,
                inactivity_probe_ms: self.options.inactivity_probe_ms,
            });
            let switch = SwitchOptions {
                schema: self.options.schema,
                physical_switches: vec![PhysicalSwitch {
                    name: name.clone(),
                    tunnel_ip: tunnel_ip(number).to_string(),
                    ports: vec!["eth1".into(), "eth2".into()],
                }],
                managers: managers.collect(),
                credentials: Some(self.pki.issue(&name)?),
                namespace: self.hub(),
            };
            Switch::start(&self.scratch, &name, switch)
        };
        (1..=self.options.switches).map(start).collect()
    }
}

impl Island {
    fn new() -> Result<Self> {
        let set = Namespaces::new()?;
        let hub = set.add("hub")?;
        // The agents reach each other through it.
        netns::in_namespace(&hub, "sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])?;
        let [a, b] = AGENTS.map(|(name, ..)| set.add(name));
        let nodes = [a?, b?];
        let [a, b] = [0, 1].map(|index| {
            let (near, far) = Self::ends(index);
            set.connect((&hub, near), (&nodes[index], far))
        });
        let links = [a?, b?];
        for (index, node) in nodes.iter().enumerate() {
            let hub = Self::ends(index).0.to_string();
            netns::in_namespace(node, "ip", &["route", "add", "default", "via", &hub])?;
        }
        Ok(Self {
            hub,
            links,
            nodes,
            _namespaces: set,
        })
    }

    /// Moves an agent to its node, with the addresses of the others as seen from there.
    fn move_to(&self, agent: &mut AgentOptions, index: usize) {
        let (hub, node) = Self::ends(index);
        agent.namespace = Some(self.nodes[index].clone());
        agent.listen.move_to(node);
        if let Some(peer) = &mut agent.peer {
            peer.listen.set_ip(node.into());
            peer.connect.set_ip(Self::ends(1 - index).1.into());
        }
        for address in agent.control.iter_mut().flat_map(|control| &mut control.nodes) {
            address.set_ip(hub.into());
        }
    }

    /// The addresses of a link: the hub's, and the agent's.
    fn ends(index: usize) -> (Ipv4Addr, Ipv4Addr) {
        let (_, part, _) = AGENTS[index];
        (Ipv4Addr::new(10, 66, part, 1), Ipv4Addr::new(10, 66, part, 2))
    }
}

/// Waits until both agents are configured, and listen, or one of all these has ended.
///
/// A switch that finds no agent waits for a second, and one that finds only one agent goes there.
pub(super) fn wait_for_configuration(
    scratch: &Scratch,
    control_nodes: &[ControlNode],
    agents: &[Agent; 2],
) -> Result<()> {
    let knows = |agent: &Agent| {
        let grade = agent.status().ok().map(|mut status| status["grade"].take());
        grade.is_some_and(|grade| grade != "unfit")
    };
    scratch.wait_until("two agents with a configuration", CONFIGURATION, || {
        (any_ended(control_nodes, agents) || agents.iter().all(knows)).then_some(())
    })
}

fn any_ended(control_nodes: &[ControlNode], agents: &[Agent; 2]) -> bool {
    let agents = agents.iter().map(|agent| &agent.process);
    let mut processes = agents.chain(control_nodes.iter().map(|node| &node.process));
    processes.any(|process| process.exited().is_some())
}

/// The configuration of an agent, on loopback.
pub(super) fn agent(options: &PairOptions, index: usize, loopback: &Loopback, pki: &Pki) -> Result<AgentOptions> {
    let (name, part, tsn_ip) = AGENTS[index];
    let mut agent = AgentOptions::new(name, loopback.address(part), tsn_ip, pki.issue(name)?);
    agent.listen.proxy_protocol = options.proxy_protocol;
    agent.listen.shift(|port| loopback.port(port));
    agent.keepalive.interval.clone_from(&options.keepalive);
    agent.more.clone_from(&options.more);
    if options.peer {
        let end = |(_, part, _): (_, u8, _)| (loopback.address(part), loopback.port(PEER)).into();
        agent.peer = Some(PeerSection {
            listen: end(AGENTS[index]),
            connect: end(AGENTS[1 - index]),
            ca: agent.tls.ca.clone(),
        });
    }
    if options.control_nodes > 0 {
        let nodes = 1..=options.control_nodes;
        agent.control = Some(UplinkSection {
            nodes: nodes.map(|number| control_address(number, loopback)).collect(),
            ca: agent.tls.ca.clone(),
            state: options.remember.then(|| ".".into()),
        });
        return Ok(agent);
    }
    agent.network.clone_from(&options.networks);
    agent.switch = (1..=options.switches)
        .map(|number| switch_section(options, number))
        .collect();
    Ok(agent)
}

fn control_address(number: u8, loopback: &Loopback) -> SocketAddr {
    // In the hub they share an address.
    let port = loopback.port(6652 + u16::from(number));
    (loopback.address(CONTROL_NODES + number), port).into()
}

/// What stands around an agent, on its own address.
fn relays(options: &PairOptions, index: usize, loopback: &Loopback) -> Result<Relays> {
    let (_, part, _) = AGENTS[index];
    let start = |port: u16, to| Relay::start((loopback.address(part), loopback.port(port)).into(), to);
    let control = |number: u8| start(RELAYS + u16::from(number), control_address(number, loopback));
    Ok(Relays {
        control: (1..=options.control_nodes).map(control).collect::<Result<_>>()?,
        ovsdb: start(RELAYS, (loopback.address(part), loopback.port(6640)).into())?,
    })
}

/// The configuration of a control node: what the agents' files would have without control nodes.
pub(super) fn control_node(
    options: &PairOptions,
    number: u8,
    loopback: &Loopback,
    pki: &Pki,
) -> Result<ControlOptions> {
    let name = format!("control-{number}");
    let address = loopback.address(CONTROL_NODES + number);
    let mut node = ControlOptions::new(&name, address, pki.issue(&name)?);
    node.control.listen = control_address(number, loopback);
    node.control.http.set_port(loopback.port(6652));
    node.network.clone_from(&options.networks);
    node.more.clone_from(&options.control_more);
    let served = |number| ServedSection {
        switch: switch_section(options, number),
        agents: AGENTS.map(|(name, ..)| name.into()).into(),
    };
    node.switch = (1..=options.switches).map(served).collect();
    Ok(node)
}

fn owns(session: &Value) -> bool {
    matches!(session["ownership"].as_str(), Some("held" | "lockless"))
}

/// The name of a pair's switch: they are numbered from 1.
pub fn switch_name(number: u8) -> String {
    format!("tor{number}")
}

/// The tunnel address of a pair's switch.
pub fn tunnel_ip(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 1, number)
}

/// The name of a network's logical switch, with the default prefix.
pub fn logical_switch(network: &NetworkSection) -> String {
    format!("Contrail-{}", network.uuid)
}

fn switch_section(options: &PairOptions, number: u8) -> SwitchSection {
    let bound = options.networks.first().map(|network| PortSection {
        port: "eth1".into(),
        vlan: 10,
        network: network.name.clone(),
    });
    SwitchSection {
        name: switch_name(number),
        vtep: tunnel_ip(number),
        certificate: None,
        ports: bound.into_iter().collect(),
    }
}

/// With two targets, each has its own agent first and the other as backup, so that both hold a connection.
pub(super) fn proxy(
    options: &PairOptions,
    hub: Option<String>,
    loopback: &Loopback,
    agents: &[Agent; 2],
) -> HaproxyOptions {
    let backend = |agent: &Agent, backup| Backend {
        name: agent.options().agent.name.clone(),
        address: match agent.options().listen.ovsdb.ip() {
            std::net::IpAddr::V4(address) => address,
            std::net::IpAddr::V6(_) => Ipv4Addr::LOCALHOST,
        },
        ovsdb: if options.relays {
            loopback.port(RELAYS)
        } else {
            agent.options().listen.ovsdb.port()
        },
        health: agent.options().listen.health.port(),
        agent_check: Some(agent.options().listen.agent_check.port()),
        backup,
    };
    let [a, b] = agents;
    let listen = |index: u16| Listen {
        name: format!("ovsdb{index}"),
        bind: (loopback.address(VIP), loopback.port(6640 + index)).into(),
        backends: vec![
            backend(a, options.targets > 1 && index == 1),
            backend(b, options.standby || options.targets > 1 && index == 0),
        ],
    };
    HaproxyOptions {
        listens: (0..u16::from(options.targets)).map(listen).collect(),
        send_proxy_v2: options.proxy_protocol,
        namespace: hub,
    }
}
