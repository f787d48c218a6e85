//! A top-of-rack switch as a box on the network: the emulated OVSDB server, and the program around it that dials its
//! managers as `ovsdb-server --remote=db:hardware_vtep,Global,managers` does.
//!
//! The server (`crate::switch`) answers, is busy, and probes; this program dials, backs off, listens and runs
//! handshakes. The server probes, because a server that renders a dump neither reads nor probes; this program passes it
//! the timer of each connection from the `Manager` row. For the same reason nothing happens here while the server is
//! busy.
//!
//! Power is outside: to switch the box off, stop calling it; to switch it on again, send [`Command::Booted`].

mod connection;
mod dialling;
mod event;
mod managers;
mod moved;
mod reconnect;
mod remote;
mod startup;
mod target;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;
use std::time::Duration;

use serde_json::Value;
use tandem_core::{ConnId, Deadline, Machine, Time};

pub use event::{Committed, Ended, Event};
pub use moved::Moved;
pub use reconnect::{Action, Reconnect, State};
pub use startup::{Manager, Physical, Startup};
pub use target::{Target, TargetError};

use crate::socket;
use crate::switch::{self, Commit, Switch};
use crate::tls::{Shown, Tls};
use connection::Connection;
use remote::{Remote, Way};

/// What happens to it.
pub type Input = socket::Input<Command>;
/// Its outputs.
pub type Output = socket::Output<Event>;

/// A command to a switch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// It starts again. Its kernel has forgotten every connection, and notifies no peer. Without its database it begins
    /// with its start-up configuration.
    Booted { keeps_database: bool },
    /// A program on the switch runs these operations as one transaction.
    Edit(Value),
}

/// Why it wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// The back-off is over.
    DialDue,
    /// A dial, or the handshake of an accepted connection, has timed out.
    GivenUp,
    /// Its end of a handshake is computed.
    Handshake,
    /// The server has something to do.
    Server(switch::Why),
}

/// The kind of switch.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its server.
    pub switch: switch::Options,
    /// What its start-up configuration writes into an empty database.
    pub startup: Startup,
    /// Remotes of the command line, which no row names and none can change.
    pub remotes: Vec<String>,
    /// What a flight of the modelled TLS takes of the processor, for `ssl:` and `pssl:`. `None`: TLS is the
    /// environment's business, and it may ask [`Device::is_tls`].
    pub tls: Option<Duration>,
    /// The certificate that it shows when it dials.
    pub certificate: Shown,
    /// The lock whose holder is reported.
    pub lock: String,
    /// Whether commits are kept for [`Device::take_commits`]. The caller then has to take them.
    pub keep_commits: bool,
    /// Whether [`Device::take_moved`] is asked for the MACs that went elsewhere.
    pub follows_moved: bool,
}

impl Options {
    /// A switch with this server, and nothing else.
    pub fn new(switch: switch::Options) -> Self {
        Self {
            switch,
            startup: Startup::default(),
            remotes: Vec::new(),
            tls: None,
            certificate: Shown::Any,
            lock: "tandem".to_owned(),
            keep_commits: false,
            follows_moved: false,
        }
    }
}

/// A top-of-rack switch. It is booted when it is made, at the origin of time: its first outputs are there.
#[derive(Clone, Debug)]
pub struct Device {
    options: Options,
    switch: Switch,
    remotes: BTreeMap<String, Remote>,
    connections: BTreeMap<ConnId, Connection>,
    /// The number of the last connection that it dialled.
    last_conn: u64,
    lock_holder: Option<ConnId>,
    /// Whether the state of a connection may differ from its row.
    stale: bool,
    commits: Vec<Commit>,
    moved: Moved,
    outputs: VecDeque<Output>,
    now: Time,
}

