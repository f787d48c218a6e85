//! An agent host: the process around the machines of core, as an actor.
//!
//! It follows the drivers of `net`. Switches arrive through the `listener`: TLS, bounded in number and in time. Then
//! one [`Agent`] and a [`Session`](tandem_core::session::Session) on each [`Line`] exchange messages, and nothing else.
//! Messages wait in a `mailbox`, and are delivered within the instant in which they were posted. The seed decides their
//! order, as tasks on several cores would, but the messages of one sender keep theirs.
//!
//! Left out: PROXY headers and the contents of certificates (a [`Peer`](tandem_core::Peer) has neither), the HTTP port,
//! certificate files, panics. The world decides whether a program hangs or dies: it stops calling this machine, or
//! drops it.
//!
//! **For the world**: hand in what has arrived on a socket before [`Timeout`](Input::Timeout), above all when a hung
//! program goes on: the drivers read what has arrived before they measure silence.

mod alarms;
mod announcements;
mod events;
mod line;
mod listener;
mod mailbox;
mod uplinks;
mod why;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use tandem_core::agent::{self, Agent, Order, OrderId};
use tandem_core::configuration::Configuration;
use tandem_core::health::Grade;
use tandem_core::remembered::Remembered;
use tandem_core::session::Notice;
use tandem_core::status::AgentStatus;
use tandem_core::xmpp::stream::Input as StreamInput;
use tandem_core::{CloseReason, CloseWhy, ConnId, Deadline, Generation, Machine, Time, session};

use crate::plan::TlsFault;
use crate::socket::{CheckKind, Input, Outcome, Output};
use alarms::Alarms;
use announcements::Announcements;
pub use events::Event;
pub use line::Line;
pub use listener::{HALF_OPEN_MAX, HANDSHAKE_DEADLINE};
use listener::{Listener, Reaction, Step};
use mailbox::{Lane, Letter, Mailbox};
pub use why::Why;

/// The options of an agent host.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where switches connect; taken once the agent may own a switch.
    pub listen: SocketAddrV4,
    /// Where a proxy's echo check connects; taken at once.
    pub health: SocketAddrV4,
    /// Where a proxy's `agent-check` connects; taken at once.
    pub agent_check: SocketAddrV4,
    /// What a flight of TLS takes of the processor.
    pub tls_work: Duration,
    /// The desired state.
    pub configuration: Arc<Configuration>,
    /// Whether that is everything that could be wanted. An agent that has never seen everything is unfit.
    pub complete: bool,
    /// Above every generation of an earlier life of this agent.
    pub generation: Generation,
    /// The control nodes that the configuration and the routes come from; none, and what is wanted is all there is.
    pub control_nodes: Vec<SocketAddrV4>,
    /// How long the agent holds a copy of a route that no agent exports.
    pub stale_hold: Option<Duration>,
    /// Whether the agent exchanges reports with the other agent of its pair.
    pub pair: bool,
    /// The content of the file in which an earlier life remembered its configuration, or nothing; `None` without a disk.
    pub disk: Option<Vec<u8>>,
}

/// A command to an agent host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// The desired state from now on, and whether it is complete.
    Configure {
        configuration: Arc<Configuration>,
        complete: bool,
    },
    /// Leave in good order (SIGTERM).
    Drain,
    /// What TLS does to connections that are accepted from now on.
    Tls(Option<TlsFault>),
    /// The operator confirms what the brake withholds.
    Confirm,
    /// The services node passed its probe, or did not.
    Probed { alive: bool },
    /// The agent check of this proxy polls, and fetches the same answer as before. A world that leaves such polls out
    /// sends this before it drains the host, and when the proxy stops: a drain waits for every proxy that polled in the
    /// last minute.
    Polled { from: Ipv4Addr },
}

/// A dial, or the stream that came of it.
type Uplink = Option<tandem_core::xmpp::stream::Stream>;

