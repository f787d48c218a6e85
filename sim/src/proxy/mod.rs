//! HAProxy, as far as a switch and its agents can observe it: L4, `balance leastconn`, health checks.
//!
//! It behaves as HAProxy 2.6 does by its source (`src/check.c`, `src/backend.c`, `src/lb_fwlc.c`) and as 2.6.12 did
//! when it was tried on loopback. One [`Listen`] is one `listen` section with `mode tcp`; the rest is `plan::Proxy`,
//! where `redispatch` is `option redispatch 1`. Every server has `weight 100`.
//!
//! Left out: the administrator's socket but for `maint` and `ready`, stick tables, `maxconn` and queues, `spread-checks`, the PROXY
//! protocol, and the drift of checks: an answer comes in less than a millisecond, but HAProxy's next check begins an
//! interval after it.
//!
//! To kill the process, drop it and make a new one.

mod balance;
mod event;
mod health;
mod options;
mod process;
mod session;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tandem_core::{ConnId, Deadline, Machine, Time};

pub use event::{DownWhy, Event, SessionEnd};
pub use options::{Listen, Options, Server};

use crate::socket::{Input, Output};
use process::{Process, Shared};
use session::Session;

/// A command to a proxy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// A new process takes new connections and checks the servers afresh. The old one keeps its sessions, without
    /// checks, for as long as `hard_stop_after` allows.
    Reload,
    /// An operator takes the servers at an address out (`set server ... state maint`), or in again (`ready`).
    Order { at: Ipv4Addr, maint: bool },
    /// Ends in good order: accepts no connection any more, closes all. Nothing happens afterwards.
    Stop,
}

/// Why a proxy wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// It was made a moment ago, and has not begun yet.
    Start,
    /// A server does not answer, or is tried again, or an end is silent, or an old process has lived long enough.
    SessionDue,
}

/// How a server does, as the process sees it that takes new connections.
#[derive(Clone, Copy, Debug)]
pub struct ServerState<'a> {
    /// Of which `listen`.
    pub listen: SocketAddrV4,
    pub name: &'a str,
    pub at: SocketAddrV4,
    /// By checks and agent.
    pub up: bool,
    /// The agent has answered `drain`, and not `ready` since.
    pub drained: bool,
    /// An operator has taken it out.
    pub maint: bool,
    /// Whether it can get new connections (a backup: when no other can).
    pub usable: bool,
    /// Sessions that this process gave it.
    pub sessions: u32,
}

/// A client, and where it landed.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// The address that the client dialled.
    pub listen: SocketAddrV4,
    /// The client's address.
    pub from: SocketAddrV4,
    /// The connection to the client.
    pub client: ConnId,
    /// The connection to the server, from the dial on.
    pub server_conn: Option<ConnId>,
    /// The server that was tried last, by name.
    pub server: &'a str,
    /// Whether the server is connected.
    pub open: bool,
    /// Whether a process keeps it that has been replaced.
    pub old: bool,
}

/// A proxy. It begins with its first deadline, which is due at once.
#[derive(Clone, Debug)]
pub struct Proxy {
    options: Options,
    random: ChaCha8Rng,
    /// The one that takes new connections is the last; none before the start and after the end.
    processes: Vec<Process>,
    started: bool,
    shared: Shared,
}

/// The longest time that a new process may take to read its file and to fork; it runs no checks meanwhile.
const STARTUP_US: u64 = 100_000;

impl Machine for Proxy {
    type Input = Input<Command>;
    type Output = Output<Event>;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Self::Input) {
        debug_assert!(self.shared.outputs.is_empty(), "the outputs were not drained");
        self.start();
        let (options, shared) = (&self.options, &mut self.shared);
        match input {
            Input::Accepted { conn, at, from } => self.accepted(now, conn, at, from),
            Input::Connected { conn } => {
                if let Some(process) = process_of(&mut self.processes, conn) {
                    process.connected(now, conn, shared);
                }
            }
            Input::DialFailed { conn, why } => {
                if let Some(process) = process_of(&mut self.processes, conn) {
                    process.dial_failed(now, options, conn, why, shared);
                }
            }
            Input::Bytes { conn, data } => {
                if let Some(process) = process_of(&mut self.processes, conn) {
                    process.bytes(now, conn, data, shared);
                }
            }
            Input::Sent { conn, queued_bytes } => {
                if let Some(process) = process_of(&mut self.processes, conn) {
                    process.queued(now, conn, queued_bytes, shared);
                }
            }
            Input::Finished { conn } => {
                if let Some(process) = process_of(&mut self.processes, conn) {
                    process.finished(conn, shared);
                }
            }
            Input::Lost { conn } => {
                if let Some(process) = process_of(&mut self.processes, conn) {
                    process.lost(conn, shared);
                }
            }
            Input::Checked { check, outcome } => {
                if let Some(process) = self.processes.last_mut() {
                    process.checked(options, check, &outcome, shared);
                }
            }
            Input::Timeout => self.timeout(now),
            Input::Command(Command::Reload) => self.reload(now),
            Input::Command(Command::Order { at, maint }) => {
                if let Some(process) = self.processes.last_mut() {
                    process.order(options, at, maint, shared);
                }
            }
            Input::Command(Command::Stop) => self.stop(),
            Input::Datagram { .. } => {}
        }
        self.bury();
    }

    fn poll_output(&mut self) -> Option<Self::Output> {
        self.shared.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        if !self.started {
            return Some(Deadline {
                at: Time::ORIGIN,
                why: Why::Start,
            });
        }
        let due = self
            .processes
            .iter()
            .filter_map(|process| process.due_at(&self.options));
        due.min().map(|at| Deadline {
            at,
            why: Why::SessionDue,
        })
    }
}

