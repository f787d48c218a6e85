//! Copies that are held while nobody knows a route at first hand: make before break.
//!
//! When it is switched on, both agents of a pair advertise every route of their switches a second time, with the least
//! preference. While the owner lives nobody sees that; when it dies, traffic goes on as before, until the new owner has
//! read the switch and advertises what is there. What was taken back by an owner that lives is gone for good.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::fabric::Heard;
use crate::bounds::DOUBT;
use crate::event::Route;
use crate::evpn::STALE_PREFERENCE;
use crate::ids::{Mac, Uuid};
use crate::time::Time;

/// How a switch is served, by whichever agent of the pair.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Served {
    /// Some agent owns it.
    pub live: bool,
    /// Its owner has read everything, and advertises what is there.
    pub audited: bool,
    /// When the other agent said so; `None` if it is our own session, and true at any time.
    pub said: Option<Time>,
}

impl Served {
    /// Whether the owner lived, and had found what is there, so long after a route went that it must have been itself
    /// that took the route back. Before that, the news of its end may be on its way.
    fn denies(&self, since: Time, now: Time) -> bool {
        self.audited && self.said.unwrap_or(now) >= since + DOUBT
    }
}

/// The copies that are held.
#[derive(Clone, Debug)]
pub struct Hold {
    lasts: Duration,
    /// Our switches, by their tunnel end.
    served: BTreeMap<Ipv4Addr, Served>,
    copies: BTreeMap<Route, Copied>,
    /// Those that nobody advertises at first hand, by their tunnel end, the longest alone first.
    alone: BTreeMap<Ipv4Addr, BTreeSet<(Time, Route)>>,
    /// Until when the broadcast routes of a switch are held that nobody owns.
    broadcasts: BTreeMap<Ipv4Addr, Time>,
    /// Copies of what we let go ourselves, and nobody has vouched for since.
    awaited: BTreeSet<Route>,
}

/// What is held no more, or from now on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changed {
    /// The routes whose copies went.
    pub routes: Vec<Route>,
    /// The tunnel ends whose broadcast routes are concerned.
    pub ends: BTreeSet<Ipv4Addr>,
}

/// A copy.
#[derive(Clone, Copy, Debug)]
struct Copied {
    sequence: u32,
    /// Since when nobody advertises the route at first hand.
    alone_since: Option<Time>,
}

impl Hold {
    /// Copies are held for so long.
    pub fn new(lasts: Duration) -> Self {
        Self {
            lasts,
            served: BTreeMap::new(),
            copies: BTreeMap::new(),
            alone: BTreeMap::new(),
            broadcasts: BTreeMap::new(),
            awaited: BTreeSet::new(),
        }
    }

    /// We are about to let our routes go: from now on it counts whether somebody else vouches for them.
    pub fn let_go(&mut self, ours: impl Fn(&Route) -> bool) {
        self.awaited = self.copies.keys().filter(|route| ours(route)).copied().collect();
    }

