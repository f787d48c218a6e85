//! The rows that we read, with exactly the columns that we ask for.
//!
//! A column is `None` where the row does not carry it: in an initial row that means its default, in a
//! modification that it did not change.

use std::net::Ipv4Addr;

use serde::Deserialize;

use super::notation::{Atom, Map, Set};
use crate::ids::{Mac, Uuid};
use crate::status::ServerModel;

/// A row of one of the `*_Macs_*` tables of unicast addresses.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct UcastRow {
    /// `MAC`, which is free text in the database.
    #[serde(rename = "MAC")]
    pub mac: Option<MacText>,
    /// The row's `Logical_Switch`.
    pub(crate) logical_switch: Option<Set<Uuid>>,
    /// The row's `Physical_Locator`.
    pub(crate) locator: Option<Set<Uuid>>,
}

/// A row of `Mcast_Macs_Local` or `Mcast_Macs_Remote`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct McastRow {
    /// `MAC`: an address, or `unknown-dst`.
    #[serde(rename = "MAC", default)]
    pub(crate) mac: MacText,
    /// The row's `Logical_Switch`.
    #[serde(default)]
    pub(crate) logical_switch: Set<Uuid>,
    /// The row's `Physical_Locator_Set`.
    #[serde(default)]
    pub(crate) locator_set: Set<Uuid>,
}

impl UcastRow {
    /// With the MAC in whatever spelling.
    pub(crate) fn spelled(mut self) -> Self {
        self.mac = self.mac.map(MacText::spelled);
        self
    }
}

impl McastRow {
    /// With the MAC in whatever spelling.
    pub(crate) fn spelled(mut self) -> Self {
        self.mac = self.mac.spelled();
        self
    }
}

/// A row of `Physical_Locator_Set`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct LocatorSetRow {
    /// The tunnel ends.
    #[serde(default)]
    pub(crate) locators: Set<Uuid>,
}

/// A row of `Physical_Locator`, without the `tunnel_key` that schema 1.5 added.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct LocatorRow {
    /// `vxlan_over_ipv4`, or what a later schema may add.
    #[serde(default)]
    pub(crate) encapsulation_type: String,
    /// An address; free text in the database.
    #[serde(default)]
    pub(crate) dst_ip: Address,
}

/// The columns that schema 1.5 added to `Physical_Locator`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct LocatorKeyRow {
    /// A key of its own, instead of the logical switch's.
    #[serde(default)]
    pub(crate) tunnel_key: Set<i64>,
}

/// A row of `Logical_Switch`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct LogicalSwitchRow {
    /// Its name: unique in the database.
    #[serde(default)]
    pub(crate) name: String,
    /// The VNI. Not unique in the database.
    #[serde(default)]
    pub(crate) tunnel_key: Set<i64>,
}

/// The column that schema 1.6 added to `Logical_Switch`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct ReplicationRow {
    /// `service_node` or `source_node`; unset means the former.
    #[serde(default)]
    pub(crate) replication_mode: Set<String>,
}

/// A row of `Physical_Switch`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct PhysicalSwitchRow {
    /// Its name: unique in the database.
    #[serde(default)]
    pub(crate) name: String,
    /// Its ports.
    #[serde(default)]
    pub(crate) ports: Set<Uuid>,
    /// Its own tunnel ends.
    #[serde(default)]
    pub(crate) tunnel_ips: Set<Address>,
}

/// A row of `Physical_Port`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PhysicalPortRow {
    /// Its name: unique within its switch.
    #[serde(default)]
    pub(crate) name: String,
    /// VLAN to `Logical_Switch`.
    #[serde(default)]
    pub(crate) vlan_bindings: Map<i64, Uuid>,
}

/// The faults in a row of `Physical_Switch` or of `Physical_Port`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct FaultRow {
    /// `Physical_Switch.switch_fault_status`.
    #[serde(default, rename = "switch_fault_status")]
    pub(crate) switch: Set<String>,
    /// `Physical_Port.port_fault_status`.
    #[serde(default, rename = "port_fault_status")]
    pub(crate) port: Set<String>,
}

/// A row of `_Server.Database`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct DatabaseRow {
    /// The name of the database.
    #[serde(default)]
    pub(crate) name: String,
    /// `standalone`, `clustered` or `relay`.
    #[serde(default)]
    pub(crate) model: String,
}

impl DatabaseRow {
    /// The kind of its server. A kind that this program does not know counts as standalone: the server checks the lock.
    pub(crate) fn server_model(&self) -> ServerModel {
        match self.model.as_str() {
            "clustered" => ServerModel::Clustered,
            "relay" => ServerModel::Relay,
            _ => ServerModel::Standalone,
        }
    }
}

/// A row of `Manager`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct ManagerRow {
    /// `ssl:192.0.2.1:6640` and the like: unique in the database.
    #[serde(default)]
    pub(crate) target: String,
    /// Milliseconds.
    #[serde(default)]
    pub(crate) max_backoff: Set<i64>,
    /// Milliseconds.
    #[serde(default)]
    pub(crate) inactivity_probe: Set<i64>,
}

/// The `MAC` column: free text, of which three kinds matter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MacText {
    /// An Ethernet address, and whether it is written as we write it (lower case).
    Mac {
        /// The address.
        mac: Mac,
        /// Written in lower case.
        canonical: bool,
    },
    /// `unknown-dst`: every destination that no other row names.
    UnknownDst,
    /// Something else.
    Other(Box<str>),
}

impl MacText {
    /// The keyword for the broadcast route.
    pub(crate) const UNKNOWN_DST: &str = "unknown-dst";

    /// Read as the switch's own text, in whatever spelling. What others write has to be as we write it.
    pub(crate) fn spelled(self) -> Self {
        let mac = match &self {
            Self::Other(text) => Mac::spelled(text),
            Self::Mac { .. } | Self::UnknownDst => None,
        };
        let canonical = false;
        mac.map_or(self, |mac| Self::Mac { mac, canonical })
    }

    /// Whether this is the broadcast route, in either of the two ways that it is written.
    pub(crate) fn is_broadcast(&self) -> bool {
        match self {
            Self::UnknownDst => true,
            Self::Mac { mac, .. } => *mac == Mac::BROADCAST,
            Self::Other(_) => false,
        }
    }
}

impl Default for MacText {
    fn default() -> Self {
        Self::Other("".into())
    }
}

impl std::str::FromStr for MacText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == Self::UNKNOWN_DST {
            return Ok(Self::UnknownDst);
        }
        Ok(match text.parse() {
            Ok(mac) => Self::Mac {
                mac,
                canonical: !text.bytes().any(|byte| byte.is_ascii_uppercase()),
            },
            Err(_) => Self::Other(text.into()),
        })
    }
}

impl<'de> Deserialize<'de> for MacText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::ids::from_text(deserializer)
    }
}

/// An IPv4 address in a column of free text; `None` where the text is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Address(pub(crate) Option<Ipv4Addr>);

impl Atom for Address {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl std::str::FromStr for Address {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.parse().ok()))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::ids::from_text(deserializer)
    }
}
