//! The link between the two agents of a pair: each dials the other, and sends reports on the connection that it dialled.
//! So the two have nothing to negotiate, and an agent that restarts sends again by itself.
//!
//! A connection is TLS, with certificates at both ends. First each end sends one line with its name and the versions of the
//! protocol that it has; then the end that dialled sends one [`PeerReport`](tandem_core::agent::PeerReport) per line of JSON, every second and
//! on each change.

mod dial;
mod hello;
mod line;
mod listen;
mod news;
#[cfg(test)]
mod tests;

use std::time::Duration;

use hello::Hello;
use news::News;

pub use dial::dial;
pub use listen::{Identities, listen};

/// Bytes of one line: a report about several thousand switches.
const LINE_BYTES: usize = 4 << 20;

/// Connections of the peer that are read, of which one is current and the others are about to end; and as many that have
/// not shown yet that they are the peer's.
const CONNECTIONS: usize = 4;

/// Handshakes at once.
const HANDSHAKES: usize = 64;

/// The time from the dial to the first line of the peer.
const OPENING: Duration = Duration::from_secs(5);

/// The longest time that the peer's kernel may take to acknowledge a report: after that it is outdated.
const SENDING: Duration = Duration::from_secs(3);
