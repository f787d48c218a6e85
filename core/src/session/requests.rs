//! What we asked the switch and have no answer to yet. Every request has a deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::Why;
use crate::bounds::{DUMP_ANSWER, REQUEST_ANSWER};
use crate::event::{Lane, Object};
use crate::ids::Vni;
use crate::ovsdb::monitor::Monitor;
use crate::time::{Deadline, Time};

/// A request, and what its answer is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Asked {
    /// `get_schema`.
    Schema,
    /// `monitor_cond`, or the older `monitor`.
    Monitor { monitor: Monitor, conditional: bool },
    /// `lock`.
    Lock,
    /// `unlock`.
    Unlock,
    /// `transact`.
    Write(Batch),
}

/// What a transaction writes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Batch {
    /// The lane.
    pub lane: Lane,
    /// The objects, each of which is looked at again when the answer comes.
    pub objects: Vec<Object>,
    /// Rows written, without locators.
    pub rows: usize,
    /// Tunnel ends that it creates locators for.
    pub creates: Vec<Ipv4Addr>,
    /// VNIs that it gives to logical switches.
    pub numbers: Vec<Vni>,
}

impl Asked {
    /// What it is called when it is overdue.
    pub fn name(&self) -> String {
        match self {
            Self::Schema => "get_schema".into(),
            Self::Monitor { monitor, .. } => format!("monitor of the {} tables", monitor.id()),
            Self::Lock => "lock".into(),
            Self::Unlock => "unlock".into(),
            Self::Write(batch) => format!("transact ({}, {} rows)", batch.lane, batch.rows),
        }
    }

    fn is_dump(&self) -> bool {
        matches!(self, Self::Monitor { .. })
    }
}

/// The requests on the wire.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    next: u64,
    open: BTreeMap<u64, (Asked, Time)>,
    dumps: usize,
    writes: usize,
    monitors: BTreeSet<Monitor>,
}

impl Requests {
    /// Numbers a request and starts its deadline.
    pub fn ask(&mut self, now: Time, asked: Asked) -> u64 {
        let id = self.next;
        self.next += 1;
        self.dumps += usize::from(asked.is_dump());
        if let Asked::Monitor { monitor, .. } = &asked {
            self.monitors.insert(*monitor);
        }
        self.writes += usize::from(matches!(asked, Asked::Write(_)));
        let patience = if self.dumps > 0 { DUMP_ANSWER } else { REQUEST_ANSWER };
        self.open.insert(id, (asked, now + patience));
        id
    }

    /// Takes the request that an answer belongs to.
    pub fn answered(&mut self, id: u64) -> Option<Asked> {
        let (asked, _) = self.open.remove(&id)?;
        self.dumps -= usize::from(asked.is_dump());
        self.writes -= usize::from(matches!(asked, Asked::Write(_)));
        Some(asked)
    }

    /// Whether an answer to some monitor is due, before which the server may be deaf.
    pub fn dump_awaited(&self) -> bool {
        self.dumps > 0
    }

    /// Whether these tables were ever asked for.
    pub fn monitors(&self, monitor: Monitor) -> bool {
        self.monitors.contains(&monitor)
    }

    /// Transactions on the wire.
    pub fn writes(&self) -> usize {
        self.writes
    }

    /// Whether a transaction of a lane is on the wire.
    pub fn writing(&self, lane: Lane) -> bool {
        self.batches().any(|batch| batch.lane == lane)
    }

    /// Every transaction on the wire.
    pub fn batches(&self) -> impl Iterator<Item = &Batch> + '_ {
        self.open.values().filter_map(|(asked, _)| match asked {
            Asked::Write(batch) => Some(batch),
            Asked::Schema | Asked::Monitor { .. } | Asked::Lock | Asked::Unlock => None,
        })
    }

    /// Whether something is on the wire.
    pub fn asking(&self, what: impl Fn(&Asked) -> bool) -> bool {
        self.open.values().any(|(asked, _)| what(asked))
    }

    /// A request whose answer is overdue.
    pub fn overdue(&self, now: Time) -> Option<&Asked> {
        self.open.values().find(|(_, due)| *due <= now).map(|(asked, _)| asked)
    }

    /// When the first answer becomes overdue.
    pub fn deadline(&self) -> Option<Deadline<Why>> {
        let first = self.open.values().map(|(_, due)| *due).min()?;
        Some(Deadline {
            at: first,
            why: Why::AnswerOverdue,
        })
    }
}
