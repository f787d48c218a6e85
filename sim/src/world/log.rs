//! The log of a world: each entry names its cause, and a hash chain covers every entry before it.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use fnv::FnvHasher;
use serde::Serialize;
use tandem_core::Time;
use tandem_core::event::{Level, LogEvent};
use tandem_core::log_words;
use tandem_core::status::{Ownership, Phase};

use crate::{control, device, host, intruder, proxy, thief, vip, vrouter};

/// One line of the log. Its number is its place in the log, from 1 on.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    pub id: u64,
    pub at: Time,
    /// The name of the node, or `world`.
    #[serde(serialize_with = "text")]
    pub node: Arc<str>,
    #[serde(flatten)]
    pub event: ActorEvent,
    /// The number of the entry that led to this one; 0 for an event of the plan.
    pub cause: u64,
    /// The state of the session that the event concerns, if the world records it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionState>,
}

/// An event of one of the actors, or of the world itself.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "actor", content = "event", rename_all = "snake_case")]
pub enum ActorEvent {
    Agent(host::Event),
    Switch(device::Event),
    Proxy(proxy::Event),
    Control(control::Event),
    #[serde(rename = "vrouter")]
    VRouter(vrouter::Event),
    Vip(vip::Event),
    Thief(thief::Event),
    Intruder(intruder::Event),
    World(WorldEvent),
}

/// An event of the world itself: what the plan and the operator do to the nodes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum WorldEvent {
    /// A fault of the plan, by its number there: see [`Plan::fault`](crate::plan::Plan::fault).
    FaultBegins {
        fault: usize,
        text: String,
    },
    FaultEnds {
        fault: usize,
    },
    /// A program was started.
    Started {
        node: String,
    },
    /// An agent or a control node loads its configuration: all of it, or the half that is known at first.
    ConfigurationLoaded {
        node: String,
        networks: usize,
        complete: bool,
    },
    /// The faults are over: from here on this core must converge. The lost nodes stay broken.
    Healed {
        core: Vec<String>,
        lost: Vec<String>,
    },
}

/// The state of a session at the time of an event.
#[derive(Clone, Debug, Serialize)]
pub struct SessionState {
    pub phase: Phase,
    pub owner: Ownership,
    /// Remote rows found.
    pub rows: usize,
    pub silent_ms: u64,
}

impl LogEvent for ActorEvent {
    log_words!(; Agent, Switch, Proxy, Control, VRouter, Vip, Thief, Intruder, World);

    fn level(&self) -> Level {
        match self {
            Self::Agent(event) => event.level(),
            Self::Switch(event) => event.level(),
            Self::Proxy(event) => event.level(),
            Self::Control(event) => event.level(),
            Self::VRouter(event) => event.level(),
            Self::Vip(event) => event.level(),
            Self::Thief(event) => event.level(),
            Self::Intruder(event) => event.level(),
            Self::World(event) => event.level(),
        }
    }
}

impl LogEvent for WorldEvent {
    log_words!(FaultBegins, FaultEnds, Started, ConfigurationLoaded, Healed);
}

impl fmt::Display for ActorEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(event) => event.fmt(f),
            Self::Switch(event) => event.fmt(f),
            Self::Proxy(event) => event.fmt(f),
            Self::Control(event) => event.fmt(f),
            Self::VRouter(event) => event.fmt(f),
            Self::Vip(event) => event.fmt(f),
            Self::Thief(event) => event.fmt(f),
            Self::Intruder(event) => event.fmt(f),
            Self::World(event) => event.fmt(f),
        }
    }
}

impl fmt::Display for WorldEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FaultBegins { fault, text } => write!(f, "#{fault} {text}"),
            Self::FaultEnds { fault } => write!(f, "#{fault}"),
            Self::Started { node } => f.write_str(node),
            Self::ConfigurationLoaded {
                node,
                networks,
                complete,
            } => {
                let part = if *complete { "complete" } else { "partial" };
                write!(f, "{node}: {part}, {networks} networks")
            }
            Self::Healed { core, lost } if lost.is_empty() => write!(f, "all of {}", core.join(", ")),
            Self::Healed { core, lost } => write!(f, "{}; lost for good: {}", core.join(", "), lost.join(", ")),
        }
    }
}

/// The columns of [`Entry`]'s one line.
pub const COLUMNS: &str =
    "      id       time  node       word                phase       owner    rows  silent    cause  details";

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, at, node, word, cause) = (self.id, self.at, &self.node, self.event.word(), self.cause);
        let time = format!("{}.{:06}", at.micros() / 1_000_000, at.micros() % 1_000_000);
        write!(f, "{id:>8} {time:>10}  {node:<10} {word:<19} ")?;
        match &self.session {
            Some(session) => {
                let silent = format!("{} ms", session.silent_ms);
                write!(
                    f,
                    "{:<11} {:<8} {:>4} {silent:>9}",
                    session.phase, session.owner, session.rows
                )?;
            }
            None => write!(f, "{:<11} {:<8} {:>4} {:>9}", "-", "-", "-", "-")?,
        }
        write!(f, " {cause:>7}  {}", self.event)
    }
}

/// The hash of a log so far: each entry's covers all before it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Chain(u64);

impl Chain {
    /// Covers one more entry.
    pub fn add(&mut self, entry: &Entry) {
        let mut hasher = FnvHasher::with_key(self.0);
        // The session state is for readers, and recorded only on request.
        let Entry {
            id,
            at,
            node,
            event,
            cause,
            session: _,
        } = entry;
        let written = serde_json::to_writer(Writer(&mut hasher), &(id, at, &**node, event, cause));
        debug_assert!(written.is_ok(), "an entry is JSON");
        self.0 = hasher.finish();
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

struct Writer<'a>(&'a mut FnvHasher);

impl std::io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}
