//! The events that an object waits on before it can be written.

use std::fmt;
use std::net::Ipv4Addr;

use crate::ids::{Uuid, Vni};
use crate::ovsdb::limits::{Limit, Limited};
use crate::time::Time;

/// An event that an object waits on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::session) enum Wait {
    /// Another transaction is creating the locator of this tunnel end.
    Locator(Ipv4Addr),
    /// Another logical switch, by its row, has the VNI.
    Vni { tunnel_key: i64, holder: Uuid },
    /// A transaction on the wire gives the VNI to another logical switch.
    VniInFlight(Vni),
    /// The table is at its limit.
    Full { table: Limited, limit: Limit },
    /// Nothing is deleted before everything that could desire it is known.
    Incomplete,
    /// Too many deletions at once: an operator has to confirm them.
    Withheld,
    /// Ports are still bound to the logical switch.
    Bound,
    /// The switch has until then to take back the MACs that it learned in the logical switch.
    LocalMacs { until: Time },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locator(vtep) => write!(f, "another transaction is creating the locator of {vtep}"),
            Self::Vni { tunnel_key, holder } => {
                write!(f, "VNI {tunnel_key} is still in use by logical switch {holder}")
            }
            Self::VniInFlight(vni) => write!(f, "another transaction is giving VNI {vni} to a logical switch"),
            Self::Full { table, limit } => write!(f, "{} is at {limit}", table.name()),
            Self::Incomplete => f.write_str("not deleted before configuration and routes are complete"),
            Self::Withheld => f.write_str("too many deletions at once: withheld until `tandem confirm`"),
            Self::Bound => f.write_str("ports are still bound to it"),
            Self::LocalMacs { .. } => f.write_str("the switch has not yet taken back the MACs that it learned"),
        }
    }
}
