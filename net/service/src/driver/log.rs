//! One line for each event: its word first, then the names, then the details.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use tandem_core::event::{self, Level, LogEvent};
use tandem_core::health::{Grade, Isolation};
use tandem_core::{CloseReason, CloseWhy, ConnId, SwitchName, log_words};
use tracing::{debug, error, info, warn};

/// Logs an event of a session, with its connection and the switches that the session serves.
pub fn session(event: &event::Event, served: &BTreeSet<SwitchName>) {
    let names: Vec<&str> = served.iter().map(SwitchName::as_str).collect();
    let switch = if names.is_empty() { "-".into() } else { names.join(",") };
    let (conn, generation) = (event.conn.0, event.generation.0);
    let (word, reason) = (event.word(), event.close_reason().map(CloseReason::label));
    match event.level() {
        Level::Debug => debug!(target: "tandem", switch, conn, generation, reason, "{word}: {event}"),
        Level::Info => info!(target: "tandem", switch, conn, generation, reason, "{word}: {event}"),
        Level::Warn => warn!(target: "tandem", switch, conn, generation, reason, "{word}: {event}"),
        Level::Error => error!(target: "tandem", switch, conn, generation, reason, "{word}: {event}"),
    }
}

/// Logs any other event.
pub fn event(event: &impl LogEvent) {
    let (word, reason) = (event.word(), event.close_reason().map(CloseReason::label));
    match event.level() {
        Level::Debug => debug!(target: "tandem", reason, "{word}: {event}"),
        Level::Info => info!(target: "tandem", reason, "{word}: {event}"),
        Level::Warn => warn!(target: "tandem", reason, "{word}: {event}"),
        Level::Error => error!(target: "tandem", reason, "{word}: {event}"),
    }
}

/// Events that only the drivers see: connections without a machine, and announcements of the agent outside its sessions.
#[derive(Debug)]
pub enum DriverEvent {
    /// A connection got no session.
    ConnectionRefused { conn: ConnId, why: CloseWhy },
    /// A connection never became a stream between an agent and a control node.
    StreamEnded { from: SocketAddr, why: CloseWhy },
    /// The grade that the health port announces from now on, and what an isolated agent lacks.
    Graded(Grade, Option<Isolation>),
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
    /// A client whose certificate names the peer does not keep the link's protocol.
    PeerIgnored { from: SocketAddr, why: String },
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
            Self::Graded(Grade::Fit | Grade::Draining, _) | Self::TsnUp => Level::Info,
            Self::Graded(Grade::Isolated | Grade::Alone | Grade::Unfit, _) => Level::Warn,
            Self::PeerLinkUp { .. } => Level::Info,
            Self::PeerLinkDown { is_news: false, .. } => Level::Debug,
            Self::PeerLinkDown { .. } | Self::PeerIgnored { .. } => Level::Warn,
        }
    }

    fn close_reason(&self) -> Option<CloseReason> {
        match self {
            Self::ConnectionRefused { why, .. } | Self::StreamEnded { why, .. } => Some(why.reason),
            Self::Graded(..) | Self::TsnUp | Self::TsnDown { .. } => None,
            Self::PeerLinkUp { .. } | Self::PeerLinkDown { .. } | Self::PeerIgnored { .. } => None,
        }
    }
}

impl fmt::Display for DriverEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionRefused { conn, why } => write!(f, "{conn}: {why}"),
            Self::StreamEnded { from, why } => write!(f, "{from}: {why}"),
            Self::Graded(grade, None) => write!(f, "{grade}"),
            Self::Graded(grade, Some(isolation)) => write!(f, "{grade} ({isolation})"),
            Self::TsnUp => f.write_str("the services node is alive"),
            Self::TsnDown { why } => write!(f, "the services node is dead: {why}"),
            Self::PeerLinkUp { address, agent } => {
                write!(f, "{} at {address} takes our reports", agent.escape_debug())
            }
            Self::PeerLinkDown { address, why, .. } => write!(f, "{address} does not take our reports: {why}"),
            Self::PeerIgnored { from, why } => write!(f, "ignoring {from}: {why}"),
        }
    }
}
