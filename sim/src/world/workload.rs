//! What goes on besides faults: switches learn, networks change, the operator configures.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use tandem_core::event::What;

use super::log::WorldEvent;
use super::planned::Chore;
use super::process::{NodeInput, Process};
use super::{HostId, Kind, Node, Part, Planned, State, World};
use crate::operator::configuration::Intent;
use crate::operator::firmware;
use crate::plan::Configure;
use crate::{bounds, control, host};

/// How often a switch looks after itself: `ovs-vtep` polls once a second.
const FIRMWARE: Duration = Duration::from_secs(1);

/// An operator changes one agent after the other.
const BETWEEN_AGENTS: Duration = Duration::from_secs(2);

const HOUR_US: u64 = 3_600_000_000;

impl World {
    /// Plans the next turn of a chore; none if the plan wants none, or the faults are over.
    pub(super) fn plan_chore(&mut self, chore: Chore) {
        let workload = &self.plan.workload;
        let per_hour = match chore {
            Chore::Firmware => return self.schedule(self.now + FIRMWARE, Planned::Workload(chore)),
            Chore::LocalChange => workload.local_changes_per_h,
            Chore::RemoteChange => workload.remote_changes_per_h,
            Chore::ConfigurationChange => workload.configuration_changes_per_h,
        };
        if per_hour > 0 && !self.healed {
            let mean = HOUR_US / u64::from(per_hour);
            let pause = Duration::from_micros(self.application.random_range(0..=mean * 2));
            self.schedule(self.now + pause, Planned::Workload(chore));
        }
    }

    pub(super) fn work(&mut self, chore: Chore) {
        match chore {
            Chore::Firmware => self.run_firmware(),
            Chore::LocalChange if !self.healed => self.change_local(),
            Chore::RemoteChange if !self.healed => {
                self.change_intent(Intent::change_remote);
                self.reconfigure();
            }
            Chore::ConfigurationChange if !self.healed => {
                let changes = [
                    Configure::AddNetwork,
                    Configure::RemoveNetwork,
                    Configure::SwapVnis,
                    Configure::Rebind,
                ];
                if let Some(what) = changes.choose(&mut self.application) {
                    self.change_intent(|intent, random| intent.change(*what, random));
                    self.reconfigure();
                }
            }
            Chore::LocalChange | Chore::RemoteChange | Chore::ConfigurationChange => return,
        }
        self.plan_chore(chore);
    }

    /// What a switch does of itself; it does nothing while it is away.
    fn run_firmware(&mut self) {
        for switch in self.nodes_of(Kind::is_switch) {
            let looks = |node: &&mut Node| node.state == State::Running && node.changed;
            let Some(node) = self.nodes.get_mut(switch.0).filter(looks) else {
                continue;
            };
            // What it does itself is a change again.
            node.changed = false;
            let (wanted, networks) = (self.wanted_local_macs(), self.plan.topology.networks);
            let foreign = self.plan.switch.foreign;
            let Some(Process::Switch(device)) = self.program(switch, Part::Program) else {
                continue;
            };
            let moved = device.take_moved();
            let server = device.switch();
            let cleared = firmware::drop_moved(server, &moved)
                .or_else(|| firmware::unlearn(server))
                .or_else(|| firmware::announce(server));
            let learned = server.rows("Ucast_Macs_Local").count();
            let wanted = wanted * networks + foreign;
            if cleared.is_some() {
                self.edit(switch, cleared);
            } else if learned < wanted && !self.healed {
                self.firmware_acts(switch, firmware::learn);
            }
        }
    }

    /// The MACs that a switch learns of itself in each network. Where a MAC can be behind one switch only, half of the hosts
    /// stay silent: otherwise switches would take them from each other for ever.
    fn wanted_local_macs(&self) -> usize {
        let topology = &self.plan.topology;
        if self.plan.switch.drops_moved {
            let most = usize::from(firmware::HOSTS) / 2 / topology.switches.max(1);
            topology.local_macs.min(most)
        } else {
            topology.local_macs
        }
    }

    fn change_local(&mut self) {
        let switches = self.nodes_of(Kind::is_switch);
        if let Some(switch) = switches.choose(&mut self.application).copied() {
            let act = match self.application.random_range(0..3) {
                0 => firmware::learn,
                1 => firmware::forget,
                _ => firmware::roam,
            };
            self.firmware_acts(switch, act);
        }
    }