/// An agent, its sessions, and the process around them.
#[derive(Clone, Debug)]
pub struct Host {
    options: Options,
    agent: Agent,
    lines: BTreeMap<ConnId, Line>,
    uplinks: BTreeMap<ConnId, Uplink>,
    /// Streams with stanzas that were not flushed yet.
    unflushed: BTreeSet<ConnId>,
    /// When the last byte came on the sessions that ended at this instant.
    ended: BTreeMap<ConnId, Time>,
    listener: Listener,
    /// Plaintext that came with the end of a handshake, until the session is there.
    early: BTreeMap<ConnId, Vec<u8>>,
    mailbox: Mailbox,
    alarms: Alarms,
    announcements: Announcements,
    listening: bool,
    /// A file to be written.
    file: Option<Vec<u8>>,
    /// The process has nothing left to do.
    over: bool,
    now: Time,
    outputs: VecDeque<Output<Event>>,
}

impl Host {
    /// A program that has just been started: opening its ports is its first output. The seed decides in which order
    /// messages of one instant are delivered, and nothing else.
    pub fn new(seed: u64, mut options: Options) -> Self {
        let configuration = Arc::clone(&options.configuration);
        let mut agent = Agent::new(Arc::clone(&configuration), options.generation);
        if !options.control_nodes.is_empty() {
            agent = agent.with_uplinks(agent::uplinks::Options {
                nodes: options.control_nodes.iter().copied().map(Into::into).collect(),
                certificates: Vec::new(),
                session: configuration.session.clone(),
                stale_hold: options.stale_hold,
                seed,
            });
        }
        if options.pair {
            agent = agent.with_peer();
        }
        // The agent has it: what was wanted at the start is not remembered.
        options.configuration = Arc::new(Configuration {
            session: configuration.session.clone(),
            networks: BTreeMap::new(),
            switches: BTreeMap::new(),
        });
        let mut host = Self {
            agent,
            lines: BTreeMap::new(),
            uplinks: BTreeMap::new(),
            unflushed: BTreeSet::new(),
            ended: BTreeMap::new(),
            listener: Listener::new(options.tls_work),
            early: BTreeMap::new(),
            mailbox: Mailbox::new(seed),
            alarms: Alarms::default(),
            announcements: Announcements::default(),
            listening: false,
            file: None,
            over: false,
            now: Time::ORIGIN,
            outputs: VecDeque::new(),
            options,
        };
        let (health, agent_check) = (host.options.health, host.options.agent_check);
        host.outputs.push_back(Output::Listen { at: health });
        host.outputs.push_back(Output::Listen { at: agent_check });
        let complete = host.options.complete;
        if host.options.control_nodes.is_empty() {
            host.command(Command::Configure {
                configuration,
                complete,
            });
        } else {
            host.read();
            host.wake();
        }
        host.deliver();
        host
    }

    /// The outcome of a health check by the proxy `from`. Changes nothing but the record of polls. A drain may go on
    /// because of it, so ask [`poll_timeout`](Machine::poll_timeout) again.
    ///
    /// The world decides whether the kernel accepts the connection at all.
    pub fn health(&mut self, now: Time, kind: CheckKind, from: Ipv4Addr) -> Outcome {
        if self.over {
            return Outcome::Refused;
        }
        let grade = self.agent.grade();
        match kind {
            CheckKind::Connect => Outcome::Passed,
            CheckKind::Echo if grade.passes() => Outcome::Passed,
            CheckKind::Echo => Outcome::Wrong,
            CheckKind::Tls if !self.listening => Outcome::Refused,
            CheckKind::Tls => self.listener.checked(),
            CheckKind::Agent => {
                let text = self.announcements.fetch(now, from, grade);
                self.check_announced();
                Outcome::AgentCheck(text.into())
            }
        }
    }

    /// Takes the content of the file in which the agent remembers its configuration, when it is to be written.
    pub fn take_file(&mut self) -> Option<Vec<u8>> {
        self.file.take()
    }

