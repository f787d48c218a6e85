//! One client and its server: bytes both ways, half-closes, time-outs, backpressure.
//!
//! Tried with HAProxy 2.6.12: each end's FIN is passed on and the other direction stays open; a client's RST is passed
//! on as RST, a server's as FIN; a time-out of one end is to the other as if it had closed; bytes in either direction
//! restart the time-out of both ends.

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::time::Duration;

use tandem_core::{ConnId, Time};

use super::event::{Event, SessionEnd};
use crate::plan;
use crate::socket::Output;

/// What waits for one end before the other end is not read any more (`tune.bufsize`).
const BUFFER_BYTES: usize = 16 * 1024;

pub(super) type Outputs = VecDeque<Output<Event>>;

/// A client, and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) from: SocketAddrV4,
    /// Which `listen`.
    pub(super) listen: usize,
    /// Which of its servers; `None` while one is to be chosen.
    pub(super) server: Option<usize>,
    /// The server that was tried last.
    pub(super) tried: Option<usize>,
    /// Attempts that failed.
    pub(super) failures: u32,
    pub(super) stage: Stage,
    client: Side,
    /// Bytes that the client sent before its server was connected.
    early: Vec<u8>,
    /// The end that closed first.
    closed_first: Option<SessionEnd>,
}

/// How far it is.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Before an attempt.
    Waiting { until: Time },
    /// In an attempt.
    Dialling { conn: ConnId, until: Option<Time> },
    /// Connected.
    Open { server: Side },
}

/// One end.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) conn: ConnId,
    queued_bytes: usize,
    paused: bool,
    /// It sends no more, or is not listened to any more.
    finished: bool,
    active_at: Time,
}

/// Which end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    Client,
    Server,
}

impl Session {
    pub(super) fn new(now: Time, client: ConnId, from: SocketAddrV4, listen: usize) -> Self {
        Self {
            from,
            listen,
            server: None,
            tried: None,
            failures: 0,
            stage: Stage::Waiting { until: now },
            client: Side::new(now, client),
            early: Vec::new(),
            closed_first: None,
        }
    }

    pub(super) fn server_conn(&self) -> Option<ConnId> {
        match &self.stage {
            Stage::Waiting { .. } => None,
            Stage::Dialling { conn, .. } => Some(*conn),
            Stage::Open { server } => Some(server.conn),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open { .. })
    }

    /// When something is due if nothing happens.
    pub(super) fn due_at(&self, options: &plan::Proxy) -> Option<Time> {
        match &self.stage {
            Stage::Waiting { until } => Some(*until),
            Stage::Dialling { until, .. } => *until,
            Stage::Open { server } => {
                let client = self.client.due_at(options.timeout_client.unless_zero());
                let server = server.due_at(options.timeout_server.unless_zero());
                client.into_iter().chain(server).min()
            }
        }
    }

    /// The server is there.
    pub(super) fn opened(&mut self, now: Time, conn: ConnId, outputs: &mut Outputs) {
        self.client.active_at = now;
        self.stage = Stage::Open {
            server: Side::new(now, conn),
        };
        let bytes = std::mem::take(&mut self.early);
        if !bytes.is_empty() {
            outputs.push_back(Output::Send { conn, bytes });
        }
        self.client.pause(false, outputs);
        if self.client.finished {
            outputs.push_back(Output::Finish { conn });
        }
    }

    /// Bytes of one end go to the other.
    pub(super) fn bytes(&mut self, now: Time, from: End, bytes: Vec<u8>, outputs: &mut Outputs) {
        let Stage::Open { server } = &mut self.stage else {
            self.early.extend(bytes);
            self.client.pause(self.early.len() > BUFFER_BYTES, outputs);
            return;
        };
        let (from, to) = match from {
            End::Client => (&mut self.client, server),
            End::Server => (server, &mut self.client),
        };
        if from.finished {
            return;
        }
        from.active_at = now;
        to.active_at = now;
        let conn = to.conn;
        outputs.push_back(Output::Send { conn, bytes });
    }

