//! A table of unicast addresses. It has no unique index: the same MAC may stand in several rows.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use smallvec::SmallVec;

use crate::ids::{Mac, Uuid};
use crate::ovsdb::rows::{MacText, UcastRow};
use crate::ovsdb::updates::Change;

/// `Ucast_Macs_Local` or `Ucast_Macs_Remote`.
#[derive(Clone, Debug, Default)]
pub(in crate::session) struct Ucast {
    rows: BTreeMap<Uuid, Entry>,
    /// The number of rows of each logical switch.
    counts: BTreeMap<Uuid, usize>,
    /// By logical switch and MAC; nearly always one row.
    by_mac: BTreeMap<(Uuid, Mac), SmallVec<[Uuid; 1]>>,
    /// Rows whose MAC is none, by logical switch.
    strays: BTreeMap<Uuid, BTreeSet<Uuid>>,
    /// Rows are recorded that come just now, and not those that are found.
    watches: bool,
    /// Rows that came while we watched, and are not settled.
    arrived: BTreeSet<Uuid>,
}

/// The columns of a row that matter.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::session) struct Entry {
    /// `None` if the text is no MAC.
    pub(in crate::session) mac: Option<Mac>,
    /// The MAC is written as we write it.
    pub(in crate::session) canonical: bool,
    /// Its `Logical_Switch`.
    pub(in crate::session) logical_switch: Uuid,
    /// Its `Physical_Locator`.
    pub(in crate::session) locator: Option<Uuid>,
}

impl Ucast {
    /// Rows in the table.
    pub(in crate::session) fn count(&self) -> usize {
        self.rows.len()
    }

    /// Rows in a logical switch.
    pub(in crate::session) fn count_in(&self, logical_switch: Uuid) -> usize {
        self.counts.get(&logical_switch).copied().unwrap_or_default()
    }

    /// A row.
    pub(in crate::session) fn row(&self, row: Uuid) -> Option<&Entry> {
        self.rows.get(&row)
    }

    /// The rows of a MAC.
    pub(in crate::session) fn rows_of(&self, logical_switch: Uuid, mac: Mac) -> &[Uuid] {
        self.by_mac.get(&(logical_switch, mac)).map_or(&[], |rows| rows)
    }

    /// The rows in a logical switch whose MAC is none.
    pub(in crate::session) fn strays_of(&self, logical_switch: Uuid) -> impl Iterator<Item = Uuid> + '_ {
        self.strays.get(&logical_switch).into_iter().flatten().copied()
    }

    /// The first MAC in a logical switch that comes after another.
    pub(in crate::session) fn next_mac(&self, logical_switch: Uuid, after: Option<Mac>) -> Option<Mac> {
        let from = match after {
            Some(mac) => Bound::Excluded((logical_switch, mac)),
            None => Bound::Included((logical_switch, Mac([0; 6]))),
        };
        let to = Bound::Included((logical_switch, Mac::BROADCAST));
        self.by_mac.range((from, to)).next().map(|((_, mac), _)| *mac)
    }

    /// Every row in a logical switch.
    pub(in crate::session) fn rows_in(&self, logical_switch: Uuid) -> impl Iterator<Item = Uuid> + '_ {
        let all = (logical_switch, Mac([0; 6]))..=(logical_switch, Mac::BROADCAST);
        let rows = self.by_mac.range(all).flat_map(|(_, rows)| rows.iter().copied());
        rows.chain(self.strays_of(logical_switch))
    }

    /// Whether a logical switch has any row here.
    pub(in crate::session) fn any_of(&self, logical_switch: Uuid) -> bool {
        self.next_mac(logical_switch, None).is_some() || self.strays.contains_key(&logical_switch)
    }

    /// Whether the rows that are recorded next come just now: otherwise they are found, and may be of any age.
    pub(in crate::session) fn watch(&mut self, watches: bool) {
        self.watches = watches;
    }

    /// Whether a row came while we watched, and its MAC is not settled.
    pub(in crate::session) fn has_arrived(&self, row: Uuid) -> bool {
        self.arrived.contains(&row)
    }

    /// From now on the rows of a MAC are old ones.
    pub(in crate::session) fn settle(&mut self, logical_switch: Uuid, mac: Mac) {
        if let Some(rows) = self.by_mac.get(&(logical_switch, mac)) {
            for row in rows {
                self.arrived.remove(row);
            }
        }
    }

    /// Records a change, and names each (logical switch, MAC) that it touches.
    pub(in crate::session) fn record(
        &mut self,
        row: Uuid,
        change: Change<UcastRow>,
        mut touch: impl FnMut(Uuid, Option<Mac>),
    ) {
        let old = self.rows.get(&row).copied();
        let new = match change {
            Change::Full(columns) => Some(Entry::default().with(columns)),
            Change::Modified(columns) => Some(old.unwrap_or_default().with(columns)),
            Change::Deleted => None,
        };
        if old == new {
            return;
        }
        // A row of which the locator alone changes was learned before: the switch has another tunnel end.
        let place = |entry: Entry| (entry.logical_switch, entry.mac);
        if old.map(place) != new.map(place) {
            self.arrived.remove(&row);
            if self.watches && new.is_some() {
                self.arrived.insert(row);
            }
        }
        if let Some(old) = old {
            self.unindex(row, old);
            touch(old.logical_switch, old.mac);
        }
        match new {
            Some(new) => {
                self.rows.insert(row, new);
                self.index(row, new);
                touch(new.logical_switch, new.mac);
            }
            None => {
                self.rows.remove(&row);
            }
        }
    }

    fn index(&mut self, row: Uuid, entry: Entry) {
        *self.counts.entry(entry.logical_switch).or_default() += 1;
        match entry.mac {
            Some(mac) => self.by_mac.entry((entry.logical_switch, mac)).or_default().push(row),
            None => {
                self.strays.entry(entry.logical_switch).or_default().insert(row);
            }
        }
    }

    fn unindex(&mut self, row: Uuid, entry: Entry) {
        let logical_switch = entry.logical_switch;
        if let Some(count) = self.counts.get_mut(&logical_switch) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&logical_switch);
            }
        }
        match entry.mac {
            Some(mac) => {
                if let Some(rows) = self.by_mac.get_mut(&(logical_switch, mac)) {
                    rows.retain(|other| *other != row);
                    if rows.is_empty() {
                        self.by_mac.remove(&(logical_switch, mac));
                    }
                }
            }
            None => {
                if let Some(rows) = self.strays.get_mut(&logical_switch) {
                    rows.remove(&row);
                    if rows.is_empty() {
                        self.strays.remove(&logical_switch);
                    }
                }
            }
        }
    }
}

