//! The connections, from the dial to the end: TLS around them, the server behind them.

use std::net::SocketAddrV4;
use std::time::Duration;

use tandem_core::ConnId;

use super::connection::Connection;
use super::event::{Ended, Event};
use super::reconnect::Action;
use super::remote::Way;
use super::{Device, Output, switch};
use crate::tls::Tls;

/// Above this many accepted connections, the next is closed at once. A round number of the order of the server's own
/// limit.
const MAX_CONNECTIONS: usize = 330;

/// The longest time that the handshake of an accepted connection may take: as long as a silent connection lives.
const HANDSHAKE: Duration = Duration::from_secs(10);

impl Device {
    pub(super) fn accept(&mut self, conn: ConnId, at: SocketAddrV4) {
        let found = self.remotes.iter().find_map(|(target, remote)| match remote.way {
            Way::Listen { at: ours, tls } if ours == at || ours.ip().is_unspecified() && ours.port() == at.port() => {
                Some((target.clone(), tls))
            }
            Way::Listen { .. } | Way::Dial { .. } | Way::Unusable => None,
        });
        let Some((target, tls)) = found.filter(|_| self.connections.len() < MAX_CONNECTIONS) else {
            return self.outputs.push_back(Output::Close { conn });
        };
        let tls = self.options.tls.filter(|_| tls).map(|work| Tls::server(work, None));
        let connection = Connection {
            target,
            is_open: false,
            tls,
            limit: Some(self.now + HANDSHAKE),
            queued_bytes: 0,
        };
        self.connections.insert(conn, connection);
        self.shake(conn);
    }

    pub(super) fn dial(&mut self, target: &str) {
        let Some(Way::Dial { to, conn: dialled, .. }) = self.remotes.get_mut(target).map(|remote| &mut remote.way)
        else {
            return;
        };
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        *dialled = Some(conn);
        self.stale = true;
        self.outputs.push_back(Output::Dial { conn, to: *to });
        let connection = Connection {
            target: target.to_owned(),
            is_open: false,
            tls: None,
            limit: None,
            queued_bytes: 0,
        };
        self.connections.insert(conn, connection);
        let target = target.to_owned();
        self.report(Event::Dialling { target, conn });
    }

    pub(super) fn dialled(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let way = self.remotes.get(&connection.target).map(|remote| &remote.way);
        if matches!(way, Some(Way::Dial { tls: true, .. })) {
            let shown = &self.options.certificate;
            connection.tls = self.options.tls.map(|work| Tls::client(work).showing(shown.clone()));
        }
        self.shake(conn);
    }

    pub(super) fn receive(&mut self, conn: ConnId, data: Vec<u8>) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let data = match &mut connection.tls {
            None => data,
            Some(tls) => match tls.receive(now, data) {
                Ok(data) => data,
                Err(error) => {
                    self.shake(conn);
                    return self.close(conn, Ended::Handshake(error));
                }
            },
        };
        self.shake(conn);
        if !data.is_empty() {
            self.activity(conn);
            self.serve(switch::Input::Bytes { conn, data });
        }
    }

    pub(super) fn sent(&mut self, conn: ConnId, queued_bytes: usize) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        // Bytes that are taken late are a sign of life; bytes that are taken at once prove nothing about the other end.
        if queued_bytes < std::mem::replace(&mut connection.queued_bytes, queued_bytes) {
            self.activity(conn);
        }
        if self.is_open(conn) {
            self.serve(switch::Input::Sent { conn, queued_bytes });
        }
    }

    /// The server answers first what it was asked.
    pub(super) fn finished(&mut self, conn: ConnId) {
        if self.is_open(conn) {
            self.serve(switch::Input::Finished { conn });
        } else {
            self.close(conn, Ended::Closed);
        }
    }

    /// Sends the flights of the handshake, and notifies the server when it has ended.
    pub(super) fn shake(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        if let Some(tls) = &mut connection.tls {
            while let Some(bytes) = tls.poll_send() {
                self.outputs.push_back(Output::Send { conn, bytes });
            }
        }
        if connection.is_open || connection.tls.as_ref().is_some_and(|tls| !tls.is_open()) {
            return;
        }
        connection.is_open = true;
        connection.limit = None;
        self.stale = true;
        let target = connection.target.clone();
        let remote = self.remotes.get_mut(&target);
        let probe = remote.as_ref().and_then(|remote| remote.timers.probe);
        if let Some(Way::Dial { reconnect, .. }) = remote.map(|remote| &mut remote.way) {
            reconnect.connected(self.now);
        }
        self.report(Event::Connected { target, conn });
        self.serve(switch::Input::Connected { conn });
        self.switch.set_probe(conn, probe);
    }

    /// What the back-off of a remote wants now.
    pub(super) fn act(&mut self, target: &str, conn: Option<ConnId>, action: Action) {
        match (action, conn) {
            (Action::Connect, _) => self.dial(target),
            (Action::GiveUp, Some(conn)) => self.close(conn, Ended::GaveUp),
            (Action::GiveUp, None) => {}
        }
    }

    /// Closes the connection, or gives the dial up.
    pub(super) fn close(&mut self, conn: ConnId, why: Ended) {
        self.outputs.push_back(Output::Close { conn });
        self.end(conn, why);
    }

    /// The connection is gone.
    pub(super) fn end(&mut self, conn: ConnId, why: Ended) {
        if self.is_open(conn) {
            self.serve(switch::Input::Closed { conn });
        }
        self.forget(conn, why);
    }

    /// The connection is gone, and the server knows.
    pub(super) fn forget(&mut self, conn: ConnId, why: Ended) {
        let Some(connection) = self.connections.remove(&conn) else {
            return;
        };
        self.stale = true;
        let target = connection.target;
        self.report(if connection.is_open {
            let target = target.clone();
            Event::Disconnected { target, conn, why }
        } else {
            let target = target.clone();
            Event::DialFailed { target, conn, why }
        });
        let Some(Way::Dial { reconnect, conn, .. }) = self.remotes.get_mut(&target).map(|remote| &mut remote.way)
        else {
            return;
        };
        *conn = None;
        let backoff = reconnect.disconnected(self.now);
        let ms = u64::try_from(backoff.as_millis()).unwrap_or(u64::MAX);
        self.report(Event::Backoff { target, ms });
    }

    fn is_open(&self, conn: ConnId) -> bool {
        self.connections.get(&conn).is_some_and(|connection| connection.is_open)
    }

    /// A sign of life, which makes a line good.
    fn activity(&mut self, conn: ConnId) {
        let remote = self.connections.get(&conn).map(|connection| &connection.target);
        let remote = remote.and_then(|target| self.remotes.get_mut(target));
        if let Some(Way::Dial { reconnect, .. }) = remote.map(|remote| &mut remote.way) {
            reconnect.activity(self.now);
        }
    }
}
