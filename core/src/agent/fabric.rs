//! The fabric table: every path that control nodes told, and the best of each MAC.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::bounds::ROUTES_PER_CONTROL_NODE;
use crate::evpn::{self, Key, Path};
use crate::ids::{Mac, Uuid};

/// Which of the agent's control nodes told it.
pub type Source = usize;

/// What we presume to be told.
const OURSELVES: Source = Source::MAX;

/// What an agent needs to know of a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Heard {
    /// The tunnel end.
    pub vtep: Ipv4Addr,
    pub preference: u32,
    pub sticky: bool,
    pub sequence: u32,
}

/// Where every MAC of every network is said to be.
#[derive(Clone, Debug, Default)]
pub struct Fabric {
    macs: BTreeMap<(Uuid, Mac), BTreeMap<(Source, Key), Told>>,
    /// How many of these paths each control node told.
    told: BTreeMap<Source, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    heard: Heard,
    /// The session in which it was told is over, and no later one has told it again.
    stale: bool,
}

/// What cannot be imported.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Unusable {
    /// A switch reaches nothing but VXLAN tunnel ends, each of which is one machine.
    #[error("it has no VXLAN next hop that is one machine")]
    NoVxlan,
    /// No host is there.
    #[error("its MAC is a group's, not a host's")]
    Group,
    /// There is an end to what is kept.
    #[error("its control node has told {ROUTES_PER_CONTROL_NODE} others")]
    TooMany,
    /// We take no part in its network.
    #[error("its network was not asked for")]
    NotAsked,
}

impl Unusable {
    /// The same in one word.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoVxlan => "no_vxlan",
            Self::Group => "group",
            Self::TooMany => "too_many",
            Self::NotAsked => "not_asked",
        }
    }
}

impl Heard {
    /// What matters of a path. Of several next hops that are equally good, the lowest is taken, by every agent.
    pub fn of(mac: Mac, path: &Path) -> Result<Self, Unusable> {
        if mac.is_multicast() {
            return Err(Unusable::Group);
        }
        let vxlan = path.next_hops.iter().filter(|next_hop| next_hop.encapsulations.vxlan);
        let vteps = vxlan.map(|next_hop| next_hop.address);
        let machines = vteps.filter(|vtep| !vtep.is_multicast() && !vtep.is_broadcast());
        let vtep = machines.min().ok_or(Unusable::NoVxlan)?;
        let preference = match path.local_preference {
            0 => evpn::PREFERENCE,
            given => given,
        };
        Ok(Self {
            vtep,
            preference,
            sticky: path.sticky,
            sequence: path.sequence,
        })
    }

    /// The higher, the better: a control node's order, as far as two of them can tell different things.
    fn rank(&self) -> (u32, bool, u32, Reverse<Ipv4Addr>) {
        (self.preference, self.sticky, self.sequence, Reverse(self.vtep))
    }
}

impl Fabric {
    /// A control node tells a path; it replaces what it told of the same key before.
    pub fn learn(&mut self, source: Source, network: Uuid, key: Key, heard: Heard) -> Result<(), Unusable> {
        let told = Told { heard, stale: false };
        let count = self.told.entry(source).or_default();
        let paths = self.macs.get_mut(&(network, key.mac));
        if let Some(before) = paths.and_then(|paths| paths.get_mut(&(source, key))) {
            *before = told;
        } else if *count < ROUTES_PER_CONTROL_NODE {
            *count += 1;
            let paths = self.macs.entry((network, key.mac)).or_default();
            paths.insert((source, key), told);
        } else {
            return Err(Unusable::TooMany);
        }
        Ok(())
    }

    /// A control node takes a path back.
    pub fn unlearn(&mut self, source: Source, network: Uuid, key: Key) {
        self.retain(network, key.mac, |path, _| *path != (source, key));
    }

    /// The session with a control node is over: what it told may be told again.
    pub fn distrust(&mut self, source: Source) {
        let told = self.macs.values_mut().flatten();
        for (_, told) in told.filter(|((from, _), _)| *from == source) {
            told.stale = true;
        }
    }

    /// The MACs of a network of which something is known only from sessions that are over.
    pub fn stale_macs(&self, network: Uuid) -> Vec<Mac> {
        let macs = self.macs.range((network, Mac([0; 6]))..=(network, Mac::BROADCAST));
        let stale = macs.filter(|(_, paths)| paths.values().any(|told| told.stale));
        stale.map(|((_, mac), _)| *mac).collect()
    }

    /// Everything that is known about a MAC now was told: what is stale goes.
    pub fn sweep(&mut self, network: Uuid, mac: Mac) {
        self.retain(network, mac, |_, told| !told.stale);
    }

    /// What we say of a MAC ourselves will be told to us again. Until then that is what is known, and nothing that is stale.
    pub fn presume(&mut self, network: Uuid, key: Key, heard: Heard) {
        self.sweep(network, key.mac);
        let told = Told { heard, stale: true };
        let paths = self.macs.entry((network, key.mac)).or_default();
        if paths.insert((OURSELVES, key), told).is_none() {
            *self.told.entry(OURSELVES).or_default() += 1;
        }
    }

    fn retain(&mut self, network: Uuid, mac: Mac, stays: impl Fn(&(Source, Key), &Told) -> bool) {
        let Some(paths) = self.macs.get_mut(&(network, mac)) else {
            return;
        };
        paths.retain(|path, told| {
            let stays = stays(path, told);
            if !stays && let Some(count) = self.told.get_mut(&path.0) {
                *count -= 1;
            }
            stays
        });
        if paths.is_empty() {
            self.macs.remove(&(network, mac));
        }
    }

