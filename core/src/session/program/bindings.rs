//! Which port and VLAN belongs to which logical switch: single keys, all of a port in one operation.

use std::collections::BTreeMap;

use super::Verdict;
use crate::configuration::VlanId;
use crate::event::What;
use crate::ids::{PortName, SwitchName, Uuid};
use crate::ovsdb::transaction::Transaction;
use crate::session::Session;
use crate::session::lanes::Reason;

impl Session {
    /// Binds what is wanted, and unbinds what is ours and not wanted. What others bound stays, unless it
    /// stands where ours belongs.
    pub(super) fn look_at_port(
        &mut self,
        switch: &SwitchName,
        port: &PortName,
        transaction: &mut Transaction,
    ) -> Verdict {
        if !self.wanted.served().contains(switch) {
            return Verdict::Right;
        }
        let Some((row, found)) = self.replica.ports.find(switch, port) else {
            return Verdict::Right;
        };
        let wanted = self.wanted_bindings(switch, port);
        let found = found.bindings.clone();
        let bind: Vec<(VlanId, Uuid)> = wanted
            .iter()
            .filter_map(|(vlan, row)| Some((*vlan, (*row)?)))
            .filter(|(vlan, row)| found.get(vlan) != Some(row))
            .collect();
        let ours =
            |row: &Uuid| planted!(self, ForeignBindingDeleted) || self.replica.logical_switches.network(*row).is_some();
        // A logical switch that is still to come may wait for the VNI of one that can only go when this VLAN lets go.
        let awaits = |vlan: &VlanId| wanted.get(vlan).is_none_or(Option::is_none);
        let stale = found.iter().filter(|(vlan, row)| awaits(vlan) && ours(row));
        let stale: Vec<VlanId> = stale.map(|(vlan, _)| *vlan).collect();
        if bind.is_empty() && stale.is_empty() {
            return Verdict::Right;
        }
        if bind.is_empty() && !self.wanted.complete {
            return Verdict::Wait(Reason::Incomplete);
        }
        let mut unbind: Vec<VlanId> = bind
            .iter()
            .map(|(vlan, _)| *vlan)
            .filter(|vlan| found.contains_key(vlan))
            .collect();
        self.report_replaced(switch, port, &unbind, &found);
        if self.wanted.complete {
            unbind.extend(stale);
        }
        transaction.mutate_bindings(row, &unbind, &bind);
        Verdict::Written
    }

    /// The rows that a port's VLANs are to be bound to; `None` for a logical switch that is not there yet.
    fn wanted_bindings(&self, switch: &SwitchName, port: &PortName) -> BTreeMap<VlanId, Option<Uuid>> {
        let wanted = self.wanted.bindings(switch, port).into_iter().flatten();
        let row = |network: &Uuid| self.replica.logical_switches.of_network(*network);
        wanted.map(|(vlan, network)| (*vlan, row(network))).collect()
    }

    fn report_replaced(
        &mut self,
        switch: &SwitchName,
        port: &PortName,
        replaced: &[VlanId],
        found: &BTreeMap<VlanId, Uuid>,
    ) {
        for vlan in replaced {
            let entry = found.get(vlan).and_then(|row| self.replica.logical_switches.row(*row));
            let Some(foreign) = entry.filter(|entry| entry.network.is_none()) else {
                continue;
            };
            let what = What::BindingReplaced {
                switch: switch.clone(),
                port: port.clone(),
                vlan: *vlan,
                foreign: foreign.name.clone(),
            };
            self.event(what);
        }
    }
}
