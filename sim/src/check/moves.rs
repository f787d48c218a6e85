//! A host is in one place at a time: after a move that nothing hid, the latest place wins everywhere.
//!
//! The truth is in the databases: a MAC is where a switch has learned it last. A move is judged if the owner of that
//! switch could know of every other place: it had read the switch, and every agent that exported the MAC elsewhere had
//! reached it for long enough. From then on, every agent and vRouter that the owner reaches must have its best path there,
//! and every other switch its remote row. A copy must not stay where a path leads elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::agent::uplinks;
use tandem_core::event::{Route, What};
use tandem_core::{ConnId, Mac, Time, Uuid};

use super::learned::Audited;
use super::overdue::Overdue;
use super::tick::{EVERY, Tick};
use super::{Check, Findings, Scene, learned};
use crate::switch::Commit;
use crate::world::log::{ActorEvent, Entry, WorldEvent};
use crate::world::{AgentView, Consumer, SwitchView};
use crate::{bounds, host, model};

/// How long the sequence of a path that went is remembered, less what it takes to use it.
const REMEMBERED: Duration = Duration::from_secs(240);

/// After so long, no agent remembers it.
const FORGOTTEN: Duration = Duration::from_secs(360);

/// The local preference of copies.
const OF_COPIES: u32 = 1;

#[derive(Clone, Debug, Default)]
pub(super) struct Moves {
    /// Where each MAC was learned last.
    places: BTreeMap<(Uuid, Mac), Place>,
    /// When each MAC was exported last, anywhere.
    exported: BTreeMap<(Uuid, Mac), Time>,
    audited: Audited,
    seen: Seen,
    /// The paths that may lead to an old place.
    suspects: BTreeSet<(Arc<str>, Uuid, Mac)>,
    /// Consumers whose best path leads to an old place.
    astray: Overdue<(String, Uuid, Mac)>,
    /// Switches whose remote row does.
    misplaced: Overdue<(String, Uuid, Mac)>,
    /// Agents that hold a copy of an old place.
    copied: Overdue<(String, Route)>,
    tick: Tick,
    slow: Tick,
}

/// The place of a host.
#[derive(Clone, Debug)]
struct Place {
    switch: String,
    end: Ipv4Addr,
    since: Time,
    /// The agent that owned the switch, and its connection, if it could know of every other place.
    owner: Option<(Arc<str>, ConnId)>,
}

impl Check for Moves {
    fn name(&self) -> &'static str {
        "moves"
    }

    fn on_event(&mut self, entry: &Entry, Scene { world, .. }: Scene<'_>, _found: &mut Findings) {
        match &entry.event {
            ActorEvent::Agent(host::Event::Session(event)) => {
                self.audited.on_event(&entry.node, event);
                if let What::Exported(route) = &event.what {
                    self.exported.insert((route.network, route.mac), world.now());
                }
            }
            ActorEvent::Agent(host::Event::Uplink(what)) | ActorEvent::VRouter(what) => {
                if let uplinks::What::Imported { network, mac, vtep } = what {
                    self.seen.imported(&entry.node, (*network, *mac), *vtep, world.now());
                    if self
                        .places
                        .get(&(*network, *mac))
                        .is_some_and(|place| vtep.is_some_and(|it| it != place.end))
                    {
                        self.suspects.insert((Arc::clone(&entry.node), *network, *mac));
                    }
                }
            }
            ActorEvent::World(WorldEvent::Started { node }) => {
                self.seen.forget(node);
                self.audited.forget(node);
            }
            ActorEvent::Agent(_) | ActorEvent::Switch(_) | ActorEvent::Proxy(_) | ActorEvent::Control(_) => {}
            ActorEvent::Vip(_) | ActorEvent::World(_) | ActorEvent::Thief(_) | ActorEvent::Intruder(_) => {}
        }
    }

    fn on_commit(&mut self, switch: &str, commit: &Commit, scene @ Scene { world, .. }: Scene<'_>, _: &mut Findings) {
        if world.plan().topology.control_nodes == 0 {
            return;
        }
        let Some(view) = world.switches().find(|view| view.name == switch) else {
            return;
        };
        for (network, mac) in learned::by(commit, view) {
            let owner = self.knowing_owner(scene, view, (network, mac));
            if owner.is_some() {
                let consumers = world.consumers().map(|it| (it.name().into(), network, mac));
                self.suspects.extend(consumers);
            }
            let place = Place {
                switch: switch.to_owned(),
                end: view.tunnel_ip,
                since: world.now(),
                owner,
            };
            self.places.insert((network, mac), place);
        }
    }

    fn inspect(&mut self, scene @ Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        let (now, bound) = (world.now(), bounds::moves(world.plan()));
        let is_routed = world.plan().topology.control_nodes > 0;
        if self.tick.take_every(bound, now) && is_routed {
            self.find_astray(scene, found);
            self.find_copied(scene, found);
        }
        let rows = bounds::moved_rows(world.plan());
        if self.slow.take_every((rows / 2).max(EVERY), now) && is_routed {
            self.find_misplaced(scene, rows, found);
        }
    }

    fn due(&self) -> Option<Time> {
        self.tick.due().min(self.slow.due())
    }
}

