//! Deletions of what is no longer desired, and whether they are withheld.
//!
//! Those that a configuration causes are counted when it changes, when the tables were read, when the session may write, and
//! when none of them is left: what is there and not desired, among all that is ours. Those that routes cause are counted one
//! by one, over time. If there are too many, they wait for an operator, while everything else goes on.

use std::collections::BTreeSet;

use super::notice::Notice;
use super::reconciler::Wait;
use super::surplus::{Allowed, Surplus, Withheld};
use super::withdrawals::Exceeded;
use super::{Session, Why};
use crate::event::{Loss, What};
use crate::ids::{Mac, Uuid};
use crate::time::{Deadline, Time};

impl Session {
    /// The configuration changed, or tables were read: are there too many deletions?
    pub(super) fn apply_brake(&mut self) {
        self.withdrawals.look_again();
        let Some(brake) = self.desired.options().brake else {
            (self.withheld, self.allowed) = (Withheld::Nothing, Allowed::default());
            return self.reconciler.release(|on| *on == Wait::Withheld);
        };
        if !self.desired.is_configuration_complete() {
            return;
        }
        let surplus = Surplus::count(&self.replica, &self.desired);
        if !std::mem::take(&mut self.is_reconfigured) {
            self.allowed.settle(self.now, &surplus);
        }
        self.allowed.forget(self.now);
        let held = surplus.held(brake, &self.allowed);
        let before = std::mem::take(&mut self.withheld);
        self.withheld = match (held, &before) {
            (None, _) => Withheld::Nothing,
            (Some(held), Withheld::Confirmed(up_to)) if held.is_within(up_to) => before.clone(),
            (Some(held), _) => Withheld::Deletions(held),
        };
        self.allowed.allow(&surplus, &self.withheld);
        let loss = Loss::Configuration;
        if let Withheld::Deletions(held) = &self.withheld
            && self.withheld != before
        {
            let (network, deletions, of) = (held.network(), held.deletions + held.gone, held.of + held.gone);
            self.report(What::DeletionsWithheld {
                loss,
                network,
                deletions,
                of,
            });
        }
        self.reconciler.release(|on| *on == Wait::Withheld);
        if matches!((&before, &self.withheld), (Withheld::Deletions(_), Withheld::Nothing)) {
            self.report(What::DeletionsReleased { loss });
        }
    }

    /// Whether all deletions wait: before the tables were read it is not known how many there are.
    pub(super) fn is_uncounted(&self) -> bool {
        self.desired.options().brake.is_some() && !self.progress.tables_read()
    }

    /// The rows that were withheld may be gone: another client can remove them as well.
    pub(super) fn end_brake(&mut self, now: Time) {
        if self.allowed_deadline().is_some_and(|at| at <= now) {
            self.apply_brake();
        }
        if self.lease.permit().is_none() || !self.reconciler.is_compared() || self.reconciler.has_anything_due() {
            return;
        }
        let waiting = self.reconciler.waiting_on(&Wait::Withheld);
        let before = std::mem::replace(&mut self.waiting_for_operator, waiting);
        if before > 0 && waiting == 0 && matches!(self.withheld, Withheld::Deletions(_)) {
            self.apply_brake();
        }
    }

    /// Another configuration follows: what an operator has confirmed is what is left of the deletions of this one.
    pub(super) fn narrow_confirmation(&mut self) {
        if self.allowed.is_settled() && !matches!(self.withheld, Withheld::Confirmed(_)) {
            self.is_reconfigured = true;
            return;
        }
        let surplus = Surplus::count(&self.replica, &self.desired);
        if !std::mem::replace(&mut self.is_reconfigured, true) {
            self.allowed.settle(self.now, &surplus);
        }
        if let Withheld::Confirmed(confirmed) = &mut self.withheld {
            let left = surplus.by_network();
            confirmed.retain(|network, deletions| {
                *deletions = left.get(network).copied().unwrap_or_default().min(*deletions);
                *deletions > 0
            });
            if confirmed.is_empty() {
                self.withheld = Withheld::Nothing;
            }
        }
    }

    /// When fewer deletions than now count, where some are withheld.
    fn allowed_deadline(&self) -> Option<Time> {
        let withholds = matches!(self.withheld, Withheld::Deletions(_)) && self.lease.permit().is_some();
        self.allowed.deadline().filter(|_| withholds)
    }