    /// Whether somebody else is still to vouch for something that we let go.
    pub fn awaits(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// How our switches are served from now on.
    pub fn serve(&mut self, now: Time, served: BTreeMap<Ipv4Addr, Served>) -> Changed {
        let before = std::mem::replace(&mut self.served, served);
        let mut changed = Changed::default();
        for vtep in before.keys().chain(self.served.keys()) {
            let [was, is] = [&before, &self.served].map(|it| it.get(vtep).copied().unwrap_or_default());
            let held = was.live || self.broadcasts.contains_key(vtep);
            if is.live || !self.served.contains_key(vtep) {
                self.broadcasts.remove(vtep);
            } else if was.live {
                self.broadcasts.insert(*vtep, now + self.lasts);
            }
            if held != self.holds_broadcasts(*vtep) {
                changed.ends.insert(*vtep);
            }
        }
        if before.keys().any(|vtep| !self.served.contains_key(vtep)) {
            let ours = &self.served;
            let left = self.copies.keys().filter(|route| !ours.contains_key(&route.vtep));
            changed.routes = left.copied().collect();
        }
        for route in &changed.routes {
            self.set(*route, None);
            self.awaited.remove(route);
        }
        let forgotten = self.forget(now);
        changed.routes.extend(forgotten.routes);
        changed.ends.extend(forgotten.ends);
        changed
    }

    /// The paths of a MAC changed. Answers whether a copy came, changed or went.
    pub fn heard(&mut self, now: Time, network: Uuid, mac: Mac, paths: &[Heard]) -> bool {
        let mut changed = false;
        let real: Vec<_> = paths.iter().filter(|path| path.preference > STALE_PREFERENCE).collect();
        let there = real
            .iter()
            .map(|path| path.vtep)
            .filter(|vtep| self.served.contains_key(vtep));
        let vteps: BTreeSet<_> = self
            .copies_of(network, mac)
            .map(|(route, _)| route.vtep)
            .chain(there)
            .collect();
        for vtep in vteps {
            let route = Route { network, mac, vtep };
            let here = real
                .iter()
                .filter(|path| path.vtep == vtep)
                .map(|path| path.sequence)
                .max();
            let before = self.copies.get(&route).copied();
            let after = match (here, before) {
                (Some(sequence), _) => Some(Copied {
                    sequence,
                    alone_since: None,
                }),
                // It is elsewhere now.
                (None, Some(_)) if !real.is_empty() => None,
                (None, Some(copied)) => Some(Copied {
                    alone_since: copied.alone_since.or(Some(now)),
                    ..copied
                }),
                (None, None) => None,
            };
            changed |= before.map(|it| it.sequence) != after.map(|it| it.sequence);
            let was_alone = before.is_some_and(|it| it.alone_since.is_some());
            if after.is_none_or(|it| was_alone && it.alone_since.is_none()) {
                self.awaited.remove(&route);
            }
            self.set(route, after);
        }
        changed
    }

    /// From now on this is the copy of a route, if there is one.
    fn set(&mut self, route: Route, copied: Option<Copied>) {
        let before = match copied {
            Some(copied) => self.copies.insert(route, copied),
            None => self.copies.remove(&route),
        };
        let [was, is] = [before, copied].map(|it| it.and_then(|it| it.alone_since));
        if was == is {
            return;
        }
        let alone = self.alone.entry(route.vtep).or_default();
        if let Some(since) = was {
            alone.remove(&(since, route));
        }
        alone.extend(is.map(|since| (since, route)));
        if alone.is_empty() {
            self.alone.remove(&route.vtep);
        }
    }

    /// Our own session, which lives, took a route back.
    pub fn withdrawn(&mut self, route: &Route) {
        self.set(*route, None);
        self.awaited.remove(route);
    }

    /// A planted bug: every copy is held anew.
    pub fn prolong(&mut self, now: Time) {
        let alone = self.copies.iter().filter(|(_, copied)| copied.alone_since.is_some());
        let alone_since = Some(now);
        let alone: Vec<_> = alone
            .map(|(route, it)| (*route, Copied { alone_since, ..*it }))
            .collect();
        for (route, copied) in alone {
            self.set(route, Some(copied));
        }
    }

    /// Nothing of this network is ours any more.
    pub fn leave(&mut self, network: Uuid) {
        for route in self
            .copies
            .keys()
            .filter(|route| route.network == network)
            .copied()
            .collect::<Vec<_>>()
        {
            self.set(route, None);
        }
        self.awaited.retain(|route| route.network != network);
    }

    /// What has been held for long enough goes, and what a living owner has not got.
    pub fn forget(&mut self, now: Time) -> Changed {
        let over = self.broadcasts.extract_if(.., |_, until| *until <= now);
        let ends = over.map(|(vtep, _)| vtep).collect();
        let mut routes = Vec::new();
        for (vtep, alone) in &self.alone {
            let served = self.served.get(vtep).copied().unwrap_or_default();
            let gone = |since| since + self.lasts <= now || served.denies(since, now);
            let gone = alone.iter().take_while(|(since, _)| gone(*since));
            routes.extend(gone.map(|(_, route)| *route));
        }
        for route in &routes {
            self.set(*route, None);
            self.awaited.remove(route);
        }
        Changed { routes, ends }
    }

    /// When something may have been held for long enough.
    pub fn due(&self) -> Option<Time> {
        let due = |(vtep, alone): (&Ipv4Addr, &BTreeSet<(Time, Route)>)| {
            let (since, _) = alone.first()?;
            let served = self.served.get(vtep).copied().unwrap_or_default();
            let ours = served.audited && served.said.is_none();
            Some(*since + if ours { DOUBT } else { self.lasts })
        };
        let alone = self.alone.iter().filter_map(due);
        alone.chain(self.broadcasts.values().copied()).min()
    }

    /// The sequence of the copy of a MAC, and where it is.
    pub fn of(&self, network: Uuid, mac: Mac) -> Option<(Ipv4Addr, u32)> {
        let mut copies = self.copies_of(network, mac);
        copies.next().map(|(route, copied)| (route.vtep, copied.sequence))
    }

    fn copies_of(&self, network: Uuid, mac: Mac) -> impl Iterator<Item = (&Route, &Copied)> {
        let ends = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST];
        let [from, to] = ends.map(|vtep| Route { network, mac, vtep });
        self.copies.range(from..=to)
    }

