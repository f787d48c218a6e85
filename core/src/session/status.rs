//! A session as `tandem status` shows it.

use super::{Ownership, Phase, Session};
use crate::bounds::STATUS_ENTRIES;
use crate::status::{SessionStatus, Takeover};
use crate::time::Time;

/// When each step of the takeover was reached.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steps {
    pub(super) opened: Option<Time>,
    pub(super) identified: Option<Time>,
    pub(super) locked: Option<Time>,
    pub(super) claimed: Option<Time>,
    pub(super) read: Option<Time>,
    pub(super) audited: Option<Time>,
}

impl Session {
    /// Transactions on the wire.
    pub fn in_flight(&self) -> usize {
        self.requests.writes()
    }

    /// What an operator may want to know at this time.
    pub fn status(&self, now: Time) -> SessionStatus {
        let ms = |step: Option<Time>| step.map(|at| at.since(self.accepted_at).as_secs_f64() * 1000.0);
        let steps = self.takeover;
        let no_port = self.missing_ports();
        let waiting = self
            .lanes
            .waiting()
            .map(|(object, reason)| (object.to_string(), reason.to_string()));
        let quarantine = self
            .lanes
            .quarantine()
            .map(|(object, reason)| (object.to_string(), reason.into()));
        SessionStatus {
            conn: self.conn,
            generation: self.generation,
            from: self.peer.origin(),
            phase: self.phase.to_string(),
            ownership: self.ownership().to_string(),
            schema: self
                .schema
                .as_ref()
                .map(|schema| schema.version.clone())
                .unwrap_or_default(),
            rows_local: self.replica.ucast_local.count(),
            rows_remote: self.replica.ucast_remote.count(),
            rows_wanted: self.wanted.rows(),
            pending: if self.may_write() { self.lanes.pending() } else { 0 },
            in_flight: self.in_flight(),
            blocked: no_port.chain(waiting).take(STATUS_ENTRIES).collect(),
            quarantine: quarantine.take(STATUS_ENTRIES).collect(),
            keepalive_misses: self.keepalive.misses,
            age_ms: now.since(self.accepted_at).as_secs_f64() * 1000.0,
            takeover_ms: Takeover {
                tls: ms(steps.opened),
                identified: ms(steps.identified),
                locked: ms(steps.locked),
                claimed: ms(steps.claimed),
                read: ms(steps.read),
                audited: ms(steps.audited),
            },
        }
    }

    /// Ports that are configured and not there.
    fn missing_ports(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let missing = self
            .wanted
            .ports()
            .filter(|(switch, port)| self.replica.ports.find(switch, port).is_none());
        missing.map(|(switch, port)| (format!("port {port} of {switch}"), "the switch has no such port".into()))
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Opened => "opened",
            Self::Identifying => "identifying",
            Self::Reading => "reading",
            Self::Synced => "synced",
            Self::Closing => "closing",
        })
    }
}

impl std::fmt::Display for Ownership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Lost => "lost",
            Self::Lockless => "lockless",
        })
    }
}
