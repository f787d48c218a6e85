//! Begins and ends the faults of the plan. Faults overlap; a node runs again when its last fault has ended.

use std::sync::Arc;

use serde_json::Value;

use super::log::WorldEvent;
use super::process::NodeInput;
use super::{HostId, Kind, Part, Planned, State, World};
use crate::link::Trouble;
use crate::operator::edits;
use crate::plan::{Edit, Fault, Scheduled, Span};
use crate::{device, host, proxy, thief, vip, vrouter};

/// Whether a fault begins or ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    Begins,
    Ends,
}

impl World {
    /// Begins a fault now, as if it were in the plan: for copies of a world that take another course than the original.
    pub fn strike(&mut self, fault: Fault, lasts: Option<Span>) {
        let at = Span::micros(self.now.micros());
        let plan = Arc::make_mut(&mut self.plan);
        plan.faults.push(Scheduled { at, lasts, fault });
        let place = plan.faults.len() - 1;
        self.cause = 0;
        self.fault_begins(place);
        self.propagate();
    }

    pub(super) fn fault_begins(&mut self, place: usize) {
        if self.healed {
            return;
        }
        let Some(Scheduled { lasts, fault, .. }) = self.plan.faults.get(place).cloned() else {
            return;
        };
        let text = fault.to_string();
        let number = place + 1;
        self.log_world(WorldEvent::FaultBegins { fault: number, text });
        if let Some(lasts) = lasts {
            self.schedule(self.now + lasts.duration(), Planned::FaultEnds(place));
        }
        self.active.push(place);
        self.turn(place, &fault, Turn::Begins);
        if fault.kind().is_momentary() {
            self.active.retain(|active| *active != place);
        }
    }

    pub(super) fn fault_ends(&mut self, place: usize) {
        let Some(index) = self.active.iter().position(|active| *active == place) else {
            return;
        };
        self.active.remove(index);
        if let Some(Scheduled { fault, .. }) = self.plan.faults.get(place).cloned() {
            self.log_world(WorldEvent::FaultEnds { fault: place + 1 });
            self.turn(place, &fault, Turn::Ends);
        }
    }

    fn turn(&mut self, place: usize, fault: &Fault, turn: Turn) {
        match fault {
            Fault::Crash { node } => self.impair(node, turn, |impairment| &mut impairment.crash),
            Fault::PowerLoss { node } => self.impair(node, turn, |impairment| &mut impairment.power),
            Fault::Pause { node } => self.impair(node, turn, |impairment| &mut impairment.pause),
            Fault::Reboot { switch, keeps_database } => self.reboot(switch, *keeps_database, turn),
            Fault::Drain { agent } => self.drain_agent(place, agent, turn),
            Fault::Cut { from, to } => self.trouble(from, to, Trouble::Cut, turn),
            Fault::Isolate { node } => self.isolate(node, turn),
            Fault::Slow { from, to, times } => self.trouble_both(from, to, Trouble::Slow(*times), turn),
            Fault::Jam { from, to } => self.trouble_both(from, to, Trouble::Jam, turn),
            Fault::Reset { between, and } => self.reset(between, and),
            Fault::Reload { proxy } => self.command_named(proxy, NodeInput::Proxy(proxy::Command::Reload)),
            Fault::MoveVip => self.move_vip(),
            Fault::SplitVip => count(&mut self.split, turn),
            Fault::Edit { switch, what } => self.edit_database(switch, *what),
            Fault::Steal { switch } => self.steal(switch, turn),
            Fault::Tls { agent, .. } => self.tls(agent),
            Fault::Drift { node, ppm } => self.drift(node, if turn == Turn::Begins { *ppm } else { 0 }),
            Fault::TsnDeath { agent } => self.tsn_death(agent, turn),
            Fault::Configure { what } => {
                self.change_intent(|intent, random| intent.change(*what, random));
                self.reconfigure();
            }
            Fault::Intrude { control, how } => self.intrude(control, *how, turn),
            Fault::Undo { .. } if turn == Turn::Begins => self.undo(place),
            Fault::Undo { .. } => {}
            Fault::Full { switch } => self.fill(switch),
            Fault::Maint { .. } => self
                .nodes_of(Kind::is_proxy)
                .into_iter()
                .for_each(|it| self.maintain(it)),
            Fault::Disk { agent, how } => self.spoil_file(agent, *how),
            Fault::Twin { .. } => self.twin(turn),
            Fault::Expire { switch } => self.expire(switch),
        }
        // Whatever it was, a health check may see it.
        self.wake_checks();
    }

