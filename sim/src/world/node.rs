//! A node: what it is, what runs on it, and what is wrong with it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tandem_core::Time;

use super::clock::Clock;
use super::process::Process;

/// A box with a name and an address.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
    pub(super) address: Ipv4Addr,
    /// Of a switch: where tunnels to it end.
    pub(super) tunnel_end: Ipv4Addr,
    /// `None` when it is not running.
    pub(super) program: Option<Process>,
    /// The daemon of the virtual IP, on a proxy.
    pub(super) vip: Option<Process>,
    pub(super) wakes: [Option<Time>; 2],
    pub(super) impairment: Impairment,
    pub(super) state: State,
    pub(super) clock: Clock,
    /// The database of a switch changed since its firmware looked.
    pub(super) changed: bool,
    /// A switch comes up with what it had.
    pub(super) keeps_database: bool,
    /// The program was asked to leave, by this fault.
    pub(super) draining: Option<usize>,
    pub(super) drained: bool,
    /// The agent has its complete configuration.
    pub(super) complete: bool,
    /// The file in which an agent remembers its configuration, and the first that it wrote.
    pub(super) file: Option<Vec<u8>>,
    pub(super) first_file: Option<Vec<u8>>,
    pub(super) lives: u64,
    pub(super) tsn_deaths: u32,
}

/// What a node is, and which of its kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Switch(usize),
    Agent(usize),
    Proxy(usize),
    Control(usize),
    VRouter(usize),
    Thief,
    Intruder,
    /// A second box with the name of a switch.
    Twin,
}

/// How many faults hold a node in each grip: they overlap.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Impairment {
    pub(super) power: u32,
    pub(super) crash: u32,
    pub(super) pause: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    Running,
    Paused,
    Down,
    Dark,
}

/// Which of a node's programs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Program = 0,
    Vip = 1,
}

impl Kind {
    pub(super) fn is_switch(self) -> bool {
        matches!(self, Self::Switch(_))
    }

    pub(super) fn is_agent(self) -> bool {
        matches!(self, Self::Agent(_))
    }

    pub(super) fn is_proxy(self) -> bool {
        matches!(self, Self::Proxy(_))
    }

    pub(super) fn is_vrouter(self) -> bool {
        matches!(self, Self::VRouter(_))
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Control(_))
    }
}
