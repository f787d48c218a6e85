//! What the agent's task and those of the sessions tell each other.

use std::sync::Arc;

use tandem_core::agent::pair::PeerReport;
use tandem_core::agent::uplinks::UplinkId;
use tandem_core::configuration::Configuration;
use tandem_core::session::{Command, Notice};
use tandem_core::status::{AgentStatus, SessionStatus};
use tandem_core::{ConnId, Generation};
use tokio::sync::oneshot;

use super::stream::News;

/// What the agent's task may be told.
#[derive(Debug)]
pub enum Message {
    /// A session notifies the agent.
    Session {
        /// Its connection.
        conn: ConnId,
        /// Which session of this agent it is.
        generation: Generation,
        /// What it notifies of.
        notice: Notice,
    },
    /// Something happened on a stream to a control node.
    Uplink(UplinkId, News),
    /// The other agent of the pair said this.
    Peer(PeerReport),
    /// The services node passed its probes, or failed them.
    Tsn {
        /// It lives.
        alive: bool,
    },
    /// A configuration that was read anew.
    Configure(Arc<Configuration>),
    /// Hand over and go.
    Drain,
    /// Every proxy knows that we are draining.
    Announced,
    /// Somebody asks how things are.
    Status(oneshot::Sender<AgentStatus>),
    /// Every session has answered that question.
    Gathered(Vec<SessionStatus>, oneshot::Sender<AgentStatus>),
}

/// What the agent's task may tell a session's.
#[derive(Debug)]
pub enum Order {
    /// For the machine.
    Command(Command),
    /// For an operator.
    Status(oneshot::Sender<SessionStatus>),
}