    fn firmware_acts(
        &mut self,
        switch: HostId,
        act: fn(&crate::switch::Switch, &mut rand_chacha::ChaCha8Rng) -> Option<serde_json::Value>,
    ) {
        let operations = match self.nodes.get(switch.0).and_then(|node| node.program.as_ref()) {
            Some(Process::Switch(device)) => act(device.switch(), &mut self.application),
            Some(_) | None => None,
        };
        self.edit(switch, operations);
    }

    /// The operator brings what is wanted now to one control node after the other; without any, to one agent after the
    /// other. vRouters get hosts in new networks, and lose those in old ones, at once.
    pub(super) fn reconfigure(&mut self) {
        let configured = if self.plan.topology.control_nodes > 0 {
            Kind::is_control
        } else {
            Kind::is_agent
        };
        for node in self.nodes_of(configured) {
            let life = self.nodes.get(node.0).map_or(0, |node| node.lives);
            let micros = u64::try_from(BETWEEN_AGENTS.as_micros()).unwrap_or(0);
            let pause = Duration::from_micros(self.application.random_range(0..=micros));
            let complete = false;
            self.schedule(self.now + pause, Planned::Configure { node, life, complete });
        }
        for vrouter in self.nodes_of(Kind::is_vrouter) {
            self.send_settings(vrouter);
        }
    }

    /// An agent withholds deletions, or takes over from one that may have: the operator looks, and confirms them later.
    pub(super) fn look_at_brake(&mut self, host: HostId, what: &What) {
        let withholds = matches!(what, What::DeletionsWithheld { .. } | What::Claimed { .. });
        if withholds && self.plan.agent.brake_rows > 0 {
            let life = self.nodes.get(host.0).map_or(0, |node| node.lives);
            self.schedule(self.now + bounds::CONFIRMS, Planned::Confirm { node: host, life });
        }
    }

    pub(super) fn confirm(&mut self, host: HostId, life: u64) {
        let Some(node) = self.nodes.get(host.0).filter(|node| node.lives == life) else {
            return;
        };
        match node.state {
            State::Running => self.deliver(host, Part::Program, NodeInput::Agent(host::Command::Confirm)),
            // The program answers when it goes on.
            State::Paused => self.schedule(self.now + BETWEEN_AGENTS, Planned::Confirm { node: host, life }),
            State::Down | State::Dark => {}
        }
    }

    /// A node loads its configuration. One that does not have the complete configuration yet loads the same half as
    /// before, unless it becomes complete now.
    pub(super) fn configure(&mut self, host: HostId, life: u64, complete: bool) {
        let Some(node) = self.nodes.get_mut(host.0).filter(|node| node.lives == life) else {
            return;
        };
        let kind = node.kind;
        if node.state == State::Paused {
            // It reads its configuration when it goes on.
            let again = Planned::Configure {
                node: host,
                life,
                complete,
            };
            return self.schedule(self.now + BETWEEN_AGENTS, again);
        }
        node.complete |= complete;
        let complete = node.complete;
        if !complete || node.state != State::Running {
            // A node that does not run reads it when it starts.
            return;
        }
        let name = self.name_of(host);
        match kind {
            Kind::Agent(number) => {
                let configuration = self.configuration(number, complete);
                let networks = configuration.networks.len();
                self.log_world(WorldEvent::ConfigurationLoaded {
                    node: name,
                    networks,
                    complete,
                });
                let command = host::Command::Configure {
                    configuration,
                    complete,
                };
                self.deliver(host, Part::Program, NodeInput::Agent(command));
            }
            Kind::Control(_) => {
                let inventory = self.inventory(complete);
                let networks = inventory.networks.len();
                self.log_world(WorldEvent::ConfigurationLoaded {
                    node: name,
                    networks,
                    complete,
                });
                let command = control::Command::Configure(inventory);
                self.deliver(host, Part::Program, NodeInput::Control(command));
            }
            Kind::Switch(_) | Kind::Proxy(_) | Kind::VRouter(_) => {}
            Kind::Thief | Kind::Intruder | Kind::Twin => {}
        }
    }
}
