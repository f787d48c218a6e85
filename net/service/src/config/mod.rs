//! Configuration files: TOML in, [`AgentConfig`] or [`ControlConfig`] or every problem at once out.
//!
//! Parsing is pure: [`parse`] takes the bytes of the file and asks [`Files`] for the files that it names,
//! so it can be tested and fuzzed without a disk. The tree is walked by hand and not by serde's derive,
//! because serde stops at the first error and an operator wants to see them all.

mod clients;
mod common;
mod control;
mod ends;
mod failover;
mod files;
mod format;
mod macs;
mod networks;
mod peer;
mod probe;
mod problem;
mod reload;
mod sections;
mod settings;
mod switches;
mod table;
mod uplinks;
mod values;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub use control::ControlConfig;
pub use ends::Ends;
pub use files::{Disk, FILE_BYTES_MAX, Files};
pub use problem::{Location, Problem, Problems, Source};
pub use settings::{AgentConfig, CONTROL_PORT, Listen, Log, LogFormat, Orders, Peer, Uplinks};

use table::Document;

/// A configuration file of either kind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Config {
    /// Of an agent.
    Agent(Box<AgentConfig>),
    /// Of a control node.
    Control(Box<ControlConfig>),
}

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

/// Reads what the tools need that ask a running process, whatever else is wrong with the file: that may be why they are
/// called.
///
/// # Errors
/// These keys themselves cannot be read.
pub fn ends(path: &Path, bytes: &[u8]) -> Result<Ends, Problems> {
    let mut problems = Problems::default();
    let Some(source) = Source::of_file(path, bytes, &mut problems) else {
        return Err(problems);
    };
    // What the parser recovers of a file with syntax errors is enough here.
    let document = Document::parse(&source, &mut Problems::default());
    let is_of_control_node = is_of_control_node(&document, &source);
    let ends = ends::read(&mut document.root(&source), is_of_control_node, &mut problems);
    if problems.is_empty() { Ok(ends) } else { Err(problems) }
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
    if problems.is_empty() && format::is_readable(&document, &source, &mut problems) {
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        let config = read(&document, &source, base, &mut problems);
        if let Some(config) = config.filter(|_| problems.is_empty()) {
            return Ok(config);
        }
    }
    Err(problems.in_order(&source))
}
