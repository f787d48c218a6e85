//! The routes that one control node has been sent, and those that are to be compared with what we publish now.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::{Output, UplinkId};
use crate::dirty_set::DirtySet;
use crate::evpn::{InstanceName, Key, Path};
use crate::ids::Mac;
use crate::xmpp::Stanza;

/// A route of an instance.
type Entry = (InstanceName, Key);

/// The routes that a session with a control node was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct RibOut {
    /// As it was sent, so that it can be withdrawn.
    sent: BTreeMap<Entry, Path>,
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

    /// Everything that was sent of an instance may have to be sent again, or withdrawn.
    pub(super) fn mark_sent(&mut self, instance: &InstanceName) {
        let sent = self.sent.range(whole(instance)).map(|(entry, _)| entry);
        self.dirty.extend(sent.cloned());
    }

    /// Whether nothing is left to be compared.
    pub(super) fn is_clean(&self) -> bool {
        self.dirty.is_empty() && self.withdrawals.is_empty()
    }

    /// The number of our routes that the control node holds, and of those that are left to be compared.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.sent.len(), self.dirty.len() + self.withdrawals.len())
    }

    /// Brings up to `at_most` marked routes into line with what we publish. Withdrawals come last, so that a MAC whose route
    /// gets another key is never without a route.
    pub(super) fn publish(
        &mut self,
        id: UplinkId,
        at_most: usize,
        desired: impl Fn(&InstanceName, &Key) -> Option<Path>,
        outputs: &mut VecDeque<Output>,
    ) {
        let marked = self.dirty.take(at_most);
        let left = at_most - marked.len();
        for entry in marked {
            match desired(&entry.0, &entry.1) {
                Some(path) if self.sent.get(&entry) == Some(&path) => {}
                Some(path) => self.send(id, entry, Some(path), outputs),
                None if self.sent.contains_key(&entry) => self.withdrawals.mark(entry),
                None => {}
            }
        }
        if !self.dirty.is_empty() {
            return;
        }
        for entry in self.withdrawals.take(left) {
            let desired = desired(&entry.0, &entry.1);
            if desired.as_ref() != self.sent.get(&entry) {
                self.send(id, entry, desired, outputs);
            }
        }
    }

    /// Withdraws every route that was sent of an instance.
    pub(super) fn withdraw_instance(&mut self, id: UplinkId, instance: &InstanceName, outputs: &mut VecDeque<Output>) {
        let sent = self.sent.range(whole(instance)).map(|(entry, _)| entry.clone());
        for entry in sent.collect::<Vec<_>>() {
            self.send(id, entry, None, outputs);
        }
    }

    /// Forgets every route of an instance, sent or marked.
    pub(super) fn forget_instance(&mut self, instance: &InstanceName) {
        self.sent.retain(|(it, _), _| it != instance);
        for entries in [&mut self.dirty, &mut self.withdrawals] {
            entries.retain(|(it, _)| it != instance);
        }
    }

    /// Sends a route or its withdrawal. Only the key of a withdrawal counts, but the path goes with it.
    fn send(&mut self, id: UplinkId, entry: Entry, path: Option<Path>, outputs: &mut VecDeque<Output>) {
        let (instance, key) = entry.clone();
        let (associate, node) = (path.is_some(), key.node());
        let path = match path {
            Some(path) => {
                self.sent.insert(entry, path.clone());
                path
            }
            None => self.sent.remove(&entry).unwrap_or_default(),
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
}

/// Every route of an instance.
fn whole(instance: &InstanceName) -> RangeInclusive<Entry> {
    let ends = [
        Key {
            ethernet_tag: 0,
            mac: Mac([0; 6]),
            address: Ipv4Addr::UNSPECIFIED.into(),
        },
        Key {
            ethernet_tag: u32::MAX,
            mac: Mac::BROADCAST,
            address: Ipv6Addr::from_bits(u128::MAX).into(),
        },
    ];
    let [first, last] = ends.map(|key| (instance.clone(), key));
    first..=last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Vni;

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
            rib.publish(ID, 1, desired, &mut outputs);
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
        rib.mark_sent(&"blue".into());
        assert!(!rib.is_clean());
        assert_eq!(publish(&mut rib, 5000, &[]), []);
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
