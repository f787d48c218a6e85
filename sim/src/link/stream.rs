//! Bytes from one end to the other: in order, within a window, and again if they were lost.

use std::time::Duration;

use rand::RngExt;
use tandem_core::{ConnId, Time};

use super::connect::NEIGHBOUR_PROBES;
use super::pipe::{End, Piece, Pipe};
use super::{Arrival, Conn, HostId, Key, Links, Side, Step};
use crate::socket::DialFailure;

/// Bytes that may be on their way or unread at one time.
const WINDOW: usize = 64 << 10;

/// The first time after which TCP sends again what was lost; it doubles, up to two minutes.
const RETRANSMIT: Duration = Duration::from_millis(200);

/// The longest.
pub(crate) const RETRANSMIT_MAX: Duration = Duration::from_secs(120);

impl Links {
    /// Sends bytes; what does not fit into the window waits.
    pub fn send(&mut self, now: Time, host: HostId, conn: ConnId, bytes: Vec<u8>) {
        if let Some((key, side)) = self.ends.get(&(host, conn)).copied()
            && let Some(pipe) = self.pipe(key, side)
            && !bytes.is_empty()
        {
            pipe.backlog_bytes += bytes.len();
            pipe.backlog.push_back(bytes);
            self.pump(now, key, side);
        }
    }

    /// Whether the program wants to be handed what arrives.
    pub fn read(&mut self, now: Time, host: HostId, conn: ConnId, on: bool) {
        if let Some((key, side)) = self.ends.get(&(host, conn)).copied()
            && let Some(end) = self.end_mut(key, side)
        {
            end.reading = on;
            self.take_in(now, key, side);
        }
    }

    /// FIN after what was sent; goes on reading.
    pub fn finish(&mut self, now: Time, host: HostId, conn: ConnId) {
        if let Some((key, side)) = self.ends.get(&(host, conn)).copied()
            && let Some(pipe) = self.pipe(key, side)
        {
            pipe.finish = true;
            self.pump(now, key, side);
        }
    }

    /// FIN after what was sent, or RST if something was never read. Ends a dial.
    pub fn close(&mut self, now: Time, host: HostId, conn: ConnId) {
        let Some((key, side)) = self.ends.remove(&(host, conn)) else {
            return;
        };
        let Some(end) = self.end_mut(key, side) else { return };
        let unread = end.inbox.iter().any(|piece| matches!(piece, Piece::Data(_)));
        end.app = false;
        end.inbox.clear();
        if !end.connected {
            return self.forget_end(key, side);
        }
        if unread {
            self.send_reset(now, key, 1 - side);
            return self.forget_end(key, side);
        }
        if let Some(pipe) = self.pipe(key, side) {
            pipe.finish = true;
        }
        self.pump(now, key, side);
        self.tidy(key);
    }

    /// RST.
    pub fn reset(&mut self, now: Time, host: HostId, conn: ConnId) {
        if let Some((key, side)) = self.ends.get(&(host, conn)).copied() {
            self.send_reset(now, key, 1 - side);
            self.forget_end(key, side);
        }
    }

    /// Puts on the way what fits into the window.
    pub(super) fn pump(&mut self, now: Time, key: Key, side: Side) {
        while let Some(pipe) = self.pipe(key, side)
            && pipe.unread_bytes < WINDOW
            && let Some(mut data) = pipe.take(WINDOW - pipe.unread_bytes)
        {
            pipe.backlog_bytes -= data.len();
            pipe.unread_bytes += data.len();
            if data.len() > 1 && self.random.random_range(0..1000) < self.split_permille {
                let rest = data.split_off(self.random.random_range(1..data.len()));
                self.launch(now, key, side, Piece::Data(data));
                self.launch(now, key, side, Piece::Data(rest));
            } else {
                self.launch(now, key, side, Piece::Data(data));
            }
        }
        let Some(conn) = self.conns.get_mut(&key) else { return };
        let (Some(pipe), Some(end)) = (conn.pipes.get_mut(side), conn.ends.get(side)) else {
            return;
        };
        let frozen = self.hosts.get(end.host.0).is_some_and(|host| host.frozen);
        if pipe.backlog_bytes != pipe.reported_bytes && !frozen {
            pipe.reported_bytes = pipe.backlog_bytes;
            let (conn, queued_bytes) = (end.conn, pipe.backlog_bytes);
            if end.app {
                self.arrivals
                    .push_back((end.host, Arrival::Sent { conn, queued_bytes }));
            }
        }
        if pipe.finish && !pipe.finished && pipe.backlog.is_empty() {
            pipe.finished = true;
            self.launch(now, key, side, Piece::Fin);
        }
    }

