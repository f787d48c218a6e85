//! A real HAProxy in front of the agents, in the foreground and under our control.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::program::{self, Launch, Program};
use super::scratch::Scratch;
use super::{Error, Result};

/// Its listeners, and the agents behind them.
#[derive(Clone, Debug, Default)]
pub struct HaproxyOptions {
    /// One for each target of the switches.
    pub listens: Vec<Listen>,
    /// Whether it sends the agents the source of each connection (PROXY protocol version 2). Never on the health port:
    /// HAProxy leaves the header out of checks that have a `port` of their own.
    pub send_proxy_v2: bool,
    /// The network namespace that it is in.
    pub namespace: Option<String>,
}

/// A `listen` section.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Its name.
    pub name: String,
    /// The address that the switches dial.
    pub bind: SocketAddr,
    /// The agents.
    pub backends: Vec<Backend>,
}

/// A `server` of a `listen` section.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// The agent's address.
    pub address: Ipv4Addr,
    /// The address at which the agent listens for switches.
    pub ovsdb: u16,
    /// Where it answers echoes.
    pub health: u16,
    /// Where it serves its grade; `None` leaves the agent-check out.
    pub agent_check: Option<u16>,
    /// Only used while no other backend is up.
    pub backup: bool,
}

/// A server as HAProxy sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerState {
    /// The `listen` section.
    pub listen: String,
    /// The backend's name.
    pub name: String,
    /// `UP`, `DOWN`, `DRAIN`, `UP 1/2`, `DOWN (agent)` ...
    pub status: String,
    /// Connections that it holds at the moment.
    pub sessions: u64,
    /// How the last health check ended: `L7OK`, `L4CON` ...; empty before the first.
    pub check: String,
}

/// A running HAProxy.
pub struct Haproxy {
    /// The newest process, to kill, stop and continue.
    pub process: Program,
    /// Processes that are replaced and still serve the connections that they have.
    leaving: Vec<Program>,
    scratch: Scratch,
    folder: PathBuf,
    options: HaproxyOptions,
}

impl Haproxy {
    /// Starts it in a folder of this name and waits until it listens.
    pub fn start(scratch: &Scratch, name: &str, options: HaproxyOptions) -> Result<Self> {
        let folder = scratch.folder(name)?;
        let haproxy = Self {
            process: launch(&folder, &options, None)?,
            leaving: Vec::new(),
            scratch: scratch.clone(),
            folder,
            options,
        };
        haproxy.wait_until_it_answers()?;
        Ok(haproxy)
    }

    /// What it was started with.
    pub fn options(&self) -> &HaproxyOptions {
        &self.options
    }

    /// A new process with these options takes the listeners over; the old one keeps the connections that it has.
    pub fn reload(&mut self, options: HaproxyOptions) -> Result<()> {
        let process = launch(&self.folder, &options, Some(self.process.pid()))?;
        self.options = options;
        let old = std::mem::replace(&mut self.process, process);
        self.leaving.push(old);
        self.wait_until_it_answers()
    }

    /// Kills it, if it still runs, together with those that a reload left behind, and starts it again.
    pub fn restart(&mut self) -> Result<()> {
        self.leaving.clear();
        self.process.kill()?;
        self.process = launch(&self.folder, &self.options, None)?;
        self.wait_until_it_answers()
    }

    /// Every server, in the order of the configuration (`show stat` on the admin socket).
    pub fn servers(&self) -> Result<Vec<ServerState>> {
        const OF_SERVERS: &str = "show stat -1 4 -1";
        let table = self.command(OF_SERVERS)?;
        let mut lines = table.lines();
        let header: Vec<&str> = lines
            .next()
            .unwrap_or_default()
            .trim_start_matches("# ")
            .split(',')
            .collect();
        let row = |line: &str| {
            let cells: Vec<&str> = line.split(',').collect();
            let cell = |name| {
                header
                    .iter()
                    .position(|known| *known == name)
                    .and_then(|at| cells.get(at).copied())
            };
            Some(ServerState {
                listen: cell("pxname")?.into(),
                name: cell("svname")?.into(),
                status: cell("status")?.into(),
                sessions: cell("scur")?.parse().ok()?,
                check: cell("check_status")?.trim_start_matches("* ").into(),
            })
        };
        lines
            .filter(|line| !line.is_empty())
            .map(|line| row(line).ok_or_else(|| Error::failed(OF_SERVERS, line)))
            .collect()
    }

