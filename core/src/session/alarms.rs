//! The alarms of a session: what an operator has to look at.

use super::Session;
use crate::alarm::{AlarmKind, SessionAlarm};
use crate::text::count;

impl Session {
    /// Every fault that the session sees now.
    pub(super) fn alarms(&self) -> Vec<SessionAlarm> {
        let may_write = self.lease.permit().is_some();
        let stopped = self.stopped_lanes().filter(|_| may_write);
        self.unfenced()
            .into_iter()
            .chain(self.duplicate())
            .chain(stopped)
            .collect()
    }

    /// The server grants a lock that fences nothing.
    fn unfenced(&self) -> Option<SessionAlarm> {
        let model = self.replica.server_model.filter(|model| !model.fences())?;
        Some(SessionAlarm {
            kind: AlarmKind::Unfenced,
            objects: 1,
            detail: format!("{model}; not writing"),
        })
    }

    /// Another switch of this name is programmed.
    fn duplicate(&self) -> Option<SessionAlarm> {
        let detail = self.barred.clone()?;
        Some(SessionAlarm {
            kind: AlarmKind::Duplicate,
            objects: 1,
            detail,
        })
    }

    /// Lanes for which the switch has no room.
    fn stopped_lanes(&self) -> impl Iterator<Item = SessionAlarm> + '_ {
        self.reconciler.stopped().map(|(lane, reason)| {
            let objects = self.reconciler.due(lane);
            let waiting = count(objects, "object waits", "objects wait");
            SessionAlarm {
                kind: AlarmKind::WritesStopped,
                objects,
                detail: format!("{lane}: {waiting} for room: {reason}"),
            }
        })
    }
}
