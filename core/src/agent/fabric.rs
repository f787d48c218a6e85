//! The fabric table: every path that control nodes sent, and the best of each MAC.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
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
    networks: BTreeMap<Uuid, Macs>,
    /// Networks that our switches have left. Their paths count no more, and are freed step by step.
    left: VecDeque<(Uuid, Macs)>,
    /// The number of all these paths that each control node sent.
    counts: BTreeMap<Slot, usize>,
    /// The session of each control node, as they are numbered: the paths of an earlier one are stale.
    sessions: BTreeMap<Slot, u64>,
}

type Macs = BTreeMap<Mac, BTreeMap<(Slot, Key), Entry>>;

#[derive(Clone, Copy, Debug)]
struct Entry {
    path: ReceivedPath,
    /// The session in which it arrived.
    session: u64,
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

impl Entry {
    /// Whether the session in which the path arrived has ended, and no later one has brought it again. A path that we
    /// presume never arrived.
    fn is_stale(&self, slot: Slot, sessions: &BTreeMap<Slot, u64>) -> bool {
        slot == OURSELVES || self.session != sessions.get(&slot).copied().unwrap_or_default()
    }
}

impl Fabric {
    /// A control node sent a path; it replaces the path that the node sent of the same key before.
    pub fn insert(&mut self, slot: Slot, network: Uuid, key: Key, path: ReceivedPath) -> Result<(), Unusable> {
        let session = self.sessions.get(&slot).copied().unwrap_or_default();
        let entry = Entry { path, session };
        let count = self.counts.get(&slot).copied().unwrap_or_default();
        let macs = self.networks.get_mut(&network);
        let paths = macs.and_then(|macs| macs.get_mut(&key.mac));
        if let Some(before) = paths.and_then(|paths| paths.get_mut(&(slot, key))) {
            *before = entry;
        } else if count < ROUTES_PER_CONTROL_NODE {
            self.counts.insert(slot, count + 1);
            let macs = self.networks.entry(network).or_default();
            macs.entry(key.mac).or_default().insert((slot, key), entry);
        } else {
            return Err(Unusable::TooMany);
        }
        Ok(())
    }

    /// A control node withdrew a path.
    pub fn remove(&mut self, slot: Slot, network: Uuid, key: Key) {
        self.retain(network, key.mac, |path, _| *path != (slot, key));
    }

    /// The session with a control node ended: its paths may be sent again. This costs the same for any number of them.
    pub fn mark_stale(&mut self, slot: Slot) {
        *self.sessions.entry(slot).or_default() += 1;
    }

    /// Looks at some MACs of a network, from this one on. Returns how many, those that have a stale path, and the next to look
    /// at.
    pub fn stale_macs(&self, network: Uuid, from: Mac, at_most: usize) -> (usize, Vec<Mac>, Option<Mac>) {
        let mut macs = self.networks.get(&network).into_iter().flat_map(|it| it.range(from..));
        let looked: Vec<_> = macs.by_ref().take(at_most).collect();
        let stale = looked.iter().filter(|(_, paths)| {
            paths
                .iter()
                .any(|((slot, _), entry)| entry.is_stale(*slot, &self.sessions))
        });
        let stale = stale.map(|(mac, _)| **mac).collect();
        (looked.len(), stale, macs.next().map(|(mac, _)| *mac))
    }

    /// Removes the stale paths of a MAC: every path that still exists was sent again.
    pub fn sweep(&mut self, network: Uuid, mac: Mac) {
        self.retain(network, mac, |_, is_stale| !is_stale);
    }

    /// The control node will send us our own route of a MAC. Until then this is its path, and nothing else that is stale.
    pub(super) fn presume(&mut self, network: Uuid, key: Key, path: ReceivedPath) {
        self.sweep(network, key.mac);
        let entry = Entry { path, session: 0 };
        let macs = self.networks.entry(network).or_default();
        let paths = macs.entry(key.mac).or_default();
        if paths.insert((OURSELVES, key), entry).is_none() {
            *self.counts.entry(OURSELVES).or_default() += 1;
        }
    }

    fn retain(&mut self, network: Uuid, mac: Mac, stays: impl Fn(&(Slot, Key), bool) -> bool) {
        let Some(macs) = self.networks.get_mut(&network) else {
            return;
        };
        let Some(paths) = macs.get_mut(&mac) else { return };
        paths.retain(|path, entry| {
            let stays = stays(path, entry.is_stale(path.0, &self.sessions));
            if !stays {
                uncount(&mut self.counts, path.0);
            }
            stays
        });
        if paths.is_empty() {
            macs.remove(&mac);
        }
        if macs.is_empty() {
            self.networks.remove(&network);
        }
    }