impl Entry {
    /// With the columns that a change carries.
    fn with(mut self, columns: UcastRow) -> Self {
        match columns.mac {
            Some(MacText::Mac { mac, canonical }) => {
                self.mac = Some(mac);
                self.canonical = canonical;
            }
            Some(MacText::UnknownDst | MacText::Other(_)) => self.mac = None,
            None => {}
        }
        if let Some(logical_switch) = columns.logical_switch {
            self.logical_switch = logical_switch.first().unwrap_or_default();
        }
        if let Some(locator) = columns.locator {
            self.locator = locator.first();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovsdb::notation::Set;
    use smallvec::smallvec;

    const LS: Uuid = Uuid(100);

    fn columns(mac: &str, locator: u128) -> UcastRow {
        UcastRow {
            mac: mac.parse().ok(),
            logical_switch: Some(Set(smallvec![LS])),
            locator: Some(Set(smallvec![Uuid(locator)])),
        }
    }

    #[test]
    fn two_rows_of_one_mac_in_either_case_are_found_together() {
        let mut table = Ucast::default();
        table.record(Uuid(1), Change::Full(columns("02:00:00:00:00:0a", 7)), |_, _| {});
        table.record(Uuid(2), Change::Full(columns("02:00:00:00:00:0A", 8)), |_, _| {});
        let mac = Mac([2, 0, 0, 0, 0, 10]);
        assert_eq!(table.rows_of(LS, mac), [Uuid(1), Uuid(2)]);
        table.record(Uuid(1), Change::Deleted, |_, _| {});
        assert_eq!(table.rows_of(LS, mac), [Uuid(2)]);
        assert!(table.row(Uuid(2)).is_some_and(|entry| !entry.canonical));
    }

    #[test]
    fn a_difference_changes_only_its_columns_and_touches_old_and_new() {
        let mut table = Ucast::default();
        table.record(Uuid(1), Change::Full(columns("02:00:00:00:00:01", 7)), |_, _| {});
        let mut touched = Vec::new();
        let difference = UcastRow {
            mac: "02:00:00:00:00:02".parse().ok(),
            ..UcastRow::default()
        };
        table.record(Uuid(1), Change::Modified(difference), |ls, mac| touched.push((ls, mac)));
        let macs = [1, 2].map(|last| Mac([2, 0, 0, 0, 0, last]));
        assert_eq!(touched, macs.map(|mac| (LS, Some(mac))));
        assert_eq!(table.next_mac(LS, None), Some(macs[1]));
        assert_eq!(table.row(Uuid(1)).and_then(|entry| entry.locator), Some(Uuid(7)));
    }

    #[test]
    fn only_a_row_that_comes_while_we_watch_has_arrived_and_only_until_it_is_settled() {
        let mut table = Ucast::default();
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let full = |locator| Change::Full(columns("02:00:00:00:00:01", locator));
        table.record(Uuid(1), full(7), |_, _| {});
        table.watch(true);
        table.record(Uuid(1), full(8), |_, _| {});
        assert!(!table.has_arrived(Uuid(1)), "another locator makes no other row");
        table.record(Uuid(2), full(8), |_, _| {});
        assert!(table.has_arrived(Uuid(2)));
        table.settle(LS, mac);
        assert!(!table.has_arrived(Uuid(2)));
        table.record(Uuid(3), full(8), |_, _| {});
        table.record(Uuid(3), Change::Deleted, |_, _| {});
        assert!(table.arrived.is_empty());
    }

    #[test]
    fn text_that_is_no_mac_is_a_stray() {
        let mut table = Ucast::default();
        table.record(Uuid(1), Change::Full(columns("zz", 7)), |_, _| {});
        assert_eq!(table.strays_of(LS).collect::<Vec<_>>(), [Uuid(1)]);
        assert!(table.any_of(LS));
        table.record(Uuid(1), Change::Deleted, |_, _| {});
        assert!(!table.any_of(LS));
    }
}
