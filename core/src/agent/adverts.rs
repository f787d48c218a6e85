//! What this agent advertises: one place for each MAC, with a sequence that says how often it has moved.
//!
//! The sequence of MAC mobility (RFC 7432, section 15) belongs to a MAC at a tunnel end, whichever agent says so: a
//! takeover changes nothing. It is raised only when the best that is known lies at another tunnel end. Whoever
//! raised it at every takeover would soon be called a duplicate and frozen: five moves in 180 s.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::fabric::Heard;
use crate::bounds::SEQUENCE_MEMORY;
use crate::event::Route;
use crate::ids::{Mac, Uuid};
use crate::time::Time;

/// The sequence of a MAC that nobody has ever moved, as Contrail's agents count.
const FIRST: u32 = 1;

/// What is advertised of a MAC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Advert {
    pub vtep: Ipv4Addr,
    pub sequence: u32,
}

/// Every MAC that is advertised, and the sequences of those that lately were.
#[derive(Clone, Debug, Default)]
pub struct Adverts {
    current: BTreeMap<(Uuid, Mac), Advert>,
    remembered: BTreeMap<Route, Remembered>,
    /// When each of those is forgotten.
    forgotten_at: BTreeSet<(Time, Route)>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    sequence: u32,
    until: Time,
}

impl Adverts {
    /// A switch has learned a MAC just now. `paths` are those that are known; `best` is the one of them to beat, if it is
    /// elsewhere.
    pub fn learned(&mut self, route: Route, best: Option<Heard>, paths: impl Iterator<Item = Heard>) -> Advert {
        let vtep = route.vtep;
        let before = self.current.get(&(route.network, route.mac)).copied();
        let elsewhere = best.filter(|best| best.vtep != vtep).map(|best| best.sequence);
        let left = before
            .filter(|before| before.vtep != vtep)
            .map(|before| before.sequence);
        let beaten = elsewhere.max(left).map(|sequence| sequence.saturating_add(1));
        let sequence = self.kept(route, paths).max(beaten.unwrap_or(FIRST));
        self.advertise(route, sequence)
    }

    /// A switch has a MAC, and nobody knows since when: the sequence is what it was in this place, for nothing has moved.
    pub fn found(&mut self, route: Route, paths: impl Iterator<Item = Heard>) -> Advert {
        let sequence = self.kept(route, paths);
        self.advertise(route, sequence)
    }

    fn kept(&self, route: Route, paths: impl Iterator<Item = Heard>) -> u32 {
        let before = self.current.get(&(route.network, route.mac));
        let here = paths.filter(|path| path.vtep == route.vtep).map(|path| path.sequence);
        let remembered = self.remembered.get(&route).map(|remembered| remembered.sequence);
        let stayed = before
            .filter(|before| before.vtep == route.vtep)
            .map(|before| before.sequence);
        here.chain(remembered).chain(stayed).max().unwrap_or(FIRST)
    }

    fn advertise(&mut self, Route { network, mac, vtep }: Route, sequence: u32) -> Advert {
        let advert = Advert { vtep, sequence };
        self.current.insert((network, mac), advert);
        advert
    }

    /// A planted bug: a MAC counts as moved.
    pub fn raise(&mut self, network: Uuid, mac: Mac) {
        if let Some(advert) = self.current.get_mut(&(network, mac)) {
            advert.sequence += 1;
        }
    }

    /// Somebody else advertises a MAC at the same tunnel end, with a higher sequence: it is the same place. Answers
    /// whether that changed anything.
    pub fn heard(&mut self, network: Uuid, mac: Mac, heard: Heard) -> bool {
        let advert = self.current.get_mut(&(network, mac));
        match advert.filter(|advert| advert.vtep == heard.vtep && advert.sequence < heard.sequence) {
            Some(advert) => {
                advert.sequence = heard.sequence;
                true
            }
            None => false,
        }
    }

    /// A path at a tunnel end is gone, or our own is: its sequence is remembered.
    pub fn remember(&mut self, now: Time, route: Route, sequence: u32) {
        let until = now + SEQUENCE_MEMORY;
        let remembered = self.remembered.entry(route).or_insert(Remembered { sequence, until });
        self.forgotten_at.remove(&(remembered.until, route));
        self.forgotten_at.insert((until, route));
        remembered.sequence = remembered.sequence.max(sequence);
        remembered.until = until;
    }

