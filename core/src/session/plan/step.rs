//! What planning comes to: a step for an object, a batch for a transaction.

use std::net::Ipv4Addr;

use crate::event::{Lane, Object, What};
use crate::ids::Vni;
use crate::session::reconciler::Wait;

/// What planning an object came to.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::session) enum Step {
    /// It is as desired, or nothing can be done about it.
    Right,
    /// What makes it so stands in the transaction.
    Write {
        /// Nothing is left to write when that is applied.
        whole: bool,
        /// What to report when that is applied.
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

/// What a transaction on the wire writes.
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
    /// What to report when it is applied.
    pub(in crate::session) notes: Vec<What>,
}