    /// Nobody has anything to do with this network any more. Answers whose MACs were known.
    pub fn forget(&mut self, network: Uuid) -> BTreeSet<Mac> {
        let known: BTreeSet<Mac> = self.macs_of(network).collect();
        for mac in &known {
            self.retain(network, *mac, |_, _| false);
        }
        known
    }

    /// The best path of a MAC, whoever told it.
    pub fn best(&self, network: Uuid, mac: Mac) -> Option<Heard> {
        self.paths(network, mac).max_by_key(Heard::rank)
    }

    /// Every path of a MAC.
    pub fn paths(&self, network: Uuid, mac: Mac) -> impl Iterator<Item = Heard> {
        let paths = self.macs.get(&(network, mac)).into_iter().flatten();
        paths.map(|(_, told)| told.heard)
    }

    /// Those of them that were told in a session that lives.
    pub fn fresh_paths(&self, network: Uuid, mac: Mac) -> impl Iterator<Item = Heard> {
        let paths = self.macs.get(&(network, mac)).into_iter().flatten();
        paths.filter(|(_, told)| !told.stale).map(|(_, told)| told.heard)
    }

    /// The MACs of a network of which anything is known.
    pub fn macs_of(&self, network: Uuid) -> impl Iterator<Item = Mac> {
        let macs = self.macs.range((network, Mac([0; 6]))..=(network, Mac::BROADCAST));
        macs.map(|((_, mac), _)| *mac)
    }

    /// How many MACs are known, in all networks.
    pub fn count(&self) -> usize {
        self.macs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evpn::NextHop;
    use crate::ids::Vni;

    const NETWORK: Uuid = Uuid(1);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn key() -> Key {
        Key::of_mac(Vni::new(101).expect("a VNI"), MAC)
    }

    fn heard(last: u8, preference: u32, sequence: u32) -> Heard {
        Heard {
            vtep: Ipv4Addr::new(192, 0, 2, last),
            preference,
            sticky: false,
            sequence,
        }
    }

    #[test]
    fn the_best_path_is_the_preferred_then_the_sticky_then_the_latest_then_the_lowest() {
        let sticky = Heard {
            sticky: true,
            ..heard(4, 100, 1)
        };
        let worst_first = [
            heard(1, 1, 9),
            heard(3, 100, 2),
            heard(2, 100, 2),
            heard(9, 100, 3),
            sticky,
        ];
        let mut fabric = Fabric::default();
        for (source, path) in worst_first.into_iter().enumerate() {
            fabric.learn(source, NETWORK, key(), path).expect("there is room");
            assert_eq!(fabric.best(NETWORK, MAC), Some(path));
        }
    }

    #[test]
    fn what_a_lost_control_node_told_stays_until_everything_was_told_again() {
        let mut fabric = Fabric::default();
        let other = Key {
            mac: Mac([2, 0, 0, 0, 0, 2]),
            ..key()
        };
        fabric
            .learn(0, NETWORK, key(), heard(1, 100, 1))
            .expect("there is room");
        fabric
            .learn(0, NETWORK, other, heard(1, 100, 1))
            .expect("there is room");
        fabric.distrust(0);
        assert_eq!(fabric.best(NETWORK, MAC), Some(heard(1, 100, 1)));
        fabric
            .learn(0, NETWORK, key(), heard(1, 100, 1))
            .expect("there is room");
        assert_eq!(fabric.stale_macs(NETWORK), [other.mac]);
        fabric.sweep(NETWORK, other.mac);
        assert_eq!(fabric.macs_of(NETWORK).collect::<Vec<_>>(), [MAC]);
    }

    #[test]
    fn a_path_that_no_switch_can_reach_is_refused() {
        let vni = Vni::new(101).expect("a VNI");
        let mut next_hop = NextHop::vxlan(Ipv4Addr::new(192, 0, 2, 1), vni);
        let path = |next_hop: &NextHop| Path {
            next_hops: vec![next_hop.clone()],
            ..Path::default()
        };
        let heard = |next_hop: &NextHop| Heard::of(MAC, &path(next_hop));
        assert_eq!(heard(&next_hop).map(|heard| heard.preference), Ok(100));
        assert_eq!(
            Heard::of(Mac([1, 0, 94, 0, 0, 1]), &path(&next_hop)),
            Err(Unusable::Group)
        );
        for address in [Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)] {
            assert_eq!(heard(&NextHop::vxlan(address, vni)), Err(Unusable::NoVxlan));
        }
        next_hop.encapsulations = evpn::Encapsulations {
            gre: true,
            ..Default::default()
        };
        assert_eq!(heard(&next_hop), Err(Unusable::NoVxlan));
    }

    #[test]
    fn paths_are_counted_however_they_go() {
        let mut fabric = Fabric::default();
        let of = |last| Key {
            mac: Mac([2, 0, 0, 0, 0, last]),
            ..key()
        };
        for last in 0..5 {
            for source in [0, 1, 0] {
                fabric
                    .learn(source, NETWORK, of(last), heard(1, 100, 1))
                    .expect("there is room");
            }
        }
        assert_eq!(fabric.told, [(0, 5), (1, 5)].into());
        fabric.unlearn(0, NETWORK, of(0));
        fabric.unlearn(0, NETWORK, of(0));
        fabric.distrust(1);
        fabric.sweep(NETWORK, of(1).mac);
        assert_eq!(fabric.told, [(0, 4), (1, 4)].into());
        fabric.forget(NETWORK);
        assert_eq!(fabric.told, [(0, 0), (1, 0)].into());
        assert_eq!(fabric.count(), 0);
    }
}