    /// Puts one piece on the way, behind those that are.
    pub(super) fn launch(&mut self, now: Time, key: Key, side: Side, piece: Piece) {
        let Some((from, to)) = self.route(key, side) else {
            return;
        };
        let Some(pipe) = self.pipe(key, side) else { return };
        pipe.flying.push_back(piece);
        if pipe.stalled_since.is_some() {
            return;
        }
        match to.filter(|to| self.passable(from, *to)) {
            Some(to) => self.fly(now, key, side, from, to),
            None => self.stall(now, key, side),
        }
    }

    fn fly(&mut self, now: Time, key: Key, side: Side, from: HostId, to: HostId) {
        let at = self.draw_arrival(now, from, to);
        if let Some(pipe) = self.pipe(key, side) {
            let at = pipe.last_arrival.max(at);
            pipe.last_arrival = at;
            let (from, epoch) = (side, pipe.epoch);
            self.plan(at, Step::Piece { key, from, epoch });
        }
    }

    /// What flies is lost; TCP keeps it, and in the end gives up.
    fn stall(&mut self, now: Time, key: Key, side: Side) {
        if let Some(pipe) = self.pipe(key, side)
            && pipe.stalled_since.is_none()
        {
            pipe.epoch += 1;
            pipe.stalled_since = Some(now);
            self.plan_give_up(now, key, side);
        }
    }

    fn plan_give_up(&mut self, since: Time, key: Key, side: Side) {
        let host = self
            .conns
            .get(&key)
            .and_then(|conn| conn.ends.get(side))
            .map(|end| end.host);
        if let Some(host) = host.and_then(|host| self.hosts.get(host.0)) {
            self.plan(since + host.user_timeout, Step::GiveUp { key, side, since });
        }
    }

    pub(super) fn piece_arrives(&mut self, now: Time, key: Key, side: Side, epoch: u32) {
        let Some((from, to)) = self.route(key, side) else {
            return;
        };
        if self.pipe(key, side).is_none_or(|pipe| pipe.epoch != epoch) {
            return;
        }
        let Some(to) = to.filter(|to| self.passable(from, *to)) else {
            return self.stall(now, key, side);
        };
        let can_answer = self.passable(to, from);
        let Some(conn) = self.conns.get_mut(&key) else { return };
        let (Some(end), Some(pipe)) = (conn.ends.get_mut(1 - side), conn.pipes.get_mut(side)) else {
            return;
        };
        let claimed = self
            .claims
            .get(end.address.ip())
            .is_some_and(|claims| claims.contains(&to));
        if !claimed {
            // The kernel asks for the holder of the address before it sends again.
            let address = *end.address.ip();
            self.doubt(now, from, address);
            self.plan(now + NEIGHBOUR_PROBES, Step::Ask { key, from: side });
            return self.stall(now, key, side);
        }
        let data_without_reader = !end.app && matches!(pipe.flying.front(), Some(Piece::Data(_)));
        if end.host != to || !end.kernel || data_without_reader {
            // The present holder of the address does not know this connection, and resets it. Until that RST can
            // arrive, the bytes count as unacknowledged.
            if !can_answer {
                return self.stall(now, key, side);
            }
            pipe.flying.pop_front();
            return self.reset_from(now, key, side, to);
        }
        let Some(piece) = pipe.flying.pop_front() else { return };
        if matches!(piece, Piece::Established) {
            end.app = true;
            let (host, conn) = (end.host, end.conn);
            self.ends.insert((host, conn), (key, 1 - side));
        }
        if let Some(end) = self.end_mut(key, 1 - side) {
            end.inbox.push_back(piece);
        }
        self.take_in(now, key, 1 - side);
        self.tidy(key);
    }

    /// Hands arrived pieces to the program, if it reads.
    pub(super) fn take_in(&mut self, now: Time, key: Key, side: Side) {
        while let Some(conn) = self.conns.get_mut(&key)
            && let Some(end) = conn.ends.get_mut(side)
        {
            let (host, number, at) = (end.host, end.conn, end.address);
            let frozen = self.hosts.get(host.0).is_none_or(|host| host.frozen);
            let waits = |piece: &Piece| !end.reading && matches!(piece, Piece::Data(_) | Piece::Fin);
            if frozen || end.inbox.front().is_none_or(waits) {
                return;
            }
            let Some(piece) = end.inbox.pop_front() else { return };
            if !end.app {
                continue;
            }
            let from = conn.ends.get(1 - side).map_or(at, |other| other.address);
            let conn = number;
            let arrival = match piece {
                Piece::Connected => Arrival::Connected { conn },
                Piece::Established => Arrival::Accepted { conn, at, from },
                Piece::Data(data) => {
                    self.acknowledge(now, key, 1 - side, data.len());
                    Arrival::Bytes { conn, data }
                }
                Piece::Fin => Arrival::Finished { conn },
                Piece::Last(arrival) => {
                    self.forget_end(key, side);
                    arrival
                }
            };
            self.arrivals.push_back((host, arrival));
        }
    }

