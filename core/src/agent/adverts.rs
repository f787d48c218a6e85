//! The adverts of this agent: one place for each MAC, with a sequence that counts its moves.
//!
//! The sequence of MAC mobility (RFC 7432, section 15) belongs to a MAC at a tunnel end, whichever agent advertises it: a
//! takeover changes nothing. It is raised only when the best known path leads to another tunnel end. A sequence that rose
//! at every takeover would soon freeze the MAC as a duplicate: five moves in 180 s.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::fabric::ReceivedPath;
use crate::bounds::{LOOKS_PER_STEP, SEQUENCE_MEMORY};
use crate::event::Route;
use crate::ids::{Mac, Uuid};
use crate::time::Time;

/// The sequence of a MAC that has never moved, as Contrail's agents count.
const FIRST: u32 = 1;

/// The advert of a MAC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Advert {
    /// The tunnel end of the switch that has the MAC.
    pub vtep: Ipv4Addr,
    /// The sequence of MAC mobility (RFC 7432, section 15); 1 for a MAC that has never moved.
    pub sequence: u32,
}

/// Sequences that expire within this time are forgotten together.
const FORGET_TOGETHER: Duration = Duration::from_secs(1);

/// Every MAC that is advertised, and the sequences of paths that went lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Adverts {
    current: BTreeMap<(Uuid, Mac), Advert>,
    remembered: BTreeMap<Route, Remembered>,
    /// When each of those expires.
    expires_at: BTreeSet<(Time, Route)>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    sequence: u32,
    until: Time,
}

impl Adverts {
    /// A switch has learned a MAC just now. `paths` are the known paths; `best` is the best of them, to be beaten if it
    /// leads elsewhere. So is what is remembered of other places: their rows are exported again by the next owner.
    pub(super) fn on_learned(
        &mut self,
        route: Route,
        best: Option<ReceivedPath>,
        paths: impl Iterator<Item = ReceivedPath>,
    ) -> Advert {
        let vtep = route.vtep;
        let elsewhere = best.filter(|best| best.vtep != vtep).map(|best| best.sequence);
        let left = self.of(route.network, route.mac).filter(|left| left.vtep != vtep);
        let beaten = elsewhere
            .max(left.map(|left| left.sequence))
            .max(self.remembered_elsewhere(route))
            .map(|sequence| sequence.saturating_add(1));
        let sequence = self.known(route, paths).max(beaten.unwrap_or(FIRST));
        self.advertise(route, sequence)
    }

    /// A switch has had a MAC for an unknown time: the sequence is what it was in this place, for nothing has moved.
    pub(super) fn on_inherited(&mut self, route: Route, paths: impl Iterator<Item = ReceivedPath>) -> Advert {
        let sequence = self.known(route, paths);
        self.advertise(route, sequence)
    }

    /// The sequence of a MAC in a place, as far as is known.
    pub(super) fn known(&self, route: Route, paths: impl Iterator<Item = ReceivedPath>) -> u32 {
        let before = self.current.get(&(route.network, route.mac));
        let here = paths.filter(|path| path.vtep == route.vtep).map(|path| path.sequence);
        let remembered = self.remembered.get(&route).map(|remembered| remembered.sequence);
        let stayed = before
            .filter(|before| before.vtep == route.vtep)
            .map(|before| before.sequence);
        here.chain(remembered).chain(stayed).max().unwrap_or(FIRST)
    }

