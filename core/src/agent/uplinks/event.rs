//! Events between an agent and its control nodes, for logs and checks.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::bounds::GRAPH_BYTES;
use crate::close::{CloseReason, CloseWhy};
use crate::event::{Level, LogEvent};
use crate::ids::{Mac, Uuid};
use crate::log_words;
use crate::text::short;

/// An event between this agent and its control nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum What {
    /// A session with a control node is open.
    UplinkUp {
        /// The address of the control node.
        address: SocketAddr,
        /// The name that it gave.
        name: String,
    },
    /// A session or a dial ended.
    UplinkDown {
        /// The address of the control node.
        address: SocketAddr,
        /// Why it ended.
        why: CloseWhy,
    },
    /// The configuration comes from this control node from now on.
    ConfiguredBy {
        /// The name that the control node gave.
        name: String,
    },
    /// A control node's configuration is older than the one in force.
    RevisionOutdated {
        /// The name that the control node gave.
        name: String,
        /// The revision that it sent.
        revision: u64,
        /// The revision in force.
        in_force: u64,
    },
    /// A control node's configuration differs from the one that is, or was until then, in force, under the same revision.
    Contradicted {
        /// The name that the control node gave.
        name: String,
        /// The revision of both configurations.
        revision: u64,
    },
    /// A control node sends more configuration than an agent accepts. It is ignored, what is in force stays in force, and
    /// routes are exchanged as before.
    ConfigurationTooLarge {
        /// The name that the control node gave.
        name: String,
    },
    /// No control node was reached since the start: the remembered configuration is in force.
    Recalled {
        /// Its revision, if one came with it.
        revision: Option<u64>,
    },
    /// Something in the configuration cannot be read; the rest is in force.
    Unreadable {
        /// The fault, for people; the text comes from the control node.
        what: String,
    },
    /// A route arrived as the best path of a MAC.
    Imported {
        /// The UUID of the network.
        network: Uuid,
        /// The Ethernet address.
        mac: Mac,
        /// The tunnel end; `None` if the MAC has no path any more.
        vtep: Option<Ipv4Addr>,
    },
    /// A route cannot be used.
    Unusable {
        /// The UUID of the network.
        network: Uuid,
        /// The Ethernet address.
        mac: Mac,
        /// Why not, for a person.
        why: String,
    },
}

impl LogEvent for What {
    log_words!(
        UplinkUp,
        UplinkDown,
        ConfiguredBy,
        RevisionOutdated,
        Contradicted,
        ConfigurationTooLarge,
        Recalled,
        Unreadable,
        Imported,
        Unusable
    );

    fn level(&self) -> Level {
        match self {
            Self::Imported { .. } => Level::Debug,
            Self::UplinkUp { .. } | Self::ConfiguredBy { .. } => Level::Info,
            Self::RevisionOutdated { .. }
            | Self::Contradicted { .. }
            | Self::ConfigurationTooLarge { .. }
            | Self::Recalled { .. }
            | Self::Unreadable { .. }
            | Self::Unusable { .. } => Level::Warn,
            Self::UplinkDown { why, .. } => Level::of_close(why),
        }
    }

    fn close_reason(&self) -> Option<CloseReason> {
        if let Self::UplinkDown { why, .. } = self {
            Some(why.reason)
        } else {
            None
        }
    }
}

impl fmt::Display for What {
    /// The text after the word in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UplinkUp { address, name } => write!(f, "{} at {address}", short(name)),
            Self::UplinkDown { address, why } => write!(f, "{address}: {why}"),
            Self::ConfiguredBy { name } => write!(f, "the configuration comes from {}", short(name)),
            Self::RevisionOutdated {
                name,
                revision,
                in_force,
            } => write!(
                f,
                "{}: revision {revision} ignored: revision {in_force} is in force",
                short(name)
            ),
            Self::Contradicted { name, revision } => {
                write!(
                    f,
                    "{} serves a different configuration under the same revision {revision}",
                    short(name)
                )
            }
            Self::ConfigurationTooLarge { name } => write!(
                f,
                "{} sends more than {} MiB of configuration, which is ignored; what is in force stays in force",
                short(name),
                GRAPH_BYTES >> 20
            ),
            Self::Recalled { revision } => {
                let revision = revision.map(|it| format!(", revision {it},")).unwrap_or_default();
                write!(
                    f,
                    "no control node was reached: the remembered configuration{revision} is in force, and deletes nothing"
                )
            }
            Self::Unreadable { what } => f.write_str(&short(what)),
            Self::Imported {
                network,
                mac,
                vtep: Some(vtep),
            } => write!(f, "{mac} at {vtep} in {network}"),
            Self::Imported {
                network,
                mac,
                vtep: None,
            } => write!(f, "{mac} has no path in {network}"),
            Self::Unusable { network, mac, why } => write!(f, "{mac} in {network}: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_control_node_cannot_write_a_line_of_our_log() {
        let name = "ctrl\nERROR all is lost".to_owned();
        let address = (Ipv4Addr::LOCALHOST, 5269).into();
        let events = [
            What::UplinkUp {
                address,
                name: name.clone(),
            },
            What::ConfiguredBy { name: name.clone() },
            What::Contradicted {
                name: name.clone(),
                revision: 1,
            },
            What::ConfigurationTooLarge { name: name.clone() },
            What::Unreadable { what: name },
        ];
        for event in events {
            assert_eq!(event.to_string().lines().count(), 1, "{event}");
        }
    }
}
