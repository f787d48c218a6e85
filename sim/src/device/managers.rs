//! Follows the `Manager` rows: dials new targets, drops connections of removed ones, applies new timers at once.
//!
//! `is_connected` and `status` are written as the server writes them, with one difference: the server refreshes them
//! every 2.5 s, this writes them when they change while a client is connected that could see it. The locks are not in
//! `status`.

use std::collections::BTreeMap;

use serde_json::json;
use tandem_core::{ConnId, Uuid};

use super::event::{Ended, Event};
use super::moved;
use super::reconnect::Reconnect;
use super::remote::{Remote, Timers, Way, Written};
use super::target::Target;
use super::{Device, Output};
use crate::switch::{Commit, RowChange};

impl Device {
    /// Looks at what was committed, and at the rows if they may name others now.
    pub(super) fn follow(&mut self) {
        for conn in self.switch.take_not_owners() {
            self.report(Event::NotOwner { conn });
        }
        loop {
            let commits = self.switch.take_commits();
            if commits.is_empty() {
                return;
            }
            let mut changed = false;
            for commit in commits {
                changed |= commit.changes.iter().any(names_remotes);
                if !commit.changes.iter().all(is_status) {
                    self.report(Event::Committed((&commit).into()));
                }
                if self.options.follows_moved {
                    moved::follow(&mut self.moved, &commit);
                }
                if self.options.keep_commits {
                    self.commits.push(commit);
                }
            }
            if changed {
                self.reconcile();
            }
        }
    }

    /// Brings the remotes to what the rows and the command line name.
    pub(super) fn reconcile(&mut self) {
        let wanted = self.named();
        let gone: Vec<_> = self
            .remotes
            .keys()
            .filter(|target| !wanted.contains_key(*target))
            .cloned()
            .collect();
        for target in gone {
            self.drop_remote(&target);
        }
        for (target, (row, timers)) in wanted {
            match self.remotes.get_mut(&target) {
                None => self.add_remote(target, row, timers),
                Some(remote) => {
                    if std::mem::replace(&mut remote.row, row) != row {
                        remote.written = Written::default();
                        self.stale = true;
                    }
                    if remote.timers != timers {
                        remote.timers = timers;
                        self.configure(&target, timers);
                    }
                }
            }
        }
    }

    /// Writes the changes of the status, if a client could see them.
    pub(super) fn write_status(&mut self) {
        if !self.stale || self.is_busy() || !self.connections.values().any(|connection| connection.is_open) {
            return;
        }
        self.stale = false;
        let mut operations = Vec::new();
        for (target, remote) in &mut self.remotes {
            let Some(row) = remote.row else { continue };
            let open = self.connections.values();
            let open = open.filter(|connection| connection.is_open && connection.target == *target);
            let written = Written {
                connections: open.count(),
                state: remote.state(),
            };
            if remote.written != written {
                remote.written = written;
                let row_now = json!({"is_connected": written.connections > 0, "status": remote.status(self.now)});
                operations.push(
                    json!({"op": "update", "table": "Manager", "where": [["_uuid", "==", ["uuid", row]]],
                    "row": row_now}),
                );
            }
        }
        if !operations.is_empty() {
            self.switch.local(self.now, operations.into());
            self.drain_switch();
            self.follow();
        }
    }

    fn named(&self) -> BTreeMap<String, (Option<Uuid>, Timers)> {
        let fixed = self.options.remotes.iter();
        let fixed = fixed.map(|target| (target.clone(), (None, Timers::default())));
        let rows = self.switch.rows("Manager").filter_map(|(uuid, row)| {
            let timers = Timers::of(row);
            Some((row.text("target")?.to_owned(), (Some(uuid), timers)))
        });
        fixed.chain(rows).collect()
    }

    fn add_remote(&mut self, target: String, row: Option<Uuid>, timers: Timers) {
        let way = match target.parse() {
            Ok(Target::Dial { to, tls }) => Way::Dial {
                to,
                tls,
                reconnect: Reconnect::new(self.now, timers.max_backoff),
                conn: None,
            },
            Ok(Target::Listen { at, tls }) => {
                self.outputs.push_back(Output::Listen { at });
                self.report(Event::Listening { target: target.clone() });
                Way::Listen { at, tls }
            }
            Err(_) => {
                self.report(Event::TargetUnusable { target: target.clone() });
                Way::Unusable
            }
        };
        let remote = Remote {
            row,
            timers,
            way,
            written: Written::default(),
        };
        self.remotes.insert(target, remote);
        self.stale = true;
    }

    fn drop_remote(&mut self, target: &str) {
        let Some(remote) = self.remotes.remove(target) else {
            return;
        };
        if let Way::Listen { at, .. } = remote.way {
            self.outputs.push_back(Output::Unlisten { at });
        }
        for conn in self.connections_of(target) {
            self.close(conn, Ended::Deconfigured);
        }
    }

    fn configure(&mut self, target: &str, timers: Timers) {
        for conn in self.connections_of(target) {
            self.switch.set_probe(conn, timers.probe);
        }
        if let Some(Way::Dial { reconnect, .. }) = self.remotes.get_mut(target).map(|remote| &mut remote.way) {
            reconnect.set_max_backoff(timers.max_backoff);
        }
    }

    fn connections_of(&self, target: &str) -> Vec<ConnId> {
        let all = self.connections.iter();
        let of_it = all.filter(|(_, connection)| connection.target == target);
        of_it.map(|(conn, _)| *conn).collect()
    }
}

/// Whether this change may name other remotes, or set other timers.
fn names_remotes(change: &RowChange) -> bool {
    match change.table {
        "Global" => true,
        "Manager" => !is_status(change),
        _ => false,
    }
}

/// Whether nothing but the status of a `Manager` row changed.
fn is_status(change: &RowChange) -> bool {
    const CONFIGURATION: [&str; 3] = ["target", "max_backoff", "inactivity_probe"];
    match (change.table, &change.old, &change.new) {
        ("Manager", Some(old), Some(new)) => CONFIGURATION
            .iter()
            .all(|column| old.datum(column) == new.datum(column)),
        _ => false,
    }
}

/// The full commits, for observers.
impl Device {
    /// What was committed since it was taken last; nothing unless [`keep_commits`](super::Options::keep_commits).
    pub fn take_commits(&mut self) -> Vec<Commit> {
        std::mem::take(&mut self.commits)
    }
}
