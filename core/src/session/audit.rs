//! Compares what is found with what is wanted, a bounded number of rows at a time.

use std::collections::BTreeSet;

use super::{Cause, Notice, Phase, Session};
use crate::bounds::AUDIT_ROWS_PER_STEP;
use crate::event::{Object, What};
use crate::ids::{Mac, Uuid};
use crate::time::Time;

/// Networks whose MACs are still to be compared, and how far we are.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    remote: Side,
    local: Side,
}

/// What is to be programmed, or what the switch learned.
#[derive(Clone, Debug, Default)]
struct Side {
    networks: BTreeSet<Uuid>,
    /// The last MAC of the first network that was compared.
    at: Option<Mac>,
}

impl Walk {
    /// Whether nothing is left to compare.
    pub fn is_done(&self) -> bool {
        self.remote.networks.is_empty() && self.local.networks.is_empty()
    }

    /// Compares a network, again and from its beginning.
    pub fn add(&mut self, network: Uuid) {
        self.remote.add(network);
        self.local.add(network);
    }
}

impl Side {
    fn add(&mut self, network: Uuid) {
        if self.networks.first().is_some_and(|first| *first >= network) {
            self.at = None;
        }
        self.networks.insert(network);
    }

    fn done(&mut self, network: Uuid) {
        self.networks.remove(&network);
        self.at = None;
    }
}

impl Session {
    /// Everything may differ: a session begins.
    pub(super) fn audit_all(&mut self) {
        self.audit_small();
        for network in self.known_networks() {
            self.walk.add(network);
        }
    }

    /// Something else is wanted: of unicast rows only these may differ.
    pub(super) fn audit_changed(&mut self, changed: BTreeSet<(Uuid, Option<Mac>)>) {
        self.audit_small();
        let at_once = changed.len() <= AUDIT_ROWS_PER_STEP;
        for (network, mac) in changed {
            match mac {
                Some(mac) if at_once => self.audit_unicast(network, mac),
                Some(_) | None => self.walk.add(network),
            }
        }
    }

    /// A remote MAC may differ. Before the tables were read, the audit comes to it.
    pub(super) fn audit_unicast(&mut self, network: Uuid, mac: Mac) {
        if self.tables_read() && self.unicast_differs(network, mac) {
            self.lanes.mark(Object::Unicast(network, mac), Cause::Ours);
        }
    }

    /// Every object of the small tables may differ.
    fn audit_small(&mut self) {
        for network in self.known_networks() {
            self.audit_logical_switch(network);
        }
        let wanted = self
            .wanted
            .ports()
            .map(|(switch, port)| Object::Port(switch.clone(), port.clone()));
        let found = self
            .replica
            .ports
            .names()
            .map(|(switch, port)| Object::Port(switch.clone(), port.clone()));
        for port in wanted.chain(found).collect::<BTreeSet<_>>() {
            self.lanes.mark(port, Cause::Ours);
        }
    }

    /// A logical switch, its broadcast row and what else stands in it may differ.
    pub(super) fn audit_logical_switch(&mut self, network: Uuid) {
        self.lanes.mark(Object::LogicalSwitch(network), Cause::Ours);
        self.lanes.mark(Object::Broadcast(network), Cause::Ours);
        self.lanes.mark(Object::Strays(network), Cause::Ours);
    }

    /// One step of the comparison of unicast rows, once they were read.
    pub(super) fn audit_step(&mut self) {
        if !self.tables_read() {
            return;
        }
        for _ in 0..AUDIT_ROWS_PER_STEP {
            if let Some(network) = self.walk.remote.networks.first().copied() {
                self.audit_remote(network);
            } else if let Some(network) = self.walk.local.networks.first().copied() {
                self.audit_local(network);
            } else {
                return;
            }
        }
    }

    /// The next remote MAC of a network, wanted or found.
    fn audit_remote(&mut self, network: Uuid) {
        let row = self.replica.logical_switches.of_network(network);
        let found = row.and_then(|row| self.replica.ucast_remote.next_mac(row, self.walk.remote.at));
        let wanted = row.and_then(|_| self.wanted.next_mac(network, self.walk.remote.at));
        match found.into_iter().chain(wanted).min() {
            Some(mac) => {
                self.walk.remote.at = Some(mac);
                self.audit_unicast(network, mac);
            }
            None => self.walk.remote.done(network),
        }
    }

    /// The next MAC of a network that the switch learned.
    fn audit_local(&mut self, network: Uuid) {
        let row = self.replica.logical_switches.of_network(network);
        let found = row.and_then(|row| self.replica.ucast_local.next_mac(row, self.walk.local.at));
        let exported = self.exports.next_mac(network, self.walk.local.at);
        match found.into_iter().chain(exported).min() {
            Some(mac) => {
                self.walk.local.at = Some(mac);
                self.export(network, mac);
            }
            None => {
                self.export(network, Mac::BROADCAST);
                self.walk.local.done(network);
            }
        }
    }

    /// Says when a takeover is over: every table was compared, and nothing is left to write.
    pub(super) fn conclude_audit(&mut self, now: Time) {
        if self.phase == Phase::Reading && self.tables_read() && self.walk.is_done() {
            self.phase = Phase::Synced;
        }
        let quiet = self.walk.is_done() && self.lanes.all_empty() && self.requests.writes() == 0;
        if self.phase == Phase::Synced && self.may_write() && self.takeover.audited.is_none() && quiet {
            self.takeover.audited = Some(now);
            let (rows_written, left) = (self.rows_written, self.lanes.left());
            self.event(What::Audited { rows_written, left });
            self.notify(Notice::Audited);
        }
    }

    /// Networks that are wanted, found or exported.
    fn known_networks(&self) -> BTreeSet<Uuid> {
        let found = self.replica.logical_switches.networks();
        let wanted = self.wanted.networks().chain(found);
        wanted.chain(self.exports.networks()).collect()
    }
}
