//! A control host: a [`ControlNode`] behind a listener, with a [`Stream`] on each connection.
//!
//! It follows the drivers of `net`. Streams are in the clear, and the whole process works in one task: it processes the
//! outputs of one stream before it turns to the next.

mod event;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use tandem_core::control::{self, ClientName, ControlNode, Inventory};
use tandem_core::machine::Certificate;
use tandem_core::xmpp::Stanza;
use tandem_core::xmpp::stream::{self, Role, Stream, StreamOptions};
use tandem_core::{CloseReason, CloseWhy, ConnId, Deadline, Machine, Time};

use crate::socket::{Input, Output};
pub use event::Event;

/// The options of a control host.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// Where agents connect.
    pub listen: SocketAddrV4,
    /// The certificates of clients by address: streams are in the clear.
    pub certificates: Arc<BTreeMap<Ipv4Addr, Certificate>>,
    /// A planted bug.
    #[cfg(feature = "mutants")]
    pub mutant: Option<tandem_core::mutant::Mutant>,
}

/// A command to a control host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// The inventory from now on.
    Configure(Arc<Inventory>),
}

/// Why a control host wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// The control node has its reason.
    Node(control::Why),
    /// A stream has its reason.
    Stream(stream::Why),
    /// Stanzas were handed to the network.
    Sent,
}

/// A control node, its streams, and the process around them.
#[derive(Clone, Debug)]
pub struct ControlHost {
    options: Options,
    node: ControlNode,
    lines: BTreeMap<ConnId, Line>,
    /// Streams with stanzas that were not flushed yet: the stanzas of one instant go out together.
    unflushed: BTreeSet<ConnId>,
    /// Streams whose backlog is to be reported to the control node: none, most often.
    sent: BTreeSet<ConnId>,
    now: Time,
    outputs: VecDeque<Output<Event>>,
}

/// A stream and its peer.
#[derive(Clone, Debug)]
struct Line {
    stream: Stream,
    from: SocketAddrV4,
    /// The control node knows of it.
    open: bool,
    /// Bytes that the network has not taken, as last reported. It reports nothing while it takes everything.
    queued_bytes: usize,
    /// The connection is gone; there is nothing left to close.
    lost: bool,
}

impl ControlHost {
    /// A program that has just been started: opening its port is its first output.
    pub fn new(options: Options) -> Self {
        let node = ControlNode::new();
        #[cfg(feature = "mutants")]
        let node = node.with_mutant(options.mutant);
        let mut host = Self {
            node,
            lines: BTreeMap::new(),
            unflushed: BTreeSet::new(),
            sent: BTreeSet::new(),
            now: Time::ORIGIN,
            outputs: VecDeque::new(),
            options,
        };
        let at = host.options.listen;
        host.outputs.push_back(Output::Listen { at });
        host
    }

    /// The control node's machine.
    pub fn node(&self) -> &ControlNode {
        &self.node
    }

    /// Streams that are not over.
    pub fn streams(&self) -> usize {
        self.lines.len()
    }

    fn accepted(&mut self, conn: ConnId, from: SocketAddrV4) {
        let options = StreamOptions::new(Role::Server, &self.options.name, false);
        #[cfg(feature = "mutants")]
        let options = StreamOptions {
            mutant: self.options.mutant,
            ..options
        };
        let line = Line {
            stream: Stream::new(self.now, options),
            from,
            open: false,
            queued_bytes: 0,
            lost: false,
        };
        self.lines.insert(conn, line);
    }

    fn ended(&mut self, conn: ConnId, lost: bool) {
        if let Some(line) = self.lines.get_mut(&conn) {
            line.lost = lost;
        }
        let what = if lost {
            "the connection broke"
        } else {
            "the agent closed the connection"
        };
        self.feed_stream(
            conn,
            stream::Input::Closed(CloseWhy::new(CloseReason::ConnectionLost, what)),
        );
    }

    /// Passes an input to a stream, and what comes of it to the control node.
    fn feed_stream(&mut self, conn: ConnId, input: stream::Input) {
        let Some(line) = self.lines.get_mut(&conn) else { return };
        line.stream.handle(self.now, input);
        let mut over = None;
        let mut inputs = Vec::new();
        while let Some(output) = line.stream.poll_output() {
            match output {
                stream::Output::Send(bytes) => self.outputs.push_back(Output::Send { conn, bytes }),
                // Streams are in the clear here.
                stream::Output::StartTls | stream::Output::Close(_) => {}
                stream::Output::Event(stream::Event::Opened { peer, .. }) => {
                    line.open = true;
                    inputs.push(control::Input::Opened {
                        conn,
                        name: ClientName::from(peer),
                        address: line.from.into(),
                        certificate: self.options.certificates.get(line.from.ip()).cloned(),
                    });
                }
                stream::Output::Event(stream::Event::Received(stanza)) => {
                    inputs.push(control::Input::Stanza { conn, stanza });
                }
                stream::Output::Event(stream::Event::Ended { why }) => over = Some(why),
            }
        }
        if let Some(why) = over {
            self.over(conn, why, &mut inputs);
        }
        for input in inputs {
            self.feed_node(input);
        }
    }