    /// Bytes that wait for one end; above the limit, the other is not read.
    pub(super) fn queued(&mut self, now: Time, at: End, queued_bytes: usize, outputs: &mut Outputs) {
        let Stage::Open { server } = &mut self.stage else {
            return;
        };
        let (at, other) = match at {
            End::Client => (&mut self.client, server),
            End::Server => (server, &mut self.client),
        };
        if queued_bytes < at.queued_bytes {
            at.active_at = now;
        }
        at.queued_bytes = queued_bytes;
        if queued_bytes > BUFFER_BYTES {
            other.pause(true, outputs);
        } else if queued_bytes <= BUFFER_BYTES / 2 {
            other.pause(false, outputs);
        }
    }

    /// One end sends no more. Returns why the session is over, if it is.
    pub(super) fn finished(&mut self, end: End, why: SessionEnd, outputs: &mut Outputs) -> Option<SessionEnd> {
        let Stage::Open { server } = &mut self.stage else {
            self.client.finished = true;
            return self.early.is_empty().then_some(why);
        };
        let (from, to) = match end {
            End::Client => (&mut self.client, server),
            End::Server => (server, &mut self.client),
        };
        if from.finished {
            return None;
        }
        from.finished = true;
        let first = *self.closed_first.get_or_insert(why);
        if to.finished {
            return Some(first);
        }
        outputs.push_back(Output::Finish { conn: to.conn });
        None
    }

    /// A timeout has come. Returns why the session is over, if it is.
    pub(super) fn silent(&mut self, now: Time, options: &plan::Proxy, outputs: &mut Outputs) -> Option<SessionEnd> {
        let timeouts = [
            (End::Client, options.timeout_client, SessionEnd::ClientSilent),
            (End::Server, options.timeout_server, SessionEnd::ServerSilent),
        ];
        for (end, timeout, why) in timeouts {
            let side = match (end, &self.stage) {
                (End::Client, _) => &self.client,
                (End::Server, Stage::Open { server }) => server,
                (End::Server, Stage::Waiting { .. } | Stage::Dialling { .. }) => continue,
            };
            if side.due_at(timeout.unless_zero()).is_none_or(|at| at > now) {
                continue;
            }
            if side.queued_bytes > 0 {
                return Some(why);
            }
            if let Some(end) = self.finished(end, why, outputs) {
                return Some(end);
            }
        }
        None
    }

    /// The end, for both.
    pub(super) fn close(self, why: SessionEnd, outputs: &mut Outputs) {
        if why != SessionEnd::ClientLost {
            outputs.push_back(Output::Close { conn: self.client.conn });
        }
        let Some(conn) = self.server_conn() else {
            return;
        };
        match why {
            SessionEnd::ServerLost => {}
            SessionEnd::ClientLost if self.is_open() => outputs.push_back(Output::Reset { conn }),
            SessionEnd::ClientLost
            | SessionEnd::ClientClosed
            | SessionEnd::ServerClosed
            | SessionEnd::ClientSilent
            | SessionEnd::ServerSilent
            | SessionEnd::ServerDown
            | SessionEnd::Unreachable
            | SessionEnd::HardStop
            | SessionEnd::Stopped => outputs.push_back(Output::Close { conn }),
        }
    }
}

impl Side {
    fn new(now: Time, conn: ConnId) -> Self {
        Self {
            conn,
            queued_bytes: 0,
            paused: false,
            finished: false,
            active_at: now,
        }
    }

    /// One that finished is waited for only while bytes for it are stuck.
    fn due_at(&self, timeout: Option<Duration>) -> Option<Time> {
        let waits = !self.finished || self.queued_bytes > 0;
        timeout.filter(|_| waits).map(|timeout| self.active_at + timeout)
    }

    fn pause(&mut self, pause: bool, outputs: &mut Outputs) {
        if self.paused != pause {
            self.paused = pause;
            outputs.push_back(Output::Read {
                conn: self.conn,
                on: !pause,
            });
        }
    }
}
