//! Physical switches, their ports, and which VLAN of a port belongs to which logical switch.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::Touched;
use crate::bounds::TUNNEL_IPS;
use crate::configuration::VlanId;
use crate::ids::{PortName, SwitchName, Uuid};
use crate::ovsdb::rows::{PhysicalPortRow, PhysicalSwitchRow};

/// `Physical_Switch` and `Physical_Port`.
#[derive(Clone, Debug, Default)]
pub(in crate::session) struct Ports {
    switches: BTreeMap<Uuid, PhysicalSwitch>,
    rows: BTreeMap<Uuid, Port>,
    by_name: BTreeMap<(SwitchName, PortName), Uuid>,
    /// Bindings that refer to each logical switch.
    bound: BTreeMap<Uuid, usize>,
}

/// The columns of a `Physical_Switch` that matter; one database may hold several.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::session) struct PhysicalSwitch {
    /// Its name.
    pub(in crate::session) name: SwitchName,
    /// Its ports.
    pub(in crate::session) ports: Vec<Uuid>,
    /// Its own tunnel ends.
    pub(in crate::session) tunnel_ips: Vec<Ipv4Addr>,
    /// Whether it has other tunnel ends, such as an IPv6 address.
    pub(in crate::session) has_other_ends: bool,
}

/// The columns of a `Physical_Port` that matter.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::session) struct Port {
    /// Its name, unique within its switch only.
    pub(in crate::session) name: String,
    /// VLAN to `Logical_Switch`.
    pub(in crate::session) bindings: BTreeMap<VlanId, Uuid>,
}

impl Ports {
    /// Rows in both tables.
    pub(in crate::session) fn count(&self) -> usize {
        self.switches.len() + self.rows.len()
    }

    /// Every switch in the database.
    pub(in crate::session) fn switches(&self) -> impl Iterator<Item = &PhysicalSwitch> + '_ {
        self.switches.values()
    }

    /// Every switch in the database, with its row.
    pub(in crate::session) fn rows(&self) -> impl Iterator<Item = (Uuid, &PhysicalSwitch)> + '_ {
        self.switches.iter().map(|(row, switch)| (*row, switch))
    }

    /// A port of a switch.
    pub(in crate::session) fn find(&self, switch: &SwitchName, port: &PortName) -> Option<(Uuid, &Port)> {
        let row = self.by_name.get(&(switch.clone(), port.clone()))?;
        self.rows.get(row).map(|port| (*row, port))
    }

    /// Every port of every switch by its names, with its row.
    pub(in crate::session) fn named(&self) -> impl Iterator<Item = (&(SwitchName, PortName), Uuid)> + '_ {
        self.by_name.iter().map(|(names, row)| (names, *row))
    }

    /// The names of every port of every switch.
    pub(in crate::session) fn names(&self) -> impl Iterator<Item = &(SwitchName, PortName)> + '_ {
        self.by_name.keys()
    }

    /// The names of a row.
    pub(in crate::session) fn name(&self, row: Uuid) -> Option<(SwitchName, PortName)> {
        let port = self.rows.get(&row)?;
        let switch = self.switches.values().find(|switch| switch.ports.contains(&row))?;
        Some((switch.name.clone(), port.name.as_str().into()))
    }

    /// Whether any port is bound to a logical switch.
    pub(in crate::session) fn binds(&self, logical_switch: Uuid) -> bool {
        self.bound.contains_key(&logical_switch)
    }

    /// Records a switch, or that it is gone.
    pub(in crate::session) fn record_switch(
        &mut self,
        row: Uuid,
        columns: Option<PhysicalSwitchRow>,
        touched: &mut Vec<Touched>,
    ) {
        let new = columns.map(|columns| PhysicalSwitch {
            name: columns.name.into(),
            ports: columns.ports.0.into_vec(),
            // They go to the other agent of the pair, in a line that is bounded.
            tunnel_ips: columns
                .tunnel_ips
                .0
                .iter()
                .filter_map(|ip| ip.0)
                .take(TUNNEL_IPS)
                .collect(),
            has_other_ends: columns.tunnel_ips.0.iter().any(|ip| ip.0.is_none()),
        });
        let changed = match new {
            Some(new) => self.switches.insert(row, new.clone()) != Some(new),
            None => self.switches.remove(&row).is_some(),
        };
        if changed {
            touched.push(Touched::Ports);
        }
    }

    /// Records a port, or that it is gone.
    pub(in crate::session) fn record_port(
        &mut self,
        row: Uuid,
        columns: Option<PhysicalPortRow>,
        touched: &mut Vec<Touched>,
    ) {
        let old = self.rows.remove(&row);
        for logical_switch in old.iter().flat_map(|port| port.bindings.values()) {
            if let Some(count) = self.bound.get_mut(logical_switch) {
                *count -= 1;
                if *count == 0 {
                    self.bound.remove(logical_switch);
                }
            }
        }
        let new = columns.map(Port::from);
        for logical_switch in new.iter().flat_map(|port| port.bindings.values()) {
            *self.bound.entry(*logical_switch).or_default() += 1;
        }
        let renamed = old.as_ref().map(|port| &port.name) != new.as_ref().map(|port| &port.name);
        touched.push(if renamed { Touched::Ports } else { Touched::Port(row) });
        if let Some(new) = new {
            self.rows.insert(row, new);
        }
    }

    /// Finds ports by name again, after [`Touched::Ports`].
    pub(in crate::session) fn index(&mut self) {
        let switches = self.switches.values();
        let ports = switches.flat_map(|switch| switch.ports.iter().map(move |row| (switch, *row)));
        let named = ports.filter_map(|(switch, row)| {
            let port = self.rows.get(&row)?;
            Some(((switch.name.clone(), port.name.as_str().into()), row))
        });
        self.by_name = named.collect();
    }
}

