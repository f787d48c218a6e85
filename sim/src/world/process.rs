//! The program on a node: whichever actor it is, the world drives it the same way.

use std::net::Ipv4Addr;

use tandem_core::{Deadline, Machine, Time};

use super::log::ActorEvent;
use crate::control::{self, ControlHost};
use crate::device::{self, Device};
use crate::host::{self, Host};
use crate::intruder::Intruder;
use crate::link::Arrival;
use crate::proxy::{self, Proxy};
use crate::socket::{self, Input, Outcome, Output};
use crate::thief::Thief;
use crate::vip::{self, Vip};
use crate::vrouter::{self, VRouter};

/// An actor.
#[derive(Clone, Debug)]
pub(super) enum Process {
    Switch(Box<Device>),
    Agent(Box<Host>),
    Proxy(Box<Proxy>),
    Control(Box<ControlHost>),
    VRouter(Box<VRouter>),
    Vip(Box<Vip>),
    Thief(Box<Thief>),
    Intruder(Box<Intruder>),
}

/// An input of an actor of any kind.
#[derive(Clone, Debug)]
pub(super) enum NodeInput {
    Arrival(Arrival),
    Checked { check: u64, outcome: Outcome },
    Timeout,
    Switch(device::Command),
    Agent(host::Command),
    Proxy(proxy::Command),
    Control(control::Command),
    VRouter(vrouter::Command),
    Vip(vip::Command),
    Thief(crate::thief::Command),
    Intruder(crate::intruder::Command),
}

impl Process {
    /// Passes an input to the actor. Commands for another kind of actor are dropped.
    pub(super) fn handle(&mut self, now: Time, input: NodeInput) {
        match (self, input) {
            (Self::Switch(actor), NodeInput::Switch(command)) => actor.handle(now, Input::Command(command)),
            (Self::Agent(actor), NodeInput::Agent(command)) => actor.handle(now, Input::Command(command)),
            (Self::Proxy(actor), NodeInput::Proxy(command)) => actor.handle(now, Input::Command(command)),
            (Self::Control(actor), NodeInput::Control(command)) => actor.handle(now, Input::Command(command)),
            (Self::VRouter(actor), NodeInput::VRouter(command)) => actor.handle(now, Input::Command(command)),
            (Self::Vip(actor), NodeInput::Vip(command)) => actor.handle(now, Input::Command(command)),
            (Self::Thief(actor), NodeInput::Thief(command)) => actor.handle(now, Input::Command(command)),
            (Self::Intruder(actor), NodeInput::Intruder(command)) => actor.handle(now, Input::Command(command)),
            (Self::Switch(actor), input) => common(actor.as_mut(), now, input),
            (Self::Agent(actor), input) => common(actor.as_mut(), now, input),
            (Self::Proxy(actor), input) => common(actor.as_mut(), now, input),
            (Self::Control(actor), input) => common(actor.as_mut(), now, input),
            (Self::VRouter(actor), input) => common(actor.as_mut(), now, input),
            (Self::Vip(actor), input) => common(actor.as_mut(), now, input),
            (Self::Thief(actor), input) => common(actor.as_mut(), now, input),
            (Self::Intruder(actor), input) => common(actor.as_mut(), now, input),
        }
    }

    /// What it wants next; until `None`.
    pub(super) fn poll_output(&mut self) -> Option<Output<ActorEvent>> {
        match self {
            Self::Switch(actor) => actor.poll_output().map(|output| output.map(ActorEvent::Switch)),
            Self::Agent(actor) => actor.poll_output().map(|output| output.map(ActorEvent::Agent)),
            Self::Proxy(actor) => actor.poll_output().map(|output| output.map(ActorEvent::Proxy)),
            Self::Control(actor) => actor.poll_output().map(|output| output.map(ActorEvent::Control)),
            Self::VRouter(actor) => actor.poll_output().map(|output| output.map(ActorEvent::VRouter)),
            Self::Vip(actor) => actor.poll_output().map(|output| output.map(ActorEvent::Vip)),
            Self::Thief(actor) => actor.poll_output().map(|output| output.map(ActorEvent::Thief)),
            Self::Intruder(actor) => actor.poll_output().map(|output| output.map(ActorEvent::Intruder)),
        }
    }

    /// When it wants to be woken.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        fn at<W>(deadline: Option<Deadline<W>>) -> Option<Time> {
            deadline.map(|deadline| deadline.at)
        }
        match self {
            Self::Switch(actor) => at(actor.poll_timeout()),
            Self::Agent(actor) => at(actor.poll_timeout()),
            Self::Proxy(actor) => at(actor.poll_timeout()),
            Self::Control(actor) => at(actor.poll_timeout()),
            Self::VRouter(actor) => at(actor.poll_timeout()),
            Self::Vip(actor) => at(actor.poll_timeout()),
            Self::Thief(actor) => at(actor.poll_timeout()),
            Self::Intruder(actor) => at(actor.poll_timeout()),
        }
    }

    /// What a health check finds in it.
    pub(super) fn health(&mut self, now: Time, kind: socket::CheckKind, from: Ipv4Addr) -> Outcome {
        match self {
            Self::Agent(host) => host.health(now, kind, from),
            Self::Switch(_) | Self::Proxy(_) | Self::Control(_) => Outcome::Passed,
            Self::VRouter(_) | Self::Vip(_) | Self::Thief(_) | Self::Intruder(_) => Outcome::Passed,
        }
    }
}

/// The inputs that every actor takes.
fn common<C, A: socket::Actor<Command = C>>(actor: &mut A, now: Time, input: NodeInput) {
    match input {
        NodeInput::Arrival(arrival) => actor.handle(now, arrival.input()),
        NodeInput::Checked { check, outcome } => actor.handle(now, Input::Checked { check, outcome }),
        NodeInput::Timeout => actor.handle(now, Input::Timeout),
        NodeInput::Switch(_) | NodeInput::Agent(_) | NodeInput::Proxy(_) => {}
        NodeInput::Control(_) | NodeInput::VRouter(_) | NodeInput::Vip(_) => {}
        NodeInput::Thief(_) | NodeInput::Intruder(_) => {}
    }
}
