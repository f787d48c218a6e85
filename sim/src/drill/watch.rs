//! Watches one switch from the fault of a drill on.

use std::net::Ipv4Addr;
use std::time::Duration;

use tandem_core::Time;

use super::spread::micros;
use crate::model;
use crate::plan::{Fault, Plan};
use crate::world::World;
use crate::world::log::{ActorEvent, Entry};

/// Since when a switch is served.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    switch: &'static str,
    begins: Time,
    counts_from: Time,
    /// The agent whose services node dies.
    dead_services_node: Option<String>,
    /// Whether something happened that may change the answer.
    stale: bool,
    session: Since,
    broadcast: Since,
}

/// Whether it is good, and since when; the origin if it always was.
#[derive(Clone, Copy, Debug, Default)]
struct Since {
    good: bool,
    at: Time,
}

impl Watch {
    pub(super) fn new(plan: &Plan, switch: &'static str) -> Self {
        let scheduled = plan.fault(1);
        let begins = scheduled.map_or(0, |it| it.at.as_micros());
        let lasts = scheduled.and_then(|it| it.lasts).map_or(0, |lasts| lasts.as_micros());
        let dead_services_node = match scheduled.map(|it| &it.fault) {
            Some(Fault::TsnDeath { agent }) => Some(agent.clone()),
            Some(_) | None => None,
        };
        Self {
            switch,
            begins: Time::from_micros(begins),
            counts_from: Time::from_micros(begins + lasts),
            dead_services_node,
            stale: true,
            session: Since::default(),
            broadcast: Since::default(),
        }
    }

    /// The beginning of the fault, or its end if it must pass.
    pub(super) fn counts_from(&self) -> Time {
        self.counts_from
    }

    pub(super) fn on_event(&mut self, entry: &Entry) {
        match &entry.event {
            ActorEvent::Switch(_) => self.stale |= *entry.node == *self.switch,
            ActorEvent::World(_) | ActorEvent::Vip(_) => self.stale = true,
            ActorEvent::Agent(_) | ActorEvent::Proxy(_) | ActorEvent::Control(_) => {}
            ActorEvent::VRouter(_) | ActorEvent::Thief(_) | ActorEvent::Intruder(_) => {}
        }
    }

    pub(super) fn inspect(&mut self, world: &World) {
        let now = world.now();
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let tsn = self.serving(world);
        let rows = tsn.is_some_and(|tsn| {
            let switch = world.switches().find(|switch| switch.name == self.switch);
            switch.is_some_and(|switch| model::broadcast_is_right(world, switch, tsn))
        });
        // Whatever came before the fault is its calm.
        let at = if now < self.begins { Time::ORIGIN } else { now };
        self.session.becomes(tsn.is_some(), at);
        self.broadcast.becomes(rows, at);
    }

    /// Whether it has been served so long, without a break.
    pub(super) fn is_served_for(&self, now: Time, time: Duration) -> bool {
        self.session.good && self.broadcast.good && now.since(self.broadcast.at.max(self.session.at)) >= time
    }

    /// Microseconds until an agent held the lock, and until its broadcast rows were right. `None` if that is not so.
    pub(super) fn times(&self) -> (Option<u64>, Option<u64>) {
        let time = |since: Since| {
            let time = since.at.max(self.counts_from).since(self.counts_from);
            since.good.then(|| micros(time))
        };
        (time(self.session), time(self.broadcast))
    }

    /// The services node of the agent that holds the lock over an open way, if it works.
    fn serving(&self, world: &World) -> Option<Ipv4Addr> {
        let switch = world.switches().find(|switch| switch.name == self.switch)?;
        let master = world.master(switch).filter(|master| master.live)?;
        let is_dead = self.dead_services_node.as_deref() == Some(master.agent.name) && world.now() >= self.begins;
        (!is_dead).then_some(master.agent.tsn)
    }
}

impl Since {
    fn becomes(&mut self, good: bool, now: Time) {
        if self.good != good {
            *self = Self { good, at: now };
        }
    }
}
