//! The agent: any number of sessions with any number of switches, which know nothing of each other.
//!
//! The agent opens sessions, and the driver runs them, on whichever core it likes: between an agent and its sessions there
//! are only commands and notices. Each part has a file. `sessions` knows which switches each session serves, `exports` what
//! all of them export, `imports` what each has yet to be sent. `uplinks` is everything between the agent and its control
//! nodes. `roles` is what the agent is to each switch, `grade` how fit it is, `pair` what it knows of the peer agent,
//! `drain` how it goes. This file joins the parts; the joints of routes are in `routes`, those of the pair in `peer`.

mod adverts;
mod clearance;
mod confirmations;
mod drain;
mod event;
mod exports;
mod fabric;
mod grade;
mod graph;
mod handshakes;
mod hold;
mod imports;
mod leave;
mod messages;
mod order;
mod orders;
mod pair;
mod peer;
mod probe;
mod roles;
mod routes;
mod sessions;
pub mod uplinks;

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::author::{Author, Provenance};
use crate::bounds::{DUPLICATE_PAUSE, NAMELESS_CONNECTIONS, SESSIONS_PER_SWITCH, UNIDENTIFIED_BYTES};
use crate::close::CloseCounts;
use crate::configuration::Configuration;
use crate::health::Grade;
use crate::ids::{ConnId, Generation, SwitchName, Uuid};
use crate::machine::{CloseReason, CloseWhy, Machine, Peer};
use crate::session::{Command, Notice, Opening, Session};
use crate::status::{AgentStatus, SessionStatus, SwitchStatus, UnidentifiedStatus};
use crate::switch_identity::SwitchRow;
use crate::time::{Deadline, Time};
pub use adverts::Advert;
use confirmations::Confirmations;
use drain::{Drain, Step};
pub use event::What;
pub use exports::Exports;
pub use fabric::{Fabric, ReceivedPath};
use grade::Grading;
pub(crate) use graph::Graph as ReceivedGraph;
pub use hold::Served;
use imports::Imports;
use leave::Leave;
pub use messages::{Input, Output, Why};
pub use order::{Answer, Order, OrderId};
use pair::Pair;
pub use pair::PeerReport;
pub use probe::Streak;
use roles::Roles;
pub use roles::{Role, SwitchRole};
use sessions::{SessionRecord, Sessions};
use uplinks::{Change, Uplinks};

/// An agent.
#[derive(Clone, Debug)]
pub struct Agent {
    configuration: Arc<Configuration>,
    /// The configuration is complete: what it does not desire may be deleted.
    complete: bool,
    sessions: Sessions,
    exports: Exports,
    imports: Imports,
    /// `None`: the configuration comes from a file alone, and there are no routes.
    uplinks: Option<Uplinks>,
    roles: Roles,
    grading: Grading,
    /// `None`: this agent has no peer agent.
    pair: Option<Pair>,
    drain: Drain,
    /// The rows of two switches of one name, the programmed one first, and when that was reported last.
    duplicates: BTreeMap<SwitchName, (Time, [Uuid; 2])>,
    /// Switches that leave by order.
    leave: Leave,
    /// Orders to delete what is withheld, which sessions have yet to answer.
    confirmations: Confirmations,
    /// The sessions that ended.
    closed: CloseCounts,
    /// The service of the switches, as last sent to the uplinks.
    served: BTreeMap<Ipv4Addr, Served>,
    outputs: VecDeque<Output>,
}

