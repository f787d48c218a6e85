//! The broadcast routes of one instance, and which member copies a broadcast to which.
//!
//! Each client has its own: they are members of a list, not paths of one route. A client that named a replicator is a
//! leaf: its services node sends it a copy of every broadcast, and it receives no list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::best_path::{self, Source};
use crate::evpn::{Key, NextHop, Path, STALE_PREFERENCE};

/// The broadcast routes of an instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Members(BTreeMap<(Key, Source), Arc<Path>>);

impl Members {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Source, &Arc<Path>)> {
        self.0.iter().map(|((key, source), path)| (key, source, path))
    }

    /// Answers whether it changed anything.
    pub(super) fn insert(&mut self, key: Key, source: Source, path: Arc<Path>) -> bool {
        let before = self.0.insert((key, source), Arc::clone(&path));
        before != Some(path)
    }

    /// Answers whether it was there. If the source has published another path since, that stays.
    pub(super) fn remove(&mut self, key: Key, source: &Source, path: &Arc<Path>) -> bool {
        let member = (key, source.clone());
        let same = self.0.get(&member).is_some_and(|known| Arc::ptr_eq(known, path));
        same && self.0.remove(&member).is_some()
    }

    /// The sources that publish this broadcast route as their own, and not as a stale copy.
    pub(super) fn owners(&self, key: Key) -> impl Iterator<Item = &Source> {
        let members = self.0.range((key, Source::Static)..);
        let members = members.take_while(move |((other, _), _)| *other == key);
        let owners = members.filter(|(_, path)| best_path::local_preference(path) != STALE_PREFERENCE);
        owners.map(|((_, source), _)| source)
    }

    /// A client's own broadcast route as it is sent back: with the members that it copies a broadcast to. `None` if there are none.
    pub(super) fn reflected(&self, key: Key, source: &Source) -> Option<Path> {
        let own = self.0.get(&(key, source.clone()))?;
        if own.replicator.is_some() {
            return None;
        }
        let address = own.next_hops.first()?.address;
        let (mut olist, mut leaf_olist) = (BTreeSet::new(), BTreeSet::new());
        for ((other_key, other_source), other) in &self.0 {
            if (other_key, other_source) == (&key, source) {
                continue;
            }
            match other.replicator {
                Some(replicator) if own.assisted_replication_supported && replicator == address => {
                    leaf_olist.extend(other.next_hops.iter().map(named));
                }
                Some(_) => {}
                None if own.edge_replication_not_supported || other.edge_replication_not_supported => {
                    olist.extend(other.next_hops.iter().map(named));
                }
                None => {}
            }
        }
        if olist.is_empty() && leaf_olist.is_empty() {
            return None;
        }
        let mut path = Path::clone(own);
        path.next_hops = Vec::new();
        path.olist = olist.into_iter().collect();
        path.leaf_olist = leaf_olist.into_iter().collect();
        path.local_preference = best_path::local_preference(own);
        path.med = best_path::med(own);
        Some(path)
    }
}

fn named(hop: &NextHop) -> NextHop {
    let mut hop = hop.clone();
    best_path::name_encapsulation(&mut hop);
    hop
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::net::Ipv4Addr;

    use super::*;
    use crate::ids::Vni;

    const VNI: u32 = 101;

    fn address(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, last)
    }

    fn member(last: u8, change: impl FnOnce(&mut Path)) -> Arc<Path> {
        let mut path = Path {
            next_hops: vec![NextHop::vxlan(address(last), Vni::new(VNI).expect("a VNI"))],
            ..Path::default()
        };
        change(&mut path);
        Arc::new(path)
    }

    #[test]
    fn replicators_copy_to_their_leaves_and_edges_to_those_outside_the_tree() {
        let vni = Vni::new(VNI).expect("a VNI");
        let own = Key::of_broadcast(vni, Ipv4Addr::UNSPECIFIED);
        let replicates = |it: &mut Path| it.assisted_replication_supported = true;
        let leaf = |tsn| move |it: &mut Path| it.replicator = Some(address(tsn));
        let mut members = Members::default();
        let mut add = |name: &str, key, path| {
            members.insert(key, Source::Client(name.into()), path);
        };
        add("tsn-1", own, member(1, replicates));
        add("tsn-2", own, member(2, replicates));
        add("agent-1", Key::of_broadcast(vni, address(11)), member(11, leaf(1)));
        add("agent-1", Key::of_broadcast(vni, address(12)), member(12, leaf(1)));
        add("agent-2", Key::of_broadcast(vni, address(13)), member(13, leaf(2)));
        add("vrouter-1", own, member(21, |_| {}));
        add("vrouter-2", own, member(22, |_| {}));
        add("edge", own, member(31, |it| it.edge_replication_not_supported = true));
        let mut table = String::new();
        for (key, source, _) in members.iter() {
            let list = |hops: &[NextHop]| hops.iter().map(|hop| hop.address.octets()[3]).collect::<Vec<_>>();
            let sent = members.reflected(*key, source);
            let sent = sent.map(|it| format!("olist {:?} leaf_olist {:?}", list(&it.olist), list(&it.leaf_olist)));
            writeln!(table, "{source} {key}: {}", sent.unwrap_or_else(|| "nothing".into())).expect("text");
        }
        insta::assert_snapshot!(table);
    }
}