    /// Bytes of this sender were read: there is room again, once it knows.
    fn acknowledge(&mut self, now: Time, key: Key, sender: Side, bytes: usize) {
        let Some(conn) = self.conns.get(&key) else { return };
        let hosts = conn.ends.get(sender).zip(conn.ends.get(1 - sender));
        let Some((back, from)) = hosts.map(|(to, from)| (to.host, from.host)) else {
            return;
        };
        let open = self.passable(from, back);
        let Some(pipe) = self.pipe(key, sender) else { return };
        if !open {
            pipe.owed_bytes += bytes;
            if pipe.unacknowledged_since.is_none() {
                pipe.unacknowledged_since = Some(now);
                self.plan_give_up(now, key, sender);
            }
            return;
        }
        pipe.unread_bytes = pipe.unread_bytes.saturating_sub(bytes);
        if !pipe.backlog.is_empty() {
            let at = self.draw_arrival(now, from, back);
            self.plan(at, Step::Window { key, side: sender });
        }
    }

    /// Some way is open again: what was lost is sent again at its time, at once if it was only jammed.
    pub(super) fn recover(&mut self, now: Time, opened: impl Fn(&Self, HostId) -> bool, jammed: bool) {
        let keys: Vec<_> = self.conns.keys().copied().collect();
        for (key, side) in keys.into_iter().flat_map(|key| [(key, 0), (key, 1)]) {
            let Some(conn) = self.conns.get(&key) else { continue };
            let (Some(end), Some(other)) = (conn.ends.get(side), conn.ends.get(1 - side)) else {
                continue;
            };
            let (host, back, is_known) = (end.host, other.host, other.kernel);
            // A window that a dead receiver left full is probed again and again, like a retransmission.
            if let Some(pipe) = self
                .pipe(key, side)
                .filter(|pipe| !is_known && pipe.unread_bytes >= WINDOW)
            {
                (pipe.unread_bytes, pipe.owed_bytes) = (0, 0);
                self.pump(now, key, side);
            }
            let Some(conn) = self.conns.get(&key) else { continue };
            if opened(self, host)
                && let Some(since) = conn.pipes.get(side).and_then(|pipe| pipe.stalled_since)
            {
                let at = if jammed { now } else { next_retransmit(since, now) };
                self.plan(at, Step::Retry { key, from: side });
            }
            let acknowledged = self.passable(back, host);
            if let Some(pipe) = self
                .pipe(key, side)
                .filter(|pipe| acknowledged && pipe.unacknowledged_since.is_some())
            {
                pipe.unacknowledged_since = None;
                pipe.unread_bytes = pipe.unread_bytes.saturating_sub(std::mem::take(&mut pipe.owed_bytes));
                self.pump(now, key, side);
            }
        }
    }

    /// A neighbour has not answered for long enough to be doubted.
    pub(super) fn ask(&mut self, now: Time, key: Key, side: Side) {
        let ends = self.conns.get(&key).map(|conn| &conn.ends);
        if let Some((end, other)) = ends.and_then(|ends| ends.get(side).zip(ends.get(1 - side))) {
            let (host, address) = (end.host, *other.address.ip());
            self.doubt(now, host, address);
            self.retry(now, key, side);
        }
    }

    pub(super) fn retry(&mut self, now: Time, key: Key, side: Side) {
        let Some((from, to)) = self.route(key, side) else {
            return;
        };
        let Some(to) = to.filter(|to| self.passable(from, *to)) else {
            return;
        };
        let Some(pipe) = self.pipe(key, side) else { return };
        if pipe.stalled_since.take().is_some() {
            for _ in 0..pipe.flying.len() {
                self.fly(now, key, side, from, to);
            }
        }
    }

