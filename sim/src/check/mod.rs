//! The invariants: a small file for each check, which reads events and public state only.
//!
//! A check receives every event, and inspects the world when something has changed that may concern it. A finding
//! names its objects, so that a shrunk plan can be tested for the same violation of the same objects.

mod brake;
mod broadcast;
mod cause;
mod claim;
mod contract;
mod copies;
mod fights;
mod foreign;
mod identity;
mod keepalive;
mod late;
mod learned;
mod lock;
mod loudness;
mod missing;
mod moves;
mod overdue;
mod owner;
mod reach;
mod rest;
mod routes;
mod sequence;
mod sizes;
mod steady;
mod swept;
mod tables;
#[cfg(test)]
mod tests;
mod tick;
mod ways;

use std::collections::BTreeSet;

use serde::Serialize;
use tandem_core::Time;

use crate::switch::Commit;
use crate::world::World;
use crate::world::log::Entry;

pub use rest::Memories;

use contract::{Check, Findings, Scene};
use ways::Ways;

/// Something that must not be.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Violation {
    /// Such as `S2`.
    pub check: &'static str,
    pub at: Time,
    /// The event at which it was seen.
    pub entry: u64,
    /// What it is about: names of switches, networks, agents.
    pub objects: BTreeSet<String>,
    /// One sentence.
    pub what: String,
}

/// Every check.
#[derive(Clone, Debug, Default)]
pub struct Judges {
    ways: Ways,
    lock: lock::Lock,
    brake: brake::Brake,
    owner: owner::Owner,
    claim: claim::Claim,
    broadcast: broadcast::Broadcast,
    routes: routes::Routes,
    sequence: sequence::Sequence,
    swept: swept::Swept,
    tables: tables::Tables,
    keepalive: keepalive::Keepalive,
    sizes: sizes::Sizes,
    missing: missing::Missing,
    copies: copies::Copies,
    moves: moves::Moves,
    foreign: foreign::Foreign,
    identity: identity::Identity,
    fights: fights::Fights,
    loudness: loudness::Loudness,
    cause: cause::Cause,
}

impl Judges {
    /// Something happened.
    pub fn on_event(&mut self, entry: &Entry, world: &World) -> Vec<Violation> {
        self.ways.on_event(entry, world);
        self.each(world, entry.id, |check, scene, found| {
            check.on_event(entry, scene, found)
        })
    }

    /// A transaction changed something on a switch.
    pub fn on_commit(&mut self, switch: &str, commit: &Commit, world: &World, entry: u64) -> Vec<Violation> {
        self.each(world, entry, |check, scene, found| {
            check.on_commit(switch, commit, scene, found)
        })
    }

    /// Something has changed, or a check is due.
    pub fn inspect(&mut self, world: &World, entry: u64) -> Vec<Violation> {
        if self.due().is_some_and(|due| due <= world.now()) {
            self.ways.update(world);
        }
        self.each(world, entry, |check, scene, found| check.inspect(scene, found))
    }

    /// What was found and excused by the checks' own lists.
    pub fn excused(&self) -> usize {
        self.loudness.excused()
    }

    /// When a check wants to look although nothing changes.
    pub fn due(&self) -> Option<Time> {
        let checks: [&dyn Check; 19] = [
            &self.lock,
            &self.brake,
            &self.owner,
            &self.claim,
            &self.broadcast,
            &self.routes,
            &self.sequence,
            &self.swept,
            &self.tables,
            &self.keepalive,
            &self.sizes,
            &self.missing,
            &self.copies,
            &self.moves,
            &self.foreign,
            &self.identity,
            &self.fights,
            &self.loudness,
            &self.cause,
        ];
        checks.iter().filter_map(|check| check.due()).min()
    }

    fn each(
        &mut self,
        world: &World,
        entry: u64,
        mut ask: impl FnMut(&mut dyn Check, Scene<'_>, &mut Findings),
    ) -> Vec<Violation> {
        let checks: [&mut dyn Check; 19] = [
            &mut self.lock,
            &mut self.brake,
            &mut self.owner,
            &mut self.claim,
            &mut self.broadcast,
            &mut self.routes,
            &mut self.sequence,
            &mut self.swept,
            &mut self.tables,
            &mut self.keepalive,
            &mut self.sizes,
            &mut self.missing,
            &mut self.copies,
            &mut self.moves,
            &mut self.foreign,
            &mut self.identity,
            &mut self.fights,
            &mut self.loudness,
            &mut self.cause,
        ];
        let scene = Scene {
            world,
            ways: &self.ways,
        };
        let mut violations = Vec::new();
        for check in checks {
            let mut found = Findings::default();
            ask(check, scene, &mut found);
            let (name, at) = (check.name(), world.now());
            violations.extend(found.0.into_iter().map(|(objects, what)| Violation {
                check: name,
                at,
                entry,
                objects,
                what,
            }));
        }
        violations
    }
}
