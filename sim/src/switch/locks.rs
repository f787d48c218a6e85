//! Locks: RFC 7047 sections 4.1.8 to 4.1.10, as Open vSwitch keeps them.
//!
//! The first in the queue is the holder. A robbed session stays in the queue, unless it held the lock by stealing, and
//! gets the lock back unasked when the thief leaves. Whenever a session leaves the queue, the server notifies the first
//! again, even if it was first before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tandem_core::ConnId;

/// Every lock of a server, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Locks {
    queues: BTreeMap<String, VecDeque<ConnId>>,
    /// What every session asked for and has not given back, and whether it stole.
    asked: BTreeMap<(ConnId, String), Mode>,
}

/// How a session asks for a lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    Lock,
    Steal,
}

/// What came of asking.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Asked {
    /// Whether the session holds the lock now.
    pub(super) locked: bool,
    /// The previous holder, to be notified that its lock was stolen.
    pub(super) robbed: Option<ConnId>,
}

impl Locks {
    /// Asks for a lock; `None` if the session asked before and has not unlocked.
    pub(super) fn ask(&mut self, conn: ConnId, name: &str, mode: Mode) -> Option<Asked> {
        if self.asked.contains_key(&(conn, name.into())) {
            return None;
        }
        self.asked.insert((conn, name.into()), mode);
        let queue = self.queues.entry(name.into()).or_default();
        let holder = queue.front().copied();
        if mode == Mode::Lock {
            queue.push_back(conn);
            return Some(Asked {
                locked: holder.is_none(),
                robbed: None,
            });
        }
        if let Some(thief) = holder
            && self.asked.get(&(thief, name.into())) == Some(&Mode::Steal)
        {
            queue.pop_front();
        }
        queue.push_front(conn);
        Some(Asked {
            locked: true,
            robbed: holder,
        })
    }

    /// Gives a lock back; `None` if the session never asked for it. Inside: the session to notify that it holds the
    /// lock.
    pub(super) fn unlock(&mut self, conn: ConnId, name: &str) -> Option<Option<ConnId>> {
        self.asked.remove(&(conn, name.into()))?;
        let Some(queue) = self.queues.get_mut(name) else {
            return Some(None);
        };
        let Some(place) = queue.iter().position(|waiter| *waiter == conn) else {
            return Some(None);
        };
        queue.remove(place);
        let first = queue.front().copied();
        if first.is_none() {
            self.queues.remove(name);
        }
        Some(first)
    }

    /// Gives back everything that a session asked for. Returns the sessions to notify, with the lock's name.
    pub(super) fn release(&mut self, conn: ConnId) -> Vec<(ConnId, String)> {
        let asked = self.asked.keys().filter(|(asking, _)| *asking == conn);
        let names: Vec<_> = asked.map(|(_, name)| name.clone()).collect();
        names
            .into_iter()
            .filter_map(|name| Some((self.unlock(conn, &name)??, name)))
            .collect()
    }

    /// The holder of a lock.
    pub(super) fn holder(&self, name: &str) -> Option<ConnId> {
        self.queues.get(name)?.front().copied()
    }

    /// What a session holds.
    pub(super) fn held_by(&self, conn: ConnId) -> BTreeSet<String> {
        let held = self.queues.iter().filter(|(_, queue)| queue.front() == Some(&conn));
        held.map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConnId = ConnId(1);
    const B: ConnId = ConnId(2);
    const C: ConnId = ConnId(3);

    fn asked(locked: bool, robbed: Option<ConnId>) -> Option<Asked> {
        Some(Asked { locked, robbed })
    }

    #[test]
    fn a_lock_passes_in_the_order_of_requests() {
        let mut locks = Locks::default();
        assert_eq!(locks.ask(A, "tandem", Mode::Lock), asked(true, None));
        assert_eq!(locks.ask(B, "tandem", Mode::Lock), asked(false, None));
        assert_eq!(locks.ask(C, "tandem", Mode::Lock), asked(false, None));
        assert_eq!(locks.release(A), [(B, "tandem".into())]);
        assert_eq!(locks.unlock(B, "tandem"), Some(Some(C)));
        assert_eq!(locks.unlock(C, "tandem"), Some(None));
        assert_eq!(locks.unlock(C, "tandem"), None);
    }

    #[test]
    fn a_robbed_session_stays_queued_and_gets_the_lock_back() {
        let mut locks = Locks::default();
        locks.ask(A, "tandem", Mode::Lock);
        assert_eq!(locks.ask(B, "tandem", Mode::Steal), asked(true, Some(A)));
        assert_eq!(locks.ask(A, "tandem", Mode::Lock), None);
        assert_eq!(locks.release(B), [(A, "tandem".into())]);
        assert_eq!(locks.holder("tandem"), Some(A));
    }

    #[test]
    fn a_robbed_thief_is_out() {
        let mut locks = Locks::default();
        locks.ask(A, "tandem", Mode::Steal);
        assert_eq!(locks.ask(B, "tandem", Mode::Steal), asked(true, Some(A)));
        assert_eq!(locks.unlock(A, "tandem"), Some(None));
        assert_eq!(locks.release(B), []);
    }

    #[test]
    fn a_holder_is_notified_again_when_a_waiter_leaves() {
        let mut locks = Locks::default();
        locks.ask(A, "tandem", Mode::Lock);
        locks.ask(B, "tandem", Mode::Lock);
        assert_eq!(locks.unlock(B, "tandem"), Some(Some(A)));
    }
}
