//! One session with one switch: who is there, may we write, what is found, what is wanted, and what differs.
//!
//! A session stands on two axes. What we know of the switch only grows; whether we may write is decided by
//! the lock in the switch's own database:
//!
//! ```text
//! phase:      Opened -> Identifying -> Reading -> Synced -> Closing
//! ownership:  Waiting -> Held -> Lost            (or Lockless)
//! ```
//!
//! Bytes are [`receive`]d and recorded in the [`replica`]; [`opening`] asks the questions and [`ownership`]
//! for the lock; the [`audit`] compares what is recorded with what is [`wanted`], and marks what differs in
//! its [`lanes`] lane; [`program`] writes it. What the switch learned leaves by [`export`].

pub mod audit;
pub mod export;
pub mod keepalive;
pub mod lanes;
mod notice;
pub mod opening;
pub mod ownership;
pub mod program;
pub mod receive;
pub mod replica;
pub mod requests;
pub mod routes;
pub mod status;
pub mod touch;
pub mod wanted;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::configuration::Configuration;
use crate::dirty_set::DirtySet;
use crate::event::{Event, What};
use crate::ids::{ConnId, Generation, Mac, SwitchName, Uuid, Vni};
use crate::machine::{CloseReason, CloseWhy, Fault, Machine, Peer};
use crate::ovsdb::rpc;
use crate::ovsdb::schema::Schema;
use crate::time::{Deadline, Time};
use audit::Walk;
use export::Exports;
use keepalive::{Keepalive, Verdict};
use lanes::{Cause, Lanes, Reason};
pub use notice::Notice;
use ownership::Lock;
use receive::Receiver;
use replica::Replica;
use requests::Requests;
use wanted::Wanted;

/// What may arrive at a session.
#[derive(Clone, Debug)]
pub enum Input {
    /// Bytes from the switch, in order.
    Bytes(Vec<u8>),
    /// The driver has so many bytes left that the network did not take yet.
    Sent { queued_bytes: usize },
    /// The connection is gone.
    Closed(CloseWhy),
    /// The time that `poll_timeout` named has come.
    Timeout,
    /// The agent says something.
    Command(Command),
}

/// What an agent may tell its session.
#[derive(Clone, Debug)]
pub enum Command {
    /// What is wanted from now on, and whether everything that could want something is known.
    Configure {
        configuration: Arc<Configuration>,
        complete: bool,
    },
    /// Where MACs of a network live, as control nodes tell it; `None` is nowhere.
    Import {
        network: Uuid,
        macs: Vec<(Mac, Option<Ipv4Addr>)>,
    },
    /// Whether control nodes have told everything about a network: what nobody wants may go.
    Settle { network: Uuid, settled: bool },
    /// This agent is fit to own a switch.
    Fit,
    /// Show that the line is alive: somebody else claims to be this switch.
    Prove,
    /// Settle, let go of the lock, and close.
    Drain,
    /// Close now.
    Close(CloseWhy),
}

/// What a session wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send these bytes to the switch.
    Send(Vec<u8>),
    /// Close the connection. Nothing follows.
    Close(CloseWhy),
    /// Something that the agent acts on.
    Notify(Notice),
    /// Something happened: for logs, checks and metrics. Nothing is decided by it.
    Event(Event),
}

/// Why a session wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// It stopped in the middle, to let others have their turn.
    MoreWork,
    /// T of silence: an echo is due.
    KeepaliveDue,
    /// 2T of silence.
    KeepaliveOverdue,
    /// A doubted line did not show that it is alive.
    ProofOverdue,
    /// The answer to a request is overdue.
    AnswerOverdue,
    /// An object that failed is to be tried again.
    RetryDue,
    /// The switch had its time for taking its own MACs back.
    LocalMacsDue,
    /// A connection without a name must let go of the lock.
    NamelessLock,
    /// A connection without a name was there long enough.
    Nameless,
}

/// What we know of the switch.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// Nothing yet.
    Opened,
    /// Its schema.
    Identifying,
    /// Which switch it is, and its small tables.
    Reading,
    /// Everything, compared with what is wanted.
    Synced,
    /// The end.
    Closing,
}

/// Whether we may write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ownership {
    /// Not yet.
    Waiting,
    /// The lock is ours.
    Held,
    /// Somebody took it.
    Lost,
    /// The switch knows no locks.
    Lockless,
}

/// What a session is born with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The connection.
    pub conn: ConnId,
    /// Higher than that of every earlier session of this agent.
    pub generation: Generation,
    /// Who is at the other end.
    pub peer: Peer,
    /// When the connection was accepted: before the TLS handshake.
    pub accepted_at: Time,
    /// What is wanted, and whether it is all that could be.
    pub configuration: Arc<Configuration>,
    /// Everything that could want something is known.
    pub complete: bool,
    /// This agent is fit to own a switch.
    pub fit: bool,
}