    /// The highest sequence that is remembered of a MAC at other tunnel ends.
    fn remembered_elsewhere(&self, Route { network, mac, vtep }: Route) -> Option<u32> {
        let ends = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST];
        let [from, to] = ends.map(|vtep| Route { network, mac, vtep });
        let elsewhere = self.remembered.range(from..=to).filter(|(route, _)| route.vtep != vtep);
        elsewhere.map(|(_, remembered)| remembered.sequence).max()
    }

    fn advertise(&mut self, Route { network, mac, vtep }: Route, sequence: u32) -> Advert {
        let advert = Advert { vtep, sequence };
        self.current.insert((network, mac), advert);
        advert
    }

    /// Another agent advertises a MAC at the same tunnel end with a higher sequence: it is the same place. Returns whether
    /// that changed anything.
    pub(super) fn on_path(&mut self, network: Uuid, mac: Mac, path: ReceivedPath) -> bool {
        let advert = self.current.get_mut(&(network, mac));
        match advert.filter(|advert| advert.vtep == path.vtep && advert.sequence < path.sequence) {
            Some(advert) => {
                advert.sequence = path.sequence;
                true
            }
            None => false,
        }
    }

    /// A path at a tunnel end is gone: its sequence is remembered. What was remembered of that place before counts no more,
    /// even if it was higher: an owner that started again gave a lower one, and an agent that learns the MAC elsewhere beats
    /// the lower one alone.
    pub(super) fn remember(&mut self, now: Time, route: Route, sequence: u32) {
        let until = now + SEQUENCE_MEMORY;
        let remembered = self.remembered.entry(route).or_insert(Remembered { sequence, until });
        self.expires_at.remove(&(remembered.until, route));
        self.expires_at.insert((until, route));
        remembered.sequence = sequence;
        remembered.until = until;
    }

    /// The same of a path that counted until some time ago: what was remembered since then counts if it is higher.
    pub(super) fn remember_at_least(&mut self, now: Time, route: Route, sequence: u32) {
        let remembered = self.remembered.get(&route).map(|remembered| remembered.sequence);
        self.remember(now, route, sequence.max(remembered.unwrap_or(sequence)));
    }

    /// Whether the place where a MAC is advertised is the latest, as far as is remembered.
    pub(super) fn is_latest(&self, network: Uuid, mac: Mac) -> bool {
        self.of(network, mac).is_some_and(|Advert { vtep, sequence }| {
            let elsewhere = self.remembered_elsewhere(Route { network, mac, vtep });
            elsewhere.is_none_or(|elsewhere| elsewhere < sequence)
        })
    }

    /// No switch of ours has this MAC any more. Its sequence is remembered when the path is gone that control nodes sent us
    /// of it: no other agent can beat what they never had.
    pub(super) fn on_withdrawn(&mut self, network: Uuid, mac: Mac) {
        self.current.remove(&(network, mac));
    }

    /// The advert of a MAC.
    pub(super) fn of(&self, network: Uuid, mac: Mac) -> Option<Advert> {
        self.current.get(&(network, mac)).copied()
    }

    /// The MACs that are advertised, from one of them on.
    pub(super) fn from(&self, first: (Uuid, Mac)) -> impl Iterator<Item = (Uuid, Mac)> {
        self.current.range(first..).map(|(mac, _)| *mac)
    }

    /// The MACs of a network that are advertised, from one of them on.
    pub(super) fn of_network(&self, network: Uuid, first: Mac) -> impl Iterator<Item = Mac> {
        let current = self.current.range((network, first)..=(network, Mac::BROADCAST));
        current.map(|((_, mac), _)| *mac)
    }

    /// When the oldest sequences are to be forgotten: all of a second together, for they may be many.
    pub(super) fn forget_at(&self) -> Option<Time> {
        self.expires_at.first().map(|(at, _)| *at + FORGET_TOGETHER)
    }

    /// Forgets some of the sequences that have been remembered for long enough.
    pub(super) fn expire(&mut self, now: Time) {
        for _ in 0..LOOKS_PER_STEP {
            let Some((_, route)) = self.expires_at.first().copied().filter(|(at, _)| *at <= now) else {
                return;
            };
            self.expires_at.pop_first();
            self.remembered.remove(&route);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const THEIRS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
    const ROUTE: Route = Route {
        network: Uuid(1),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        vtep: OURS,
    };

    fn path(vtep: Ipv4Addr, sequence: u32) -> ReceivedPath {
        ReceivedPath {
            vtep,
            preference: 100,
            sticky: false,
            sequence,
        }
    }

    fn learned(adverts: &mut Adverts, paths: &[ReceivedPath]) -> u32 {
        let best = paths.iter().copied().max_by_key(|path| path.sequence);
        adverts.on_learned(ROUTE, best, paths.iter().copied()).sequence
    }

    /// Our route goes, and its path.
    fn withdraw(adverts: &mut Adverts) {
        let advert = adverts.of(ROUTE.network, ROUTE.mac).expect("an advert");
        adverts.on_withdrawn(ROUTE.network, ROUTE.mac);
        adverts.remember(Time::ORIGIN, ROUTE, advert.sequence);
    }

    #[test]
    fn what_no_control_node_ever_had_is_not_remembered() {
        let mut adverts = Adverts::default();
        assert_eq!(learned(&mut adverts, &[path(THEIRS, 3)]), 4);
        adverts.on_withdrawn(ROUTE.network, ROUTE.mac);
        let inherited = adverts.on_inherited(ROUTE, std::iter::empty());
        assert_eq!(inherited.sequence, 1, "no other agent could have beaten 4");
    }

    #[test]
    fn a_takeover_keeps_the_sequence_that_the_other_agent_gave() {
        assert_eq!(learned(&mut Adverts::default(), &[]), 1);
        assert_eq!(learned(&mut Adverts::default(), &[path(OURS, 7)]), 7);
    }

    #[test]
    fn a_mac_that_came_from_elsewhere_beats_what_is_known_of_it() {
        assert_eq!(learned(&mut Adverts::default(), &[path(THEIRS, 3)]), 4);
        let both = [path(OURS, 2), path(THEIRS, 3)];
        assert_eq!(learned(&mut Adverts::default(), &both), 4);
    }

    #[test]
    fn a_mac_that_comes_from_a_place_without_an_owner_beats_what_is_remembered_of_it() {
        let mut adverts = Adverts::default();
        let there = Route { vtep: THEIRS, ..ROUTE };
        adverts.remember(Time::ORIGIN, there, 3);
        let first = learned(&mut adverts, &[]);
        assert_eq!(
            first, 4,
            "the old row is still there, and a new owner will export it with 3"
        );
        withdraw(&mut adverts);
        assert_eq!(learned(&mut adverts, &[]), first, "it has not moved");
    }

    #[test]
    fn a_mac_that_is_learned_again_and_again_in_the_same_place_is_not_raised() {
        let mut adverts = Adverts::default();
        let first = learned(&mut adverts, &[path(THEIRS, 3)]);
        for _ in 0..10 {
            assert_eq!(learned(&mut adverts, &[path(THEIRS, 3), path(OURS, first)]), first);
            withdraw(&mut adverts);
        }
    }

    #[test]
    fn a_sequence_outlives_its_path_for_five_minutes() {
        for (later, sequence) in [(299, 9), (300, 1)] {
            let mut adverts = Adverts::default();
            adverts.remember(Time::ORIGIN, ROUTE, 9);
            adverts.expire(Time::ORIGIN + Duration::from_secs(later));
            assert_eq!(learned(&mut adverts, &[]), sequence, "after {later} s");
        }
    }

    #[test]
    fn an_owner_that_started_again_and_gave_less_is_believed() {
        let mut adverts = Adverts::default();
        for sequence in [3, 1] {
            adverts.remember(Time::ORIGIN, ROUTE, sequence);
        }
        let inherited = adverts.on_inherited(ROUTE, std::iter::empty());
        assert_eq!(inherited.sequence, 1, "a host that moved since has 2");
    }

    #[test]
    fn a_mac_that_moves_between_two_switches_of_ours_is_raised() {
        let mut adverts = Adverts::default();
        let first = learned(&mut adverts, &[]);
        let moved = Route { vtep: THEIRS, ..ROUTE };
        let advert = adverts.on_learned(moved, Some(path(OURS, first)), [path(OURS, first)].into_iter());
        assert_eq!((advert.vtep, advert.sequence), (THEIRS, first + 1));
    }

    #[test]
    fn a_place_that_is_left_because_its_session_ends_is_no_move() {
        let mut adverts = Adverts::default();
        let first = learned(&mut adverts, &[]);
        let other = Route { vtep: THEIRS, ..ROUTE };
        for _ in 0..10 {
            let paths = [path(OURS, first)];
            assert_eq!(adverts.on_inherited(other, paths.into_iter()).sequence, 1);
            assert_eq!(adverts.on_inherited(ROUTE, paths.into_iter()).sequence, first);
        }
    }
}
