//! What the tasks of connections, listeners and checks send to the actor's task.

use std::fmt;
use std::net::SocketAddrV4;

use serde::Serialize;
use tandem_core::event::{Level, LogEvent};
use tandem_core::{ConnId, log_words};
use tandem_sim::socket::{Input, Outcome};

use super::stream::Arrived;

/// Bytes that may wait for one connection; more is a reset.
pub const UNSENT_BYTES_MAX: usize = 256 << 20;

/// A message of another task to the actor's.
pub(super) enum Message<C> {
    Accepted {
        at: SocketAddrV4,
        from: SocketAddrV4,
        arrived: Arrived,
    },
    Checked {
        check: u64,
        run: u64,
        outcome: Outcome,
    },
    Input(Input<C>),
    Note(Note),
}

/// An event of the sockets that is no input of the actor.
#[derive(Debug, Serialize)]
#[serde(tag = "word")]
pub enum Note {
    /// Connections are accepted at `bound`, which differs from `at` where `at` has port 0.
    Bound { at: SocketAddrV4, bound: SocketAddrV4 },
    /// The address cannot be bound.
    CannotListen { at: SocketAddrV4, why: String },
    /// A connection failed before its first byte, mostly during the TLS handshake.
    ConnectionFailed { peer: SocketAddrV4, why: String },
    /// A peer did not read what we sent; it was cut off.
    Overflowed { conn: ConnId },
    /// The actor wants something that real sockets are not used for.
    Unsupported { what: &'static str },
}

impl LogEvent for Note {
    log_words!(Bound, CannotListen, ConnectionFailed, Overflowed, Unsupported);

    fn level(&self) -> Level {
        match self {
            Self::Bound { .. } => Level::Info,
            Self::CannotListen { .. }
            | Self::ConnectionFailed { .. }
            | Self::Overflowed { .. }
            | Self::Unsupported { .. } => Level::Warn,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bound { at: _, bound } => write!(f, "accepts connections at {bound}"),
            Self::CannotListen { at, why } => write!(f, "cannot listen at {at}: {why}"),
            Self::ConnectionFailed { peer, why } => write!(f, "no connection with {peer}: {why}"),
            Self::Overflowed { conn } => {
                write!(f, "{conn} was reset: more than {UNSENT_BYTES_MAX} bytes were not read")
            }
            Self::Unsupported { what } => write!(f, "{what} does nothing on real sockets"),
        }
    }
}
