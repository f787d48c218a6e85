//! Deletions that a configuration no longer desires, and whether they are withheld.
//!
//! They are counted when the configuration changes, when the tables were read, when the session may write, and when none of
//! them is left: what is there and not desired, among all that is ours. If there are too many, they wait for an operator,
//! while everything else goes on.

use super::Session;
use super::reconciler::Wait;
use super::surplus::{Surplus, Withheld};
use crate::event::What;
use crate::time::Time;

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

    /// The rows that were withheld may be gone: another client can remove them as well.
    pub(super) fn end_brake(&mut self, _now: Time) {
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
        if let Withheld::Confirmed(_) = self.withheld {
            self.withheld = match Surplus::count(&self.replica, &self.desired).deletions() {
                0 => Withheld::Nothing,
                left => Withheld::Confirmed(left),
            };
        }
    }

    /// An operator confirms the deletions that are withheld. Those that a later change adds are not meant.
    pub(super) fn confirm(&mut self) {
        if let Withheld::Deletions(surplus) = self.withheld
            && self.lease.permit().is_some()
        {
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
