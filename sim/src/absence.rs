//! The cost of a fault for the consumers of routes: how long a MAC is missing at an agent that does not own its switch,
//! or at a vRouter, from its disappearance there until it is back.
//!
//! A MAC that no switch has learned is not missing, and neither is one whose switches are all away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::agent::uplinks::What;
use tandem_core::{Mac, Time, Uuid};

use crate::switch::{Commit, Row};
use crate::world::World;
use crate::world::log::{ActorEvent, Entry, WorldEvent};
use crate::{device, host, model};

/// How long MACs were missing, in microseconds: by the kind of the last fault that had begun, each MAC at each
/// consumer.
pub type Times = BTreeMap<&'static str, Vec<u64>>;

/// Watches every MAC at every consumer, by their events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Absences {
    /// The rows of local MACs, by switch.
    rows: BTreeMap<(Arc<str>, Uuid), (Uuid, Mac)>,
    /// The switches that have learned each, and in how many rows.
    learned: BTreeMap<(Uuid, Mac), Switches>,
    /// For each consumer and MAC: since when it is missing, and because of which fault.
    missing: BTreeMap<(Uuid, Mac), Listeners>,
    times: Times,
}

/// The consumers that miss it, since when, and because of which kind of fault.
type Listeners = BTreeMap<Arc<str>, (Time, &'static str)>;

/// How many rows each switch has.
type Switches = BTreeMap<Arc<str>, usize>;

impl Absences {
    /// How long MACs were missing that are back.
    pub(crate) fn times(&self) -> Times {
        self.times.clone()
    }

    /// Since when each MAC is missing that is not back, at each consumer.
    pub(crate) fn open(&self) -> impl Iterator<Item = Time> {
        self.missing.values().flatten().map(|(_, (since, _))| *since)
    }

    /// The longest time that a MAC was missing that is back.
    pub(crate) fn longest_over(&self) -> Duration {
        let longest = self.times.values().flatten().copied().max();
        Duration::from_micros(longest.unwrap_or_default())
    }

    /// A switch learned, or forgot.
    pub(crate) fn on_commit(&mut self, switch: &Arc<str>, commit: &Commit, world: &World) {
        if world.plan().topology.control_nodes == 0 {
            return;
        }
        for change in commit
            .changes
            .iter()
            .filter(|change| change.table == "Ucast_Macs_Local")
        {
            let row = (Arc::clone(switch), change.uuid);
            let learned = change.new.as_ref().and_then(|row| place(world, switch, row));
            if self.rows.get(&row) != learned.as_ref() {
                self.forget(&row);
                if let Some(place) = learned {
                    self.rows.insert(row, place);
                    let switches = self.learned.entry(place).or_default();
                    *switches.entry(Arc::clone(switch)).or_default() += 1;
                }
            }
        }
    }

    /// Something happened while this was the last fault that had begun.
    pub(crate) fn on_event(&mut self, entry: &Entry, world: &World, fault: Option<&'static str>) {
        match &entry.event {
            ActorEvent::Agent(host::Event::Uplink(What::Imported { network, mac, vtep }))
            | ActorEvent::VRouter(What::Imported { network, mac, vtep }) => {
                let place = (*network, *mac);
                match (vtep, fault) {
                    (Some(_), _) => self.is_back(entry, place),
                    (None, Some(fault)) if self.misses(&entry.node, place, world) => {
                        let of_mac = self.missing.entry(place).or_default();
                        of_mac.insert(Arc::clone(&entry.node), (entry.at, fault));
                    }
                    (None, _) => {}
                }
            }
            // A program that starts anew misses nothing.
            ActorEvent::World(WorldEvent::Started { node }) => {
                for consumers in self.missing.values_mut() {
                    consumers.remove(node.as_str());
                }
            }
            ActorEvent::World(_) => {
                let learned = &self.learned;
                self.missing
                    .retain(|place, _| world.is_wanted(place.0) && is_there(learned.get(place), world));
            }
            ActorEvent::Switch(device::Event::Booted { keeps_database: false }) => {
                let gone = self.rows.keys().filter(|(switch, _)| *switch == entry.node);
                for row in gone.cloned().collect::<Vec<_>>() {
                    self.forget(&row);
                }
            }
            ActorEvent::Agent(_) | ActorEvent::Switch(_) | ActorEvent::Proxy(_) | ActorEvent::Control(_) => {}
            ActorEvent::VRouter(_) | ActorEvent::Vip(_) => {}
            ActorEvent::Thief(_) | ActorEvent::Intruder(_) => {}
        }
    }

    /// Whether a MAC that is gone at one consumer still exists elsewhere.
    fn misses(&self, consumer: &str, place: (Uuid, Mac), world: &World) -> bool {
        let learned = self.learned.get(&place);
        let mut switches = world.switches().filter(|switch| {
            let has = learned.is_some_and(|learned| learned.contains_key(switch.name));
            has && world
                .master(*switch)
                .is_some_and(|master| master.agent.name == consumer)
        });
        world.is_wanted(place.0) && is_there(learned, world) && switches.next().is_none()
    }

    fn is_back(&mut self, entry: &Entry, place: (Uuid, Mac)) {
        let consumers = self.missing.get_mut(&place);
        if let Some((since, fault)) = consumers.and_then(|consumers| consumers.remove(&entry.node)) {
            let micros = u64::try_from(entry.at.since(since).as_micros()).unwrap_or(u64::MAX);
            self.times.entry(fault).or_default().push(micros);
        }
    }

    /// A row was deleted; a MAC that no switch has any more is missing nowhere.
    fn forget(&mut self, row: &(Arc<str>, Uuid)) {
        let Some(place) = self.rows.remove(row) else { return };
        if let Some(switches) = self.learned.get_mut(&place) {
            if let Some(rows) = switches.get_mut(&row.0) {
                *rows -= 1;
            }
            switches.retain(|_, rows| *rows > 0);
            if switches.is_empty() {
                self.learned.remove(&place);
                self.missing.remove(&place);
            }
        }
    }
}

/// Whether some switch that has a MAC is not away.
fn is_there(switches: Option<&Switches>, world: &World) -> bool {
    let has = |name: &str| switches.is_some_and(|switches| switches.contains_key(name));
    world.switches().any(|switch| switch.running && has(switch.name))
}

/// The network and the MAC of a row, if the network is one of ours.
fn place(world: &World, switch: &str, row: &Row) -> Option<(Uuid, Mac)> {
    let view = world.switches().find(|view| view.name == switch)?;
    let network = view.switch.row("Logical_Switch", row.reference("logical_switch")?)?;
    Some((
        model::network_named(network.text("name")?)?,
        row.text("MAC")?.parse().ok()?,
    ))
}
