//! The observer's view: the public state of the actors, and the connections between them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::configuration::Configuration;
use tandem_core::{ConnId, Time, Uuid};

use super::build::VIP;
use super::process::Process;
use super::{HostId, Kind, State, World};
use crate::device::Device;
use crate::host::Host;
use crate::proxy::Proxy;
use crate::switch::Switch;

/// The lock that permits writes.
pub const LOCK: &str = "tandem";

/// A switch, as an observer sees it.
#[derive(Clone, Copy, Debug)]
pub struct SwitchView<'a> {
    pub name: &'a str,
    /// It has power, and its program runs.
    pub running: bool,
    pub device: &'a Device,
    pub switch: &'a Switch,
    pub tunnel_ip: Ipv4Addr,
    pub(super) host: HostId,
}

/// An agent, as an observer sees it.
#[derive(Clone, Copy, Debug)]
pub struct AgentView<'a> {
    pub name: &'a str,
    pub tsn: Ipv4Addr,
    /// It has power, and its program runs.
    pub running: bool,
    /// It has had its complete configuration.
    pub complete: bool,
    /// The time by its own clock.
    pub now: Time,
    /// Its program; `None` when it is dead.
    pub host: Option<&'a Host>,
    pub(super) id: HostId,
}

/// A connection of a switch, through a proxy to an agent, and whether the two can really talk.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    pub agent: AgentView<'a>,
    /// The connection, at the agent.
    pub conn: ConnId,
    /// The connection, at the switch.
    pub switch_conn: ConnId,
    /// Every node on the way runs, and every link is open, in both directions.
    pub live: bool,
    /// The same, and nothing on the way is slow.
    pub calm: bool,
}

