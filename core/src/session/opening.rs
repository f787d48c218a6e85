//! The first flight, and what its answers open: who the switch is, and when its tables are known.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::requests::Asked;
use super::{Lock, Notice, Output, Phase, Session, Why};
use crate::bounds::{MESSAGE_BYTES, NAMELESS, NAMELESS_LOCK, STATUS_ENTRIES};
use crate::event::What;
use crate::ids::SwitchName;
use crate::machine::{CloseWhy, Fault};
use crate::ovsdb::framer::Frame;
use crate::ovsdb::monitor::Monitor;
use crate::ovsdb::reply::{self, Refusal};
use crate::ovsdb::schema::Schema;
use crate::ovsdb::{DATABASE, rpc};
use crate::text::short;
use crate::time::{Deadline, Time};

impl Session {
    /// Everything that can be asked before the first answer, in one flight.
    pub(super) fn open(&mut self, now: Time) {
        self.event(What::Opened {
            from: self.peer.origin(),
        });
        self.ask(now, Asked::Schema, "get_schema", format!("[\"{DATABASE}\"]").as_bytes());
        self.ask_monitor(now, Monitor::Small, false);
        self.ask_lock(now);
    }

    /// Sends a request.
    pub(super) fn ask(&mut self, now: Time, asked: Asked, method: &str, params: &[u8]) {
        let id = self.requests.ask(now, asked);
        self.outputs.push_back(Output::Send(rpc::request(id, method, params)));
    }

    fn ask_monitor(&mut self, now: Time, monitor: Monitor, conditional: bool) {
        if let Some(params) = monitor.params(&self.schema.clone().unwrap_or_default()) {
            let method = if conditional { "monitor_cond" } else { "monitor" };
            self.ask(now, Asked::Monitor { monitor, conditional }, method, &params);
        }
    }

    /// An answer with a result.
    pub(super) fn answered(&mut self, now: Time, asked: Asked, frame: Frame, result: std::ops::Range<usize>) {
        let json = frame.bytes().get(result.clone()).unwrap_or_default();
        match asked {
            Asked::Schema => match Schema::read(json) {
                Ok(schema) => {
                    self.schema = Some(schema);
                    self.phase = Phase::Identifying;
                    self.ask_monitor(now, Monitor::Extras, false);
                }
                Err(what) => self.close(now, CloseWhy::fault(Fault::PeerIncompatible, what)),
            },
            Asked::Monitor { monitor, .. } => self.read_updates(frame, monitor, result, true),
            Asked::Lock => match reply::locked(json) {
                Ok(held) => self.lock_answered(now, held),
                Err(error) => self.misbehaved(now, &format!("an answer to lock that cannot be read: {error}")),
            },
            Asked::Unlock => self.unlocked(now),
            Asked::Write(batch) => match reply::transacted(json) {
                Ok(Ok(())) => self.programmed(now, batch),
                Ok(Err(refusal)) => self.program_refused(now, batch, &refusal),
                Err(error) => self.misbehaved(now, &format!("an answer to transact that cannot be read: {error}")),
            },
        }
    }

    /// An answer with an error.
    pub(super) fn refused(&mut self, now: Time, asked: Asked, refusal: &Refusal) {
        match asked {
            Asked::Monitor {
                monitor,
                conditional: true,
            } => self.ask_monitor(now, monitor, false),
            Asked::Lock if refusal.text.starts_with("unknown method") => self.lock_unsupported(now),
            Asked::Write(batch) => self.program_refused(now, batch, refusal),
            Asked::Unlock => self.unlocked(now),
            Asked::Schema | Asked::Monitor { .. } | Asked::Lock => {
                let what = format!("it refuses {}: {}", asked.name(), refusal.text);
                self.close(now, CloseWhy::fault(Fault::PeerIncompatible, what));
            }
        }
    }

    /// Every row of some tables was read for the first time.
    pub(super) fn table_read(&mut self, now: Time, monitor: Monitor) {
        match monitor {
            Monitor::Small => self.small_read = true,
            Monitor::Extras => self.audit_all(),
            Monitor::Local => self.replica.ucast_local.read = true,
            Monitor::Remote => self.replica.ucast_remote.read = true,
        }
        if matches!(monitor, Monitor::Local | Monitor::Remote) && self.tables_read() {
            self.takeover.read = Some(now);
            let (local, remote) = (self.replica.ucast_local.count(), self.replica.ucast_remote.count());
            self.event(What::Read { local, remote });
            self.notify(Notice::Read);
            self.audit_all();
        }
    }

    /// Whether the unicast tables are known, too.
    pub(super) fn tables_read(&self) -> bool {
        self.replica.ucast_local.read && self.replica.ucast_remote.read
    }