    pub(super) fn impair(&mut self, name: &str, turn: Turn, which: fn(&mut super::Impairment) -> &mut u32) {
        if let Some(host) = self.node(name) {
            if let Some(node) = self.nodes.get_mut(host.0) {
                count(which(&mut node.impairment), turn);
            }
            self.reconcile(host);
        }
    }

    /// Brings a node into the state that its faults leave it.
    pub(super) fn reconcile(&mut self, host: HostId) {
        let Some(node) = self.nodes.get(host.0) else { return };
        let (impairment, old) = (node.impairment, node.state);
        let new = match impairment {
            super::Impairment { power: 1.., .. } => State::Dark,
            super::Impairment { crash: 1.., .. } => State::Down,
            super::Impairment { pause: 1.., .. } => State::Paused,
            super::Impairment {
                power: 0,
                crash: 0,
                pause: 0,
            } => State::Running,
        };
        if new == old {
            return;
        }
        if old == State::Dark {
            self.links.power_on(self.now, host);
        }
        self.set_state(host, new);
        match (old, new) {
            (_, State::Dark) => {
                self.links.power_off(host);
                self.links.release(host, super::build::VIP);
                self.drop_program(host, true);
            }
            (_, State::Down) => {
                self.links.crash(self.now, host);
                self.drop_program(host, false);
                self.wake_vip(host, old);
            }
            (State::Dark | State::Down, State::Running | State::Paused) => {
                self.set_state(host, State::Running);
                self.start(host);
                if new == State::Paused {
                    self.set_state(host, new);
                    self.links.freeze(host);
                }
            }
            (State::Running | State::Paused, State::Paused) => self.links.freeze(host),
            (State::Running | State::Paused, State::Running) => self.go_on(host),
        }
    }

    fn set_state(&mut self, host: HostId, state: State) {
        if let Some(node) = self.nodes.get_mut(host.0) {
            node.state = state;
        }
    }

    /// A program that hung reads what has arrived before its timers fire; settings that it missed are sent again.
    fn go_on(&mut self, host: HostId) {
        self.send_settings(host);
        self.links.thaw(self.now, host);
        self.propagate();
        for part in [Part::Program, Part::Vip] {
            self.deliver(host, part, NodeInput::Timeout);
        }
    }

    /// The daemon of the virtual IP goes on where it hung with the proxy that is dead now.
    fn wake_vip(&mut self, host: HostId, old: State) {
        if old == State::Paused {
            self.deliver(host, Part::Vip, NodeInput::Timeout);
        }
        if old == State::Dark
            && let Some(Kind::Proxy(number)) = self.nodes.get(host.0).map(|node| node.kind)
            && let Some(address) = self.nodes.get(host.0).map(|node| node.address)
        {
            self.start_vip(host, number, address);
        }
    }

    /// A dead program keeps nothing; a switch keeps its database.
    fn drop_program(&mut self, host: HostId, all: bool) {
        let Some(node) = self.nodes.get_mut(host.0) else { return };
        if !node.kind.is_switch() {
            node.program = None;
        }
        if all {
            node.vip = None;
        }
        self.checkings.retain(|(checker, _), _| *checker != host);
    }

    fn reboot(&mut self, name: &str, keeps_database: bool, turn: Turn) {
        if turn == Turn::Begins
            && let Some(node) = self.node(name).and_then(|host| self.nodes.get_mut(host.0))
        {
            node.keeps_database &= keeps_database;
        }
        self.impair(name, turn, |impairment| &mut impairment.power);
    }

