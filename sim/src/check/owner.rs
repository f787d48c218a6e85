//! S2: a switch that some agent could own has an owner.
//!
//! Counted is from the fault on, while an agent could own the switch all the time: nothing is in the way of a new
//! connection from the switch through its proxy to this agent, the agent is fit, and no other agent may draw the switch to
//! itself and be of no use. If the agent has a session with the switch, only the lock is missing, and the bound is
//! shorter: the dead line of the former owner must be noticed, unless no client has the lock.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_core::Time;

use super::tick::Tick;
use super::{Check, Findings, Scene};
use crate::link::HostId;
use crate::world::log::{ActorEvent, Entry};
use crate::world::{Standing, SwitchView, World};
use crate::{bounds, device, host};

#[derive(Clone, Debug, Default)]
pub(super) struct Owner {
    /// Switches that run.
    switches: BTreeMap<String, Stand>,
    tick: Tick,
}

/// Since when things have been as they are.
#[derive(Clone, Debug, Default)]
struct Stand {
    /// No agent owns the switch.
    unowned: Option<Time>,
    /// No client holds the lock.
    free: Option<Time>,
    proxy: Option<HostId>,
    /// These agents could own the switch.
    able: BTreeMap<String, Time>,
    /// The last moment at which an agent drew the switch to itself, and was of no use.
    drawn: Option<Time>,
}

impl Check for Owner {
    fn name(&self) -> &'static str {
        "S2"
    }

    fn on_event(&mut self, entry: &Entry, Scene { world, .. }: Scene<'_>, _found: &mut Findings) {
        let changes = match &entry.event {
            ActorEvent::World(_) | ActorEvent::Vip(_) => true,
            ActorEvent::Switch(event) => {
                matches!(event, device::Event::LockPassed { .. } | device::Event::Booted { .. })
            }
            ActorEvent::Agent(event) => matches!(event, host::Event::Graded(_) | host::Event::Drained),
            ActorEvent::Proxy(_) | ActorEvent::Control(_) | ActorEvent::VRouter(_) => false,
            ActorEvent::Thief(_) | ActorEvent::Intruder(_) => false,
        };
        if changes {
            self.update(world);
        }
    }

    fn inspect(&mut self, scene @ Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        if !self.tick.take(world.now()) {
            return;
        }
        self.update(world);
        for switch in world.switches() {
            if let Some(stand) = self.switches.get(switch.name) {
                stand.judge(scene, switch, found);
            }
        }
    }

    fn due(&self) -> Option<Time> {
        self.tick.due()
    }
}

impl Owner {
    fn update(&mut self, world: &World) {
        for switch in world.switches() {
            if !switch.running || !world.can_be_owned(switch) {
                self.switches.remove(switch.name);
                continue;
            }
            if !self.switches.contains_key(switch.name) {
                self.switches.insert(switch.name.to_owned(), Stand::default());
            }
            if let Some(stand) = self.switches.get_mut(switch.name) {
                stand.update(world, switch);
            }
        }
    }
}

impl Stand {
    fn update(&mut self, world: &World, switch: SwitchView<'_>) {
        let now = world.now();
        let since = |before: &Option<Time>, holds: bool| holds.then(|| before.unwrap_or(now));
        self.free = since(&self.free, world.lock_holder(switch).is_none());
        self.unowned = since(&self.unowned, !has_owner(world, switch));
        let proxy = world.proxy_of(switch);
        if proxy.is_none() || proxy != self.proxy {
            self.able.clear();
        }
        self.proxy = proxy;
        let Some(proxy) = proxy else { return };
        for (agent, standing) in world.standings(switch, proxy) {
            match standing {
                Standing::Able if self.able.contains_key(agent.name) => {}
                Standing::Able => drop(self.able.insert(agent.name.to_owned(), now)),
                Standing::Harmless => drop(self.able.remove(agent.name)),
                Standing::Attracting => {
                    self.able.remove(agent.name);
                    self.drawn = Some(now);
                }
                Standing::Doubtful => return self.able.clear(),
            }
        }
    }

    fn judge(&self, Scene { world, ways }: Scene<'_>, switch: SwitchView<'_>, found: &mut Findings) {
        let (plan, now) = (world.plan(), world.now());
        let since = |at: Option<Time>| at.map_or(Duration::ZERO, |at| now.since(at));
        let lasts = since(self.unowned);
        let distrust = match self.drawn {
            Some(drawn) if now.since(drawn) <= lasts => bounds::distrust(plan),
            Some(_) | None => Duration::ZERO,
        };
        let able = |agent: &str| since(self.able.get(agent).copied()).min(lasts);
        if let Some(bound) = bounds::owner(plan).map(|bound| bound + distrust)
            && let Some(agent) = self.able.keys().find(|agent| able(agent) >= bound)
        {
            let what = format!(
                "{} has had no owner for {bound:?}, and {agent} could own it",
                switch.name
            );
            return found.add([switch.name, agent], what);
        }
        let lock = bounds::lock(plan);
        let bound = match since(self.free).min(lasts) >= lock {
            true => Some(lock),
            false => bounds::hand_over(plan).filter(|bound| lasts >= *bound),
        };
        let Some(bound) = bound else { return };
        let waits = |agent: &str, conn| able(agent).min(ways.steady.good_for(switch.name, conn, now)) >= bound;
        let all = world.ways(switch);
        if let Some(way) = all.iter().find(|way| waits(way.agent.name, way.switch_conn)) {
            let (name, agent) = (switch.name, way.agent.name);
            let what = format!("{name} has had no owner for {bound:?}, and {agent} has a session with it");
            found.add([name, agent], what);
        }
    }
}

/// Whether an agent holds the lock over an open way, or another program does.
fn has_owner(world: &World, switch: SwitchView<'_>) -> bool {
    let master = world.master(switch).filter(|master| master.live);
    let session = master.and_then(|master| master.agent.host?.sessions().get(&master.conn));
    session.is_some() || world.is_stolen(switch)
}
