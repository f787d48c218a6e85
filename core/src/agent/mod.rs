//! The agent: any number of sessions with any number of switches, which know nothing of each other.
//!
//! The agent hands out what is wanted, hears what happened, and keeps what all sessions together export. A
//! session is opened by the agent and run by the driver, on whichever core it likes: between the two there
//! are only messages. What it has with control nodes is in its [`uplinks`].

pub mod adverts;
mod drain;
pub mod event;
pub mod exports;
pub mod fabric;
mod grading;
pub mod graph;
pub mod hold;
pub mod pair;
pub mod probe;
mod routes;
pub mod uplinks;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::bounds::NAMELESS_CONNECTIONS;
use crate::configuration::Configuration;
use crate::health::Grade;
use crate::ids::{ConnId, Generation, Mac, SwitchName, Uuid};
use crate::machine::{CloseWhy, Fault, Machine, Peer};
use crate::session::{Command as SessionCommand, Notice, Opening, Session};
use crate::status::{AgentStatus, SessionStatus, SwitchStatus, UnidentifiedStatus};
use crate::time::{Deadline, Time};
use crate::xmpp::stanza::Stanza;
use drain::Drain;
use exports::Exports;
use hold::Served;
use pair::{Pair, Standing, Word};
use uplinks::{Change, UplinkId, Uplinks};

/// What may arrive at an agent.
#[derive(Clone, Debug)]
pub enum Input {
    /// A switch, or whoever it is, has connected; the handshake is over.
    Connected {
        conn: ConnId,
        peer: Peer,
        accepted_at: Time,
    },
    /// A session notifies its agent.
    Session {
        conn: ConnId,
        generation: Generation,
        notice: Notice,
    },
    /// What is wanted from now on, and whether everything that could want something is known.
    Configure {
        configuration: Arc<Configuration>,
        complete: bool,
    },
    /// Hand over every switch and go: first the proxies are told, then the switches.
    Drain,
    /// Every proxy knows that we are draining.
    Announced,
    /// Something happened between us and a control node.
    Uplink(uplinks::Input),
    /// The other agent of the pair said this.
    Peer(Word),
    /// Whether the services node passed its probe.
    Tsn { alive: bool },
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// What an agent wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Run this session on its connection.
    Open { conn: ConnId, session: Box<Session> },
    /// Close a connection that gets no session.
    Refuse { conn: ConnId, why: CloseWhy },
    /// Tell a session something.
    Tell { conn: ConnId, command: SessionCommand },
    /// Dial this control node, and open a stream to it.
    Dial { id: UplinkId, to: SocketAddr },
    /// Say this to a control node.
    Say { id: UplinkId, stanza: Stanza },
    /// Close the session with a control node.
    HangUp { id: UplinkId, why: CloseWhy },
    /// Something happened between us and our control nodes.
    Event(uplinks::What),
    /// Tell the other agent of the pair this.
    TellPeer(Word),
    /// Something is wrong between the two agents of the pair, or right again.
    Pair(event::What),
    /// The health port says this from now on.
    Graded(Grade),
    /// Every session is over: the process may go.
    Drained,
}

/// Why an agent wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// Not every proxy asked us in time: drain all the same.
    AnnounceOverdue,
    /// The drain took too long.
    DrainOverdue,
    /// Sessions have more routes to hear of.
    MoreWork,
    /// What we have with control nodes.
    Uplink(uplinks::Why),
    /// The grade may be another, or the other agent of the pair is to hear of us.
    GradeDue,
}

/// An agent.
#[derive(Clone, Debug)]
pub struct Agent {
    configuration: Arc<Configuration>,
    complete: bool,
    grade: Grade,
    drain: Option<Drain>,
    generation: Generation,
    sessions: BTreeMap<ConnId, Known>,
    exports: Exports,
    /// `None`: the configuration comes from a file alone, and there are no routes.
    uplinks: Option<Uplinks>,
    /// Since when no control node is there.
    without_uplinks: Option<Time>,
    /// The services node passed its probes, or failed them; `None` before anybody has probed it.
    tsn_alive: Option<bool>,
    /// `None`: this agent knows of no other.
    pair: Option<Pair>,
    /// How we stand with each configured switch.
    standings: BTreeMap<SwitchName, Standing>,
    /// How we stand is not what it was, or how the other agent does.
    stirred: bool,
    /// How the switches are served, as the uplinks were told last.
    served: BTreeMap<Ipv4Addr, Served>,
    /// How many sessions were allowed to write so far.
    owners: u64,
    /// Nameless sessions that were told to close, and have not closed yet.
    leaving: BTreeSet<ConnId>,
    /// Which session was told of routes last: the next one is next.
    turn: Option<ConnId>,
    outputs: VecDeque<Output>,
}

