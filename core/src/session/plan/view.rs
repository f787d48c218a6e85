//! The view of planning: it may read everything, and change nothing.

use std::net::Ipv4Addr;

use crate::event::Lane;
use crate::ids::{Mac, Uuid};
use crate::ovsdb::limits::{Limited, Limits};
use crate::ovsdb::transaction::{Ref, Transaction};
use crate::session::desired::Desired;
use crate::session::reconciler::{Underway, Wait};
use crate::session::replica::Replica;
use crate::session::surplus::Withheld;
use crate::session::withdrawals::Withdrawals;
use crate::time::Time;

/// A session, as planning sees it.
#[derive(Clone, Copy, Debug)]
pub(in crate::session) struct View<'a> {
    pub(in crate::session) now: Time,
    pub(in crate::session) replica: &'a Replica,
    pub(in crate::session) desired: &'a Desired,
    pub(in crate::session) underway: &'a Underway,
    /// The unicast tables are known.
    pub(in crate::session) tables_read: bool,
    /// The schema has `Logical_Switch.replication_mode`.
    pub(in crate::session) replication_mode: bool,
    /// It is not known yet how many deletions there are.
    pub(in crate::session) uncounted: bool,
    /// Deletions because of the configuration that wait for an operator.
    pub(in crate::session) withheld: &'a Withheld,
    /// Remote MACs without a route.
    pub(in crate::session) withdrawals: &'a Withdrawals,
    /// The limits of tables.
    pub(in crate::session) limits: &'a Limits,
}

impl View<'_> {
    /// A locator to refer to: found, or created by this transaction, unless another one is just creating it.
    pub(super) fn locator(&self, vtep: Ipv4Addr, transaction: &mut Transaction) -> Result<Ref, Wait> {
        let found = self.replica.locators.find(vtep);
        if found.is_none() && self.underway.creates(vtep) {
            return Err(Wait::Locator(vtep));
        }
        if found.is_none() && !transaction.refers_to(vtep) {
            self.room(Limited::Locator, transaction)?;
        }
        Ok(transaction.locator(vtep, found))
    }

    /// Whether what a configuration no longer desires in a network waits for an operator.
    pub(super) fn withholds(&self, network: Uuid) -> bool {
        (self.uncounted || self.withheld.holds(network)) && !planted!(self.desired, BrakeWithholdsNothing)
    }

    /// Whether the deletion of a MAC without a route waits for an operator.
    pub(super) fn withholds_mac(&self, network: Uuid, mac: Mac) -> bool {
        self.withdrawals.withholds(network, mac) && !planted!(self.desired, BrakeWithholdsNothing)
    }

    /// Whether a table takes another row beyond those that are there, on the wire and in this transaction.
    pub(super) fn room(&self, table: Limited, transaction: &Transaction) -> Result<(), Wait> {
        let Some(limit) = self.limits.of(table) else {
            return Ok(());
        };
        let inserted = self.underway.inserts(table) + transaction.inserts().of(table);
        if self.replica.count(table) + inserted < limit.rows {
            return Ok(());
        }
        Err(Wait::Full { table, limit })
    }

    /// A locator set with the services node of this agent, made once in a transaction.
    pub(super) fn broadcast_set(&self, transaction: &mut Transaction) -> Result<Ref, Wait> {
        let tsn = self.desired.options().tsn;
        self.locator(tsn, transaction)?;
        Ok(transaction.locator_set(tsn, self.replica.locators.find(tsn)))
    }

    /// Rows that the switch still takes in this transaction; at least one for each object that is planned.
    pub(super) fn rows_left(&self, transaction: &Transaction) -> usize {
        let max = self.desired.rows_per_transaction_max();
        max.saturating_sub(transaction.rows())
    }

    /// Rows that may still be deleted by this transaction.
    pub(super) fn deletions_left(&self, transaction: &Transaction) -> usize {
        let limit = self.desired.rows_per_transaction(Lane::Deletions);
        limit.saturating_sub(transaction.rows())
    }
}
