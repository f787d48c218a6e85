//! Logical switches: created with their broadcast row, given their VNI when it is free, deleted last.

use std::collections::BTreeSet;

use super::Verdict;
use crate::ids::{Uuid, Vni};
use crate::ovsdb::transaction::{MacTable, Transaction};
use crate::session::Session;
use crate::session::lanes::Reason;
use crate::session::replica::mcast::Mcast;
use crate::session::replica::ucast::Ucast;
use crate::time::Time;

impl Session {
    /// Creates, changes or deletes the logical switch of a network.
    pub(super) fn look_at_logical_switch(
        &mut self,
        now: Time,
        network: Uuid,
        deleting: bool,
        transaction: &mut Transaction,
    ) -> Verdict {
        let row = self.replica.logical_switches.of_network(network);
        let vni = self.wanted.network(network).map(|network| network.vni);
        if vni.is_some() || row.is_none() {
            self.leaving.remove(&network);
        }
        match (vni, row) {
            (None, None) => Verdict::Right,
            (Some(vni), None) => self.create(network, vni, transaction),
            (Some(vni), Some(row)) => self.change(network, row, vni, transaction),
            (None, Some(_)) if !self.wanted.complete => Verdict::Wait(Reason::Incomplete),
            (None, Some(_)) if !deleting => Verdict::Delete,
            (None, Some(row)) => self.delete(now, network, row, transaction),
        }
    }

    fn create(&self, network: Uuid, vni: Vni, transaction: &mut Transaction) -> Verdict {
        if let Some(reason) = self.vni_taken(vni, None, transaction) {
            return Verdict::Wait(reason);
        }
        let options = self.wanted.options();
        // Where there is no room for both, the broadcast row follows when the logical switch is there.
        let with_broadcast = self.rows_left(transaction) > 1;
        if with_broadcast && let Err(reason) = self.locator(options.tsn, transaction) {
            return Verdict::Wait(reason);
        }
        let name = options.logical_switch(network);
        let replication_mode = self.schema.as_ref().is_some_and(|schema| schema.replication_mode);
        let row = transaction.insert_logical_switch(name.as_str(), vni, replication_mode);
        if with_broadcast {
            let set = transaction.locator_set(options.tsn, self.replica.locators.find(options.tsn));
            transaction.insert_broadcast(row, set);
        }
        Verdict::Written
    }

    fn change(&self, network: Uuid, row: Uuid, vni: Vni, transaction: &mut Transaction) -> Verdict {
        let found = self
            .replica
            .logical_switches
            .row(row)
            .and_then(|entry| entry.tunnel_key);
        let renumber = found != Some(i64::from(vni.value()));
        let replicate = self.replica.logical_switches.is_source_node(row);
        if !renumber && !replicate {
            return Verdict::Right;
        }
        if renumber {
            match self.vni_taken(vni, Some(row), transaction) {
                None => transaction.update_tunnel_key(row, Some(vni)),
                // Two networks that swap their VNIs would wait for each other forever: one steps aside.
                Some(_) if found.is_some() && self.steps_aside(network) => transaction.update_tunnel_key(row, None),
                Some(reason) if !replicate => return Verdict::Wait(reason),
                Some(_) => {}
            }
        }
        if replicate {
            transaction.update_replication_mode(row);
        }
        Verdict::Written
    }

    /// Some switches cannot hold two logical switches with one VNI, not even for a moment.
    fn vni_taken(&self, vni: Vni, except: Option<Uuid>, transaction: &Transaction) -> Option<Reason> {
        let tunnel_key = i64::from(vni.value());
        if let Some(holder) = self.replica.logical_switches.holder(tunnel_key, except) {
            return Some(Reason::Vni { tunnel_key, holder });
        }
        let under_way = self.numbering.contains(&vni) || transaction.given_vnis().any(|given| given == vni);
        under_way.then_some(Reason::VniUnderWay(vni))
    }

    /// Whether a network stands in a circle of networks that wait for each other, as the first of them.
    fn steps_aside(&self, network: Uuid) -> bool {
        if planted!(self, VniSwapDeadlock) {
            return false;
        }
        let mut circle = BTreeSet::from([network]);
        let mut at = network;
        while let Some(next) = self.awaited_by(at) {
            if next == network {
                return circle.first() == Some(&network);
            }
            if !circle.insert(next) {
                return false;
            }
            at = next;
        }
        false
    }

    /// The network of ours that holds the VNI another one wants, and wants another itself.
    fn awaited_by(&self, network: Uuid) -> Option<Uuid> {
        let table = &self.replica.logical_switches;
        let wanted = i64::from(self.wanted.network(network)?.vni.value());
        let holder = table.network(table.holder(wanted, table.of_network(network))?)?;
        let moves = i64::from(self.wanted.network(holder)?.vni.value()) != wanted;
        Some(holder).filter(|_| moves)
    }

    /// Deletes a logical switch and what stands in it. The switch's own rows go with it only if it did not
    /// take them back in time.
    fn delete(&mut self, now: Time, network: Uuid, row: Uuid, transaction: &mut Transaction) -> Verdict {
        if self.replica.ports.binds(row) {
            return Verdict::Wait(Reason::Bound);
        }
        let learned = self.replica.ucast_local.any_of(row) || self.replica.mcast_local.rows_of(row).next().is_some();
        if learned {
            let grace = self.wanted.options().local_macs_grace;
            let until = *self.leaving.entry(network).or_insert(now + grace);
            if now < until {
                return Verdict::Wait(Reason::LocalMacs);
            }
        }
        if self.wanted.takes_any_number_of_rows() {
            for table in MacTable::ALL.into_iter().filter(|table| learned || !table.is_local()) {
                transaction.delete_macs_of(table, row);
            }
            transaction.delete_logical_switch(row);
        } else {
            self.delete_bit_by_bit(row, transaction);
        }
        Verdict::Written
    }

    /// As much as the switch takes in one transaction; the rest follows when it is applied.
    fn delete_bit_by_bit(&self, row: Uuid, transaction: &mut Transaction) {
        let room = self.room_for_deletions(transaction);
        let unicast = |table, rows: &Ucast| rows.rows_in(row).map(|row| (table, row)).take(room).collect::<Vec<_>>();
        let multicast = |table, rows: &Mcast| rows.rows_of(row).map(|(row, _)| (table, row)).collect::<Vec<_>>();
        let mut rows = unicast(MacTable::UcastRemote, &self.replica.ucast_remote);
        rows.extend(multicast(MacTable::McastRemote, &self.replica.mcast_remote));
        rows.extend(unicast(MacTable::UcastLocal, &self.replica.ucast_local));
        rows.extend(multicast(MacTable::McastLocal, &self.replica.mcast_local));
        for (table, row) in rows.iter().take(room) {
            transaction.delete_mac(*table, *row);
        }
        if rows.len() < room {
            transaction.delete_logical_switch(row);
        }
    }
}
