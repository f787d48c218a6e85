//! EVPN routes as control nodes and agents know them: keys, paths and next hops.
//!
//! RFC 7432 calls them MAC/IP advertisement (type 2) and inclusive multicast (type 3) routes. On XMPP both are
//! entries of the family 25/242; the MAC `ff:ff:ff:ff:ff:ff` makes an entry the broadcast route of its sender.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bounds::ROUTES_PER_CONTROL_NODE;
use crate::ids::{Mac, ParseError, Vni};

/// The local preference of a route that is known at first hand.
pub const PREFERENCE: u32 = 100;

/// The local preference of a copy that is held over a failover.
pub(crate) const STALE_PREFERENCE: u32 = 1;

/// The name of a routing instance, such as `default-domain:demo:vn1:vn1`: a network's table at the control node.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceName(Box<str>);

impl InstanceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Box<str>>> From<T> for InstanceName {
    fn from(name: T) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of a route within an instance, written `101-00:11:22:33:44:55,0.0.0.0/32`: that text is the
/// `id` of items and retracts, and part of the protocol. Without its tag it names a node of a publication.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key {
    /// The VNI; 0 for routes of other encapsulations, and then it is not written.
    pub ethernet_tag: u32,
    /// The MAC that the route leads to; [`Mac::BROADCAST`] for the broadcast route.
    pub mac: Mac,
    /// Of the host; unspecified if it is not known. For the broadcast MAC, the sender's tunnel end, or unspecified.
    pub address: IpAddr,
}

impl Key {
    /// The key of a MAC behind VXLAN, whose host address is not known.
    pub fn of_mac(vni: Vni, mac: Mac) -> Self {
        Self {
            ethernet_tag: vni.into(),
            mac,
            address: Ipv4Addr::UNSPECIFIED.into(),
        }
    }

    /// The key of a switch's own broadcast route.
    pub fn of_broadcast(vni: Vni, vtep: Ipv4Addr) -> Self {
        Self {
            ethernet_tag: vni.into(),
            mac: Mac::BROADCAST,
            address: vtep.into(),
        }
    }

    /// The node of a publication: `25/242/00:11:22:33:44:55,0.0.0.0/32`.
    pub fn node(&self) -> Box<str> {
        let untagged = Self {
            ethernet_tag: 0,
            ..*self
        };
        format!("{FAMILY}{untagged}").into()
    }
}

/// The prefix of the node of an EVPN route: its address family and subsequent address family on XMPP.
pub(crate) const FAMILY: &str = "25/242/";

/// The address of a host as a prefix of full length. A prefix of no length is an address that is not known.
pub(crate) fn host_address(prefix: &str) -> Option<IpAddr> {
    let (address, bits) = prefix.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { "32" } else { "128" };
    Some(address).filter(|address| bits == whole || (bits == "0" && address.is_unspecified()))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ethernet_tag != 0 {
            write!(f, "{}-", self.ethernet_tag)?;
        }
        let bits = if self.address.is_ipv4() { 32 } else { 128 };
        write!(f, "{},{}/{bits}", self.mac, self.address)
    }
}

impl FromStr for Key {
    type Err = ParseError;

    /// Takes what [`Display`](fmt::Display) writes, with whatever newer peers append after another comma. A prefix of
    /// no length is an address that is not known.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError::new(text, "a route's id such as 101-00:11:22:33:44:55,0.0.0.0/32");
        let (tag, rest) = text.split_once('-').unwrap_or(("0", text));
        let (mac, rest) = rest.split_once(',').ok_or_else(error)?;
        let prefix = rest.split_once(',').map_or(rest, |(prefix, _)| prefix);
        Ok(Self {
            ethernet_tag: tag.parse().map_err(|_| error())?,
            mac: mac.parse().map_err(|_| error())?,
            address: host_address(prefix).ok_or_else(error)?,
        })
    }
}

crate::ids::serde_as_text!(Key);

