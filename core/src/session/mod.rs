//! One session with one switch.
//!
//! A session is composed of parts. Each is a type that only its own methods change; the replica may be read by all:
//!
//! | part | keeps |
//! |---|---|
//! | `wire` | framing, the backlog, requests and deadlines, the keepalive, the queue of outputs |
//! | `lease` | the lock; the only maker of a permit to write |
//! | `replica` | what the switch's database holds |
//! | `desired` | what configuration and routes want of the switch |
//! | `reconciler` | what differs, what is in flight, what waits and on what |
//! | `exporter` | the routes that the session exports |
//! | `progress` | how far reading and the takeover are |
//! | `withdrawals` | remote MACs without a route, and whether their deletion is withheld |
//! | `stats` | counts and times: shown, never asked |
//!
//! Code that joins parts is a method of [`Session`], short, and in one of five files: `steps` has the steps that follow
//! every input, in their order; `receive` handles messages of the switch; `mark` marks objects that may differ after a
//! change; `update_exports` exports and withdraws routes; `write` turns differences into transactions. The operations for
//! one object come from a function of `plan`, which changes nothing.

mod alarms;
mod brake;
mod desired;
mod exporter;
mod faults;
mod found;
mod io;
mod lease;
mod mark;
mod notice;
mod plan;
mod progress;
mod receive;
mod recent;
mod reconciler;
mod replica;
mod stats;
mod status;
mod steps;
mod surplus;
mod tunnel_ends;
mod update_exports;
mod wire;
mod withdrawals;
mod write;
mod write_faults;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::author::Provenance;
use crate::configuration::Configuration;
use crate::event::{Event, What};
use crate::ids::{ConnId, Generation, SwitchName, Uuid};
use crate::machine::{CloseReason, CloseWhy, Machine, Peer};
use crate::measures::Measures;
use crate::status::{Ownership, Phase};
use crate::switch_identity::SwitchRow;
use crate::time::{Deadline, Time};
use desired::Desired;
use exporter::Exporter;
use faults::Faults;
pub use io::{Command, Input, Opening, Output, Why};
use lease::Lease;
pub use notice::Notice;
use progress::Progress;
use reconciler::Reconciler;
use replica::Replica;
use stats::{Milestone, Stats};
use surplus::{Allowed, Withheld};
use tunnel_ends::TunnelEnds;
use wire::Wire;
use withdrawals::Withdrawals;

/// Bytes of a session without a switch after which its agent learns of them.
const RECEIVED_STEP_BYTES: usize = 64 << 10;

/// A session with a switch.
#[derive(Clone, Debug)]
pub struct Session {
    id: SessionId,
    wire: Wire,
    lease: Lease,
    replica: Replica,
    desired: Desired,
    reconciler: Reconciler,
    exporter: Exporter,
    progress: Progress,
    stats: Stats,
    /// The switches as the agent was notified of them last.
    rows: BTreeMap<SwitchName, SwitchRow>,
    tunnel_ends: TunnelEnds,
    faults: Faults,
    /// For each network whose VNI a foreign logical switch has, the row of that one, as reported last.
    vni_taken: BTreeMap<Uuid, Uuid>,
    /// Why the switch refuses the lock, as reported last.
    lock_refused: Option<String>,
    /// Why the agent has barred the session, for the operator.
    barred: Option<String>,
    /// Who changed the configuration last, since the session began.
    change: Option<Provenance>,
    withheld: Withheld,
    /// Deletions for configurations that are not withheld.
    allowed: Allowed,
    /// A configuration came since the brake was applied last.
    is_reconfigured: bool,
    /// Objects that waited for an operator when nothing was due last.
    waiting_for_operator: usize,
    withdrawals: Withdrawals,
    /// The time of the last input: work that is left is due since then.
    now: Time,
}

/// Which session it is. Nothing of it changes.
#[derive(Clone, Debug)]
struct SessionId {
    conn: ConnId,
    generation: Generation,
    peer: Peer,
    accepted_at: Time,
    opened_at: Time,
}

