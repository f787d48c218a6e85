//! The network between hosts: ordered byte streams that can be slow, stuck, half-open, refused or reset.
//!
//! A plain data structure without a clock: its owner supplies the time, keeps the [`Transit`]s until they are due, and
//! delivers the [`Arrival`]s to the programs. Two things can be silent: a path between two hosts, one direction at a
//! time ([`Trouble`]), and a host without power. A program that dies is not silent, because its kernel closes its
//! connections; one that hangs is, but its kernel still accepts connections and bytes, up to the window.
//!
//! Not modelled, on purpose: congestion control, reordering inside a stream, bandwidth, loss of single packets (loss is
//! a stall: TCP retransmits, and no byte is lost), TCP keepalive of the kernel, a limit of connections that wait to be
//! accepted.

mod connect;
mod path;
mod pipe;
mod stream;
#[cfg(test)]
mod tests;
mod transit;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use tandem_core::{ConnId, Time};

use path::Path;
pub use path::Trouble;
use pipe::{End, Pipe};
pub(crate) use stream::RETRANSMIT_MAX;
pub use transit::{Arrival, HostId, Transit};
use transit::{Key, Side, Step};

/// All hosts and what is between them.
#[derive(Clone, Debug)]
pub struct Links {
    hosts: Vec<Host>,
    /// From one host to another.
    paths: BTreeMap<(HostId, HostId), Path>,
    latency: [Duration; 2],
    split_permille: u32,
    conns: BTreeMap<Key, Conn>,
    ends: BTreeMap<(HostId, ConnId), (Key, Side)>,
    /// The hosts that answer to an address.
    claims: BTreeMap<Ipv4Addr, BTreeSet<HostId>>,
    /// The host that another one sends to for an address.
    believed: BTreeMap<(HostId, Ipv4Addr), HostId>,
    /// Since when it has found no answer there.
    doubts: BTreeMap<(HostId, Ipv4Addr), Time>,
    numbers: u64,
    random: ChaCha8Rng,
    later: VecDeque<(Time, Transit)>,
    arrivals: VecDeque<(HostId, Arrival)>,
}

#[derive(Clone, Debug)]
struct Host {
    address: Ipv4Addr,
    powered: bool,
    frozen: bool,
    listening: BTreeSet<SocketAddrV4>,
    /// The longest time that sent bytes may stay unacknowledged.
    user_timeout: Duration,
    port: u16,
}

/// A connection: two ends, and a pipe from each.
#[derive(Clone, Debug)]
struct Conn {
    ends: [End; 2],
    pipes: [Pipe; 2],
    /// The SYN was answered: the other end exists.
    accepted: bool,
}

/// When Linux gives up, without TCP_USER_TIMEOUT.
pub const USER_TIMEOUT: Duration = Duration::from_secs(924);

impl Links {
    /// No hosts yet. `latency` is one way, at least and at most; `split_permille` of a thousand pieces are cut in two.
    pub fn new(latency: [Duration; 2], split_permille: u32, random: ChaCha8Rng) -> Self {
        Self {
            hosts: Vec::new(),
            paths: BTreeMap::new(),
            latency,
            split_permille,
            conns: BTreeMap::new(),
            ends: BTreeMap::new(),
            claims: BTreeMap::new(),
            believed: BTreeMap::new(),
            doubts: BTreeMap::new(),
            numbers: 0,
            random,
            later: VecDeque::new(),
            arrivals: VecDeque::new(),
        }
    }

    /// Adds a host with its permanent address.
    pub fn add_host(&mut self, address: Ipv4Addr, user_timeout: Duration) -> HostId {
        let host = HostId(self.hosts.len());
        self.hosts.push(Host {
            address,
            powered: true,
            frozen: false,
            listening: BTreeSet::new(),
            user_timeout,
            port: 32_768,
        });
        self.claims.entry(address).or_default().insert(host);
        host
    }

    /// What is on its way, and when it arrives; until `None`.
    pub fn poll_later(&mut self) -> Option<(Time, Transit)> {
        self.later.pop_front()
    }

