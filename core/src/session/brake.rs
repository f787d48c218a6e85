//! Deletions that a configuration no longer desires, and whether they are withheld.
//!
//! They are counted when the configuration changes and when the tables were read: what is there and not desired, among
//! all that is ours. If there are too many, they wait for an operator, while everything else goes on.

use super::Session;
use super::reconciler::Wait;
use super::surplus::{Surplus, Withheld};
use crate::event::What;

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