impl Session {
    /// Begins a session on a connection that is ready for bytes: the first requests are its first outputs.
    pub fn new(now: Time, opening: Opening) -> Self {
        let options = &opening.configuration.session;
        let mut session = Self {
            wire: Wire::new(now, options),
            lease: Lease::new(options, opening.fit),
            replica: Replica::new(&options.logical_switch_prefix),
            exporter: Exporter::new(options),
            reconciler: Reconciler::default(),
            progress: Progress::new(),
            change: None,
            withheld: Withheld::default(),
            allowed: Allowed::default(),
            is_reconfigured: false,
            waiting_for_operator: 0,
            withdrawals: Withdrawals::default(),
            stats: Stats::default(),
            rows: BTreeMap::new(),
            tunnel_ends: TunnelEnds::default(),
            faults: Faults::default(),
            vni_taken: BTreeMap::new(),
            lock_refused: None,
            barred: None,
            id: SessionId {
                conn: opening.conn,
                generation: opening.generation,
                peer: opening.peer,
                accepted_at: opening.accepted_at,
                opened_at: now,
            },
            desired: Desired::new(opening.configuration, opening.complete),
            now,
        };
        session.open(now);
        session
    }

    /// Its connection.
    pub fn conn(&self) -> ConnId {
        self.id.conn
    }

    /// Which of this agent's sessions it is.
    pub fn generation(&self) -> Generation {
        self.id.generation
    }

    /// The replica, and the progress of reading it.
    pub fn phase(&self) -> Phase {
        self.progress.phase()
    }

    /// Whether it may write.
    pub fn ownership(&self) -> Ownership {
        self.lease.ownership()
    }

    /// The configured switches at the other end.
    pub fn served(&self) -> &BTreeSet<SwitchName> {
        self.desired.served()
    }

    /// Routes that are exported.
    pub fn exported(&self) -> usize {
        self.exporter.count()
    }

    /// Transactions on the wire.
    pub fn in_flight(&self) -> usize {
        self.wire.writes()
    }

    /// How long things took since this was asked last.
    pub fn take_measures(&mut self) -> Measures {
        self.stats.take_measures()
    }

