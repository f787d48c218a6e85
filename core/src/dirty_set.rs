//! Keys of what is to be looked at again. Marking a key twice is the same as marking it once.
//!
//! A change marks what it may have changed; later steps take a bounded number of keys and look at what they stand for
//! as it is by then. So a burst of changes costs one look, and no change is lost.

use std::collections::BTreeSet;
use std::ops::RangeBounds;

/// A set of marked keys. They are taken in their order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct DirtySet<K>(BTreeSet<K>);

impl<K> Default for DirtySet<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<K: Ord> DirtySet<K> {
    /// Marks a key.
    pub(crate) fn mark(&mut self, key: K) {
        self.0.insert(key);
    }

    /// Removes the mark of a key: there is nothing to look at any more.
    pub(crate) fn unmark(&mut self, key: &K) {
        self.0.remove(key);
    }

    /// Removes every mark but those to keep.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&K) -> bool) {
        self.0.retain(keep);
    }

    /// Takes up to `n` keys, the smallest first.
    pub(crate) fn take(&mut self, n: usize) -> Vec<K> {
        let mut taken = Vec::with_capacity(n.min(self.0.len()));
        while taken.len() < n
            && let Some(key) = self.0.pop_first()
        {
            taken.push(key);
        }
        taken
    }

    /// Takes the keys that are ready, the smallest first. The others stay marked.
    pub(crate) fn take_ready(&mut self, ready: impl FnMut(&K) -> bool) -> Vec<K> {
        self.0.extract_if(.., ready).collect()
    }

    /// Takes every key, the smallest first.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = K> + use<K> {
        std::mem::take(&mut self.0).into_iter()
    }

    /// Every marked key, the smallest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &K> {
        self.0.iter()
    }

    /// The smallest key.
    pub(crate) fn first(&self) -> Option<&K> {
        self.0.first()
    }

    /// Whether no key is marked.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of marked keys.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether any key of a range is marked.
    pub(crate) fn any_in(&self, range: impl RangeBounds<K>) -> bool {
        self.0.range(range).next().is_some()
    }
}

impl<K: Ord> Extend<K> for DirtySet<K> {
    /// Marks each key.
    fn extend<I: IntoIterator<Item = K>>(&mut self, keys: I) {
        self.0.extend(keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marked(keys: impl IntoIterator<Item = u8>) -> DirtySet<u8> {
        let mut set = DirtySet::default();
        set.extend(keys);
        set
    }

    #[test]
    fn a_key_that_is_marked_twice_is_taken_once_and_in_order() {
        let mut set = marked([3, 1, 2, 1]);
        assert_eq!(set.take(2), [1, 2]);
        set.mark(1);
        assert_eq!(set.take(9), [1, 3]);
        assert!(set.is_empty());
        assert!(set.take(9).is_empty());
    }

    #[test]
    fn a_key_that_is_not_ready_stays_marked() {
        let mut set = marked(0..6);
        assert_eq!(set.take_ready(|key| key % 2 == 0), [0, 2, 4]);
        assert_eq!((set.len(), set.first()), (3, Some(&1)));
        assert!(set.any_in(4..) && !set.any_in(2..3));
        set.unmark(&5);
        set.retain(|key| *key != 1);
        assert_eq!(set.take_all().collect::<Vec<_>>(), [3]);
    }

    proptest! {
        #[test]
        fn every_marked_key_is_taken_exactly_once_whatever_the_portions(
            keys in proptest::collection::vec(any::<u8>(), 0..100),
            portions in 1usize..9,
        ) {
            let mut set = marked(keys.iter().copied());
            let mut taken = Vec::new();
            while !set.is_empty() {
                let portion = set.take(portions);
                prop_assert!(portion.len() <= portions);
                taken.extend(portion);
            }
            let mut expected = keys;
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(taken, expected);
        }
    }
}
