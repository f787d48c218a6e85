//! Which agents, vRouters and control nodes can talk, what they know of what is wanted, and what gets from one to the
//! other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use tandem_core::agent::Fabric;
use tandem_core::event::Route;
use tandem_core::health::Grade;
use tandem_core::{Mac, Uuid};

use super::process::Process;
use super::view::AgentView;
use super::{HostId, Kind, State, World};
use crate::control::ControlHost;
use crate::vrouter::VRouter;

/// A control node, as an observer sees it.
#[derive(Clone, Copy, Debug)]
pub struct ControlView<'a> {
    pub name: &'a str,
    /// It has power, and its program runs.
    pub running: bool,
    /// Its program; `None` when it is dead.
    pub host: Option<&'a ControlHost>,
    id: HostId,
}

/// A vRouter, as an observer sees it.
#[derive(Clone, Copy, Debug)]
pub struct VRouterView<'a> {
    pub name: &'a str,
    /// It has power, and its program runs.
    pub running: bool,
    /// Its program; `None` when it is dead.
    pub vrouter: Option<&'a VRouter>,
    id: HostId,
}

/// An actor that receives routes from control nodes.
#[derive(Clone, Copy, Debug)]
pub enum Consumer<'a> {
    Agent(AgentView<'a>),
    VRouter(VRouterView<'a>),
}

/// The tunnel ends at which agents export a MAC.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    /// The tunnel ends.
    pub ends: BTreeSet<Ipv4Addr>,
    /// One of the exporting agents shares a control node with the consumer.
    pub certain: bool,
}

impl World {
    /// Every control node.
    pub fn control_nodes(&self) -> impl Iterator<Item = ControlView<'_>> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| matches!(node.kind, Kind::Control(_)))
            .map(|(place, node)| ControlView {
                name: &node.name,
                running: node.state == State::Running,
                host: match &node.program {
                    Some(Process::Control(host)) => Some(host),
                    Some(_) | None => None,
                },
                id: HostId(place),
            })
    }

    /// Every vRouter.
    pub fn vrouters(&self) -> impl Iterator<Item = VRouterView<'_>> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| node.kind.is_vrouter())
            .map(|(place, node)| VRouterView {
                name: &node.name,
                running: node.state == State::Running,
                vrouter: match &node.program {
                    Some(Process::VRouter(vrouter)) => Some(vrouter),
                    Some(_) | None => None,
                },
                id: HostId(place),
            })
    }

    /// Every agent and every vRouter.
    pub fn consumers(&self) -> impl Iterator<Item = Consumer<'_>> {
        let agents = self.agents().map(Consumer::Agent);
        agents.chain(self.vrouters().map(Consumer::VRouter))
    }

    /// Whether a consumer and a control node have a session, and nothing is between them.
    pub fn has_session<'a>(&self, consumer: impl Into<Consumer<'a>>, control: ControlView<'_>) -> bool {
        let consumer = consumer.into();
        let Some(node) = control.host else { return false };
        let ways = [(consumer.id(), control.id), (control.id, consumer.id())];
        consumer.is_running()
            && control.running
            && ways
                .into_iter()
                .all(|(from, to)| self.links.is_clear(self.now(), from, to))
            && node.node().has_client(consumer.name())
            && consumer.believes_in_session(control.name)
    }

    /// The control nodes that a consumer has sessions with, as far as it knows.
    pub fn believed_sessions<'a>(&'a self, consumer: impl Into<Consumer<'a>>) -> impl Iterator<Item = ControlView<'a>> {
        let consumer = consumer.into();
        self.control_nodes()
            .filter(move |control| consumer.believes_in_session(control.name))
    }

    /// Whether an agent has had its complete configuration once, and receives changes of it.
    pub fn receives_changes(&self, agent: AgentView<'_>) -> bool {
        let mut nodes = self.control_nodes().peekable();
        agent.complete && (nodes.peek().is_none() || nodes.any(|control| self.has_session(agent, control)))
    }

    /// Whether an agent has the present configuration, and would receive changes of it.
    pub fn is_current(&self, agent: AgentView<'_>) -> bool {
        if self.plan.topology.control_nodes == 0 {
            return agent.complete;
        }
        let current = |control: ControlView<'_>| {
            let node = control.host.map(ControlHost::node);
            node.is_some_and(|node| node.inventory().revision == self.revision * 2)
        };
        let mut nodes = self.control_nodes();
        self.has_configuration(agent) && nodes.any(|control| current(control) && self.has_session(agent, control))
    }

    /// Whether an agent has what is wanted now.
    pub fn has_configuration(&self, agent: AgentView<'_>) -> bool {
        if self.plan.topology.control_nodes == 0 {
            return agent.complete;
        }
        let Some(Kind::Agent(number)) = self.nodes.get(agent.id.0).map(|node| node.kind) else {
            return false;
        };
        let (Some(host), wanted) = (agent.host, self.wanted(number)) else {
            return false;
        };
        let known = host.agent().configuration();
        let ports = known.switches.values().flat_map(|switch| switch.ports.values());
        let mut vnis = ports.flat_map(BTreeMap::values).map(|network| {
            [known, &wanted].map(|configuration| configuration.networks.get(network).map(|about| about.vni))
        });
        agent.complete && known.switches == wanted.switches && vnis.all(|[known, wanted]| known == wanted)
    }

    /// Whether an agent was configured by control nodes.
    pub(super) fn is_configured_by_control_nodes(&self, agent: HostId) -> bool {
        let grade = self.host(agent).map(|host| host.agent().grade());
        self.plan.topology.control_nodes > 0 && grade.is_some_and(|grade| grade != Grade::Unfit)
    }

    /// The MACs that agents export at other tunnel ends than this one: those that the consumer must have, or may have.
    pub fn reached<'a>(&self, consumer: impl Into<Consumer<'a>>, own: Ipv4Addr) -> BTreeMap<(Uuid, Mac), Reached> {
        let mut reached = BTreeMap::<_, Reached>::new();
        let consumer = consumer.into();
        let nodes: Vec<_> = self
            .control_nodes()
            .filter(|control| self.has_session(consumer, *control))
            .collect();
        if self.plan.topology.control_nodes == 0 {
            return reached;
        }
        let mut here = BTreeSet::new();
        for other in self.agents() {
            let common = nodes.iter().any(|control| self.has_session(other, *control));
            let routes = other.host.into_iter().flat_map(|host| host.agent().exports().routes());
            for route in routes.filter(|route| !route.mac.is_broadcast()) {
                let key = (route.network, route.mac);
                if route.vtep == own {
                    here.insert(key);
                    continue;
                }
                let it = reached.entry(key).or_default();
                it.ends.insert(route.vtep);
                it.certain |= common;
            }
            for route in self.held(other).filter(|route| self.may_hold(other, route.vtep)) {
                reached
                    .entry((route.network, route.mac))
                    .or_default()
                    .ends
                    .insert(route.vtep);
            }
        }
        // A MAC that is also here is elsewhere only if it was learned there later.
        for key in here {
            if let Some(it) = reached.get_mut(&key) {
                it.certain = false;
            }
        }
        reached
    }

    /// The routes of which an agent holds a copy.
    pub fn held<'a>(&self, agent: AgentView<'a>) -> impl Iterator<Item = &'a Route> + use<'a> {
        let uplinks = agent
            .host
            .filter(|_| agent.running)
            .and_then(|host| host.agent().uplinks());
        uplinks.into_iter().flat_map(|uplinks| uplinks.held())
    }

    /// Whether an agent may hold copies of routes that the owner of their switch does not export: as long as the switch
    /// has no owner, or the agent receives no reports of the owner.
    fn may_hold(&self, agent: AgentView<'_>, vtep: Ipv4Addr) -> bool {
        let switch = self.switches().find(|switch| switch.tunnel_ip == vtep);
        let Some(owner) = switch.and_then(|switch| self.master(switch)).filter(|owner| owner.live) else {
            return true;
        };
        let theirs = owner.agent.name != agent.name;
        let receives = self.plan.agent.pair && self.links.is_calm(owner.agent.id, agent.id);
        theirs && !receives
    }
}

