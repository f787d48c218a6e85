//! What an agent host reports.

use std::fmt;

use serde::Serialize;
use tandem_core::health::Grade;
use tandem_core::{CloseWhy, ConnId};

/// Something that happened in an agent host.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Something happened in a session.
    Session(tandem_core::event::Event),
    /// Something happened between the agent and its control nodes.
    Uplink(tandem_core::agent::uplinks::What),
    /// A connection never became a session: TLS failed, or nobody stood there.
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

impl Event {
    /// The word that stands in the log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Session(event) => event.what.word(),
            Self::Uplink(what) => what.word(),
            Self::HandshakeFailed { .. } => "HandshakeFailed",
            Self::ConnectionRefused { .. } => "ConnectionRefused",
            Self::Graded(_) => "Graded",
            Self::HealthChanged => "HealthChanged",
            Self::Drained => "Drained",
        }
    }
}

impl fmt::Display for Event {
    /// What follows the word in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(event) => write!(f, "{}", event.what),
            Self::Uplink(what) => what.fmt(f),
            Self::HandshakeFailed { why, .. } | Self::ConnectionRefused { why, .. } => write!(f, "{why}"),
            Self::Graded(grade) => write!(f, "this agent is {grade}"),
            Self::HealthChanged => f.write_str("health checks are to ask again"),
            Self::Drained => f.write_str("every switch is let go"),
        }
    }
}
