//! Which connections a port keeps that have shown no right to be there yet: the same rule for every port.
//!
//! A port that is full closes an old connection for a new one. It closes one that is silent before one that has sent
//! something, one of the address that has most of them before one of another, and one of an address without a good session
//! before one that had a session. A connection that is young is not closed: the new one waits in the backlog of the kernel
//! instead, so that a thousand switches that come at one time all get in.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use tandem_core::Time;

/// Addresses with a good session that a port remembers.
const PROVEN: usize = 4096;

/// What a port keeps at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// Connections that have not shown their right.
    pub(crate) all: usize,
    /// Of those, the places for addresses that had a good session.
    pub(crate) reserved: usize,
    /// Of those, the most of one address without a good session.
    pub(crate) of_one_address: usize,
    /// For how long a connection is kept that sends nothing.
    pub(crate) silence: Duration,
    /// For how long a connection is kept that has sent something.
    pub(crate) patience: Duration,
}

impl Places {
    /// So many places, an eighth of which is reserved, and three quarters are the most for one address.
    pub(crate) const fn new(all: usize, silence: Duration, patience: Duration) -> Self {
        Self {
            all,
            reserved: all / 8,
            of_one_address: all - all / 4,
            silence,
            patience,
        }
    }
}

/// The number of a connection; later ones have higher ones.
pub(crate) type Number = u64;

/// The connections of a port that have not shown their right.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Places,
    connections: BTreeMap<Number, Connection>,
    of_address: BTreeMap<IpAddr, usize>,
    /// Addresses with a good session, that of the newest last.
    proven: VecDeque<IpAddr>,
    next: Number,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    from: IpAddr,
    since: Time,
    has_sent: bool,
}

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It gets this number. Close the other one, if there is one.
    Admitted { number: Number, instead_of: Option<Number> },
    /// It has to wait until then, or until a connection leaves.
    Wait { until: Time },
}

impl Admission {
    pub(crate) fn new(places: Places) -> Self {
        Self {
            places,
            connections: BTreeMap::new(),
            of_address: BTreeMap::new(),
            proven: VecDeque::new(),
            next: 0,
        }
    }

    /// A connection arrives.
    pub(crate) fn arrive(&mut self, now: Time, from: IpAddr) -> Verdict {
        let instead_of = match self.room_for(from) {
            Room::Free => None,
            room => match self.oldest(now, room, from) {
                Ok(number) => Some(number),
                Err(until) => return Verdict::Wait { until },
            },
        };
        if let Some(number) = instead_of {
            self.leave(number);
        }
        let number = self.next;
        self.next += 1;
        let connection = Connection {
            from,
            since: now,
            has_sent: false,
        };
        self.connections.insert(number, connection);
        *self.of_address.entry(from).or_default() += 1;
        Verdict::Admitted { number, instead_of }
    }