    /// The next input for a program; until `None`.
    pub fn poll_arrival(&mut self) -> Option<(HostId, Arrival)> {
        self.arrivals.pop_front()
    }

    /// The time of this transit has come.
    pub fn arrive(&mut self, now: Time, transit: Transit) {
        match transit.0 {
            Step::Syn { key, attempt } => self.send_syn(now, key, attempt),
            Step::SynArrives { key, host } => self.syn_arrives(now, key, host),
            Step::SynAck { key } => self.syn_ack_arrives(now, key),
            Step::Refusal { key } => self.refused(key),
            Step::Piece { key, from, epoch } => self.piece_arrives(now, key, from, epoch),
            Step::Ask { key, from } => self.ask(now, key, from),
            Step::Retry { key, from } => self.retry(now, key, from),
            Step::GiveUp { key, side, since } => self.give_up(key, side, since),
            Step::Window { key, side } => self.pump(now, key, side),
            Step::Reset { key, side } => self.reset_arrives(key, side),
            Step::Datagram { host, from, data } => {
                if self.hosts.get(host.0).is_some_and(|host| host.powered && !host.frozen) {
                    self.arrivals.push_back((host, Arrival::Datagram { from, data }));
                }
            }
            Step::Announce { host, address, holder } => {
                self.believed.insert((host, address), holder);
                // Unacknowledged bytes are sent again, to the present holder of the address.
                self.recover(now, |_, sender| sender == host, false);
            }
        }
    }

    /// Whether bytes that one sends now would reach the other.
    pub fn passable(&self, from: HostId, to: HostId) -> bool {
        let powered = |host: HostId| self.hosts.get(host.0).is_some_and(|host| host.powered);
        let open = from == to || self.paths.get(&(from, to)).is_none_or(Path::is_open);
        open && powered(from) && powered(to)
    }

    /// Whether the way from one to the other has no trouble at all, and both have power.
    pub fn is_calm(&self, from: HostId, to: HostId) -> bool {
        self.passable(from, to) && self.paths.get(&(from, to)).is_none_or(Path::is_calm)
    }

    /// The same, and nothing that went while it was slow is still on the way.
    pub fn is_clear(&self, now: Time, from: HostId, to: HostId) -> bool {
        self.is_calm(from, to) && self.paths.get(&(from, to)).is_none_or(|path| path.is_clear(now))
    }

    /// The host that receives what this one sends to an address now.
    pub fn resolve(&self, from: HostId, address: Ipv4Addr) -> Option<HostId> {
        let believed = self.believed.get(&(from, address));
        believed.or_else(|| self.claims.get(&address)?.first()).copied()
    }

    /// The host that answers to an address, if exactly one does.
    pub fn holders(&self, address: Ipv4Addr) -> impl Iterator<Item = HostId> {
        self.claims.get(&address).into_iter().flatten().copied()
    }

    /// When the next piece from one to the other arrives that goes now.
    pub fn draw_arrival(&mut self, now: Time, from: HostId, to: HostId) -> Time {
        let path = self.paths.entry((from, to)).or_default();
        path.arrival(now, self.latency, &mut self.random)
    }

    /// The number of connections.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// The connections that a host knows of.
    pub fn connections_of(&self, host: HostId) -> impl Iterator<Item = ConnId> {
        let all = (host, ConnId(0))..=(host, ConnId(u64::MAX));
        self.ends.range(all).map(|((_, conn), _)| *conn)
    }

    /// The other end of a connection.
    pub fn peer(&self, host: HostId, conn: ConnId) -> Option<(HostId, ConnId)> {
        let (key, side) = self.ends.get(&(host, conn))?;
        let other = self.conns.get(key)?.ends.get(1 - side)?;
        other.app.then_some((other.host, other.conn))
    }

    /// Trouble begins on the way from one to the other.
    pub fn begin(&mut self, from: HostId, to: HostId, trouble: Trouble) {
        self.paths.entry((from, to)).or_default().begin(trouble);
    }

