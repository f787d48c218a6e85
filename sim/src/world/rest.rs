//! The rest after a run: everything is withdrawn, and programs that have done a lot are compared with those that were
//! just started.

use std::collections::BTreeSet;

use super::process::Process;
use super::{HostId, Kind, State, World};
use crate::operator::configuration::Intent;
use crate::operator::firmware;

impl World {
    /// The operator withdraws every remote MAC, and the switches forget what they have learned.
    pub fn withdraw_everything(&mut self) {
        self.cause = 0;
        self.change_intent(|intent, _| Intent::withdraw_remote_macs(intent));
        self.reconfigure();
        for switch in self.nodes_of(Kind::is_switch) {
            let program = self.nodes.get(switch.0).and_then(|node| node.program.as_ref());
            let Some(Process::Switch(device)) = program else {
                continue;
            };
            let operations = firmware::forget_all(device.switch());
            self.edit(switch, operations);
        }
        self.propagate();
    }

    /// Every agent, vRouter and control node that is well is started anew.
    pub fn restart_programs(&mut self) {
        self.cause = 0;
        let well: Vec<_> = self.well().collect();
        for crash in [1, 0] {
            for host in &well {
                if let Some(node) = self.nodes.get_mut(host.0) {
                    node.impairment.crash = crash;
                }
                self.reconcile(*host);
            }
            self.wake_checks();
            self.propagate();
        }
    }

    /// What agents and control nodes remember that are well, and agents know what is wanted: the kind of the node, its name,
    /// and the text of its program.
    pub fn memories(&self) -> impl Iterator<Item = (&'static str, &str, String)> {
        let current = self
            .agents()
            .filter(|agent| self.is_current(*agent))
            .map(|agent| agent.name);
        let current: BTreeSet<&str> = current.collect();
        self.well().filter_map(move |host| {
            let node = self.nodes.get(host.0)?;
            match node.program.as_ref()? {
                Process::Agent(_) if !current.contains(&*node.name) => None,
                Process::Agent(agent) => Some(("agents", &*node.name, format!("{agent:#?}"))),
                Process::Control(control) => Some(("control nodes", &*node.name, format!("{control:#?}"))),
                Process::Switch(_) | Process::Proxy(_) | Process::VRouter(_) => None,
                Process::Vip(_) | Process::Thief(_) | Process::Intruder(_) => None,
            }
        })
    }

    fn well(&self) -> impl Iterator<Item = HostId> + '_ {
        let restarts = |kind: Kind| kind.is_agent() || kind.is_control() || kind.is_vrouter();
        self.all_nodes().filter(move |host| {
            let node = self.nodes.get(host.0);
            let is_well = node.is_some_and(|node| restarts(node.kind) && node.state == State::Running);
            is_well && !self.lost.contains(host)
        })
    }
}
