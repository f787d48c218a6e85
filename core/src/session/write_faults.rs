//! Alarms of what keeps a session that may write from writing everything.

use super::Session;
use super::surplus::Withheld;
use crate::alarm::{AlarmKind, SessionAlarm};
use crate::text::count;

impl Session {
    /// Faults that keep a session that may write from writing everything.
    pub(super) fn write_faults(&self) -> impl Iterator<Item = SessionAlarm> + '_ {
        let room = self.stopped_lanes().chain(self.full_tables());
        room.chain(self.other_writer()).chain(self.withheld_deletions())
    }

    /// Objects that another client fights over; the one that was repaired most often is named.
    fn other_writer(&self) -> Option<SessionAlarm> {
        let objects = self.reconciler.fights().count();
        let (object, fight) = self.reconciler.fights().max_by_key(|(_, fight)| fight.repairs)?;
        let repairs = count(fight.repairs as usize, "time", "times");
        Some(SessionAlarm {
            kind: AlarmKind::OtherWriter,
            objects,
            detail: format!("{object} was repaired {repairs}; found {} last", fight.found),
        })
    }

    /// Deletions that wait for an operator.
    fn withheld_deletions(&self) -> Option<SessionAlarm> {
        let mut detail = Vec::new();
        let mut objects = 0;
        if let Withheld::Deletions(held) = &self.withheld {
            objects += held.deletions;
            detail.push(format!("the configuration lost {objects} of {} rows", held.of));
        }
        let withdrawn = self.withdrawals.withheld();
        if withdrawn > 0 {
            objects += withdrawn;
            let networks = count(self.withdrawals.networks().count(), "network", "networks");
            let macs = count(withdrawn, "MAC", "MACs");
            detail.push(format!("the routes of {macs} of {networks} were withdrawn"));
        }
        (objects > 0).then(|| SessionAlarm {
            kind: AlarmKind::DeletionsWithheld,
            objects,
            detail: format!("{}; `tandem confirm` deletes them", detail.join("; ")),
        })
    }

    /// Tables at their limit.
    fn full_tables(&self) -> impl Iterator<Item = SessionAlarm> + '_ {
        self.reconciler
            .full_tables()
            .map(|(table, limit, objects)| SessionAlarm {
                kind: AlarmKind::TableFull,
                objects,
                detail: format!(
                    "{} is at {limit}: {}",
                    table.name(),
                    count(objects, "object waits", "objects wait")
                ),
            })
    }

    /// Lanes for which the switch has no room, or takes no writes.
    fn stopped_lanes(&self) -> impl Iterator<Item = SessionAlarm> + '_ {
        self.reconciler.stopped().map(|(lane, reason)| {
            let objects = self.reconciler.due(lane);
            let waiting = count(objects, "object waits", "objects wait");
            SessionAlarm {
                kind: AlarmKind::WritesStopped,
                objects,
                detail: format!("{lane}: {waiting}: {reason}"),
            }
        })
    }
}
