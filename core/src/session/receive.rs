//! Messages of the switch, in order: answers go to whatever asked, updates into the replica, the lock to the lease.

use std::ops::Range;

use super::Notice;
use super::Session;
use super::stats::Milestone;
use super::wire::{Asked, Reading, Work, bound_exceeded, protocol_error};
use crate::bounds::{LOCK_RETRY, ROWS, WORK_BYTES_PER_STEP};
use crate::event::What;
use crate::machine::{CloseReason, CloseWhy};
use crate::measures::Request;
use crate::ovsdb::Frame;
use crate::ovsdb::monitor::Monitor;
use crate::ovsdb::reply::{self, Refusal};
use crate::ovsdb::rpc::{self, Message};
use crate::ovsdb::schema::Schema;
use crate::status::{Ownership, Phase, ServerModel};
use crate::time::Time;

impl Session {
    /// Processes a bounded number of bytes of what was received.
    pub(super) fn process_backlog(&mut self, now: Time) {
        let mut budget = WORK_BYTES_PER_STEP;
        while budget > 0 && !self.progress.is_closing() {
            match self.wire.next_work() {
                Some(Work::Rows(reading)) => self.read_rows(now, reading, &mut budget),
                Some(Work::Message(frame, message)) => {
                    budget = budget.saturating_sub(frame.bytes().len().min(WORK_BYTES_PER_STEP / 256) + 64);
                    self.on_message(now, frame, message);
                }
                None => return,
            }
        }
    }

    fn on_message(&mut self, now: Time, frame: Frame, message: Message) {
        match message {
            // The wire has answered it.
            Message::Request { .. } => {}
            Message::Reply { id, outcome } => self.on_reply(now, frame, id, outcome),
            Message::Notification { method, params } => match method.as_str() {
                "update" | "update2" => self.on_update(frame, params),
                "locked" | "stolen" => {
                    let names = frame.bytes().get(params).unwrap_or_default();
                    let ours = [self.lease.lock()];
                    if serde_json::from_slice(names).is_ok_and(|names: Vec<String>| names == ours) {
                        self.on_lock(method == "locked");
                    }
                }
                _ => {}
            },
        }
    }

    fn on_lock(&mut self, locked: bool) {
        if locked {
            self.lease.on_locked();
        } else if self.lease.on_loss() {
            self.on_stolen("another client took the lock; Tandem never takes it back by force");
        }
    }

    /// The lock is not ours any more: nothing is written or exported.
    pub(super) fn on_stolen(&mut self, detail: &str) {
        self.report(What::Stolen);
        self.close(CloseWhy::new(CloseReason::LockLost, detail));
    }

    /// Table updates: they are read row by row, in turn with other work.
    fn on_update(&mut self, frame: Frame, params: Range<usize>) {
        let Some((monitor, updates)) = update_params(frame.bytes().get(params.clone()).unwrap_or_default()) else {
            return self.close(protocol_error("an update that names no monitor of ours"));
        };
        if !self.wire.monitors(monitor) {
            let what = format!("an update of the {} tables, which were never asked for", monitor.id());
            return self.close(protocol_error(what));
        }
        let waits_warm = (self.ownership(), self.phase()) == (Ownership::Waiting, Phase::Synced);
        if waits_warm && planted!(self, WaiterDoesNotReadOn) {
            return;
        }
        let range = params.start + updates.start..params.start + updates.end;
        self.wire.read(Reading::new(frame, monitor, range, false));
    }

    fn on_reply(&mut self, now: Time, frame: Frame, id: Option<u64>, outcome: Result<Range<usize>, Range<usize>>) {
        let Some((asked, at)) = id.and_then(|id| self.wire.answered(id)) else {
            let is_echo = frame.member("id").map(<[u8]>::trim_ascii) == Some(rpc::ECHO_ID);
            if is_echo {
                if let Some(at) = self.wire.echo_answered() {
                    self.stats.answered(Request::Echo, now.since(at));
                }
            } else if self.wire.on_ignored() {
                let what = "an answer to a request that was never made".into();
                self.report(What::Ignored { what });
            }
            return;
        };
        self.stats.answered(asked.kind(), now.since(at));
        match outcome {
            Ok(result) => self.on_answer(now, asked, frame, result),
            Err(error) => {
                let refusal = reply::refused(frame.bytes().get(error).unwrap_or_default());
                self.on_error(now, asked, &refusal);
            }
        }
    }

    /// An answer with a result.
    fn on_answer(&mut self, now: Time, asked: Asked, frame: Frame, result: Range<usize>) {
        let json = frame.bytes().get(result.clone()).unwrap_or_default();
        match asked {
            Asked::Schema => match Schema::read(json) {
                Ok(mut schema) => {
                    schema.limits = schema.limits.programmed(self.desired.options().programmed_rows);
                    self.wire.on_schema();
                    self.wire.ask_monitor(now, Monitor::Extras, &schema, false);
                    self.progress.on_schema(schema);
                }
                Err(what) => self.close(CloseWhy::new(CloseReason::Incompatible, what)),
            },
            Asked::Monitor { monitor, .. } => self.wire.read(Reading::new(frame, monitor, result, true)),
            Asked::Lock => match reply::locked(json) {
                Ok(locked) => self.lease.on_answer(locked),
                Err(error) => self.close(unreadable("lock", &error)),
            },
            Asked::Unlock => self.on_released(now),
            Asked::Probe(probe) => self.wire.notify(Notice::Alive { probe }),
            Asked::Write(batch) => match reply::transacted(json) {
                Ok(Ok(())) => self.on_applied(batch),
                Ok(Err(refusal)) => self.on_rejected(now, batch, &refusal),
                Err(error) => self.close(unreadable("transact", &error)),
            },
        }
    }

