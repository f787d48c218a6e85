//! What is there and not desired: rows that a configuration would delete.

use super::desired::Desired;
use super::replica::Replica;
use crate::ids::Uuid;

/// The state of the brake.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Withheld {
    /// Nothing is withheld.
    #[default]
    Nothing,
    /// So many deletions among so many rows are.
    Deletions(Surplus),
    /// They were, and an operator has confirmed up to so many.
    Confirmed(usize),
}

/// What is there and not desired.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Surplus {
    /// Bindings, beyond those that are bound anew.
    pub(super) bindings: usize,
    pub(super) logical_switches: usize,
    pub(super) macs: usize,
    /// All rows of ours: bindings, logical switches, and remote MACs.
    of: usize,
}

impl Surplus {
    /// Rows that would be deleted.
    pub(super) fn deletions(self) -> usize {
        self.bindings + self.logical_switches + self.macs
    }

    /// All rows of ours.
    pub(super) fn of(self) -> usize {
        self.of
    }

    /// Compares what the switch has with what is desired.
    pub(super) fn count(replica: &Replica, desired: &Desired) -> Self {
        let mut surplus = Self::default();
        let (mut unbound, mut bound) = (0, 0);
        for (switch, port) in replica
            .ports
            .names()
            .filter(|(name, _)| desired.served().contains(name))
        {
            let Some((_, found)) = replica.ports.find(switch, port) else {
                continue;
            };
            let wanted = desired.bindings(switch, port);
            let ours = found.bindings.iter();
            let ours = ours.filter(|(_, row)| replica.logical_switches.network(**row).is_some());
            for (vlan, _) in ours {
                surplus.of += 1;
                unbound += usize::from(wanted.is_none_or(|wanted| !wanted.contains_key(vlan)));
            }
            let new = wanted.into_iter().flatten();
            bound += new.filter(|(vlan, _)| !found.bindings.contains_key(vlan)).count();
        }
        // A port that moves is bound in one place and unbound in another.
        surplus.bindings = unbound.saturating_sub(bound);
        for network in replica.logical_switches.networks() {
            let Some(row) = replica.logical_switches.of_network(network) else {
                continue;
            };
            surplus.of += 1;
            if desired.network(network).is_none() {
                surplus.logical_switches += 1;
                surplus.macs += replica.ucast_remote.rows_in(row).count();
            } else if !desired.options().routed {
                // With routes, it is for the control nodes to say where a MAC is.
                surplus.macs += undesired_macs(replica, desired, network, row);
            }
        }
        surplus.of += replica.own_remote();
        surplus
    }
}

fn undesired_macs(replica: &Replica, desired: &Desired, network: Uuid, row: Uuid) -> usize {
    let rows = replica.ucast_remote.rows_in(row);
    let macs = rows.filter_map(|row| replica.ucast_remote.row(row)?.mac);
    macs.filter(|mac| desired.vtep(network, *mac).is_none()).count()
}