/// A session with a switch.
#[derive(Clone, Debug)]
pub struct Session {
    conn: ConnId,
    generation: Generation,
    peer: Peer,
    accepted_at: Time,
    opened_at: Time,
    now: Time,
    phase: Phase,
    lock: Lock,
    lock_name: String,
    waiting_reported: bool,
    /// Whether we may write to a server without locks, as it was said last.
    lockless_reported: Option<bool>,
    fit: bool,
    draining: bool,
    schema: Option<Schema>,
    small_read: bool,
    unicast_asked: bool,
    switches_changed: bool,
    /// The names in a database that names no switch of ours.
    named: Option<Vec<SwitchName>>,
    receiver: Receiver,
    keepalive: Keepalive,
    requests: Requests,
    replica: Replica,
    wanted: Wanted,
    walk: Walk,
    lanes: Lanes,
    /// Tunnel ends for which a transaction on the wire creates a locator.
    creating: BTreeSet<Ipv4Addr>,
    /// VNIs that a transaction on the wire gives to a logical switch.
    numbering: BTreeSet<Vni>,
    /// Networks whose logical switch is to go, and until when the switch may take its own MACs back.
    leaving: BTreeMap<Uuid, Time>,
    exports: Exports,
    /// Learned MACs whose locator has not arrived yet.
    unplaced: DirtySet<(Uuid, Mac)>,
    manager_done: bool,
    takeover: status::Steps,
    rows_written: usize,
    broadcast_rows_written: usize,
    send_queue_bytes: usize,
    /// Bytes of answers to the switch's own requests that may still be in that queue.
    answers_bytes: usize,
    outputs: VecDeque<Output>,
}

impl Session {
    /// Begins a session on a connection that is ready for bytes: the first requests are its first outputs.
    pub fn new(now: Time, opening: Opening) -> Self {
        let options = opening.configuration.session.clone();
        let mut session = Self {
            conn: opening.conn,
            generation: opening.generation,
            peer: opening.peer,
            accepted_at: opening.accepted_at,
            opened_at: now,
            now,
            phase: Phase::Opened,
            lock: Lock::No,
            lock_name: options.lock,
            waiting_reported: false,
            lockless_reported: None,
            fit: opening.fit,
            draining: false,
            schema: None,
            small_read: false,
            unicast_asked: false,
            switches_changed: true,
            named: None,
            receiver: Receiver::default(),
            keepalive: Keepalive::new(now, options.keepalive),
            requests: Requests::default(),
            replica: Replica::new(&options.logical_switch_prefix),
            wanted: Wanted::new(opening.configuration, opening.complete),
            walk: Walk::default(),
            lanes: Lanes::default(),
            creating: BTreeSet::new(),
            numbering: BTreeSet::new(),
            leaving: BTreeMap::new(),
            exports: Exports::default(),
            unplaced: DirtySet::default(),
            manager_done: false,
            takeover: status::Steps {
                opened: Some(now),
                ..status::Steps::default()
            },
            rows_written: 0,
            broadcast_rows_written: 0,
            send_queue_bytes: 0,
            answers_bytes: 0,
            outputs: VecDeque::new(),
        };
        session.open(now);
        session
    }

    /// Its connection.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Which of this agent's sessions it is.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// What we know of the switch.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The configured switches at the other end.
    pub fn served(&self) -> &BTreeSet<SwitchName> {
        self.wanted.served()
    }

    /// Routes that are exported.
    pub fn exported(&self) -> usize {
        self.exports.count()
    }

