//! The cost of a fault: from the moment at which a switch is no longer served, noticed or not, until it is served
//! again. The time in which a switch itself is away does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tandem_core::Time;

use crate::absence::{Absences, Times};
use crate::switch::Commit;
use crate::world::log::{ActorEvent, Entry, WorldEvent};
use crate::world::{SwitchView, World};
use crate::{device, model};

/// One failover of one switch.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Failover {
    /// The kind of the last fault that had begun.
    pub fault: &'static str,
    pub switch: String,
    /// Until the next owner held the lock over an open way, in microseconds.
    pub session_us: u64,
    /// Until the broadcast rows named its services node.
    pub broadcast_us: u64,
}

/// Watches every switch.
#[derive(Clone, Debug, Default)]
pub struct Stopwatch {
    switches: BTreeMap<String, Watch>,
    failovers: Vec<Failover>,
    absences: Absences,
    last_fault: Option<&'static str>,
    /// Switches with events since the last inspection; `None` is all of them.
    stale: Option<BTreeSet<String>>,
}

#[derive(Clone, Debug, Default)]
struct Watch {
    served: bool,
    /// When that ended, and the last fault that had begun by then.
    lost: Option<(Time, &'static str)>,
    /// When the next owner was there.
    session: Option<Time>,
    /// Whether the broadcast rows led to this services node when they were looked at last, if they are still the same.
    right: Option<(Ipv4Addr, bool)>,
}

impl Watch {
    fn is_right(&mut self, world: &World, switch: SwitchView<'_>, tsn: Ipv4Addr) -> bool {
        let known = self.right.filter(|(of, _)| *of == tsn);
        let (_, right) = known.unwrap_or_else(|| (tsn, model::broadcast_is_right(world, switch, tsn)));
        self.right = Some((tsn, right));
        right
    }
}

impl Stopwatch {
    /// What every failover took so far.
    pub fn failovers(&self) -> Vec<Failover> {
        self.failovers.clone()
    }

    /// How long MACs were missing so far.
    pub fn missing(&self) -> Times {
        self.absences.times()
    }

    /// Whether MACs are missing now.
    pub(crate) fn misses_macs(&self) -> bool {
        self.absences.open().next().is_some()
    }

    /// The longest time that a MAC was missing, or has been until now.
    pub(crate) fn longest_absence(&self, now: Time) -> Duration {
        let over = self.absences.longest_over();
        let open = self.absences.open().map(|since| now.since(since));
        open.chain([over]).max().unwrap_or_default()
    }

    pub(crate) fn on_commit(&mut self, switch: &Arc<str>, commit: &Commit, world: &World) {
        self.absences.on_commit(switch, commit, world);
    }

    pub(crate) fn on_event(&mut self, entry: &Entry, world: &World) {
        match &entry.event {
            ActorEvent::Switch(event) => {
                if let Some(stale) = &mut self.stale {
                    stale.insert(entry.node.to_string());
                }
                if touches_broadcast(event)
                    && let Some(watch) = self.switches.get_mut(&*entry.node)
                {
                    watch.right = None;
                }
            }
            ActorEvent::World(_) | ActorEvent::Vip(_) => {
                self.stale = None;
                self.switches.values_mut().for_each(|watch| watch.right = None);
            }
            ActorEvent::Agent(_) | ActorEvent::Proxy(_) | ActorEvent::Control(_) => {}
            ActorEvent::VRouter(_) | ActorEvent::Thief(_) | ActorEvent::Intruder(_) => {}
        }
        if let ActorEvent::World(WorldEvent::FaultBegins { fault, .. }) = &entry.event
            && let Some(scheduled) = world.plan().fault(*fault)
        {
            self.last_fault = Some(scheduled.fault.kind().name());
        }
        self.absences.on_event(entry, world, self.last_fault);
    }

    pub(crate) fn inspect(&mut self, world: &World) {
        let stale = self.stale.replace(BTreeSet::new());
        let is_stale = |name: &str| stale.as_ref().is_none_or(|stale| stale.contains(name));
        for switch in world.switches().filter(|switch| is_stale(switch.name)) {
            let master = world.master(switch);
            let live = master.is_some_and(|master| master.live);
            let watch = self.switches.entry(switch.name.to_owned()).or_default();
            let tsn = master.filter(|master| master.live).map(|master| master.agent.tsn);
            let served = tsn.is_some_and(|tsn| watch.is_right(world, switch, tsn));
            if watch.served && !served {
                watch.lost = self.last_fault.map(|fault| (world.now(), fault));
                watch.session = None;
            }
            if !switch.running {
                // No agent can serve a switch that is away.
                watch.lost = None;
            }
            if live && watch.lost.is_some() && watch.session.is_none() {
                watch.session = Some(world.now());
            }
            if served
                && !watch.served
                && let (Some((at, fault)), Some(session)) = (watch.lost.take(), watch.session.take())
            {
                let since = |time: Time| u64::try_from(time.since(at).as_micros()).unwrap_or(u64::MAX);
                self.failovers.push(Failover {
                    fault,
                    switch: switch.name.to_owned(),
                    session_us: since(session),
                    broadcast_us: since(world.now()),
                });
            }
            watch.served = served;
        }
    }
}

/// Whether broadcast rows may be others afterwards. Most transactions are about MACs alone.
fn touches_broadcast(event: &device::Event) -> bool {
    const TABLES: [&str; 4] = [
        "Logical_Switch",
        "Mcast_Macs_Remote",
        "Physical_Locator",
        "Physical_Locator_Set",
    ];
    let device::Event::Committed(commit) = event else {
        return true;
    };
    TABLES.iter().any(|table| commit.changes.contains_key(table))
}
