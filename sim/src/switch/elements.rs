//! A map of atoms, in order and side by side: nearly every column holds one element, for which a tree is too much.

use smallvec::SmallVec;

use super::atom::Atom;

/// The elements of a set, or of a map when every atom has a second one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Elements(SmallVec<[(Atom, Option<Atom>); 1]>);

impl Elements {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Atom, &Option<Atom>)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Atom> {
        self.0.iter().map(|(key, _)| key)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Option<Atom>> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(super) fn get(&self, key: &Atom) -> Option<&Option<Atom>> {
        let place = self.place(key).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    /// Puts an element in; answers what the key had before.
    pub(super) fn insert(&mut self, key: Atom, value: Option<Atom>) -> Option<Option<Atom>> {
        match self.place(&key) {
            Ok(place) => self.0.get_mut(place).map(|(_, old)| std::mem::replace(old, value)),
            Err(place) => {
                self.0.insert(place, (key, value));
                None
            }
        }
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Atom, &Option<Atom>) -> bool) {
        self.0.retain(|(key, value)| keep(key, value));
    }

    /// Where a key is, or would be.
    fn place(&self, key: &Atom) -> Result<usize, usize> {
        // Most are built in order.
        match self.0.last() {
            Some((last, _)) if last < key => Err(self.0.len()),
            Some(_) | None => self.0.binary_search_by(|(other, _)| other.cmp(key)),
        }
    }
}

/// Of equal keys, the last stays.
impl FromIterator<(Atom, Option<Atom>)> for Elements {
    fn from_iter<I: IntoIterator<Item = (Atom, Option<Atom>)>>(elements: I) -> Self {
        let mut collected = Self::default();
        for (key, value) in elements {
            collected.insert(key, value);
        }
        collected
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_in_order(pairs: Vec<(u8, u8)>, asked: u8, kept: u8) {
            let atom = |number: u8| Atom::Integer((number % 16).into());
            let pairs: Vec<_> = pairs.into_iter().map(|(key, value)| (atom(key), Some(atom(value)))).collect();
            let mut tree: BTreeMap<Atom, Option<Atom>> = BTreeMap::new();
            let mut elements = Elements::default();
            for (key, value) in pairs.clone() {
                prop_assert_eq!(elements.insert(key.clone(), value.clone()), tree.insert(key, value));
            }
            prop_assert_eq!(&elements, &pairs.into_iter().collect());
            prop_assert_eq!(elements.get(&atom(asked)), tree.get(&atom(asked)));
            elements.retain(|key, _| *key < atom(kept));
            tree.retain(|key, _| *key < atom(kept));
            prop_assert_eq!(elements.len(), tree.len());
            prop_assert!(elements.iter().eq(tree.iter()));
        }
    }
}
