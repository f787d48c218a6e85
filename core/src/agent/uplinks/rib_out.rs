//! The routes that one control node has been sent, and those that are to be compared with what we publish now.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use super::{Output, UplinkId};
use crate::dirty_set::DirtySet;
use crate::evpn::{InstanceName, Key, Path};
use crate::xmpp::Stanza;

/// A route of an instance.
type Entry = (InstanceName, Key);

/// The routes that a session with a control node was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct RibOut {
    /// As it was sent, so that it can be withdrawn.
    sent: BTreeMap<InstanceName, BTreeMap<Key, Path>>,
    /// What was sent of instances that were left, to be freed step by step.
    left: Vec<BTreeMap<Key, Path>>,
    /// Routes that may have to be sent, sent again, or withdrawn.
    dirty: DirtySet<Entry>,
    /// Routes to withdraw once everything else has been sent.
    withdrawals: DirtySet<Entry>,
}

impl RibOut {
    /// A route may have to be sent, sent again, or withdrawn.
    pub(super) fn mark(&mut self, instance: &InstanceName, key: Key) {
        self.dirty.mark((instance.clone(), key));
    }

    /// Some of what was sent of an instance, from one route on, may have to be sent again, or withdrawn. Returns how many
    /// routes that are, and the next.
    pub(super) fn mark_sent(
        &mut self,
        instance: &InstanceName,
        from: Option<Key>,
        at_most: usize,
    ) -> (usize, Option<Key>) {
        let from = from.map_or(Bound::Unbounded, Bound::Included);
        let sent = self.sent.get(instance).into_iter();
        let mut sent = sent.flat_map(|sent| sent.range((from, Bound::Unbounded)));
        let marked: Vec<Key> = sent.by_ref().take(at_most).map(|(key, _)| *key).collect();
        let next = sent.next().map(|(key, _)| *key);
        let count = marked.len();
        self.dirty.extend(marked.into_iter().map(|key| (instance.clone(), key)));
        (count, next)
    }

    /// Whether nothing is left to be compared.
    pub(super) fn is_clean(&self) -> bool {
        self.dirty.is_empty() && self.withdrawals.is_empty()
    }

    /// The number of our routes that the control node holds, and of those that are left to be compared.
    pub(super) fn counts(&self) -> (usize, usize) {
        let sent = self.sent.values().map(BTreeMap::len).sum();
        (sent, self.dirty.len() + self.withdrawals.len())
    }

    fn sent(&self, (instance, key): &Entry) -> Option<&Path> {
        self.sent.get(instance)?.get(key)
    }

    /// Brings up to `at_most` marked routes into line with what we publish. Withdrawals come last, when everything is
    /// marked, so that a MAC whose route gets another key is never without a route.
    pub(super) fn publish(
        &mut self,
        id: UplinkId,
        (at_most, all_marked): (usize, bool),
        desired: impl Fn(&InstanceName, &Key) -> Option<Path>,
        outputs: &mut VecDeque<Output>,
    ) {
        self.free_left(at_most);
        let marked = self.dirty.take(at_most);
        let left = at_most - marked.len();
        for entry in marked {
            match desired(&entry.0, &entry.1) {
                Some(path) if self.sent(&entry) == Some(&path) => {}
                Some(path) => self.send(id, entry, Some(path), outputs),
                None if self.sent(&entry).is_some() => self.withdrawals.mark(entry),
                None => {}
            }
        }
        if !self.dirty.is_empty() || !all_marked {
            return;
        }
        for entry in self.withdrawals.take(left) {
            let desired = desired(&entry.0, &entry.1);
            if desired.as_ref() != self.sent(&entry) {
                self.send(id, entry, desired, outputs);
            }
        }
    }

    /// Withdraws every route that was sent of an instance.
    pub(super) fn withdraw_instance(&mut self, id: UplinkId, instance: &InstanceName, outputs: &mut VecDeque<Output>) {
        let sent = self.sent.get(instance).into_iter().flat_map(BTreeMap::keys);
        for key in sent.copied().collect::<Vec<_>>() {
            self.send(id, (instance.clone(), key), None, outputs);
        }
    }

    /// Forgets every route of an instance, sent or marked.
    pub(super) fn forget_instance(&mut self, instance: &InstanceName) {
        self.left.extend(self.sent.remove(instance));
        for entries in [&mut self.dirty, &mut self.withdrawals] {
            entries.retain(|(it, _)| it != instance);
        }
    }

    fn free_left(&mut self, at_most: usize) {
        if let Some(left) = self.left.last_mut() {
            for _ in 0..at_most {
                left.pop_first();
            }
        }
        self.left.pop_if(|left| left.is_empty());
    }