impl Machine for Device {
    type Input = Input;
    type Output = Output;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Input) {
        debug_assert!(self.outputs.is_empty(), "the outputs were not drained");
        self.now = now;
        // A side door may have left something.
        self.drain_switch();
        match input {
            Input::Accepted { conn, at, from: _ } => self.accept(conn, at),
            Input::Connected { conn } => self.dialled(conn),
            Input::DialFailed { conn, why } => self.forget(conn, Ended::Dial(why)),
            Input::Bytes { conn, data } => self.receive(conn, data),
            Input::Sent { conn, queued_bytes } => self.sent(conn, queued_bytes),
            Input::Finished { conn } => self.finished(conn),
            Input::Lost { conn } => self.end(conn, Ended::Lost),
            Input::Timeout | Input::Checked { .. } | Input::Datagram { .. } => {}
            Input::Command(Command::Booted { keeps_database }) => self.boot(keeps_database),
            Input::Command(Command::Edit(operations)) => self.edit(operations),
        }
        self.propagate();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        let server = self.switch.poll_timeout().map(|Deadline { at, why }| Deadline {
            at,
            why: Why::Server(why),
        });
        if server.is_some_and(|server| server.why == Why::Server(switch::Why::Busy) && server.at > self.now) {
            return server;
        }
        let dials = self.remotes.values().map(|remote| {
            let Way::Dial { reconnect, .. } = &remote.way else {
                return None;
            };
            let why = match reconnect.state() {
                State::Backoff => Why::DialDue,
                State::Connecting | State::Active => Why::GivenUp,
            };
            reconnect.deadline().map(|at| Deadline { at, why })
        });
        let handshakes = self.connections.values().flat_map(|connection| {
            let computed = connection.tls.as_ref().and_then(Tls::poll_timeout);
            let at = |why| move |at| Deadline { at, why };
            [computed.map(at(Why::Handshake)), connection.limit.map(at(Why::GivenUp))]
        });
        Deadline::earliest(dials.chain(handshakes).chain([server]))
    }
}

impl Device {
    /// A switch. The seed decides every uuid that it makes.
    pub fn new(seed: u64, mut options: Options) -> Self {
        options.switch.keeps_commits = true;
        let mut new = Self {
            switch: Switch::with_options(seed, options.switch.clone()),
            options,
            remotes: BTreeMap::new(),
            connections: BTreeMap::new(),
            last_conn: 0,
            lock_holder: None,
            stale: false,
            commits: Vec::new(),
            moved: Moved::new(),
            outputs: VecDeque::new(),
            now: Time::ORIGIN,
        };
        new.boot(false);
        new.propagate();
        new
    }

    /// Its server, for observers.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// The MACs whose remote row was written since this was asked last, if it is followed, and no later local one.
    pub fn take_moved(&mut self) -> Moved {
        std::mem::take(&mut self.moved)
    }

    /// Its server, for preparation. Its outputs follow with the next input.
    pub fn switch_mut(&mut self) -> &mut Switch {
        &mut self.switch
    }

    /// Runs a transaction as a program on the switch would, and returns the results. Leaves outputs.
    pub fn local(&mut self, now: Time, operations: Value) -> Value {
        self.now = now;
        let results = self.switch.local(now, operations);
        self.drain_switch();
        self.propagate();
        results
    }

    /// The remotes: the target's text, and the state of the connection; `None` for a listener.
    pub fn remotes(&self) -> impl Iterator<Item = (&str, Option<State>)> {
        self.remotes.iter().map(|(target, remote)| {
            let state = match &remote.way {
                Way::Dial { reconnect, .. } => Some(reconnect.state()),
                Way::Listen { .. } | Way::Unusable => None,
            };
            (target.as_str(), state)
        })
    }

    /// Whether this connection, dialled by the switch, is to be TLS.
    pub fn is_tls(&self, conn: ConnId) -> bool {
        let way = self
            .connections
            .get(&conn)
            .and_then(|connection| self.remotes.get(&connection.target));
        matches!(way.map(|remote| &remote.way), Some(Way::Dial { tls: true, .. }))
    }

    /// Whether clients of this address of the switch must use TLS.
    pub fn is_tls_at(&self, address: SocketAddrV4) -> bool {
        let mut ways = self.remotes.values().map(|remote| &remote.way);
        ways.any(|way| matches!(way, Way::Listen { at, tls: true } if *at == address))
    }

