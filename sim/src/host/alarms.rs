//! When each connection wants to be woken: the earliest is found without asking all of them.

use std::collections::{BTreeMap, BTreeSet};

use tandem_core::{ConnId, Deadline, Time};

use super::Why;

/// One deadline, or none, for each connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Alarms {
    by_time: BTreeSet<(Time, ConnId)>,
    by_conn: BTreeMap<ConnId, Deadline<Why>>,
}

impl Alarms {
    /// From now on this is the deadline of a connection.
    pub(super) fn set(&mut self, conn: ConnId, deadline: Option<Deadline<Why>>) {
        let before = match deadline {
            Some(deadline) => self.by_conn.insert(conn, deadline),
            None => self.by_conn.remove(&conn),
        };
        let (before, after) = (before.map(|it| it.at), deadline.map(|it| it.at));
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, conn));
        }
        if let Some(after) = after {
            self.by_time.insert((after, conn));
        }
    }

    /// The earliest of all.
    pub(super) fn first(&self) -> Option<Deadline<Why>> {
        let (_, conn) = self.by_time.first()?;
        self.by_conn.get(conn).copied()
    }

    /// Takes a deadline out that has come.
    pub(super) fn take_due(&mut self, now: Time) -> Option<ConnId> {
        let (at, conn) = self.by_time.first().copied()?;
        if at > now {
            return None;
        }
        self.set(conn, None);
        Some(conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Option<Deadline<Why>> {
        Some(Deadline {
            at: Time::from_micros(micros),
            why: Why::Flight,
        })
    }

    #[test]
    fn the_last_deadline_of_each_connection_counts_and_the_earliest_comes_first() {
        let mut alarms = Alarms::default();
        alarms.set(ConnId(1), at(5));
        alarms.set(ConnId(2), at(7));
        alarms.set(ConnId(1), at(9));
        alarms.set(ConnId(3), at(1));
        alarms.set(ConnId(3), None);
        assert_eq!(alarms.first(), at(7));
        assert_eq!(alarms.take_due(Time::from_micros(6)), None);
        assert_eq!(alarms.take_due(Time::from_micros(9)), Some(ConnId(2)));
        assert_eq!(alarms.take_due(Time::from_micros(9)), Some(ConnId(1)));
        assert_eq!(alarms.first(), None);
    }
}
