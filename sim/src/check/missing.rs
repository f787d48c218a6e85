//! S6: while a switch has a live owner, and a control node connects the owner with a consumer, no MAC that the switch
//! has learned is missing at that consumer for longer than the budget.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_core::{Mac, Time, Uuid};

use super::overdue::Overdue;
use super::tick::{EVERY, Tick};
use super::{Check, Findings, Scene};
use crate::world::{Consumer, SwitchView};
use crate::{bounds, model};

#[derive(Clone, Debug, Default)]
pub(super) struct Missing {
    missing: Overdue<Object>,
    tick: Tick,
}

/// Where a MAC is missing, and which agent exports it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Object {
    consumer: String,
    owner: String,
    switch: String,
    network: Uuid,
    mac: Mac,
}

impl Check for Missing {
    fn name(&self) -> &'static str {
        "S6"
    }

    fn inspect(&mut self, scene @ Scene { world, ways }: Scene<'_>, found: &mut Findings) {
        let (now, bound) = (world.now(), bounds::missing(world.plan()));
        if !self.tick.take_every((bound / 4).max(EVERY), now) || world.plan().topology.control_nodes == 0 {
            return;
        }
        let missing = find_missing(scene);
        self.missing.update(now, missing);
        for (object, ends) in self.missing.longer_than(bound, now) {
            let Object {
                consumer,
                owner,
                switch,
                network,
                mac,
            } = object;
            if ways.steady.held_for(switch, now) >= bound && ways.reach.lasts(world, owner, consumer, *network) >= bound
            {
                let what = format!(
                    "{mac} in {network}, which {switch} has learned, has been missing at {consumer} for {bound:?}: no \
                     path leads to {ends}, and {owner} owns the switch"
                );
                found.add([consumer.clone(), switch.clone(), format!("{mac} in {network}")], what);
            }
        }
    }

    fn due(&self) -> Option<Time> {
        self.tick.due()
    }
}

/// What is missing where nothing is in the way now.
fn find_missing(scene @ Scene { world, ways }: Scene<'_>) -> Vec<(Object, String)> {
    let learned: Vec<_> = world
        .switches()
        .map(|switch| (switch, model::learned(world, switch.switch)))
        .collect();
    let mut ends = BTreeMap::<_, Vec<_>>::new();
    for (key, end) in learned.iter().flat_map(|(_, learned)| learned) {
        ends.entry(*key).or_default().push(*end);
    }
    let mut missing = Vec::new();
    for (switch, learned) in &learned {
        let Some(owner) = owner_of(scene, *switch) else {
            continue;
        };
        for consumer in world.consumers().filter(|consumer| consumer.name() != owner.name()) {
            let Some(fabric) = consumer.fabric() else { continue };
            let mut reached = BTreeMap::new();
            for (network, mac) in learned.keys().copied() {
                // A MAC that two switches have is at one of them.
                let ends = ends.get(&(network, mac)).map_or(&[][..], |ends| ends);
                let is_there = fabric.paths(network, mac).any(|path| ends.contains(&path.vtep));
                let mut is_reached = || {
                    let reach = || ways.reach.lasts(world, owner.name(), consumer.name(), network);
                    let known = owner.is_in(network) && consumer.is_in(network);
                    *reached
                        .entry(network)
                        .or_insert_with(|| known && reach() > Duration::ZERO)
                };
                if !is_there && is_reached() {
                    let object = Object {
                        consumer: consumer.name().to_owned(),
                        owner: owner.name().to_owned(),
                        switch: switch.name.to_owned(),
                        network,
                        mac,
                    };
                    let ends: Vec<_> = ends.iter().map(ToString::to_string).collect();
                    missing.push((object, ends.join(" or ")));
                }
            }
        }
    }
    missing
}

/// The agent that owns a switch over an open way.
fn owner_of<'a>(Scene { world, ways }: Scene<'a>, switch: SwitchView<'a>) -> Option<Consumer<'a>> {
    let held = ways.steady.held_for(switch.name, world.now());
    let master = world.master(switch).filter(|_| held > Duration::ZERO)?;
    Some(Consumer::Agent(master.agent))
}