    /// A connection has sent something.
    pub(crate) fn sent(&mut self, number: Number) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.has_sent = true;
        }
    }

    /// A connection has shown its right: it needs no place any more, and its address is remembered.
    pub(crate) fn prove(&mut self, number: Number) {
        let Some(from) = self.connections.get(&number).map(|connection| connection.from) else {
            return;
        };
        self.leave(number);
        self.proven.retain(|known| *known != from);
        self.proven.push_back(from);
        if self.proven.len() > PROVEN {
            self.proven.pop_front();
        }
    }

    /// A connection is over, or was closed for another.
    pub(crate) fn leave(&mut self, number: Number) {
        let Some(connection) = self.connections.remove(&number) else {
            return;
        };
        if let Some(count) = self.of_address.get_mut(&connection.from) {
            *count -= 1;
            if *count == 0 {
                self.of_address.remove(&connection.from);
            }
        }
    }

    fn room_for(&self, from: IpAddr) -> Room {
        let (all, own) = (self.connections.len(), self.count(from));
        let proven = self.is_proven(from);
        if all >= self.places.all || !proven && all >= self.places.all - self.places.reserved {
            Room::InsteadOfAny
        } else if !proven && own >= self.places.of_one_address {
            Room::InsteadOfOwn
        } else {
            Room::Free
        }
    }

    /// The connection to close, or when there will be one.
    fn oldest(&self, now: Time, room: Room, from: IpAddr) -> Result<Number, Time> {
        let proven = self.is_proven(from);
        let may_go = |(_, it): &(&Number, &Connection)| match room {
            Room::InsteadOfOwn => it.from == from,
            // An address without a good session replaces none of one that has.
            Room::Free | Room::InsteadOfAny => proven || it.from == from || !self.is_proven(it.from),
        };
        let until = |it: &Connection| {
            it.since
                + match it.has_sent {
                    true => self.places.patience,
                    false => self.places.silence,
                }
        };
        let candidates = || self.connections.iter().filter(may_go);
        let over = candidates().filter(|(_, it)| until(it) <= now);
        let oldest = over.min_by_key(|(number, it)| {
            let crowd = Reverse(self.count(it.from));
            (self.is_proven(it.from), it.has_sent, crowd, **number)
        });
        let first = candidates().map(|(_, it)| until(it)).min();
        // Without a candidate every place is held by addresses with a good session, which do not take long.
        let first = first.unwrap_or(now + self.places.silence);
        oldest.map(|(number, _)| *number).ok_or(first)
    }

    fn count(&self, from: IpAddr) -> usize {
        self.of_address.get(&from).copied().unwrap_or_default()
    }

    fn is_proven(&self, from: IpAddr) -> bool {
        self.proven.contains(&from)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Room {
    Free,
    InsteadOfAny,
    InsteadOfOwn,
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const SILENCE: Duration = Duration::from_secs(1);
    const PATIENCE: Duration = Duration::from_secs(5);

    fn at(seconds: u64) -> Time {
        Time::ORIGIN + Duration::from_secs(seconds)
    }

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    fn full(places: usize, from: impl Fn(u8) -> u8) -> Admission {
        let mut admission = Admission::new(Places::new(places, SILENCE, PATIENCE));
        for number in 0..u8::try_from(places - places / 8).expect("few") {
            let verdict = admission.arrive(at(0), address(from(number)));
            assert!(
                matches!(verdict, Verdict::Admitted { instead_of: None, .. }),
                "{verdict:?}"
            );
        }
        admission
    }

    fn closed_for(verdict: Verdict) -> Option<Number> {
        match verdict {
            Verdict::Admitted { instead_of, .. } => instead_of,
            Verdict::Wait { until } => panic!("it waits until {until}"),
        }
    }

    #[test]
    fn the_oldest_silent_connection_goes_for_a_new_one_and_never_the_new_one() {
        let mut admission = full(16, |number| number);
        admission.sent(0);
        assert_eq!(closed_for(admission.arrive(at(9), address(99))), Some(1));
        assert_eq!(closed_for(admission.arrive(at(9), address(98))), Some(2));
        for _ in 0..11 {
            admission.arrive(at(9), address(97));
        }
        assert_eq!(
            closed_for(admission.arrive(at(9), address(96))),
            Some(0),
            "then one that has sent something"
        );
    }

    #[test]
    fn a_herd_waits_for_those_that_came_before_it_and_closes_none_of_them() {
        let mut admission = full(16, |number| number);
        let verdict = admission.arrive(at(0), address(99));
        assert_eq!(verdict, Verdict::Wait { until: at(1) });
        (0..14).for_each(|number| admission.sent(number));
        assert_eq!(admission.arrive(at(1), address(99)), Verdict::Wait { until: at(5) });
        admission.prove(3);
        assert_eq!(closed_for(admission.arrive(at(1), address(99))), None);
    }

    #[test]
    fn the_address_with_most_connections_pays() {
        let mut admission = full(16, |number| if number < 4 { number } else { 50 });
        for _ in 0..9 {
            let closed = closed_for(admission.arrive(at(9), address(99))).expect("full");
            assert!(closed >= 4, "{closed} is another's");
        }
    }

    #[test]
    fn an_address_that_had_a_good_session_gets_in_when_strangers_hold_every_place() {
        let mut admission = full(16, |number| number);
        admission.prove(0);
        let proxy = address(0);
        for _ in 0..3 {
            assert_eq!(closed_for(admission.arrive(at(0), proxy)), None, "the reserve");
        }
        assert_eq!(admission.arrive(at(0), address(99)), Verdict::Wait { until: at(1) });
        let mut closed = Vec::new();
        for _ in 0..13 {
            closed.extend(closed_for(admission.arrive(at(9), proxy)));
        }
        assert_eq!(
            closed,
            (1..14).collect::<Vec<_>>(),
            "all strangers before one of its own"
        );
        let stranger = admission.arrive(at(99), address(99));
        assert!(matches!(stranger, Verdict::Wait { .. }), "{stranger:?}");
    }

    #[test]
    fn one_address_cannot_have_every_place() {
        let mut admission = Admission::new(Places::new(16, SILENCE, PATIENCE));
        for _ in 0..12 {
            assert_eq!(closed_for(admission.arrive(at(0), address(1))), None);
        }
        assert_eq!(
            closed_for(admission.arrive(at(2), address(1))),
            Some(0),
            "its own oldest"
        );
        assert_eq!(closed_for(admission.arrive(at(2), address(2))), None);
    }

    proptest! {
        #[test]
        fn places_are_bounded_and_counted_whatever_comes_and_goes(
            steps in prop::collection::vec((0_u8..4, any::<prop::sample::Index>(), 0_u8..6), 0..400),
        ) {
            let mut admission = Admission::new(Places::new(16, SILENCE, PATIENCE));
            let mut now = at(0);
            let mut known: Vec<Number> = Vec::new();
            for (action, pick, from) in steps {
                let some = (!known.is_empty()).then(|| known[pick.index(known.len())]);
                match (action, some) {
                    (1, Some(number)) => admission.sent(number),
                    (2, Some(number)) => admission.prove(number),
                    (3, Some(number)) => admission.leave(number),
                    _ => match admission.arrive(now, address(from)) {
                        Verdict::Admitted { number, instead_of } => {
                            prop_assert!(instead_of.is_none_or(|closed| known.contains(&closed)));
                            prop_assert!(admission.connections.contains_key(&number));
                            known.push(number);
                        }
                        Verdict::Wait { until } => {
                            prop_assert!(until > now, "it waits for something");
                            now = until;
                        }
                    },
                }
                prop_assert!(admission.connections.len() <= 16);
                prop_assert_eq!(admission.of_address.values().sum::<usize>(), admission.connections.len());
            }
        }
    }
}
