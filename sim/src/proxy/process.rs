//! One HAProxy process: its view of the servers, and the sessions that it took. A reload makes a second one.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use tandem_core::{ConnId, Time};

use super::balance::Balance;
use super::event::{Event, SessionEnd};
use super::session::{End, Outputs, Session, Stage};
use super::{Listen, Options};
use crate::socket::{DialFailure, Outcome, Output};

/// How long it waits, at most, before it tries the same server again.
const TURN_AROUND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) listens: Vec<Balance>,
    /// By the client's connection.
    pub(super) sessions: BTreeMap<ConnId, Session>,
    /// The client's connection by the server's.
    clients: BTreeMap<ConnId, ConnId>,
    /// The server of each check, and whether the agent is asked.
    checks: BTreeMap<u64, (usize, usize, bool)>,
    /// Until when an old process may live.
    pub(super) ends_at: Option<Time>,
}

/// What a process shares with those before it.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) outputs: Outputs,
    pub(super) next_conn: u64,
    pub(super) next_check: u64,
}

impl Process {
    /// A fresh one, whose checks begin after `startup`.
    pub(super) fn new(options: &Options, startup: Duration, shared: &mut Shared) -> Self {
        let balance = |listen: &Listen| Balance::new(&listen.servers, &options.proxy);
        let mut process = Self {
            listens: options.listens.iter().map(balance).collect(),
            sessions: BTreeMap::new(),
            clients: BTreeMap::new(),
            checks: BTreeMap::new(),
            ends_at: None,
        };
        process.start_checks(options, startup, shared);
        process
    }

    /// Whether it has this connection.
    pub(super) fn knows(&self, conn: ConnId) -> bool {
        self.sessions.contains_key(&conn) || self.clients.contains_key(&conn)
    }

    /// Checks no more; what it knows of the servers stays as it is.
    pub(super) fn stop_checks(&mut self, shared: &mut Shared) {
        for check in std::mem::take(&mut self.checks).into_keys() {
            shared.outputs.push_back(Output::Uncheck { check });
        }
    }

    pub(super) fn due_at(&self, options: &Options) -> Option<Time> {
        self.sessions
            .values()
            .filter_map(|session| session.due_at(&options.proxy))
            .chain(self.ends_at)
            .min()
    }

    pub(super) fn accepted(
        &mut self,
        now: Time,
        options: &Options,
        client: ConnId,
        session: Session,
        shared: &mut Shared,
    ) {
        self.sessions.insert(client, session);
        self.dial(now, options, client, shared);
    }

    pub(super) fn connected(&mut self, now: Time, conn: ConnId, shared: &mut Shared) {
        let Some(session) = self.clients.get(&conn).and_then(|client| self.sessions.get_mut(client)) else {
            return;
        };
        session.opened(now, conn, &mut shared.outputs);
        let (listen, server, client) = (session.listen, session.server, session.from);
        let server = self.name(listen, server);
        shared.event(Event::ProxySessionOpened { client, server });
    }

    pub(super) fn dial_failed(
        &mut self,
        now: Time,
        options: &Options,
        conn: ConnId,
        why: DialFailure,
        shared: &mut Shared,
    ) {
        if let Some(client) = self.clients.remove(&conn) {
            self.attempt_failed(now, options, client, why, shared);
        }
    }

    pub(super) fn bytes(&mut self, now: Time, conn: ConnId, data: Vec<u8>, shared: &mut Shared) {
        if let Some((_, end, session)) = self.session(conn) {
            session.bytes(now, end, data, &mut shared.outputs);
        }
    }

    pub(super) fn queued(&mut self, now: Time, conn: ConnId, queued_bytes: usize, shared: &mut Shared) {
        if let Some((_, end, session)) = self.session(conn) {
            session.queued(now, end, queued_bytes, &mut shared.outputs);
        }
    }

    pub(super) fn finished(&mut self, conn: ConnId, shared: &mut Shared) {
        let Some((client, end, session)) = self.session(conn) else {
            return;
        };
        let why = match end {
            End::Client => SessionEnd::ClientClosed,
            End::Server => SessionEnd::ServerClosed,
        };
        if let Some(why) = session.finished(end, why, &mut shared.outputs) {
            self.end(client, why, shared);
        }
    }

    pub(super) fn lost(&mut self, conn: ConnId, shared: &mut Shared) {
        match self.session(conn) {
            Some((client, End::Client, _)) => self.end(client, SessionEnd::ClientLost, shared),
            Some((client, End::Server, _)) => self.end(client, SessionEnd::ServerLost, shared),
            None => {}
        }
    }

