//! Makes the world of a plan: addresses, nodes, programs, and what is planned from the beginning.
//!
//! ```text
//! switches  10.1.0.1 ...    dial  10.0.2.1:6640 (and :6641), the virtual IP
//! proxies   10.0.1.1 ...    hold it
//! agents    10.0.0.11 ...   ovsdb 6640, health 6650, agent check 6651; their services nodes have the same address
//! thief     10.0.3.1        dials the switches' port 6632
//! control   10.0.4.1 ...    nodes; agents and vRouters dial their port 5269
//! vRouters  10.0.5.1 ...
//! twin      10.1.2.1        a second box with the name of a switch, in worlds with such a fault
//! intruder  10.0.6.1        dials control nodes, in worlds with such faults
//! managers  10.0.7.1 ...    targets of other programs, which do not run
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tandem_core::configuration::Configuration;
use tandem_core::control::Inventory;
use tandem_core::evpn::InstanceName;
use tandem_core::{Time, Uuid};

use super::clock::Clock;
use super::planned::Chore;
use super::process::Process;
use super::{HostId, Impairment, Kind, Node, Part, Planned, State, World};
use crate::control::{self, ControlHost};
use crate::device::{self, Device, Manager, Physical, Startup};
use crate::host::{self, Host};
use crate::kernel::{Schedule, Stream, stream};
use crate::link::{Links, USER_TIMEOUT};
use crate::operator::configuration::Intent;
use crate::operator::{PORTS, foreign};
use crate::plan::{Plan, Role};
use crate::proxy::{self, Listen, Proxy, Server};
use crate::switch::{self, SchemaVersion};
use crate::thief::Thief;
use crate::tls::Shown;
use crate::vip::{self, Vip};
use crate::vrouter::{self, VRouter};

/// What the switches dial.
pub(super) const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 1);
/// Where intrusions come from.
const INTRUDER: Ipv4Addr = Ipv4Addr::new(10, 0, 6, 1);
const OVSDB: u16 = 6640;
const HEALTH: u16 = 6650;
const AGENT_CHECK: u16 = 6651;
/// Where a control node takes agents.
const XMPP: u16 = 5269;
/// Where a switch lets local programs in.
const LOCAL_PORT: u16 = 6632;

/// As `net` sets TCP_USER_TIMEOUT.
const AGENT_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest time that the old process of a reloaded proxy may live.
const HARD_STOP_AFTER: Duration = Duration::from_secs(600);

/// A world without nodes.
fn empty(plan: &Plan, with_sessions: bool) -> World {
    let latency = plan.network.latency.map(crate::plan::Span::duration);
    let links = Links::new(latency, plan.network.split_permille, stream(plan.seed, Stream::Latency));
    World {
        now: Time::ORIGIN,
        schedule: Schedule::default(),
        links,
        nodes: Vec::new(),
        intent: Intent::new(plan),
        wanted: Vec::new(),
        checkings: Default::default(),
        changes: 0,
        versions: 0,
        revision: 0,
        active: Vec::new(),
        split: 0,
        healed: false,
        lost: Vec::new(),
        cause: 0,
        entries: VecDeque::new(),
        entry_count: 0,
        with_sessions,
        steps: 0,
        steps_at_once: 0,
        application: stream(plan.seed, Stream::Application),
        scheduling: stream(plan.seed, Stream::Scheduling),
        plan: Arc::new(plan.clone()),
    }
}

impl World {
    /// The world of a plan, before anything has happened. With `with_sessions`, each entry records the state of its
    /// session.
    pub fn new(plan: &Plan, with_sessions: bool) -> Self {
        empty(plan, with_sessions).populated()
    }

    /// Adds and starts every node, and schedules the faults and the workload.
    fn populated(mut self) -> Self {
        self.add_nodes();
        self.change_intent(|_, _| {});
        let plan = Arc::clone(&self.plan);
        for (place, fault) in plan.faults.iter().enumerate() {
            self.schedule(Time::from_micros(fault.at.as_micros()), Planned::FaultBegins(place));
        }
        for node in self.all_nodes() {
            if self.nodes.get(node.0).is_some_and(|it| it.state == State::Running) {
                self.start(node);
            }
        }
        for chore in Chore::ALL {
            self.plan_chore(chore);
        }
        self.propagate();
        self
    }

