//! Tunnel ends. A `Physical_Locator` has a unique index, and vanishes with the last row that refers to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use smallvec::SmallVec;

use crate::ids::{Uuid, Vni};
use crate::ovsdb::rows::{LocatorKeyRow, LocatorRow, LocatorSetRow};

/// `Physical_Locator` and `Physical_Locator_Set`.
#[derive(Clone, Debug, Default)]
pub(in crate::session) struct Locators {
    /// Locators of VXLAN over IPv4, and where they point.
    rows: BTreeMap<Uuid, Option<Ipv4Addr>>,
    by_vtep: BTreeMap<Ipv4Addr, BTreeSet<Uuid>>,
    /// Locators with a tunnel key of their own: not ours, we give the key to the logical switch.
    keyed: BTreeMap<Uuid, i64>,
    sets: BTreeMap<Uuid, SmallVec<[Uuid; 1]>>,
}

impl Locators {
    /// Entries for the rows of both tables.
    pub(in crate::session) fn count(&self) -> usize {
        self.rows.len() + self.keyed.len() + self.sets.len()
    }

    /// Rows of `Physical_Locator`.
    pub(in crate::session) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The locator of a tunnel end that we may refer to.
    pub(in crate::session) fn find(&self, vtep: Ipv4Addr) -> Option<Uuid> {
        let rows = self.by_vtep.get(&vtep)?;
        rows.iter().find(|row| !self.keyed.contains_key(row)).copied()
    }

    /// The tunnel end of a locator; `None` if it is gone, or is not of our kind.
    pub(in crate::session) fn vtep(&self, locator: Uuid) -> Option<Ipv4Addr> {
        let vtep = self.rows.get(&locator).copied().flatten()?;
        Some(vtep).filter(|_| !self.keyed.contains_key(&locator))
    }

    /// The tunnel end of a locator behind which the switch learned something in a network with this VNI. A key of its own
    /// is right if it is that VNI.
    pub(in crate::session) fn learned_at(&self, locator: Uuid, vni: Vni) -> Option<Ipv4Addr> {
        let vtep = self.rows.get(&locator).copied().flatten()?;
        let key = self.keyed.get(&locator);
        Some(vtep).filter(|_| key.is_none_or(|key| *key == i64::from(vni.value())))
    }

    /// Whether a locator has arrived, of whatever kind.
    pub(in crate::session) fn has_arrived(&self, locator: Uuid) -> bool {
        self.rows.contains_key(&locator)
    }

    /// The tunnel end of a set, if it has exactly one locator.
    pub(in crate::session) fn sole_vtep(&self, set: Uuid) -> Option<Ipv4Addr> {
        match self.sets.get(&set)?.as_slice() {
            [locator] => self.vtep(*locator),
            _ => None,
        }
    }

    /// All the places where a set points.
    pub(in crate::session) fn vteps(&self, set: Uuid) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let locators = self.sets.get(&set).into_iter().flatten();
        locators.filter_map(|locator| self.vtep(*locator))
    }

    /// Whether a set is there, and everything in it.
    pub(in crate::session) fn is_whole(&self, set: Uuid) -> bool {
        let locators = self.sets.get(&set);
        locators.is_some_and(|locators| locators.iter().all(|locator| self.rows.contains_key(locator)))
    }

    /// Records a locator, or that it is gone.
    pub(in crate::session) fn record(&mut self, row: Uuid, columns: Option<LocatorRow>) {
        if let Some(Some(vtep)) = self.rows.remove(&row)
            && let Some(rows) = self.by_vtep.get_mut(&vtep)
        {
            rows.remove(&row);
            if rows.is_empty() {
                self.by_vtep.remove(&vtep);
            }
        }
        if let Some(columns) = columns {
            let vtep = columns
                .dst_ip
                .0
                .filter(|_| columns.encapsulation_type == "vxlan_over_ipv4");
            self.rows.insert(row, vtep);
            if let Some(vtep) = vtep {
                self.by_vtep.entry(vtep).or_default().insert(row);
            }
        }
    }

    /// Records the tunnel key that a locator has of its own. Answers whether that is a change.
    pub(in crate::session) fn record_key(&mut self, row: Uuid, columns: Option<LocatorKeyRow>) -> bool {
        let key = columns.and_then(|columns| columns.tunnel_key.first());
        let before = match key {
            Some(key) => self.keyed.insert(row, key),
            None => self.keyed.remove(&row),
        };
        before != key
    }

    /// Records a set, or that it is gone.
    pub(in crate::session) fn record_set(&mut self, row: Uuid, columns: Option<LocatorSetRow>) {
        match columns {
            Some(columns) => self.sets.insert(row, columns.locators.0),
            None => self.sets.remove(&row),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovsdb::notation::Set;
    use crate::ovsdb::rows::Address;
    use smallvec::smallvec;

    const VTEP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    fn locator(encapsulation_type: &str) -> Option<LocatorRow> {
        Some(LocatorRow {
            encapsulation_type: encapsulation_type.into(),
            dst_ip: Address(Some(VTEP)),
        })
    }

    #[test]
    fn a_locator_of_another_kind_or_with_its_own_key_is_not_reused() {
        let mut locators = Locators::default();
        locators.record(Uuid(1), locator("other"));
        assert_eq!(locators.find(VTEP), None);
        locators.record(Uuid(2), locator("vxlan_over_ipv4"));
        assert_eq!(locators.find(VTEP), Some(Uuid(2)));
        let key = LocatorKeyRow {
            tunnel_key: Set(smallvec![5]),
        };
        assert!(locators.record_key(Uuid(2), Some(key.clone())) && !locators.record_key(Uuid(2), Some(key)));
        assert_eq!(locators.find(VTEP), None);
        let vni = |number| Vni::new(number).expect("a VNI");
        let learned = [5, 6].map(|number| locators.learned_at(Uuid(2), vni(number)));
        assert_eq!(learned, [Some(VTEP), None], "its key is a VNI");
    }

    #[test]
    fn a_set_of_several_locators_is_at_no_one_tunnel_end_whichever_comes_first() {
        let mut locators = Locators::default();
        locators.record(Uuid(1), locator("vxlan_over_ipv4"));
        for (set, both) in [(3, [Uuid(1), Uuid(2)]), (4, [Uuid(2), Uuid(1)])] {
            let row = LocatorSetRow {
                locators: Set(both.into_iter().collect()),
            };
            locators.record_set(Uuid(set), Some(row));
            assert_eq!(locators.sole_vtep(Uuid(set)), None);
            assert_eq!(locators.vteps(Uuid(set)).collect::<Vec<_>>(), [VTEP]);
        }
    }

    #[test]
    fn a_locator_that_is_gone_is_not_found() {
        let mut locators = Locators::default();
        locators.record(Uuid(2), locator("vxlan_over_ipv4"));
        locators.record_set(
            Uuid(3),
            Some(LocatorSetRow {
                locators: Set(smallvec![Uuid(2)]),
            }),
        );
        assert_eq!(locators.sole_vtep(Uuid(3)), Some(VTEP));
        locators.record(Uuid(2), None);
        assert_eq!((locators.find(VTEP), locators.sole_vtep(Uuid(3))), (None, None));
    }
}
