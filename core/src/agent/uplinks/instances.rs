//! The networks that our switches take part in, and the routing instance of each at the control nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::configuration::Configuration;
use crate::contrail_schema::{instance, virtual_network};
use crate::evpn::InstanceName;
use crate::ids::{Uuid, Vni};

/// Which network belongs to which instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Instances {
    networks: BTreeMap<Uuid, (InstanceName, Vni)>,
    /// Two networks of one name share an instance; the higher UUID gets it.
    by_name: BTreeMap<InstanceName, Uuid>,
    /// The tunnel ends of the switches that take part in each network.
    members: BTreeSet<(Uuid, Ipv4Addr)>,
}

/// A network that a configuration moved or removed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Moved {
    pub(super) network: Uuid,
    /// The instance that it was in before.
    pub(super) from: InstanceName,
    /// It is in another instance now, or in none; else only its VNI is another.
    pub(super) left: bool,
}

impl Instances {
    /// The instances that a configuration needs.
    pub(super) fn of(configuration: &Configuration) -> Self {
        let mut instances = Self::default();
        for switch in configuration.switches.values() {
            for network in switch.networks() {
                let Some(about) = configuration.networks.get(&network) else {
                    continue;
                };
                let named = || (instance(&virtual_network(&about.name)), about.vni);
                instances.networks.entry(network).or_insert_with(named);
                instances.members.extend(switch.vtep.map(|vtep| (network, vtep)));
            }
        }
        let by_name = instances
            .networks
            .iter()
            .map(|(network, (name, _))| (name.clone(), *network));
        instances.by_name = by_name.collect();
        instances
    }

    /// Takes over what another configuration asks for. Returns each network of before that is elsewhere now, and each
    /// tunnel end that joined or left a network.
    pub(super) fn replace(&mut self, new: Self) -> (Vec<Moved>, Vec<(Uuid, Ipv4Addr)>) {
        let before = std::mem::replace(self, new);
        let members = before.members.symmetric_difference(&self.members).copied();
        let members = members.collect();
        let moved = before.networks.into_iter().filter_map(|(network, old)| {
            let new = self.networks.get(&network);
            let left = new.is_none_or(|new| new.0 != old.0);
            let from = old.0.clone();
            (new != Some(&old)).then_some(Moved { network, from, left })
        });
        (moved.collect(), members)
    }

    /// The instance and the VNI of a network.
    pub(super) fn of_network(&self, network: Uuid) -> Option<(&InstanceName, Vni)> {
        self.networks.get(&network).map(|(name, vni)| (name, *vni))
    }

    /// The network and the VNI of an instance.
    pub(super) fn of_instance(&self, instance: &InstanceName) -> Option<(Uuid, Vni)> {
        let network = self.by_name.get(instance)?;
        let (_, vni) = self.networks.get(network)?;
        Some((*network, *vni))
    }

    /// Whether the switch with this tunnel end takes part in a network.
    pub(super) fn has_member(&self, network: Uuid, vtep: Ipv4Addr) -> bool {
        self.members.contains(&(network, vtep))
    }

    /// Every network, with its instance and its VNI.
    pub(super) fn networks(&self) -> impl Iterator<Item = (Uuid, &InstanceName, Vni)> {
        self.networks
            .iter()
            .map(|(network, (name, vni))| (*network, name, *vni))
    }

    /// Every instance, with its network and the number that it is subscribed with.
    pub(super) fn subscribed(&self) -> impl Iterator<Item = (&InstanceName, Uuid, u32)> {
        let with_number = |(name, network)| {
            let (_, vni) = self.networks.get(network)?;
            Some((name, *network, u32::from(*vni)))
        };
        self.by_name.iter().filter_map(with_number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{Network, SessionOptions, Switch};

    const VTEP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    /// Networks with their names and VNIs, each on one port of one switch.
    fn instances(networks: &[(u128, &str, u32)]) -> Instances {
        let mut configuration = Configuration {
            session: SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST),
            networks: BTreeMap::new(),
            switches: BTreeMap::new(),
        };
        let mut switch = Switch {
            vtep: Some(VTEP),
            ..Switch::default()
        };
        for (uuid, name, vni) in networks {
            let about = Network {
                name: (*name).into(),
                vni: Vni::new(*vni).expect("a VNI"),
                remote_macs: BTreeMap::new(),
            };
            configuration.networks.insert(Uuid(*uuid), about);
            switch
                .ports
                .insert(format!("eth{uuid}").into(), [(1, Uuid(*uuid))].into());
        }
        // A port may name a network that is not configured.
        switch.ports.insert("eth99".into(), [(1, Uuid(99))].into());
        configuration.switches.insert("tor1".into(), switch);
        Instances::of(&configuration)
    }

    fn moved(before: &[(u128, &str, u32)], after: &[(u128, &str, u32)]) -> Vec<(u128, bool)> {
        let (moved, _) = instances(before).replace(instances(after));
        moved.into_iter().map(|it| (it.network.0, it.left)).collect()
    }

    #[test]
    fn a_network_that_gets_another_vni_stays_in_its_instance() {
        assert_eq!(moved(&[(1, "blue", 5)], &[(1, "blue", 6)]), [(1, false)]);
        assert_eq!(moved(&[(1, "blue", 5)], &[(1, "blue", 5)]), []);
    }

    #[test]
    fn a_network_that_gets_another_name_or_goes_leaves_its_instance() {
        assert_eq!(moved(&[(1, "blue", 5)], &[(1, "red", 5)]), [(1, true)]);
        assert_eq!(moved(&[(1, "blue", 5)], &[]), [(1, true)]);
        assert_eq!(moved(&[], &[(1, "blue", 5)]), []);
    }

    #[test]
    fn a_switch_that_joins_or_leaves_a_network_is_named() {
        let members = |before, after| instances(before).replace(instances(after)).1;
        let blue = &[(1, "blue", 5)][..];
        assert_eq!(members(&[], blue), [(Uuid(1), VTEP)]);
        assert_eq!(members(blue, blue), []);
        assert_eq!(members(blue, &[]), [(Uuid(1), VTEP)]);
    }

    #[test]
    fn of_two_networks_of_one_name_the_higher_uuid_gets_the_instance() {
        let instances = instances(&[(1, "blue", 5), (2, "blue", 6)]);
        let subscribed: Vec<_> = instances
            .subscribed()
            .map(|(_, network, number)| (network.0, number))
            .collect();
        assert_eq!(subscribed, [(2, 6)]);
        assert_eq!(instances.networks().count(), 2);
        let (name, _) = instances.of_network(Uuid(1)).expect("it is configured");
        assert_eq!(instances.of_instance(name).map(|(network, _)| network), Some(Uuid(2)));
    }

    #[test]
    fn a_switch_takes_part_in_the_networks_of_its_ports_that_are_configured() {
        let instances = instances(&[(1, "blue", 5)]);
        assert!(instances.has_member(Uuid(1), VTEP));
        assert!(!instances.has_member(Uuid(99), VTEP));
        assert_eq!(instances.of_network(Uuid(99)), None);
    }
}