    /// A file that cannot be used is ignored. What was read is not kept.
    fn read(&mut self) {
        let file = self.options.disk.as_mut().map(std::mem::take).unwrap_or_default();
        let session = &self.options.configuration.session;
        if let Ok(remembered) = Remembered::decode(&file, &session.agent) {
            let revision = remembered.revision;
            let configuration = Arc::new(remembered.configuration(session.clone()));
            let read = agent::uplinks::Input::Remembered(configuration, revision);
            self.mailbox
                .post(Lane::Environment, Letter::Agent(agent::Input::Uplink(read)));
        }
    }

    /// The agent's machine.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Every session that is not over, by its connection.
    pub fn sessions(&self) -> &BTreeMap<ConnId, Line> {
        &self.lines
    }

    /// When the last byte came on a session that ended at this instant.
    pub fn last_received(&self, conn: ConnId) -> Option<Time> {
        self.ended.get(&conn).copied()
    }

    /// The content of `/status`.
    pub fn status(&self, now: Time) -> AgentStatus {
        self.agent
            .status(self.lines.values().map(|line| line.session.status(now)))
    }

    /// Connections between accept and session; [`HALF_OPEN_MAX`] at most.
    pub fn half_open(&self) -> usize {
        self.listener.half_open()
    }

    fn command(&mut self, command: Command) {
        let input = match command {
            Command::Configure {
                configuration,
                complete,
            } => agent::Input::Configure {
                configuration,
                complete,
            },
            Command::Drain => agent::Input::Drain,
            Command::Confirm => agent::Input::Order {
                id: OrderId(0),
                order: Order::Confirm { switch: None },
            },
            Command::Probed { alive } => agent::Input::Tsn { alive },
            Command::Tls(fault) => {
                self.listener.fault = fault;
                return self.report(Event::HealthChanged);
            }
            Command::Polled { from } => return self.announcements.polled(self.now, from),
        };
        self.mailbox.post(Lane::Environment, Letter::Agent(input));
    }

    fn accepted(&mut self, conn: ConnId, at: SocketAddrV4, from: SocketAddrV4) {
        if at != self.options.listen {
            // The world answers checks without connections, so no other client connects here.
            return self.outputs.push_back(Output::Close { conn });
        }
        let reaction = self.listener.accept(self.now, conn, from);
        self.react(conn, reaction);
    }

    /// Carries on with a handshake.
    fn react(&mut self, conn: ConnId, reaction: Reaction) {
        for bytes in reaction.flights {
            self.outputs.push_back(Output::Send { conn, bytes });
        }
        self.alarms.set(conn, self.listener.deadline(conn));
        match reaction.step {
            Step::Wait => {}
            Step::Open { connected, early } => {
                self.early.insert(conn, early);
                self.mailbox.post(Lane::Arrivals, Letter::Agent(connected));
            }
            Step::Failed(why) => {
                self.on_failed_handshake(&why);
                self.outputs.push_back(Output::Close { conn });
                self.report(Event::HandshakeFailed { conn, why });
            }
        }
    }

    fn on_failed_handshake(&mut self, why: &CloseWhy) {
        if why.reason == CloseReason::HandshakeFailed {
            let failed = Letter::Agent(agent::Input::HandshakeFailed);
            self.mailbox.post(Lane::Arrivals, failed);
        }
    }

    fn bytes(&mut self, conn: ConnId, data: &[u8]) {
        if self.feed_uplink(conn, StreamInput::Bytes(data.to_vec())) {
            return;
        }
        if let Some(reaction) = self.listener.bytes(self.now, conn, data) {
            return self.react(conn, reaction);
        }
        // As much as a driver reads at once, so that a session steps as it does in production.
        for piece in data.chunks(line::READ_BYTES) {
            if self.lines.get(&conn).is_some_and(Line::all_sent) {
                self.feed_session(conn, session::Input::Sent { queued_bytes: 0 });
            }
            self.feed_session(conn, session::Input::Bytes(piece.to_vec()));
        }
    }

