//! The results of planning: a step for an object, a batch for a transaction.

use std::net::Ipv4Addr;

use crate::event::{Lane, Object, What};
use crate::ids::Vni;
use crate::ovsdb::limits::Rows;
use crate::session::reconciler::Wait;

/// The result of planning an object.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::session) enum Step {
    /// It is as desired, or nothing can be done about it.
    Right,
    /// The operations that bring it into line stand in the transaction.
    Write {
        /// Nothing is left to write when that is applied.
        whole: bool,
        /// The events to report when that is applied.
        notes: Vec<What>,
    },
    /// It has to wait.
    Wait(Wait),
    /// It is not desired any more, and deletions come last.
    Delete,
}

impl Step {
    /// It is written as a whole, and there is nothing to report.
    pub(super) const WRITE: Self = Self::Write {
        whole: true,
        notes: Vec::new(),
    };

    /// As much of it is written as the switch takes at once.
    pub(super) const WRITE_PART: Self = Self::Write {
        whole: false,
        notes: Vec::new(),
    };
}

/// The content of a transaction on the wire.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::session) struct Batch {
    pub(in crate::session) lane: Lane,
    pub(in crate::session) objects: Vec<Object>,
    /// Rows written, without locators.
    pub(in crate::session) rows: usize,
    /// Tunnel ends that it creates locators for.
    pub(in crate::session) creates: Vec<Ipv4Addr>,
    /// VNIs that it gives to logical switches.
    pub(in crate::session) gives: Vec<Vni>,
    /// Rows that it inserts.
    pub(in crate::session) inserts: Rows,
    /// The events to report when it is applied.
    pub(in crate::session) notes: Vec<What>,
}
