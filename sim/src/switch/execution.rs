//! Transactions on their way: run, answered, told to monitors and observers, or waiting for their turn.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tandem_core::{ConnId, Time};

use super::commit::RowChange;
use super::transact::{self, Context, Outcome};
use super::{Commit, Switch, Writer};

/// A transaction whose `wait` is not satisfied yet.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) conn: ConnId,
    pub(super) id: Value,
    params: Vec<Value>,
    since: Time,
    /// When the `wait` times out.
    pub(super) until: Option<Time>,
}

impl Switch {
    /// Takes a transaction of a client on; `params` begins with the database.
    pub(super) fn transact(&mut self, conn: ConnId, id: Value, params: Vec<Value>) {
        let waiting = Waiting {
            conn,
            id,
            params,
            since: self.now,
            until: None,
        };
        if self.attempt(waiting) {
            self.retry_waiting();
        }
    }

    /// Answers a transaction, or lets it wait. Answers whether it changed anything.
    fn attempt(&mut self, mut waiting: Waiting) -> bool {
        let operations = waiting.params.get(1..).unwrap_or_default();
        let waited = self.now.since(waiting.since);
        match self.run(Writer::Remote(waiting.conn), operations, Some(waited)) {
            Outcome::Done { results, committed } => {
                self.reply(waiting.conn, &waiting.id, &results);
                committed.is_some()
            }
            Outcome::Waiting { timeout } => {
                waiting.until = timeout.map(|timeout| waiting.since + timeout);
                self.waiting.push(waiting);
                false
            }
        }
    }

    /// Runs operations, and tells monitors and observers; without `waited`, a `wait` fails at once.
    pub(super) fn run(&mut self, by: Writer, operations: &[Value], waited: Option<Duration>) -> Outcome {
        let (locks, mut refusal) = match by {
            Writer::Local => (BTreeSet::new(), None),
            Writer::Remote(conn) => (self.locks.held_by(conn), self.refusals.front().cloned()),
        };
        let is_refusal = refusal.is_some();
        let context = Context {
            locks: locks.clone(),
            client_uuids: self.options.client_uuids,
            waited,
            refusal: &mut refusal,
        };
        let mut outcome = transact::run(&mut self.database, &mut self.uuids, operations, context);
        if is_refusal && refusal.is_none() {
            self.refusals.pop_front();
        }
        if let Outcome::Done {
            committed: Some(committed),
            ..
        } = &mut outcome
        {
            let changes = std::mem::take(&mut committed.changes);
            self.publish(&changes);
            self.commits.push(Commit {
                at: self.now,
                by,
                locks,
                comments: std::mem::take(&mut committed.comments),
                changes,
            });
        }
        outcome
    }

    fn publish(&mut self, changes: &[RowChange]) {
        let notifications: Vec<_> = self
            .sessions
            .iter()
            .flat_map(|(conn, session)| session.monitors.iter().map(|monitor| (*conn, monitor)))
            .filter_map(|(conn, monitor)| Some((conn, monitor.notification(changes)?)))
            .collect();
        for (conn, notification) in notifications {
            self.send(conn, &notification);
        }
    }

    /// Tries waiting transactions again, as long as one of them changes something for the others.
    pub(super) fn retry_waiting(&mut self) {
        let mut changed = true;
        while changed {
            changed = false;
            for waiting in std::mem::take(&mut self.waiting) {
                changed |= self.attempt(waiting);
            }
        }
    }
}
