//! Configuration files: TOML in, [`AgentConfig`] or [`ControlConfig`] or every problem at once out.
//!
//! Parsing is pure: [`parse`] takes the bytes of the file and asks [`Files`] for the files that it names,
//! so it can be tested and fuzzed without a disk. The tree is walked by hand and not by serde's derive,
//! because serde stops at the first error and an operator wants to see them all.

mod common;
mod control;
mod failover;
mod macs;
mod networks;
mod peer;
mod probe;
mod problem;
mod sections;
mod switches;
mod table;
mod uplinks;
mod values;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tandem_core::agent::uplinks::Options;
use tandem_core::configuration::Configuration;

pub use control::{CONTROL_PORT, ControlConfig};
pub use problem::{Location, Problem, Problems, Source};

use table::Document;

use crate::probe::Probe;
use crate::tls::Settings;

/// Everything that `tandem agent` reads from its file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentConfig {
    /// Where the agent listens.
    pub listen: Listen,
    /// The agent's own certificate, and the CAs and pins of switches. Paths are resolved against the folder of the file.
    pub tls: Settings,
    /// How it logs.
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
    /// Where the other agent dials in.
    pub listen: SocketAddr,
    /// Where the other agent listens.
    pub connect: SocketAddr,
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
}

/// A configuration file of either kind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Config {
    /// Of an agent.
    Agent(Box<AgentConfig>),
    /// Of a control node.
    Control(Box<ControlConfig>),
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
    /// `ovsdb` requires a PROXY protocol v2 header; otherwise it refuses one.
    pub proxy_protocol: bool,
}

/// How the agent logs.
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

/// The files that a configuration names.
pub trait Files {
    /// The whole of the file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Whether the file could be read.
    fn readable(&self, path: &Path) -> io::Result<()> {
        self.read(path).map(drop)
    }
}

/// The files of this host. Only regular files of at most [`FILE_BYTES_MAX`] can be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

/// Bytes of a configuration or of a list of MACs: some two million routes.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The environment: the file cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        why: io::Error,
    },
    /// The operator: the file contains mistakes.
    #[error(transparent)]
    Wrong(#[from] Problems),
}

/// Reads and parses the configuration file of an agent.
///
/// # Errors
/// The file cannot be read, or it is wrong; then every problem is in the error.
pub fn load(path: &Path) -> Result<AgentConfig, LoadError> {
    load_with(path, parse)
}

/// Reads and parses the configuration file of a control node.
///
/// # Errors
/// As those of [`load`].
pub fn load_control(path: &Path) -> Result<ControlConfig, LoadError> {
    load_with(path, parse_control)
}

/// Reads and parses a configuration file of either kind.
///
/// # Errors
/// As those of [`load`].
pub fn load_any(path: &Path) -> Result<Config, LoadError> {
    load_with(path, parse_any)
}

type Parse<T> = fn(&Path, &[u8], &dyn Files) -> Result<T, Problems>;

fn load_with<T>(path: &Path, parse: Parse<T>) -> Result<T, LoadError> {
    let bytes = Disk.read(path).map_err(|why| LoadError::Unreadable {
        path: path.to_owned(),
        why,
    })?;
    Ok(parse(path, &bytes, &Disk)?)
}

/// Parses the bytes of an agent's configuration file at `path`.
///
/// Problems name the path, and relative paths in the file start at its folder.
///
/// # Errors
/// Every problem that was found, in the order of the file.
pub fn parse(path: &Path, bytes: &[u8], files: &dyn Files) -> Result<AgentConfig, Problems> {
    parse_with(path, bytes, |document, source, base, problems| {
        if is_of_control_node(document, source) {
            let help = "`tandem control --config` reads it; the file of an agent has `[agent]` and `[listen]`";
            problems.add(Problem::new(source, 0..0, "this is the file of a control node").help(help));
            return None;
        }
        sections::read(document, source, base, files, problems)
    })
}

/// Parses the bytes of a control node's configuration file, as [`parse`] does.
///
/// # Errors
/// As those of [`parse`].
pub fn parse_control(path: &Path, bytes: &[u8], files: &dyn Files) -> Result<ControlConfig, Problems> {
    parse_with(path, bytes, |document, source, base, problems| {
        if let Some(agent) = document.root(source).place("agent") {
            let help = "`tandem agent --config` reads it; the file of a control node has no `[agent]`";
            problems.add(Problem::new(source, agent, "this is the file of an agent").help(help));
            return None;
        }
        control::read(document, source, base, files, problems)
    })
}