impl World {
    /// Every switch.
    pub fn switches(&self) -> impl Iterator<Item = SwitchView<'_>> {
        self.nodes.iter().enumerate().filter_map(|(place, node)| {
            let (Kind::Switch(_), Some(Process::Switch(device))) = (node.kind, &node.program) else {
                return None;
            };
            Some(SwitchView {
                name: &node.name,
                running: node.state == State::Running,
                device,
                switch: device.switch(),
                tunnel_ip: node.tunnel_end,
                host: HostId(place),
            })
        })
    }

    /// Every agent.
    pub fn agents(&self) -> impl Iterator<Item = AgentView<'_>> {
        let agents = self.nodes_of(Kind::is_agent);
        agents.into_iter().filter_map(|host| self.agent(host))
    }

    /// Takes what was committed on a switch since it was taken last.
    pub fn take_commits(&mut self, name: &str) -> Vec<crate::switch::Commit> {
        match self
            .node(name)
            .and_then(|host| self.nodes.get_mut(host.0)?.program.as_mut())
        {
            Some(Process::Switch(device)) => device.take_commits(),
            Some(_) | None => Vec::new(),
        }
    }

    /// The client that holds the lock of a switch, or would hold it if the switch knew locks; none where no client may write.
    pub fn lock_holder(&self, switch: SwitchView<'_>) -> Option<ConnId> {
        let holder = switch.switch.lock_holder(LOCK);
        holder.filter(|_| !self.plan.is_unfenced())
    }

    /// The agent that holds the lock of a switch, if it still knows the connection.
    pub fn master(&self, switch: SwitchView<'_>) -> Option<Way<'_>> {
        self.way(switch, self.lock_holder(switch)?)
    }

    /// Every connection of a switch that leads to an agent.
    pub fn ways(&self, switch: SwitchView<'_>) -> Vec<Way<'_>> {
        let conns = self.links.connections_of(switch.host);
        conns.filter_map(|conn| self.way(switch, conn)).collect()
    }

    /// Where a connection of a switch leads, if it is to an agent that still knows of it.
    pub fn way(&self, switch: SwitchView<'_>, switch_conn: ConnId) -> Option<Way<'_>> {
        let (proxy, client) = self.links.peer(switch.host, switch_conn)?;
        let mut connections = self.proxy(proxy)?.connections();
        let server = connections
            .find(|connection| connection.client == client)?
            .server_conn?;
        let (agent, conn) = self.links.peer(proxy, server)?;
        let hosts = [switch.host, proxy, agent];
        let runs = |host: &HostId| self.nodes.get(host.0).is_some_and(|node| node.state == State::Running);
        let legs = [
            (switch.host, proxy),
            (proxy, switch.host),
            (proxy, agent),
            (agent, proxy),
        ];
        // A proxy that released the address is silent, even if another node still sends to it.
        let holds = self.links.holders(VIP).any(|holder| holder == proxy);
        let there = hosts.iter().all(runs) && holds && self.links.resolve(switch.host, VIP) == Some(proxy);
        let calm = there
            && legs
                .iter()
                .all(|(from, to)| self.links.is_clear(self.now(), *from, *to));
        Some(Way {
            agent: self.agent(agent)?,
            conn,
            switch_conn,
            live: calm || there && legs.iter().all(|(from, to)| self.links.passable(*from, *to)),
            calm,
        })
    }

    /// What an agent is wanted to make true, as of now.
    pub fn wanted(&self, agent: usize) -> Arc<Configuration> {
        self.configuration(agent, true)
    }

    /// Whether a network is wanted as of now.
    pub fn is_wanted(&self, network: Uuid) -> bool {
        self.intent.wants(network)
    }

    /// Whether the faults are over.
    pub fn is_healed(&self) -> bool {
        self.healed
    }

    /// The faults of the plan that go on, by their place.
    pub fn active_faults(&self) -> &[usize] {
        &self.active
    }

    /// Connections, planned things, and health checks: what must not grow without end.
    pub fn sizes(&self) -> [(&'static str, usize); 3] {
        [
            ("connections", self.links.connections()),
            ("planned things", self.schedule.len()),
            ("health checks", self.checkings.len()),
        ]
    }

    /// How long a connection has been silent by the agent's own clock; also of a session that ended this moment.
    pub fn silence(&self, agent: AgentView<'_>, conn: ConnId) -> Option<Duration> {
        let host = agent.host?;
        let open = host.sessions().get(&conn).map(|line| line.last_received);
        Some(agent.now.since(open.or_else(|| host.last_received(conn))?))
    }

    pub(super) fn host(&self, host: HostId) -> Option<&Host> {
        match self.nodes.get(host.0)?.program.as_ref()? {
            Process::Agent(agent) => Some(agent),
            Process::Switch(_) | Process::Proxy(_) | Process::Control(_) => None,
            Process::VRouter(_) | Process::Vip(_) | Process::Thief(_) | Process::Intruder(_) => None,
        }
    }

    fn agent(&self, host: HostId) -> Option<AgentView<'_>> {
        let node = self.nodes.get(host.0)?;
        Some(AgentView {
            name: &node.name,
            tsn: node.address,
            running: node.state == State::Running,
            complete: node.complete || self.is_configured_by_control_nodes(host),
            now: node.clock.read(self.now),
            host: self.host(host),
            id: host,
        })
    }

    /// Whether an operator has taken the agent at this address out of a proxy.
    pub(super) fn is_out(&self, proxy: HostId, agent: Ipv4Addr) -> bool {
        let mut servers = self.proxy(proxy).into_iter().flat_map(Proxy::servers);
        servers.any(|server| server.maint && *server.at.ip() == agent)
    }

    fn proxy(&self, host: HostId) -> Option<&Proxy> {
        match self.nodes.get(host.0)?.program.as_ref()? {
            Process::Proxy(proxy) => Some(proxy),
            Process::Switch(_) | Process::Agent(_) | Process::Control(_) => None,
            Process::VRouter(_) | Process::Vip(_) | Process::Thief(_) | Process::Intruder(_) => None,
        }
    }
}

#[cfg(test)]
impl World {
    /// A program dies, and no kernel closes its connections.
    pub(crate) fn forget_program(&mut self, name: &str) {
        let host = self.node(name).expect("a node");
        self.nodes[host.0].program = None;
    }

    /// The server of a switch forgets the client that holds the lock.
    pub(crate) fn forget_owner(&mut self, name: &str) {
        let now = self.now;
        let switch = self.device_mut(name).switch_mut();
        if let Some(conn) = switch.lock_holder(LOCK) {
            tandem_core::Machine::handle(switch, now, crate::switch::Input::Closed { conn });
        }
    }

    /// Every connection between two nodes goes.
    pub(crate) fn hang_up(&mut self, one: &str, other: &str) {
        let [one, other] = [one, other].map(|name| self.node(name).expect("a node"));
        self.links.reset_between(one, other);
    }

    /// A vRouter, for tests that spoil it.
    pub(crate) fn vrouter_mut(&mut self, name: &str) -> &mut crate::vrouter::VRouter {
        let host = self.node(name).expect("a node");
        match self.nodes[host.0].program.as_mut() {
            Some(Process::VRouter(vrouter)) => vrouter,
            other => panic!("{name} is {other:?}"),
        }
    }

    /// A switch, for tests that change it directly.
    pub(crate) fn device_mut(&mut self, name: &str) -> &mut Device {
        let host = self.node(name).expect("a node");
        match self.nodes[host.0].program.as_mut() {
            Some(Process::Switch(device)) => device,
            other => panic!("{name} is {other:?}"),
        }
    }
}
