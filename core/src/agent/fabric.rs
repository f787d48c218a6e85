//! The fabric table: every path that control nodes sent, and the best of each MAC.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::bounds::ROUTES_PER_CONTROL_NODE;
use crate::evpn::{self, Key, Path, Unusable};
use crate::ids::{Mac, Uuid};

/// Which of the agent's control nodes sent a path, by the number of its slot.
pub(super) type Slot = usize;

/// Paths that we presume to be sent to us.
const OURSELVES: Slot = Slot::MAX;

/// The parts of a path that an agent needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReceivedPath {
    /// The tunnel end.
    pub vtep: Ipv4Addr,
    /// The local preference, never 0: the highest is the best.
    pub preference: u32,
    /// The MAC does not move (RFC 7432, section 15.2): better than a path that is not sticky.
    pub sticky: bool,
    /// The sequence of MAC mobility (RFC 7432, section 15): the highest is the latest.
    pub sequence: u32,
}

/// Every path of every MAC of every network.
#[derive(Clone, Debug, Default)]
pub struct Fabric {
    macs: BTreeMap<(Uuid, Mac), BTreeMap<(Slot, Key), Entry>>,
    /// The number of these paths that each control node sent.
    counts: BTreeMap<Slot, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    path: ReceivedPath,
    /// The session in which it arrived has ended, and no later one has brought it again.
    stale: bool,
}

impl ReceivedPath {
    /// The parts of a path that matter. Of several next hops that are equally good, every agent takes the lowest.
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

    /// The higher, the better: a control node's order, as far as two control nodes can differ.
    fn rank(&self) -> (u32, bool, u32, Reverse<Ipv4Addr>) {
        (self.preference, self.sticky, self.sequence, Reverse(self.vtep))
    }
}

impl Fabric {
    /// A control node sent a path; it replaces the path that the node sent of the same key before.
    pub fn insert(&mut self, slot: Slot, network: Uuid, key: Key, path: ReceivedPath) -> Result<(), Unusable> {
        let entry = Entry { path, stale: false };
        let count = self.counts.entry(slot).or_default();
        let paths = self.macs.get_mut(&(network, key.mac));
        if let Some(before) = paths.and_then(|paths| paths.get_mut(&(slot, key))) {
            *before = entry;
        } else if *count < ROUTES_PER_CONTROL_NODE {
            *count += 1;
            let paths = self.macs.entry((network, key.mac)).or_default();
            paths.insert((slot, key), entry);
        } else {
            return Err(Unusable::TooMany);
        }
        Ok(())
    }

    /// A control node withdrew a path.
    pub fn remove(&mut self, slot: Slot, network: Uuid, key: Key) {
        self.retain(network, key.mac, |path, _| *path != (slot, key));
    }

    /// The session with a control node ended: its paths may be sent again.
    pub fn mark_stale(&mut self, slot: Slot) {
        let entries = self.macs.values_mut().flatten();
        for (_, entry) in entries.filter(|((from, _), _)| *from == slot) {
            entry.stale = true;
        }
    }

    /// Looks at some MACs of a network, from this one on. Returns how many, those that have a stale path, and the next to look
    /// at.
    pub fn stale_macs(&self, network: Uuid, from: Mac, at_most: usize) -> (usize, Vec<Mac>, Option<Mac>) {
        let mut macs = self.macs.range((network, from)..=(network, Mac::BROADCAST));
        let looked: Vec<_> = macs.by_ref().take(at_most).collect();
        let stale = looked
            .iter()
            .filter(|(_, paths)| paths.values().any(|entry| entry.stale));
        let stale = stale.map(|((_, mac), _)| *mac).collect();
        (looked.len(), stale, macs.next().map(|((_, mac), _)| *mac))
    }

    /// Removes the stale paths of a MAC: every path that still exists was sent again.
    pub fn sweep(&mut self, network: Uuid, mac: Mac) {
        self.retain(network, mac, |_, entry| !entry.stale);
    }

    /// The control node will send us our own route of a MAC. Until then this is its path, and nothing else that is stale.
    pub(super) fn presume(&mut self, network: Uuid, key: Key, path: ReceivedPath) {
        self.sweep(network, key.mac);
        let entry = Entry { path, stale: true };
        let paths = self.macs.entry((network, key.mac)).or_default();
        if paths.insert((OURSELVES, key), entry).is_none() {
            *self.counts.entry(OURSELVES).or_default() += 1;
        }
    }

    fn retain(&mut self, network: Uuid, mac: Mac, stays: impl Fn(&(Slot, Key), &Entry) -> bool) {
        let Some(paths) = self.macs.get_mut(&(network, mac)) else {
            return;
        };
        paths.retain(|path, entry| {
            let stays = stays(path, entry);
            if !stays && let Some(count) = self.counts.get_mut(&path.0) {
                *count -= 1;
            }
            stays
        });
        if paths.is_empty() {
            self.macs.remove(&(network, mac));
        }
    }

    /// Our switches take part in a network no more. Returns the MACs that had a path.
    pub fn remove_network(&mut self, network: Uuid) -> BTreeSet<Mac> {
        let known: BTreeSet<Mac> = self.macs_of(network).collect();
        for mac in &known {
            self.retain(network, *mac, |_, _| false);
        }
        known
    }

