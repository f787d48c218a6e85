//! Which client is sent something next, and when: clients take turns, a message each, and none receives more than it takes.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::client::Client;
use crate::bounds::GATHER;
use crate::ids::ConnId;
use crate::time::Time;

/// The turns of the clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Fanout {
    /// The clients that something is to be sent to, and that can take it.
    ready: BTreeSet<ConnId>,
    /// The client that had its turn last.
    turn: Option<ConnId>,
    /// When clients have to be looked at again.
    alarms: BTreeSet<(Time, ConnId)>,
    /// When to go on working.
    resume: Option<Time>,
    /// When work was done last.
    worked_at: Option<Time>,
}

impl Fanout {
    /// A client changed: notes whether it has a turn, and when to look at it again.
    pub(super) fn schedule(&mut self, now: Time, conn: ConnId, client: &mut Client, is_held_up: bool) {
        let is_full = client.queue.check(now);
        if !is_full && !is_held_up && client.has_unsent(now) {
            self.ready.insert(conn);
        } else {
            self.ready.remove(&conn);
        }
        let alarm = client.alarm_due(now);
        if client.alarm != alarm {
            self.drop_alarm(conn, client.alarm);
            self.alarms.extend(alarm.map(|at| (at, conn)));
            client.alarm = alarm;
        }
    }

    /// A client is gone.
    pub(super) fn forget(&mut self, conn: ConnId, client: &Client) {
        self.ready.remove(&conn);
        self.drop_alarm(conn, client.alarm);
    }

    /// A client that is not there has no turn.
    pub(super) fn skip(&mut self, conn: ConnId) {
        self.ready.remove(&conn);
    }

    /// The next client whose time has come to be looked at again.
    pub(super) fn next_alarm(&mut self, now: Time) -> Option<ConnId> {
        let (at, conn) = self.alarms.first().copied().filter(|(at, _)| *at <= now)?;
        self.alarms.remove(&(at, conn));
        Some(conn)
    }

    /// The next ready client, round-robin.
    pub(super) fn next_turn(&mut self) -> Option<ConnId> {
        let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.ready.range((after, Bound::Unbounded)).next();
        self.turn = next.or_else(|| self.ready.first()).copied();
        self.turn
    }

    /// Whether it is time to work.
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.resume.is_some_and(|resume| resume <= now)
    }

    /// A step of work is done. If something is left, it goes on at once.
    pub(super) fn on_worked(&mut self, now: Time, tables_left: bool) {
        self.worked_at = Some(now);
        let is_left = tables_left || !self.ready.is_empty();
        self.resume = is_left.then_some(now);
    }

    /// If there is anything to do, plans when to do it: soon, but not for each change alone.
    pub(super) fn plan(&mut self, now: Time, tables_left: bool) {
        if self.ready.is_empty() && !tables_left {
            self.resume = None;
        } else if self.resume.is_none() {
            let gathered = self.worked_at.map_or(now, |at| at + GATHER);
            self.resume = Some(gathered.max(now));
        }
    }

    pub(super) fn resumes_at(&self) -> Option<Time> {
        self.resume
    }

    pub(super) fn alarm_at(&self) -> Option<Time> {
        self.alarms.first().map(|(at, _)| *at)
    }

    fn drop_alarm(&mut self, conn: ConnId, alarm: Option<Time>) {
        if let Some(at) = alarm {
            self.alarms.remove(&(at, conn));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bounds::{CLIENT_QUEUE_BYTES, END_OF_RIB_QUIET, SLOW_CLIENT};
    use crate::control::client::Subscription;

    fn client() -> Client {
        let address = (std::net::Ipv4Addr::LOCALHOST, 1).into();
        let mut client = Client::new(Time::ORIGIN, "agent-a".into(), address);
        client.subscribe(Time::ORIGIN, "blue".into(), Subscription::new(1, false, Some(1)));
        client
    }

    #[test]
    fn clients_take_turns() {
        let mut fanout = Fanout::default();
        for conn in [1, 2, 3] {
            fanout.schedule(Time::ORIGIN, ConnId(conn), &mut client(), false);
        }
        let turns: Vec<_> = (0..4).filter_map(|_| fanout.next_turn()).collect();
        assert_eq!(turns, [1, 2, 3, 1].map(ConnId));
        fanout.skip(ConnId(2));
        assert_eq!(fanout.next_turn(), Some(ConnId(3)));
    }

    #[test]
    fn a_client_with_a_full_queue_has_no_turn_and_an_alarm() {
        let (mut fanout, mut client) = (Fanout::default(), client());
        client.queue.on_sent(CLIENT_QUEUE_BYTES);
        fanout.schedule(Time::ORIGIN, ConnId(1), &mut client, false);
        assert_eq!(fanout.next_turn(), None);
        assert_eq!(fanout.alarm_at(), Some(Time::ORIGIN + END_OF_RIB_QUIET));
        let quiet = Time::ORIGIN + END_OF_RIB_QUIET;
        assert_eq!(fanout.next_alarm(quiet), Some(ConnId(1)));
        client.alarm = None;
        fanout.schedule(quiet, ConnId(1), &mut client, false);
        assert_eq!(fanout.alarm_at(), Some(Time::ORIGIN + SLOW_CLIENT));
        fanout.forget(ConnId(1), &client);
        assert_eq!(fanout.alarm_at(), None);
    }

    #[test]
    fn work_goes_on_at_once_while_a_client_has_a_turn() {
        let (mut fanout, mut client) = (Fanout::default(), client());
        fanout.schedule(Time::ORIGIN, ConnId(1), &mut client, false);
        fanout.on_worked(Time::ORIGIN, false);
        fanout.plan(Time::ORIGIN, false);
        assert_eq!(fanout.resumes_at(), Some(Time::ORIGIN));
        fanout.skip(ConnId(1));
        fanout.on_worked(Time::ORIGIN, false);
        assert_eq!(fanout.resumes_at(), None);
    }

    #[test]
    fn work_is_gathered_for_a_moment_and_goes_on_at_once_while_some_is_left() {
        let at = |ms| Time::ORIGIN + Duration::from_millis(ms);
        let mut fanout = Fanout::default();
        fanout.plan(at(0), false);
        assert_eq!(fanout.resumes_at(), None);
        fanout.plan(at(10), true);
        assert!(fanout.is_due(at(10)), "nothing was done for long");
        fanout.on_worked(at(10), true);
        assert_eq!(fanout.resumes_at(), Some(at(10)));
        fanout.on_worked(at(10), false);
        fanout.plan(at(11), true);
        assert_eq!(fanout.resumes_at(), Some(at(10) + GATHER));
        fanout.plan(at(11), false);
        assert_eq!(fanout.resumes_at(), None);
    }
}
