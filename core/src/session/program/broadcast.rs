//! The broadcast row: exactly one in each logical switch, and it names our services node.

use std::net::Ipv4Addr;

use super::Verdict;
use crate::ids::Uuid;
use crate::ovsdb::rows::MacText;
use crate::ovsdb::transaction::{MacTable, Transaction};
use crate::session::Session;

impl Session {
    /// Repoints the row in place, folds what is double, and says `unknown-dst` for `ff:ff:ff:ff:ff:ff`.
    ///
    /// A logical switch that is not there yet gets its row in the transaction that creates it.
    pub(super) fn look_at_broadcast(&mut self, network: Uuid, transaction: &mut Transaction) -> Verdict {
        let Some(row) = self.replica.logical_switches.of_network(network) else {
            return Verdict::Right;
        };
        if self.wanted.network(network).is_none() {
            return Verdict::Right;
        }
        let tsn = self.wanted.options().tsn;
        let rows = self.broadcast_rows(row, tsn);
        if let [(_, true)] = rows.as_slice() {
            return Verdict::Right;
        }
        if let Err(reason) = self.locator(tsn, transaction) {
            return Verdict::Wait(reason);
        }
        let set = |transaction: &mut Transaction| transaction.locator_set(tsn, self.replica.locators.find(tsn));
        match rows.split_first() {
            None => {
                let set = set(transaction);
                transaction.insert_broadcast(crate::ovsdb::transaction::Ref::Row(row), set);
            }
            Some(((kept, right), double)) => {
                if !right {
                    let set = set(transaction);
                    transaction.update_broadcast(*kept, set);
                }
                // What does not fit follows when this is applied.
                for (row, _) in double.iter().take(self.rows_left(transaction)) {
                    transaction.delete_mac(MacTable::McastRemote, *row);
                }
            }
        }
        self.broadcast_rows_written += 1;
        Verdict::Written
    }

    /// The broadcast rows of a logical switch, and whether each is right; the best to keep comes first.
    fn broadcast_rows(&self, logical_switch: Uuid, tsn: Ipv4Addr) -> Vec<(Uuid, bool)> {
        let rows = self.replica.mcast_remote.rows_of(logical_switch);
        let mut rows: Vec<(Uuid, bool)> = rows
            .filter(|(_, entry)| entry.mac.is_broadcast())
            .map(|(row, entry)| {
                let vtep = entry.locator_set.and_then(|set| self.replica.locators.sole_vtep(set));
                let unchecked = planted!(self, BroadcastNotChecked);
                (row, unchecked || entry.mac == MacText::UnknownDst && vtep == Some(tsn))
            })
            .collect();
        rows.sort_by_key(|(row, right)| (!right, *row));
        rows
    }
}