impl<'a> Consumer<'a> {
    /// The name of its node.
    pub fn name(self) -> &'a str {
        match self {
            Self::Agent(agent) => agent.name,
            Self::VRouter(vrouter) => vrouter.name,
        }
    }

    /// Its table of routes; `None` while its program is dead.
    pub fn fabric(self) -> Option<&'a Fabric> {
        match self {
            Self::Agent(agent) => Some(agent.host?.agent().uplinks()?.fabric()),
            Self::VRouter(vrouter) => Some(vrouter.vrouter?.fabric()),
        }
    }

    /// Whether it subscribes to a network.
    pub fn is_in(self, network: Uuid) -> bool {
        match self {
            Self::Agent(agent) => agent.host.is_some_and(|host| {
                let known = host.agent().configuration();
                let mut switches = known.switches.values();
                known.networks.contains_key(&network) && switches.any(|switch| switch.networks().contains(&network))
            }),
            Self::VRouter(vrouter) => vrouter.vrouter.is_some_and(|vrouter| vrouter.is_in(network)),
        }
    }

    /// Whether the routes of a network are complete.
    pub fn is_complete(self, network: Uuid) -> bool {
        match self {
            Self::Agent(agent) => {
                let uplinks = agent.host.and_then(|host| host.agent().uplinks());
                uplinks.is_some_and(|uplinks| uplinks.is_complete(network))
            }
            Self::VRouter(vrouter) => vrouter.vrouter.is_some_and(|vrouter| vrouter.is_complete(network)),
        }
    }

    fn is_running(self) -> bool {
        match self {
            Self::Agent(agent) => agent.running,
            Self::VRouter(vrouter) => vrouter.running,
        }
    }

    fn id(self) -> HostId {
        match self {
            Self::Agent(agent) => agent.id,
            Self::VRouter(vrouter) => vrouter.id,
        }
    }

    /// Whether it has a session with the control node of this name, by its own word.
    fn believes_in_session(self, control: &str) -> bool {
        match self {
            Self::Agent(agent) => {
                let uplinks = agent.host.and_then(|host| host.agent().uplinks());
                uplinks.is_some_and(|uplinks| uplinks.peers().any(|peer| peer == control))
            }
            Self::VRouter(vrouter) => {
                let mut peers = vrouter.vrouter.into_iter().flat_map(VRouter::uplinks);
                peers.any(|peer| peer == control)
            }
        }
    }
}

impl<'a> From<AgentView<'a>> for Consumer<'a> {
    fn from(agent: AgentView<'a>) -> Self {
        Self::Agent(agent)
    }
}

impl<'a> From<VRouterView<'a>> for Consumer<'a> {
    fn from(vrouter: VRouterView<'a>) -> Self {
        Self::VRouter(vrouter)
    }
}