    /// The connection is lost, or the other end sends no more.
    fn ended(&mut self, conn: ConnId, lost: bool) {
        let gone = CloseWhy::new(CloseReason::ConnectionLost, "the connection to the control node ended");
        if self.feed_uplink(conn, StreamInput::Closed(gone)) {
            if !lost {
                self.outputs.push_back(Output::Close { conn });
            }
            return;
        }
        if let Some(why) = self.listener.ended(conn) {
            self.on_failed_handshake(&why);
            self.alarms.set(conn, None);
            if !lost {
                self.outputs.push_back(Output::Close { conn });
            }
            return self.report(Event::HandshakeFailed { conn, why });
        }
        if let Some(line) = self.lines.get_mut(&conn) {
            line.lost = lost;
        }
        let why = if lost {
            CloseWhy::new(CloseReason::ConnectionLost, "the connection broke: connection reset")
        } else {
            CloseWhy::new(CloseReason::PeerClosed, "the switch closed the connection")
        };
        self.feed_session(conn, session::Input::Closed(why));
    }

    /// Passes an input to a session, and carries out its outputs.
    fn feed_session(&mut self, conn: ConnId, input: session::Input) {
        if let Some(line) = self.lines.get_mut(&conn) {
            line.handle(self.now, input);
            self.carry_out_session(conn);
        }
    }

    fn carry_out_session(&mut self, conn: ConnId) {
        let Some(line) = self.lines.get_mut(&conn) else {
            return;
        };
        let mut over = false;
        while let Some(output) = line.poll_output() {
            match output {
                session::Output::Send(bytes) => self.outputs.push_back(Output::Send { conn, bytes }),
                session::Output::Close(_) => over = true,
                session::Output::Notify(notice) => {
                    over |= matches!(notice, Notice::Closed(_));
                    let generation = line.session.generation();
                    let notified = agent::Input::Session {
                        conn,
                        generation,
                        notice,
                    };
                    self.mailbox.post(Lane::Notices(conn), Letter::Agent(notified));
                }
                session::Output::Event(event) => self.outputs.push_back(Output::Event(Event::Session(event))),
            }
        }
        self.alarms.set(conn, line.deadline());
        if over {
            if !line.lost {
                self.outputs.push_back(Output::Close { conn });
            }
            let last_received = self.lines.remove(&conn).map(|line| line.last_received);
            self.ended.extend(last_received.map(|at| (conn, at)));
        }
    }

    /// Passes an input to the agent, and carries out its outputs.
    fn feed_agent(&mut self, input: agent::Input) {
        self.agent.handle(self.now, input);
        while let Some(output) = self.agent.poll_output() {
            match output {
                agent::Output::Open { conn, session } => {
                    self.lines.insert(conn, Line::new(self.now, session));
                    self.carry_out_session(conn);
                    let early = self.early.remove(&conn).unwrap_or_default();
                    self.bytes(conn, &early);
                }
                agent::Output::Refuse { conn, why } => {
                    self.early.remove(&conn);
                    self.outputs.push_back(Output::Close { conn });
                    self.report(Event::ConnectionRefused { conn, why });
                }
                agent::Output::Command { conn, command } => {
                    self.mailbox.post(Lane::Session(conn), Letter::Command(conn, command));
                }
                agent::Output::Dial { id, to } => self.dial(id, to),
                agent::Output::SendStanza { id, stanza } => self.send_stanza(id, stanza),
                agent::Output::CloseUplink { id, why } => self.close_uplink(id, why),
                agent::Output::Event(what) => self.report(Event::Uplink(what)),
                agent::Output::SendPeer(word) => {
                    let data = serde_json::to_vec(&word).unwrap_or_default();
                    self.outputs.push_back(Output::Multicast { data });
                }
                // The checks find lasting disagreement by the state of the switches.
                agent::Output::Pair(_) | agent::Output::Ordered { .. } => {}
                agent::Output::Remember {
                    configuration,
                    revision,
                } => {
                    let remembered = self
                        .options
                        .disk
                        .is_some()
                        .then(|| Remembered::new(&configuration, revision));
                    self.file = remembered
                        .map(|remembered| remembered.encode())
                        .or_else(|| self.file.take());
                }
                agent::Output::Graded { grade, .. } => self.graded(grade),
                agent::Output::Drained => self.over = true,
            }
        }
    }