    fn drain_agent(&mut self, place: usize, name: &str, turn: Turn) {
        let Some(host) = self.node(name) else { return };
        match turn {
            Turn::Begins => {
                if let Some(node) = self.nodes.get_mut(host.0).filter(|node| node.draining.is_none()) {
                    node.draining = Some(place);
                    self.remember_polls(host);
                    self.deliver(host, Part::Program, NodeInput::Agent(host::Command::Drain));
                }
            }
            Turn::Ends => {
                let Some(node) = self.nodes.get_mut(host.0).filter(|node| node.draining == Some(place)) else {
                    return;
                };
                if !node.drained {
                    // The operator who restarts it does not wait for the drain to end.
                    node.impairment.crash += 1;
                    self.reconcile(host);
                }
                if let Some(node) = self.nodes.get_mut(host.0) {
                    node.impairment.crash = node.impairment.crash.saturating_sub(1);
                    (node.draining, node.drained) = (None, false);
                }
                self.reconcile(host);
            }
        }
    }

    /// The process has ended by itself.
    pub(super) fn drained(&mut self, host: HostId) {
        if let Some(node) = self
            .nodes
            .get_mut(host.0)
            .filter(|node| node.draining.is_some() && !node.drained)
        {
            node.drained = true;
            node.impairment.crash += 1;
            self.schedule(self.now, Planned::Reconcile(host));
        }
    }

    fn trouble(&mut self, from: &str, to: &str, trouble: Trouble, turn: Turn) {
        if let (Some(from), Some(to)) = (self.node(from), self.node(to)) {
            self.trouble_between(from, to, trouble, turn);
        }
    }

    fn trouble_both(&mut self, one: &str, other: &str, trouble: Trouble, turn: Turn) {
        self.trouble(one, other, trouble, turn);
        self.trouble(other, one, trouble, turn);
    }

    fn trouble_between(&mut self, from: HostId, to: HostId, trouble: Trouble, turn: Turn) {
        match turn {
            Turn::Begins => self.links.begin(from, to, trouble),
            Turn::Ends => self.links.end(self.now, from, to, trouble),
        }
    }

    fn isolate(&mut self, name: &str, turn: Turn) {
        let Some(node) = self.node(name) else { return };
        for other in self.all_nodes().filter(|other| *other != node) {
            self.trouble_between(node, other, Trouble::Cut, turn);
            self.trouble_between(other, node, Trouble::Cut, turn);
        }
    }

    fn reset(&mut self, one: &str, other: &str) {
        if let (Some(one), Some(other)) = (self.node(one), self.node(other)) {
            self.links.reset_between(one, other);
        }
    }

    /// Sends a program the settings that follow from the active faults.
    pub(super) fn send_settings(&mut self, host: HostId) {
        let Some(kind) = self.nodes.get(host.0).map(|node| node.kind) else {
            return;
        };
        match kind {
            Kind::Agent(_) => {
                let command = host::Command::Tls(self.tls_fault(&self.name_of(host)));
                self.deliver(host, Part::Program, NodeInput::Agent(command));
                self.probe_services_node(host);
            }
            Kind::Proxy(number) => {
                let command = vip::Command::Priority(self.vip_priority(number));
                self.deliver(host, Part::Vip, NodeInput::Vip(command));
                self.maintain(host);
            }
            Kind::VRouter(_) => {
                let command = vrouter::Command::Subscribe(self.instances());
                self.deliver(host, Part::Program, NodeInput::VRouter(command));
            }
            Kind::Switch(_) | Kind::Control(_) | Kind::Thief | Kind::Intruder | Kind::Twin => {}
        }
    }

    /// Takes agents out of a proxy, and in again those that an operator has taken out of it before.
    fn maintain(&mut self, proxy: HostId) {
        let agents = self.agents().map(|agent| (agent.name.to_owned(), agent.tsn));
        for (name, at) in agents.collect::<Vec<_>>() {
            let maint = self.has_fault(&name, crate::plan::Kind::Maint);
            if maint != self.is_out(proxy, at) {
                let command = proxy::Command::Order { at, maint };
                self.deliver(proxy, Part::Program, NodeInput::Proxy(command));
            }
        }
    }

