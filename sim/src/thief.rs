//! A client that steals the lock of a switch, and keeps it until it gets [`Command::Leave`].

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tandem_core::event::LogEvent;
use tandem_core::ovsdb::Framer;
use tandem_core::ovsdb::rpc::echo_reply;
use tandem_core::{ConnId, Deadline, Machine, Time, log_words};

use crate::socket::{Input, Output};

/// A command to the thief.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// Steal the lock of this server; try again every second until it is there.
    Steal { from: SocketAddrV4 },
    /// Release it.
    Leave { from: SocketAddrV4 },
}

/// Its events.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Event {
    /// It asked for the lock.
    Stealing { from: SocketAddrV4 },
}

/// Why it wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// The last try failed.
    RetryDue,
}

/// A thief of locks, from any number of servers.
#[derive(Clone, Debug)]
pub struct Thief {
    lock: String,
    victims: Vec<Victim>,
    dialled: u64,
    outputs: VecDeque<Output<Event>>,
}

#[derive(Clone, Debug)]
struct Victim {
    from: SocketAddrV4,
    conn: ConnId,
    /// The line is gone, or never was.
    retry_at: Option<Time>,
    framer: Framer,
}

const RETRY: Duration = Duration::from_secs(1);

/// The messages of a server to a thief are small.
const MESSAGE_BYTES: usize = 64 << 10;

impl Thief {
    /// It is after locks of this name.
    pub fn new(lock: impl Into<String>) -> Self {
        Self {
            lock: lock.into(),
            victims: Vec::new(),
            dialled: 0,
            outputs: VecDeque::new(),
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Steal { from } => {
                self.outputs.push_back(Output::Event(Event::Stealing { from }));
                let conn = self.dial(from);
                self.victims.push(Victim {
                    from,
                    conn,
                    retry_at: None,
                    framer: Framer::new(MESSAGE_BYTES),
                });
            }
            Command::Leave { from } => {
                if let Some(index) = self.victims.iter().position(|victim| victim.from == from) {
                    let conn = self.victims.remove(index).conn;
                    self.outputs.push_back(Output::Close { conn });
                }
            }
        }
    }

    fn dial(&mut self, to: SocketAddrV4) -> ConnId {
        self.dialled += 1;
        let conn = ConnId(self.dialled);
        self.outputs.push_back(Output::Dial { conn, to });
        conn
    }

    fn connected(&mut self, conn: ConnId) {
        let request = json!({"id": 1, "method": "steal", "params": [self.lock]});
        let bytes = request.to_string().into_bytes();
        self.outputs.push_back(Output::Send { conn, bytes });
    }

    /// It answers the server's probes; nothing else interests it.
    fn received(&mut self, conn: ConnId, data: &[u8]) {
        let Some(victim) = self.victims.iter_mut().find(|victim| victim.conn == conn) else {
            return;
        };
        victim.framer.push(data);
        while let Ok(Some(frame)) = victim.framer.next_frame() {
            if let (Some(b"\"echo\""), Some(id)) = (frame.member("method"), frame.member("id")) {
                let bytes = echo_reply(id, frame.member("params").unwrap_or(b"[]"));
                self.outputs.push_back(Output::Send { conn, bytes });
            }
        }
    }

    fn lost(&mut self, now: Time, conn: ConnId) {
        if let Some(victim) = self.victims.iter_mut().find(|victim| victim.conn == conn) {
            victim.retry_at = Some(now + RETRY);
            victim.framer = Framer::new(MESSAGE_BYTES);
        }
    }

    fn retry(&mut self, now: Time) {
        for index in 0..self.victims.len() {
            let due = self
                .victims
                .get_mut(index)
                .filter(|victim| victim.retry_at.is_some_and(|at| at <= now));
            if let Some(from) = due.map(|victim| victim.from) {
                let conn = self.dial(from);
                if let Some(victim) = self.victims.get_mut(index) {
                    (victim.conn, victim.retry_at) = (conn, None);
                }
            }
        }
    }
}

impl Machine for Thief {
    type Input = Input<Command>;
    type Output = Output<Event>;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Self::Input) {
        match input {
            Input::Command(command) => self.command(command),
            Input::Connected { conn } => self.connected(conn),
            Input::Bytes { conn, data } => self.received(conn, &data),
            Input::Finished { conn } => {
                self.outputs.push_back(Output::Close { conn });
                self.lost(now, conn);
            }
            Input::DialFailed { conn, .. } | Input::Lost { conn } => self.lost(now, conn),
            Input::Timeout => self.retry(now),
            Input::Accepted { .. } | Input::Sent { .. } | Input::Checked { .. } | Input::Datagram { .. } => {}
        }
    }

    fn poll_output(&mut self) -> Option<Self::Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        let at = self.victims.iter().filter_map(|victim| victim.retry_at).min()?;
        Some(Deadline { at, why: Why::RetryDue })
    }
}

impl LogEvent for Event {
    log_words!(Stealing);
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stealing { from } => write!(f, "the lock of {from}"),
        }
    }
}
