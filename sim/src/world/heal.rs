//! The end of the faults: a core is healed, and everything else that is broken stays broken.
//!
//! The core is every switch and vRouter, and one proxy, one agent and one control node (if there are any), drawn by
//! the plan's seed. All trouble between them ends. The other nodes keep their faults: an agent that is down stays down.
//! Three things change, because nothing that runs in the core could ever notice them:
//!
//! - a node outside the core that has any fault is cut off from all other nodes;
//! - a proxy outside the core that has any fault loses its power: no other proxy can take a virtual IP from a proxy
//!   that hangs;
//! - an agent outside the core that hangs loses its power if neither a check of the proxy nor a probe of the switches
//!   could notice it (a check of the connection only, and probes switched off).

use std::collections::BTreeSet;

use rand::RngExt;

use super::identity::TWIN;
use super::log::WorldEvent;
use super::{HostId, Kind, State, World};
use crate::link::Trouble;
use crate::plan::{Fault, Span};
use crate::socket::CheckKind;

impl World {
    /// Ends the faults. What follows must converge.
    pub fn heal(&mut self) {
        self.cause = 0;
        self.healed = true;
        let core = self.choose_core();
        let outside: Vec<_> = self.all_nodes().filter(|node| !core.contains(node)).collect();
        let impaired: Vec<_> = outside.iter().copied().filter(|node| self.suffers(*node)).collect();
        let unnoticed: Vec<_> = impaired
            .iter()
            .copied()
            .filter(|node| self.goes_unnoticed(*node))
            .collect();
        for node in &impaired {
            self.keep_impaired(*node, unnoticed.contains(node));
        }
        for place in self.active.clone().into_iter().rev() {
            self.fault_ends(place);
        }
        for node in &impaired {
            self.lose(*node);
        }
        let names = |nodes: &mut dyn Iterator<Item = HostId>| nodes.map(|node| self.name_of(node)).collect();
        let event = WorldEvent::Healed {
            core: names(&mut core.iter().copied()),
            lost: names(&mut impaired.iter().copied()),
        };
        self.log_world(event);
        self.lost = impaired;
        self.wake_checks();
        self.propagate();
    }

    fn choose_core(&mut self) -> BTreeSet<HostId> {
        let mut core: BTreeSet<_> = self.nodes_of(Kind::is_switch).into_iter().collect();
        core.extend(self.nodes_of(Kind::is_vrouter));
        let mut agents = self.nodes_of(Kind::is_agent);
        agents.truncate(agents.len().saturating_sub(self.plan.agent.strangers));
        let (proxies, control_nodes) = (self.nodes_of(Kind::is_proxy), self.nodes_of(Kind::is_control));
        for candidates in [agents, proxies, control_nodes] {
            if !candidates.is_empty() {
                core.extend(candidates.get(self.scheduling.random_range(0..candidates.len())));
            }
        }
        core.extend(
            ["thief", "intruder", TWIN]
                .map(|name| self.node(name))
                .into_iter()
                .flatten(),
        );
        core
    }

    /// Whether some fault that has not ended concerns this node.
    fn suffers(&self, host: HostId) -> bool {
        let Some(node) = self.nodes.get(host.0) else {
            return false;
        };
        let named = |fault: &Fault| fault.nodes().iter().any(|(name, _)| **name == *node.name);
        let faults = self.active.iter().filter_map(|place| self.plan.faults.get(*place));
        node.state != State::Running || faults.map(|scheduled| &scheduled.fault).any(named)
    }

    fn goes_unnoticed(&self, host: HostId) -> bool {
        let probes = self.plan.switch.inactivity_probe != Some(Span::ZERO);
        let checks = self.plan.proxy.check != CheckKind::Connect && self.plan.proxy.shutdown_sessions;
        match self.nodes.get(host.0).map(|node| node.kind) {
            Some(Kind::Proxy(_)) => true,
            Some(Kind::Agent(_)) => !(probes || checks),
            // Streams have a hold timer at either end.
            Some(Kind::Switch(_) | Kind::Control(_) | Kind::VRouter(_)) => false,
            Some(Kind::Thief | Kind::Intruder | Kind::Twin) | None => false,
        }
    }

    /// What holds the node now holds it once more, so that it stays when the faults end.
    fn keep_impaired(&mut self, host: HostId, power: bool) {
        if let Some(node) = self.nodes.get_mut(host.0) {
            let held = node.impairment;
            node.impairment = super::Impairment {
                power: held.power * 2 + u32::from(power),
                crash: held.crash * 2,
                pause: held.pause * 2,
            };
        }
        self.reconcile(host);
    }

    /// Cuts the node off from all others.
    fn lose(&mut self, host: HostId) {
        for other in self.all_nodes().filter(|other| *other != host) {
            self.links.begin(host, other, Trouble::Cut);
            self.links.begin(other, host, Trouble::Cut);
        }
    }
}