    /// Our switches take part in a network no more: from now on its MACs have no path.
    pub fn leave_network(&mut self, network: Uuid) {
        let macs = self.networks.remove(&network);
        self.left.extend(macs.map(|macs| (network, macs)));
    }

    /// Frees the paths of some MACs in networks that were left. Returns these MACs, and the best of their paths.
    pub fn free_left(&mut self, at_most: usize) -> Vec<(Uuid, Mac, ReceivedPath)> {
        let mut freed = Vec::new();
        while freed.len() < at_most
            && let Some((network, macs)) = self.left.front_mut()
        {
            let Some((mac, paths)) = macs.pop_first() else {
                self.left.pop_front();
                continue;
            };
            let best = paths.values().map(|entry| entry.path).max_by_key(ReceivedPath::rank);
            freed.extend(best.map(|best| (*network, mac, best)));
            for (slot, _) in paths.keys() {
                uncount(&mut self.counts, *slot);
            }
        }
        freed
    }

    /// Whether paths of networks that were left have yet to be freed.
    pub fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// The best path of a MAC, from any control node.
    pub fn best(&self, network: Uuid, mac: Mac) -> Option<ReceivedPath> {
        self.paths(network, mac).max_by_key(ReceivedPath::rank)
    }

    /// Every path of a MAC.
    pub fn paths(&self, network: Uuid, mac: Mac) -> impl Iterator<Item = ReceivedPath> {
        self.entries(network, mac).map(|(_, entry)| entry.path)
    }

    /// Those of them that arrived in a session that is open.
    pub(super) fn fresh_paths(&self, network: Uuid, mac: Mac) -> impl Iterator<Item = ReceivedPath> {
        let fresh = self.entries(network, mac);
        let fresh = fresh.filter(|((slot, _), entry)| !entry.is_stale(*slot, &self.sessions));
        fresh.map(|(_, entry)| entry.path)
    }

    fn entries(&self, network: Uuid, mac: Mac) -> impl Iterator<Item = (&(Slot, Key), &Entry)> {
        let macs = self.networks.get(&network);
        macs.and_then(|macs| macs.get(&mac)).into_iter().flatten()
    }

    /// The MACs of a network that have a path.
    pub fn macs_of(&self, network: Uuid) -> impl Iterator<Item = Mac> {
        self.macs_from(network, Mac([0; 6]))
    }

    /// The same, from one of them on.
    pub(super) fn macs_from(&self, network: Uuid, from: Mac) -> impl Iterator<Item = Mac> {
        let macs = self.networks.get(&network).into_iter();
        macs.flat_map(move |macs| macs.range(from..)).map(|(mac, _)| *mac)
    }

    /// The number of MACs with a path, in all networks.
    pub fn count(&self) -> usize {
        self.networks.values().map(BTreeMap::len).sum()
    }
}

/// A path of a control node is gone.
fn uncount(counts: &mut BTreeMap<Slot, usize>, slot: Slot) {
    if let Some(count) = counts.get_mut(&slot) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&slot);
        }
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
        fabric.leave_network(NETWORK);
        assert_eq!(fabric.count(), 0);
        assert_eq!((fabric.free_left(3).len(), fabric.has_left()), (3, true));
        assert_eq!(fabric.free_left(3).len(), 2);
        assert_eq!(fabric.counts, BTreeMap::new());
        assert!(!fabric.has_left());
    }

    #[test]
    fn what_is_freed_of_a_network_that_was_left_takes_nothing_from_it_when_it_is_back() {
        let mut fabric = Fabric::default();
        let received = |fabric: &mut Fabric| fabric.insert(0, NETWORK, key(), path(1, 100, 1)).expect("room");
        received(&mut fabric);
        fabric.leave_network(NETWORK);
        assert_eq!(fabric.best(NETWORK, MAC), None);
        received(&mut fabric);
        assert_eq!(fabric.free_left(9), [(NETWORK, MAC, path(1, 100, 1))]);
        assert_eq!(fabric.best(NETWORK, MAC), Some(path(1, 100, 1)));
        assert_eq!(fabric.counts, [(0, 1)].into());
    }
}
