//! What happens between an agent and its control nodes.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::event::Level;
use crate::ids::{Mac, Uuid};
use crate::machine::{CloseWhy, Fault};

/// What happened between this agent and its control nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum What {
    /// A session with a control node is open.
    UplinkUp { address: SocketAddr, name: String },
    /// A session or a dial ended.
    UplinkDown { address: SocketAddr, why: CloseWhy },
    /// From now on this control node says what is wanted.
    ConfiguredBy { name: String },
    /// A control node's configuration is older than the one in force.
    Outdated { revision: u64, in_force: u64 },
    /// What a control node tells differs from what is in force, and has the same revision.
    Contradicted { revision: u64 },
    /// Something in the configuration cannot be read; the rest is in force.
    Unreadable { what: String },
    /// A route arrived as the best path of a MAC.
    Imported {
        network: Uuid,
        mac: Mac,
        vtep: Option<Ipv4Addr>,
    },
    /// A route cannot be used.
    Unusable { network: Uuid, mac: Mac, why: String },
}

impl What {
    /// The word that stands in the log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::UplinkUp { .. } => "UplinkUp",
            Self::UplinkDown { .. } => "UplinkDown",
            Self::ConfiguredBy { .. } => "ConfiguredBy",
            Self::Outdated { .. } => "Outdated",
            Self::Contradicted { .. } => "Contradicted",
            Self::Unreadable { .. } => "Unreadable",
            Self::Imported { .. } => "Imported",
            Self::Unusable { .. } => "Unusable",
        }
    }

    /// How loud it is.
    pub fn level(&self) -> Level {
        match self {
            Self::Imported { .. } => Level::Debug,
            Self::UplinkUp { .. } | Self::ConfiguredBy { .. } => Level::Info,
            Self::Outdated { .. } | Self::Contradicted { .. } | Self::Unreadable { .. } | Self::Unusable { .. } => {
                Level::Warn
            }
            Self::UplinkDown { why, .. } => match why.fault {
                Some(Fault::OurBug) => Level::Error,
                Some(_) => Level::Warn,
                None => Level::Info,
            },
        }
    }
}

impl fmt::Display for What {
    /// What follows the word in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UplinkUp { address, name } => write!(f, "{name} at {address}"),
            Self::UplinkDown { address, why } => write!(f, "{address}: {why}"),
            Self::ConfiguredBy { name } => write!(f, "{name} says what is wanted"),
            Self::Outdated { revision, in_force } => {
                write!(f, "revision {revision} is told, and {in_force} is in force")
            }
            Self::Contradicted { revision } => write!(f, "revision {revision} was told before, and was not the same"),
            Self::Unreadable { what } => f.write_str(what),
            Self::Imported {
                network,
                mac,
                vtep: Some(vtep),
            } => write!(f, "{mac} at {vtep} in {network}"),
            Self::Imported {
                network,
                mac,
                vtep: None,
            } => write!(f, "{mac} nowhere in {network}"),
            Self::Unusable { network, mac, why } => write!(f, "{mac} in {network}: {why}"),
        }
    }
}
