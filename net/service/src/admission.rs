//! Which connections a port keeps that have shown no right to be there yet: the same rule for every port.
//!
//! A port that is full closes an old connection for a new one. It closes one that is silent before one that has sent
//! something, one of the address that has most of them before one of another, and one of an address without a good session
//! before one that had a session. A connection that is young is not closed: the new one waits in the backlog of the kernel
//! instead, so that a thousand switches that come at one time all get in. While handshakes succeed, silence has no effect:
//! places become free, and a client that is silent may only be as busy as we are.
//!
//! Behind a proxy, the address of a connection is that of the proxy until its PROXY header names the client.

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
    /// When a connection showed its right last.
    proved_at: Time,
    next: Number,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    from: IpAddr,
    /// The proxy that has named `from`.
    via: Option<IpAddr>,
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
            proved_at: Time::ORIGIN,
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
            via: None,
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

    /// The proxy has named the client, which has sent nothing itself yet. Its address counts from now on.
    pub(crate) fn locate(&mut self, number: Number, client: IpAddr) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let proxy = std::mem::replace(&mut connection.from, client);
        connection.via = Some(proxy);
        connection.has_sent = false;
        *self.of_address.entry(client).or_default() += 1;
        self.forget_one(proxy);
    }

    /// A connection has shown its right: it needs no place any more, and its address and that of its proxy are remembered.
    pub(crate) fn prove(&mut self, now: Time, number: Number) {
        let Some(connection) = self.connections.get(&number).copied() else {
            return;
        };
        self.leave(number);
        self.proved_at = now;
        for address in connection.via.into_iter().chain([connection.from]) {
            self.proven.retain(|known| *known != address);
            self.proven.push_back(address);
        }
        while self.proven.len() > PROVEN {
            self.proven.pop_front();
        }
    }

    /// A connection is over, or was closed for another.
    pub(crate) fn leave(&mut self, number: Number) {
        if let Some(connection) = self.connections.remove(&number) {
            self.forget_one(connection.from);
        }
    }

    /// An address has one connection less.
    fn forget_one(&mut self, address: IpAddr) {
        if let Some(count) = self.of_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.of_address.remove(&address);
            }
        }
    }

    /// Connections that have not shown their right.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
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
            Room::Free | Room::InsteadOfAny => proven || it.from == from || !self.has_proven(it),
        };
        let until = |it: &Connection| match it.has_sent {
            true => it.since + self.places.patience,
            false => it.since.max(self.proved_at) + self.places.silence,
        };
        // A proxy names a client when the connection has its place already: what is too much of it may go at any time.
        let is_excess = |it: &Connection| self.count(it.from) > self.places.of_one_address && !self.has_proven(it);
        let candidates = || self.connections.iter().filter(may_go);
        let over = candidates().filter(|(_, it)| is_excess(it) || until(it) <= now);
        let oldest = over.min_by_key(|(number, it)| {
            let crowd = Reverse(self.count(it.from));
            let is_fair = !is_excess(it);
            (is_fair, self.has_proven(it), it.has_sent, crowd, **number)
        });
        let first = candidates().map(|(_, it)| until(it)).min();
        // Without a candidate every place is held by addresses with a good session, which do not take long.
        let first = first.unwrap_or(now + self.places.silence);
        oldest.map(|(number, _)| *number).ok_or(first)
    }

    /// Whether a connection is of an address that had a good session. A client that reaches the port can claim any address
    /// in a PROXY header: such a claim counts if the proxy had a good session, too.
    fn has_proven(&self, it: &Connection) -> bool {
        self.is_proven(it.from) && it.via.is_none_or(|via| self.is_proven(via))
    }

    fn count(&self, from: IpAddr) -> usize {
        self.of_address.get(&from).copied().unwrap_or_default()
    }

    pub(crate) fn is_proven(&self, from: IpAddr) -> bool {
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
        admission.prove(at(1), 3);
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
        admission.prove(at(0), 0);
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

    #[test]
    fn while_handshakes_succeed_silence_closes_none() {
        let mut admission = full(16, |number| number);
        admission.prove(at(8), 13);
        assert_eq!(closed_for(admission.arrive(at(8), address(99))), None, "its place");
        assert_eq!(
            admission.arrive(at(8), address(99)),
            Verdict::Wait { until: at(9) },
            "the others are silent, but places become free"
        );
        assert_eq!(closed_for(admission.arrive(at(9), address(99))), Some(0));
    }

    #[test]
    fn behind_a_proxy_the_client_counts_and_not_the_proxy() {
        const PROXY: u8 = 200;
        let mut admission = Admission::new(Places::new(16, SILENCE, PATIENCE));
        let arrive = |admission: &mut Admission, seconds, client| {
            let verdict = admission.arrive(at(seconds), address(PROXY));
            if let Verdict::Admitted { number, .. } = verdict {
                admission.sent(number);
                admission.locate(number, address(client));
            }
            verdict
        };
        // The first client shows its right, so that both addresses are known.
        arrive(&mut admission, 0, 1);
        admission.prove(at(0), 0);
        // Another one fills every place, and has sent something on each.
        for number in 1..=16 {
            assert_eq!(closed_for(arrive(&mut admission, 0, 66)), None);
            admission.sent(number);
        }
        assert_eq!(
            [2, 3, 4, 5].map(|client| closed_for(arrive(&mut admission, 0, client))),
            [1, 2, 3, 4].map(Some),
            "others get the places that are too many for one, at once"
        );
        assert_eq!(
            arrive(&mut admission, 0, 6),
            Verdict::Wait { until: at(1) },
            "then the silent ones have their time"
        );
        (17..=20).for_each(|number| admission.sent(number));
        assert_eq!(arrive(&mut admission, 1, 6), Verdict::Wait { until: at(5) });
        assert_eq!(closed_for(arrive(&mut admission, 5, 6)), Some(5), "the crowd pays");
    }

    #[test]
    fn a_client_that_is_silent_behind_its_header_counts_as_silent() {
        let mut admission = full(16, |number| 100 + number);
        for (number, client) in (0..14).zip(0..) {
            admission.sent(number);
            admission.locate(number, address(client));
        }
        assert_eq!(closed_for(admission.arrive(at(1), address(200))), Some(0));
    }

    #[test]
    fn an_address_that_anybody_claims_in_a_header_gets_no_place_of_one_that_had_a_session() {
        const STRANGER: u8 = 66;
        let mut admission = Admission::new(Places::new(16, SILENCE, PATIENCE));
        admission.arrive(at(0), address(1));
        admission.prove(at(0), 0);
        for number in 1..=12 {
            admission.arrive(at(0), address(STRANGER));
            admission.locate(number, address(1));
            admission.sent(number);
        }
        admission.arrive(at(0), address(2));
        admission.arrive(at(0), address(3));
        [13, 14].into_iter().for_each(|number| admission.sent(number));
        assert_eq!(
            closed_for(admission.arrive(at(6), address(4))),
            Some(1),
            "the claim counts for nothing"
        );
    }

    proptest! {
        #[test]
        fn places_are_bounded_and_counted_whatever_comes_and_goes(
            steps in prop::collection::vec((0_u8..5, any::<prop::sample::Index>(), 0_u8..6), 0..400),
        ) {
            let mut admission = Admission::new(Places::new(16, SILENCE, PATIENCE));
            let mut now = at(0);
            let mut known: Vec<Number> = Vec::new();
            for (action, pick, from) in steps {
                let some = (!known.is_empty()).then(|| known[pick.index(known.len())]);
                match (action, some) {
                    (1, Some(number)) => admission.sent(number),
                    (2, Some(number)) => admission.prove(now, number),
                    (3, Some(number)) => admission.leave(number),
                    (4, Some(number)) => admission.locate(number, address(from)),
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
