//! One line for each event: its word first, then the names, then the details.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use serde::Serialize;
use tandem_core::event::{self, Level, LogEvent};
use tandem_core::health::{Grade, Isolation};
use tandem_core::{CloseReason, CloseWhy, ConnId, SwitchName, log_words};
use tracing::{debug, error, info, warn};

/// One line of this level; the word is a field as well, for readers of JSON.
macro_rules! line {
    ($level:expr, $($line:tt)*) => {
        match $level {
            Level::Debug => debug!(target: "tandem", $($line)*),
            Level::Info => info!(target: "tandem", $($line)*),
            Level::Warn => warn!(target: "tandem", $($line)*),
            Level::Error => error!(target: "tandem", $($line)*),
        }
    };
}

/// Logs an event of a session, with its connection and the switches that the session serves.
pub fn session(event: &event::Event, served: &BTreeSet<SwitchName>) {
    let names: Vec<&str> = served.iter().map(SwitchName::as_str).collect();
    let switch = if names.is_empty() { "-".into() } else { names.join(",") };
    let (conn, generation) = (event.conn.0, event.generation.0);
    let (word, reason, details) = (
        event.word(),
        event.close_reason().map(CloseReason::label),
        Details(event),
    );
    line!(event.level(), word, switch, conn, generation, reason, %details, "{word}: {event}");
}

/// Logs any other event.
pub fn event(event: &(impl LogEvent + Serialize)) {
    let (word, reason, details) = (
        event.word(),
        event.close_reason().map(CloseReason::label),
        Details(event),
    );
    line!(event.level(), word, reason, %details, "{word}: {event}");
}

/// An event as a JSON object, made when a line needs it.
struct Details<'a, T>(&'a T);

impl<T: Serialize> fmt::Display for Details<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An event that is no object has no details.
        f.write_str(&serde_json::to_string(self.0).unwrap_or_default())
    }
}

/// Events that only the drivers see: connections without a machine, and announcements of the agent outside its sessions.
#[derive(Debug, Serialize)]
#[serde(tag = "word")]
pub enum DriverEvent {
    /// A connection got no session.
    ConnectionRefused { conn: ConnId, why: CloseWhy },
    /// A connection never became a stream between an agent and a control node.
    StreamEnded { from: SocketAddr, why: CloseWhy },
    /// The grade that the health port announces from now on, and what an isolated agent lacks.
    Graded { grade: Grade, isolation: Option<Isolation> },
    /// The services node passes its probes from now on.
    TsnUp,
    /// The services node fails its probes from now on, for this reason.
    TsnDown { why: String },
    /// The other agent of the pair accepts our reports.
    PeerLinkUp { address: SocketAddr, agent: String },
    /// The other agent does not accept our reports, or no longer. It is news only once.
    PeerLinkDown {
        address: SocketAddr,
        why: String,
        is_news: bool,
    },
    /// A client whose certificate names the peer does not keep the link's protocol. It is news only once.
    PeerIgnored {
        from: SocketAddr,
        why: String,
        is_news: bool,
    },
}

impl LogEvent for DriverEvent {
    log_words!(
        ConnectionRefused,
        StreamEnded,
        Graded,
        TsnUp,
        TsnDown,
        PeerLinkUp,
        PeerLinkDown,
        PeerIgnored
    );

    fn level(&self) -> Level {
        match self {
            Self::ConnectionRefused { .. } | Self::TsnDown { .. } => Level::Warn,
            // A client that connects and leaves is a probe, and there are many.
            Self::StreamEnded { why, .. } if why.fault.is_none() => Level::Debug,
            Self::StreamEnded { .. } => Level::Warn,
            Self::Graded { grade, .. } => match grade {
                Grade::Fit | Grade::Draining => Level::Info,
                Grade::Isolated | Grade::Alone | Grade::Unfit => Level::Warn,
            },
            Self::TsnUp | Self::PeerLinkUp { .. } => Level::Info,
            Self::PeerLinkDown { is_news: false, .. } | Self::PeerIgnored { is_news: false, .. } => Level::Debug,
            Self::PeerLinkDown { .. } | Self::PeerIgnored { .. } => Level::Warn,
        }
    }

    fn close_reason(&self) -> Option<CloseReason> {
        match self {
            Self::ConnectionRefused { why, .. } | Self::StreamEnded { why, .. } => Some(why.reason),
            Self::Graded { .. } | Self::TsnUp | Self::TsnDown { .. } => None,
            Self::PeerLinkUp { .. } | Self::PeerLinkDown { .. } | Self::PeerIgnored { .. } => None,
        }
    }
}

impl fmt::Display for DriverEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionRefused { conn, why } => write!(f, "{conn}: {why}"),
            Self::StreamEnded { from, why } => write!(f, "{from}: {why}"),
            Self::Graded { grade, isolation: None } => write!(f, "{grade}"),
            Self::Graded {
                grade,
                isolation: Some(isolation),
            } => write!(f, "{grade} ({isolation})"),
            Self::TsnUp => f.write_str("the services node is alive"),
            Self::TsnDown { why } => write!(f, "the services node is dead: {why}"),
            Self::PeerLinkUp { address, agent } => {
                write!(f, "{} at {address} takes our reports", agent.escape_debug())
            }
            Self::PeerLinkDown { address, why, .. } => write!(f, "{address} does not take our reports: {why}"),
            Self::PeerIgnored { from, why, .. } => write!(f, "ignoring {from}: {why}"),
        }
    }
}