    #[cfg(feature = "mutants")]
    fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.desired.options().mutant
    }

    /// The first flight: everything that can be asked before the first answer.
    fn open(&mut self, now: Time) {
        self.stats.reach(Milestone::Opened, now);
        self.stats.secured(now.since(self.id.accepted_at));
        let from = self.id.peer.origin();
        self.report(What::Opened { from });
        self.wire.ask_schema(now);
        self.wire.ask_small(now);
        // Before the lock: the answer decides whether the lock is worth anything.
        self.wire.ask_server(now);
        self.ask_lock(now);
    }

    fn on_command(&mut self, now: Time, command: Command) {
        match command {
            Command::Changed(change) => self.change = Some(change),
            Command::Configure {
                configuration,
                complete,
            } => self.configure(configuration, complete),
            Command::Import { network, macs } => self.import(network, macs),
            Command::RoutesComplete { network, complete } => self.set_routes_complete(network, complete),
            Command::Fit => {
                self.lease.become_fit();
                self.ask_lock(now);
            }
            Command::Clear => {
                self.barred = None;
                self.lease.clear();
            }
            Command::Bar(why) => self.bar(why),
            Command::Probe(number) => self.wire.probe(now, number),
            Command::Confirm => self.confirm(),
            Command::Retry => self.reconciler.retry_all(),
            Command::Drain => {
                self.lease.stop();
                self.report(What::Draining);
            }
            Command::HandOver => {
                self.lease.stop();
                self.report(What::HandingOver);
            }
            Command::Close(why) => self.close(why),
        }
    }

    /// Another switch of this name is programmed. A session that writes already ends: the agent clears no newer one.
    fn bar(&mut self, why: String) {
        if self.lease.permit().is_some() {
            return self.close(CloseWhy::new(CloseReason::Duplicate, why));
        }
        self.lease.bar();
        self.barred = Some(why);
    }

    /// Until the session has a switch, its agent learns how much was received.
    fn on_bytes(&mut self, now: Time, bytes: &[u8]) {
        let before = self.wire.received_bytes();
        if let Err(why) = self.wire.on_bytes(now, bytes) {
            return self.close(why);
        }
        let bytes = self.wire.received_bytes();
        if self.served().is_empty() && before / RECEIVED_STEP_BYTES != bytes / RECEIVED_STEP_BYTES {
            self.wire.notify(Notice::Received { bytes });
        }
    }

    fn configure(&mut self, configuration: Arc<Configuration>, complete: bool) {
        // The whole session was built on these: which lock it asks for, and which rows are ours.
        let (old, new) = (self.desired.options(), &configuration.session);
        if old.lock != new.lock || old.logical_switch_prefix != new.logical_switch_prefix {
            let what = "the lock or the prefix of logical switches changed";
            return self.close(CloseWhy::new(CloseReason::Reconfigured, what));
        }
        self.wire.set_keepalive(new.keepalive);
        if old.brake.is_none() && new.brake.is_some() {
            // Without a brake, nothing was counted.
            self.reconciler.mark_all_due();
        }
        // Nothing is counted again for the one that is in force.
        if self.desired.is_another(&configuration, complete) {
            self.narrow_confirmation();
        }
        self.desired.configure(configuration, complete);
        self.reconciler.retry_all();
    }

    /// Time has passed: is the line alive, are answers overdue, has the switch named itself?
    fn on_timeout(&mut self, now: Time) {
        match self.wire.check(now) {
            Ok(true) => self.report(What::Echoed),
            Ok(false) => {}
            Err(why) => return self.close(why),
        }
        if self.asks_lock_again().is_some_and(|due| due.at <= now) {
            self.ask_lock(now);
        }
        self.check_nameless(now);
    }

    /// Closes the connection, and ends.
    fn close(&mut self, why: CloseWhy) {
        if self.end(&why) {
            self.wire.close(why);
        }
    }

    /// Ends: retracts and reports it, once. Answers whether this was the first time.
    fn end(&mut self, why: &CloseWhy) -> bool {
        if self.progress.is_closing() {
            return false;
        }
        self.lease.stop();
        self.progress.close();
        let routes = self.exporter.retract();
        if routes > 0 {
            self.report(What::Retracted { routes });
        }
        self.report(What::Closed { why: why.clone() });
        self.wire.notify(Notice::Closed(why.reason));
        true
    }

    /// Reports something for logs, checks and metrics.
    fn report(&mut self, what: What) {
        self.stats.count(&what);
        let (conn, generation) = (self.id.conn, self.id.generation);
        self.wire.report(Event { conn, generation, what });
    }
}

impl Machine for Session {
    type Input = Input;
    type Output = Output;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Input) {
        debug_assert!(self.wire.is_drained(), "drain the outputs first");
        self.now = now;
        if self.progress.is_closing() {
            return;
        }
        match input {
            Input::Bytes(bytes) => self.on_bytes(now, &bytes),
            Input::Sent { queued_bytes } => self.wire.on_sent(queued_bytes),
            Input::Closed(why) => drop(self.end(&why)),
            Input::Timeout => self.on_timeout(now),
            Input::Command(command) => self.on_command(now, command),
        }
        self.advance(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.wire.poll_output()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        if self.progress.is_closing() {
            return None;
        }
        let may_write = self.lease.permit().is_some();
        Deadline::earliest([
            self.more_work(),
            self.wire.deadline(),
            self.reconciler.retry_deadline().filter(|_| may_write),
            self.reconciler.grace_deadline(),
            self.brake_deadline(),
            self.nameless_deadline(),
            self.asks_lock_again(),
        ])
    }
}