    /// Trouble ends. What was lost is sent again when TCP would; what was jammed arrives.
    pub fn end(&mut self, now: Time, from: HostId, to: HostId, trouble: Trouble) {
        self.paths.entry((from, to)).or_default().end(trouble);
        let jammed = trouble == Trouble::Jam;
        // The sender of the other direction may have been waiting for answers.
        self.recover(now, |_, sender| [from, to].contains(&sender), jammed);
    }

    /// The host loses power: no peer is notified.
    pub fn power_off(&mut self, host: HostId) {
        self.clear_host(host, |host| host.powered = false);
        for (key, side) in self.ends_of(host) {
            self.forget_end(key, side);
        }
    }

    /// The host boots: its kernel knows no connection any more, and resets what arrives for one.
    pub fn power_on(&mut self, now: Time, host: HostId) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.powered = true;
        }
        self.recover(now, |_, _| true, false);
    }

    /// The program on the host dies: its kernel closes all that it had.
    pub fn crash(&mut self, now: Time, host: HostId) {
        self.clear_host(host, |_| {});
        let conns: Vec<_> = self
            .ends
            .range((host, ConnId(0))..=(host, ConnId(u64::MAX)))
            .map(|(end, _)| end.1)
            .collect();
        for conn in conns {
            self.close(now, host, conn);
        }
    }

    /// The program on the host hangs.
    pub fn freeze(&mut self, host: HostId) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.frozen = true;
        }
    }

    /// The program goes on, and finds what has arrived meanwhile.
    pub fn thaw(&mut self, now: Time, host: HostId) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.frozen = false;
        }
        for (key, side) in self.ends_of(host) {
            self.take_in(now, key, side);
            self.pump(now, key, side);
        }
    }

    /// Resets every connection between two hosts, at both ends.
    pub fn reset_between(&mut self, one: HostId, other: HostId) {
        let between = |conn: &Conn| {
            let hosts = [conn.ends[0].host, conn.ends[1].host];
            hosts == [one, other] || hosts == [other, one]
        };
        let keys: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, conn)| between(conn))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            self.reset_arrives(key, 0);
            self.reset_arrives(key, 1);
        }
    }

    /// The host holds this address from now on, and announces it to every host that it reaches.
    pub fn hold(&mut self, now: Time, holder: HostId, address: Ipv4Addr) {
        self.claims.entry(address).or_default().insert(holder);
        for host in (0..self.hosts.len()).map(HostId) {
            if self.passable(holder, host) {
                let at = self.draw_arrival(now, holder, host);
                self.plan(at, Step::Announce { host, address, holder });
            }
        }
    }

    /// The host does not answer to this address any more.
    pub fn release(&mut self, holder: HostId, address: Ipv4Addr) {
        if let Some(claims) = self.claims.get_mut(&address) {
            claims.remove(&holder);
        }
    }

    /// Sends a datagram to some hosts. It is lost where the way is not open.
    pub fn multicast(&mut self, now: Time, from: HostId, to: impl IntoIterator<Item = HostId>, data: &[u8]) {
        let Some(address) = self.hosts.get(from.0).map(|host| host.address) else {
            return;
        };
        for host in to {
            if host != from && self.passable(from, host) {
                let at = self.draw_arrival(now, from, host);
                let data = data.to_vec();
                self.plan(
                    at,
                    Step::Datagram {
                        host,
                        from: address,
                        data,
                    },
                );
            }
        }
    }

    fn plan(&mut self, at: Time, step: Step) {
        self.later.push_back((at, Transit(step)));
    }

    fn clear_host(&mut self, host: HostId, also: impl Fn(&mut Host)) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.frozen = false;
            host.listening.clear();
            also(host);
        }
    }

    fn ends_of(&self, host: HostId) -> Vec<(Key, Side)> {
        let of_host = self.conns.iter().flat_map(|(key, conn)| {
            let sides = conn.ends.iter().enumerate();
            sides.filter(|(_, end)| end.host == host).map(|(side, _)| (*key, side))
        });
        of_host.collect()
    }
}
