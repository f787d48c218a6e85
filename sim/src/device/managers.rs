//! Follows the `Manager` rows: dials new targets, drops connections of removed ones, applies new timers at once.
//!
//! `is_connected` and `status` are written as the server writes them, with one difference: the server refreshes them
//! every 2.5 s, this writes them when they change while a client is connected that could see it. The locks are not in
//! `status`.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::Duration;

use serde_json::json;
use tandem_core::{ConnId, Time, Uuid};

use super::event::{Ended, Event};
use super::reconnect::Reconnect;
use super::target::Target;
use super::{Device, Output};
use crate::switch::{Commit, Row, RowChange};

/// A target of a `Manager` row, or of the command line.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    /// The row; `None` for the command line.
    row: Option<Uuid>,
    pub(super) timers: Timers,
    pub(super) way: Way,
    /// The contents of the row.
    written: Written,
}

/// What a `Manager` row can set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Timers {
    /// The longest back-off: `max_backoff`.
    max_backoff: Duration,
    /// How long a line may be silent before it is probed: `inactivity_probe`, where zero is for ever.
    pub(super) probe: Option<Duration>,
}

impl Default for Timers {
    /// The defaults of the server for `ssl:` and `tcp:`.
    fn default() -> Self {
        Self {
            max_backoff: Duration::from_secs(8),
            probe: Some(Duration::from_secs(5)),
        }
    }
}

/// How to come together.
#[derive(Clone, Debug)]
pub(super) enum Way {
    Dial {
        to: SocketAddrV4,
        tls: bool,
        reconnect: Reconnect,
        conn: Option<ConnId>,
    },
    Listen {
        at: SocketAddrV4,
        tls: bool,
    },
    /// The target cannot be dialled.
    Unusable,
}

/// What of the status is worth a write when it changes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Written {
    connections: usize,
    state: Option<&'static str>,
}

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

impl Timers {
    fn of(row: &Row) -> Self {
        // The server takes what is less than its least for that.
        let millis = |number: i64| Duration::from_millis(u64::try_from(number).unwrap_or(1));
        let default = Self::default();
        let max_backoff = row.integer("max_backoff").map(millis);
        let probe = row.integer("inactivity_probe").map(millis);
        Self {
            max_backoff: max_backoff.unwrap_or(default.max_backoff),
            probe: probe.map_or(default.probe, |probe| (!probe.is_zero()).then_some(probe)),
        }
    }
}

impl Remote {
    /// `None` for a listener, which has no state.
    fn state(&self) -> Option<&'static str> {
        match &self.way {
            Way::Dial { reconnect, .. } => Some(reconnect.state().word()),
            Way::Listen { .. } | Way::Unusable => None,
        }
    }

    /// The column `status`.
    fn status(&self, now: Time) -> serde_json::Value {
        let mut status = Vec::new();
        if let Some(state) = self.written.state {
            status.push(json!(["state", state]));
        }
        match &self.way {
            Way::Dial { reconnect, .. } => {
                for (key, at) in [
                    ("sec_since_connect", reconnect.last_connected()),
                    ("sec_since_disconnect", reconnect.last_disconnected()),
                ] {
                    if let Some(at) = at {
                        status.push(json!([key, now.since(at).as_secs().to_string()]));
                    }
                }
            }
            Way::Listen { at, .. } => status.push(json!(["bound_port", at.port().to_string()])),
            Way::Unusable => {}
        }
        if self.written.connections > 1 {
            status.push(json!(["n_connections", self.written.connections.to_string()]));
        }
        json!(["map", status])
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