    /// A check found something; the next one is asked for.
    pub(super) fn checked(&mut self, options: &Options, check: u64, outcome: &Outcome, shared: &mut Shared) {
        let Some((listen, server, agent)) = self.checks.get(&check).copied() else {
            return;
        };
        let Some(balance) = self.listens.get_mut(listen) else {
            return;
        };
        let maint = |balance: &Balance| balance.member(server).is_some_and(|member| member.health.maint);
        let before = maint(balance);
        let events = balance.learn(server, |health, server| {
            if agent {
                health.on_agent_check(server, outcome)
            } else {
                health.checked(server, outcome)
            }
        });
        let what = balance.member(server).and_then(|member| {
            let (health, server, found) = (&member.health, &member.server, Some(outcome));
            if agent {
                health.agent_check(server, &options.proxy, found, None)
            } else {
                Some(health.check(server, &options.proxy, found, None))
            }
        });
        if let Some(what) = what {
            shared.outputs.push_back(Output::Check { check, what });
        }
        if maint(balance) != before {
            self.check_anew(options, listen, server, shared);
        }
        self.report(options, (listen, server), events, shared);
    }

    /// An operator sets `maint` or `ready`, in every `listen`.
    pub(super) fn order(&mut self, options: &Options, at: Ipv4Addr, maint: bool, shared: &mut Shared) {
        let servers = options.listens.iter().enumerate().flat_map(|(listen, it)| {
            let servers = it.servers.iter().enumerate();
            servers.filter_map(move |(server, it)| (*it.at.ip() == at).then_some((listen, server)))
        });
        for (listen, server) in servers {
            let Some(balance) = self.listens.get_mut(listen) else {
                continue;
            };
            let events = balance.learn(server, |health, server| {
                if maint {
                    health.maintain(server)
                } else {
                    health.ready(server)
                }
            });
            self.check_anew(options, listen, server, shared);
            self.report(options, (listen, server), events, shared);
        }
    }

    /// What the last checks of a server found counts no more.
    fn check_anew(&self, options: &Options, listen: usize, server: usize, shared: &mut Shared) {
        let Some(member) = self.listens.get(listen).and_then(|balance| balance.member(server)) else {
            return;
        };
        for (check, (of_listen, of_server, agent)) in &self.checks {
            if (*of_listen, *of_server) != (listen, server) {
                continue;
            }
            let (health, server) = (&member.health, &member.server);
            let what = if *agent {
                health.agent_check(server, &options.proxy, None, None)
            } else {
                Some(health.check(server, &options.proxy, None, None))
            };
            let check = *check;
            shared.outputs.extend(what.map(|what| Output::Check { check, what }));
        }
    }

    /// Reports what became of a server; if it is down, its sessions may end.
    fn report(&mut self, options: &Options, (listen, server): (usize, usize), events: Vec<Event>, shared: &mut Shared) {
        for event in events {
            let down = matches!(event, Event::ServerDown { .. });
            shared.event(event);
            if down && options.proxy.shutdown_sessions {
                self.end_all(
                    |session| (session.listen, session.server) == (listen, Some(server)),
                    SessionEnd::ServerDown,
                    shared,
                );
            }
        }
    }