    #[cfg(feature = "mutants")]
    fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.wanted.options().mutant
    }

    fn is_closing(&self) -> bool {
        self.phase == Phase::Closing
    }

    fn command(&mut self, now: Time, command: Command) {
        match command {
            Command::Configure {
                configuration,
                complete,
            } => {
                if self.needs_fresh_session(&configuration) {
                    let what = "the lock or the prefix of logical switches is another one now";
                    return self.close(now, CloseWhy::orderly(what));
                }
                self.keepalive.set_interval(configuration.session.keepalive);
                self.switches_changed |= self.wanted.configure(configuration, complete);
                self.lanes.forgive();
            }
            Command::Import { network, macs } => self.imported(network, macs),
            Command::Settle { network, settled } => self.settle(network, settled),
            Command::Fit => {
                self.fit = true;
                self.ask_lock(now);
            }
            Command::Prove => {
                self.keepalive.prove(now);
                self.outputs.push_back(Output::Send(rpc::ECHO.to_vec()));
            }
            Command::Drain => {
                self.draining = true;
                self.event(What::Draining);
            }
            Command::Close(why) => self.close(now, why),
        }
    }

    /// Whether something changed on which the whole session was built: which lock it holds, and which rows are ours.
    fn needs_fresh_session(&self, configuration: &Configuration) -> bool {
        let (old, new) = (self.wanted.options(), &configuration.session);
        old.lock != new.lock || old.logical_switch_prefix != new.logical_switch_prefix
    }

    /// Time has passed: is the line alive, are answers overdue, is somebody's patience at its end?
    fn timeout(&mut self, now: Time) {
        match self.keepalive.check(now, self.requests.dump_awaited()) {
            Verdict::Wait => {}
            Verdict::Echo => {
                self.event(What::Echoed);
                self.outputs.push_back(Output::Send(rpc::ECHO.to_vec()));
            }
            Verdict::Dead(_) if planted!(self, SilentLineStays) => self.keepalive.received(now),
            Verdict::Dead(silence) => {
                let what = format!("nothing heard for {:.1} s", silence.as_secs_f64());
                return self.close(now, CloseWhy::new(CloseReason::Silent, what));
            }
        }
        if let Some(asked) = self.requests.overdue(now) {
            let what = format!("no answer to {}", asked.name());
            return self.close(now, CloseWhy::fault(Fault::PeerMisbehaved, what));
        }
        self.check_nameless(now);
    }

    /// From bytes to records, from records to differences, from differences to transactions.
    fn advance(&mut self, now: Time) {
        let steps: [fn(&mut Self, Time); 11] = [
            Self::work,
            Self::identify,
            Self::check_ownership,
            |session, _| session.report_waiting(),
            Self::report_lockless,
            |session, _| session.audit_step(),
            Self::check_leaving,
            Self::program,
            Self::ask_unicast,
            Self::conclude_audit,
            Self::drain_on,
        ];
        for step in steps {
            // Each of them may find a reason to close, and nothing is said after that.
            if self.is_closing() {
                return;
            }
            step(self, now);
        }
    }

    fn close(&mut self, _now: Time, why: CloseWhy) {
        if self.end(&why) {
            self.outputs.push_back(Output::Close(why));
        }
    }

    /// Retracts and says so, once. Answers whether this was the first time.
    fn end(&mut self, why: &CloseWhy) -> bool {
        if self.is_closing() {
            return false;
        }
        self.retract();
        self.event(What::Closed { why: why.clone() });
        self.notify(Notice::Closed);
        self.phase = Phase::Closing;
        true
    }

    /// A switch that did not take its own MACs back in time loses them with the logical switch.
    fn check_leaving(&mut self, now: Time) {
        if self.leaving.values().any(|until| *until <= now) {
            self.lanes.release(|reason| *reason == Reason::LocalMacs);
        }
    }

    fn leaving_deadline(&self) -> Option<Deadline<Why>> {
        let awaited = self.lanes.awaits(Reason::LocalMacs);
        let ahead = self.leaving.values().copied().filter(|until| *until > self.now);
        let at = ahead.min().filter(|_| awaited)?;
        Some(Deadline {
            at,
            why: Why::LocalMacsDue,
        })
    }

    fn more_work(&self) -> Option<Deadline<Why>> {
        let to_audit = self.tables_read() && !self.walk.is_done();
        (self.receiver.has_work() || to_audit || self.has_to_program()).then_some(Deadline {
            at: self.now,
            why: Why::MoreWork,
        })
    }
}

impl Machine for Session {
    type Input = Input;
    type Output = Output;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Input) {
        debug_assert!(self.outputs.is_empty(), "drain the outputs first");
        self.now = now;
        if self.is_closing() {
            return;
        }
        match input {
            Input::Bytes(bytes) => self.received(now, &bytes),
            Input::Sent { queued_bytes } => {
                self.send_queue_bytes = queued_bytes;
                self.answers_bytes = self.answers_bytes.min(queued_bytes);
            }
            Input::Closed(why) => {
                self.end(&why);
            }
            Input::Timeout => self.timeout(now),
            Input::Command(command) => self.command(now, command),
        }
        if !self.is_closing() {
            self.advance(now);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        if self.is_closing() {
            return None;
        }
        Deadline::earliest([
            self.more_work(),
            self.keepalive.deadline(self.requests.dump_awaited()),
            self.requests.deadline(),
            self.lanes.deadline().filter(|_| self.may_write()),
            self.leaving_deadline(),
            self.nameless_deadline(),
        ])
    }
}