impl From<PhysicalPortRow> for Port {
    fn from(columns: PhysicalPortRow) -> Self {
        let bindings = columns.vlan_bindings.0.into_iter();
        Self {
            name: columns.name,
            bindings: bindings
                .filter_map(|(vlan, row)| Some((vlan.try_into().ok()?, row)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovsdb::notation::{Map, Set};
    use smallvec::smallvec;

    fn port(name: &str, bindings: &[(i64, u128)]) -> Option<PhysicalPortRow> {
        Some(PhysicalPortRow {
            name: name.into(),
            vlan_bindings: Map(bindings.iter().map(|(vlan, row)| (*vlan, Uuid(*row))).collect()),
        })
    }

    #[test]
    fn ports_of_one_name_on_two_switches_are_distinct() {
        let mut ports = Ports::default();
        for (switch, row) in [("tor1", 1), ("tor2", 2)] {
            ports.record_port(Uuid(row), port("eth1", &[(10, row)]), &mut vec![]);
            let columns = PhysicalSwitchRow {
                name: switch.into(),
                ports: Set(smallvec![Uuid(row)]),
                ..PhysicalSwitchRow::default()
            };
            ports.record_switch(Uuid(10 + row), Some(columns), &mut vec![]);
        }
        ports.index();
        let found = ports.find(&"tor2".into(), &"eth1".into()).map(|(row, _)| row);
        assert_eq!(found, Some(Uuid(2)));
    }

    #[test]
    fn bindings_of_a_logical_switch_are_counted() {
        let mut ports = Ports::default();
        ports.record_port(Uuid(1), port("eth1", &[(10, 7), (11, 7)]), &mut vec![]);
        ports.record_port(Uuid(1), port("eth1", &[(11, 7)]), &mut vec![]);
        assert!(ports.binds(Uuid(7)));
        ports.record_port(Uuid(1), None, &mut vec![]);
        assert!(!ports.binds(Uuid(7)));
    }
}
