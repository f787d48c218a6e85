//! The inputs and outputs of an agent, and the reasons of its deadlines.

use std::net::SocketAddr;
use std::sync::Arc;

use super::event;
use super::order::{Answer, Order, OrderId};
use super::pair::PeerReport;
use super::uplinks::{self, UplinkId};
use crate::configuration::Configuration;
use crate::health::{Grade, Isolation};
use crate::ids::{ConnId, Generation};
use crate::machine::{CloseWhy, Peer};
use crate::session::{Command, Notice, Session};
use crate::time::Time;
use crate::xmpp::Stanza;

/// An input of an agent.
#[derive(Clone, Debug)]
pub enum Input {
    /// A client, hopefully a switch, has connected; the handshake is over.
    Connected {
        /// The number of the connection; never used again.
        conn: ConnId,
        /// The driver's knowledge of the client.
        peer: Peer,
        /// When the connection was accepted, before the handshake.
        accepted_at: Time,
    },
    /// A TLS handshake with a switch failed for a reason that may be this agent's: one end refused the certificate of the other,
    /// or broke it off. Several at one time may count as one.
    HandshakeFailed,
    /// A session notifies its agent.
    Session {
        /// The connection of the session.
        conn: ConnId,
        /// Which session of this agent.
        generation: Generation,
        /// The notice.
        notice: Notice,
    },
    /// The configuration from now on, and whether it is complete.
    Configure {
        /// The configuration.
        configuration: Arc<Configuration>,
        /// The configuration is complete: rows that it does not desire may be deleted.
        complete: bool,
    },
    /// Drain: first the proxies are notified, then the switches are released.
    Drain,
    /// Every proxy has received the grade `draining`.
    Announced,
    /// Something arrived from a control node.
    Uplink(uplinks::Input),
    /// The peer agent sent a report.
    Peer(PeerReport),
    /// The services node passed its probes, or failed them.
    Tsn {
        /// It passed enough probes in a row.
        alive: bool,
    },
    /// An operator gives an order.
    Order {
        /// Its number, for the answer; never used again.
        id: OrderId,
        /// The order.
        order: Order,
    },
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// An output of an agent.
#[derive(Clone, Debug)]
pub enum Output {
    /// Run this session on its connection.
    Open {
        /// The connection that it runs on.
        conn: ConnId,
        /// The session; its outputs are due at once.
        session: Box<Session>,
    },
    /// Close a connection that gets no session.
    Refuse {
        /// Which connection.
        conn: ConnId,
        /// The reason to report.
        why: CloseWhy,
    },
    /// Give a session a command.
    Command {
        /// The connection of the session.
        conn: ConnId,
        /// The command.
        command: Command,
    },
    /// Dial this control node, and open a stream to it.
    Dial {
        /// The number of the dial.
        id: UplinkId,
        /// The control node.
        to: SocketAddr,
    },
    /// Send a stanza to a control node.
    SendStanza {
        /// Which dial or session.
        id: UplinkId,
        /// The stanza to send.
        stanza: Stanza,
    },
    /// Close the session with a control node.
    CloseUplink {
        /// Which dial or session.
        id: UplinkId,
        /// The reason to report.
        why: CloseWhy,
    },
    /// Something happened between the agent and its control nodes.
    Event(uplinks::What),
    /// Keep this configuration on disk, for the next life of this agent.
    Remember {
        /// The configuration.
        configuration: Arc<Configuration>,
        /// Its revision, if one came with it.
        revision: Option<u64>,
    },
    /// Send a report to the peer agent.
    SendPeer(PeerReport),
    /// Something is wrong between the two agents of the pair, or right again.
    Pair(event::What),
    /// The health port shows this grade from now on. What an isolated agent lacks.
    Graded {
        /// The grade.
        grade: Grade,
        /// The lack that isolates the agent; `None` unless it is isolated or alone.
        isolation: Option<Isolation>,
    },
    /// The answer to an order.
    Ordered {
        /// The number of the order.
        id: OrderId,
        /// The answer.
        answer: Answer,
    },
    /// Every session has ended: the process may exit.
    Drained,
}

/// Why an agent wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// Some proxy did not poll in time: drain all the same.
    AnnounceOverdue,
    /// A switch that moves has not reached the other agent.
    MoveOverdue,
    /// The drain took too long.
    DrainOverdue,
    /// Sessions have yet to be sent routes.
    MoreWork,
    /// An uplink has its reason.
    Uplink(uplinks::Why),
    /// A session has waited long enough for its clearance.
    ClearanceDue,
    /// Two switches of one name may be reported again.
    DuplicateDue,
    /// The grade may change, or a report to the peer agent is due.
    GradeDue,
}
