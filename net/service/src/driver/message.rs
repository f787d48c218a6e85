//! The messages between the agent's task and those of its sessions.

use std::sync::Arc;

use tandem_core::agent::uplinks::UplinkId;
use tandem_core::agent::{Answer, Order, PeerReport};
use tandem_core::configuration::Configuration;
use tandem_core::session::{Command, Notice};
use tandem_core::status::{AgentStatus, SessionStatus};
use tandem_core::{ConnId, Generation};
use tokio::sync::oneshot;

use super::stream::StreamNotice;

/// A message to the agent's task.
#[derive(Debug)]
pub enum Message {
    /// A session notifies the agent.
    Session {
        /// Its connection.
        conn: ConnId,
        /// Which session of this agent it is.
        generation: Generation,
        /// The notice.
        notice: Notice,
    },
    /// Something happened on a stream to a control node.
    Uplink(UplinkId, StreamNotice),
    /// A report of the other agent of the pair.
    Peer(PeerReport),
    /// The services node passed its probes, or failed them.
    Tsn {
        /// It passed.
        alive: bool,
    },
    /// A TLS handshake with a switch failed for a reason that may be ours.
    HandshakeFailed,
    /// A new configuration.
    Configure(Arc<Configuration>),
    /// The configuration of the last life of this agent, and its revision.
    Remembered(Arc<Configuration>, Option<u64>),
    /// Drain: release the switches, and end.
    Drain,
    /// Every proxy has fetched the word that this agent drains.
    Announced,
    /// An order of an operator.
    Order(Order, oneshot::Sender<Answer>),
    /// A request for the status.
    Status(oneshot::Sender<AgentStatus>),
    /// The sessions have answered that request.
    Gathered(Vec<SessionStatus>, oneshot::Sender<AgentStatus>),
}

/// A message of the agent's task to a session's.
#[derive(Debug)]
pub enum SessionMessage {
    /// For the machine.
    Command(Command),
    /// For an operator.
    Status(oneshot::Sender<SessionStatus>),
}
