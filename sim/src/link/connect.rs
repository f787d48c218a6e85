//! How a connection comes to be: SYN, SYN-ACK, ACK, each of which may be lost.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use tandem_core::{ConnId, Time};

use super::pipe::{End, Piece, Pipe};
use super::{Arrival, Conn, HostId, Key, Links, Step};
use crate::socket::{ACCEPTED, DialFailure};

/// An unanswered SYN is sent again after 1 s, 2 s, 4 s ...; after 127 s the kernel gives up.
const SYN_ATTEMPTS: u32 = 7;

/// How long a kernel keeps the entry of a neighbour that does not answer: a delay of 5 s, then three probes.
pub(super) const NEIGHBOUR_PROBES: Duration = Duration::from_secs(8);

impl Links {
    /// A program on the host takes connections at this address.
    pub fn listen(&mut self, host: HostId, at: SocketAddrV4) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.listening.insert(at);
        }
    }

    /// It takes none any more.
    pub fn unlisten(&mut self, host: HostId, at: SocketAddrV4) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.listening.remove(&at);
        }
    }

    /// Whether a program accepts connections there.
    pub fn listens(&self, host: HostId, at: SocketAddrV4) -> bool {
        self.hosts
            .get(host.0)
            .is_some_and(|host| host.powered && host.listening.contains(&at))
    }

    /// A program on the host dials.
    pub fn dial(&mut self, now: Time, host: HostId, conn: ConnId, to: SocketAddrV4) {
        let Some(dialler) = self.hosts.get_mut(host.0) else {
            return;
        };
        dialler.port = dialler.port.checked_add(1).unwrap_or(32_768);
        let from = SocketAddrV4::new(dialler.address, dialler.port);
        self.numbers += 1;
        let key = self.numbers;
        let ends = [End::new(host, conn, from), End::unborn(to)];
        let pipes = [Pipe::default(), Pipe::default()];
        let accepted = false;
        self.conns.insert(key, Conn { ends, pipes, accepted });
        self.ends.insert((host, conn), (key, 0));
        self.send_syn(now, key, 0);
    }

    pub(super) fn send_syn(&mut self, now: Time, key: Key, attempt: u32) {
        let Some(conn) = self.conns.get(&key) else { return };
        let [dialler, other] = &conn.ends;
        if dialler.connected || !dialler.app || !dialler.kernel {
            return;
        }
        let (from, conn, address) = (dialler.host, dialler.conn, *other.address.ip());
        if attempt >= SYN_ATTEMPTS {
            let why = DialFailure::TimedOut;
            return self.conclude(key, 0, Arrival::DialFailed { conn, why });
        }
        self.doubt(now, from, address);
        if let Some(host) = self.resolve(from, address).filter(|host| self.passable(from, *host)) {
            let at = self.draw_arrival(now, from, host);
            self.plan(at, Step::SynArrives { key, host });
        }
        let attempt = attempt + 1;
        self.plan(
            now + Duration::from_secs(1 << (attempt - 1)),
            Step::Syn { key, attempt },
        );
    }

    /// When a neighbour has not answered for long enough, the kernel asks for the address on the segment again, and
    /// takes the host that holds it now.
    pub(super) fn doubt(&mut self, now: Time, from: HostId, address: Ipv4Addr) {
        let answers = |host: &HostId| self.passable(from, *host) && self.passable(*host, from);
        let claims = || self.claims.get(&address).into_iter().flatten();
        let believed = self.resolve(from, address);
        if believed.is_some_and(|host| claims().any(|claim| *claim == host) && answers(&host)) {
            self.doubts.remove(&(from, address));
            return;
        }
        let found = claims().find(|host| answers(host)).copied();
        let since = *self.doubts.entry((from, address)).or_insert(now);
        if let Some(host) = found.filter(|_| now.since(since) >= NEIGHBOUR_PROBES) {
            self.doubts.remove(&(from, address));
            self.believed.insert((from, address), host);
        }
    }

    pub(super) fn syn_arrives(&mut self, now: Time, key: Key, host: HostId) {
        let Some(conn) = self.conns.get_mut(&key) else { return };
        let (dialler, at) = (conn.ends[0].host, conn.ends[1].address);
        let known = conn.accepted;
        let claimed = self.claims.get(at.ip()).is_some_and(|claims| claims.contains(&host));
        let powered = self.hosts.get(host.0).is_some_and(|host| host.powered);
        if !claimed || !powered {
            return;
        }
        let listens = self.listens(host, at);
        if listens && !known {
            self.numbers += 1;
            let end = End::new(host, ConnId(ACCEPTED + self.numbers), at);
            if let Some(conn) = self.conns.get_mut(&key) {
                conn.ends[1] = End {
                    app: false,
                    connected: true,
                    ..end
                };
                conn.accepted = true;
            }
        }
        if self.passable(host, dialler) {
            let at = self.draw_arrival(now, host, dialler);
            let answer = if listens || known {
                Step::SynAck { key }
            } else {
                Step::Refusal { key }
            };
            self.plan(at, answer);
        }
    }

    pub(super) fn syn_ack_arrives(&mut self, now: Time, key: Key) {
        let Some(conn) = self.conns.get_mut(&key) else { return };
        let dialler = &mut conn.ends[0];
        if !dialler.kernel {
            return self.send_reset(now, key, 1);
        }
        if !dialler.connected {
            dialler.connected = true;
            dialler.inbox.push_back(Piece::Connected);
            self.take_in(now, key, 0);
            self.launch(now, key, 0, Piece::Established);
        }
    }

    pub(super) fn refused(&mut self, key: Key) {
        let Some(conn) = self.conns.get(&key) else { return };
        let dialler = &conn.ends[0];
        if dialler.connected {
            return;
        }
        let (conn, why) = (dialler.conn, DialFailure::Refused);
        self.conclude(key, 0, Arrival::DialFailed { conn, why });
    }
}
