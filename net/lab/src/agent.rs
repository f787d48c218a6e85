//! A `tandem agent` process.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::netns;
use super::pki::Credentials;
use super::program::{Launch, Program, Signal};
use super::scratch::Scratch;
use super::{Error, Result};

/// An agent's configuration file, section by section; the book describes each value.
#[derive(Clone, Debug, Serialize)]
pub struct AgentOptions {
    /// `[agent]`
    pub agent: AgentSection,
    /// `[listen]`
    pub listen: ListenSection,
    /// `[tls]`
    pub tls: TlsSection,
    /// `[keepalive]`
    pub keepalive: KeepaliveSection,
    /// `[control]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<UplinkSection>,
    /// `[peer]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerSection>,
    /// `[[network]]`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<NetworkSection>,
    /// `[[switch]]`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub switch: Vec<SwitchSection>,
    /// Further keys of the file, merged over the rest: `{ agent = { lock = "other" } }`.
    #[serde(skip)]
    pub more: toml::Table,
    /// The network namespace that the agent is in.
    #[serde(skip)]
    pub namespace: Option<String>,
    /// See [`Launch::tether`].
    #[serde(skip)]
    pub tether: Option<PathBuf>,
}

/// `[agent]`
#[derive(Clone, Debug, Serialize)]
pub struct AgentSection {
    /// Its name.
    pub name: String,
    /// The tunnel end of its services node.
    pub tsn_ip: Ipv4Addr,
}

/// `[listen]`
#[derive(Clone, Debug, Serialize)]
pub struct ListenSection {
    /// The address that switches dial, by TLS.
    pub ovsdb: SocketAddr,
    /// Where health checks are answered.
    pub health: SocketAddr,
    /// Where the grade is served.
    pub agent_check: SocketAddr,
    /// `/status` and `/metrics`.
    pub http: SocketAddr,
    /// The socket for orders.
    pub orders: PathBuf,
    /// Whether the proxy sends a PROXY header.
    pub proxy_protocol: bool,
}

/// `[tls]`
#[derive(Clone, Debug, Serialize)]
pub struct TlsSection {
    /// The agent's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub private_key: PathBuf,
    /// The CA of the switches' certificates.
    pub ca: PathBuf,
}

/// `[keepalive]`
#[derive(Clone, Debug, Serialize)]
pub struct KeepaliveSection {
    /// A duration: `10s`.
    pub interval: String,
}

/// `[control]`
#[derive(Clone, Debug, Serialize)]
pub struct UplinkSection {
    /// The control nodes.
    pub nodes: Vec<SocketAddr>,
    /// The CA of their certificates.
    pub ca: PathBuf,
    /// The folder in which the agent remembers its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
}

/// `[peer]`
#[derive(Clone, Debug, Serialize)]
pub struct PeerSection {
    /// The address that the other agent dials.
    pub listen: SocketAddr,
    /// The address that the other agent listens at.
    pub connect: SocketAddr,
    /// The CA of the agents' certificates.
    pub ca: PathBuf,
}

/// `[[network]]`
#[derive(Clone, Debug, Serialize)]
pub struct NetworkSection {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Its VNI.
    pub vni: u32,
    /// MAC addresses that are elsewhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remote_macs: Vec<RemoteMac>,
    /// A file with more of them, one `mac vtep` a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_macs_file: Option<PathBuf>,
}

/// One of `remote_macs`.
#[derive(Clone, Debug, Serialize)]
pub struct RemoteMac {
    /// The MAC address.
    pub mac: String,
    /// The tunnel end that it is behind.
    pub vtep: Ipv4Addr,
}

/// `[[switch]]`
#[derive(Clone, Debug, Serialize)]
pub struct SwitchSection {
    /// `Physical_Switch.name`.
    pub name: String,
    /// Its own tunnel end.
    pub vtep: Ipv4Addr,
    /// A pin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Its bindings.
    pub ports: Vec<PortSection>,
}

/// One of `ports`.
#[derive(Clone, Debug, Serialize)]
pub struct PortSection {
    /// `Physical_Port.name`.
    pub port: String,
    /// 0 is untagged.
    pub vlan: u16,
    /// The name of a network.
    pub network: String,
}

impl ListenSection {
    /// Moves every port.
    pub(crate) fn shift(&mut self, shift: impl Fn(u16) -> u16) {
        for listen in self.all() {
            listen.set_port(shift(listen.port()));
        }
    }

    /// Moves to another address.
    pub(crate) fn move_to(&mut self, address: Ipv4Addr) {
        for listen in self.all() {
            listen.set_ip(address.into());
        }
    }

