//! What a fault costs: from the moment at which a switch is served no more, whoever has noticed, to that at which it
//! is served again. The time in which a switch itself is away does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use tandem_core::Time;

use crate::absence::{Absences, Times};
use crate::switch::Commit;
use crate::world::World;
use crate::world::log::{Entry, Fate, Happened};

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
    /// Switches of which something was heard since the last look; `None` is all of them.
    stale: Option<BTreeSet<String>>,
}

#[derive(Clone, Debug, Default)]
struct Watch {
    served: bool,
    /// When that ended, and the last fault that had begun by then.
    lost: Option<(Time, &'static str)>,
    /// When the next owner was there.
    session: Option<Time>,
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

    pub(crate) fn committed(&mut self, switch: &Arc<str>, commit: &Commit, world: &World) {
        self.absences.committed(switch, commit, world);
    }

    pub(crate) fn heard(&mut self, entry: &Entry, world: &World) {
        match &entry.what {
            Happened::Switch(_) => drop(self.stale.as_mut().map(|stale| stale.insert(entry.who.to_string()))),
            Happened::World(_) | Happened::Vip(_) => self.stale = None,
            Happened::Agent(_) | Happened::Proxy(_) | Happened::Control(_) => {}
            Happened::VRouter(_) | Happened::Thief(_) => {}
        }
        if let Happened::World(Fate::FaultBegins { fault, .. }) = &entry.what
            && let Some(scheduled) = world.plan().fault(*fault)
        {
            self.last_fault = Some(scheduled.fault.kind().name());
        }
        self.absences.heard(entry, world, self.last_fault);
    }

    pub(crate) fn looked(&mut self, world: &World) {
        let stale = self.stale.replace(BTreeSet::new());
        let is_stale = |name: &str| stale.as_ref().is_none_or(|stale| stale.contains(name));
        for switch in world.switches().filter(|switch| is_stale(switch.name)) {
            let master = world.master(switch);
            let live = master.is_some_and(|master| master.live);
            let served =
                live && master.is_some_and(|master| crate::model::broadcast_is_right(world, switch, master.agent.tsn));
            let watch = self.switches.entry(switch.name.to_owned()).or_default();
            if watch.served && !served {
                watch.lost = self.last_fault.map(|fault| (world.now(), fault));
                watch.session = None;
            }
            if !switch.running {
                // Nobody can serve a switch that is away.
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
