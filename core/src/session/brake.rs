//! Deletions that a configuration no longer desires, and whether they are withheld.
//!
//! They are counted when the configuration changes and when the tables were read: what is there and not desired, among
//! all that is ours. If there are too many, they wait for an operator, while everything else goes on.

use super::Session;
use super::desired::Desired;
use super::reconciler::Wait;
use super::replica::Replica;
use crate::event::What;
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
    bindings: usize,
    logical_switches: usize,
    macs: usize,
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

    fn count(replica: &Replica, desired: &Desired) -> Self {
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
        surplus.of += replica.ucast_remote.count();
        surplus
    }
}

fn undesired_macs(replica: &Replica, desired: &Desired, network: Uuid, row: Uuid) -> usize {
    let rows = replica.ucast_remote.rows_in(row);
    let macs = rows.filter_map(|row| replica.ucast_remote.row(row)?.mac);
    macs.filter(|mac| desired.vtep(network, *mac).is_none()).count()
}

impl Session {
    /// The configuration changed, or tables were read: are there too many deletions?
    pub(super) fn apply_brake(&mut self) {
        let Some(brake) = self.desired.options().brake else {
            self.withheld = Withheld::Nothing;
            return self.reconciler.release(|on| *on == Wait::Withheld);
        };
        if !self.desired.is_configuration_complete() {
            return;
        }
        let surplus = Surplus::count(&self.replica, &self.desired);
        let (deletions, of) = (surplus.deletions(), surplus.of());
        let before = self.withheld;
        self.withheld = match before {
            _ if !brake.withholds(deletions, of) => Withheld::Nothing,
            Withheld::Confirmed(up_to) if deletions <= up_to => before,
            Withheld::Nothing | Withheld::Deletions(_) | Withheld::Confirmed(_) => Withheld::Deletions(surplus),
        };
        match self.withheld {
            Withheld::Deletions(_) if self.withheld != before => self.report(What::DeletionsWithheld { deletions, of }),
            Withheld::Deletions(_) => {}
            Withheld::Nothing | Withheld::Confirmed(_) => self.reconciler.release(|on| *on == Wait::Withheld),
        }
    }

    /// Whether deletions wait. Before the tables were read it is not known how many there are.
    pub(super) fn is_withheld(&self) -> bool {
        let uncounted = self.desired.options().brake.is_some() && !self.progress.tables_read();
        uncounted || matches!(self.withheld, Withheld::Deletions(_))
    }

    /// An operator confirms the deletions that are withheld. Those that a later change adds are not meant.
    pub(super) fn confirm(&mut self) {
        if let Withheld::Deletions(surplus) = self.withheld {
            let deletions = surplus.deletions();
            self.withheld = Withheld::Confirmed(deletions);
            self.report(What::DeletionsConfirmed { deletions });
            self.reconciler.release(|on| *on == Wait::Withheld);
        }
    }

    /// What a change of the configuration does to a switch that was read before.
    pub(super) fn report_reconfigured(&mut self) {
        let surplus = Surplus::count(&self.replica, &self.desired);
        if surplus.deletions() > 0 {
            self.report(What::Reconfigured {
                bindings: surplus.bindings,
                logical_switches: surplus.logical_switches,
                macs: surplus.macs,
            });
        }
    }
}