    /// A word of the other agent. It comes as a datagram: what its stream would deliver late is lost here.
    fn peer_report(&mut self, data: &[u8]) {
        if let Ok(word) = serde_json::from_slice(data) {
            self.mailbox
                .post(Lane::Environment, Letter::Agent(agent::Input::Peer(word)));
        }
    }

    fn graded(&mut self, grade: Grade) {
        self.report(Event::Graded(grade));
        // Before that, no agent could claim the switch.
        if grade.may_own() && !self.listening {
            self.listening = true;
            let at = self.options.listen;
            self.outputs.push_back(Output::Listen { at });
        }
        self.report(Event::HealthChanged);
        if grade == Grade::Draining {
            self.announcements.begin(self.now, grade);
            self.check_announced();
        }
    }

    fn check_announced(&mut self) {
        if self.announcements.take_announced() {
            let announced = Letter::Agent(agent::Input::Announced);
            self.mailbox.post(Lane::Environment, announced);
        }
    }

    /// The time of the agent, of sessions or of handshakes has come.
    fn wake(&mut self) {
        let due = |deadline: Deadline<agent::Why>| deadline.at <= self.now;
        if self.agent.poll_timeout().is_some_and(due) {
            self.mailbox.post(Lane::Clock, Letter::Agent(agent::Input::Timeout));
        }
        while let Some(conn) = self.alarms.take_due(self.now) {
            self.mailbox.post(Lane::Session(conn), Letter::Wake(conn));
        }
    }

    /// Delivers what waits, and what comes of it.
    fn deliver(&mut self) {
        while !self.over
            && let Some(letter) = self.mailbox.take()
        {
            match letter {
                Letter::Agent(input) => self.feed_agent(input),
                Letter::Command(conn, command) => self.feed_session(conn, session::Input::Command(command)),
                Letter::Wake(conn) => match self.listener.wake(self.now, conn) {
                    Some(reaction) => self.react(conn, reaction),
                    None if self.is_dialling(conn) => self.dial_overdue(conn),
                    None if self.feed_uplink(conn, StreamInput::Timeout) => {}
                    None => self.feed_session(conn, session::Input::Timeout),
                },
            }
            if self.mailbox.is_empty() {
                self.flush_uplinks();
            }
            if self.over {
                self.report(Event::Drained);
            }
        }
    }

    fn report(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

impl Machine for Host {
    type Input = Input<Command>;
    type Output = Output<Event>;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Input<Command>) {
        debug_assert!(self.outputs.is_empty(), "drain the outputs first");
        if now > self.now {
            self.ended.clear();
        }
        self.now = now;
        if self.over {
            return;
        }
        match input {
            Input::Accepted { conn, at, from } => self.accepted(conn, at, from),
            Input::Bytes { conn, data } => self.bytes(conn, &data),
            Input::Sent { conn, queued_bytes } if self.uplinks.contains_key(&conn) => {
                self.uplink_sent(conn, queued_bytes);
            }
            Input::Sent { conn, queued_bytes } => self.feed_session(conn, session::Input::Sent { queued_bytes }),
            Input::Connected { conn } => self.dialled(conn),
            Input::DialFailed { conn, why } => self.dial_failed(conn, why),
            Input::Finished { conn } => self.ended(conn, false),
            Input::Lost { conn } => self.ended(conn, true),
            Input::Timeout => self.wake(),
            Input::Command(command) => self.command(command),
            Input::Datagram { data, .. } => self.peer_report(&data),
            // An agent runs no health checks.
            Input::Checked { .. } => {}
        }
        self.deliver();
    }

    fn poll_output(&mut self) -> Option<Output<Event>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        if self.over {
            return None;
        }
        let mail = (!self.mailbox.is_empty()).then_some(Deadline {
            at: self.now,
            why: Why::Mail,
        });
        let agent = self.agent.poll_timeout().map(|deadline| Deadline {
            at: deadline.at,
            why: Why::Agent(deadline.why),
        });
        Deadline::earliest([mail, agent, self.alarms.first()])
    }
}