    /// Sends a route or its withdrawal. Only the key of a withdrawal counts, but the path goes with it.
    fn send(&mut self, id: UplinkId, entry: Entry, path: Option<Path>, outputs: &mut VecDeque<Output>) {
        let (instance, key) = entry.clone();
        let (associate, node) = (path.is_some(), key.node());
        let path = match path {
            Some(path) => {
                let sent = self.sent.entry(entry.0).or_default();
                sent.insert(key, path.clone());
                path
            }
            None => self.forget(&entry).unwrap_or_default(),
        };
        let publish = Stanza::Publish {
            node: node.clone(),
            route: Box::new((key, path)),
        };
        let collection = Stanza::Collection {
            instance,
            associate,
            node,
        };
        outputs.extend([publish, collection].map(|stanza| Output::SendStanza { id, stanza }));
    }

    fn forget(&mut self, (instance, key): &Entry) -> Option<Path> {
        let sent = self.sent.get_mut(instance)?;
        let path = sent.remove(key);
        if sent.is_empty() {
            self.sent.remove(instance);
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Mac, Vni};

    const ID: UplinkId = UplinkId(1);

    fn key(vni: u32, last: u8) -> Key {
        Key::of_mac(Vni::new(vni).expect("a VNI"), Mac([2, 0, 0, 0, 0, last]))
    }

    /// The collections in the outputs: which node, and whether it is to be there.
    fn collections(outputs: VecDeque<Output>) -> Vec<(Box<str>, bool)> {
        let mut collections = Vec::new();
        for output in outputs {
            if let Output::SendStanza {
                stanza: Stanza::Collection { associate, node, .. },
                ..
            } = output
            {
                collections.push((node, associate));
            }
        }
        collections
    }

    /// Marks routes, and publishes until none is left; those of one VNI are desired.
    fn publish(rib: &mut RibOut, vni: u32, marked: &[Key]) -> Vec<(Box<str>, bool)> {
        marked.iter().for_each(|key| rib.mark(&"blue".into(), *key));
        let mut outputs = VecDeque::new();
        while !rib.is_clean() {
            let desired = |_: &InstanceName, key: &Key| (key.ethernet_tag == vni).then(Path::default);
            rib.publish(ID, (1, true), desired, &mut outputs);
        }
        collections(outputs)
    }

    #[test]
    fn withdrawals_come_after_everything_that_is_sent() {
        let mut rib = RibOut::default();
        let (old, new) = ([key(5000, 1), key(5000, 2)], [key(6000, 1), key(6000, 2)]);
        assert_eq!(publish(&mut rib, 5000, &old), old.map(|key| (key.node(), true)));
        let expected = [new.map(|key| (key.node(), true)), old.map(|key| (key.node(), false))];
        assert_eq!(publish(&mut rib, 6000, &[old, new].concat()), expected.concat());
        assert_eq!(rib.counts(), (2, 0));
    }

    #[test]
    fn a_route_that_is_marked_and_unchanged_is_not_sent_again() {
        let mut rib = RibOut::default();
        publish(&mut rib, 5000, &[key(5000, 1)]);
        assert_eq!(rib.mark_sent(&"blue".into(), None, 9), (1, None));
        assert!(!rib.is_clean());
        assert_eq!(publish(&mut rib, 5000, &[]), []);
    }

    #[test]
    fn nothing_is_withdrawn_before_everything_is_marked() {
        let mut rib = RibOut::default();
        let keys = [1, 2, 3].map(|last| key(5000, last));
        publish(&mut rib, 5000, &keys);
        assert_eq!(rib.mark_sent(&"blue".into(), None, 2), (2, Some(keys[2])));
        let mut outputs = VecDeque::new();
        rib.publish(ID, (9, false), |_, _| None, &mut outputs);
        assert!(outputs.is_empty());
        assert_eq!(rib.mark_sent(&"blue".into(), Some(keys[2]), 2), (1, None));
        rib.publish(ID, (9, true), |_, _| None, &mut outputs);
        assert_eq!(collections(outputs), keys.map(|key| (key.node(), false)));
        assert_eq!(rib.counts(), (0, 0));
    }

    #[test]
    fn an_instance_that_is_left_takes_its_routes_and_its_marks_along() {
        let mut rib = RibOut::default();
        publish(&mut rib, 5000, &[key(5000, 1)]);
        rib.mark(&"blue".into(), key(5000, 2));
        rib.mark(&"red".into(), key(5000, 3));
        let mut outputs = VecDeque::new();
        rib.withdraw_instance(ID, &"blue".into(), &mut outputs);
        assert_eq!(collections(outputs), [(key(5000, 1).node(), false)]);
        rib.forget_instance(&"blue".into());
        assert_eq!(rib.counts(), (0, 1), "the other instance is still marked");
    }
}
