//! The link between the two agents of a pair: each dials the other, and sends reports on the connection that it dialled.
//! So the two have nothing to negotiate, and an agent that restarts sends again by itself.
//!
//! A connection is TLS, with certificates at both ends. First each end sends one line with its name and the version of the
//! protocol; then the end that dialled sends one [`PeerReport`](tandem_core::agent::PeerReport) per line of JSON, every second and
//! on each change.

mod dial;
mod line;
mod listen;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_core::identity::{self, IdentityRule};
use tandem_core::machine::Certificate;

pub use dial::dial;
pub use listen::{Identities, listen};

/// The version of the protocol. A peer with another version is refused, and both ends log it.
const PROTOCOL: u32 = 1;

/// Bytes of one line: a report about several thousand switches.
const LINE_BYTES: usize = 4 << 20;

/// Connections that are read. One is current; the others are about to end.
const CONNECTIONS: usize = 4;

/// Handshakes at once.
const HANDSHAKES: usize = 64;

/// The time from the dial to the first line of the peer.
const OPENING: Duration = Duration::from_secs(5);

/// The longest time that the peer's kernel may take to acknowledge a report: after that it is outdated.
const SENDING: Duration = Duration::from_secs(3);

/// The first line of both ends.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    /// The version of the protocol.
    protocol: u32,
    /// The name of the agent.
    agent: String,
}

impl Hello {
    fn of(agent: &str) -> Self {
        Self {
            protocol: PROTOCOL,
            agent: agent.into(),
        }
    }

    /// The name of the peer, or why the link is refused.
    fn admit(self, own: &str, certificate: &Certificate, rules: &[IdentityRule]) -> Result<String, String> {
        if self.protocol != PROTOCOL {
            Err(format!(
                "its version of the link is {}, ours is {PROTOCOL}: both agents need the same version",
                self.protocol
            ))
        } else if self.agent == own {
            Err(format!(
                "it is called {own}, too: it is this agent itself, or another one with the same name"
            ))
        } else {
            match identity::check(&self.agent, rules, certificate) {
                Ok(()) => Ok(self.agent),
                Err(why) => Err(format!(
                    "{why}; issue a certificate with this name, or list others in `certificates` of `[peer]`"
                )),
            }
        }
    }
}
