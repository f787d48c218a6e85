//! A client of control nodes with a certificate of its own: it opens sessions under names that are not its own, and
//! publishes routes that lead frames to tunnel ends that are not its own. Streams are in the clear; a control node knows
//! the certificate of a client by its address.

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tandem_core::event::LogEvent;
use tandem_core::evpn::{InstanceName, Key, Path};
use tandem_core::xmpp::Stanza;
use tandem_core::xmpp::stream::{self, Role, Stream, StreamOptions};
use tandem_core::{ConnId, Deadline, Mac, Machine, Time, log_words};

use crate::socket::{Input, Output};

/// A tunnel end that the intruder wants frames to be sent to; no inventory gives it to any client.
pub const END: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 66);

/// MACs that only the intruder publishes; the number is any.
pub const fn mac(number: u8) -> Mac {
    Mac([0x02, 0, 0x66, 0, 0, number])
}

/// Whether only the intruder publishes a MAC.
pub fn is_mac(mac: Mac) -> bool {
    mac.0.starts_with(&[0x02, 0, 0x66])
}

/// A route that the intruder publishes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lure {
    pub instance: InstanceName,
    pub key: Key,
    pub path: Path,
}

/// A command to the intruder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Open sessions with a control node, under one of these names after the other, and publish these routes in each.
    Intrude {
        to: SocketAddrV4,
        names: Vec<String>,
        lures: Arc<[Lure]>,
    },
    /// Give up.
    Leave { to: SocketAddrV4 },
}

/// Its events.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Event {
    /// It opens a session under a name.
    Intruding { to: SocketAddrV4, name: String },
}

/// Why it wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// The last session ended.
    RetryDue,
    /// A stream has its reason.
    Stream(stream::Why),
}

/// An intruder at any number of control nodes.
#[derive(Clone, Debug, Default)]
pub struct Intruder {
    intrusions: Vec<Intrusion>,
    dialled: u64,
    outputs: VecDeque<Output<Event>>,
}

#[derive(Clone, Debug)]
struct Intrusion {
    to: SocketAddrV4,
    names: Vec<String>,
    lures: Arc<[Lure]>,
    conn: ConnId,
    stream: Option<Stream>,
    retry_at: Option<Time>,
    tries: usize,
}

/// The pause after a session.
const RETRY: Duration = Duration::from_secs(2);

impl Intrusion {
    /// The name of this try.
    fn name(&self) -> &str {
        let number = self.tries.checked_rem(self.names.len()).unwrap_or(0);
        self.names.get(number).map_or("intruder", String::as_str)
    }

    fn feed(&mut self, now: Time, input: stream::Input, outputs: &mut VecDeque<Output<Event>>) {
        if let Some(stream) = &mut self.stream {
            stream.handle(now, input);
        }
        if self.carry_out(now, outputs) {
            self.publish(now);
            self.carry_out(now, outputs);
        }
    }

    /// Answers whether both ends are open from now on.
    fn carry_out(&mut self, now: Time, outputs: &mut VecDeque<Output<Event>>) -> bool {
        let conn = self.conn;
        let mut opened = false;
        while let Some(output) = self.stream.as_mut().and_then(Stream::poll_output) {
            match output {
                stream::Output::Send(bytes) => outputs.push_back(Output::Send { conn, bytes }),
                stream::Output::Close(_) => outputs.push_back(Output::Close { conn }),
                stream::Output::Event(stream::Event::Opened { .. }) => opened = true,
                stream::Output::Event(stream::Event::Ended { .. }) => self.over(now),
                stream::Output::StartTls | stream::Output::Event(stream::Event::Received(_)) => {}
            }
        }
        opened
    }

    fn publish(&mut self, now: Time) {
        let mut stanzas = Vec::new();
        let mut subscribed: Option<&InstanceName> = None;
        for (Lure { instance, key, path }, instance_id) in self.lures.iter().zip(1..) {
            if subscribed != Some(instance) {
                stanzas.push(Stanza::Subscribe {
                    instance: instance.clone(),
                    instance_id,
                    no_ribout: true,
                    number: None,
                });
                subscribed = Some(instance);
            }
            let node = key.node();
            stanzas.push(Stanza::Publish {
                node: node.clone(),
                route: Box::new((*key, path.clone())),
            });
            stanzas.push(Stanza::Collection {
                instance: instance.clone(),
                associate: true,
                node,
            });
        }
        let stream = self.stream.as_mut();
        stream.into_iter().for_each(|stream| {
            stanzas
                .drain(..)
                .for_each(|it| stream.handle(now, stream::Input::Send(it)))
        });
    }

