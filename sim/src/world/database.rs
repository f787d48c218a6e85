//! What happens to the database of a switch for a while: another program undoes what the agents write, or there is no room.

use std::time::Duration;

use super::World;
use super::planned::Planned;
use super::process::Process;
use crate::operator::edits;
use crate::plan::{Fault, Kind};

/// How often the other program looks for what it deletes.
const EVERY: Duration = Duration::from_millis(50);

impl World {
    /// Deletes a remote MAC, if it is there, and looks again soon.
    pub(super) fn undo(&mut self, place: usize) {
        if !self.active.contains(&place) {
            return;
        }
        let Some(Fault::Undo { switch }) = self.plan.faults.get(place).map(|it| it.fault.clone()) else {
            return;
        };
        let wanted = self.wanted(0);
        let mac = wanted
            .networks
            .values()
            .find_map(|network| network.remote_macs.keys().next());
        if let (Some(host), Some(mac)) = (self.node(&switch), mac) {
            let operations = match self.nodes.get(host.0).and_then(|node| node.program.as_ref()) {
                Some(Process::Switch(device)) => edits::undo(device.switch(), *mac),
                Some(_) | None => None,
            };
            self.edit(host, operations);
        }
        self.schedule(self.now + EVERY, Planned::Undo(place));
    }

    /// Whether another program undoes what agents write to a switch.
    pub fn is_undone(&self, switch: &str) -> bool {
        self.has_fault(switch, Kind::Undo)
    }

    /// The server of a switch has no room as long as one such fault lasts.
    pub(super) fn fill(&mut self, switch: &str) {
        let full = self.has_fault(switch, Kind::Full);
        let node = self.node(switch).and_then(|host| self.nodes.get_mut(host.0));
        if let Some(Process::Switch(device)) = node.and_then(|node| node.program.as_mut()) {
            device.switch_mut().set_full(full);
        }
    }

    pub(super) fn has_fault(&self, switch: &str, kind: Kind) -> bool {
        let mut faults = self.active.iter().filter_map(|place| self.plan.faults.get(*place));
        faults.any(|it| it.fault.kind() == kind && it.fault.nodes().iter().any(|(name, _)| *name == switch))
    }
}
