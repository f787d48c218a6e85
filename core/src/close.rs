//! Why a connection ended: a reason that metrics and logs share, the fault, and a sentence.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The place of the cause of an error.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The peer broke the protocol.
    PeerMisbehaved,
    /// The peer keeps the protocol, but lacks or refuses something that we need.
    PeerIncompatible,
    /// Neither end: the network, the clock, a file, the configuration.
    Environment,
    /// Tandem.
    OurBug,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerMisbehaved => "the peer misbehaved",
            Self::PeerIncompatible => "the peer is incompatible",
            Self::Environment => "the environment",
            Self::OurBug => "a bug in Tandem",
        })
    }
}

macro_rules! reasons {
    ($($reason:ident = $label:literal, $fault:expr, $meaning:literal;)*) => {
        /// Why a connection, a session or a dial ended.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum CloseReason {
            $(#[doc = $meaning] $reason,)*
        }

        impl CloseReason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$reason,)*];

            /// The label of metrics, which is also the text in JSON: short, in snake case.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$reason => $label,)* }
            }

            /// The usual fault; `None` for an orderly end.
            pub const fn fault(self) -> Option<Fault> {
                match self { $(Self::$reason => $fault,)* }
            }

            /// One sentence, as the book prints it.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$reason => $meaning,)* }
            }
        }
    };
}

reasons! {
    PeerClosed = "peer_closed", None, "The peer closed the connection in an orderly manner.";
    Drained = "drained", None, "The agent drains, or hands the switch over to the other agent of the pair.";
    Stopped = "stopped", None, "This process ends.";
    Reconfigured = "reconfigured", None, "The configuration changed in a way that needs a new session.";
    Unidentified = "unidentified", None, "The peer names no configured switch, or no longer.";
    ConnectionLost = "connection_lost", Some(Fault::Environment), "The connection broke.";
    Silent = "silent", Some(Fault::Environment), "No byte arrived for two keepalive intervals.";
    LockLost = "lock_lost", Some(Fault::Environment), "Another client took the lock of the switch.";
    OtherManager = "other_manager", Some(Fault::Environment), "The switch knows no locks, and another manager may write.";
    Replaced = "replaced", Some(Fault::Environment), "The same client connected again.";
    TooMany = "too_many", Some(Fault::Environment), "A bound on the number of connections is reached.";
    DialFailed = "dial_failed", Some(Fault::Environment), "The dial failed: refused, timed out, or no route.";
    HandshakeFailed = "handshake_failed", Some(Fault::Environment), "TLS failed, or the stream was not negotiated in time.";
    Incompatible = "incompatible", Some(Fault::PeerIncompatible), "The peer lacks or refuses something that we need.";
    WrongCertificate = "wrong_certificate", Some(Fault::PeerMisbehaved), "The certificate is not one that the peer may present under the name that it gives.";
    UnknownClient = "unknown_client", Some(Fault::Environment), "The inventory names no such client.";
    Duplicate = "duplicate", Some(Fault::Environment), "Another switch has the same name, and is programmed instead.";
    NameTaken = "name_taken", Some(Fault::PeerMisbehaved), "Another client of the same name is connected.";
    ProtocolError = "protocol_error", Some(Fault::PeerMisbehaved), "The peer broke the protocol.";
    NoAnswer = "no_answer", Some(Fault::PeerMisbehaved), "A request stayed without an answer until its deadline.";
    SlowPeer = "slow_peer", Some(Fault::PeerMisbehaved), "The peer does not take what is sent to it.";
    BoundExceeded = "bound_exceeded", Some(Fault::PeerMisbehaved), "The peer sent more than a bound allows.";
    Bug = "bug", Some(Fault::OurBug), "A task panicked, or a machine was used wrongly.";
}

/// Why a connection was closed, by us or by the other end.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct CloseWhy {
    /// The reason that metrics count.
    pub reason: CloseReason,
    /// The place of the cause; `None` for an orderly close.
    pub fault: Option<Fault>,
    /// One sentence for an operator.
    pub detail: String,
}

/// The number of connections that ended, by reason. It is shown, and decides nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CloseCounts(BTreeMap<CloseReason, u64>);

impl CloseCounts {
    /// One more connection ended.
    pub fn count(&mut self, reason: CloseReason) {
        *self.0.entry(reason).or_default() += 1;
    }

    /// The number of connections that ended for a reason.
    pub fn of(&self, reason: CloseReason) -> u64 {
        self.0.get(&reason).copied().unwrap_or(0)
    }

    /// Every reason for which one ended, in the order of [`CloseReason`].
    pub fn iter(&self) -> impl Iterator<Item = (CloseReason, u64)> {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }
}

impl CloseWhy {
    /// A close with the usual fault of its reason.
    pub fn new(reason: CloseReason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            fault: reason.fault(),
            detail: detail.into(),
        }
    }

    /// The same with another fault: one reason, such as a failed handshake, may have several.
    #[must_use]
    pub fn with_fault(self, fault: impl Into<Option<Fault>>) -> Self {
        Self {
            fault: fault.into(),
            ..self
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl fmt::Display for CloseWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            None => f.write_str(&self.detail),
            Some(fault) => write!(f, "{} ({fault})", self.detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_each_reason_is_its_text_in_json() {
        for reason in CloseReason::ALL {
            let json = serde_json::to_string(reason).expect("JSON");
            assert_eq!(json, format!("\"{reason}\""));
        }
    }
}
