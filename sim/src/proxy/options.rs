//! The settings of a proxy.

use std::net::SocketAddrV4;
use std::time::Duration;

use crate::plan;

/// How a proxy is set.
#[derive(Clone, Debug)]
pub struct Options {
    pub proxy: plan::Proxy,
    pub listens: Vec<Listen>,
    /// `hard-stop-after`: how long a process lives after the reload that replaced it.
    pub hard_stop_after: Duration,
}

/// A `listen` section.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address that clients dial.
    pub at: SocketAddrV4,
    /// In the order of the file.
    pub servers: Vec<Server>,
}

/// A `server` line.
#[derive(Clone, Debug)]
pub struct Server {
    pub name: String,
    /// Where clients are forwarded to.
    pub at: SocketAddrV4,
    /// Where its health is checked.
    pub check_at: SocketAddrV4,
    /// Where it is asked what it thinks of itself, if the plan wants `agent-check`.
    pub agent_check_at: Option<SocketAddrV4>,
    /// Whether it gets connections only when no other server does.
    pub backup: bool,
}