    /// No switch of ours has this MAC any more.
    pub fn withdrawn(&mut self, now: Time, network: Uuid, mac: Mac) {
        if let Some(Advert { vtep, sequence }) = self.current.remove(&(network, mac)) {
            self.remember(now, Route { network, mac, vtep }, sequence);
        }
    }

    /// What is advertised of a MAC.
    pub fn of(&self, network: Uuid, mac: Mac) -> Option<Advert> {
        self.current.get(&(network, mac)).copied()
    }

    /// Everything that is advertised.
    pub fn all(&self) -> impl Iterator<Item = (Uuid, Mac)> {
        self.current.keys().copied()
    }

    /// The MACs of a network that are advertised.
    pub fn of_network(&self, network: Uuid) -> impl Iterator<Item = Mac> {
        let current = self.current.range((network, Mac([0; 6]))..=(network, Mac::BROADCAST));
        current.map(|((_, mac), _)| *mac)
    }

    /// What nobody asks for any more is forgotten.
    pub fn forget(&mut self, now: Time) {
        while let Some((_, route)) = self.forgotten_at.first().copied().filter(|(at, _)| *at <= now) {
            self.forgotten_at.pop_first();
            self.remembered.remove(&route);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const THEIRS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
    const ROUTE: Route = Route {
        network: Uuid(1),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        vtep: OURS,
    };

    fn heard(vtep: Ipv4Addr, sequence: u32) -> Heard {
        Heard {
            vtep,
            preference: 100,
            sticky: false,
            sequence,
        }
    }

    fn learned(adverts: &mut Adverts, paths: &[Heard]) -> u32 {
        let best = paths.iter().copied().max_by_key(|path| path.sequence);
        adverts.learned(ROUTE, best, paths.iter().copied()).sequence
    }

    #[test]
    fn a_takeover_keeps_the_sequence_that_the_other_agent_gave() {
        assert_eq!(learned(&mut Adverts::default(), &[]), 1);
        assert_eq!(learned(&mut Adverts::default(), &[heard(OURS, 7)]), 7);
    }

    #[test]
    fn a_mac_that_came_from_elsewhere_beats_what_is_known_of_it() {
        assert_eq!(learned(&mut Adverts::default(), &[heard(THEIRS, 3)]), 4);
        let both = [heard(OURS, 2), heard(THEIRS, 3)];
        assert_eq!(learned(&mut Adverts::default(), &both), 4);
    }

    #[test]
    fn a_mac_that_is_learned_again_and_again_in_the_same_place_is_not_raised() {
        let mut adverts = Adverts::default();
        let first = learned(&mut adverts, &[heard(THEIRS, 3)]);
        for _ in 0..10 {
            assert_eq!(learned(&mut adverts, &[heard(THEIRS, 3), heard(OURS, first)]), first);
            adverts.withdrawn(Time::ORIGIN, ROUTE.network, ROUTE.mac);
        }
    }

    #[test]
    fn a_sequence_outlives_its_path_for_five_minutes() {
        for (later, sequence) in [(299, 9), (300, 1)] {
            let mut adverts = Adverts::default();
            adverts.remember(Time::ORIGIN, ROUTE, 9);
            adverts.forget(Time::ORIGIN + Duration::from_secs(later));
            assert_eq!(learned(&mut adverts, &[]), sequence, "after {later} s");
        }
    }

    #[test]
    fn a_mac_that_moves_between_two_switches_of_ours_is_raised() {
        let mut adverts = Adverts::default();
        let first = learned(&mut adverts, &[]);
        let moved = Route { vtep: THEIRS, ..ROUTE };
        let advert = adverts.learned(moved, Some(heard(OURS, first)), [heard(OURS, first)].into_iter());
        assert_eq!((advert.vtep, advert.sequence), (THEIRS, first + 1));
    }

    #[test]
    fn a_place_that_is_left_because_its_session_ends_is_no_move() {
        let mut adverts = Adverts::default();
        let first = learned(&mut adverts, &[]);
        let other = Route { vtep: THEIRS, ..ROUTE };
        for _ in 0..10 {
            let paths = [heard(OURS, first)];
            assert_eq!(adverts.found(other, paths.into_iter()).sequence, 1);
            assert_eq!(adverts.found(ROUTE, paths.into_iter()).sequence, first);
        }
    }
}