impl Agent {
    /// An agent that was never configured: it takes connections, and claims nothing.
    ///
    /// Generations begin above `generation`, so that those of an earlier life of this agent stay older.
    pub fn new(configuration: Arc<Configuration>, generation: Generation) -> Self {
        let sessions = Sessions::new(generation);
        let mut roles = Roles::new();
        roles.configure(&configuration, &sessions);
        Self {
            #[cfg(feature = "mutants")]
            exports: Exports::with_mutant(&configuration.session),
            #[cfg(not(feature = "mutants"))]
            exports: Exports::default(),
            configuration,
            complete: false,
            sessions,
            imports: Imports::default(),
            uplinks: None,
            roles,
            grading: Grading::new(),
            pair: None,
            drain: Drain::default(),
            duplicates: BTreeMap::new(),
            leave: Leave::default(),
            confirmations: Confirmations::default(),
            closed: CloseCounts::default(),
            served: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// An agent whose configuration and routes come from control nodes. Nothing else may configure it.
    #[must_use]
    pub fn with_uplinks(mut self, options: uplinks::Options) -> Self {
        self.uplinks = Some(Uplinks::new(options));
        self
    }

    /// An agent that exchanges reports with the other agent of its pair.
    #[must_use]
    pub fn with_peer(mut self) -> Self {
        self.pair = Some(Pair::default());
        self
    }

    /// Everything between it and its control nodes.
    pub fn uplinks(&self) -> Option<&Uplinks> {
        self.uplinks.as_ref()
    }

    /// Which session of this agent runs on a connection.
    pub fn generation(&self, conn: ConnId) -> Option<Generation> {
        self.sessions.get(conn).map(SessionRecord::generation)
    }

    /// The configuration in force.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The same, to keep.
    pub fn shared_configuration(&self) -> &Arc<Configuration> {
        &self.configuration
    }

    /// The grade on the health port.
    pub fn grade(&self) -> Grade {
        self.grading.grade()
    }

    /// Until when a new connection has to wait. One that does not is accepted all the same, instead of an older one.
    pub fn full_until(&self, now: Time) -> Option<Time> {
        self.sessions.full_until(now)
    }

    /// The routes that all sessions together export.
    pub fn exports(&self) -> &Exports {
        &self.exports
    }

    /// The status for operators; the driver brings the part of each session.
    pub fn status(&self, sessions: impl IntoIterator<Item = SessionStatus>) -> AgentStatus {
        let uplinks = self.uplinks.as_ref();
        AgentStatus {
            agent: self.configuration.session.agent.clone(),
            tsn: self.configuration.session.tsn,
            tsn_alive: self.grading.tsn_alive(),
            grade: self.grade(),
            control_nodes: uplinks.map(Uplinks::status).unwrap_or_default(),
            revision: uplinks.and_then(Uplinks::revision),
            remembered: uplinks.is_some_and(Uplinks::is_remembered),
            peer: self.pair.as_ref().map(Pair::status),
            switches: self.switches_status(sessions),
            unidentified: self.unidentified_status(),
            closed: self.closed.clone(),
            closed_uplinks: uplinks.map(|it| it.closed().clone()).unwrap_or_default(),
        }
    }

    fn switches_status(&self, sessions: impl IntoIterator<Item = SessionStatus>) -> BTreeMap<SwitchName, SwitchStatus> {
        let configured = self.roles.by_switch().iter().map(|(name, role)| {
            let status = SwitchStatus {
                fingerprint: role.configuration.clone(),
                at_peer: self.pair.as_ref().is_some_and(|pair| pair.owns(name)),
                alarms: self.pair.as_ref().map(|pair| pair.alarms(name)).unwrap_or_default(),
                ..SwitchStatus::default()
            };
            (name.clone(), status)
        });
        let mut switches: BTreeMap<SwitchName, SwitchStatus> = configured.collect();
        for status in sessions {
            let Some(known) = self.sessions.get(status.conn) else {
                continue;
            };
            for name in known.served() {
                let switch = switches.entry(name.clone()).or_default();
                switch.sessions.push(status.clone());
                switch.exported += self.exports.of_generation(known.generation());
            }
        }
        switches
    }

    fn unidentified_status(&self) -> Vec<UnidentifiedStatus> {
        let nameless = self.sessions.iter().filter(|(_, known)| known.served().is_empty());
        let status = nameless.map(|(conn, known)| UnidentifiedStatus {
            conn,
            from: known.peer().origin(),
            named: known.named().to_vec(),
        });
        status.collect()
    }

    #[cfg(feature = "mutants")]
    fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.configuration.session.mutant
    }

    fn on_connected(&mut self, now: Time, conn: ConnId, peer: Peer, accepted_at: Time) {
        if self.grade() == Grade::Draining {
            let why = CloseWhy::new(CloseReason::Drained, "the agent is draining");
            self.closed.count(why.reason);
            return self.outputs.push_back(Output::Refuse { conn, why });
        }
        if let Some(conn) = self.sessions.evict() {
            let what = format!("it names no configured switch, and neither do {NAMELESS_CONNECTIONS} others");
            self.command(conn, Command::Close(CloseWhy::new(CloseReason::TooMany, what)));
        }
        self.grading.on_handshake();
        let generation = self.sessions.open(now, conn, peer.clone());
        self.imports.on_opened(conn);
        let opening = Opening {
            conn,
            generation,
            peer,
            accepted_at,
            configuration: Arc::clone(&self.configuration),
            complete: self.complete,
            fit: self.grade().may_own(),
        };
        let session = Box::new(Session::new(now, opening));
        self.outputs.push_back(Output::Open { conn, session });
    }

    /// What connections without a switch have sent together is bounded.
    fn on_received(&mut self, conn: ConnId, bytes: usize) {
        if let Some((conn, bytes)) = self.sessions.on_received(conn, bytes) {
            let what = format!(
                "connections that name no configured switch sent more than {UNIDENTIFIED_BYTES} bytes, and this one most: {bytes}"
            );
            self.command(conn, Command::Close(CloseWhy::new(CloseReason::BoundExceeded, what)));
        }
    }

    /// A session notified us. A late notice of an old session touches nothing but what that session exported.
    fn on_notice(&mut self, now: Time, conn: ConnId, generation: Generation, notice: Notice) {
        match notice {
            Notice::Identified { switches } => self.on_identified(now, conn, switches),
            Notice::Unidentified { named } => self.sessions.on_unidentified(conn, named),
            Notice::Received { bytes } => self.on_received(conn, bytes),
            Notice::Granted => self.on_granted(now, conn),
            Notice::MayWrite { locked } => self.on_may_write(conn, locked),
            Notice::Alive { probe } => self.on_alive(now, conn, probe),
            Notice::Read => self.on_read(conn, generation),
            Notice::Audited => {
                self.sessions.on_audited(conn);
                self.update_roles(conn);
            }
            Notice::Confirmed { deletions, networks } => self.on_confirmed(conn, deletions, &networks),
            Notice::Exported { route, just_learned } => {
                let before = self.exports.place_of(generation, route.network, route.mac);
                self.exports.on_exported(generation, route);
                let audited = self.sessions.get(conn).is_some_and(SessionRecord::is_audited);
                let change = match before {
                    _ if !audited => Change::Inherited,
                    Some(vtep) => Change::Relocated(vtep),
                    None if just_learned => Change::Learned,
                    None => Change::Inherited,
                };
                self.advertise(now, route, change);
            }
            Notice::Withdrawn(route) => {
                self.exports.on_withdrawn(generation, route);
                self.advertise(now, route, Change::Withdrawn);
            }
            Notice::Closed(reason) => {
                self.closed.count(reason);
                self.retract(now, generation);
                self.imports.on_closed(conn);
                let answers = self.confirmations.on_closed(conn);
                self.answer(answers);
                let served = self.sessions.on_closed(conn);
                self.roles.update(&served, &self.sessions);
                self.clear_waiting(now);
            }
        }
    }

    /// A switch has named itself.
    fn on_identified(&mut self, now: Time, conn: ConnId, switches: BTreeMap<SwitchName, SwitchRow>) {
        let before = self.sessions.on_identified(now, conn, switches);
        self.roles.update(&before, &self.sessions);
        self.update_roles(conn);
        self.update_networks(conn);
        if let Some(conn) = self.sessions.crowded(conn) {
            let what = format!("{SESSIONS_PER_SWITCH} newer sessions serve the same switch, or one of them owns it");
            self.command(conn, Command::Close(CloseWhy::new(CloseReason::TooMany, what)));
        }
        self.clear(now, conn);
    }

    /// A session may write from now on. A rival that still claims the same switch must show that its line is alive.
    fn on_may_write(&mut self, conn: ConnId, locked: bool) {
        self.sessions.on_may_write(conn, locked);
        self.update_roles(conn);
        let owners = self.sessions.rivals(conn).filter(|(_, known)| known.is_owner());
        let owners: Vec<ConnId> = owners.map(|(conn, _)| conn).collect();
        self.challenge(owners);
    }

    /// A session has read everything. An older rival must show that its line is alive; not earlier, because a server that
    /// renders a dump for the newer session does not answer the older.
    fn on_read(&mut self, conn: ConnId, generation: Generation) {
        let older = self
            .sessions
            .rivals(conn)
            .filter(|(_, known)| known.generation() < generation);
        let older: Vec<ConnId> = older.map(|(conn, _)| conn).collect();
        self.challenge(older);
    }

    /// A session is not what it was to its switches.
    fn update_roles(&mut self, conn: ConnId) {
        if let Some(known) = self.sessions.get(conn) {
            self.roles.update(known.served(), &self.sessions);
        }
    }

    fn configure(&mut self, now: Time, configuration: Arc<Configuration>, complete: bool, change: &Provenance) {
        // A revision that concerns other agents shares the configuration in force, which is quickly compared.
        if self.configuration != configuration {
            self.configuration = configuration;
            self.roles.configure(&self.configuration, &self.sessions);
            self.command_all(|| Command::Changed(change.clone()));
        }
        self.complete = complete || planted!(self, DeleteBeforeComplete);
        let (configuration, complete) = (Arc::clone(&self.configuration), self.complete);
        self.command_all(|| Command::Configure {
            configuration: Arc::clone(&configuration),
            complete,
        });
        self.update_all_networks(now);
    }

    fn on_announced(&mut self, now: Time) {
        let step = self.drain.on_announced(now);
        self.take_drain_step(now, step);
        self.on_leave_announced(now);
    }

    fn begin_drain(&mut self, now: Time) {
        self.drain.begin(now);
        // The grade is the same, and the proxies have fetched it.
        if self.leave.is_announced() {
            self.on_announced(now);
        }
    }

    fn on_timeout(&mut self, now: Time) {
        let step = self.drain.on_timeout(now);
        self.take_drain_step(now, step);
        self.check_uplinks(now);
        self.retract_some(now);
        self.duplicates.retain(|_, (at, _)| now.since(*at) < DUPLICATE_PAUSE);
        if self.sessions.clearance_due().is_some_and(|due| due <= now) {
            self.clear_waiting(now);
        }
    }

    fn take_drain_step(&mut self, now: Time, step: Option<Step>) {
        match step {
            None => {}
            Some(Step::Release) => {
                let served = self.served(now);
                self.on_uplink(now, uplinks::Input::Releasing(served));
                self.command_all(|| Command::Drain);
            }
            Some(Step::Close) => {
                self.command_all(|| Command::Close(CloseWhy::new(CloseReason::Drained, "the drain took too long")))
            }
        }
    }

    fn conclude_drain(&mut self, now: Time) {
        if self.sessions.is_empty() && !self.exports.has_ended() {
            let awaits = self.uplinks.as_ref().is_some_and(Uplinks::lingers);
            if self.drain.conclude(now, awaits) {
                self.outputs.push_back(Output::Drained);
            }
        }
    }

    fn command(&mut self, conn: ConnId, command: Command) {
        self.outputs.push_back(Output::Command { conn, command });
    }

    fn command_all(&mut self, command: impl Fn() -> Command) {
        for (conn, _) in self.sessions.iter() {
            let command = command();
            self.outputs.push_back(Output::Command { conn, command });
        }
    }
}

impl Machine for Agent {
    type Input = Input;
    type Output = Output;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Input) {
        debug_assert!(self.outputs.is_empty(), "drain the outputs first");
        match input {
            Input::Connected {
                conn,
                peer,
                accepted_at,
            } => self.on_connected(now, conn, peer, accepted_at),
            Input::HandshakeFailed => {
                let any_served = self.sessions.iter().any(|(_, known)| !known.served().is_empty());
                self.grading.on_handshake_failed(now, any_served);
            }
            Input::Session {
                conn,
                generation,
                notice,
            } => self.on_notice(now, conn, generation, notice),
            Input::Configure {
                configuration,
                complete,
            } => self.configure(now, configuration, complete, &Author::File.changes(None, None)),
            Input::Drain => self.begin_drain(now),
            Input::Announced => self.on_announced(now),
            Input::Uplink(input) => self.on_uplink(now, input),
            Input::Peer(report) => self.on_report(now, report),
            Input::Tsn { alive } => self.grading.on_tsn(alive),
            Input::Order { id, order } => self.on_order(now, id, order),
            Input::Timeout => self.on_timeout(now),
        }
        self.check_leave(now);
        self.send_imports();
        self.update_grade(now);
        self.update_peer(now);
        self.conclude_drain(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        let clearance = self.sessions.clearance_due();
        let clearance = clearance.map(|at| Deadline {
            at,
            why: Why::ClearanceDue,
        });
        let duplicates = self.duplicates.values().map(|(at, _)| *at + DUPLICATE_PAUSE);
        let duplicates = duplicates.min().map(|at| Deadline {
            at,
            why: Why::DuplicateDue,
        });
        let leave = self.leave.deadline();
        let deadlines = [
            self.drain.deadline(),
            leave,
            duplicates,
            self.routes_due(),
            self.grade_due(),
            clearance,
        ];
        deadlines.into_iter().flatten().min_by_key(|deadline| deadline.at)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::configuration::SessionOptions;

    #[test]
    fn an_older_session_must_prove_its_line_when_the_newer_has_read_everything_and_not_before() {
        let configuration = Configuration {
            session: SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST),
            networks: BTreeMap::new(),
            switches: BTreeMap::new(),
        };
        let mut agent = Agent::new(Arc::new(configuration), Generation(0));
        let mut proving = |input| {
            agent.handle(Time::ORIGIN, input);
            let mut proving = Vec::new();
            while let Some(output) = agent.poll_output() {
                if let Output::Command {
                    conn,
                    command: Command::Probe(_),
                } = output
                {
                    proving.push(conn.0);
                }
            }
            proving
        };
        let notified = |conn, notice| Input::Session {
            conn: ConnId(conn),
            generation: Generation(conn),
            notice,
        };
        for (conn, switch) in [(1, "tor1"), (2, "tor2"), (3, "tor1")] {
            let peer = Peer {
                address: (Ipv4Addr::LOCALHOST, 1).into(),
                proxied: None,
                certificate: None,
            };
            let connected = Input::Connected {
                conn: ConnId(conn),
                peer,
                accepted_at: Time::ORIGIN,
            };
            assert!(proving(connected).is_empty());
            let identified = Notice::Identified {
                switches: [(switch.into(), SwitchRow::default())].into(),
            };
            assert!(proving(notified(conn, identified)).is_empty());
        }
        assert!(proving(notified(1, Notice::Read)).is_empty(), "no session is older");
        assert!(proving(notified(2, Notice::Read)).is_empty(), "that is another switch");
        assert_eq!(proving(notified(3, Notice::Read)), [1]);
    }
}