    fn add_nodes(&mut self) {
        let topology = self.plan.topology.clone();
        for number in 0..topology.agents {
            self.add_node(
                Kind::Agent(number),
                agent_name(number),
                agent_address(number),
                AGENT_USER_TIMEOUT,
            );
        }
        for number in 0..topology.proxies {
            self.add_node(
                Kind::Proxy(number),
                Role::Proxy.node(number),
                numbered([10, 0, 1], number + 1),
                USER_TIMEOUT,
            );
        }
        for number in 0..topology.switches {
            self.add_node(
                Kind::Switch(number),
                format!("tor{}", number + 1),
                numbered([10, 1, 0], number + 1),
                USER_TIMEOUT,
            );
        }
        for number in 0..topology.control_nodes {
            self.add_node(
                Kind::Control(number),
                Role::Control.node(number),
                control_address(number),
                AGENT_USER_TIMEOUT,
            );
        }
        for number in 0..topology.vrouters {
            self.add_node(
                Kind::VRouter(number),
                Role::VRouter.node(number),
                numbered([10, 0, 5], number + 1),
                AGENT_USER_TIMEOUT,
            );
        }
        self.add_node(Kind::Thief, "thief".into(), Ipv4Addr::new(10, 0, 3, 1), USER_TIMEOUT);
        let faults = &self.plan.faults;
        if faults.iter().any(|it| it.fault.kind() == crate::plan::Kind::Intrude) {
            self.add_node(Kind::Intruder, "intruder".into(), INTRUDER, USER_TIMEOUT);
        }
        self.add_twin();
    }

    pub(super) fn add_node(&mut self, kind: Kind, name: String, address: Ipv4Addr, user_timeout: Duration) {
        let host = self.links.add_host(address, user_timeout);
        debug_assert_eq!(host.0, self.nodes.len(), "nodes and hosts have the same numbers");
        self.nodes.push(Node {
            name: name.into(),
            kind,
            address,
            tunnel_end: address,
            program: None,
            vip: None,
            wakes: [None; 2],
            impairment: Impairment::default(),
            state: State::Running,
            clock: Clock::default(),
            changed: true,
            keeps_database: true,
            draining: None,
            drained: false,
            complete: false,
            file: None,
            first_file: None,
            lives: 0,
            tsn_deaths: 0,
        });
    }

    /// Starts what belongs on a node; a switch goes on with the database that it has.
    pub(super) fn start(&mut self, host: HostId) {
        let Some(node) = self.nodes.get_mut(host.0) else { return };
        node.lives += 1;
        node.wakes[Part::Program as usize] = None;
        (node.draining, node.drained) = (None, false);
        let (kind, life, address) = (node.kind, node.lives, node.address);
        let keeps_database = std::mem::replace(&mut node.keeps_database, true);
        let seed = self.scheduling.next_u64();
        match kind {
            Kind::Switch(number) => {
                if life == 1 {
                    let name = Role::Switch.node(number);
                    let shown = self.certificate_of(&name);
                    let device = self.new_switch(&name, shown, address, seed);
                    self.set_program(host, Process::Switch(Box::new(device)));
                } else {
                    let command = device::Command::Booted { keeps_database };
                    self.deliver(host, Part::Program, super::NodeInput::Switch(command));
                }
            }
            Kind::Agent(number) => {
                let agent = self.new_agent(host, number, address, life, seed);
                self.set_program(host, Process::Agent(Box::new(agent)));
                self.send_settings(host);
            }
            Kind::Proxy(number) => {
                let options = self.proxy_options();
                self.set_program(host, Process::Proxy(Box::new(Proxy::new(seed, options))));
                self.start_vip(host, number, address);
            }
            Kind::Control(number) => self.start_control_node(host, number, life),
            Kind::VRouter(number) => {
                let vrouter = self.new_vrouter(number, seed);
                self.set_program(host, Process::VRouter(Box::new(vrouter)));
                self.send_settings(host);
            }
            Kind::Thief => self.set_program(host, Process::Thief(Box::new(Thief::new("tandem")))),
            Kind::Twin => self.start_twin(host, address, seed),
            Kind::Intruder => self.set_program(host, Process::Intruder(Box::default())),
        }
        if life > 1 {
            let node = self.name_of(host);
            self.log_world(super::WorldEvent::Started { node });
        }
    }

    pub(super) fn set_program(&mut self, host: HostId, program: Process) {
        if let Some(node) = self.nodes.get_mut(host.0) {
            node.program = Some(program);
        }
        self.drain(host, Part::Program);
    }

    /// A single proxy holds the address permanently; two of them elect a master by VRRP.
    pub(super) fn start_vip(&mut self, host: HostId, number: usize, own: Ipv4Addr) {
        if self.plan.topology.proxies < 2 {
            return self.links.hold(self.now, host, VIP);
        }
        let priority = self.vip_priority(number);
        let Some(node) = self.nodes.get_mut(host.0).filter(|node| node.vip.is_none()) else {
            return;
        };
        let options = vip::Options {
            address: VIP,
            own,
            priority,
            advert: self.plan.proxy.advert.duration(),
            preempt: true,
            track: self.plan.proxy.track.unless_zero(),
        };
        node.wakes[Part::Vip as usize] = None;
        node.vip = Some(Process::Vip(Box::new(Vip::new(options))));
        self.drain(host, Part::Vip);
    }

