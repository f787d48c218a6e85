//! The rows that transactions on the wire are about to bring, and other facts that planning one object needs of others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::ids::{Uuid, Vni};
use crate::ovsdb::limits::{Limited, Rows};
use crate::time::Time;

/// Facts that outlive the plan of one object.
#[derive(Clone, Debug, Default)]
pub(in crate::session) struct Underway {
    creating: BTreeSet<Ipv4Addr>,
    giving: BTreeSet<Vni>,
    inserts: Rows,
    retiring: BTreeMap<Uuid, Time>,
    /// Networks whose logical switch is to go, and something refers to it that is not ours.
    referred: BTreeSet<Uuid>,
    manager_done: bool,
}

impl Underway {
    /// Whether a transaction on the wire creates the locator of a tunnel end.
    pub(in crate::session) fn creates(&self, vtep: Ipv4Addr) -> bool {
        self.creating.contains(&vtep)
    }

    /// Whether a transaction on the wire gives a VNI to a logical switch.
    pub(in crate::session) fn gives(&self, vni: Vni) -> bool {
        self.giving.contains(&vni)
    }

    /// Rows of a table that transactions on the wire insert. A row counts twice from its update to the answer.
    pub(in crate::session) fn inserts(&self, table: Limited) -> usize {
        self.inserts.of(table)
    }

    /// The same, of every table.
    pub(in crate::session) fn all_inserts(&self) -> Rows {
        self.inserts
    }

    pub(super) fn sent_inserts(&mut self, inserts: &Rows) {
        self.inserts.add(inserts);
    }

    pub(super) fn answered_inserts(&mut self, inserts: &Rows) {
        self.inserts.subtract(inserts);
    }

    /// Until when the switch may take back what it learned in a network whose logical switch is to go.
    pub(in crate::session) fn retires(&self, network: Uuid) -> Option<Time> {
        self.retiring.get(&network).copied()
    }

    /// Whether the timers of the `Manager` row were set in this session.
    pub(in crate::session) fn is_manager_done(&self) -> bool {
        self.manager_done
    }

    pub(in crate::session) fn sent(&mut self, creates: &[Ipv4Addr], gives: &[Vni]) {
        self.creating.extend(creates);
        self.giving.extend(gives);
    }

    pub(super) fn answered(&mut self, creates: &[Ipv4Addr], gives: &[Vni]) {
        self.creating.retain(|vtep| !creates.contains(vtep));
        self.giving.retain(|vni| !gives.contains(vni));
    }

    /// A logical switch is to go, but the switch has until then. The first time counts.
    pub(in crate::session) fn retire(&mut self, network: Uuid, until: Time) {
        self.retiring.entry(network).or_insert(until);
    }

    /// The logical switch of a network could not be deleted: something refers to it, such as a `Logical_Router`.
    pub(super) fn refer(&mut self, network: Uuid) {
        self.referred.insert(network);
    }

    /// Whether something that is not ours refers to the logical switch of a network, which is to go.
    pub(in crate::session) fn is_referred(&self, network: Uuid) -> bool {
        self.referred.contains(&network)
    }

    /// A logical switch is to stay after all, or is gone.
    pub(super) fn keep(&mut self, network: Uuid) {
        self.retiring.remove(&network);
        self.referred.remove(&network);
    }

    pub(super) fn manager_done(&mut self) {
        self.manager_done = true;
    }
}
