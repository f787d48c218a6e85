//! The alarms of a session: what an operator has to look at.

use super::Session;
use crate::alarm::{AlarmKind, SessionAlarm};
use crate::text::count;

impl Session {
    /// Every fault that the session sees now, at a switch that it may write to.
    pub(super) fn alarms(&self) -> Vec<SessionAlarm> {
        if self.lease.permit().is_none() {
            return Vec::new();
        }
        self.stopped_lanes().collect()
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
