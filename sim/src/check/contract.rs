//! The contract of a check: its callbacks, what it reads, and what it finds.

use std::collections::BTreeSet;

use tandem_core::Time;

use super::ways::Ways;
use crate::switch::Commit;
use crate::world::World;
use crate::world::log::Entry;

/// One thing that must be true.
pub(super) trait Check {
    /// Its name in the design: `S1`, `S2` ...
    fn name(&self) -> &'static str;

    /// Something happened.
    fn on_event(&mut self, _entry: &Entry, _scene: Scene<'_>, _found: &mut Findings) {}

    /// A transaction changed something on a switch.
    fn on_commit(&mut self, _switch: &str, _commit: &Commit, _scene: Scene<'_>, _found: &mut Findings) {}

    /// Something has changed, or the time of [`due`](Self::due) has come.
    fn inspect(&mut self, _scene: Scene<'_>, _found: &mut Findings) {}

    /// When it wants to look although nothing changes.
    fn due(&self) -> Option<Time> {
        None
    }

    /// What it found and excused.
    fn excused(&self) -> usize {
        0
    }
}

/// The parts of the world that a check reads.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) world: &'a World,
    pub(super) ways: &'a Ways,
}

/// What a check found, without what its caller knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(pub(super) Vec<(BTreeSet<String>, String)>);

impl Findings {
    /// `objects` are what it is about, `what` is one sentence.
    pub(super) fn add<T: Into<String>>(&mut self, objects: impl IntoIterator<Item = T>, what: impl Into<String>) {
        self.0
            .push((objects.into_iter().map(Into::into).collect(), what.into()));
    }
}
