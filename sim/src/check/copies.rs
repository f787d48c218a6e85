//! S6, with hold: if an agent holds a copy of a MAC's route, no consumer that the agent reaches misses that MAC.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_core::event::Route;
use tandem_core::{Time, Uuid};

use super::overdue::Overdue;
use super::tick::Tick;
use super::{Check, Findings, Scene};
use crate::bounds;
use crate::world::World;

#[derive(Clone, Debug, Default)]
pub(super) struct Copies {
    /// The holder of a copy, the consumer without a path to it, and the route.
    missing: Overdue<(String, String, Route)>,
    tick: Tick,
}

impl Check for Copies {
    fn name(&self) -> &'static str {
        "S6"
    }

    fn inspect(&mut self, scene @ Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        let (now, bound) = (world.now(), bounds::copies(world.plan()));
        if !self.tick.take_every(bound, now) || !is_on(world) {
            return;
        }
        let missing = find_missing(scene, bound);
        self.missing.update(now, missing);
        for ((holder, consumer, route), _) in self.missing.longer_than(bound, now) {
            let Route { network, mac, vtep } = route;
            let what = format!(
                "{holder} holds a copy of {mac} in {network} at {vtep}, which has been missing at {consumer} for {bound:?}"
            );
            found.add([consumer.clone(), holder.clone(), format!("{mac} in {network}")], what);
        }
    }

    fn due(&self) -> Option<Time> {
        self.tick.due()
    }
}

/// What is missing where nothing has been in the way for as long as a route needs.
fn find_missing(Scene { world, ways }: Scene<'_>, bound: Duration) -> Vec<((String, String, Route), String)> {
    let mut missing = Vec::new();
    for holder in world.agents() {
        let held: BTreeMap<Uuid, Vec<&Route>> = world.held(holder).fold(BTreeMap::new(), |mut held, route| {
            held.entry(route.network).or_default().push(route);
            held
        });
        for consumer in world.consumers().filter(|consumer| consumer.name() != holder.name) {
            let Some(fabric) = consumer.fabric() else { continue };
            for (network, routes) in &held {
                let reached = || ways.reach.lasts(world, holder.name, consumer.name(), *network);
                if !consumer.is_in(*network) || reached() < bound {
                    continue;
                }
                let unreceived = routes
                    .iter()
                    .filter(|route| fabric.paths(*network, route.mac).next().is_none());
                let object = |route: &Route| (holder.name.to_owned(), consumer.name().to_owned(), *route);
                missing.extend(unreceived.map(|route| (object(route), String::new())));
            }
        }
    }
    missing
}

fn is_on(world: &World) -> bool {
    let plan = world.plan();
    plan.topology.control_nodes > 0 && plan.agent.stale_hold.unless_zero().is_some()
}
