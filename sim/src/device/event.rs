//! The events of a switch.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tandem_core::event::LogEvent;
use tandem_core::{ConnId, log_words};

use crate::socket::{ACCEPTED, DialFailure};
use crate::switch::{Commit, Writer};
use crate::tls::TlsError;

/// An event. `target` is the text of the `Manager` row, or of a remote of the command line.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Event {
    /// The switch started, with the database that it had, or with an empty one.
    Booted { keeps_database: bool },
    /// The switch accepts connections there.
    Listening { target: String },
    /// The switch dials.
    Dialling { target: String, conn: ConnId },
    /// The dial, or its TLS handshake, failed.
    DialFailed { target: String, conn: ConnId, why: Ended },
    /// A connection is up, TLS included, in either direction.
    Connected { target: String, conn: ConnId },
    /// A connection that was up is over.
    Disconnected { target: String, conn: ConnId, why: Ended },
    /// The next dial follows after this many milliseconds.
    Backoff { target: String, ms: u64 },
    /// The target cannot be dialled.
    TargetUnusable { target: String },
    /// A transaction changed rows.
    Committed(Committed),
    /// A transaction was rejected: it asserts a lock that its writer does not hold.
    NotOwner { conn: ConnId },
    /// The watched lock has another holder.
    LockPassed {
        lock: String,
        from: Option<ConnId>,
        to: Option<ConnId>,
    },
    /// A local edit was rejected: the results of its operations, as JSON.
    EditRejected { results: String },
}

/// Why a connection ended.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The network reported that the dial failed.
    Dial(DialFailure),
    /// The dial took longer than the switch waits.
    GaveUp,
    /// The other end does not speak TLS, or refused the handshake.
    Handshake(TlsError),
    /// The other end closed (FIN).
    Closed,
    /// The connection broke (RST, or the network gave up).
    Lost,
    /// The row was deleted.
    Deconfigured,
    /// The database server closed: a protocol error, or an unanswered probe.
    ServerClosed(String),
}

/// A transaction, as a log shows it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Committed {
    /// The connection of the writer; `None` is the switch itself.
    pub by: Option<ConnId>,
    /// The locks that the writer held at that moment.
    pub locks: Vec<String>,
    /// Its `comment` operations.
    pub comments: Vec<String>,
    /// Changed rows by table.
    pub changes: BTreeMap<&'static str, usize>,
}

impl LogEvent for Event {
    log_words!(
        Booted,
        Listening,
        Dialling,
        DialFailed,
        Connected,
        Disconnected,
        Backoff,
        TargetUnusable,
        Committed,
        NotOwner,
        LockPassed,
        EditRejected
    );
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holder = |conn: &Option<ConnId>| conn.map_or_else(|| "none".to_owned(), name);
        match self {
            Self::Booted { keeps_database: true } => f.write_str("with its database"),
            Self::Booted { keeps_database: false } => f.write_str("with an empty database"),
            Self::Listening { target } => f.write_str(target),
            Self::Dialling { target, conn } | Self::Connected { target, conn } => {
                write!(f, "{target}, {}", name(*conn))
            }
            Self::DialFailed { target, conn, why } | Self::Disconnected { target, conn, why } => {
                write!(f, "{target}, {}: {why}", name(*conn))
            }
            Self::Backoff { target, ms } => write!(f, "{target}: {ms} ms"),
            Self::TargetUnusable { target } => write!(f, "{target}: {}", super::TargetError),
            Self::Committed(committed) => committed.fmt(f),
            Self::NotOwner { conn } => write!(f, "{} asserts a lock that it does not hold: rejected", name(*conn)),
            Self::LockPassed { lock, from, to } => write!(f, "{lock}: from {} to {}", holder(from), holder(to)),
            Self::EditRejected { results } => f.write_str(results),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(DialFailure::Refused) => f.write_str("connection refused"),
            Self::Dial(DialFailure::TimedOut) => f.write_str("timed out"),
            Self::GaveUp => f.write_str("timed out at the switch"),
            Self::Handshake(error) => error.fmt(f),
            Self::Closed => f.write_str("the other end closed"),
            Self::Lost => f.write_str("the connection broke"),
            Self::Deconfigured => f.write_str("the Manager row was deleted"),
            Self::ServerClosed(why) => f.write_str(why),
        }
    }
}

impl From<&Commit> for Committed {
    fn from(commit: &Commit) -> Self {
        let mut changes = BTreeMap::new();
        for change in &commit.changes {
            *changes.entry(change.table).or_default() += 1;
        }
        Self {
            by: match commit.by {
                Writer::Local => None,
                Writer::Remote(conn) => Some(conn),
            },
            locks: commit.locks.iter().cloned().collect(),
            comments: commit.comments.clone(),
            changes,
        }
    }
}

impl fmt::Display for Committed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            None => f.write_str("by the switch:")?,
            Some(conn) => write!(f, "by {}:", name(conn))?,
        }
        for (table, rows) in &self.changes {
            write!(f, " {table} {rows}")?;
        }
        for comment in &self.comments {
            write!(f, " ({comment})")?;
        }
        Ok(())
    }
}

/// Accepted connections have numbers of sixteen digits; this shows the part that counts.
fn name(conn: ConnId) -> String {
    match conn.0.checked_sub(ACCEPTED) {
        Some(number) => format!("accepted conn {number}"),
        None => conn.to_string(),
    }
}
