//! The disks of agents: the file in which each remembers its configuration. It is written as a whole or not at all, and
//! survives crashes and losses of power.

use super::process::Process;
use super::{HostId, World};
use crate::plan::DiskFault;

impl World {
    /// The content of the file when the agent starts: nothing if there is none; `None` if agents have no disks.
    pub(super) fn disk(&self, host: HostId) -> Option<Vec<u8>> {
        let file = self.nodes.get(host.0).and_then(|node| node.file.clone());
        self.plan.agent.remember.then(|| file.unwrap_or_default())
    }

    /// Writes the file that an agent has handed over.
    pub(super) fn write_file(&mut self, host: HostId) {
        if !self.plan.agent.remember {
            return;
        }
        let Some(node) = self.nodes.get_mut(host.0) else { return };
        if let Some(Process::Agent(agent)) = &mut node.program
            && let Some(file) = agent.take_file()
        {
            node.first_file.get_or_insert_with(|| file.clone());
            node.file = Some(file);
        }
    }

    pub(super) fn spoil_file(&mut self, agent: &str, how: DiskFault) {
        let Some(node) = self.node(agent).and_then(|host| self.nodes.get_mut(host.0)) else {
            return;
        };
        match (how, &mut node.file) {
            (DiskFault::Lost, file) => *file = None,
            (DiskFault::Old, file) => *file = node.first_file.clone(),
            (DiskFault::Torn, Some(file)) => file.truncate(file.len() / 2),
            (DiskFault::Damaged, Some(file)) => {
                let middle = file.len() / 2;
                file.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 4);
            }
            (DiskFault::Torn | DiskFault::Damaged, None) => {}
        }
    }
}
