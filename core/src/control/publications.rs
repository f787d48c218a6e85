//! A publication of a client comes in two halves: the route, then the instance that it belongs to. This pairs them, and checks
//! the route.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bounds::{SECURITY_GROUPS, TAGS};
use crate::evpn::{Key, Path};
use crate::ids::Mac;

/// Why something that a client sent was refused.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// A publication has exactly one next hop.
    NextHops,
    /// A next hop has an address.
    UnspecifiedNextHop,
    /// Its MAC is zero, as in routes to IP prefixes, which are not supported.
    NoMac,
    /// The client has as many routes as it may have.
    Routes,
    /// As many as there may be wait for the configuration of their instance.
    DeferredRoutes,
    /// It has more security groups or tags than a route may have.
    Lists,
    /// The client has as many broadcast routes at this tunnel end as it may have.
    Broadcasts,
    /// The collection is about another route than the publication before it, or has none before it.
    Unpaired,
    /// The inventory does not give this tunnel end to the client.
    ForeignNextHop,
    /// It breaks a rule of its own kind of route.
    Unreadable,
    /// It asked for configuration a second time, or for that of another client.
    Configuration,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NextHops => "a publication must have exactly one next hop",
            Self::UnspecifiedNextHop => "the next hop has no address",
            Self::NoMac => "routes to IP prefixes are not supported",
            Self::Routes => "the client has too many routes",
            Self::DeferredRoutes => "too many routes wait for the configuration of this instance",
            Self::Lists => "it has too many security groups or tags",
            Self::Broadcasts => "the client has too many broadcast routes at this tunnel end",
            Self::ForeignNextHop => "the inventory does not give this tunnel end to the client",
            Self::Unpaired => "publication and collection do not belong together",
            Self::Unreadable => "it cannot be read",
            Self::Configuration => "a client may subscribe to its own configuration only, and only once",
        })
    }
}

/// The first half of a client's publication, until the second half arrives.
#[derive(Clone, Debug, Default)]
pub(super) struct Publications {
    parked: Option<Parked>,
}

/// The node that the collection must name, and the route.
type Parked = (Box<str>, Box<(Key, Path)>);

impl Publications {
    /// The first half. Answers the node of an earlier one whose second half never came: it is dropped.
    pub(super) fn park(&mut self, node: Box<str>, route: Box<(Key, Path)>) -> Option<Box<str>> {
        self.parked.replace((node, route)).map(|(node, _)| node)
    }

    /// The second half. Answers the route, if the first half named the same node. Otherwise both are dropped.
    pub(super) fn pair(&mut self, node: &str) -> Option<(Key, Path)> {
        let (parked, route) = self.parked.take()?;
        (*parked == *node).then_some(*route)
    }
}

/// Whether a route may be published.
pub(super) fn check(key: Key, path: &Path) -> Result<(), Refusal> {
    let tags = path.next_hops.iter().map(|hop| hop.tags.len()).max();
    match path.next_hops.as_slice() {
        _ if key.mac == Mac([0; 6]) => Err(Refusal::NoMac),
        _ if path.security_groups.len() > SECURITY_GROUPS || tags > Some(TAGS) => Err(Refusal::Lists),
        [hop] if hop.address.is_unspecified() => Err(Refusal::UnspecifiedNextHop),
        [_] => Ok(()),
        _ => Err(Refusal::NextHops),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::evpn::NextHop;
    use crate::ids::Vni;

    fn key(last: u8) -> Key {
        Key::of_mac(vni(), Mac([2, 0, 0, 0, 0, last]))
    }

    fn vni() -> Vni {
        Vni::new(101).expect("a VNI")
    }

    fn path(hops: &[Ipv4Addr]) -> Path {
        Path {
            next_hops: hops.iter().map(|hop| NextHop::vxlan(*hop, vni())).collect(),
            ..Path::default()
        }
    }

    #[test]
    fn a_publication_counts_when_its_collection_names_the_same_node() {
        let mut publications = Publications::default();
        let route = |last| Box::new((key(last), Path::default()));
        assert_eq!(publications.park("a".into(), route(1)), None);
        assert_eq!(publications.pair("a").map(|(key, _)| key), Some(key(1)));
        assert_eq!(publications.pair("a"), None, "it is used up");
        publications.park("a".into(), route(1));
        assert_eq!(publications.park("b".into(), route(2)).as_deref(), Some("a"));
        assert_eq!(publications.pair("a"), None);
        assert_eq!(publications.pair("b"), None, "the wrong collection dropped it");
    }

    #[test]
    fn a_route_has_a_mac_and_one_next_hop_with_an_address() {
        let hop = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(check(key(1), &path(&[hop])), Ok(()));
        assert_eq!(check(key(1), &path(&[])), Err(Refusal::NextHops));
        assert_eq!(check(key(1), &path(&[hop, hop])), Err(Refusal::NextHops));
        assert_eq!(
            check(key(1), &path(&[Ipv4Addr::UNSPECIFIED])),
            Err(Refusal::UnspecifiedNextHop)
        );
        assert_eq!(
            check(Key::of_mac(vni(), Mac([0; 6])), &path(&[hop])),
            Err(Refusal::NoMac)
        );
    }
}
