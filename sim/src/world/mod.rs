//! The world: nodes with programs on them, links between them, a plan that breaks both, and nothing else.
//!
//! One thread, one schedule. A step takes the next item from the schedule, delivers it to its node, and carries out
//! whatever follows at once: bytes go onto links, deadlines and health checks onto the schedule, events into the log. A
//! world is `Clone`: a copy goes on exactly as the original would.
//!
//! Each scheduled item carries the number of the event that led to it, so that every event can name its cause.

mod build;
mod candidates;
mod carry;
mod checking;
mod clock;
mod database;
mod disk;
mod fault;
mod heal;
mod identity;
pub mod log;
mod node;
mod planned;
mod process;
mod reach;
mod rest;
mod view;
mod workload;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use tandem_core::Time;
use tandem_core::configuration::Configuration;

use crate::kernel::Schedule;
use crate::link::{HostId, Links};
use crate::operator::configuration::Intent;
use crate::plan::Plan;
pub use candidates::Standing;
pub use identity::TWIN;
use log::{ActorEvent, Entry, SessionState, WorldEvent};
use node::{Impairment, Kind, Node, Part, State};
use planned::{Checking, Planned, Step};
use process::{NodeInput, Process};
pub use reach::{Consumer, ControlView, Reached, VRouterView};
pub use view::{AgentView, LOCK, SwitchView, Way};

/// A world that runs a plan.
#[derive(Clone, Debug)]
pub struct World {
    plan: Arc<Plan>,
    now: Time,
    schedule: Schedule<Step>,
    links: Links,
    nodes: Vec<Node>,
    intent: Intent,
    /// What each agent is wanted to make true: the intent, in its words.
    wanted: Vec<Arc<Configuration>>,
    checkings: BTreeMap<(HostId, u64), Checking>,
    /// How often something changed that a check may see.
    changes: u64,
    versions: u64,
    /// How often the intent changed.
    revision: u64,
    /// Faults that have begun and not ended, by their place in the plan.
    active: Vec<usize>,
    /// How many faults keep the proxies from receiving each other's adverts.
    split: u32,
    healed: bool,
    /// The nodes outside the core that are cut off since.
    lost: Vec<HostId>,
    /// The event that led to what happens now.
    cause: u64,
    entries: VecDeque<Entry>,
    entry_count: u64,
    /// Whether each entry records the state of its session, which costs time.
    with_sessions: bool,
    steps: u64,
    /// Steps since the time moved last.
    steps_at_once: u64,
    application: ChaCha8Rng,
    scheduling: ChaCha8Rng,
}

impl World {
    /// Does the next thing. Answers `false` when nothing is left to do, which never happens to a world with switches.
    pub fn step(&mut self) -> bool {
        let Some((at, step)) = self.schedule.pop() else {
            return false;
        };
        self.steps_at_once = if at > self.now { 0 } else { self.steps_at_once + 1 };
        self.now = self.now.max(at);
        self.steps += 1;
        self.cause = step.cause;
        match step.what {
            Planned::Transit(transit) => self.links.arrive(self.now, transit),
            Planned::Wake { node, part } => self.on_wake(node, part),
            Planned::Check {
                node,
                check,
                version,
                what,
            } => self.check(node, check, version, what),
            Planned::FaultBegins(fault) => self.fault_begins(fault),
            Planned::FaultEnds(fault) => self.fault_ends(fault),
            Planned::Configure { node, life, complete } => self.configure(node, life, complete),
            Planned::Confirm { node, life } => self.confirm(node, life),
            Planned::Reconcile(node) => {
                self.reconcile(node);
                // Nothing listens any more on a node whose program has ended.
                self.wake_checks();
            }
            Planned::Tracked { node, lives } => {
                self.deliver(node, Part::Vip, NodeInput::Vip(crate::vip::Command::Tracked(lives)))
            }
            Planned::Workload(chore) => self.work(chore),
            Planned::Undo(fault) => self.undo(fault),
        }
        self.propagate();
        true
    }

    /// Lets time pass in which nothing happens.
    pub fn pass_to(&mut self, at: Time) {
        debug_assert!(
            self.next_at().is_none_or(|next| at <= next),
            "something happens before that"
        );
        self.now = self.now.max(at);
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Time> {
        self.schedule.next_at()
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// What happened since this was asked last; until `None`.
    pub fn poll_entry(&mut self) -> Option<Entry> {
        self.entries.pop_front()
    }

    /// Things done so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Things done since the time moved last.
    pub fn steps_at_once(&self) -> u64 {
        self.steps_at_once
    }

    /// The planned event.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    fn schedule(&mut self, at: Time, what: Planned) {
        let cause = self.cause;
        self.schedule.plan(at, Step { cause, what });
    }

    fn log(&mut self, node: Option<HostId>, event: ActorEvent) {
        self.entry_count += 1;
        let name = node
            .and_then(|node| self.nodes.get(node.0))
            .map_or_else(|| Arc::from("world"), |node| Arc::clone(&node.name));
        let session = if self.with_sessions {
            self.session_state(node, &event)
        } else {
            None
        };
        let (id, at, cause) = (self.entry_count, self.now, self.cause);
        self.entries.push_back(Entry {
            id,
            at,
            node: name,
            event,
            cause,
            session,
        });
        self.cause = id;
    }

    fn log_world(&mut self, event: WorldEvent) {
        self.log(None, ActorEvent::World(event));
    }

    fn session_state(&self, node: Option<HostId>, what: &ActorEvent) -> Option<SessionState> {
        let ActorEvent::Agent(crate::host::Event::Session(event)) = what else {
            return None;
        };
        let host = self.host(node?)?;
        let line = host.sessions().get(&event.conn)?;
        let now = self.nodes.get(node?.0)?.clock.read(self.now);
        let status = line.session.status(now);
        Some(SessionState {
            phase: status.phase,
            owner: status.ownership,
            rows: status.rows_remote,
            silent_ms: u64::try_from(now.since(line.last_received).as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn node(&self, name: &str) -> Option<HostId> {
        let place = self.nodes.iter().position(|node| &*node.name == name);
        place.map(HostId)
    }

    fn all_nodes(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.nodes.len()).map(HostId)
    }

    fn nodes_of(&self, wanted: fn(Kind) -> bool) -> Vec<HostId> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| wanted(node.kind))
            .map(|(place, _)| HostId(place))
            .collect()
    }
}
