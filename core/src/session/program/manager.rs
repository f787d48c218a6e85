//! The switch's `Manager` row: how soon it comes back to us after a failure.

use super::Verdict;
use crate::ids::Uuid;
use crate::ovsdb::transaction::Transaction;
use crate::session::Session;

impl Session {
    /// Sets the timers that nobody has set, once per session: what an operator chose stays.
    pub(super) fn look_at_manager(&self, transaction: &mut Transaction) -> Verdict {
        let Some(timers) = self.wanted.options().manager.clone() else {
            return Verdict::Right;
        };
        if self.manager_done {
            return Verdict::Right;
        }
        let Some(row) = self.manager_row(timers.target.as_deref()) else {
            return Verdict::Right;
        };
        let Some(found) = self.replica.managers.get(&row) else {
            return Verdict::Right;
        };
        let max_backoff = found.max_backoff.0.is_empty().then_some(timers.max_backoff_ms);
        let inactivity_probe = found
            .inactivity_probe
            .0
            .is_empty()
            .then_some(timers.inactivity_probe_ms);
        if max_backoff.is_none() && inactivity_probe.is_none() {
            return Verdict::Right;
        }
        transaction.update_manager(row, max_backoff, inactivity_probe);
        Verdict::Written
    }

    /// The row with the configured target, or the only one there is.
    fn manager_row(&self, target: Option<&str>) -> Option<Uuid> {
        let managers = &self.replica.managers;
        match target {
            Some(target) => managers
                .iter()
                .find(|(_, row)| row.target == target)
                .map(|(row, _)| *row),
            None if managers.len() == 1 => managers.keys().next().copied(),
            None => None,
        }
    }
}
