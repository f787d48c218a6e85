//! S3: no route outlives its session: a control node keeps no route of an agent that it has no stream with, and no
//! agent or vRouter keeps a route that none of its control nodes has. A copy of a route that no agent exports lasts
//! no longer than the hold.

use std::collections::BTreeSet;

use tandem_core::event::{Route, What};
use tandem_core::{Mac, Time, Uuid};

use super::overdue::Overdue;
use super::tick::{EVERY, Tick};
use super::{Check, Findings, Scene};
use crate::bounds;
use crate::host;
use crate::world::log::{ActorEvent, Entry};
use crate::world::{AgentView, Consumer, ControlView, World};

#[derive(Clone, Debug, Default)]
pub(super) struct Routes {
    /// Control nodes, and the clients that are gone.
    left: Overdue<(String, String)>,
    /// Agents and vRouters, and the routes that none of their control nodes has any more.
    stale: Overdue<(String, Uuid, Mac)>,
    /// Agents, and the copies that they hold of routes that no agent exports.
    held: Overdue<(String, Route)>,
    tick: Tick,
}

impl Check for Routes {
    fn name(&self) -> &'static str {
        "S3"
    }

    fn on_event(&mut self, entry: &Entry, _scene: Scene<'_>, _found: &mut Findings) {
        if let ActorEvent::Agent(host::Event::Session(event)) = &entry.event
            && let What::Exported(exported) = &event.what
        {
            self.held.right(|(_, route)| route == exported);
        }
    }

    fn inspect(&mut self, Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        let now = world.now();
        let bound = bounds::routes(world.plan());
        if !self.tick.take_every((bound / 4).max(EVERY), now) || world.plan().topology.control_nodes == 0 {
            return;
        }
        let left = world
            .control_nodes()
            .flat_map(|control| departed_publishers(world, control));
        self.left.update(now, left.map(|key| (key, String::new())));
        let stale = world.consumers().flat_map(|consumer| unexplained(world, consumer));
        self.stale.update(now, stale.map(|key| (key, String::new())));
        let exported: BTreeSet<Route> = world.agents().flat_map(exports).collect();
        let alone = world.agents().flat_map(|agent| {
            let routes = world.held(agent).filter(|route| !exported.contains(*route));
            routes.map(move |route| ((agent.name.to_owned(), *route), String::new()))
        });
        self.held.update(now, alone);
        let hold = bound + world.plan().agent.stale_hold.duration();
        for ((agent, route), _) in self.held.longer_than(hold, now) {
            let Route { network, mac, vtep } = route;
            let what =
                format!("{agent} has held a copy of {mac} at {vtep} in {network} for {hold:?}, which no agent exports");
            found.add([agent.clone(), format!("{mac} in {network}")], what);
        }
        for ((control, client), _) in self.left.longer_than(bound, now) {
            let what = format!("{control} holds routes of {client}, whose session has been gone for {bound:?}");
            found.add([control, client], what);
        }
        for ((consumer, network, mac), _) in self.stale.longer_than(bound, now) {
            let what =
                format!("{consumer} has held {mac} in {network} for {bound:?}, which none of its control nodes has");
            found.add([consumer.clone(), format!("{mac} in {network}")], what);
        }
    }

    fn due(&self) -> Option<Time> {
        self.tick.due()
    }
}

fn exports(agent: AgentView<'_>) -> impl Iterator<Item = Route> {
    let host = agent.host.filter(|_| agent.running);
    host.into_iter()
        .flat_map(|host| host.agent().exports().routes().copied())
}

/// The clients whose routes a control node holds although no agent of that name has a session with it.
fn departed_publishers(world: &World, control: ControlView<'_>) -> Vec<(String, String)> {
    let Some(host) = control.host.filter(|_| control.running) else {
        return Vec::new();
    };
    let agents: Vec<_> = world.agents().collect();
    let is_there = |client: &str| {
        let agent = agents.iter().find(|agent| agent.name == client);
        agent.is_some_and(|agent| {
            world
                .believed_sessions(*agent)
                .any(|believed| believed.name == control.name)
        })
    };
    let publishers = host.node().publishers();
    let gone = publishers.into_iter().filter(|client| !is_there(client.as_str()));
    gone.map(|client| (control.name.to_owned(), client.to_string()))
        .collect()
}

/// Routes that a consumer holds and none of its control nodes has. Empty while the consumer has no undisturbed session.
fn unexplained(world: &World, consumer: Consumer<'_>) -> Vec<(String, Uuid, Mac)> {
    let nodes: Vec<_> = world.believed_sessions(consumer).collect();
    let Some(fabric) = consumer.fabric().filter(|_| !nodes.is_empty()) else {
        return Vec::new();
    };
    if !nodes.iter().all(|control| world.has_session(consumer, *control)) {
        return Vec::new();
    }
    let mut unexplained = Vec::new();
    for network in world
        .wanted(0)
        .networks
        .keys()
        .filter(|network| consumer.is_complete(**network))
    {
        let hosts = nodes.iter().filter_map(|control| control.host);
        let held: BTreeSet<Mac> = hosts.flat_map(|host| host.node().macs_of(*network)).collect();
        let macs = fabric.macs_of(*network).filter(|mac| !held.contains(mac));
        unexplained.extend(macs.map(|mac| (consumer.name().to_owned(), *network, mac)));
    }
    unexplained
}