    /// It shows this certificate from now on, when it dials.
    pub fn show(&mut self, certificate: Shown) {
        self.options.certificate = certificate;
    }

    /// Changes the tunnel end in its start-up configuration.
    pub fn set_tunnel_ip(&mut self, tunnel_ip: std::net::Ipv4Addr) {
        if let Some(physical) = &mut self.options.startup.physical {
            physical.tunnel_ip = tunnel_ip.to_string();
        }
    }

    fn boot(&mut self, keeps_database: bool) {
        self.connections.clear();
        self.remotes.clear();
        self.moved.clear();
        self.report(Event::Booted { keeps_database });
        self.switch.reboot(self.now, keeps_database);
        let startup = self.options.startup.operations(&self.switch);
        if !startup.is_empty() {
            self.switch.local(self.now, startup.into());
        }
        self.drain_switch();
        self.follow();
        self.reconcile();
    }

    fn edit(&mut self, operations: Value) {
        let results = self.switch.local(self.now, operations);
        self.drain_switch();
        let failed = |result: &Value| result.get("error").is_some();
        if results.as_array().is_none_or(|results| results.iter().any(failed)) {
            let results = results.to_string();
            self.report(Event::EditRejected { results });
        }
    }

    fn serve(&mut self, input: switch::Input) {
        self.switch.handle(self.now, input);
        self.drain_switch();
    }

    fn drain_switch(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                switch::Output::Send { conn, bytes } => self.outputs.push_back(Output::Send { conn, bytes }),
                switch::Output::Read { conn, on } => self.outputs.push_back(Output::Read { conn, on }),
                switch::Output::Close { conn, why } => {
                    self.outputs.push_back(Output::Close { conn });
                    let ended = match why.fault {
                        None => Ended::Closed,
                        Some(_) => Ended::ServerClosed(why.detail),
                    };
                    self.forget(conn, ended);
                }
            }
        }
    }

    /// What follows from an input: locks, commits, rows, timers.
    fn propagate(&mut self) {
        self.watch_lock();
        self.follow();
        if self.poll_timeout().is_some_and(|deadline| deadline.at <= self.now) {
            self.wake();
            self.watch_lock();
            self.follow();
        }
        self.write_status();
    }

    fn wake(&mut self) {
        let now = self.now;
        let due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if due(self.switch.poll_timeout().map(|deadline| deadline.at)) {
            self.serve(switch::Input::Timeout);
        }
        if self.is_busy() {
            return;
        }
        let dials: Vec<_> = self
            .remotes
            .iter_mut()
            .filter_map(|(target, remote)| match &mut remote.way {
                Way::Dial { reconnect, conn, .. } => Some((target.clone(), *conn, reconnect.run(now)?)),
                Way::Listen { .. } | Way::Unusable => None,
            })
            .collect();
        for (target, conn, action) in dials {
            self.act(&target, conn, action);
        }
        let (mut computed, mut given_up) = (Vec::new(), Vec::new());
        for (conn, connection) in &mut self.connections {
            if due(connection.limit) {
                given_up.push(*conn);
            } else if let Some(tls) = connection.tls.as_mut().filter(|tls| due(tls.poll_timeout())) {
                tls.wake(now);
                computed.push(*conn);
            }
        }
        computed.into_iter().for_each(|conn| self.shake(conn));
        given_up.into_iter().for_each(|conn| self.close(conn, Ended::GaveUp));
    }

    /// Whether the server's one thread renders a dump.
    fn is_busy(&self) -> bool {
        let deadline = self.switch.poll_timeout();
        deadline.is_some_and(|deadline| deadline.why == switch::Why::Busy && deadline.at > self.now)
    }

    fn watch_lock(&mut self) {
        let to = self.switch.lock_holder(&self.options.lock);
        if to != self.lock_holder {
            let from = std::mem::replace(&mut self.lock_holder, to);
            let lock = self.options.lock.clone();
            self.report(Event::LockPassed { lock, from, to });
        }
    }

    fn report(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
