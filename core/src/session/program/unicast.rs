//! Remote MACs: one row each, at the tunnel end where the MAC is.

use std::net::Ipv4Addr;

use super::Verdict;
use crate::ids::{Mac, Uuid};
use crate::ovsdb::transaction::{MacTable, Transaction};
use crate::session::Session;
use crate::session::lanes::Reason;

impl Session {
    /// Whether the rows of a MAC are anything but the one that is wanted.
    pub(in crate::session) fn unicast_differs(&self, network: Uuid, mac: Mac) -> bool {
        let Some(row) = self.replica.logical_switches.of_network(network) else {
            return false;
        };
        match (self.wanted.vtep(network, mac), self.unicast_rows(row, mac).as_slice()) {
            (None, []) => false,
            (Some(vtep), [(_, found)]) => *found != Some(vtep),
            (Some(vtep), rows) if planted!(self, DuplicatesNotFolded) && !rows.is_empty() => {
                rows.iter().all(|(_, found)| *found != Some(vtep))
            }
            (None | Some(_), _) => self.wanted.network(network).is_some(),
        }
    }

    /// Inserts the row, moves it in place, or folds what is double; what is not wanted goes last.
    pub(super) fn look_at_unicast(
        &self,
        network: Uuid,
        mac: Mac,
        deleting: bool,
        transaction: &mut Transaction,
    ) -> Verdict {
        let Some(row) = self.replica.logical_switches.of_network(network) else {
            return Verdict::Right;
        };
        if !self.tables_read() || !self.unicast_differs(network, mac) {
            return Verdict::Right;
        }
        let mut rows = self.unicast_rows(row, mac);
        let Some(vtep) = self.wanted.vtep(network, mac) else {
            return match (self.wanted.is_complete(network), deleting) {
                (false, _) => Verdict::Wait(Reason::Incomplete),
                (true, false) => Verdict::Delete,
                (true, true) => {
                    self.fold(&rows, transaction);
                    Verdict::Written
                }
            };
        };
        let canonical = |row: Uuid| self.replica.ucast_remote.row(row).is_some_and(|entry| entry.canonical);
        rows.sort_by_key(|(row, found)| (*found != Some(vtep), !canonical(*row), *row));
        match rows.split_first() {
            Some(((_, found), double)) if *found == Some(vtep) => self.fold(double, transaction),
            kept => {
                let locator = match self.locator(vtep, transaction) {
                    Ok(locator) => locator,
                    Err(reason) => return Verdict::Wait(reason),
                };
                match kept {
                    None => transaction.insert_ucast(mac, row, locator),
                    Some(((kept, _), double)) => {
                        transaction.update_ucast(*kept, locator);
                        self.fold(double, transaction);
                    }
                }
            }
        }
        Verdict::Written
    }

    /// Rows in our logical switch that nothing can explain: a MAC that is none, a multicast group.
    pub(super) fn look_at_strays(&self, network: Uuid, transaction: &mut Transaction) -> Verdict {
        let Some(row) = self.replica.logical_switches.of_network(network) else {
            return Verdict::Right;
        };
        if !self.tables_read() || self.wanted.network(network).is_none() {
            return Verdict::Right;
        }
        let unicast: Vec<Uuid> = self.replica.ucast_remote.strays_of(row).collect();
        let groups = self
            .replica
            .mcast_remote
            .rows_of(row)
            .filter(|(_, entry)| !entry.mac.is_broadcast());
        let multicast: Vec<Uuid> = groups.map(|(row, _)| row).collect();
        if unicast.is_empty() && multicast.is_empty() {
            return Verdict::Right;
        }
        if !self.wanted.is_complete(network) {
            return Verdict::Wait(Reason::Incomplete);
        }
        let unicast = unicast.into_iter().map(|row| (MacTable::UcastRemote, row));
        let multicast = multicast.into_iter().map(|row| (MacTable::McastRemote, row));
        // What does not fit follows when this is applied.
        for (table, row) in unicast.chain(multicast).take(self.room_for_deletions(transaction)) {
            transaction.delete_mac(table, row);
        }
        Verdict::Written
    }

    /// Deletes as many of these rows as the switch takes; the rest follows when that is applied.
    fn fold(&self, rows: &[(Uuid, Option<Ipv4Addr>)], transaction: &mut Transaction) {
        for (row, _) in rows.iter().take(self.rows_left(transaction)) {
            transaction.delete_mac(MacTable::UcastRemote, *row);
        }
    }

    /// The rows of a MAC, and where each points.
    fn unicast_rows(&self, logical_switch: Uuid, mac: Mac) -> Vec<(Uuid, Option<Ipv4Addr>)> {
        let table = &self.replica.ucast_remote;
        let rows = table.rows_of(logical_switch, mac).iter();
        let place = |row: &Uuid| self.replica.locators.vtep(table.row(*row)?.locator?);
        rows.map(|row| (*row, place(row))).collect()
    }
}