impl Moves {
    /// The owner of a switch that has just learned a MAC, if it could know of every other place of it.
    fn knowing_owner(&self, scene: Scene<'_>, switch: SwitchView<'_>, key: (Uuid, Mac)) -> Option<(Arc<str>, ConnId)> {
        let Scene { world, ways } = scene;
        let (now, bound) = (world.now(), bounds::moves(world.plan()));
        let (network, mac) = key;
        let master = world.master(switch)?;
        // No agent knows in which order hosts moved while their network was lost.
        if !Consumer::Agent(master.agent).is_in(network) {
            return None;
        }
        let session = (Arc::from(master.agent.name), master.conn);
        let settled = |at: Time| now.since(at) >= bound;
        let is_old = self.places.get(&key).is_none_or(|place| settled(place.since))
            && self.exported.get(&key).is_none_or(|at| settled(*at));
        let owned = ways.steady.held_for(switch.name, now) >= bound;
        if !(is_old && owned && self.audited.contains(&session.0, session.1)) {
            return None;
        }
        let exports = |other: AgentView<'_>| -> Vec<Ipv4Addr> {
            let host = other.host.into_iter();
            host.flat_map(|host| host.agent().exports().vteps(network, mac))
                .collect()
        };
        let mut others = world.agents().filter(|other| other.name != master.agent.name);
        let is_near = |other: AgentView<'_>| {
            exports(other).is_empty() || ways.reach.lasts(world, other.name, master.agent.name, network) >= bound
        };
        if !others.all(is_near) {
            return None;
        }
        // Another agent may remember the sequence of a row that an owner exports, or will export, beside the best path.
        let fabric = Consumer::Agent(master.agent).fabric()?;
        let is_exported = |end| world.agents().any(|agent| exports(agent).contains(&end));
        let names: Vec<Arc<str>> = world.agents().map(|agent| Arc::from(agent.name)).collect();
        let remembered = |route: &Route| names.iter().any(|agent| self.seen.remembers(agent, route, now));
        let is_known = |other: SwitchView<'_>| {
            let route = Route {
                network,
                mac,
                vtep: other.tunnel_ip,
            };
            fabric.paths(network, mac).any(|path| path.vtep == route.vtep)
                || self.seen.lately(&session.0, &route, now)
                || !model::learned(world, other.switch).contains_key(&key)
                || is_exported(route.vtep) && !remembered(&route)
        };
        let mut others = world.switches().filter(|other| other.name != switch.name);
        others.all(is_known).then_some(session)
    }

    /// The place of a MAC, if it is old enough, and was exported by an owner that nothing has disturbed since.
    fn settled(&self, Scene { world, ways }: Scene<'_>, key: (Uuid, Mac), bound: Duration) -> Option<&Place> {
        let now = world.now();
        let place = self.places.get(&key).filter(|place| now.since(place.since) >= bound)?;
        let (owner, conn) = place.owner.as_ref()?;
        let switch = world.switches().find(|switch| switch.name == place.switch)?;
        let master = world
            .master(switch)
            .filter(|way| way.conn == *conn && way.agent.name == &**owner)?;
        let calm = ways.steady.good_for(&place.switch, master.switch_conn, now) >= now.since(place.since);
        let mut exports = master.agent.host?.agent().exports().vteps(key.0, key.1);
        let exported = exports.any(|end| end == place.end) && switch.tunnel_ip == place.end;
        let is_configured = |network: &Uuid| {
            let wanted = world.wanted(0);
            wanted
                .networks
                .get(network)
                .is_none_or(|about| about.remote_macs.contains_key(&key.1))
        };
        (calm && exported && !is_configured(&key.0)).then_some(place)
    }

    /// Since when an owner has reached a consumer, if it has for long enough.
    fn reaches(
        Scene { world, ways }: Scene<'_>,
        place: &Place,
        consumer: Consumer<'_>,
        network: Uuid,
        bound: Duration,
    ) -> bool {
        let owner = place.owner.as_ref().map_or("", |(owner, _)| owner);
        consumer.is_in(network) && ways.reach.lasts(world, owner, consumer.name(), network) >= bound
    }

    fn find_astray(&mut self, scene @ Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        let (now, bound) = (world.now(), bounds::moves(world.plan()));
        let consumers: BTreeMap<&str, Consumer<'_>> = world.consumers().map(|it| (it.name(), it)).collect();
        let mut astray = Vec::new();
        let mut suspects = std::mem::take(&mut self.suspects);
        suspects.retain(|(name, network, mac)| {
            let Some(place) = self.places.get(&(*network, *mac)).filter(|place| place.owner.is_some()) else {
                return false;
            };
            let consumer = consumers.get(&**name);
            let best = consumer
                .and_then(|it| it.fabric()?.best(*network, *mac))
                .map(|best| best.vtep);
            match best.filter(|end| *end != place.end).zip(consumer) {
                Some((end, consumer)) => {
                    if self.settled(scene, (*network, *mac), Duration::ZERO).is_some()
                        && Self::reaches(scene, place, *consumer, *network, Duration::ZERO)
                    {
                        astray.push(((name.to_string(), *network, *mac), end.to_string()));
                    }
                    true
                }
                // It is looked at again when it is imported elsewhere, and until the move has arrived.
                None => now.since(place.since) < bound * 2,
            }
        });
        self.suspects = suspects;
        self.astray.update(now, astray);
        for ((name, network, mac), end) in self.astray.longer_than(bound, now) {
            let place = self.settled(scene, (*network, *mac), bound);
            let consumer = consumers.get(&**name);
            if let Some((place, consumer)) = place.zip(consumer)
                && Self::reaches(scene, place, *consumer, *network, bound)
            {
                let what = format!(
                    "{name} has sent what is for {mac} in {network} to {end} for {bound:?}, but it moved to {} of {}",
                    place.end, place.switch
                );
                found.add(
                    [name.clone(), place.switch.clone(), format!("{mac} in {network}")],
                    what,
                );
            }
        }
    }

    /// The remote rows that lead to an old place, on switches whose owner has the path to the new one.
    fn find_misplaced(&mut self, scene @ Scene { world, ways }: Scene<'_>, bound: Duration, found: &mut Findings) {
        let now = world.now();
        let mut misplaced = Vec::new();
        for switch in world.switches() {
            let owner = world
                .master(switch)
                .filter(|_| ways.steady.owned_for(switch.name, now) >= bound);
            let Some(owner) = owner.map(|way| Consumer::Agent(way.agent)) else {
                continue;
            };
            for ((network, mac), end) in model::remote(switch.switch) {
                let place = self.places.get(&(network, mac));
                let Some(place) = place.filter(|place| place.end != end && place.switch != switch.name) else {
                    continue;
                };
                if self.settled(scene, (network, mac), bound).is_some()
                    && Self::reaches(scene, place, owner, network, bound)
                {
                    misplaced.push(((switch.name.to_owned(), network, mac), end.to_string()));
                }
            }
        }
        self.misplaced.update(now, misplaced);
        for ((switch, network, mac), end) in self.misplaced.longer_than(bound, now) {
            let place = self.places.get(&(*network, *mac)).map_or("", |place| &place.switch);
            let what =
                format!("{mac} in {network} on {switch} has led to {end} for {bound:?}, but it moved to {place}");
            found.add([switch.clone(), format!("{mac} in {network}")], what);
        }
    }

    /// The copies that an agent holds although a path that an agent exports leads elsewhere, and no agent exports this one.
    fn find_copied(&mut self, Scene { world, ways }: Scene<'_>, found: &mut Findings) {
        let (now, bound) = (world.now(), bounds::moves(world.plan()));
        let exports = |agent: AgentView<'_>, network, mac| -> Vec<Ipv4Addr> {
            let host = agent.host.filter(|_| agent.running).into_iter();
            host.flat_map(|host| host.agent().exports().vteps(network, mac))
                .collect()
        };
        let mut copied = Vec::new();
        for holder in world.agents() {
            let Some(fabric) = Consumer::Agent(holder).fabric() else {
                continue;
            };
            for route in world.held(holder) {
                let Route { network, mac, vtep } = *route;
                let mut paths = fabric.paths(network, mac).filter(|path| path.preference > OF_COPIES);
                let Some(end) = paths.next().map(|path| path.vtep).filter(|end| *end != vtep) else {
                    continue;
                };
                let is_there = |agent: AgentView<'_>| {
                    exports(agent, network, mac).contains(&end)
                        && (agent.name == holder.name
                            || ways.reach.lasts(world, agent.name, holder.name, network) >= bound)
                };
                let left = paths.all(|path| path.vtep != vtep)
                    && world
                        .agents()
                        .all(|agent| !exports(agent, network, mac).contains(&vtep));
                if left && world.agents().any(is_there) {
                    copied.push(((holder.name.to_owned(), *route), end.to_string()));
                }
            }
        }
        self.copied.update(now, copied);
        for ((holder, Route { network, mac, vtep }), end) in self.copied.longer_than(bound, now) {
            let what =
                format!("{holder} has held a copy of {mac} in {network} at {vtep} for {bound:?}, but it is at {end}");
            found.add([holder.clone(), format!("{mac} in {network}")], what);
        }
    }
}