    /// Runs a command on the admin socket: `show servers state`, `set server agents/a state maint` ...
    pub fn command(&self, command: &str) -> Result<String> {
        let exchange = || {
            let mut stream = UnixStream::connect(self.folder.join("admin.sock"))?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            writeln!(stream, "{command}")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        exchange().map_err(Error::io(format!("send HAProxy `{command}`")))
    }

    /// The state that the newest process answers from: after a reload the old one may still hold the socket.
    fn wait_until_it_answers(&self) -> Result<()> {
        let pid = format!("Pid: {}", self.process.pid());
        let answer = || {
            if let Some(status) = self.process.exited() {
                let log = self.process.log();
                return Some(Err(Error::failed("start HAProxy", format!("{status}\n{log}"))));
            }
            let info = self.command("show info").ok()?;
            info.lines().any(|line| line == pid).then_some(Ok(()))
        };
        self.scratch.wait_until("HAProxy", Duration::from_secs(30), answer)?
    }
}

impl HaproxyOptions {
    /// The configuration file, but for its `global` section.
    pub fn configuration(&self) -> String {
        let mut text = String::from(DEFAULTS);
        for listen in &self.listens {
            // Writing to a string cannot fail.
            let _ = write!(text, "\nlisten {}\n  bind {}\n{LISTEN}", listen.name, listen.bind);
            for backend in &listen.backends {
                let Backend {
                    name,
                    address,
                    ovsdb,
                    health,
                    ..
                } = backend;
                let _ = write!(text, "  server {name} {address}:{ovsdb} check port {health} {SERVER}");
                if let Some(port) = backend.agent_check {
                    let _ = write!(text, " agent-check agent-port {port} agent-inter 200");
                }
                text += if self.send_proxy_v2 { " send-proxy-v2" } else { "" };
                text += if backend.backup { " backup\n" } else { "\n" };
            }
        }
        text
    }
}

const DEFAULTS: &str = "
defaults
  mode tcp
  timeout connect 300ms
  timeout client 1h
  timeout server 1h
  timeout check 300ms
  retries 3
";

/// The check is an OVSDB echo: `{\"method\":\"echo\",\"params\":[],\"id\":\"h\"}`.
const LISTEN: &str = "  balance leastconn
  option redispatch 1
  option tcp-check
  tcp-check connect
  tcp-check send-binary 7b226d6574686f64223a226563686f222c22706172616d73223a5b5d2c226964223a2268227d
  tcp-check expect string result
";

const SERVER: &str = "weight 100 inter 200 fastinter 100 downinter 500 fall 2 rise 2 on-marked-down shutdown-sessions";

/// Starts it; `old` leaves its listeners as soon as the new one has them.
fn launch(folder: &std::path::Path, options: &HaproxyOptions, old: Option<u32>) -> Result<Program> {
    let file = folder.join("haproxy.cfg");
    let socket = folder.join("admin.sock");
    let global = format!("global\n  stats socket {} level admin\n", socket.display());
    fs::write(&file, global + &options.configuration()).map_err(Error::io(format!("write {}", file.display())))?;
    program::run(
        "haproxy",
        [std::path::Path::new("-c"), "-q".as_ref(), "-f".as_ref(), &file],
    )?;
    let mut launch = Launch::new("haproxy")?
        .args(["-db", "-f"])
        .arg(&file)
        .namespace(options.namespace.as_deref());
    if let Some(pid) = old {
        launch = launch.args(["-sf", &pid.to_string()]);
    }
    launch.start(folder.join("haproxy.log"))
}
