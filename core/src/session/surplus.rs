//! What is there and not desired: rows that a configuration would delete.

use std::collections::{BTreeMap, BTreeSet};

use super::desired::Desired;
use super::replica::Replica;
use crate::brake::Brake;
use crate::ids::Uuid;

/// The state of the brake on what a configuration deletes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum Withheld {
    /// Nothing is withheld.
    #[default]
    Nothing,
    /// These deletions are.
    Deletions(Held),
    /// They were, and an operator has confirmed up to so many of this configuration.
    Confirmed(usize),
}

/// Deletions that are withheld.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Held {
    pub(super) deletions: usize,
    /// All rows of ours, among which they are too many.
    pub(super) of: usize,
    /// The networks that have these rows; `None`: every network.
    networks: Option<BTreeSet<Uuid>>,
}

/// What is there and not desired.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Surplus {
    /// Bindings, beyond those that are bound anew.
    pub(super) bindings: usize,
    pub(super) logical_switches: usize,
    pub(super) macs: usize,
    /// All rows of ours: bindings, logical switches, and remote MACs.
    of: usize,
    networks: BTreeMap<Uuid, Part>,
}

/// The rows of one network.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Part {
    unbound: usize,
    bound: usize,
    deletions: usize,
    of: usize,
}

impl Withheld {
    /// Whether the deletions in a network wait for an operator.
    pub(super) fn holds(&self, network: Uuid) -> bool {
        match self {
            Self::Deletions(held) => held
                .networks
                .as_ref()
                .is_none_or(|networks| networks.contains(&network)),
            Self::Nothing | Self::Confirmed(_) => false,
        }
    }
}

impl Held {
    /// The network, if all rows are of one.
    pub(super) fn network(&self) -> Option<Uuid> {
        let networks = self.networks.as_ref().filter(|networks| networks.len() == 1)?;
        networks.first().copied()
    }
}

impl Part {
    /// A port that moves is bound in one place and unbound in another.
    fn deletions(self) -> usize {
        self.deletions + self.unbound.saturating_sub(self.bound)
    }
}

impl Surplus {
    /// Rows that would be deleted.
    pub(super) fn deletions(&self) -> usize {
        self.bindings + self.logical_switches + self.macs
    }

    /// The networks that lose rows.
    pub(super) fn networks(&self) -> impl Iterator<Item = Uuid> + '_ {
        let parts = self.networks.iter().filter(|(_, part)| part.deletions() > 0);
        parts.map(|(network, _)| *network)
    }

    /// The deletions that are too many: of the whole switch, or else of some networks.
    pub(super) fn held(&self, brake: Brake) -> Option<Held> {
        let (deletions, of) = (self.deletions(), self.of);
        if brake.withholds(deletions, of) {
            let networks = None;
            return Some(Held {
                deletions,
                of,
                networks,
            });
        }
        let parts = self.networks.iter();
        let parts: Vec<_> = parts
            .filter(|(_, part)| brake.withholds(part.deletions(), part.of))
            .collect();
        (!parts.is_empty()).then(|| Held {
            deletions: parts.iter().map(|(_, part)| part.deletions()).sum(),
            of: parts.iter().map(|(_, part)| part.of).sum(),
            networks: Some(parts.into_iter().map(|(network, _)| *network).collect()),
        })
    }

    fn part(&mut self, network: Uuid) -> &mut Part {
        self.networks.entry(network).or_default()
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
            let ours = ours.filter_map(|(vlan, row)| Some((vlan, replica.logical_switches.network(*row)?)));
            for (vlan, network) in ours {
                let goes = usize::from(wanted.is_none_or(|wanted| !wanted.contains_key(vlan)));
                surplus.of += 1;
                unbound += goes;
                let part = surplus.part(network);
                part.of += 1;
                part.unbound += goes;
            }
            let new = wanted.into_iter().flatten();
            for (_, network) in new.filter(|(vlan, _)| !found.bindings.contains_key(vlan)) {
                bound += 1;
                surplus.part(*network).bound += 1;
            }
        }
        // A port that moves is bound in one place and unbound in another.
        surplus.bindings = unbound.saturating_sub(bound);
        for network in replica.logical_switches.networks() {
            let Some(row) = replica.logical_switches.of_network(network) else {
                continue;
            };
            let leaves = desired.network(network).is_none();
            let rows = replica.ucast_remote.count_in(row);
            let macs = match leaves {
                true => rows,
                // Where a MAC is that has a route, is for the control nodes to say.
                false if desired.options().routed => 0,
                false => undesired_macs(replica, desired, network, row),
            };
            surplus.of += 1;
            surplus.logical_switches += usize::from(leaves);
            surplus.macs += macs;
            let part = surplus.part(network);
            part.of += 1 + rows;
            part.deletions += usize::from(leaves) + macs;
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