/// A path of a route: where it leads, and what decides whether it is the best. As published, and as sent on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Path {
    /// A next hop; a publication has exactly one. Of several paths that are equally good, all are sent on.
    pub next_hops: Vec<NextHop>,
    /// For the broadcast MAC: the members that receive a copy.
    pub olist: Vec<NextHop>,
    /// For the broadcast MAC, and a replicator: the leaves that named it.
    pub leaf_olist: Vec<NextHop>,
    /// The virtual network that it comes from, such as `default-domain:demo:vn1`; agents leave it empty.
    pub virtual_network: String,
    /// MAC mobility (RFC 7432, section 15): the higher is the later.
    pub sequence: u32,
    /// The MAC does not move, whatever other routes claim.
    pub sticky: bool,
    /// Numbers of the security groups of the port; passed on as they are.
    pub security_groups: Vec<u32>,
    /// 0 means that none was given, and counts as [`PREFERENCE`].
    pub local_preference: u32,
    /// 0 means: derive it from the local preference.
    pub med: u32,
    /// The sender is no part of a multicast tree, and wants a copy of its own.
    pub edge_replication_not_supported: bool,
    /// The sender replicates for others: a services node.
    pub assisted_replication_supported: bool,
    /// The node that replicates for the sender: its services node.
    pub replicator: Option<Ipv4Addr>,
    /// The MAC is a leaf of an E-Tree (RFC 8317).
    pub etree_leaf: bool,
}

/// A next hop.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct NextHop {
    /// The tunnel end.
    pub address: Ipv4Addr,
    /// The VNI behind VXLAN; else an MPLS label.
    pub label: u32,
    /// The encapsulations that reach it.
    pub encapsulations: Encapsulations,
    /// Numbers of the tags of the port; passed on as they are.
    pub tags: Vec<u32>,
}

impl NextHop {
    /// Through VXLAN.
    pub fn vxlan(address: Ipv4Addr, vni: Vni) -> Self {
        Self {
            address,
            label: vni.into(),
            encapsulations: Encapsulations {
                vxlan: true,
                ..Encapsulations::default()
            },
            tags: Vec::new(),
        }
    }
}

/// The tunnels that a next hop takes.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Encapsulations {
    /// MPLS over GRE.
    pub gre: bool,
    /// MPLS over UDP (RFC 7510).
    pub udp: bool,
    /// VXLAN (RFC 7348).
    pub vxlan: bool,
    /// One was named that is none of these.
    pub unknown: bool,
}

/// Why an agent cannot import a route.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Unusable {
    /// A switch reaches nothing but VXLAN tunnel ends with a unicast address.
    #[error("it has no VXLAN next hop with a unicast address")]
    NoVxlan,
    /// A group's MAC is no host.
    #[error("its MAC is a group's, not a host's")]
    Group,
    /// The agent keeps no more routes of this control node.
    #[error("its control node has sent {ROUTES_PER_CONTROL_NODE} others")]
    TooMany,
    /// No switch of the agent takes part in the network.
    #[error("its network is not subscribed")]
    NotAsked,
}

impl Unusable {
    /// The same in one word, for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoVxlan => "no_vxlan",
            Self::Group => "group",
            Self::TooMany => "too_many",
            Self::NotAsked => "not_asked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_what_it_writes_and_what_newer_peers_append() {
        let written = "101-00:11:22:33:44:55,0.0.0.0/32";
        let key: Key = written.parse().expect("a key");
        assert_eq!(
            key,
            Key::of_mac(Vni::new(101).expect("a VNI"), Mac([0, 0x11, 0x22, 0x33, 0x44, 0x55]))
        );
        assert_eq!(key.to_string(), written);
        assert_eq!(format!("{written},0.0.0.0,0.0.0.0").parse(), Ok(key));
        let untagged: Key = "ff:ff:ff:ff:ff:ff,10.0.0.1/32".parse().expect("a key");
        assert_eq!(
            (untagged.ethernet_tag, untagged.to_string().as_str()),
            (0, "ff:ff:ff:ff:ff:ff,10.0.0.1/32")
        );
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        for bad in [
            "",
            "101-",
            "x-00:11:22:33:44:55,0.0.0.0/32",
            "00:11:22:33:44:55",
            "00:11:22:33:44:55,0.0.0.0/24",
        ] {
            assert!(bad.parse::<Key>().is_err(), "{bad}");
        }
    }
}
