//! What is there and not desired: rows that a configuration would delete.

use std::collections::{BTreeMap, BTreeSet};

use super::desired::Desired;
use super::recent::Recent;
use super::replica::Replica;
use crate::brake::Brake;
use crate::ids::Uuid;
use crate::time::Time;

/// The state of the brake on what a configuration deletes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum Withheld {
    /// Nothing is withheld.
    #[default]
    Nothing,
    /// These deletions are.
    Deletions(Held),
    /// They were, and an operator has confirmed up to so many of each network, of this configuration.
    Confirmed(ByNetwork),
}

/// Numbers of deletions.
pub(super) type ByNetwork = BTreeMap<Uuid, usize>;

/// Deletions that are withheld.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Held {
    pub(super) deletions: usize,
    /// All rows of ours, among which they are too many.
    pub(super) of: usize,
    /// The networks that have these rows; `None`: every network.
    networks: Option<BTreeSet<Uuid>>,
    by_network: ByNetwork,
    /// What went for earlier configurations within the window, and counts as well.
    pub(super) gone: usize,
}

/// Deletions for configurations that were few enough, and what went of them within the window: many configurations that
/// lose a little each must not empty a switch either.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed {
    /// Those of the configuration in force that were not carried out when they were counted last.
    left: ByNetwork,
    gone: BTreeMap<Uuid, Recent>,
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

impl Held {
    /// Whether they are no more than these, in each network.
    pub(super) fn is_within(&self, confirmed: &ByNetwork) -> bool {
        let of = |network| confirmed.get(network).copied().unwrap_or_default();
        self.by_network
            .iter()
            .all(|(network, deletions)| *deletions <= of(network))
    }

    /// What an operator confirms.
    pub(super) fn by_network(&self) -> &ByNetwork {
        &self.by_network
    }
}

impl Allowed {
    /// So many deletions are left of those that were allowed: the others were carried out.
    pub(super) fn settle(&mut self, now: Time, surplus: &Surplus) {
        let now_left = surplus.by_network();
        for (network, before) in std::mem::take(&mut self.left) {
            let left = now_left.get(&network).copied().unwrap_or_default().min(before);
            if left < before {
                self.gone.entry(network).or_default().add(now, before - left);
            }
            if left > 0 {
                self.left.insert(network, left);
            }
        }
    }

    /// Whether everything that was allowed was carried out.
    pub(super) fn is_settled(&self) -> bool {
        self.left.is_empty()
    }

    /// What is allowed from now on.
    pub(super) fn allow(&mut self, surplus: &Surplus, withheld: &Withheld) {
        self.left = match withheld {
            // What an operator has confirmed does not count.
            Withheld::Confirmed(_) => ByNetwork::new(),
            Withheld::Nothing | Withheld::Deletions(_) => surplus.by_network(),
        };
        self.left.retain(|network, _| !withheld.holds(*network));
    }

    /// Forgets what went before the window.
    pub(super) fn forget(&mut self, now: Time) {
        self.gone.values_mut().for_each(|gone| gone.forget(now));
        self.gone.retain(|_, gone| gone.count() > 0);
    }

    /// When some of what went is forgotten.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.gone.values().filter_map(Recent::deadline).min()
    }

    fn gone(&self) -> usize {
        self.gone.values().map(Recent::count).sum()
    }

    fn gone_of(&self, network: Uuid) -> usize {
        self.gone.get(&network).map_or(0, Recent::count)
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

    /// The same by network.
    pub(super) fn by_network(&self) -> ByNetwork {
        let parts = self.networks.iter().map(|(network, part)| (*network, part.deletions()));
        parts.filter(|(_, deletions)| *deletions > 0).collect()
    }

    /// The deletions that are too many, with those that went before: of the whole switch, or else of some networks.
    pub(super) fn held(&self, brake: Brake, allowed: &Allowed) -> Option<Held> {
        let (deletions, of, gone) = (self.deletions(), self.of, allowed.gone());
        if deletions > 0 && brake.withholds(deletions + gone, of + gone) {
            return Some(Held {
                deletions,
                of,
                networks: None,
                by_network: self.by_network(),
                gone,
            });
        }
        let is_held = |(network, part): &(&Uuid, &Part)| {
            let (deletions, gone) = (part.deletions(), allowed.gone_of(**network));
            deletions > 0 && brake.withholds(deletions + gone, part.of + gone)
        };
        let parts: Vec<_> = self.networks.iter().filter(is_held).collect();
        (!parts.is_empty()).then(|| Held {
            deletions: parts.iter().map(|(_, part)| part.deletions()).sum(),
            of: parts.iter().map(|(_, part)| part.of).sum(),
            gone: parts.iter().map(|(network, _)| allowed.gone_of(**network)).sum(),
            by_network: parts
                .iter()
                .map(|(network, part)| (**network, part.deletions()))
                .collect(),
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
