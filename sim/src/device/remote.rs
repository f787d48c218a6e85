//! A remote of a switch: its way to connect, its timers, and its status.

use std::net::SocketAddrV4;
use std::time::Duration;

use serde_json::json;
use tandem_core::{ConnId, Time, Uuid};

use super::reconnect::Reconnect;
use crate::switch::Row;

/// A target of a `Manager` row, or of the command line.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    /// The row; `None` for the command line.
    pub(super) row: Option<Uuid>,
    pub(super) timers: Timers,
    pub(super) way: Way,
    /// The contents of the row.
    pub(super) written: Written,
}

/// What a `Manager` row can set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Timers {
    /// The longest back-off: `max_backoff`.
    pub(super) max_backoff: Duration,
    /// The longest time that a line may be silent before it is probed: `inactivity_probe`, where zero is for ever.
    pub(super) probe: Option<Duration>,
}

impl Default for Timers {
    /// The defaults of the server for `ssl:` and `tcp:`.
    fn default() -> Self {
        Self {
            max_backoff: Duration::from_secs(8),
            probe: Some(Duration::from_secs(5)),
        }
    }
}

/// How to come together.
#[derive(Clone, Debug)]
pub(super) enum Way {
    Dial {
        to: SocketAddrV4,
        tls: bool,
        reconnect: Reconnect,
        conn: Option<ConnId>,
    },
    Listen {
        at: SocketAddrV4,
        tls: bool,
    },
    /// The target cannot be dialled.
    Unusable,
}

/// What of the status is worth a write when it changes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Written {
    pub(super) connections: usize,
    pub(super) state: Option<&'static str>,
}

impl Timers {
    pub(super) fn of(row: &Row) -> Self {
        // The server takes what is less than its least for that.
        let millis = |number: i64| Duration::from_millis(u64::try_from(number).unwrap_or(1));
        let default = Self::default();
        let max_backoff = row.integer("max_backoff").map(millis);
        let probe = row.integer("inactivity_probe").map(millis);
        Self {
            max_backoff: max_backoff.unwrap_or(default.max_backoff),
            probe: probe.map_or(default.probe, |probe| (!probe.is_zero()).then_some(probe)),
        }
    }
}

impl Remote {
    /// `None` for a listener, which has no state.
    pub(super) fn state(&self) -> Option<&'static str> {
        match &self.way {
            Way::Dial { reconnect, .. } => Some(reconnect.state().word()),
            Way::Listen { .. } | Way::Unusable => None,
        }
    }

    /// The column `status`.
    pub(super) fn status(&self, now: Time) -> serde_json::Value {
        let mut status = Vec::new();
        if let Some(state) = self.written.state {
            status.push(json!(["state", state]));
        }
        match &self.way {
            Way::Dial { reconnect, .. } => {
                for (key, at) in [
                    ("sec_since_connect", reconnect.last_connected()),
                    ("sec_since_disconnect", reconnect.last_disconnected()),
                ] {
                    if let Some(at) = at {
                        status.push(json!([key, now.since(at).as_secs().to_string()]));
                    }
                }
            }
            Way::Listen { at, .. } => status.push(json!(["bound_port", at.port().to_string()])),
            Way::Unusable => {}
        }
        if self.written.connections > 1 {
            status.push(json!(["n_connections", self.written.connections.to_string()]));
        }
        json!(["map", status])
    }
}