    fn over(&mut self, conn: ConnId, why: CloseWhy, inputs: &mut Vec<control::Input>) {
        let Some(line) = self.lines.remove(&conn) else { return };
        if !line.lost {
            self.outputs.push_back(Output::Close { conn });
        }
        if line.open {
            let why = why.clone();
            inputs.push(control::Input::Closed { conn, why });
        }
        self.report(Event::StreamEnded { conn, why });
    }

    fn feed_node(&mut self, input: control::Input) {
        self.node.handle(self.now, input);
        while let Some(output) = self.node.poll_output() {
            match output {
                control::Output::Send { conn, stanza } => self.send_stanza(conn, stanza),
                control::Output::Close { conn, why } => self.close(conn, why),
                control::Output::Event(event) => self.report(Event::Node(event)),
            }
        }
    }

    fn send_stanza(&mut self, conn: ConnId, stanza: Stanza) {
        if let Some(line) = self.lines.get_mut(&conn) {
            line.stream.handle(self.now, stream::Input::Send(stanza));
            self.unflushed.insert(conn);
        }
    }

    /// For the control node it is over already.
    fn close(&mut self, conn: ConnId, why: CloseWhy) {
        if let Some(line) = self.lines.get_mut(&conn) {
            line.stream.handle(self.now, stream::Input::Close(why.clone()));
            self.flush(conn);
            self.lines.remove(&conn);
            self.outputs.push_back(Output::Close { conn });
            self.report(Event::StreamEnded { conn, why });
        }
    }

    /// Sends what a stream has ready. Sending has no other effect on it.
    fn flush(&mut self, conn: ConnId) {
        let Some(line) = self.lines.get_mut(&conn) else { return };
        while let Some(output) = line.stream.poll_output() {
            if let stream::Output::Send(bytes) = output {
                self.outputs.push_back(Output::Send { conn, bytes });
            }
        }
    }

    fn wake(&mut self) {
        let now = self.now;
        for conn in std::mem::take(&mut self.sent) {
            if let Some(queued_bytes) = self.lines.get(&conn).map(|line| line.queued_bytes) {
                self.feed_node(control::Input::Sent { conn, queued_bytes });
            }
        }
        let due = |at: Time| at <= now;
        let streams = self
            .lines
            .iter()
            .filter(|(_, line)| line.stream.poll_timeout().is_some_and(|it| due(it.at)));
        for conn in streams.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.feed_stream(conn, stream::Input::Timeout);
        }
        if self.node.poll_timeout().is_some_and(|it| due(it.at)) {
            self.feed_node(control::Input::Timeout);
        }
    }

    fn report(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

impl Machine for ControlHost {
    type Input = Input<Command>;
    type Output = Output<Event>;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Input<Command>) {
        debug_assert!(self.outputs.is_empty(), "drain the outputs first");
        self.now = now;
        match input {
            Input::Accepted { conn, from, .. } => self.accepted(conn, from),
            Input::Bytes { conn, data } => self.feed_stream(conn, stream::Input::Bytes(data)),
            Input::Sent { conn, queued_bytes } => {
                if let Some(line) = self.lines.get_mut(&conn) {
                    line.queued_bytes = queued_bytes;
                }
                self.feed_stream(conn, stream::Input::Sent { queued_bytes });
                self.feed_node(control::Input::Sent { conn, queued_bytes });
            }
            Input::Finished { conn } => self.ended(conn, false),
            Input::Lost { conn } => self.ended(conn, true),
            Input::Timeout => self.wake(),
            Input::Command(Command::Configure(inventory)) => self.feed_node(control::Input::Configure(inventory)),
            // A control host dials no node, checks no node, and has no part in the virtual IP.
            Input::Connected { .. } | Input::DialFailed { .. } | Input::Checked { .. } | Input::Datagram { .. } => {}
        }
        for conn in std::mem::take(&mut self.unflushed) {
            self.flush(conn);
            self.sent.insert(conn);
        }
    }

    fn poll_output(&mut self) -> Option<Output<Event>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        let node = self.node.poll_timeout().map(|Deadline { at, why }| Deadline {
            at,
            why: Why::Node(why),
        });
        let streams = self.lines.values().filter_map(|line| line.stream.poll_timeout());
        let stream = streams
            .min_by_key(|deadline| deadline.at)
            .map(|Deadline { at, why }| Deadline {
                at,
                why: Why::Stream(why),
            });
        let (at, why) = (self.now, Why::Sent);
        let sent = (!self.sent.is_empty()).then_some(Deadline { at, why });
        Deadline::earliest([sent, node, stream])
    }
}
