//! The events of an agent host.

use std::fmt;

use serde::Serialize;
use tandem_core::event::{Level, LogEvent};
use tandem_core::health::Grade;
use tandem_core::{CloseWhy, ConnId, log_words};

/// Something that happened in an agent host.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Something happened in a session.
    Session(tandem_core::event::Event),
    /// Something happened between the agent and its control nodes.
    Uplink(tandem_core::agent::uplinks::What),
    /// A connection never became a session: TLS failed, or the peer closed.
    HandshakeFailed { conn: ConnId, why: CloseWhy },
    /// A connection stood behind TLS, and the agent did not want it.
    ConnectionRefused { conn: ConnId, why: CloseWhy },
    /// The agent is this fit from now on.
    Graded(Grade),
    /// A health check may have another outcome from now on.
    HealthChanged,
    /// Every session is over: the process has ended, and answers nothing any more.
    Drained,
}

impl LogEvent for Event {
    log_words!(HandshakeFailed, ConnectionRefused, Graded, HealthChanged, Drained; Session, Uplink);

    fn level(&self) -> Level {
        match self {
            Self::Session(event) => event.level(),
            Self::Uplink(what) => what.level(),
            Self::HandshakeFailed { .. } | Self::ConnectionRefused { .. } | Self::Graded(_) => Level::Info,
            Self::HealthChanged | Self::Drained => Level::Info,
        }
    }
}

impl fmt::Display for Event {
    /// The text after the word in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(event) => event.fmt(f),
            Self::Uplink(what) => what.fmt(f),
            Self::HandshakeFailed { why, .. } | Self::ConnectionRefused { why, .. } => write!(f, "{why}"),
            Self::Graded(grade) => write!(f, "this agent is {grade}"),
            Self::HealthChanged => f.write_str("health checks are to ask again"),
            Self::Drained => f.write_str("every session is closed"),
        }
    }
}
