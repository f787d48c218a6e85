//! The networks all of whose routes have been received from some control node.

use std::collections::BTreeSet;

use crate::ids::Uuid;

/// The complete networks.
#[derive(Clone, Debug, Default)]
pub(super) struct CompleteNetworks(BTreeSet<Uuid>);

impl CompleteNetworks {
    /// Whether a network is complete.
    pub(super) fn contains(&self, network: Uuid) -> bool {
        self.0.contains(&network)
    }

    /// Every complete network.
    pub(super) fn iter(&self) -> impl Iterator<Item = Uuid> {
        self.0.iter().copied()
    }

    /// A network is complete from now on.
    pub(super) fn insert(&mut self, network: Uuid) {
        self.0.insert(network);
    }

    /// The networks of `now` that were not complete before.
    pub(super) fn added(&self, now: &BTreeSet<Uuid>) -> Vec<Uuid> {
        now.difference(&self.0).copied().collect()
    }

    /// These are complete now, and no others. Returns each network for which that is a change, and whether it is complete.
    pub(super) fn replace(&mut self, now: BTreeSet<Uuid>) -> Vec<(Uuid, bool)> {
        let before = std::mem::replace(&mut self.0, now);
        let changed = before.symmetric_difference(&self.0);
        changed.map(|network| (*network, self.contains(*network))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_names_what_came_and_what_went() {
        let mut complete = CompleteNetworks([Uuid(1), Uuid(2)].into());
        let now = BTreeSet::from([Uuid(2), Uuid(3)]);
        assert_eq!(complete.added(&now), [Uuid(3)]);
        assert_eq!(complete.replace(now.clone()), [(Uuid(1), false), (Uuid(3), true)]);
        assert_eq!(complete.replace(now), []);
        assert_eq!(complete.iter().collect::<Vec<_>>(), [Uuid(2), Uuid(3)]);
    }
}