    fn all(&mut self) -> [&mut SocketAddr; 4] {
        [&mut self.ovsdb, &mut self.health, &mut self.agent_check, &mut self.http]
    }
}

impl AgentOptions {
    /// An agent that listens on 6640, 6650, 6651 and 6652 of its own address, with no network and no switch.
    pub fn new(name: &str, address: Ipv4Addr, tsn_ip: Ipv4Addr, credentials: Credentials) -> Self {
        Self {
            agent: AgentSection {
                name: name.into(),
                tsn_ip,
            },
            listen: ListenSection {
                ovsdb: (address, 6640).into(),
                health: (address, 6650).into(),
                agent_check: (address, 6651).into(),
                http: (address, 6652).into(),
                orders: credentials.certificate.with_file_name(format!("{name}.sock")),
                proxy_protocol: false,
            },
            tls: TlsSection {
                certificate: credentials.certificate,
                private_key: credentials.private_key,
                ca: credentials.ca,
            },
            keepalive: KeepaliveSection { interval: "10s".into() },
            control: None,
            peer: None,
            network: Vec::new(),
            switch: Vec::new(),
            more: toml::Table::new(),
            namespace: None,
            tether: None,
        }
    }

    /// The configuration file.
    pub fn toml(&self) -> Result<String> {
        let failed = |error: toml::ser::Error| Error::failed("write a configuration", error);
        let mut table = toml::Table::try_from(self).map_err(failed)?;
        merge(&mut table, &self.more);
        toml::to_string(&table).map_err(failed)
    }
}

/// A ToR agent.
pub struct Agent {
    /// The process, to kill, terminate, stop and continue.
    pub process: Program,
    binary: PathBuf,
    folder: PathBuf,
    options: AgentOptions,
}

impl Agent {
    /// Writes the configuration into a folder named as the agent, and starts `binary agent --config FILE`.
    ///
    /// Waits for nothing: what it is waited for depends on the test.
    pub fn start(scratch: &Scratch, binary: &Path, options: AgentOptions) -> Result<Self> {
        let folder = scratch.folder(&options.agent.name)?;
        configure(&folder, &options)?;
        Ok(Self {
            process: launch(binary, &folder, &options)?,
            binary: binary.into(),
            folder,
            options,
        })
    }

    /// What it was configured with.
    pub fn options(&self) -> &AgentOptions {
        &self.options
    }

    /// Kills it, if it still runs, and starts it again.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = launch(&self.binary, &self.folder, &self.options)?;
        Ok(())
    }

    /// Writes a new configuration and sends SIGHUP.
    pub fn reload(&mut self, options: AgentOptions) -> Result<()> {
        configure(&self.folder, &options)?;
        self.options = options;
        self.process.signal(Signal::SIGHUP)
    }

    /// The lines that it has logged since it was first started.
    pub fn log(&self) -> Vec<String> {
        self.process.log().lines().map(Into::into).collect()
    }

    /// The answer of `/status`.
    pub fn status(&self) -> Result<Value> {
        let body = self.http("/status")?;
        serde_json::from_str(&body).map_err(|error| Error::failed("read /status", error))
    }

    /// The body of a page; fails unless the answer is 200.
    pub fn http(&self, path: &str) -> Result<String> {
        let address = self.options.listen.http;
        match &self.options.namespace {
            None => get(address, path),
            Some(namespace) => netns::inside(namespace, || get(address, path))?,
        }
    }
}

/// Tables are merged, everything else is replaced.
fn merge(table: &mut toml::Table, more: &toml::Table) {
    for (key, value) in more {
        match (table.get_mut(key), value) {
            (Some(toml::Value::Table(table)), toml::Value::Table(more)) => merge(table, more),
            _ => drop(table.insert(key.clone(), value.clone())),
        }
    }
}

fn configure(folder: &Path, options: &AgentOptions) -> Result<()> {
    let file = folder.join("agent.toml");
    fs::write(&file, options.toml()?).map_err(Error::io(format!("write {}", file.display())))
}

fn launch(binary: &Path, folder: &Path, options: &AgentOptions) -> Result<Program> {
    Launch::new(binary)?
        .args(["agent", "--config"])
        .arg(folder.join("agent.toml"))
        .namespace(options.namespace.as_deref())
        .tether(options.tether.as_deref())
        .start(folder.join("agent.log"))
}

pub(super) fn get(address: SocketAddr, path: &str) -> Result<String> {
    let what = format!("GET http://{address}{path}");
    let limit = Duration::from_secs(10);
    let exchange = || {
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(Error::io(&what))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.into()),
        _ => Err(Error::failed(what, answer.lines().next().unwrap_or("no answer"))),
    }
}
