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
    /// Until when the broadcast routes of a switch are held that nobody owns.
    broadcasts: BTreeMap<Ipv4Addr, Time>,
    /// Copies of what we let go ourselves, and nobody has vouched for since.
    awaited: BTreeSet<Route>,
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

    /// How our switches are served from now on. Answers the routes whose copies went.
    pub fn serve(&mut self, now: Time, served: BTreeMap<Ipv4Addr, Served>) -> Vec<Route> {
        let before = std::mem::replace(&mut self.served, served);
        for (vtep, was) in &before {
            let is = self.served.get(vtep).copied().unwrap_or_default();
            if was.live && !is.live {
                self.broadcasts.insert(*vtep, now + self.lasts);
            } else if is.live {
                self.broadcasts.remove(vtep);
            }
        }
        let vteps = self.vteps();
        self.broadcasts.retain(|vtep, _| vteps.contains(vtep));
        self.forget(now)
    }

    /// The paths of a MAC changed. Answers whether a copy came, changed or went.
    pub fn heard(&mut self, now: Time, network: Uuid, mac: Mac, paths: &[Heard]) -> bool {
        let mut changed = false;
        let real: Vec<_> = paths.iter().filter(|path| path.preference > STALE_PREFERENCE).collect();
        for vtep in self.served.keys() {
            let route = Route {
                network,
                mac,
                vtep: *vtep,
            };
            let here = real
                .iter()
                .filter(|path| path.vtep == *vtep)
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
            match after {
                Some(copied) => drop(self.copies.insert(route, copied)),
                None => drop(self.copies.remove(&route)),
            }
        }
        changed
    }

    /// Our own session, which lives, took a route back.
    pub fn withdrawn(&mut self, route: &Route) {
        self.copies.remove(route);
        self.awaited.remove(route);
    }

    /// A planted bug: every copy is held anew.
    pub fn prolong(&mut self, now: Time) {
        let alone = self.copies.values_mut().filter(|copied| copied.alone_since.is_some());
        alone.for_each(|copied| copied.alone_since = Some(now));
    }

    /// Nothing of this network is ours any more.
    pub fn leave(&mut self, network: Uuid) {
        self.copies.retain(|route, _| route.network != network);
        self.awaited.retain(|route| route.network != network);
    }

    /// What has been held for long enough goes, and what a living owner has not got. Answers the routes.
    pub fn forget(&mut self, now: Time) -> Vec<Route> {
        self.broadcasts.retain(|_, until| *until > now);
        let gone = |route: &Route, copied: &Copied| match (self.served.get(&route.vtep), copied.alone_since) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(served), Some(since)) => since + self.lasts <= now || served.denies(since, now),
        };
        let gone = |(route, copied): (&Route, &Copied)| gone(route, copied).then_some(*route);
        let routes: Vec<_> = self.copies.iter().filter_map(gone).collect();
        for route in &routes {
            self.copies.remove(route);
            self.awaited.remove(route);
        }
        routes
    }

    /// When something may have been held for long enough.
    pub fn due(&self) -> Option<Time> {
        let due = |(route, copied): (&Route, &Copied)| {
            let since = copied.alone_since?;
            let ours = self
                .served
                .get(&route.vtep)
                .is_some_and(|served| served.audited && served.said.is_none());
            Some(since + if ours { DOUBT } else { self.lasts })
        };
        self.copies
            .iter()
            .filter_map(due)
            .chain(self.broadcasts.values().copied())
            .min()
    }

    /// The sequence of the copy of a MAC, and where it is.
    pub fn of(&self, network: Uuid, mac: Mac) -> Option<(Ipv4Addr, u32)> {
        let ends = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST];
        let [from, to] = ends.map(|vtep| Route { network, mac, vtep });
        let mut copies = self.copies.range(from..=to);
        copies.next().map(|(route, copied)| (route.vtep, copied.sequence))
    }

    /// Every route of which a copy is held.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.copies.keys()
    }

    /// The MACs of a network of which copies are held.
    pub fn of_network(&self, network: Uuid) -> impl Iterator<Item = Mac> {
        let of_network = self.copies.keys().filter(move |route| route.network == network);
        of_network.map(|route| route.mac)
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
        hold.serve(now, [(OURS, Served { live, audited, said })].into()).len()
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
        assert!(hold.forget(at(309)).is_empty() && hold.of(NETWORK, MAC).is_some());
        assert_eq!(hold.forget(at(310)).len(), 1);
        assert_eq!((hold.of(NETWORK, MAC), hold.due()), (None, Some(at(313))));
    }

    #[test]
    fn a_flap_prolongs_nothing() {
        let mut hold = held();
        serve(&mut hold, at(20), true, false);
        serve(&mut hold, at(30), false, false);
        assert!(!hold.heard(at(30), NETWORK, MAC, &[]));
        assert_eq!(hold.forget(at(310)).len(), 1);
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
        assert_eq!(hold.serve(at(20), BTreeMap::new()).len(), 1);
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
