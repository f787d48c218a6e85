//! The inputs and outputs of the uplinks, and the reasons of their deadlines.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::What;
use crate::agent::hold::Served;
use crate::author::Provenance;
use crate::configuration::{Configuration, SessionOptions};
use crate::event::Route;
use crate::identity::IdentityRule;
use crate::ids::{Mac, Uuid};
use crate::machine::{Certificate, CloseWhy};
use crate::xmpp::Stanza;

/// One dial of a control node, and the session that follows. Never used again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UplinkId(pub u64);

/// The control nodes, and how the agent behaves towards them.
#[derive(Clone, Debug)]
pub struct Options {
    /// The control nodes, the preferred first.
    pub nodes: Vec<SocketAddr>,
    /// The certificates that control nodes may present; none means those that contain the name of the control node.
    pub certificates: Vec<IdentityRule>,
    /// The options of sessions with switches; control nodes do not send them.
    pub session: SessionOptions,
    /// The time for which a copy of a route is held after the original went; `None` holds none.
    pub stale_hold: Option<Duration>,
    /// For the jitter of the back-off.
    pub seed: u64,
}

/// An input.
#[derive(Clone, Debug)]
pub enum Input {
    /// Both streams are open. The control node gave this name, and is a Tandem control node or not.
    Opened {
        /// Which dial or session.
        id: UplinkId,
        /// The name that the control node gave.
        name: String,
        /// It is a Tandem control node.
        ours: bool,
        /// The certificate that it presented; `None` without TLS.
        certificate: Option<Certificate>,
    },
    /// The control node sent a stanza.
    Received {
        /// Which dial or session.
        id: UplinkId,
        /// The stanza that it sent.
        stanza: Stanza,
    },
    /// The number of bytes in the driver that the control node has not taken yet.
    Sent {
        /// Which dial or session.
        id: UplinkId,
        /// Bytes that the driver still holds.
        queued_bytes: usize,
    },
    /// The dial failed, or the session ended.
    Closed {
        /// Which dial or session.
        id: UplinkId,
        /// Why it ended.
        why: CloseWhy,
    },
    /// This configuration is in force now.
    Configured(Arc<Configuration>),
    /// The exports of a route changed; our sessions export its MAC at these tunnel ends now.
    Exported {
        /// The MAC and its network, and the tunnel end that came or went.
        route: Route,
        /// The kind of change.
        change: Change,
        /// Every tunnel end at which the MAC is exported; empty if it is at none.
        vteps: Vec<Ipv4Addr>,
    },
    /// A session ended, and these are the routes that it exported, each with the tunnel ends at which our other sessions
    /// export its MAC now.
    Retracted(Vec<(Route, Vec<Ipv4Addr>)>),
    /// The service of the configured switches, by this agent or by the peer agent.
    Served(BTreeMap<Ipv4Addr, Served>),
    /// Our sessions are about to end. How the switches are served until then.
    Releasing(BTreeMap<Ipv4Addr, Served>),
    /// The last complete configuration of an earlier life of this agent, and its revision.
    Remembered(Arc<Configuration>, Option<u64>),
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// A change of a route of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// The switch learned it just now.
    Learned,
    /// The switch had learned it, at an unknown time: before our session was allowed to write, or before the network was
    /// configured again.
    Inherited,
    /// The switch has had it at this other tunnel end of its own, which changed.
    Relocated(Ipv4Addr),
    /// The switch withdrew it.
    Withdrawn,
    /// The session that exported it ended.
    SessionOver,
}

/// An output.
#[derive(Clone, Debug)]
pub enum Output {
    /// Dial this control node, and open a stream.
    Dial {
        /// The number of the dial.
        id: UplinkId,
        /// The control node.
        to: SocketAddr,
    },
    /// Send this stanza.
    SendStanza {
        /// Which dial or session.
        id: UplinkId,
        /// The stanza to send.
        stanza: Stanza,
    },
    /// Close the session.
    Close {
        /// Which dial or session.
        id: UplinkId,
        /// The reason to report.
        why: CloseWhy,
    },
    /// The best path of a MAC leads to this tunnel end now, or the MAC has no path.
    Imported {
        /// The UUID of the network.
        network: Uuid,
        /// The Ethernet address.
        mac: Mac,
        /// The tunnel end; `None` if the MAC has no path.
        vtep: Option<Ipv4Addr>,
    },
    /// Whether all routes of a network have been received.
    RoutesComplete {
        /// The UUID of the network.
        network: Uuid,
        /// False: not any more.
        complete: bool,
    },
    /// This configuration is to be in force; and whether it is complete.
    Configure {
        /// The configuration to put in force.
        configuration: Arc<Configuration>,
        /// The configuration is complete: rows that it does not desire may be deleted.
        complete: bool,
        /// Where it comes from, and the revisions.
        change: Provenance,
    },
    /// This configuration is to be kept on disk: it is complete, and a control node sent it.
    Remember {
        /// The configuration.
        configuration: Arc<Configuration>,
        /// Its revision, if one came with it.
        revision: Option<u64>,
    },
    /// Something happened.
    Event(What),
}

impl Output {
    pub(super) fn configure(configuration: Arc<Configuration>, complete: bool, change: Provenance) -> Self {
        Self::Configure {
            configuration,
            complete,
            change,
        }
    }
}

/// Why the uplinks want to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// More routes can be sent.
    MoreWork,
    /// A control node is to be dialled.
    DialDue,
    /// An instance may have been quiet for long enough to count as complete.
    QuietDue,
    /// The configuration may have been quiet for long enough to count as complete.
    ConfigurationDue,
    /// A copy has been held for long enough.
    HoldDue,
    /// Sequences of routes that went have been remembered for long enough.
    ForgetDue,
}
