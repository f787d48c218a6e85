//! What a switch reports.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tandem_core::ConnId;

use crate::socket::{ACCEPTED, DialFailure};
use crate::switch::{Commit, Writer};
use crate::tls::TlsError;

/// Something happened. `target` is the text of the `Manager` row, or of the remote of the command line.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Event {
    /// It started, with the database that it had, or without.
    Booted { keeps_database: bool },
    /// It takes connections there.
    Listening { target: String },
    /// It dials.
    Dialling { target: String, conn: ConnId },
    /// The dial, or its TLS handshake, failed.
    DialFailed { target: String, conn: ConnId, why: Ended },
    /// A line is there, TLS included, whoever dialled.
    Connected { target: String, conn: ConnId },
    /// A line that was there is gone.
    Disconnected { target: String, conn: ConnId, why: Ended },
    /// The next dial comes after so many milliseconds.
    Backoff { target: String, ms: u64 },
    /// Nobody can be dialled by this name.
    Unusable { target: String },
    /// A transaction changed something.
    Committed(Committed),
    /// A transaction was refused: it asserts a lock that its writer does not hold.
    NotOwner { conn: ConnId },
    /// The watched lock has another holder.
    LockPassed {
        lock: String,
        from: Option<ConnId>,
        to: Option<ConnId>,
    },
    /// A local edit was refused: the results of its operations, as JSON.
    EditRefused { results: String },
}

/// Why a line is gone.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The network said so.
    Dial(DialFailure),
    /// It took longer than the switch waits.
    GaveUp,
    /// The other end does not speak TLS, or refused us.
    Handshake(TlsError),
    /// The other end closed (FIN).
    Closed,
    /// The connection broke (RST, or the network gave up).
    Lost,
    /// The row was deleted.
    Deconfigured,
    /// The server closed, and says why: a broken protocol, or a probe that was not answered.
    Refused(String),
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

impl Event {
    /// The word in the log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Booted { .. } => "Booted",
            Self::Listening { .. } => "Listening",
            Self::Dialling { .. } => "Dialling",
            Self::DialFailed { .. } => "DialFailed",
            Self::Connected { .. } => "Connected",
            Self::Disconnected { .. } => "Disconnected",
            Self::Backoff { .. } => "Backoff",
            Self::Unusable { .. } => "Unusable",
            Self::Committed(_) => "Committed",
            Self::NotOwner { .. } => "NotOwner",
            Self::LockPassed { .. } => "LockPassed",
            Self::EditRefused { .. } => "EditRefused",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holder = |conn: &Option<ConnId>| conn.map_or_else(|| "nobody".to_owned(), name);
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
            Self::Unusable { target } => write!(f, "{target}: {}", super::TargetError),
            Self::Committed(committed) => committed.fmt(f),
            Self::NotOwner { conn } => write!(f, "{} asserts a lock that it does not hold: refused", name(*conn)),
            Self::LockPassed { lock, from, to } => write!(f, "{lock}: from {} to {}", holder(from), holder(to)),
            Self::EditRefused { results } => f.write_str(results),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(DialFailure::Refused) => f.write_str("nobody listens there"),
            Self::Dial(DialFailure::TimedOut) => f.write_str("nobody answered"),
            Self::GaveUp => f.write_str("nobody answered as long as the switch waits"),
            Self::Handshake(error) => error.fmt(f),
            Self::Closed => f.write_str("the other end closed"),
            Self::Lost => f.write_str("the connection broke"),
            Self::Deconfigured => f.write_str("the Manager row was deleted"),
            Self::Refused(why) => f.write_str(why),
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

/// A connection that others dialled has a number that nobody can read.
fn name(conn: ConnId) -> String {
    match conn.0.checked_sub(ACCEPTED) {
        Some(number) => format!("accepted conn {number}"),
        None => conn.to_string(),
    }
}