    fn over(&mut self, now: Time) {
        self.stream = None;
        self.tries += 1;
        self.retry_at = Some(now + RETRY);
    }
}

impl Intruder {
    fn command(&mut self, now: Time, command: Command) {
        match command {
            Command::Intrude { to, names, lures } => {
                self.intrusions.push(Intrusion {
                    to,
                    names,
                    lures,
                    conn: ConnId(0),
                    stream: None,
                    retry_at: Some(now),
                    tries: 0,
                });
                self.dial(now);
            }
            Command::Leave { to } => {
                if let Some(index) = self.intrusions.iter().position(|it| it.to == to) {
                    let conn = self.intrusions.remove(index).conn;
                    self.outputs.push_back(Output::Close { conn });
                }
            }
        }
    }

    fn dial(&mut self, now: Time) {
        let due = |it: &&mut Intrusion| it.retry_at.is_some_and(|at| at <= now);
        for intrusion in self.intrusions.iter_mut().filter(due) {
            self.dialled += 1;
            (intrusion.conn, intrusion.retry_at) = (ConnId(self.dialled), None);
            let (conn, to, name) = (intrusion.conn, intrusion.to, intrusion.name().to_owned());
            self.outputs.push_back(Output::Event(Event::Intruding { to, name }));
            self.outputs.push_back(Output::Dial { conn, to });
        }
    }

    fn connected(&mut self, now: Time, conn: ConnId) {
        let outputs = &mut self.outputs;
        if let Some(intrusion) = self.intrusions.iter_mut().find(|it| it.conn == conn) {
            let options = StreamOptions::new(Role::Client, intrusion.name(), false);
            intrusion.stream = Some(Stream::new(now, options));
            intrusion.carry_out(now, outputs);
        }
    }

    fn feed(&mut self, now: Time, conn: ConnId, input: stream::Input) {
        let outputs = &mut self.outputs;
        if let Some(intrusion) = self.intrusions.iter_mut().find(|it| it.conn == conn) {
            intrusion.feed(now, input, outputs);
        }
    }

    fn lost(&mut self, now: Time, conn: ConnId) {
        let lost = self.intrusions.iter_mut().find(|it| it.conn == conn);
        lost.into_iter().for_each(|it| it.over(now));
    }

    fn wake(&mut self, now: Time) {
        let outputs = &mut self.outputs;
        for intrusion in &mut self.intrusions {
            let due = intrusion.stream.as_ref().and_then(Stream::poll_timeout);
            if due.is_some_and(|due| due.at <= now) {
                intrusion.feed(now, stream::Input::Timeout, outputs);
            }
        }
        self.dial(now);
    }
}

impl Machine for Intruder {
    type Input = Input<Command>;
    type Output = Output<Event>;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Self::Input) {
        match input {
            Input::Command(command) => self.command(now, command),
            Input::Connected { conn } => self.connected(now, conn),
            Input::Bytes { conn, data } => self.feed(now, conn, stream::Input::Bytes(data)),
            Input::Sent { conn, queued_bytes } => self.feed(now, conn, stream::Input::Sent { queued_bytes }),
            Input::Finished { conn } => {
                self.outputs.push_back(Output::Close { conn });
                self.lost(now, conn);
            }
            Input::DialFailed { conn, .. } | Input::Lost { conn } => self.lost(now, conn),
            Input::Timeout => self.wake(now),
            Input::Accepted { .. } | Input::Checked { .. } | Input::Datagram { .. } => {}
        }
    }

    fn poll_output(&mut self) -> Option<Self::Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        let deadlines = self.intrusions.iter().flat_map(|it| {
            let why = Why::RetryDue;
            let retry = it.retry_at.map(|at| Deadline { at, why });
            let stream = it.stream.as_ref().and_then(Stream::poll_timeout);
            let stream = stream.map(|Deadline { at, why }| Deadline {
                at,
                why: Why::Stream(why),
            });
            [retry, stream]
        });
        Deadline::earliest(deadlines)
    }
}

impl LogEvent for Event {
    log_words!(Intruding);
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intruding { to, name } => write!(f, "{to} as {name}"),
        }
    }
}