    /// The first proxy is the master; while the virtual IP is moved, it is the second.
    pub(super) fn vip_priority(&self, number: usize) -> u8 {
        let mut faults = self.active.iter().filter_map(|place| self.plan.faults.get(*place));
        let moved = faults.any(|scheduled| scheduled.fault == Fault::MoveVip);
        match number {
            0 => 150,
            _ if moved => 200,
            _ => 100,
        }
    }

    fn move_vip(&mut self) {
        for host in self.nodes_of(Kind::is_proxy) {
            self.send_settings(host);
        }
    }

    fn edit_database(&mut self, name: &str, what: Edit) {
        let Some(host) = self.node(name) else { return };
        if what == Edit::MoveTunnelEnd {
            self.move_tunnel_end(host, name);
        }
        let configuration = self.configuration(0, true);
        let operations = match self.nodes.get(host.0).and_then(|node| node.program.as_ref()) {
            Some(super::Process::Switch(device)) => {
                edits::edit(what, device.switch(), &configuration, name, &mut self.application)
            }
            Some(_) | None => None,
        };
        self.edit(host, operations);
    }

    /// The operator moves the tunnel end in the configuration and in the start-up configuration of a switch that runs.
    fn move_tunnel_end(&mut self, switch: HostId, name: &str) {
        let running = |node: &&mut super::Node| node.state == State::Running;
        if self.nodes.get_mut(switch.0).filter(running).is_none() {
            return;
        }
        let mut moved = None;
        self.change_intent(|intent, _| moved = intent.move_tunnel_end(name));
        self.reconfigure();
        if let (Some(vtep), Some(node)) = (moved, self.nodes.get_mut(switch.0)) {
            node.tunnel_end = vtep;
            if let Some(super::Process::Switch(device)) = &mut node.program {
                device.set_tunnel_ip(vtep);
            }
        }
    }

    pub(super) fn edit(&mut self, switch: HostId, operations: Option<Value>) {
        if let Some(operations) = operations {
            self.deliver(
                switch,
                Part::Program,
                NodeInput::Switch(device::Command::Edit(operations)),
            );
        }
    }

    fn steal(&mut self, name: &str, turn: Turn) {
        let (Some(switch), Some(thief)) = (self.node(name), self.node("thief")) else {
            return;
        };
        if let Some(from) = self.local_port(switch) {
            let command = match turn {
                Turn::Begins => thief::Command::Steal { from },
                Turn::Ends => thief::Command::Leave { from },
            };
            self.deliver(thief, Part::Program, NodeInput::Thief(command));
        }
    }

    fn tls(&mut self, name: &str) {
        if let Some(host) = self.node(name) {
            self.send_settings(host);
        }
    }

    fn drift(&mut self, name: &str, ppm: i32) {
        if let Some(host) = self.node(name) {
            let now = self.now;
            if let Some(node) = self.nodes.get_mut(host.0) {
                node.clock.drift(now, ppm);
                node.wakes = [None; 2];
            }
            self.set_alarm(host, Part::Program);
            self.set_alarm(host, Part::Vip);
        }
    }

    fn tsn_death(&mut self, name: &str, turn: Turn) {
        if let Some(node) = self.node(name).and_then(|host| self.nodes.get_mut(host.0)) {
            count(&mut node.tsn_deaths, turn);
        }
        if let Some(host) = self.node(name) {
            self.probe_services_node(host);
        }
    }

    /// An agent that probes its services node knows at once how it is.
    fn probe_services_node(&mut self, host: HostId) {
        let alive = self.nodes.get(host.0).is_some_and(|node| node.tsn_deaths == 0);
        if self.plan.agent.tsn_probe {
            let command = host::Command::Probed { alive };
            self.deliver(host, Part::Program, NodeInput::Agent(command));
        }
    }

    fn command_named(&mut self, name: &str, input: NodeInput) {
        if let Some(host) = self.node(name) {
            self.deliver(host, Part::Program, input);
        }
    }
}

fn count(counter: &mut u32, turn: Turn) {
    *counter = match turn {
        Turn::Begins => *counter + 1,
        Turn::Ends => counter.saturating_sub(1),
    };
}