    /// An operator confirms the deletions that are withheld. Those that a later change adds are not meant. The agent
    /// is always notified: its answer to the operator waits for that.
    pub(super) fn confirm(&mut self) {
        let (deletions, networks) = match self.lease.permit() {
            Some(_) => self.release_withheld(),
            None => Default::default(),
        };
        if deletions > 0 {
            self.report(What::DeletionsConfirmed { deletions });
            self.reconciler.release(|on| *on == Wait::Withheld);
        }
        self.wire.notify(Notice::Confirmed { deletions, networks });
    }

    /// Withholds nothing any more. Returns how many deletions that releases, and their networks.
    fn release_withheld(&mut self) -> (usize, BTreeSet<Uuid>) {
        let mut networks: BTreeSet<Uuid> = self.withdrawals.networks().collect();
        if planted!(self, BrakeNeverReleases) {
            return (self.withdrawals.withheld(), networks);
        }
        let mut deletions = self.withdrawals.confirm();
        if let Withheld::Deletions(held) = &self.withheld {
            networks.extend(held.by_network().keys());
            deletions += held.deletions;
            self.withheld = Withheld::Confirmed(held.by_network().clone());
            self.allowed = Allowed::default();
        }
        (deletions, networks)
    }

    /// The row of a MAC or its desired place may have changed: is it one that routes no longer desire? Without the right
    /// to write, nothing is deleted; everything is compared when that comes.
    pub(super) fn follow_withdrawal(&mut self, network: Uuid, mac: Mac) {
        let options = self.desired.options();
        if !options.routed || options.brake.is_none() || self.lease.permit().is_none() {
            return;
        }
        let row = self.replica.logical_switches.of_network(network);
        let has_row = row.is_some_and(|row| !self.replica.ucast_remote.rows_of(row, mac).is_empty());
        let learned = row.is_some_and(|row| !self.replica.ucast_local.rows_of(row, mac).is_empty());
        let is_placed = self.desired.network(network).is_none() || self.desired.is_placed(network, mac, learned);
        if has_row && !is_placed {
            self.withdrawals.on_withdrawn(network, mac);
        } else {
            let deleted = !has_row && !is_placed;
            self.withdrawals.on_settled(self.now, network, mac, deleted);
        }
    }

    /// Are there too many deletions because of routes? Before everything was compared, none of them is due.
    pub(super) fn judge_withdrawals(&mut self, now: Time) {
        if !self.judges_withdrawals() || !self.withdrawals.is_due(now) {
            return;
        }
        let (desired, replica) = (&self.desired, &self.replica);
        let rows = |network| {
            desired.network(network).filter(|_| desired.is_complete(network))?;
            let row = replica.logical_switches.of_network(network)?;
            Some(replica.ucast_remote.count_in(row))
        };
        let all = replica.own_remote();
        let mut judged = self.withdrawals.judge(now, desired.options().brake, rows, all);
        // Those of the switch contain those of its networks.
        if judged.exceeded.iter().any(|exceeded| exceeded.network.is_none()) {
            judged.exceeded.retain(|exceeded| exceeded.network.is_none());
        }
        let loss = Loss::Routes;
        for Exceeded { network, deletions, of } in judged.exceeded {
            self.report(What::DeletionsWithheld {
                loss,
                network,
                deletions,
                of,
            });
        }
        if judged.released > 0 {
            self.reconciler.release(|on| *on == Wait::Withheld);
            if self.withdrawals.withheld() == 0 {
                self.report(What::DeletionsReleased { loss });
            }
        }
    }

    fn judges_withdrawals(&self) -> bool {
        self.lease.permit().is_some() && self.progress.tables_read() && self.reconciler.is_compared()
    }

    /// When to judge them without another input.
    pub(super) fn brake_deadline(&self) -> Option<Deadline<Why>> {
        let withdrawals = self.withdrawals.deadline().filter(|_| self.judges_withdrawals());
        let at = withdrawals.into_iter().chain(self.allowed_deadline()).min()?;
        let why = Why::BrakeDue;
        Some(Deadline { at, why })
    }

    /// What a change of the configuration does to a switch that was read before.
    pub(super) fn report_reconfigured(&mut self) {
        let surplus = Surplus::count(&self.replica, &self.desired);
        if surplus.deletions() > 0 {
            let change = self.change.clone();
            self.report(What::Reconfigured {
                change,
                bindings: surplus.bindings,
                logical_switches: surplus.logical_switches,
                macs: surplus.macs,
            });
        }
    }
}