/// What the agent knows of a session.
#[derive(Clone, Debug)]
struct Known {
    generation: Generation,
    peer: Peer,
    served: BTreeSet<SwitchName>,
    named: Vec<SwitchName>,
    /// The networks that its switches take part in.
    networks: BTreeSet<Uuid>,
    /// MACs of which it is to hear where they live.
    unheard: BTreeSet<(Uuid, Mac)>,
    /// Networks of which it is to hear that this was everything, once it has heard it.
    settling: BTreeSet<Uuid>,
    /// Which of all sessions it was, in order, that were allowed to write; 0 if it never was.
    owned: u64,
    /// Nothing differs any more from what is wanted.
    audited: bool,
}

impl Agent {
    /// An agent that was never configured: it takes connections, and claims nothing.
    ///
    /// Generations begin above `generation`, so that those of an earlier life of this agent stay older.
    pub fn new(configuration: Arc<Configuration>, generation: Generation) -> Self {
        let mut agent = Self {
            configuration,
            complete: false,
            grade: Grade::Unfit,
            drain: None,
            generation,
            sessions: BTreeMap::new(),
            exports: Exports::default(),
            uplinks: None,
            without_uplinks: None,
            tsn_alive: None,
            pair: None,
            standings: BTreeMap::new(),
            stirred: true,
            served: BTreeMap::new(),
            owners: 0,
            leaving: BTreeSet::new(),
            turn: None,
            outputs: VecDeque::new(),
        };
        agent.restand_all();
        agent
    }

    /// An agent whose configuration and routes come from control nodes. Nothing else may configure it.
    #[must_use]
    pub fn with_uplinks(mut self, options: uplinks::Options) -> Self {
        self.uplinks = Some(Uplinks::new(options));
        self
    }

    /// What it has with its control nodes.
    pub fn uplinks(&self) -> Option<&Uplinks> {
        self.uplinks.as_ref()
    }

    /// Which session of this agent runs on a connection.
    pub fn generation(&self, conn: ConnId) -> Option<Generation> {
        self.sessions.get(&conn).map(|known| known.generation)
    }

    /// What is in force.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// What the health port says.
    pub fn grade(&self) -> Grade {
        self.grade
    }

    /// What all sessions together export.
    pub fn exports(&self) -> &Exports {
        &self.exports
    }

    /// What an operator may want to know; the driver brings each session's part.
    pub fn status(&self, sessions: impl IntoIterator<Item = SessionStatus>) -> AgentStatus {
        let pair = self.pair.as_ref();
        let configured = self.standings.iter().map(|(name, standing)| {
            let status = SwitchStatus {
                fingerprint: standing.configuration.clone(),
                alarms: pair.map(|pair| pair.alarms(name)).unwrap_or_default(),
                ..SwitchStatus::default()
            };
            (name.clone(), status)
        });
        let mut switches: BTreeMap<SwitchName, SwitchStatus> = configured.collect();
        for status in sessions {
            let Some(known) = self.sessions.get(&status.conn) else {
                continue;
            };
            for name in &known.served {
                let switch = switches.entry(name.clone()).or_default();
                switch.sessions.push(status.clone());
                switch.exported += self.exports.of_generation(known.generation);
            }
        }
        let nameless = self.sessions.iter().filter(|(_, known)| known.served.is_empty());
        AgentStatus {
            agent: self.configuration.session.agent.clone(),
            tsn: self.configuration.session.tsn,
            tsn_alive: self.tsn_alive,
            grade: self.grade.to_string(),
            control_nodes: self.uplinks.as_ref().map(Uplinks::status).unwrap_or_default(),
            revision: self.uplinks.as_ref().and_then(Uplinks::revision),
            peer: pair.map(Pair::status),
            switches,
            unidentified: nameless
                .map(|(conn, known)| UnidentifiedStatus {
                    conn: *conn,
                    from: known.peer.origin(),
                    named: known.named.clone(),
                })
                .collect(),
        }
    }

