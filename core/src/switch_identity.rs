//! The identity of a switch: which database a session is connected to.
//!
//! A name is what an operator typed. Two switches may have the same one: a clone, or a box that kept its old name. Their
//! databases differ, and so do the rows of `Physical_Switch` in them.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::ids::Uuid;
use crate::machine::Fingerprint;
use crate::text::addresses;

/// The row of a switch in `Physical_Switch`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct SwitchRow {
    /// Its UUID, which each database chooses at random.
    pub row: Uuid,
    /// Its own tunnel ends.
    pub tunnel_ips: Vec<Ipv4Addr>,
}

/// A switch as one session sees it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SwitchIdentity {
    /// Its row.
    #[serde(flatten)]
    pub row: SwitchRow,
    /// The address of the switch.
    pub from: SocketAddr,
    /// The fingerprint of its certificate; `None` without TLS.
    pub certificate: Option<Fingerprint>,
}

impl SwitchRow {
    /// Whether the switch has the tunnel end that is configured for it.
    pub fn has(&self, vtep: Option<Ipv4Addr>) -> bool {
        vtep.is_some_and(|vtep| self.tunnel_ips.contains(&vtep))
    }
}

impl SwitchIdentity {
    /// Whether this may be another switch than that: its row is another one or, if its database is a copy, its certificate,
    /// or each of its tunnel ends. A switch may have a new certificate, too.
    pub fn may_differ(&self, other: &Self) -> bool {
        let certificates = self.certificate.zip(other.certificate);
        let ends = (&self.row.tunnel_ips, &other.row.tunnel_ips);
        let moved = !ends.0.is_empty() && !ends.1.is_empty() && !ends.0.iter().any(|end| ends.1.contains(end));
        self.row.row != other.row.row || certificates.is_some_and(|(one, other)| one != other) || moved
    }
}

impl fmt::Display for SwitchIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (tunnel_ips {}, ", self.from, addresses(&self.row.tunnel_ips))?;
        match &self.certificate {
            Some(fingerprint) => write!(f, "certificate {fingerprint})"),
            None => f.write_str("no certificate)"),
        }
    }
}
