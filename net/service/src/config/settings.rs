//! Everything that the file of an agent sets, and what it shares with the file of a control node.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tandem_core::agent::uplinks::Options;
use tandem_core::configuration::Configuration;
use tandem_core::identity::IdentityRule;

use crate::probe::Probe;
use crate::tls::{Peers, Settings};

/// Everything that `tandem agent` reads from its file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentConfig {
    /// The address that the agent listens at.
    pub listen: Listen,
    /// The agent's own certificate, and the CAs and pins of switches. Paths are resolved against the folder of the file.
    pub tls: Settings,
    /// The options of the log.
    pub log: Log,
    /// The desired state of the switches. With control nodes, it contains no networks and no switches.
    pub configuration: Configuration,
    /// The control nodes that send networks and switches; `None` if this file contains them.
    pub uplinks: Option<Uplinks>,
    /// How long the agent holds copies of routes of a switch without an owner; `None` holds none.
    pub stale_hold: Option<Duration>,
    /// The link to the other agent of the pair; `None` without a link.
    pub peer: Option<Peer>,
    /// The probe of the services node; without a probe, the services node counts as alive.
    pub probe: Option<Probe>,
}

/// The link to the other agent of the pair.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// The address that the other agent dials.
    pub listen: SocketAddr,
    /// The address that the other agent listens at.
    pub connect: SocketAddr,
    /// The certificates that the other agent may present; none means those that contain its name.
    pub certificates: Vec<IdentityRule>,
    /// The certificates of both ends.
    pub tls: Settings,
}

/// The control nodes of an agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Uplinks {
    /// Their addresses, the preferred one first.
    pub nodes: Vec<SocketAddr>,
    /// The CAs of their certificates; `None` connects without TLS.
    pub ca: Option<PathBuf>,
    /// Whether the agent remembers its configuration on disk.
    pub remember: bool,
    /// The folder for it; `None` is the state directory of the service, if it has one.
    pub state: Option<PathBuf>,
    /// The certificates that control nodes may present; none means those that contain the name of the control node.
    pub certificates: Vec<IdentityRule>,
}

/// The addresses that the agent listens on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listen {
    /// TLS: switches dial in here, through the proxy.
    pub ovsdb: SocketAddr,
    /// The health check of proxies, an OVSDB echo; `None` is off.
    pub health: Option<SocketAddr>,
    /// HAProxy's `agent-check`; `None` is off.
    pub agent_check: Option<SocketAddr>,
    /// `/status` and `/metrics`; `None` is off.
    pub http: Option<SocketAddr>,
    /// The local socket for orders of an operator.
    pub orders: Orders,
    /// `ovsdb` requires a PROXY protocol v2 header; otherwise it refuses one.
    pub proxy_protocol: bool,
}

/// Where an agent takes orders of an operator.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Orders {
    /// In the runtime directory of its unit, under its name; nowhere without such a directory.
    #[default]
    Default,
    /// Nowhere.
    Off,
    /// At this socket.
    At(PathBuf),
}

/// The options of the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Log {
    /// The format of a line.
    pub format: LogFormat,
    /// The lowest level that is logged; `RUST_LOG` overrides it.
    pub level: tracing::Level,
}

/// The format of a line of the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The default port of a control node.
pub const CONTROL_PORT: u16 = 5269;

impl AgentConfig {
    /// The options of the agent's uplinks; the seed is for jitter.
    pub fn uplink_options(&self, seed: u64) -> Option<Options> {
        Some(Options {
            nodes: self.uplinks.as_ref()?.nodes.clone(),
            certificates: self.uplinks.as_ref()?.certificates.clone(),
            session: self.configuration.session.clone(),
            stale_hold: self.stale_hold,
            seed,
        })
    }

    /// Whose connections the port for switches accepts.
    pub fn peers(&self) -> Peers {
        match self.uplinks {
            Some(_) => Peers::LedSwitches,
            None => Peers::Switches,
        }
    }

    /// The TLS settings of the uplinks; `None` without TLS. Control nodes receive the same certificate as switches.
    pub fn uplink_tls(&self) -> Option<Settings> {
        Some(Settings {
            certificate: self.tls.certificate.clone(),
            private_key: self.tls.private_key.clone(),
            ca: self.uplinks.as_ref()?.ca.clone()?,
            crl: None,
            allow_x509_v1: false,
            pins: Vec::new(),
        })
    }
}
