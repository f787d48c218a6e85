//! What is on the schedule of a world.

use tandem_core::Time;

use super::node::Part;
use crate::link::{HostId, Transit};
use crate::socket::{Check, Outcome};

/// The planned event, and the event that led to it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) cause: u64,
    pub(super) what: Planned,
}

#[derive(Clone, Debug)]
pub(super) enum Planned {
    Transit(Transit),
    Wake {
        node: HostId,
        part: Part,
    },
    Check {
        node: HostId,
        check: u64,
        version: u64,
        what: Stage,
    },
    FaultBegins(usize),
    FaultEnds(usize),
    Configure {
        node: HostId,
        life: u64,
        complete: bool,
    },
    /// The operator confirms what the brake of an agent withholds.
    Confirm {
        node: HostId,
        life: u64,
    },
    Reconcile(HostId),
    /// The script that tracks the proxy has answered.
    Tracked {
        node: HostId,
        lives: bool,
    },
    Workload(Chore),
    /// Another program looks for what it deletes, as long as this fault lasts.
    Undo(usize),
}

/// Something that is done again and again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Chore {
    /// What every switch does by itself, once a second.
    Firmware,
    /// A switch learns, forgets, or moves a MAC.
    LocalChange,
    /// A remote MAC comes, goes, or moves.
    RemoteChange,
    /// A network, a binding or a VNI changes.
    ConfigurationChange,
}

impl Chore {
    pub(super) const ALL: [Self; 4] = [
        Self::Firmware,
        Self::LocalChange,
        Self::RemoteChange,
        Self::ConfigurationChange,
    ];
}

/// A check that repeats.
#[derive(Clone, Debug)]
pub(super) struct Checking {
    pub(super) what: Check,
    pub(super) version: u64,
    /// When the next is due, or was, if it sleeps.
    pub(super) next: Time,
    pub(super) asleep: bool,
    /// What the world's count of changes was when the last asking began.
    pub(super) begun_at_change: u64,
}

/// How far one asking has come.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    Begins,
    Arrives { begun: Time },
    Ends { outcome: Outcome },
}
