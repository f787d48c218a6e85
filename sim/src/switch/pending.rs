//! What the server keeps between its turns: sessions, transactions that wait, and the dump that it renders.

use std::time::Duration;

use serde_json::Value;
use tandem_core::bounds::MESSAGE_BYTES;
use tandem_core::ovsdb::Framer;
use tandem_core::{ConnId, Time};

use super::monitor::Monitor;
use super::server::Served;

/// What the switch knows of a connection.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) framer: Framer,
    pub(super) monitors: Vec<Monitor>,
    /// When the server took bytes last.
    pub(super) last_received: Time,
    /// Whether bytes arrived that it has not taken yet.
    pub(super) bytes_came: bool,
    /// When an echo was sent, if nothing was last_received since.
    pub(super) probed: Option<Time>,
    /// The longest time that it may be silent.
    pub(super) probe: Option<Duration>,
    /// Whether it asked to be notified of cancelled transactions (`set_db_change_aware`).
    pub(super) change_aware: bool,
    /// Bytes that were sent and not taken.
    pub(super) queued_bytes: usize,
    /// Whether bytes are handed in.
    pub(super) reading: bool,
    /// Transactions that waited and are over: the request's id, and the results.
    pub(super) completed: Vec<(Value, Value)>,
    /// Whether the other end sends no more.
    pub(super) finished: bool,
    /// Whether the connection is gone.
    pub(super) lost: bool,
}

impl Session {
    pub(super) fn new(now: Time, probe: Option<Duration>) -> Self {
        Self {
            framer: Framer::new(MESSAGE_BYTES),
            monitors: Vec::new(),
            last_received: now,
            bytes_came: false,
            probed: None,
            probe,
            change_aware: false,
            queued_bytes: 0,
            reading: true,
            completed: Vec::new(),
            finished: false,
            lost: false,
        }
    }

    pub(super) fn receive(&mut self, data: &[u8]) {
        self.framer.push(data);
        self.bytes_came = true;
    }

    /// That the other end takes what was waiting for it is a sign of life.
    pub(super) fn sent(&mut self, now: Time, queued_bytes: usize) {
        if queued_bytes < self.queued_bytes {
            self.last_received = now;
            self.probed = None;
        }
        self.queued_bytes = queued_bytes;
    }

    /// When it is to be probed, or cut off. Never while the server does not listen to it.
    pub(super) fn probe_at(&self) -> Option<Time> {
        let since = self.probed.unwrap_or(self.last_received);
        self.probe.filter(|_| self.queued_bytes == 0).map(|probe| since + probe)
    }
}

/// A transaction whose `wait` is not satisfied yet.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) conn: ConnId,
    pub(super) id: Value,
    pub(super) served: Served,
    pub(super) params: Vec<Value>,
    pub(super) since: Time,
    /// When the `wait` times out.
    pub(super) until: Option<Time>,
}

/// A dump is rendered.
#[derive(Clone, Debug)]
pub(super) struct Busy {
    pub(super) until: Time,
    pub(super) conn: ConnId,
    pub(super) reply: Vec<u8>,
}
