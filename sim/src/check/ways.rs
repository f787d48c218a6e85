//! Since when the ways of a world have been open: kept once, for every check that asks.

use super::late::Late;
use super::reach::Reach;
use super::steady::Steady;
use crate::world::World;
use crate::world::log::Entry;

#[derive(Clone, Debug, Default)]
pub(super) struct Ways {
    /// The ways between switches and agents, and the owner of each switch.
    pub(super) steady: Steady,
    /// The sessions between control nodes and the agents and vRouters.
    pub(super) reach: Reach,
    /// From control nodes to agents.
    pub(super) late: Late,
}

impl Ways {
    /// To be called with every event, before it is judged.
    pub(super) fn on_event(&mut self, entry: &Entry, world: &World) {
        self.steady.on_event(entry, world);
        self.reach.on_event(entry, world);
        self.late.on_event(entry, world);
    }

    /// To be called before every look that a check wanted to take.
    pub(super) fn update(&mut self, world: &World) {
        self.steady.update(world);
        self.reach.update(world);
        self.late.update(world);
    }
}