    /// Who is at the other end? Asked again whenever a switch comes, goes or is renamed.
    pub(super) fn identify(&mut self, now: Time) {
        if !self.small_read || !std::mem::take(&mut self.switches_changed) {
            return;
        }
        let named: Vec<SwitchName> = self
            .replica
            .ports
            .switches()
            .map(|switch| switch.name.clone())
            .collect();
        let configured = &self.wanted.configuration().switches;
        let served: BTreeSet<SwitchName> = named
            .iter()
            .filter(|name| configured.contains_key(name))
            .cloned()
            .collect();
        if let Some(what) = self.wrong_certificate(&served) {
            return self.close(now, CloseWhy::fault(Fault::PeerMisbehaved, what));
        }
        if served.is_empty() {
            return self.unidentified(now, named);
        }
        let news = served != *self.wanted.served();
        let tunnel_ips: Vec<Ipv4Addr> = self
            .replica
            .ports
            .switches()
            .filter(|switch| served.contains(&switch.name))
            .flat_map(|switch| switch.tunnel_ips.iter().copied())
            .collect();
        let changed = self.wanted.serve(served, tunnel_ips.into_iter());
        if news {
            self.takeover.identified.get_or_insert(now);
            let switches: Vec<SwitchName> = self.wanted.served().iter().cloned().collect();
            let schema = self
                .schema
                .as_ref()
                .map(|schema| schema.version.clone())
                .unwrap_or_default();
            let notice = Notice::Identified {
                switches: switches.clone(),
            };
            self.event(What::Identified { switches, schema });
            self.notify(notice);
            self.ask_lock(now);
        }
        if self.phase == Phase::Identifying {
            self.phase = Phase::Reading;
        }
        match changed {
            Some(changed) => self.audit_changed(changed),
            None => self.audit_all(),
        }
    }

    fn wrong_certificate(&self, served: &BTreeSet<SwitchName>) -> Option<String> {
        let configured = &self.wanted.configuration().switches;
        let shown = self.peer.certificate.as_ref();
        let wrong = served.iter().find(|name| {
            let rule = configured.get(name).and_then(|switch| switch.certificate.as_ref());
            rule.is_some_and(|rule| !rule.admits(shown))
        })?;
        let shown = shown.map_or_else(|| "none".into(), |shown| shown.fingerprint.to_string());
        Some(format!(
            "it calls itself {wrong}, but its certificate ({shown}) is not the one configured for it"
        ))
    }

    /// The database names no switch of ours: nothing is claimed, and the lock is let go.
    fn unidentified(&mut self, now: Time, named: Vec<SwitchName>) {
        if !self.wanted.served().is_empty() {
            let what = "the database no longer names a switch that is configured here";
            return self.close(now, CloseWhy::orderly(what));
        }
        let named = named.into_iter().take(STATUS_ENTRIES);
        let named: Vec<SwitchName> = named.map(|name| short(name.as_str()).into()).collect();
        if self.named.as_ref() != Some(&named) {
            self.event(What::Unidentified { named: named.clone() });
            self.notify(Notice::Unidentified { named: named.clone() });
            self.named = Some(named);
        }
        if !planted!(self, ProbeClaims) {
            self.let_go(now);
        }
    }

    /// Asks for the unicast tables once the claim is on its way, or somebody else is the owner.
    pub(super) fn ask_unicast(&mut self, now: Time) {
        let claimed = self.may_write() && self.claim_sent();
        let watching = matches!(self.lock, Lock::Queued | Lock::Unsupported) && !self.may_write();
        if self.phase != Phase::Reading || self.unicast_asked || !(claimed || watching) {
            return;
        }
        self.unicast_asked = true;
        self.receiver.framer.set_limit_bytes(MESSAGE_BYTES);
        self.ask_monitor(now, Monitor::Local, true);
        self.ask_monitor(now, Monitor::Remote, true);
    }

    /// A connection that names no configured switch keeps no lock, and does not stay forever.
    pub(super) fn check_nameless(&mut self, now: Time) {
        let Some(deadline) = self.nameless_deadline().filter(|deadline| deadline.at <= now) else {
            return;
        };
        if deadline.why == Why::NamelessLock {
            self.let_go(now);
        } else {
            self.close(now, CloseWhy::orderly("it has not named a configured switch"));
        }
    }

    /// When to do so.
    pub(super) fn nameless_deadline(&self) -> Option<Deadline<Why>> {
        if !self.wanted.served().is_empty() || planted!(self, ProbeClaims) {
            return None;
        }
        let holding = matches!(self.lock, Lock::Asked | Lock::Queued | Lock::Held);
        let (span, why) = if holding {
            (NAMELESS_LOCK, Why::NamelessLock)
        } else {
            (NAMELESS, Why::Nameless)
        };
        Some(Deadline {
            at: self.opened_at + span,
            why,
        })
    }
}
