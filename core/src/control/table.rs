//! The unicast routes of one instance: every path of each, the best first, and what changed since when.
//!
//! A change gets a number, the table's next version, and the log holds each route once, at its newest. What a
//! subscriber has not been sent yet is what stands behind the version that it was sent last. So a change costs the
//! same however many subscribers there are, and what is kept for a slow one is bounded by the table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smallvec::SmallVec;

use super::best_path::{self, Source};
use crate::bounds::EQUAL_PATHS;
use crate::evpn::{Key, Path};

/// The routes of an instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    rows: BTreeMap<Key, Row>,
    version: u64,
    log: BTreeMap<u64, Key>,
    /// The versions at which routes were removed that some subscriber may still hold.
    gone: BTreeSet<u64>,
    #[cfg(feature = "mutants")]
    pub(super) mutant: Option<crate::mutant::Mutant>,
}

type Paths = SmallVec<[(Source, Arc<Path>); 1]>;

#[derive(Clone, Debug, Default)]
struct Row {
    /// The best first.
    paths: Paths,
    /// Its place in the log; 0 if it was never sent.
    version: u64,
    /// A subscriber that was sent this version or a later one may hold the route.
    born: u64,
}

/// The change of a route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Reflected,
    Removed,
}

/// The part of a route that a subscriber has not been sent yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Delta {
    Item(Path),
    Retract,
    /// It came and went, and the subscriber never received it.
    Nothing,
}

impl Table {
    /// The number of the newest change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The number of retracts that are kept for subscribers that lag behind.
    pub(super) fn gone(&self) -> usize {
        self.gone.len()
    }

    /// Every route that has a path, and its paths, the best first.
    pub(super) fn routes(&self) -> impl Iterator<Item = (&Key, &[(Source, Arc<Path>)])> {
        let rows = self.rows.iter().filter(|(_, row)| !row.paths.is_empty());
        rows.map(|(key, row)| (key, row.paths.as_slice()))
    }

    /// The source has this path of the route from now on. Answers what that means for subscribers.
    pub(super) fn insert(&mut self, key: Key, source: Source, path: Arc<Path>) -> Option<Outcome> {
        let order = if planted!(self, LowerSequenceWins) {
            best_path::order_by_age
        } else {
            best_path::order
        };
        self.change(key, |paths| {
            paths.retain(|(other, _)| *other != source);
            let new = (&source, &*path);
            let at = paths.partition_point(|(source, path)| order((source, path), new).is_lt());
            paths.insert(at, (source, path));
        })
    }

    /// The source has this path no more. If it has published another one since, that stays.
    pub(super) fn remove(&mut self, key: Key, source: &Source, path: &Arc<Path>) -> Option<Outcome> {
        self.rows.get(&key)?;
        self.change(key, |paths| {
            paths.retain(|(other, known)| other != source || !Arc::ptr_eq(known, path));
        })
    }

    /// The routes that a subscriber which was sent everything up to a version has not been sent yet: version, route, and how it is
    /// now.
    pub(super) fn since(&self, sent: u64) -> impl Iterator<Item = (u64, Key, Delta)> {
        let log = self.log.range(sent + 1..);
        let rows = log.filter_map(|(version, key)| Some((*version, *key, self.rows.get(key)?)));
        rows.map(move |(version, key, row)| {
            let delta = match row.reflected() {
                Some(path) => Delta::Item(path),
                None if row.born <= sent => Delta::Retract,
                None => Delta::Nothing,
            };
            (version, key, delta)
        })
    }

    /// The routes that a subscriber which was sent everything up to a version may hold.
    pub(super) fn held(&self, sent: u64) -> impl Iterator<Item = Key> {
        let held = self.rows.iter().filter(move |(_, row)| (1..=sent).contains(&row.born));
        held.map(|(key, _)| *key)
    }

    /// Every subscriber was sent this version: forgets some of what is kept only for those that were not. Answers how
    /// much.
    pub(super) fn forget(&mut self, sent: u64, at_most: usize) -> usize {
        for forgotten in 0..at_most {
            let Some(version) = self.gone.first().copied().filter(|version| *version <= sent) else {
                return forgotten;
            };
            self.gone.remove(&version);
            let Some(key) = self.log.remove(&version) else {
                continue;
            };
            if let Some(row) = self.rows.get_mut(&key) {
                (row.version, row.born) = (0, 0);
                if row.paths.is_empty() {
                    self.rows.remove(&key);
                }
            }
        }
        at_most
    }