/// Where the best path of each MAC led, at each agent.
#[derive(Clone, Debug, Default)]
struct Seen {
    now: BTreeMap<(Arc<str>, Uuid, Mac), Ipv4Addr>,
    /// Until when it did.
    before: BTreeMap<(Arc<str>, Route), Time>,
}

impl Seen {
    fn imported(&mut self, agent: &Arc<str>, (network, mac): (Uuid, Mac), vtep: Option<Ipv4Addr>, now: Time) {
        let key = (Arc::clone(agent), network, mac);
        let left = match vtep {
            Some(vtep) => self.now.insert(key, vtep),
            None => self.now.remove(&key),
        };
        if let Some(vtep) = left {
            self.before
                .insert((Arc::clone(agent), Route { network, mac, vtep }), now);
        }
    }

    /// The agent has just been started.
    fn forget(&mut self, agent: &str) {
        self.now.retain(|(name, ..), _| &**name != agent);
        self.before.retain(|(name, _), _| &**name != agent);
    }

    /// Whether an agent has had this path as its best one, not long ago.
    fn lately(&self, agent: &Arc<str>, route: &Route, now: Time) -> bool {
        let Route { network, mac, vtep } = *route;
        let is_now = self.now.get(&(Arc::clone(agent), network, mac)) == Some(&vtep);
        is_now || self.since(agent, route, now).is_some_and(|since| since <= REMEMBERED)
    }

    /// Whether an agent may remember the sequence of this path.
    fn remembers(&self, agent: &Arc<str>, route: &Route, now: Time) -> bool {
        self.since(agent, route, now).is_some_and(|since| since <= FORGOTTEN)
    }

    /// For how long this path has not been the best one of an agent, if it ever was.
    fn since(&self, agent: &Arc<str>, route: &Route, now: Time) -> Option<Duration> {
        let until = self.before.get(&(Arc::clone(agent), *route))?;
        Some(now.since(*until))
    }
}
