//! The link between the two agents of a pair: each dials the other, and on the connection that it dialled it says how it
//! stands. So there is nothing to agree about, and whoever starts again is heard again by himself.
//!
//! A connection is TLS, with certificates at both ends. First each end says in one line who it is and which protocol it
//! speaks; then the one that dialled says one [`PeerReport`](tandem_core::agent::pair::PeerReport) in a line of JSON, every second and whenever something changed.

mod dial;
mod line;
mod listen;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use dial::dial;
pub use listen::listen;

/// The protocol that we speak. Whoever speaks another is refused: the two ends then say so in their logs.
const PROTOCOL: u32 = 1;

/// Bytes of one line: a word about several thousand switches.
const LINE_BYTES: usize = 4 << 20;

/// Connections that are listened to. One is right; the rest are on their way out.
const CONNECTIONS: usize = 4;

/// Handshakes at once.
const HANDSHAKES: usize = 16;

/// From the dial to the other end's first line.
const OPENING: Duration = Duration::from_secs(5);

/// How long a word may take to leave, and the other end's kernel to take it: later it is no news any more.
const SENDING: Duration = Duration::from_secs(3);

/// The first line of both ends.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    /// Another protocol has another number.
    protocol: u32,
    /// What the agent is called.
    agent: String,
}

impl Hello {
    fn of(agent: &str) -> Self {
        Self {
            protocol: PROTOCOL,
            agent: agent.into(),
        }
    }

    /// Whether we can talk to who says this; if not, why.
    fn admit(self, own: &str) -> Result<String, String> {
        if self.protocol != PROTOCOL {
            Err(format!(
                "it speaks protocol {}, and we speak {PROTOCOL}: both agents need the same version of the link",
                self.protocol
            ))
        } else if self.agent == own {
            Err(format!(
                "it is called {own} as well: it is this agent itself, or has its name"
            ))
        } else {
            Ok(self.agent)
        }
    }
}