    #[cfg(feature = "mutants")]
    fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.mutant
    }

    fn change(&mut self, key: Key, change: impl FnOnce(&mut Paths)) -> Option<Outcome> {
        let row = self.rows.entry(key).or_default();
        let before = row.equals();
        change(&mut row.paths);
        let after = row.equals();
        if before == after {
            if row.paths.is_empty() && row.version == 0 {
                self.rows.remove(&key);
            }
            return None;
        }
        self.log.remove(&row.version);
        self.gone.remove(&row.version);
        self.version += 1;
        row.version = self.version;
        if row.born == 0 {
            row.born = self.version;
        }
        self.log.insert(self.version, key);
        if after.is_empty() {
            self.gone.insert(self.version);
            return Some(Outcome::Removed);
        }
        Some(Outcome::Reflected)
    }
}

impl Row {
    /// The paths that are reflected: the best and those that are as good.
    fn equals(&self) -> SmallVec<[Arc<Path>; 1]> {
        let Some((source, path)) = self.paths.first().filter(|(_, path)| best_path::is_feasible(path)) else {
            return SmallVec::new();
        };
        let best = (source, &**path);
        let good = self.paths.iter();
        let good = good.take_while(|(source, path)| best_path::equally_good((source, path), best));
        good.take(EQUAL_PATHS).map(|(_, path)| Arc::clone(path)).collect()
    }

    /// The route as it is reflected: the best path, with the next hops of all that are as good.
    fn reflected(&self) -> Option<Path> {
        let equals = self.equals();
        let mut path = Path::clone(equals.first()?);
        for hop in equals.iter().skip(1).flat_map(|path| &path.next_hops) {
            if !path.next_hops.contains(hop) {
                path.next_hops.push(hop.clone());
            }
        }
        path.next_hops.iter_mut().for_each(best_path::name_encapsulation);
        path.local_preference = best_path::local_preference(&path);
        path.med = best_path::med(&path);
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::evpn::NextHop;
    use crate::ids::{Mac, Vni};

    fn path(address: u8, sequence: u32) -> Arc<Path> {
        let vni = Vni::new(101).expect("a VNI");
        Arc::new(Path {
            next_hops: vec![NextHop::vxlan(Ipv4Addr::new(192, 0, 2, address), vni)],
            sequence,
            ..Path::default()
        })
    }

    fn key(last: u8) -> Key {
        Key::of_mac(Vni::new(101).expect("a VNI"), Mac([2, 0, 0, 0, 0, last]))
    }

    fn source(name: &str) -> Source {
        Source::Client(name.into())
    }

    fn hops(table: &Table, sent: u64) -> Vec<(u64, Vec<u8>)> {
        let last = |path: Path| path.next_hops.iter().map(|hop| hop.address.octets()[3]).collect();
        let delta = table.since(sent).filter_map(|(version, _, delta)| match delta {
            Delta::Item(path) => Some((version, last(path))),
            Delta::Retract => Some((version, Vec::new())),
            Delta::Nothing => None,
        });
        delta.collect()
    }

    #[test]
    fn equally_good_paths_are_sent_together_and_a_loser_changes_nothing() {
        let mut table = Table::default();
        assert_eq!(table.insert(key(1), source("a"), path(1, 1)), Some(Outcome::Reflected));
        assert_eq!(table.insert(key(1), source("b"), path(2, 1)), Some(Outcome::Reflected));
        assert_eq!(table.insert(key(1), source("c"), path(3, 0)), None);
        assert_eq!(hops(&table, 0), [(2, vec![1, 2])]);
    }

    #[test]
    fn a_retract_is_for_subscribers_that_may_hold_the_route() {
        let mut table = Table::default();
        let (first, second) = (path(1, 1), path(1, 2));
        table.insert(key(1), source("a"), Arc::clone(&first));
        assert_eq!(table.remove(key(1), &source("a"), &first), Some(Outcome::Removed));
        assert_eq!(hops(&table, 0), [], "no subscriber received it");
        assert_eq!(hops(&table, 1), [(2, vec![])]);
        table.insert(key(1), source("a"), Arc::clone(&second));
        table.remove(key(1), &source("a"), &second);
        assert_eq!(
            hops(&table, 1),
            [(4, vec![])],
            "it missed that the route was gone for a while"
        );
        assert_eq!(table.forget(4, 9), 1);
        assert_eq!((table.gone(), table.rows.len(), table.log.len()), (0, 0, 0));
    }

    #[test]
    fn a_late_removal_of_a_path_removes_no_newer_one() {
        let mut table = Table::default();
        let (old, new) = (path(1, 1), path(1, 1));
        table.insert(key(1), source("a"), Arc::clone(&old));
        assert_eq!(
            table.insert(key(1), source("a"), Arc::clone(&new)),
            None,
            "it is the same"
        );
        assert_eq!(table.remove(key(1), &source("a"), &old), None);
        assert_eq!(table.remove(key(1), &source("a"), &new), Some(Outcome::Removed));
    }
}
