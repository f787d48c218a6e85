//! Delivers inputs to the actors and carries out their outputs, until nothing more follows at this instant.

use tandem_core::Time;

use super::process::{NodeInput, Process};
use super::{HostId, Part, Planned, State, World};
use crate::socket::Output;
use crate::world::log::ActorEvent;

impl World {
    /// Delivers an input to a program, and carries out its outputs. A program that does not run gets no input.
    pub(super) fn deliver(&mut self, host: HostId, part: Part, input: NodeInput) {
        let Some(node) = self.nodes.get_mut(host.0) else { return };
        if node.state != State::Running && !(part == Part::Vip && node.state == State::Down) {
            return;
        }
        let now = node.clock.read(self.now);
        let program = match part {
            Part::Program => &mut node.program,
            Part::Vip => &mut node.vip,
        };
        if let Some(program) = program {
            program.handle(now, input);
            self.drain(host, part);
        }
    }

    /// Carries out what a program wants, and notes when it wants to be woken.
    pub(super) fn drain(&mut self, host: HostId, part: Part) {
        while let Some(output) = self.program(host, part).and_then(Process::poll_output) {
            self.carry_out(host, part, output);
        }
        self.write_file(host);
        self.set_alarm(host, part);
    }

    /// The time of a wake has come; a program that moved its deadline meanwhile sleeps on.
    pub(super) fn on_wake(&mut self, host: HostId, part: Part) {
        let Some(node) = self.nodes.get_mut(host.0) else { return };
        let alarm = node.wakes.get_mut(part as usize);
        if alarm.is_none_or(|alarm| alarm.take_if(|at| *at <= self.now).is_none()) {
            return;
        }
        let now = node.clock.read(self.now);
        let due = self.program(host, part).and_then(|program| program.poll_timeout());
        if due.is_some_and(|at| at <= now) {
            self.deliver(host, part, NodeInput::Timeout);
        } else {
            self.set_alarm(host, part);
        }
    }

    /// Plans the next wake, unless one is planned that comes early enough.
    pub(super) fn set_alarm(&mut self, host: HostId, part: Part) {
        let Some(due) = self.program(host, part).and_then(|program| program.poll_timeout()) else {
            return;
        };
        let now = self.now;
        let Some(node) = self.nodes.get_mut(host.0) else { return };
        let at = node.clock.when(due).max(now);
        let Some(alarm) = node.wakes.get_mut(part as usize) else {
            return;
        };
        if alarm.is_none_or(|planned| at < planned) {
            *alarm = Some(at);
            self.schedule(at, Planned::Wake { node: host, part });
        }
    }

    /// Lets everything follow that needs no time.
    pub(super) fn propagate(&mut self) {
        loop {
            while let Some((at, transit)) = self.links.poll_later() {
                self.schedule(at, Planned::Transit(transit));
            }
            let Some((host, arrival)) = self.links.poll_arrival() else {
                return;
            };
            let to_proxy = self.nodes.get(host.0).is_some_and(|node| node.kind.is_proxy());
            let part = if to_proxy && matches!(arrival, crate::link::Arrival::Datagram { .. }) {
                Part::Vip
            } else {
                Part::Program
            };
            self.deliver(host, part, NodeInput::Arrival(arrival));
        }
    }

    fn carry_out(&mut self, host: HostId, part: Part, output: Output<ActorEvent>) {
        let now = self.now;
        match output {
            Output::Listen { at } => {
                self.links.listen(host, at);
                self.wake_checks();
            }
            Output::Unlisten { at } => {
                self.links.unlisten(host, at);
                self.wake_checks();
            }
            Output::Dial { conn, to } => self.links.dial(now, host, conn, to),
            Output::Send { conn, bytes } => self.links.send(now, host, conn, bytes),
            Output::Read { conn, on } => self.links.read(now, host, conn, on),
            Output::Finish { conn } => self.links.finish(now, host, conn),
            Output::Close { conn } => self.links.close(now, host, conn),
            Output::Reset { conn } => self.links.reset(now, host, conn),
            Output::Check { check, what } => self.start_check(host, check, what),
            Output::Uncheck { check } => drop(self.checkings.remove(&(host, check))),
            Output::Multicast { data } => self.multicast(host, &data),
            Output::Hold { address } => self.links.hold(now, host, address),
            Output::Release { address } => self.links.release(host, address),
            Output::Event(event) => self.on_event(host, part, event),
        }
    }

    /// Adverts of the virtual IP go to proxies, words of an agent to agents.
    fn multicast(&mut self, from: HostId, data: &[u8]) {
        let from_agent = self.nodes_of(super::Kind::is_agent).contains(&from);
        let to = match (from_agent, self.split) {
            (true, _) => self.nodes_of(super::Kind::is_agent),
            (false, 0) => self.nodes_of(super::Kind::is_proxy),
            (false, _) => return,
        };
        self.links.multicast(self.now, from, to, data);
    }

    /// Something happened in a program; some of it concerns the world.
    fn on_event(&mut self, host: HostId, _part: Part, event: ActorEvent) {
        match &event {
            ActorEvent::Vip(crate::vip::Event::VipTrack) => {
                let lives = self.nodes.get(host.0).is_some_and(|node| node.program.is_some());
                return self.tracked(host, lives);
            }
            ActorEvent::Agent(crate::host::Event::HealthChanged) => return self.wake_checks(),
            ActorEvent::Agent(crate::host::Event::Drained) => self.drained(host),
            ActorEvent::Switch(_) => {
                if let Some(node) = self.nodes.get_mut(host.0) {
                    node.changed = true;
                }
            }
            ActorEvent::Agent(crate::host::Event::Session(event)) => self.look_at_brake(host, &event.what),
            ActorEvent::Agent(_) | ActorEvent::Proxy(_) | ActorEvent::Control(_) => {}
            ActorEvent::VRouter(_) | ActorEvent::Vip(_) | ActorEvent::World(_) => {}
            ActorEvent::Thief(_) | ActorEvent::Intruder(_) => {}
        }
        self.log(Some(host), event);
    }

    /// The script that tracks the proxy answers: not at once, for the daemon is still talking.
    fn tracked(&mut self, host: HostId, lives: bool) {
        let at = self.now + std::time::Duration::from_millis(1);
        self.schedule(at, Planned::Tracked { node: host, lives });
    }

    pub(super) fn program(&mut self, host: HostId, part: Part) -> Option<&mut Process> {
        let node = self.nodes.get_mut(host.0)?;
        match part {
            Part::Program => node.program.as_mut(),
            Part::Vip => node.vip.as_mut(),
        }
    }

    /// The time by a node's own clock.
    pub(super) fn local_time(&self, host: HostId) -> Time {
        self.nodes
            .get(host.0)
            .map_or(self.now, |node| node.clock.read(self.now))
    }
}