/// Parses the bytes of a configuration file of either kind.
///
/// # Errors
/// As those of [`parse`].
pub fn parse_any(path: &Path, bytes: &[u8], files: &dyn Files) -> Result<Config, Problems> {
    parse_with(
        path,
        bytes,
        |document, source, base, problems| match is_of_control_node(document, source) {
            true => control::read(document, source, base, files, problems).map(|it| Config::Control(Box::new(it))),
            false => sections::read(document, source, base, files, problems).map(|it| Config::Agent(Box::new(it))),
        },
    )
}

/// Both kinds have `[control]`; only the file of an agent has `[agent]` and `[listen]`.
fn is_of_control_node(document: &Document<'_>, source: &Source) -> bool {
    let root = document.root(source);
    let [agent, listen, control, inventory] = ["agent", "listen", "control", "inventory"].map(|name| root.has(name));
    (control || inventory) && !agent && !listen
}

fn parse_with<T>(
    path: &Path,
    bytes: &[u8],
    read: impl FnOnce(&Document<'_>, &Source, &Path, &mut Problems) -> Option<T>,
) -> Result<T, Problems> {
    let mut problems = Problems::default();
    let Some(source) = Source::of_file(path, bytes, &mut problems) else {
        return Err(problems);
    };
    let document = Document::parse(&source, &mut problems);
    if problems.is_empty() {
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        let config = read(&document, &source, base, &mut problems);
        if let Some(config) = config.filter(|_| problems.is_empty()) {
            return Ok(config);
        }
    }
    Err(problems.in_order(&source))
}

impl AgentConfig {
    /// The options of the agent's uplinks; the seed is for jitter.
    pub fn uplink_options(&self, seed: u64) -> Option<Options> {
        Some(Options {
            nodes: self.uplinks.as_ref()?.nodes.clone(),
            session: self.configuration.session.clone(),
            stale_hold: self.stale_hold,
            seed,
        })
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

    /// Applies `new` on SIGHUP, except for settings that need a restart. Returns the names of those that differ.
    pub fn reload(&mut self, new: Self) -> Vec<&'static str> {
        let old = std::mem::replace(self, new);
        let mut waiting = Vec::new();
        let (ours, theirs) = (&mut self.configuration, old.configuration);
        let uplinks = keep(&mut self.uplinks, old.uplinks, "[control]");
        if uplinks.is_some() {
            // Networks and switches have one source: the file, or the control nodes.
            (ours.networks, ours.switches) = (theirs.networks, theirs.switches);
        }
        let (ours, theirs) = (&mut ours.session, theirs.session);
        ours.routed = theirs.routed;
        waiting.extend([
            keep(&mut ours.agent, theirs.agent, "[agent] name"),
            keep(&mut ours.tsn, theirs.tsn, "[agent] tsn_ip"),
            keep(&mut ours.lock, theirs.lock, "[agent] lock"),
            keep(
                &mut ours.logical_switch_prefix,
                theirs.logical_switch_prefix,
                "[agent] logical_switch_prefix",
            ),
            keep(&mut self.listen, old.listen, "[listen]"),
            keep(&mut self.log, old.log, "[log]"),
            keep(&mut self.stale_hold, old.stale_hold, "[failover]"),
            keep(&mut self.peer, old.peer, "[peer]"),
            keep(&mut self.probe, old.probe, "[tsn]"),
            uplinks,
        ]);
        if self.uplinks.is_some() {
            // These are merged into the configuration from control nodes once, at the start.
            waiting.extend([
                keep(&mut ours.keepalive, theirs.keepalive, "[keepalive]"),
                keep(&mut ours.local_macs_grace, theirs.local_macs_grace, "[audit]"),
                keep(&mut ours.manager, theirs.manager, "[manager]"),
            ]);
        }
        waiting.into_iter().flatten().collect()
    }
}

/// Restores the old value. Returns its name if it differs.
fn keep<T: PartialEq>(ours: &mut T, old: T, name: &'static str) -> Option<&'static str> {
    let new = std::mem::replace(ours, old);
    (new != *ours).then_some(name)
}

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other(format!(
                "it is larger than {} MiB",
                FILE_BYTES_MAX >> 20
            )));
        }
        Ok(bytes)
    }

    fn readable(&self, path: &Path) -> io::Result<()> {
        open(path).map(drop)
    }
}

/// Checks the file type first: opening a named pipe blocks until a writer opens it.
fn open(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}