    pub(super) fn give_up(&mut self, key: Key, side: Side, since: Time) {
        let pipe = self.pipe(key, side);
        if pipe.is_some_and(|pipe| [pipe.stalled_since, pipe.unacknowledged_since].contains(&Some(since))) {
            self.reset_arrives(key, side);
        }
    }

    /// Sends a RST to this side, from the other.
    pub(super) fn send_reset(&mut self, now: Time, key: Key, side: Side) {
        let from = self
            .conns
            .get(&key)
            .and_then(|conn| conn.ends.get(1 - side))
            .map(|end| end.host);
        if let Some(from) = from {
            self.reset_from(now, key, side, from);
        }
    }

    fn reset_from(&mut self, now: Time, key: Key, side: Side, from: HostId) {
        let to = self
            .conns
            .get(&key)
            .and_then(|conn| conn.ends.get(side))
            .map(|end| end.host);
        if let Some(to) = to.filter(|to| self.passable(from, *to)) {
            let at = self.draw_arrival(now, from, to);
            self.plan(at, Step::Reset { key, side });
        }
    }

    pub(super) fn reset_arrives(&mut self, key: Key, side: Side) {
        let Some(conn) = self.conns.get_mut(&key) else { return };
        let Some(end) = conn.ends.get_mut(side).filter(|end| end.kernel) else {
            return;
        };
        let conn = end.conn;
        let last = if end.connected {
            Arrival::Lost { conn }
        } else {
            let why = DialFailure::Refused;
            Arrival::DialFailed { conn, why }
        };
        self.conclude(key, side, last);
    }

    /// The kernel drops this end, and notifies the program that has it.
    pub(super) fn conclude(&mut self, key: Key, side: Side, last: Arrival) {
        let Some(conn) = self.conns.get_mut(&key) else { return };
        let Some(end) = conn.ends.get_mut(side) else { return };
        let frozen = self.hosts.get(end.host.0).is_some_and(|host| host.frozen);
        if end.app && frozen {
            end.kernel = false;
            end.inbox.retain(|piece| !matches!(piece, Piece::Data(_) | Piece::Fin));
            end.inbox.push_back(Piece::Last(last));
            return;
        }
        if end.app {
            self.arrivals.push_back((end.host, last));
        }
        self.forget_end(key, side);
    }

    /// Removes this end without a notice.
    pub(super) fn forget_end(&mut self, key: Key, side: Side) {
        let Some(conn) = self.conns.get_mut(&key) else { return };
        if let (Some(end), Some(pipe)) = (conn.ends.get_mut(side), conn.pipes.get_mut(side)) {
            // The next process on this host may have a connection with the same number by now.
            if self.ends.get(&(end.host, end.conn)) == Some(&(key, side)) {
                self.ends.remove(&(end.host, end.conn));
            }
            end.kernel = false;
            end.app = false;
            end.inbox.clear();
            pipe.backlog.clear();
            pipe.begun = 0;
            pipe.backlog_bytes = 0;
            if pipe.stalled_since.take().is_some() {
                pipe.flying.clear();
                pipe.epoch += 1;
            }
        }
        self.tidy(key);
    }

    /// A connection that no program has, and on which nothing is under way, is gone.
    fn tidy(&mut self, key: Key) {
        let over = |conn: &Conn| {
            let idle = |pipe: &Pipe| pipe.flying.is_empty() && pipe.backlog.is_empty();
            !conn.ends.iter().any(|end| end.app) && conn.pipes.iter().all(idle)
        };
        if self.conns.get(&key).is_some_and(over) {
            self.conns.remove(&key);
        }
    }

    /// The sending host, and the host that it takes for the receiver.
    fn route(&self, key: Key, side: Side) -> Option<(HostId, Option<HostId>)> {
        let conn = self.conns.get(&key)?;
        let (end, other) = (conn.ends.get(side)?, conn.ends.get(1 - side)?);
        Some((end.host, self.resolve(end.host, *other.address.ip())))
    }

    fn pipe(&mut self, key: Key, side: Side) -> Option<&mut Pipe> {
        self.conns.get_mut(&key)?.pipes.get_mut(side)
    }

    fn end_mut(&mut self, key: Key, side: Side) -> Option<&mut End> {
        self.conns.get_mut(&key)?.ends.get_mut(side)
    }
}

/// When TCP tries again: 0.2 s after the loss, 0.6 s, 1.4 s ...
fn next_retransmit(since: Time, now: Time) -> Time {
    let (mut at, mut step) = (since + RETRANSMIT, RETRANSMIT);
    while at < now {
        step = (step * 2).min(RETRANSMIT_MAX);
        at = at + step;
    }
    at
}