    pub(super) fn new_switch(&self, name: &str, certificate: Shown, address: Ipv4Addr, seed: u64) -> Device {
        let plan = &self.plan.switch;
        let mut server = switch::Options::new(plan.schema_version().unwrap_or(SchemaVersion::V1_7_0));
        server.monitor_cond = plan.monitor_cond;
        server.locks = !plan.lockless;
        server.dump_us_per_row = plan.dump_us_per_row.into();
        let millis = |span: crate::plan::Span| u32::try_from(span.as_micros() / 1000).unwrap_or(u32::MAX);
        let manager = |target| Manager {
            target: format!("ssl:{VIP}:{}", OVSDB + target),
            max_backoff: plan.max_backoff.map(millis),
            inactivity_probe: plan.inactivity_probe.map(millis),
        };
        let others = (0..plan.other_managers).map(|number| Manager {
            target: format!("ssl:{}:{OVSDB}", numbered([10, 0, 7], number + 1)),
            max_backoff: None,
            inactivity_probe: None,
        });
        server.model = Some(plan.model);
        let mut options = device::Options::new(server);
        options.certificate = certificate;
        options.startup = Startup {
            physical: Some(Physical {
                name: name.to_owned(),
                tunnel_ip: address.to_string(),
                ports: PORTS.map(str::to_owned).to_vec(),
            }),
            managers: (0..self.targets()).map(manager).chain(others).collect(),
        };
        options.remotes = vec![format!("ptcp:{LOCAL_PORT}:{address}")];
        options.tls = Some(self.plan.agent.tls.duration());
        options.keep_commits = true;
        options.follows_moved = plan.drops_moved;
        let mut device = Device::new(seed, options);
        device.local(Time::ORIGIN, foreign::furnish(name, plan.foreign));
        device
    }

    fn new_agent(&mut self, host: HostId, number: usize, own: Ipv4Addr, life: u64, seed: u64) -> Host {
        let control_nodes = self.control_ports();
        let complete = control_nodes.is_empty() && self.begin_configuring(host, life);
        let mut configuration = self.configuration(number, complete);
        if !control_nodes.is_empty() {
            // The control nodes send the configuration.
            let local = Arc::make_mut(&mut configuration);
            local.networks.clear();
            local.switches.clear();
        }
        let options = host::Options {
            listen: SocketAddrV4::new(own, OVSDB),
            health: SocketAddrV4::new(own, HEALTH),
            agent_check: SocketAddrV4::new(own, AGENT_CHECK),
            tls_work: self.plan.agent.tls.duration(),
            configuration,
            complete,
            generation: tandem_core::Generation(self.now.micros()),
            control_nodes,
            stale_hold: self.plan.agent.stale_hold.unless_zero(),
            pair: self.plan.agent.pair,
            disk: self.disk(host),
        };
        Host::new(seed, options)
    }

    /// Starts the configuration of a program. Returns whether it gets the complete one at once.
    fn begin_configuring(&mut self, host: HostId, life: u64) -> bool {
        let after = self.plan.agent.configured_after;
        let complete = after == crate::plan::Span::ZERO;
        if let Some(node) = self.nodes.get_mut(host.0) {
            node.complete = complete;
        }
        if !complete {
            let configure = Planned::Configure {
                node: host,
                life,
                complete: true,
            };
            self.schedule(self.now + after.duration(), configure);
        }
        complete
    }

    /// A control node cannot mark an inventory as incomplete. So it gets half of it as an earlier revision, and only in
    /// a world in which nothing was programmed yet; when it restarts, it has no inventory for a while.
    fn start_control_node(&mut self, host: HostId, number: usize, life: u64) {
        let options = control::Options {
            name: Role::Control.node(number),
            listen: control_port(number),
            certificates: self.certificates(),
            #[cfg(feature = "mutants")]
            mutant: self.plan.mutant,
        };
        self.set_program(host, Process::Control(Box::new(ControlHost::new(options))));
        let complete = self.begin_configuring(host, life);
        if complete || life == 1 {
            let command = control::Command::Configure(self.inventory(complete));
            self.deliver(host, Part::Program, super::NodeInput::Control(command));
        }
    }

    fn new_vrouter(&self, number: usize, seed: u64) -> VRouter {
        let options = vrouter::Options {
            name: Role::VRouter.node(number),
            control_nodes: self.control_ports(),
        };
        VRouter::new(seed, options)
    }

