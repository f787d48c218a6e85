//! Whether an inventory is too large for one of its agents.

use std::collections::BTreeMap;
use std::fmt;

use super::client_name::ClientName;
use super::graph::{Form, Graph};
use super::inventory::Inventory;
use crate::agent::ReceivedGraph;
use crate::bounds::GRAPH_BYTES;
use crate::text::count;

/// The size of the configuration that an agent receives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Size {
    /// The agents that receive it: those that serve the same switches.
    pub agents: Vec<ClientName>,
    /// The memory that such an agent needs for it, as it counts it itself.
    pub bytes: usize,
    /// The number of switches.
    pub switches: usize,
    /// The number of VLANs of all ports.
    pub bindings: usize,
}

impl Inventory {
    /// The configurations that are larger than an agent accepts.
    pub fn too_large(&self) -> Vec<Size> {
        self.larger_than(GRAPH_BYTES)
    }

    /// The configurations of agents that are larger than a bound.
    pub(super) fn larger_than(&self, bound: usize) -> Vec<Size> {
        let mut groups: BTreeMap<Vec<_>, Vec<ClientName>> = BTreeMap::new();
        let agents = self.switches.values().flat_map(|served| &served.agents);
        for agent in agents.collect::<std::collections::BTreeSet<_>>() {
            let names = self.served_by(agent.as_str()).map(|(name, _)| name);
            groups.entry(names.collect()).or_default().push(agent.clone());
        }
        let sizes = groups.into_values().filter_map(|agents| self.size(agents));
        sizes.filter(|size| size.bytes > bound).collect()
    }

    /// The size for agents that serve the same switches: as they count it, switch by switch, so that no more than one
    /// graph is in memory.
    fn size(&self, agents: Vec<ClientName>) -> Option<Size> {
        let client = agents.first()?.as_str();
        let mut received = ReceivedGraph::default();
        let (mut switches, mut bindings) = (0, 0);
        for served in self.served_by(client) {
            switches += 1;
            bindings += served.1.ports.values().map(BTreeMap::len).sum::<usize>();
            let part = Graph::of_switch(client, served, self, Form::Compact);
            let changes = Graph::default().changes_to(&part);
            changes.into_iter().for_each(|change| received.apply(change));
        }
        let bytes = received.bytes();
        Some(Size {
            agents,
            bytes,
            switches,
            bindings,
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agents: Vec<&str> = self.agents.iter().map(ClientName::as_str).collect();
        let switches = count(self.switches, "switch", "switches");
        let bindings = count(self.bindings, "port binding", "port bindings");
        write!(
            f,
            "{} would receive {} MiB of configuration, {switches} with {bindings}; an agent accepts {} MiB",
            agents.join(" and "),
            self.bytes.div_ceil(1 << 20),
            GRAPH_BYTES >> 20
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::ReceivedGraph;
    use crate::configuration::{Network, Switch};
    use crate::control::inventory::ServedSwitch;
    use crate::ids::{Uuid, Vni};

    /// Two pairs of agents with so many switches each, of so many ports with one VLAN.
    fn inventory(switches: usize, ports: usize) -> Inventory {
        let network = |number: u32| Network {
            name: format!("network-{number}"),
            vni: Vni::new(100 + number).expect("a VNI"),
            remote_macs: BTreeMap::new(),
        };
        let port = |number: usize| {
            let uuid = Uuid(number as u128 % 30);
            (format!("eth{number}").as_str().into(), BTreeMap::from([(100, uuid)]))
        };
        let served = |number: usize| ServedSwitch {
            switch: Switch {
                ports: (0..ports).map(port).collect(),
                ..Switch::default()
            },
            agents: ["a", "b"]
                .map(|it| format!("agent-{it}{}", number % 2).as_str().into())
                .into(),
            tsns: Vec::new(),
        };
        let switches = (0..2 * switches).map(|number| (format!("tor{number:03}").as_str().into(), served(number)));
        Inventory {
            revision: 1,
            networks: (0..30).map(|number| (Uuid(number.into()), network(number))).collect(),
            switches: switches.collect(),
            ..Inventory::default()
        }
    }

    fn bytes_of(inventory: &Inventory, form: Form) -> usize {
        let mut received = ReceivedGraph::default();
        let changes = Graph::default().changes_to(&Graph::of("agent-a0", inventory, form));
        changes.into_iter().for_each(|change| received.apply(change));
        received.bytes()
    }

    #[test]
    fn a_port_binding_costs_an_agent_less_than_seven_hundred_bytes_in_either_form() {
        let inventory = inventory(20, 48);
        let each = |form| (bytes_of(&inventory, form)) / (20 * 48);
        let (compact, full) = (each(Form::Compact), each(Form::Full));
        assert!(compact < 500 && full < 1100, "{compact} {full}");
    }

    #[test]
    fn the_size_is_what_each_agent_of_a_pair_counts() {
        let inventory = inventory(3, 4);
        let sizes = inventory.larger_than(0);
        let agents = |size: &Size| size.agents.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            sizes.iter().map(agents).collect::<Vec<_>>(),
            [["agent-a0", "agent-b0"], ["agent-a1", "agent-b1"]]
        );
        let [size, _] = &sizes[..] else { panic!("{sizes:?}") };
        let rest = bytes_of(
            &Inventory {
                switches: BTreeMap::new(),
                ..inventory.clone()
            },
            Form::Compact,
        );
        assert!(
            size.bytes <= bytes_of(&inventory, Form::Compact)
                && bytes_of(&inventory, Form::Compact) <= size.bytes + rest
        );
        assert_eq!((size.switches, size.bindings), (3, 12));
        assert!(inventory.larger_than(size.bytes + rest).is_empty());
    }
}
