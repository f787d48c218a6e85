//! Requests to the switch without an answer yet. Every request has a deadline.

use std::collections::{BTreeMap, BTreeSet};

use crate::bounds::{DUMP_ANSWER, REQUEST_ANSWER};
use crate::event::Lane;
use crate::measures::Request;
use crate::ovsdb::monitor::Monitor;
use crate::session::Why;
use crate::session::plan::Batch;
use crate::time::{Deadline, Time};

/// A request, and what its answer is for.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::session) enum Asked {
    /// `get_schema`.
    Schema,
    /// `monitor_cond`, or the older `monitor`.
    Monitor { monitor: Monitor, conditional: bool },
    /// `lock`.
    Lock,
    /// `unlock`.
    Unlock,
    /// An `echo` that the agent wants, with the number that it gave.
    Probe(u64),
    /// `transact`.
    Write(Batch),
}

impl Asked {
    /// Its kind, for histograms.
    pub(in crate::session) fn kind(&self) -> Request {
        match self {
            Self::Schema => Request::GetSchema,
            Self::Monitor { .. } => Request::Monitor,
            Self::Lock => Request::Lock,
            Self::Unlock => Request::Unlock,
            Self::Probe(_) => Request::Echo,
            Self::Write(_) => Request::Transact,
        }
    }

    /// Its name in messages.
    pub(in crate::session) fn name(&self) -> String {
        match self {
            Self::Schema => "get_schema".into(),
            Self::Monitor { monitor, .. } => format!("monitor of the {} tables", monitor.id()),
            Self::Lock => "lock".into(),
            Self::Unlock => "unlock".into(),
            Self::Probe(_) => "echo".into(),
            Self::Write(batch) => format!("transact ({}, {} rows)", batch.lane, batch.rows),
        }
    }

    fn is_dump(&self) -> bool {
        matches!(self, Self::Monitor { .. })
    }
}

/// A request on the wire.
#[derive(Clone, Debug)]
struct Open {
    asked: Asked,
    at: Time,
    /// When its answer becomes overdue.
    due: Time,
}

/// The requests on the wire.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    next: u64,
    open: BTreeMap<u64, Open>,
    dumps: usize,
    writes: usize,
    monitors: BTreeSet<Monitor>,
}

impl Requests {
    /// Numbers a request and starts its deadline.
    pub(super) fn ask(&mut self, now: Time, asked: Asked) -> u64 {
        let id = self.next;
        self.next += 1;
        self.dumps += usize::from(asked.is_dump());
        if let Asked::Monitor { monitor, .. } = &asked {
            self.monitors.insert(*monitor);
        }
        self.writes += usize::from(matches!(asked, Asked::Write(_)));
        let patience = if self.dumps > 0 { DUMP_ANSWER } else { REQUEST_ANSWER };
        let (at, due) = (now, now + patience);
        self.open.insert(id, Open { asked, at, due });
        id
    }

    /// Takes the request that an answer belongs to, and when it was made.
    pub(super) fn answered(&mut self, id: u64) -> Option<(Asked, Time)> {
        let Open { asked, at, .. } = self.open.remove(&id)?;
        self.dumps -= usize::from(asked.is_dump());
        self.writes -= usize::from(matches!(asked, Asked::Write(_)));
        Some((asked, at))
    }

    /// Whether an answer to some monitor is due, before which the server may answer nothing else.
    pub(super) fn dump_awaited(&self) -> bool {
        self.dumps > 0
    }

    /// Whether these tables were ever asked for.
    pub(super) fn monitors(&self, monitor: Monitor) -> bool {
        self.monitors.contains(&monitor)
    }

    /// Transactions on the wire.
    pub(super) fn writes(&self) -> usize {
        self.writes
    }

    /// Whether a transaction of a lane is on the wire.
    pub(super) fn is_writing(&self, lane: Lane) -> bool {
        let mut open = self.open.values();
        open.any(|open| matches!(&open.asked, Asked::Write(batch) if batch.lane == lane))
    }

    /// A request whose answer is overdue.
    pub(super) fn overdue(&self, now: Time) -> Option<&Asked> {
        self.open.values().find(|open| open.due <= now).map(|open| &open.asked)
    }

    /// When the first answer becomes overdue.
    pub(super) fn deadline(&self) -> Option<Deadline<Why>> {
        let first = self.open.values().map(|open| open.due).min()?;
        Some(Deadline {
            at: first,
            why: Why::AnswerOverdue,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_stands_behind_a_dump_has_more_time() {
        let mut requests = Requests::default();
        let lock = requests.ask(Time::ORIGIN, Asked::Lock);
        let monitor = Monitor::Local;
        let conditional = true;
        let dump = requests.ask(Time::ORIGIN, Asked::Monitor { monitor, conditional });
        requests.ask(Time::ORIGIN, Asked::Unlock);
        assert!(requests.dump_awaited() && requests.monitors(monitor));
        assert_eq!(requests.overdue(Time::ORIGIN + REQUEST_ANSWER), Some(&Asked::Lock));
        assert_eq!(requests.answered(lock), Some((Asked::Lock, Time::ORIGIN)));
        assert_eq!(requests.answered(lock), None, "answered twice");
        assert_eq!(requests.overdue(Time::ORIGIN + REQUEST_ANSWER), None);
        assert!(requests.answered(dump).is_some() && !requests.dump_awaited());
        assert_eq!(requests.overdue(Time::ORIGIN + DUMP_ANSWER), Some(&Asked::Unlock));
    }
}
