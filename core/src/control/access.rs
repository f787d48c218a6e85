//! Who may open a session, and which tunnel ends each client may publish.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::client_name::ClientName;
use crate::evpn::{Key, Path};
use crate::identity::{IdentityRule, Pattern};

/// What an inventory says of clients, besides those that its switches name.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// Clients by name; every entry that matches a client counts.
    pub listed: Vec<ListedClient>,
    /// Clients that neither a switch nor the list names.
    pub unknown: UnknownClients,
}

/// An entry of the list of clients.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ListedClient {
    /// The names of the clients.
    pub name: Pattern,
    /// The certificates that they may present; none means those that contain the name of the client.
    pub certificates: Vec<IdentityRule>,
    /// The tunnel ends that they may publish; none means the address that the client connects from.
    pub next_hops: Vec<Prefix>,
}

/// Whether clients that neither a switch nor the list names may open a session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownClients {
    /// They are refused.
    #[default]
    Refuse,
    /// They may, and publish the address that they connect from.
    Accept,
}

impl Access {
    /// The entries for a client.
    pub(super) fn of(&self, client: &ClientName) -> impl Iterator<Item = &ListedClient> {
        let listed = self.listed.iter();
        listed.filter(|listed| listed.name.matches(client.as_str()))
    }
}

/// What an inventory gives to one client.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Grant {
    /// The certificates that it may present; none means those that contain its name.
    pub(super) certificates: Vec<IdentityRule>,
    pub(super) next_hops: NextHops,
}

/// The tunnel ends that a client may publish.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct NextHops {
    addresses: BTreeSet<Ipv4Addr>,
    prefixes: Vec<Prefix>,
}

impl NextHops {
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.prefixes.is_empty()
    }

    pub(super) fn add(&mut self, address: Ipv4Addr) {
        self.addresses.insert(address);
    }

    pub(super) fn add_own(&mut self, address: IpAddr) {
        if let IpAddr::V4(address) = address.to_canonical() {
            self.add(address);
        }
    }

    pub(super) fn add_prefixes(&mut self, prefixes: &[Prefix]) {
        self.prefixes.extend_from_slice(prefixes);
    }

    /// The first tunnel end of a publication that is not the client's.
    pub(super) fn foreign(&self, key: &Key, path: &Path) -> Option<Ipv4Addr> {
        // The broadcast route of a switch names its tunnel end in the key, too.
        let named = match key.address {
            IpAddr::V4(address) if key.mac.is_broadcast() && !address.is_unspecified() => Some(address),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        };
        let mut ends = path.next_hops.iter().map(|hop| hop.address).chain(named);
        ends.find(|end| !self.contains(*end))
    }

    fn contains(&self, address: Ipv4Addr) -> bool {
        self.addresses.contains(&address) || self.prefixes.iter().any(|prefix| prefix.contains(address))
    }
}

/// IPv4 addresses with the same first bits, such as `10.0.0.0/16`; an address alone is a prefix of 32 bits.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Prefix {
    address: Ipv4Addr,
    bits: u32,
}

impl Prefix {
    /// Whether an address begins with these bits.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        let differs = self.address.to_bits() ^ address.to_bits();
        differs.leading_zeros() >= self.bits
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_| PrefixError)?;
        let bits = bits.parse().ok().filter(|bits| *bits <= 32).ok_or(PrefixError)?;
        let host_bits = u32::MAX.checked_shr(bits).unwrap_or(0);
        match address.to_bits() & host_bits {
            0 => Ok(Self { address, bits }),
            _ => Err(PrefixError),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits {
            32 => write!(f, "{}", self.address),
            bits => write!(f, "{}/{bits}", self.address),
        }
    }
}

crate::ids::serde_as_text!(Prefix);

/// The text is no prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("it must be an IPv4 address, or a prefix such as `10.0.0.0/16` without bits behind its length")]
pub struct PrefixError;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evpn::NextHop;
    use crate::ids::{Mac, Vni};

    #[test]
    fn a_prefix_contains_the_addresses_that_begin_with_it() {
        let cases = [
            ("10.0.0.0/16", "10.0.255.1", true),
            ("10.0.0.0/16", "10.1.0.1", false),
            ("10.0.1.1", "10.0.1.1", true),
            ("10.0.1.1", "10.0.1.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
        ];
        for (prefix, address, contained) in cases {
            let parsed: Prefix = prefix.parse().expect("a prefix");
            let address = address.parse().expect("an address");
            assert_eq!(parsed.contains(address), contained, "{prefix} {address}");
            assert_eq!(parsed.to_string(), prefix);
        }
        for bad in ["10.0.1.0/16", "10.0.0.0/33", "10.0.0.0/", "10.0.0", "::1"] {
            assert_eq!(bad.parse::<Prefix>(), Err(PrefixError), "{bad}");
        }
    }

    #[test]
    fn a_tunnel_end_is_foreign_in_the_next_hop_and_in_the_key_of_a_broadcast_route() {
        let vni = Vni::new(101).expect("a VNI");
        let [own, other] = [1, 2].map(|last| Ipv4Addr::new(192, 0, 2, last));
        let mut given = NextHops::default();
        given.add(own);
        let path = |address| Path {
            next_hops: vec![NextHop::vxlan(address, vni)],
            ..Path::default()
        };
        let mac = Key::of_mac(vni, Mac([2; 6]));
        assert_eq!(given.foreign(&mac, &path(own)), None);
        assert_eq!(given.foreign(&mac, &path(other)), Some(other));
        let broadcast = |end| Key::of_broadcast(vni, end);
        assert_eq!(given.foreign(&broadcast(own), &path(own)), None);
        assert_eq!(given.foreign(&broadcast(Ipv4Addr::UNSPECIFIED), &path(own)), None);
        assert_eq!(given.foreign(&broadcast(other), &path(own)), Some(other));
    }
}
