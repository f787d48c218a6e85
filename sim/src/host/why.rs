//! The reasons of an agent host to be woken.

use tandem_core::{agent, session, xmpp};

/// Why an agent host wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// A message waits.
    Mail,
    /// The agent has its reason.
    Agent(agent::Why),
    /// A session has its reason.
    Session(session::Why),
    /// A flight of TLS is ready.
    Flight,
    /// A handshake takes too long.
    HandshakeOverdue,
    /// A control node takes too long to accept.
    DialOverdue,
    /// A stream to a control node has its reason.
    Uplink(xmpp::stream::Why),
}