    /// Does what is due.
    pub(super) fn timeout(&mut self, now: Time, options: &Options, shared: &mut Shared) {
        if self.ends_at.is_some_and(|at| at <= now) {
            return self.end_all(|_| true, SessionEnd::HardStop, shared);
        }
        let is_due = |session: &Session| session.due_at(&options.proxy).is_some_and(|at| at <= now);
        let due: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| is_due(session))
            .map(|(client, _)| *client)
            .collect();
        for client in due {
            let Some(session) = self.sessions.get_mut(&client) else {
                continue;
            };
            match session.stage {
                Stage::Waiting { .. } => self.dial(now, options, client, shared),
                Stage::Dialling { conn, .. } => {
                    self.clients.remove(&conn);
                    shared.outputs.push_back(Output::Close { conn });
                    self.attempt_failed(now, options, client, DialFailure::TimedOut, shared);
                }
                Stage::Open { .. } => {
                    if let Some(why) = session.silent(now, &options.proxy, &mut shared.outputs) {
                        self.end(client, why, shared);
                    }
                }
            }
        }
    }

    /// Ends sessions.
    pub(super) fn end_all(&mut self, which: impl Fn(&Session) -> bool, why: SessionEnd, shared: &mut Shared) {
        let ends: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| which(session))
            .map(|(client, _)| *client)
            .collect();
        for client in ends {
            self.end(client, why, shared);
        }
    }

    /// Staggers the first checks of all servers, as HAProxy's `start_checks` does: by their number, over the shortest
    /// interval of those of a second or more; shorter intervals are each its own measure.
    fn start_checks(&mut self, options: &Options, startup: Duration, shared: &mut Shared) {
        let proxy = &options.proxy;
        let mut all = Vec::new();
        for (listen, balance) in self.listens.iter().enumerate() {
            for (server, member) in balance.members().iter().enumerate() {
                all.push((listen, server, false, member.health.check_interval(proxy)));
                if proxy.agent_check && member.server.agent_check_at.is_some() {
                    all.push((listen, server, true, proxy.inter.duration()));
                }
            }
        }
        let long = |interval: &Duration| *interval >= Duration::from_secs(1);
        let shortest = all
            .iter()
            .map(|(.., interval)| *interval)
            .filter(long)
            .min()
            .unwrap_or_default();
        let count = u32::try_from(all.len()).unwrap_or(u32::MAX).max(1);
        for (position, (listen, server, agent, interval)) in (0..).zip(all) {
            let first = Some(startup + interval.max(shortest) * position / count);
            let Some(member) = self.listens.get(listen).and_then(|balance| balance.member(server)) else {
                continue;
            };
            let what = if agent {
                member.health.agent_check(&member.server, proxy, None, first)
            } else {
                Some(member.health.check(&member.server, proxy, None, first))
            };
            if let Some(what) = what {
                let check = shared.next_check;
                shared.next_check += 1;
                self.checks.insert(check, (listen, server, agent));
                shared.outputs.push_back(Output::Check { check, what });
            }
        }
    }

    /// The next attempt: with the server that the session has, or with one that is chosen.
    fn dial(&mut self, now: Time, options: &Options, client: ConnId, shared: &mut Shared) {
        let Some(session) = self.sessions.get_mut(&client) else {
            return;
        };
        let (listen, tried, from) = (session.listen, session.tried, session.from);
        let Some(balance) = self.listens.get_mut(listen) else {
            return;
        };
        let Some(index) = session.server.or_else(|| balance.pick(tried)) else {
            if let Some(session) = self.sessions.remove(&client) {
                session.close(SessionEnd::Unreachable, &mut shared.outputs);
            }
            return shared.event(Event::NoServer { client: from });
        };
        if session.server.replace(index).is_none() {
            balance.take(index);
        }
        session.tried = Some(index);
        let conn = ConnId(shared.next_conn);
        shared.next_conn += 1;
        let until = options.proxy.timeout_connect.unless_zero().map(|timeout| now + timeout);
        session.stage = Stage::Dialling { conn, until };
        self.clients.insert(conn, client);
        if let Some(member) = balance.member(index) {
            let to = member.server.at;
            shared.outputs.push_back(Output::Dial { conn, to });
        }
        if let Some(before) = tried.filter(|before| *before != index) {
            let (from_server, to) = (self.name(listen, Some(before)), self.name(listen, Some(index)));
            shared.event(Event::Redispatched {
                client: from,
                from: from_server,
                to,
            });
        }
    }

    /// A server could not be reached. With `option redispatch 1` another is tried at once; the same one, or the only
    /// one, after a second or `timeout connect`, if that is shorter, unless the attempt itself took that time.
    /// (`back_handle_st_cer`; HAProxy 2.6.12, tried: `retries 3` are four attempts.)
    fn attempt_failed(&mut self, now: Time, options: &Options, client: ConnId, why: DialFailure, shared: &mut Shared) {
        let Some(session) = self.sessions.get_mut(&client) else {
            return;
        };
        session.failures += 1;
        session.stage = Stage::Waiting { until: now };
        if session.failures > options.proxy.retries {
            return self.end(client, SessionEnd::Unreachable, shared);
        }
        let listen = session.listen;
        let mut wait = why == DialFailure::Refused;
        if options.proxy.redispatch {
            let server = session.server.take();
            let balance = self.listens.get_mut(listen);
            if let (Some(balance), Some(server)) = (balance, server) {
                balance.release(server);
                wait &= balance.active() <= 1;
            }
        }
        if wait {
            let connect = options.proxy.timeout_connect.unless_zero();
            let until = now + connect.unwrap_or(TURN_AROUND).min(TURN_AROUND);
            if let Some(session) = self.sessions.get_mut(&client) {
                session.stage = Stage::Waiting { until };
            }
        } else {
            self.dial(now, options, client, shared);
        }
    }

    fn end(&mut self, client: ConnId, why: SessionEnd, shared: &mut Shared) {
        let Some(session) = self.sessions.remove(&client) else {
            return;
        };
        if let Some(conn) = session.server_conn() {
            self.clients.remove(&conn);
        }
        if let (Some(server), Some(balance)) = (session.server, self.listens.get_mut(session.listen)) {
            balance.release(server);
        }
        let server = self.name(session.listen, session.tried);
        let client = session.from;
        session.close(why, &mut shared.outputs);
        shared.event(Event::ProxySessionClosed { client, server, why });
    }

    fn session(&mut self, conn: ConnId) -> Option<(ConnId, End, &mut Session)> {
        let (client, end) = match self.clients.get(&conn) {
            Some(client) => (*client, End::Server),
            None => (conn, End::Client),
        };
        self.sessions.get_mut(&client).map(|session| (client, end, session))
    }

    fn name(&self, listen: usize, server: Option<usize>) -> String {
        self.listens
            .get(listen)
            .and_then(|balance| balance.member(server?))
            .map(|member| member.server.name.clone())
            .unwrap_or_default()
    }
}

impl Shared {
    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn new() -> Self {
        Self {
            outputs: Outputs::new(),
            next_conn: 1,
            next_check: 1,
        }
    }
}