    /// Every route of which a copy is held.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.copies.keys()
    }

    /// The MACs of a network of which copies are held.
    pub fn of_network(&self, network: Uuid) -> impl Iterator<Item = Mac> {
        let ends = [
            (Mac([0; 6]), Ipv4Addr::UNSPECIFIED),
            (Mac::BROADCAST, Ipv4Addr::BROADCAST),
        ];
        let [from, to] = ends.map(|(mac, vtep)| Route { network, mac, vtep });
        self.copies.range(from..=to).map(|(route, _)| route.mac)
    }

    /// Whether the broadcast routes of a switch are held: somebody owns it, or did lately.
    pub fn holds_broadcasts(&self, vtep: Ipv4Addr) -> bool {
        self.served.get(&vtep).is_some_and(|served| served.live) || self.broadcasts.contains_key(&vtep)
    }

    /// The tunnel ends of our switches.
    pub fn vteps(&self) -> BTreeSet<Ipv4Addr> {
        self.served.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const THEIRS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
    const NETWORK: Uuid = Uuid(1);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn at(seconds: u64) -> Time {
        Time::ORIGIN + Duration::from_secs(seconds)
    }

    fn path(vtep: Ipv4Addr, preference: u32) -> Heard {
        Heard {
            vtep,
            preference,
            sticky: false,
            sequence: 4,
        }
    }

    /// The other agent says how our switch is served.
    fn serve(hold: &mut Hold, now: Time, live: bool, audited: bool) -> usize {
        let said = Some(now);
        hold.serve(now, [(OURS, Served { live, audited, said })].into())
            .routes
            .len()
    }

    /// A copy of a route whose owner has just died.
    fn held() -> Hold {
        let mut hold = Hold::new(Duration::from_secs(300));
        serve(&mut hold, at(0), true, true);
        assert!(hold.heard(at(0), NETWORK, MAC, &[path(OURS, 100)]));
        assert!(!hold.heard(at(10), NETWORK, MAC, &[path(OURS, 1)]));
        serve(&mut hold, at(13), false, false);
        assert_eq!(hold.of(NETWORK, MAC), Some((OURS, 4)));
        hold
    }

    #[test]
    fn a_copy_outlives_its_owner_for_as_long_as_it_is_held() {
        let mut hold = held();
        assert_eq!(hold.due(), Some(at(310)));
        assert!(hold.forget(at(309)).routes.is_empty() && hold.of(NETWORK, MAC).is_some());
        assert_eq!(hold.forget(at(310)).routes.len(), 1);
        assert_eq!((hold.of(NETWORK, MAC), hold.due()), (None, Some(at(313))));
    }

    #[test]
    fn a_flap_prolongs_nothing() {
        let mut hold = held();
        serve(&mut hold, at(20), true, false);
        serve(&mut hold, at(30), false, false);
        assert!(!hold.heard(at(30), NETWORK, MAC, &[]));
        assert_eq!(hold.forget(at(310)).routes.len(), 1);
    }

    #[test]
    fn what_we_let_go_is_awaited_until_somebody_vouches_for_it_after_us() {
        let mut hold = Hold::new(Duration::from_secs(5));
        serve(&mut hold, at(0), true, true);
        hold.heard(at(0), NETWORK, MAC, &[path(OURS, 100)]);
        hold.let_go(|_| true);
        hold.heard(at(1), NETWORK, MAC, &[path(OURS, 100)]);
        assert!(hold.awaits(), "that is our own word");
        serve(&mut hold, at(1), false, false);
        hold.heard(at(1), NETWORK, MAC, &[path(OURS, 1)]);
        assert!(hold.awaits());
        hold.heard(at(2), NETWORK, MAC, &[path(OURS, 100), path(OURS, 1)]);
        assert!(!hold.awaits());
    }

    #[test]
    fn what_the_new_owner_has_not_found_goes() {
        let mut hold = held();
        serve(&mut hold, at(20), true, false);
        assert!(hold.of(NETWORK, MAC).is_some());
        serve(&mut hold, at(21), true, true);
        assert!(hold.of(NETWORK, MAC).is_none());
    }

    #[test]
    fn what_an_owner_that_lives_takes_back_is_gone_for_good() {
        let mut hold = Hold::new(Duration::from_secs(300));
        serve(&mut hold, at(0), true, true);
        hold.heard(at(0), NETWORK, MAC, &[path(OURS, 100)]);
        hold.heard(at(1), NETWORK, MAC, &[path(OURS, 1)]);
        assert_eq!(
            serve(&mut hold, at(1), true, true),
            0,
            "it may have said so before its end"
        );
        assert_eq!(serve(&mut hold, at(2), true, true), 1);
        assert!(hold.of(NETWORK, MAC).is_none());
    }

    #[test]
    fn what_our_own_session_does_not_find_goes_without_a_word_from_anybody() {
        let mut hold = held();
        let (live, audited, said) = (true, true, None);
        assert_eq!(
            hold.serve(at(20), [(OURS, Served { live, audited, said })].into())
                .routes
                .len(),
            1
        );
    }

    #[test]
    fn a_mac_that_moved_elsewhere_is_not_held_here() {
        let mut hold = held();
        assert!(hold.heard(at(20), NETWORK, MAC, &[path(THEIRS, 100), path(OURS, 1)]));
        assert!(hold.of(NETWORK, MAC).is_none());
    }

    #[test]
    fn a_switch_that_is_configured_no_more_is_held_no_more() {
        let mut hold = held();
        assert_eq!(hold.serve(at(20), BTreeMap::new()).routes.len(), 1);
        assert!(!hold.holds_broadcasts(OURS));
    }

    #[test]
    fn broadcasts_are_held_from_the_first_owner_on() {
        let mut hold = Hold::new(Duration::from_secs(300));
        serve(&mut hold, at(0), false, false);
        assert!(!hold.holds_broadcasts(OURS));
        serve(&mut hold, at(1), true, false);
        serve(&mut hold, at(2), false, false);
        hold.forget(at(301));
        assert!(hold.holds_broadcasts(OURS));
        hold.forget(at(302));
        assert!(!hold.holds_broadcasts(OURS));
    }
}
