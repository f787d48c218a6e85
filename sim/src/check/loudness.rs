//! No event has the level `error` unless a fault of the plan explains it.

use std::time::Duration;

use tandem_core::Time;
use tandem_core::event::{Level, LogEvent};

use super::{Check, Findings, Scene};
use crate::plan::Kind;
use crate::world::World;
use crate::world::log::{ActorEvent, Entry, WorldEvent};

/// What an error may be explained by: the word of the event, a part of its text, and a fault that is not long over.
///
/// Whatever most faults of a plan do is the environment's fault or the peer's, and those are warnings.
const EXCUSES: &[(&str, &str, Kind)] = &[("WritesStopped", "No space left on device", Kind::Full)];

/// How long after its end a fault still explains something.
const RECENT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Default)]
pub(super) struct Loudness {
    /// When a fault of each kind last began or ended.
    faults: Vec<(Kind, Time)>,
    excused: usize,
}

impl Check for Loudness {
    fn name(&self) -> &'static str {
        "error"
    }

    fn on_event(&mut self, entry: &Entry, Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        if let ActorEvent::World(WorldEvent::FaultBegins { fault, .. } | WorldEvent::FaultEnds { fault }) = &entry.event
        {
            let kind = world.plan().fault(*fault).map(|scheduled| scheduled.fault.kind());
            self.faults.extend(kind.map(|kind| (kind, entry.at)));
        }
        // It is an error of the operator: the agent only reports it.
        if entry.event.level() < Level::Error || entry.event.word() == "DeletionsWithheld" {
            return;
        }
        if self.is_excused(entry, world) {
            self.excused += 1;
        } else {
            found.add(
                [&*entry.node],
                format!("{} {}: {}", entry.node, entry.event.word(), entry.event),
            );
        }
    }

    fn excused(&self) -> usize {
        self.excused
    }
}

impl Loudness {
    fn is_excused(&self, entry: &Entry, world: &World) -> bool {
        let text = entry.event.to_string();
        let mut fitting = EXCUSES
            .iter()
            .filter(|(word, part, _)| *word == entry.event.word() && text.contains(part));
        fitting.any(|(_, _, kind)| self.is_about(*kind, entry.at, world))
    }

    fn is_about(&self, kind: Kind, now: Time, world: &World) -> bool {
        let mut active = world
            .active_faults()
            .iter()
            .filter_map(|place| world.plan().faults.get(*place));
        let mut recent = self.faults.iter().rev().take_while(|(_, at)| now.since(*at) <= RECENT);
        active.any(|scheduled| scheduled.fault.kind() == kind) || recent.any(|(recent, _)| *recent == kind)
    }
}
