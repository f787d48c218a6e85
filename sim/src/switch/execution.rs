//! Transactions: run, answered, sent to monitors and observers, or waiting for their turn.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tandem_core::ConnId;

use super::commit::RowChange;
use super::error::OpError;
use super::pending::Waiting;
use super::schema::RESERVED;
use super::server::Served;
use super::transact::{self, Context, NOT_OWNER, Outcome};
use super::{Commit, Output, Switch, Writer};

impl Switch {
    /// Takes a transaction of a client on; `params` begins with the database.
    pub(super) fn transact(&mut self, conn: ConnId, id: Value, served: Served, params: Vec<Value>) {
        let waiting = Waiting {
            conn,
            id,
            served,
            params,
            since: self.now,
            until: None,
        };
        if let Some((id, results)) = self.attempt(waiting) {
            self.reply(conn, &id, &results);
        }
    }

    /// Answers the request's id and the results of a transaction, or lets it wait.
    fn attempt(&mut self, mut waiting: Waiting) -> Option<(Value, Value)> {
        let operations = waiting.params.get(1..).unwrap_or_default();
        let waited = self.now.since(waiting.since);
        match self.run(Writer::Remote(waiting.conn), waiting.served, operations, Some(waited)) {
            Outcome::Done { results, .. } => Some((waiting.id, results)),
            Outcome::Waiting { timeout } => {
                waiting.until = timeout.map(|timeout| waiting.since + timeout);
                self.waiting.push(waiting);
                None
            }
        }
    }

    /// Runs operations, and notifies monitors. Without `waited`, a `wait` fails at once.
    pub(super) fn run(
        &mut self,
        by: Writer,
        served: Served,
        operations: &[Value],
        waited: Option<Duration>,
    ) -> Outcome {
        let locks = match by {
            Writer::Local => BTreeSet::new(),
            Writer::Remote(conn) => self.locks.held_by(conn),
        };
        let mut outcome = self.execute(by, served, operations, waited, &locks);
        if let (Writer::Remote(conn), Outcome::Done { results, .. }) = (by, &outcome)
            && self.options.keeps_commits
            && is_not_owner(results)
        {
            self.not_owners.push(conn);
        }
        if let Outcome::Done {
            committed: Some(committed),
            ..
        } = &mut outcome
        {
            self.retry = true;
            let changes = std::mem::take(&mut committed.changes);
            self.publish(&changes);
            if self.options.keeps_commits {
                let in_vain = match by {
                    Writer::Local => BTreeSet::new(),
                    Writer::Remote(conn) => self.asked_in_vain.held_by(conn),
                };
                let locks = locks.into_iter().chain(in_vain).collect();
                self.commits.push(Commit {
                    at: self.now,
                    by,
                    locks,
                    comments: std::mem::take(&mut committed.comments),
                    changes,
                });
            }
        }
        outcome
    }

    /// Runs operations on the database; the first of the prepared refusals, if there is one, fails a client's.
    fn execute(
        &mut self,
        by: Writer,
        served: Served,
        operations: &[Value],
        waited: Option<Duration>,
        locks: &BTreeSet<String>,
    ) -> Outcome {
        let mut refusal = match (by, served) {
            (Writer::Remote(_), Served::Switch) if self.full => {
                Some(OpError::new("I/O error".to_owned(), "No space left on device"))
            }
            (Writer::Remote(_), Served::Switch) => self.refusals.front().cloned(),
            (Writer::Local, _) | (Writer::Remote(_), Served::Server) => None,
        };
        let is_refusal = refusal.is_some();
        let context = Context {
            locks: locks.clone(),
            client_uuids: self.options.client_uuids,
            reserved: (served == Served::Server).then_some(RESERVED),
            waited,
            refusal: &mut refusal,
        };
        let database = match served {
            Served::Switch => &mut self.database,
            Served::Server => &mut self.reserved,
        };
        let outcome = transact::run(database, &mut self.uuids, operations, context);
        if is_refusal && refusal.is_none() {
            self.refusals.pop_front();
        }
        outcome
    }

    /// Notifies every monitor. Merges the changes instead if the client has not taken all that was sent, or if
    /// transactions wait, which may change something before it has its turn.
    fn publish(&mut self, changes: &[RowChange]) {
        let is_late = self.is_deaf() || self.retrying || !self.waiting.is_empty();
        for (conn, session) in &mut self.sessions {
            let takes = !is_late && session.queued_bytes == 0;
            for monitor in &mut session.monitors {
                if monitor.served != Served::Switch {
                } else if !takes || monitor.is_behind() {
                    monitor.merge(changes);
                    self.ready.insert(*conn);
                } else if let Some(bytes) = monitor.notification(changes) {
                    self.outputs.push_back(Output::Send { conn: *conn, bytes });
                }
            }
        }
    }

    /// Sends a session the changes that were merged for it.
    pub(super) fn catch_up(&mut self, conn: ConnId) {
        let monitors = self.sessions.get_mut(&conn).map(|session| &mut session.monitors);
        for monitor in monitors.into_iter().flatten().filter(|monitor| monitor.is_behind()) {
            if let Some(bytes) = monitor.catch_up() {
                self.outputs.push_back(Output::Send { conn, bytes });
            }
        }
    }

    /// Tries waiting transactions again. Those that are over are answered when their sessions have their turn.
    pub(super) fn retry_waiting(&mut self) {
        self.retrying = true;
        for waiting in std::mem::take(&mut self.waiting) {
            let conn = waiting.conn;
            let completed = self.attempt(waiting);
            if let Some((completed, session)) = completed.zip(self.sessions.get_mut(&conn)) {
                session.completed.push(completed);
                self.ready.insert(conn);
            }
        }
        self.retrying = false;
    }
}

/// Whether an operation failed since its `assert` names a lock that others hold.
fn is_not_owner(results: &Value) -> bool {
    let mut results = results.as_array().into_iter().flatten();
    results.any(|result| result.get("error").is_some_and(|error| error == NOT_OWNER))
}