impl Proxy {
    /// A proxy that has not begun yet. The seed decides how long its processes take to start, up to 100 ms.
    pub fn new(seed: u64, options: Options) -> Self {
        Self {
            options,
            random: ChaCha8Rng::seed_from_u64(seed),
            processes: Vec::new(),
            started: false,
            shared: Shared::new(),
        }
    }

    /// Every server of every `listen`, in the order of the options.
    pub fn servers(&self) -> impl Iterator<Item = ServerState<'_>> {
        let balances = self.processes.last().map_or(&[][..], |process| &process.listens);
        self.options.listens.iter().zip(balances).flat_map(|(listen, balance)| {
            balance.members().iter().map(|member| ServerState {
                listen: listen.at,
                name: &member.server.name,
                at: member.server.at,
                up: member.health.up,
                drained: member.health.drained,
                maint: member.health.maint,
                usable: member.health.is_usable(),
                sessions: member.sessions,
            })
        })
    }

    /// Every client that is there, those of old processes first.
    pub fn connections(&self) -> impl Iterator<Item = Connection<'_>> {
        let newest = self.processes.len().saturating_sub(1);
        self.processes.iter().enumerate().flat_map(move |(number, process)| {
            process.sessions.iter().filter_map(move |(client, session)| {
                let listen = self.options.listens.get(session.listen)?;
                let server = session.tried.and_then(|server| listen.servers.get(server));
                Some(Connection {
                    listen: listen.at,
                    from: session.from,
                    client: *client,
                    server_conn: session.server_conn(),
                    server: server.map_or("", |server| &server.name),
                    open: session.is_open(),
                    old: number < newest,
                })
            })
        })
    }

    fn start(&mut self) {
        if !std::mem::replace(&mut self.started, true) {
            let listens = self.options.listens.iter();
            self.shared
                .outputs
                .extend(listens.map(|listen| Output::Listen { at: listen.at }));
            self.fork();
        }
    }

    fn accepted(&mut self, now: Time, conn: ConnId, at: SocketAddrV4, from: SocketAddrV4) {
        let (options, shared) = (&self.options, &mut self.shared);
        let listen = options.listens.iter().position(|listen| listen.at == at);
        match (self.processes.last_mut(), listen) {
            (Some(process), Some(listen)) => {
                let session = Session::new(now, conn, from, listen);
                process.accepted(now, options, conn, session, shared);
            }
            (None, _) | (_, None) => shared.outputs.push_back(Output::Reset { conn }),
        }
    }

    fn timeout(&mut self, now: Time) {
        for process in &mut self.processes {
            process.timeout(now, &self.options, &mut self.shared);
        }
    }

    fn fork(&mut self) {
        let startup = Duration::from_micros(self.random.next_u64() % STARTUP_US);
        let process = Process::new(&self.options, startup, &mut self.shared);
        self.processes.push(process);
    }

    fn reload(&mut self, now: Time) {
        if let Some(process) = self.processes.last_mut() {
            process.stop_checks(&mut self.shared);
            process.ends_at = Some(now + self.options.hard_stop_after);
            self.fork();
        }
    }

    fn stop(&mut self) {
        if let Some(process) = self.processes.last_mut() {
            process.stop_checks(&mut self.shared);
            let listens = self.options.listens.iter();
            self.shared
                .outputs
                .extend(listens.map(|listen| Output::Unlisten { at: listen.at }));
        }
        for mut process in std::mem::take(&mut self.processes) {
            process.end_all(|_| true, SessionEnd::Stopped, &mut self.shared);
        }
    }

    /// An old process ends with its last session.
    fn bury(&mut self) {
        if self.processes.len() > 1 {
            self.processes
                .retain(|process| process.ends_at.is_none() || !process.sessions.is_empty());
        }
    }
}

fn process_of(processes: &mut [Process], conn: ConnId) -> Option<&mut Process> {
    processes.iter_mut().find(|process| process.knows(conn))
}