    #[cfg(feature = "mutants")]
    fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.configuration.session.mutant
    }

    fn connected(&mut self, now: Time, conn: ConnId, peer: Peer, accepted_at: Time) {
        if self.grade == Grade::Draining {
            let why = CloseWhy::orderly("the agent is draining");
            return self.outputs.push_back(Output::Refuse { conn, why });
        }
        self.make_room();
        self.generation = Generation(self.generation.0 + 1);
        let opening = Opening {
            conn,
            generation: self.generation,
            peer: peer.clone(),
            accepted_at,
            configuration: Arc::clone(&self.configuration),
            complete: self.complete,
            fit: self.grade.may_own(),
        };
        let known = Known {
            generation: self.generation,
            peer,
            served: BTreeSet::new(),
            named: Vec::new(),
            networks: BTreeSet::new(),
            unheard: BTreeSet::new(),
            settling: BTreeSet::new(),
            owned: 0,
            audited: false,
        };
        self.sessions.insert(conn, known);
        let session = Box::new(Session::new(now, opening));
        self.outputs.push_back(Output::Open { conn, session });
    }

    /// Of too many connections that name no configured switch, the one that has waited longest goes: those
    /// that connect and say nothing must not keep a switch out.
    fn make_room(&mut self) {
        let nameless = || self.sessions.iter().filter(|(_, known)| known.served.is_empty());
        if nameless().count() < NAMELESS_CONNECTIONS {
            return;
        }
        let leaving = |conn: &&ConnId| !self.leaving.contains(conn);
        if let Some(conn) = nameless().map(|(conn, _)| conn).find(leaving).copied() {
            self.leaving.insert(conn);
            let what = format!("it names no configured switch, and neither do {NAMELESS_CONNECTIONS} others");
            let command = SessionCommand::Close(CloseWhy::fault(Fault::Environment, what));
            self.outputs.push_back(Output::Tell { conn, command });
        }
    }

    /// A session notified us. What a session of an earlier generation still sends concerns its own routes only.
    fn notified(&mut self, now: Time, conn: ConnId, generation: Generation, notice: Notice) {
        match notice {
            Notice::Identified { switches } => self.identified(conn, switches),
            Notice::Unidentified { named } => {
                if let Some(known) = self.sessions.get_mut(&conn) {
                    known.named = named;
                }
            }
            Notice::MayWrite => self.owns(conn),
            Notice::Read => self.read(conn, generation),
            Notice::Exported(route) => {
                self.exports.exported(generation, route);
                let audited = self.sessions.get(&conn).is_some_and(|known| known.audited);
                let change = if audited { Change::Learned } else { Change::Inherited };
                self.advertise(now, route, change);
            }
            Notice::Withdrawn(route) => {
                self.exports.withdrawn(generation, route);
                self.advertise(now, route, Change::Withdrawn);
            }
            Notice::Audited => {
                if let Some(known) = self.sessions.get_mut(&conn) {
                    known.audited = true;
                }
                self.restand_served(conn);
            }
            Notice::Closed => self.session_closed(now, conn, generation),
        }
    }

    fn session_closed(&mut self, now: Time, conn: ConnId, generation: Generation) {
        if planted!(self, LateRetractionWins) {
            let ended = self.sessions.get(&conn).map(|known| &known.served);
            let newer = self.sessions.values().filter(|known| known.generation > generation);
            let same_switch = newer.filter(|known| ended.is_some_and(|ended| !ended.is_disjoint(&known.served)));
            same_switch.for_each(|known| drop(self.exports.retracted(known.generation)));
        }
        self.retracted(now, generation);
        let known = self.sessions.remove(&conn);
        self.restand(&known.map(|known| known.served).unwrap_or_default());
        self.leaving.remove(&conn);
    }

    /// A session may write from now on. Another one that believes the same of the same switch must show that its line
    /// is alive.
    fn owns(&mut self, conn: ConnId) {
        self.owners += 1;
        let Some(known) = self.sessions.get_mut(&conn) else {
            return;
        };
        known.owned = self.owners;
        let served = known.served.clone();
        self.restand(&served);
        self.doubt(|other, known| other != conn && known.owned > 0 && !known.served.is_disjoint(&served));
    }

    fn doubt(&mut self, whom: impl Fn(ConnId, &Known) -> bool) {
        for (conn, _) in self.sessions.iter().filter(|(conn, known)| whom(**conn, known)) {
            let command = SessionCommand::Prove;
            self.outputs.push_back(Output::Tell { conn: *conn, command });
        }
    }

    /// A switch has named itself.
    fn identified(&mut self, conn: ConnId, switches: Vec<SwitchName>) {
        if let Some(known) = self.sessions.get_mut(&conn) {
            let before = std::mem::replace(&mut known.served, switches.into_iter().collect());
            self.restand(&before);
            self.restand_served(conn);
        }
        self.attend(conn);
    }

    /// A session has read everything. If an older one serves the same switch, that has to show that it is alive; not
    /// earlier, because a server that renders a dump for the newer is deaf to the older.
    fn read(&mut self, conn: ConnId, generation: Generation) {
        let Some(newer) = self.sessions.get(&conn) else {
            return;
        };
        let served = newer.served.clone();
        self.doubt(|_, known| known.generation < generation && !known.served.is_disjoint(&served));
    }

    fn configure(&mut self, now: Time, configuration: Arc<Configuration>, complete: bool) {
        // A revision that is about others shares what is in force, so that nobody need compare it again.
        if self.configuration != configuration {
            self.configuration = configuration;
            self.restand_all();
        }
        self.complete = complete || planted!(self, DeleteBeforeComplete);
        let (configuration, complete) = (&self.configuration, self.complete);
        for conn in self.sessions.keys() {
            let configuration = Arc::clone(configuration);
            let command = SessionCommand::Configure {
                configuration,
                complete,
            };
            self.outputs.push_back(Output::Tell { conn: *conn, command });
        }
        self.attend_all(now);
    }

    fn tell_all(&mut self, command: impl Fn() -> SessionCommand) {
        for conn in self.sessions.keys() {
            let command = command();
            self.outputs.push_back(Output::Tell { conn: *conn, command });
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
            } => self.connected(now, conn, peer, accepted_at),
            Input::Session {
                conn,
                generation,
                notice,
            } => self.notified(now, conn, generation, notice),
            Input::Configure {
                configuration,
                complete,
            } => self.configure(now, configuration, complete),
            Input::Drain => self.begin_drain(now),
            Input::Announced => self.announced(now),
            Input::Uplink(input) => self.uplink(now, input),
            Input::Peer(word) => self.peer_heard(now, word),
            Input::Tsn { alive } => self.tsn_probed(alive),
            Input::Timeout => {
                self.check_drain(now);
                self.check_uplinks(now);
            }
        }
        self.feed();
        self.settle(now);
        self.conclude_drain(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        let deadlines = [self.drain_due(), self.routes_due(), self.grading_due()];
        deadlines.into_iter().flatten().min_by_key(|deadline| deadline.at)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::configuration::SessionOptions;

    #[test]
    fn an_older_session_is_doubted_when_the_newer_has_read_everything_and_not_before() {
        let configuration = Configuration {
            session: SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST),
            networks: BTreeMap::new(),
            switches: BTreeMap::new(),
        };
        let mut agent = Agent::new(Arc::new(configuration), Generation(0));
        let mut doubted = |input| {
            agent.handle(Time::ORIGIN, input);
            let mut doubted = Vec::new();
            while let Some(output) = agent.poll_output() {
                match output {
                    Output::Tell {
                        conn,
                        command: SessionCommand::Prove,
                    } => doubted.push(conn.0),
                    Output::Open { .. } | Output::Refuse { .. } | Output::Tell { .. } => {}
                    Output::Dial { .. } | Output::Say { .. } | Output::HangUp { .. } => {}
                    Output::TellPeer(_) | Output::Pair(_) => {}
                    Output::Event(_) | Output::Graded(_) | Output::Drained => {}
                }
            }
            doubted
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
            assert!(doubted(connected).is_empty());
            let identified = Notice::Identified {
                switches: vec![switch.into()],
            };
            assert!(doubted(notified(conn, identified)).is_empty());
        }
        assert!(doubted(notified(1, Notice::Read)).is_empty(), "no session is older");
        assert!(doubted(notified(2, Notice::Read)).is_empty(), "that is another switch");
        assert_eq!(doubted(notified(3, Notice::Read)), [1]);
    }
}