    /// An answer with an error.
    fn on_error(&mut self, now: Time, asked: Asked, refusal: &Refusal) {
        match asked {
            // An older server knows the plain `monitor` only.
            Asked::Monitor {
                monitor,
                conditional: true,
            } => {
                let schema = self.progress.schema().cloned().unwrap_or_default();
                self.wire.ask_monitor(now, monitor, &schema, false);
            }
            // A server before Open vSwitch 2.9 has no database of its own, and no cluster.
            Asked::Monitor {
                monitor: Monitor::Server,
                ..
            } => self.on_server_model(now),
            Asked::Lock if refusal.text.starts_with("unknown method") => self.lease.on_unsupported(),
            Asked::Lock => self.on_lock_refused(now, &refusal.text),
            Asked::Write(batch) => self.on_rejected(now, batch, refusal),
            Asked::Unlock => self.on_released(now),
            // An error is an answer, too.
            Asked::Probe(probe) => self.wire.notify(Notice::Alive { probe }),
            Asked::Schema | Asked::Monitor { .. } => {
                let what = format!("it refuses {}: {}", asked.name(), refusal.text);
                self.close(CloseWhy::new(CloseReason::Incompatible, what));
            }
        }
    }

    /// The switch refuses the lock: it may be a standby, which is read-only until it is promoted. The session reads on.
    fn on_lock_refused(&mut self, now: Time, text: &str) {
        self.lease.on_refused(now + LOCK_RETRY);
        if self.lock_refused.as_deref() != Some(text) {
            self.lock_refused = Some(text.to_owned());
            let text = text.to_owned();
            self.report(What::LockRefused { text });
        }
    }

    /// The lock was given back. It is asked for again if the switch turned out to be one of ours meanwhile.
    fn on_released(&mut self, now: Time) {
        self.lease.on_released();
        if self.progress.is_identified() {
            self.ask_lock(now);
        }
    }

    /// The server has named its kind, or has none to name: then it is standalone.
    fn on_server_model(&mut self, now: Time) {
        let model = self.replica.server_model.unwrap_or(ServerModel::Standalone);
        self.lease.on_server_model(model);
        if !model.fences() {
            self.release_lock(now);
        }
    }

    /// Records rows of table updates, as many as the budget has bytes for.
    fn read_rows(&mut self, now: Time, mut reading: Reading, budget: &mut usize) {
        let mut touched = Vec::new();
        let replica = &mut self.replica;
        // A session that waits does not know what the owner has exported.
        let is_update = reading.completes().is_none();
        replica.ucast_local.watch(is_update && self.lease.permit().is_some());
        let done = reading.rows(budget, |row| {
            let recorded = replica.record(row.monitor, row.table, row.uuid, row.change, &mut touched);
            recorded.map_err(|error| protocol_error(format!("row {} that cannot be read: {error}", row.uuid)))?;
            if replica.rows() > ROWS {
                return Err(bound_exceeded(format!("more than {ROWS} rows")));
            }
            Ok(())
        });
        self.on_touched(touched);
        match (done, reading.completes()) {
            (Err(why), _) => self.close(why),
            (Ok(false), _) => self.wire.read(reading),
            (Ok(true), Some(monitor)) => self.on_tables(now, monitor),
            (Ok(true), None) => {}
        }
    }

    /// Every row of some tables was read for the first time.
    fn on_tables(&mut self, now: Time, monitor: Monitor) {
        match monitor {
            Monitor::Small => self.progress.on_small_read(),
            Monitor::Server => self.on_server_model(now),
            Monitor::Extras => self.mark_all(),
            Monitor::Local | Monitor::Remote => {
                if self.progress.on_unicast_read(monitor) {
                    self.stats.reach(Milestone::Read, now);
                    let (local, remote) = (self.replica.ucast_local.count(), self.replica.ucast_remote.count());
                    self.report(What::Read { local, remote });
                    self.wire.notify(Notice::Read);
                    self.apply_brake();
                    self.mark_all();
                }
            }
        }
    }
}

fn unreadable(request: &str, error: &str) -> CloseWhy {
    protocol_error(format!("an answer to {request} that cannot be read: {error}"))
}

/// The monitor that an update belongs to, and where its rows stand in the parameters.
fn update_params(params: &[u8]) -> Option<(Monitor, Range<usize>)> {
    let comma = params.iter().position(|byte| *byte == b',')?;
    let end = params.iter().rposition(|byte| *byte == b']')?;
    let open = params.iter().position(|byte| *byte == b'[')?;
    let monitor = Monitor::of_id(params.get(open + 1..comma)?)?;
    (comma + 1 < end).then_some((monitor, comma + 1..end))
}
