//! A table of multicast addresses: the broadcast row of each logical switch, and what else there may be.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::Uuid;
use crate::ovsdb::rows::{MacText, McastRow};

/// `Mcast_Macs_Local` or `Mcast_Macs_Remote`.
#[derive(Clone, Debug, Default)]
pub(in crate::session) struct Mcast {
    rows: BTreeMap<Uuid, Entry>,
    by_logical_switch: BTreeMap<Uuid, BTreeSet<Uuid>>,
}

/// The columns of a row that matter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::session) struct Entry {
    /// The address.
    pub(in crate::session) mac: MacText,
    /// Its `Logical_Switch`.
    pub(in crate::session) logical_switch: Uuid,
    /// Its `Physical_Locator_Set`, which may arrive later than the row.
    pub(in crate::session) locator_set: Option<Uuid>,
}

impl Mcast {
    /// Rows in the table.
    pub(in crate::session) fn count(&self) -> usize {
        self.rows.len()
    }

    /// Every row of a logical switch, in the order of their UUIDs.
    pub(in crate::session) fn rows_of(&self, logical_switch: Uuid) -> impl Iterator<Item = (Uuid, &Entry)> + '_ {
        let rows = self.by_logical_switch.get(&logical_switch).into_iter().flatten();
        rows.filter_map(|row| self.rows.get(row).map(|entry| (*row, entry)))
    }

    /// Records a row, or that it is gone, and names each logical switch that it touches.
    pub(in crate::session) fn record(&mut self, row: Uuid, columns: Option<McastRow>, touch: &mut impl FnMut(Uuid)) {
        if let Some(old) = self.rows.remove(&row) {
            touch(old.logical_switch);
            if let Some(rows) = self.by_logical_switch.get_mut(&old.logical_switch) {
                rows.remove(&row);
                if rows.is_empty() {
                    self.by_logical_switch.remove(&old.logical_switch);
                }
            }
        }
        if let Some(columns) = columns {
            let new = Entry {
                mac: columns.mac,
                logical_switch: columns.logical_switch.first().unwrap_or_default(),
                locator_set: columns.locator_set.first(),
            };
            touch(new.logical_switch);
            self.by_logical_switch
                .entry(new.logical_switch)
                .or_default()
                .insert(row);
            self.rows.insert(row, new);
        }
    }
}