    fn control_ports(&self) -> Vec<SocketAddrV4> {
        (0..self.plan.topology.control_nodes).map(control_port).collect()
    }

    fn proxy_options(&self) -> proxy::Options {
        let agents = self.plan.topology.agents;
        let server = |target: u16, number: usize| {
            let own = agent_address(number);
            Server {
                name: agent_name(number),
                at: SocketAddrV4::new(own, OVSDB),
                check_at: SocketAddrV4::new(own, self.check_port()),
                agent_check_at: self
                    .plan
                    .proxy
                    .agent_check
                    .then_some(SocketAddrV4::new(own, AGENT_CHECK)),
                backup: self.targets() > 1 && number != usize::from(target) % agents,
            }
        };
        let listen = |target| Listen {
            at: SocketAddrV4::new(VIP, OVSDB + target),
            servers: (0..agents).map(|number| server(target, number)).collect(),
        };
        proxy::Options {
            proxy: self.plan.proxy.clone(),
            listens: (0..self.targets()).map(listen).collect(),
            hard_stop_after: HARD_STOP_AFTER,
        }
    }

    /// A check of TLS, or of the mere connection, goes where switches go.
    fn check_port(&self) -> u16 {
        match self.plan.proxy.check {
            crate::socket::CheckKind::Echo | crate::socket::CheckKind::Agent => HEALTH,
            crate::socket::CheckKind::Connect | crate::socket::CheckKind::Tls => OVSDB,
        }
    }

    fn targets(&self) -> u16 {
        u16::try_from(self.plan.topology.targets).unwrap_or(1)
    }

    /// The operator changes what is wanted.
    pub(super) fn change_intent(&mut self, change: impl FnOnce(&mut Intent, &mut ChaCha8Rng)) {
        change(&mut self.intent, &mut self.application);
        self.revision += 1;
        let agents = 0..self.plan.topology.agents;
        self.wanted = agents
            .map(|number| Arc::new(self.configuration_of(number, &self.intent)))
            .collect();
    }

    /// The present configuration of an agent: the complete one, or half of it.
    pub(super) fn configuration(&self, number: usize, complete: bool) -> Arc<Configuration> {
        match self.wanted.get(number).filter(|_| complete) {
            Some(wanted) => Arc::clone(wanted),
            None => Arc::new(self.configuration_of(number, &self.intent.half())),
        }
    }

    /// The present inventory of a control node: the complete one, or half of it under an earlier revision.
    pub(super) fn inventory(&self, complete: bool) -> Arc<Inventory> {
        let agents = 0..self.plan.topology.agents;
        let serving: Vec<_> = agents
            .filter(|agent| !self.is_stranger(*agent))
            .map(agent_name)
            .collect();
        let revision = self.revision * 2;
        Arc::new(if complete {
            self.intent.inventory(revision, &serving)
        } else {
            self.intent.half().inventory(revision - 1, &serving)
        })
    }

    /// Every instance that is wanted, by its network.
    pub(super) fn instances(&self) -> BTreeMap<InstanceName, Uuid> {
        self.intent.inventory(0, &[]).instances()
    }

    /// Whether this agent is configured for no switch.
    pub(super) fn is_stranger(&self, number: usize) -> bool {
        number + self.plan.agent.strangers >= self.plan.topology.agents
    }

    fn configuration_of(&self, number: usize, intent: &Intent) -> Configuration {
        let mut configuration = intent.configuration(&agent_name(number), agent_address(number), &self.plan);
        if self.is_stranger(number) {
            configuration.switches.clear();
        }
        configuration.session.routed = self.plan.topology.control_nodes > 0;
        #[cfg(feature = "mutants")]
        {
            configuration.session.mutant = self.plan.mutant;
        }
        configuration
    }

    pub(super) fn name_of(&self, host: HostId) -> String {
        self.nodes
            .get(host.0)
            .map_or_else(String::new, |node| node.name.to_string())
    }

    /// Where a switch lets local programs in.
    pub(super) fn local_port(&self, switch: HostId) -> Option<SocketAddrV4> {
        self.nodes
            .get(switch.0)
            .map(|node| SocketAddrV4::new(node.address, LOCAL_PORT))
    }
}

pub(super) fn agent_name(number: usize) -> String {
    Role::Agent.node(number)
}

fn agent_address(number: usize) -> Ipv4Addr {
    numbered([10, 0, 0], number + 11)
}

fn control_address(number: usize) -> Ipv4Addr {
    numbered([10, 0, 4], number + 1)
}

pub(super) fn control_port(number: usize) -> SocketAddrV4 {
    SocketAddrV4::new(control_address(number), XMPP)
}

fn numbered([a, b, c]: [u8; 3], number: usize) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, u8::try_from(number).unwrap_or(u8::MAX))
}
