//! The consequences of a change: objects that may differ, MACs whose exports may, waits that are over.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::Session;
use super::plan::unicast_differs;
use super::reconciler::{Cause, Wait};
use super::replica::Touched;
use crate::bounds::AUDIT_ROWS_PER_STEP;
use crate::event::Object;
use crate::ids::{Mac, Uuid};

impl Session {
    /// Routes were received. One more on a switch that holds a hundred thousand costs what it costs on an empty one.
    pub(super) fn import(&mut self, network: Uuid, macs: Vec<(Mac, Option<Ipv4Addr>)>) {
        for (mac, vtep) in macs {
            self.desired.import(network, mac, vtep);
            self.mark_unicast(network, mac, Cause::Ours);
        }
    }

    /// All routes of a network have been received, or not any more.
    pub(super) fn set_routes_complete(&mut self, network: Uuid, complete: bool) {
        self.desired.set_routes_complete(network, complete);
        if complete {
            self.withdrawals.look_again();
            self.reconciler.release(|on| *on == Wait::Incomplete);
        } else {
            self.withdrawals.on_incomplete(network);
        }
    }

    /// Everything may differ.
    pub(super) fn mark_all(&mut self) {
        self.mark_small_tables();
        for network in self.known_networks() {
            self.reconciler.mark_network(network);
        }
    }

    /// Something else is desired: of unicast rows only these may differ.
    pub(super) fn mark_changed(&mut self, changed: BTreeSet<(Uuid, Option<Mac>)>) {
        self.mark_small_tables();
        let at_once = changed.len() <= AUDIT_ROWS_PER_STEP;
        for (network, mac) in changed {
            match mac {
                Some(mac) if at_once => self.mark_unicast(network, mac, Cause::Ours),
                Some(_) | None => self.reconciler.mark_network(network),
            }
        }
    }

    /// A remote MAC may differ: it is marked if it does. Before the tables were read, the audit comes to it.
    pub(super) fn mark_unicast(&mut self, network: Uuid, mac: Mac, cause: Cause) {
        if !self.progress.tables_read() {
            return;
        }
        let object = Object::Unicast(network, mac);
        if unicast_differs(&self.replica, &self.desired, network, mac) {
            self.reconciler.mark(object, cause);
        } else {
            self.reconciler.unmark(&object);
        }
        self.follow_withdrawal(network, mac);
    }

    /// Rows were recorded: what they belong to may differ now.
    pub(super) fn on_touched(&mut self, mut touched: Vec<Touched>) {
        touched.dedup();
        if touched.contains(&Touched::Ports) {
            self.desired.mark_served();
        }
        for touched in touched {
            self.touch(touched);
        }
    }

    fn touch(&mut self, touched: Touched) {
        match touched {
            Touched::LogicalSwitch { network, .. } => {
                self.reconciler.release(|on| matches!(on, Wait::Vni { .. }));
                if let Some(network) = network {
                    self.touch_logical_switch(network);
                }
            }
            Touched::Broadcast(row) => {
                if let Some(network) = self.replica.logical_switches.network(row) {
                    self.reconciler.mark(Object::Broadcast(network), Cause::Theirs);
                    self.reconciler.mark(Object::Strays(network), Cause::Theirs);
                }
            }
            Touched::Locators => self.exporter.on_locators(),
            Touched::LocatorKeys => self.reconciler.mark_all_due(),
            Touched::Remote(row, mac) => self.touch_remote(row, mac),
            Touched::Local(row, mac) => self.touch_local(row, mac),
            Touched::LocalBroadcast(row) => self.touch_local(row, Mac::BROADCAST),
            Touched::Port(row) => {
                if let Some((switch, port)) = self.replica.ports.name(row) {
                    self.reconciler.mark(Object::Port(switch, port), Cause::Theirs);
                }
                self.reconciler.release(|on| *on == Wait::Bound);
            }
            Touched::Ports => {
                self.faults.mark();
                self.reconciler.release(|on| *on == Wait::Bound);
            }
            Touched::Faults => self.faults.mark(),
            Touched::Manager => {}
        }
    }

    /// A logical switch of ours came, went or changed: all that stands in it may differ.
    fn touch_logical_switch(&mut self, network: Uuid) {
        self.reconciler.mark_logical_switch(network, Cause::Theirs);
        for (switch, port) in self.desired.ports_of(network) {
            let port = Object::Port(switch.clone(), port.clone());
            self.reconciler.mark(port, Cause::Ours);
        }
        self.reconciler.mark_network(network);
    }

    /// A remote row changed. A session that waits for the lock sees the owner write, and keeps only what differs.
    fn touch_remote(&mut self, row: Uuid, mac: Option<Mac>) {
        let network = self.replica.logical_switches.network(row);
        let Some(network) = network.filter(|_| self.progress.tables_read()) else {
            return;
        };
        let is_gone = |mac| self.replica.ucast_remote.rows_of(row, mac).is_empty();
        match mac {
            None => self.reconciler.mark(Object::Strays(network), Cause::Theirs),
            Some(mac) if planted!(self, DeletedMacNotPutBack) && is_gone(mac) => {}
            Some(mac) => self.mark_unicast(network, mac, Cause::Theirs),
        }
    }

    /// The switch learned, moved or lost a MAC.
    fn touch_local(&mut self, row: Uuid, mac: Mac) {
        let network = self.replica.logical_switches.network(row);
        if network.is_none() {
            // Nothing in a logical switch of another client becomes a route.
            self.replica.ucast_local.settle(row, mac);
        }
        if self.progress.tables_read()
            && let Some(network) = network
        {
            self.update_exports(network, mac);
            // It explains a route to the switch itself, or does so no longer.
            if !self.replica.ucast_remote.rows_of(row, mac).is_empty() {
                self.mark_unicast(network, mac, Cause::Ours);
            }
        }
        self.reconciler.release(|on| matches!(on, Wait::LocalMacs { .. }));
    }

    /// Every object of the small tables may differ.
    fn mark_small_tables(&mut self) {
        for network in self.known_networks() {
            self.reconciler.mark_logical_switch(network, Cause::Ours);
        }
        let desired = self.desired.ports();
        let found = self.replica.ports.names().map(|(switch, port)| (switch, port));
        for (switch, port) in desired.chain(found).collect::<BTreeSet<_>>() {
            let port = Object::Port(switch.clone(), port.clone());
            self.reconciler.mark(port, Cause::Ours);
        }
    }

    /// Networks that are desired, found or exported.
    fn known_networks(&self) -> BTreeSet<Uuid> {
        let found = self.replica.logical_switches.networks();
        let desired = self.desired.networks().chain(found);
        desired.chain(self.exporter.networks()).collect()
    }
}
