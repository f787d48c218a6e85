//! A `tandem control` process.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::agent::{NetworkSection, SwitchSection, TlsSection, get};
use super::netns;
use super::pki::Credentials;
use super::program::{Launch, Program, Signal};
use super::scratch::Scratch;
use super::{Error, Result};

/// A control node's configuration file, section by section; the book describes each value.
#[derive(Clone, Debug, Serialize)]
pub struct ControlOptions {
    /// `[control]`
    pub control: ControlSection,
    /// `[tls]`
    pub tls: TlsSection,
    /// `[inventory]`
    pub inventory: InventorySection,
    /// `[[network]]`
    pub network: Vec<NetworkSection>,
    /// `[[switch]]`
    pub switch: Vec<ServedSection>,
    /// `[log]`
    pub log: LogSection,
    /// Further tables, such as `[[client]]`.
    #[serde(flatten)]
    pub more: toml::Table,
    /// The network namespace that it is in.
    #[serde(skip)]
    pub namespace: Option<String>,
    /// See [`Launch::tether`].
    #[serde(skip)]
    pub tether: Option<PathBuf>,
}

/// `[control]`
#[derive(Clone, Debug, Serialize)]
pub struct ControlSection {
    /// Its name.
    pub name: String,
    /// The address that agents dial.
    pub listen: SocketAddr,
    /// `/status` and `/metrics`.
    pub http: SocketAddr,
    /// The local socket for orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orders: Option<PathBuf>,
}

/// `[inventory]`
#[derive(Clone, Debug, Serialize)]
pub struct InventorySection {
    /// Goes up with every change.
    pub revision: u64,
}

/// `[[switch]]`, with its agents and services nodes.
#[derive(Clone, Debug, Serialize)]
pub struct ServedSection {
    /// What an agent would read of it.
    #[serde(flatten)]
    pub switch: SwitchSection,
    /// The names of its agents.
    pub agents: Vec<String>,
}

/// `[log]`
#[derive(Clone, Debug, Serialize)]
pub struct LogSection {
    /// The least level that is logged.
    pub level: String,
}

impl ControlOptions {
    /// A control node with TLS that listens on 6653 and 6652 of its own address, and knows no network and no switch.
    pub fn new(name: &str, address: Ipv4Addr, credentials: Credentials) -> Self {
        Self {
            control: ControlSection {
                name: name.into(),
                listen: (address, 6653).into(),
                http: (address, 6652).into(),
                orders: None,
            },
            tls: TlsSection {
                certificate: credentials.certificate,
                private_key: credentials.private_key,
                ca: credentials.ca,
            },
            inventory: InventorySection { revision: 1 },
            network: Vec::new(),
            switch: Vec::new(),
            log: LogSection { level: "debug".into() },
            more: toml::Table::new(),
            namespace: None,
            tether: None,
        }
    }
}

/// A control node.
pub struct ControlNode {
    /// The process, to kill, terminate, stop and continue.
    pub process: Program,
    binary: PathBuf,
    folder: PathBuf,
    options: ControlOptions,
}

impl ControlNode {
    /// Writes the configuration into a folder named as the control node, and starts `binary control --config FILE`.
    ///
    /// Waits for nothing: what it is waited for depends on the test.
    pub fn start(scratch: &Scratch, binary: &Path, options: ControlOptions) -> Result<Self> {
        let folder = scratch.folder(&options.control.name)?;
        configure(&folder, &options)?;
        Ok(Self {
            process: launch(binary, &folder, &options)?,
            binary: binary.into(),
            folder,
            options,
        })
    }

    /// What it was configured with.
    pub fn options(&self) -> &ControlOptions {
        &self.options
    }

    /// Kills it, if it still runs, and starts it again.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = launch(&self.binary, &self.folder, &self.options)?;
        Ok(())
    }

    /// Writes a new configuration and sends SIGHUP.
    pub fn reload(&mut self, options: ControlOptions) -> Result<()> {
        configure(&self.folder, &options)?;
        self.options = options;
        self.process.signal(Signal::SIGHUP)
    }

    /// Its configuration file.
    pub fn file(&self) -> PathBuf {
        file(&self.folder)
    }

    /// The lines of its log that contain all of these words, since it was first started.
    pub fn lines(&self, words: &[&str]) -> Vec<String> {
        let log = self.process.log();
        let lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        lines.map(Into::into).collect()
    }

    /// The answer of `/status`.
    pub fn status(&self) -> Result<Value> {
        let body = self.http("/status")?;
        serde_json::from_str(&body).map_err(|error| Error::failed("read /status", error))
    }

    /// The body of a page; fails unless the answer is 200.
    pub fn http(&self, path: &str) -> Result<String> {
        let address = self.options.control.http;
        match &self.options.namespace {
            None => get(address, path),
            Some(namespace) => netns::inside(namespace, || get(address, path))?,
        }
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("control.toml")
}

fn configure(folder: &Path, options: &ControlOptions) -> Result<()> {
    let text = toml::to_string(options).map_err(|error| Error::failed("write a configuration", error))?;
    let file = file(folder);
    fs::write(&file, text).map_err(Error::io(format!("write {}", file.display())))
}

fn launch(binary: &Path, folder: &Path, options: &ControlOptions) -> Result<Program> {
    Launch::new(binary)?
        .args(["control", "--config"])
        .arg(file(folder))
        .namespace(options.namespace.as_deref())
        .tether(options.tether.as_deref())
        .start(folder.join("control.log"))
}