    /// The best path of a MAC, from any control node.
    pub fn best(&self, network: Uuid, mac: Mac) -> Option<ReceivedPath> {
        self.paths(network, mac).max_by_key(ReceivedPath::rank)
    }

    /// Every path of a MAC.
    pub fn paths(&self, network: Uuid, mac: Mac) -> impl Iterator<Item = ReceivedPath> {
        let paths = self.macs.get(&(network, mac)).into_iter().flatten();
        paths.map(|(_, entry)| entry.path)
    }

    /// Those of them that arrived in a session that is open.
    pub(super) fn fresh_paths(&self, network: Uuid, mac: Mac) -> impl Iterator<Item = ReceivedPath> {
        let paths = self.macs.get(&(network, mac)).into_iter().flatten();
        paths.filter(|(_, entry)| !entry.stale).map(|(_, entry)| entry.path)
    }

    /// The MACs of a network that have a path.
    pub fn macs_of(&self, network: Uuid) -> impl Iterator<Item = Mac> {
        let macs = self.macs.range((network, Mac([0; 6]))..=(network, Mac::BROADCAST));
        macs.map(|((_, mac), _)| *mac)
    }

    /// The number of MACs with a path, in all networks.
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

    fn path(last: u8, preference: u32, sequence: u32) -> ReceivedPath {
        ReceivedPath {
            vtep: Ipv4Addr::new(192, 0, 2, last),
            preference,
            sticky: false,
            sequence,
        }
    }

    #[test]
    fn the_best_path_is_the_preferred_then_the_sticky_then_the_latest_then_the_lowest() {
        let sticky = ReceivedPath {
            sticky: true,
            ..path(4, 100, 1)
        };
        let worst_first = [path(1, 1, 9), path(3, 100, 2), path(2, 100, 2), path(9, 100, 3), sticky];
        let mut fabric = Fabric::default();
        for (slot, path) in worst_first.into_iter().enumerate() {
            fabric.insert(slot, NETWORK, key(), path).expect("there is room");
            assert_eq!(fabric.best(NETWORK, MAC), Some(path));
        }
    }

    #[test]
    fn the_paths_of_a_lost_control_node_stay_until_all_were_sent_again() {
        let mut fabric = Fabric::default();
        let other = Key {
            mac: Mac([2, 0, 0, 0, 0, 2]),
            ..key()
        };
        fabric
            .insert(0, NETWORK, key(), path(1, 100, 1))
            .expect("there is room");
        fabric
            .insert(0, NETWORK, other, path(1, 100, 1))
            .expect("there is room");
        fabric.mark_stale(0);
        assert_eq!(fabric.best(NETWORK, MAC), Some(path(1, 100, 1)));
        fabric
            .insert(0, NETWORK, key(), path(1, 100, 1))
            .expect("there is room");
        assert_eq!(fabric.stale_macs(NETWORK, Mac([0; 6]), 10).1, [other.mac]);
        fabric.sweep(NETWORK, other.mac);
        assert_eq!(fabric.macs_of(NETWORK).collect::<Vec<_>>(), [MAC]);
    }

    #[test]
    fn a_path_that_no_switch_can_reach_is_refused() {
        let vni = Vni::new(101).expect("a VNI");
        let mut next_hop = NextHop::vxlan(Ipv4Addr::new(192, 0, 2, 1), vni);
        let sent = |next_hop: &NextHop| Path {
            next_hops: vec![next_hop.clone()],
            ..Path::default()
        };
        let received = |next_hop: &NextHop| ReceivedPath::of(MAC, &sent(next_hop));
        assert_eq!(received(&next_hop).map(|path| path.preference), Ok(100));
        assert_eq!(
            ReceivedPath::of(Mac([1, 0, 94, 0, 0, 1]), &sent(&next_hop)),
            Err(Unusable::Group)
        );
        for address in [Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)] {
            assert_eq!(received(&NextHop::vxlan(address, vni)), Err(Unusable::NoVxlan));
        }
        next_hop.encapsulations = evpn::Encapsulations {
            gre: true,
            ..Default::default()
        };
        assert_eq!(received(&next_hop), Err(Unusable::NoVxlan));
    }

    #[test]
    fn paths_are_counted_however_they_go() {
        let mut fabric = Fabric::default();
        let of = |last| Key {
            mac: Mac([2, 0, 0, 0, 0, last]),
            ..key()
        };
        for last in 0..5 {
            for slot in [0, 1, 0] {
                fabric
                    .insert(slot, NETWORK, of(last), path(1, 100, 1))
                    .expect("there is room");
            }
        }
        assert_eq!(fabric.counts, [(0, 5), (1, 5)].into());
        fabric.remove(0, NETWORK, of(0));
        fabric.remove(0, NETWORK, of(0));
        fabric.mark_stale(1);
        fabric.sweep(NETWORK, of(1).mac);
        assert_eq!(fabric.counts, [(0, 4), (1, 4)].into());
        fabric.remove_network(NETWORK);
        assert_eq!(fabric.counts, [(0, 0), (1, 0)].into());
        assert_eq!(fabric.count(), 0);
    }
}
