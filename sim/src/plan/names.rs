//! The names of nodes: `tor1` ..., `agent-a` ..., `proxy-1` ..., `control-1` ..., `vrouter-1` ...

use super::{Fault, Kind, Topology};

/// What a node is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Role {
    Switch,
    Agent,
    Proxy,
    Control,
    VRouter,
}

impl Role {
    /// Each of them, once.
    pub const ALL: [Self; 5] = [Self::Switch, Self::Agent, Self::Proxy, Self::Control, Self::VRouter];

    /// The name of the node of this role with this index, from 0 on. Agents are at most 26.
    pub fn node(self, index: usize) -> String {
        match self {
            Self::Switch => format!("tor{}", index + 1),
            Self::Agent => {
                let letter = ('a'..='z').nth(index).unwrap_or('?');
                format!("agent-{letter}")
            }
            Self::Proxy => format!("proxy-{}", index + 1),
            Self::Control => format!("control-{}", index + 1),
            Self::VRouter => format!("vrouter-{}", index + 1),
        }
    }

    /// As a plan calls it: `switch`, `agent`, `proxy`, `control node`, `vRouter`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Agent => "agent",
            Self::Proxy => "proxy",
            Self::Control => "control node",
            Self::VRouter => "vRouter",
        }
    }
}

impl Topology {
    /// How many nodes have this role.
    pub const fn count(&self, role: Role) -> usize {
        match role {
            Role::Switch => self.switches,
            Role::Agent => self.agents,
            Role::Proxy => self.proxies,
            Role::Control => self.control_nodes,
            Role::VRouter => self.vrouters,
        }
    }

    /// The names of all nodes of this role, in order.
    pub fn names(&self, role: Role) -> Vec<String> {
        (0..self.count(role)).map(|index| role.node(index)).collect()
    }

    /// The names of all nodes: switches, agents, proxies, control nodes, vRouters.
    pub fn nodes(&self) -> Vec<String> {
        Role::ALL.into_iter().flat_map(|role| self.names(role)).collect()
    }

    /// What the node of this name is, if it exists.
    pub fn role(&self, node: &str) -> Option<Role> {
        Role::ALL
            .into_iter()
            .find(|role| self.names(*role).iter().any(|name| name == node))
    }
}

impl Fault {
    /// Whether this fault, if it is between two nodes, does anything between nodes of these roles.
    pub(super) fn concerns_link(&self, one: Role, other: Role) -> bool {
        match (one, other) {
            (Role::Switch, Role::Proxy) | (Role::Proxy, Role::Switch | Role::Agent) | (Role::Agent, Role::Proxy) => {
                true
            }
            (Role::Agent | Role::VRouter, Role::Control) | (Role::Control, Role::Agent | Role::VRouter) => true,
            // They send each other adverts, and have no connection.
            (Role::Proxy, Role::Proxy) => self.kind() != Kind::Reset,
            // Those of a pair.
            (Role::Agent, Role::Agent) => self.kind() != Kind::Reset,
            (Role::Switch, Role::Switch | Role::Agent) | (Role::Agent, Role::Switch) => false,
            // Control nodes know nothing of each other yet.
            (Role::Control, Role::Switch | Role::Proxy | Role::Control)
            | (Role::Switch | Role::Proxy, Role::Control) => false,
            (Role::VRouter, Role::Switch | Role::Agent | Role::Proxy | Role::VRouter)
            | (Role::Switch | Role::Agent | Role::Proxy, Role::VRouter) => false,
        }
    }

    /// The nodes that it names, and what each must be; `None` where any node will do.
    pub fn nodes(&self) -> Vec<(&str, Option<Role>)> {
        match self {
            Self::Crash { node }
            | Self::PowerLoss { node }
            | Self::Pause { node }
            | Self::Isolate { node }
            | Self::Drift { node, .. } => vec![(node, None)],
            Self::Cut { from, to } | Self::Slow { from, to, .. } | Self::Jam { from, to } => {
                vec![(from, None), (to, None)]
            }
            Self::Reset { between, and } => vec![(between, None), (and, None)],
            Self::Reload { proxy } => vec![(proxy, Some(Role::Proxy))],
            Self::Reboot { switch, .. } | Self::Edit { switch, .. } | Self::Steal { switch } => {
                vec![(switch, Some(Role::Switch))]
            }
            Self::Twin { switch } | Self::Expire { switch } | Self::Undo { switch } | Self::Full { switch } => {
                vec![(switch, Some(Role::Switch))]
            }
            Self::Drain { agent } | Self::Tls { agent, .. } | Self::TsnDeath { agent } | Self::Disk { agent, .. } => {
                vec![(agent, Some(Role::Agent))]
            }
            Self::Maint { agent } => vec![(agent, Some(Role::Agent))],
            Self::Intrude { control, .. } => vec![(control, Some(Role::Control))],
            Self::MoveVip | Self::SplitVip | Self::Configure { .. } => Vec::new(),
        }
    }

    /// The names of [`Fault::nodes`], to change.
    pub(super) fn names_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Crash { node }
            | Self::PowerLoss { node }
            | Self::Pause { node }
            | Self::Isolate { node }
            | Self::Drift { node, .. } => vec![node],
            Self::Cut { from, to } | Self::Slow { from, to, .. } | Self::Jam { from, to } => vec![from, to],
            Self::Reset { between, and } => vec![between, and],
            Self::Reload { proxy } => vec![proxy],
            Self::Reboot { switch, .. } | Self::Edit { switch, .. } | Self::Steal { switch } => vec![switch],
            Self::Twin { switch } | Self::Expire { switch } => vec![switch],
            Self::Undo { switch } | Self::Full { switch } => vec![switch],
            Self::Drain { agent } | Self::Tls { agent, .. } | Self::TsnDeath { agent } => vec![agent],
            Self::Disk { agent, .. } | Self::Maint { agent } => vec![agent],
            Self::Intrude { control, .. } => vec![control],
            Self::MoveVip | Self::SplitVip | Self::Configure { .. } => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_the_names_that_plans_use() {
        let topology = Topology {
            switches: 2,
            agents: 3,
            proxies: 2,
            control_nodes: 1,
            vrouters: 1,
            ..Topology::default()
        };
        assert_eq!(
            topology.nodes().join(" "),
            "tor1 tor2 agent-a agent-b agent-c proxy-1 proxy-2 control-1 vrouter-1"
        );
        assert_eq!(topology.role("agent-c"), Some(Role::Agent));
        assert_eq!(topology.role("agent-d"), None);
    }
}
