//! What a change of the database may mean for us: something to look at, to export, or an end of waiting.

use super::lanes::Reason;
use super::replica::Touched;
use super::{Cause, Session};
use crate::event::Object;
use crate::ids::{Mac, Uuid};

impl Session {
    /// Rows were recorded. What they belong to may differ from what is wanted now.
    pub(super) fn touched(&mut self, mut touched: Vec<Touched>) {
        touched.dedup();
        if touched.contains(&Touched::Ports) {
            self.replica.ports.index();
            self.switches_changed = true;
        }
        for touched in touched {
            self.touch(touched);
        }
    }

    fn touch(&mut self, touched: Touched) {
        match touched {
            Touched::LogicalSwitch { network, .. } => {
                self.lanes.release(|reason| matches!(reason, Reason::Vni { .. }));
                if let Some(network) = network {
                    self.logical_switch_touched(network);
                }
            }
            Touched::Broadcast(row) => {
                if let Some(network) = self.replica.logical_switches.network(row) {
                    self.lanes.mark(Object::Broadcast(network), Cause::Theirs);
                    self.lanes.mark(Object::Strays(network), Cause::Theirs);
                }
            }
            Touched::Locators => self.place(),
            Touched::LocatorKeys => self.audit_all(),
            Touched::Remote(row, mac) => self.remote_touched(row, mac),
            Touched::Local(row, mac) => {
                self.recorded(row, mac);
                self.lanes.release(|reason| *reason == Reason::LocalMacs);
            }
            Touched::LocalBroadcast(row) => {
                self.recorded(row, Mac::BROADCAST);
                self.lanes.release(|reason| *reason == Reason::LocalMacs);
            }
            Touched::Port(row) => {
                if let Some((switch, port)) = self.replica.ports.name(row) {
                    self.lanes.mark(Object::Port(switch, port), Cause::Theirs);
                }
                self.lanes.release(|reason| *reason == Reason::Bound);
            }
            Touched::Ports => self.lanes.release(|reason| *reason == Reason::Bound),
            Touched::Manager => {}
        }
    }

    /// A logical switch of ours came, went or changed: all that stands in it may differ.
    fn logical_switch_touched(&mut self, network: Uuid) {
        let all = [Object::LogicalSwitch, Object::Broadcast, Object::Strays];
        for object in all.map(|object| object(network)) {
            self.lanes.mark(object, Cause::Theirs);
        }
        let ports = self.wanted.ports_of(network).cloned();
        let ports: Vec<Object> = ports.map(|(switch, port)| Object::Port(switch, port)).collect();
        for port in ports {
            self.lanes.mark(port, Cause::Ours);
        }
        self.walk.add(network);
    }

    /// A remote row changed. Whoever waits for the lock sees the owner write, and keeps only what differs.
    fn remote_touched(&mut self, row: Uuid, mac: Option<Mac>) {
        let Some(network) = self.replica.logical_switches.network(row) else {
            return;
        };
        match mac {
            // The audit comes to it when every table was read.
            _ if !self.tables_read() => {}
            Some(mac)
                if planted!(self, DeletedMacNotPutBack) && self.replica.ucast_remote.rows_of(row, mac).is_empty() => {}
            None => self.lanes.mark(Object::Strays(network), Cause::Theirs),
            Some(mac) if self.unicast_differs(network, mac) => {
                self.lanes.mark(Object::Unicast(network, mac), Cause::Theirs);
            }
            Some(mac) => self.lanes.unmark(&Object::Unicast(network, mac)),
        }
    }
}
