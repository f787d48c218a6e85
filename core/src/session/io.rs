//! The inputs and outputs of a session.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::notice::Notice;
use crate::author::Provenance;
use crate::configuration::Configuration;
use crate::event::Event;
use crate::ids::{ConnId, Generation, Mac, Uuid};
use crate::machine::{CloseWhy, Peer};
use crate::time::Time;

/// An input of a session.
#[derive(Clone, Debug)]
pub enum Input {
    /// Bytes from the switch, in order.
    Bytes(Vec<u8>),
    /// The driver has so many bytes left that the network did not take yet.
    Sent {
        /// Bytes.
        queued_bytes: usize,
    },
    /// The connection is gone.
    Closed(CloseWhy),
    /// The time that `poll_timeout` named has come.
    Timeout,
    /// A command of the agent.
    Command(Command),
}

/// A command of an agent to its session.
#[derive(Clone, Debug)]
pub enum Command {
    /// Who changes the configuration that follows.
    Changed(Provenance),
    /// Another configuration is in force.
    Configure {
        /// The configuration.
        configuration: Arc<Configuration>,
        /// Everything that could want something is configured.
        complete: bool,
    },
    /// Routes were received: where MACs of a network are; `None` is nowhere.
    Import {
        /// The network.
        network: Uuid,
        /// The MACs.
        macs: Vec<(Mac, Option<Ipv4Addr>)>,
    },
    /// Whether all routes of a network have been received, so that what is not desired may go.
    RoutesComplete {
        /// The network.
        network: Uuid,
        /// They have.
        complete: bool,
    },
    /// This agent is fit to own a switch.
    Fit,
    /// The switch is the only one of its name, as far as the agent knows: the session may write.
    Clear,
    /// Another switch of this name is programmed: the session writes nothing. A sentence for the operator.
    Bar(String),
    /// Show that the line is alive: another connection claims to be this switch. The number comes back with the answer.
    Probe(u64),
    /// Try everything now that the switch rejected, or that waits.
    Retry,
    /// The operator confirms the deletions that are withheld.
    Confirm,
    /// The agent drains: let writes settle, release the lock, and close.
    Drain,
    /// The same, for the other agent of the pair is to have the switch.
    HandOver,
    /// Close now.
    Close(CloseWhy),
}

/// An output of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send these bytes to the switch.
    Send(Vec<u8>),
    /// Close the connection. Nothing follows.
    Close(CloseWhy),
    /// Something that the agent acts on.
    Notify(Notice),
    /// Something happened: for logs, checks and metrics. Nothing is decided by it.
    Event(Event),
}

/// Why a session wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// It stopped in the middle, so that others have their turn.
    MoreWork,
    /// T of silence: an echo is due.
    KeepaliveDue,
    /// 2T of silence.
    KeepaliveOverdue,
    /// A doubted line did not show that it is alive.
    ProofOverdue,
    /// The answer to a request is overdue.
    AnswerOverdue,
    /// An object that failed is to be tried again.
    RetryDue,
    /// The switch had its time for taking its own MACs back.
    LocalMacsDue,
    /// Rows that went because of routes no longer count for the brake.
    BrakeDue,
    /// The switch has refused the lock and is asked again.
    LockDue,
    /// A connection without a name must release the lock.
    NamelessLock,
    /// A connection without a name was open long enough.
    Nameless,
}

/// The initial facts of a session.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The connection.
    pub conn: ConnId,
    /// Higher than that of every earlier session of this agent.
    pub generation: Generation,
    /// The other end of the connection.
    pub peer: Peer,
    /// When the connection was accepted: before the TLS handshake.
    pub accepted_at: Time,
    /// The configuration in force.
    pub configuration: Arc<Configuration>,
    /// Everything that could want something is configured.
    pub complete: bool,
    /// This agent is fit to own a switch.
    pub fit: bool,
}
