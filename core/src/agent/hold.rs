//! Copies of routes whose original is gone: make before break.
//!
//! With a hold, both agents of a pair advertise every route of their switches a second time, with the least preference.
//! While the owner lives nothing prefers the copy; when the owner dies, traffic goes on as before, until the new owner has
//! read the switch and advertises what is there. A route that a live owner withdrew is gone for good.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::fabric::ReceivedPath;
use crate::bounds::{LOOKS_PER_STEP, WITHDRAWAL_SKEW};
use crate::event::Route;
use crate::evpn::STALE_PREFERENCE;
use crate::ids::{Mac, Uuid};
use crate::planted::Planted;
use crate::time::Time;

/// The service of a switch, by either agent of the pair.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Served {
    /// Some agent owns it.
    pub live: bool,
    /// Its owner has read everything, and advertises what is there.
    pub audited: bool,
    /// When the peer agent reported that; `None` if it is our own session, and true at any time.
    pub reported_at: Option<Time>,
}

impl Served {
    /// Whether the owner was alive, and knew what is there, so long after a route went that it must have withdrawn the
    /// route itself. Before that, the news of its end may be on its way.
    fn denies(&self, since: Time, now: Time) -> bool {
        self.audited && self.reported_at.unwrap_or(now) >= since + WITHDRAWAL_SKEW
    }
}

/// The copies that are held.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    lasts: Duration,
    /// Our switches, by their tunnel end.
    served: BTreeMap<Ipv4Addr, Served>,
    copies: BTreeMap<Route, Copied>,
    /// Copies whose original is gone, by their tunnel end, the oldest first.
    orphans: BTreeMap<Ipv4Addr, BTreeSet<(Time, Route)>>,
    /// Until when the broadcast routes of a switch without an owner are held.
    broadcasts: BTreeMap<Ipv4Addr, Time>,
    /// Copies of what we released ourselves, and no other agent has advertised since.
    awaited: BTreeSet<Route>,
    /// More copies were held for long enough than the last step has removed.
    has_expired: bool,
    planted: Planted,
}

/// The routes that are no longer held, or are held from now on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Changed {
    /// The routes whose copies went.
    pub routes: Vec<Route>,
    /// The tunnel ends whose broadcast routes are concerned.
    pub vteps: BTreeSet<Ipv4Addr>,
    /// A switch is ours no more: each copy is to be looked at.
    pub left: bool,
}

/// A copy.
#[derive(Clone, Copy, Debug)]
struct Copied {
    sequence: u32,
    /// Since when the original is gone.
    orphaned_at: Option<Time>,
}

impl Hold {
    /// Copies are held for so long.
    pub(crate) fn new(lasts: Duration) -> Self {
        Self {
            lasts,
            served: BTreeMap::new(),
            copies: BTreeMap::new(),
            orphans: BTreeMap::new(),
            broadcasts: BTreeMap::new(),
            awaited: BTreeSet::new(),
            has_expired: false,
            planted: Planted::default(),
        }
    }

    /// The same, with a planted bug.
    pub(crate) fn with(self, planted: Planted) -> Self {
        Self { planted, ..self }
    }

    /// Our sessions are about to end: from now on it counts whether another agent advertises what is ours.
    pub(crate) fn begin_release(&mut self) {
        self.awaited.clear();
    }

    /// This route is ours: if a copy of it is held, another agent is to advertise it.
    pub(crate) fn release(&mut self, route: Route) {
        if self.copies.contains_key(&route) {
            self.awaited.insert(route);
        }
    }

    /// Whether another agent has yet to advertise something that we released.
    pub(crate) fn awaits(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Our switches are served like this from now on.
    pub(crate) fn on_served(&mut self, now: Time, served: BTreeMap<Ipv4Addr, Served>) -> Changed {
        let before = std::mem::replace(&mut self.served, served);
        let concerned = self.update_broadcasts(now, &before);
        let mut changed = self.expire(now);
        changed.vteps.extend(concerned);
        changed.left = before.keys().any(|vtep| !self.served.contains_key(vtep));
        changed
    }

    /// The broadcast routes of a switch are held while it has an owner, and for a while after. Returns the tunnel ends for
    /// which that changed.
    fn update_broadcasts(&mut self, now: Time, before: &BTreeMap<Ipv4Addr, Served>) -> BTreeSet<Ipv4Addr> {
        let mut changed = BTreeSet::new();
        for vtep in before.keys().chain(self.served.keys()) {
            let [was, is] = [before, &self.served].map(|it| it.get(vtep).copied().unwrap_or_default());
            let held = was.live || self.broadcasts.contains_key(vtep);
            if is.live || !self.served.contains_key(vtep) {
                self.broadcasts.remove(vtep);
            } else if was.live {
                self.broadcasts.insert(*vtep, now + self.lasts);
            }
            let holds = is.live || self.broadcasts.contains_key(vtep);
            if held != holds {
                changed.insert(*vtep);
            }
        }
        changed
    }

    /// The live paths of a MAC changed. Returns whether a copy came, changed or went.
    pub(crate) fn on_paths(&mut self, now: Time, network: Uuid, mac: Mac, paths: &[ReceivedPath]) -> bool {
        let mut changed = false;
        let real: Vec<_> = paths.iter().filter(|path| path.preference > STALE_PREFERENCE).collect();
        let ours = real
            .iter()
            .map(|path| path.vtep)
            .filter(|vtep| self.served.contains_key(vtep));
        let copied = self.copies_of(network, mac).map(|(route, _)| route.vtep);
        let vteps: BTreeSet<_> = copied.chain(ours).collect();
        for vtep in vteps {
            let route = Route { network, mac, vtep };
            let here = real.iter().filter(|path| path.vtep == vtep).map(|path| path.sequence);
            let before = self.copies.get(&route).copied();
            let after = match (here.max(), before) {
                _ if !self.served.contains_key(&vtep) => None,
                (Some(sequence), _) => Some(Copied {
                    sequence,
                    orphaned_at: None,
                }),
                // It is elsewhere now.
                (None, Some(_)) if !real.is_empty() && !planted!(self.planted, CopyOutlivesMove) => None,
                (None, Some(copied)) => Some(Copied {
                    orphaned_at: copied.orphaned_at.or(Some(now)),
                    ..copied
                }),
                (None, None) => None,
            };
            changed |= before.map(|it| it.sequence) != after.map(|it| it.sequence);
            let was_orphan = before.is_some_and(|it| it.orphaned_at.is_some());
            if after.is_none_or(|it| was_orphan && it.orphaned_at.is_none()) {
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
        let [was, is] = [before, copied].map(|it| it.and_then(|it| it.orphaned_at));
        if was == is {
            return;
        }
        let orphans = self.orphans.entry(route.vtep).or_default();
        if let Some(since) = was {
            orphans.remove(&(since, route));
        }
        orphans.extend(is.map(|since| (since, route)));
        if orphans.is_empty() {
            self.orphans.remove(&route.vtep);
        }
    }

    fn remove(&mut self, routes: &[Route]) {
        for route in routes {
            self.set(*route, None);
            self.awaited.remove(route);
        }
    }

    /// Our own session, which is alive, withdrew a route.
    pub(crate) fn on_withdrawn(&mut self, route: &Route) {
        self.remove(&[*route]);
    }

    /// Our switches take part in a network no more: some of its copies go. Returns how many.
    pub(crate) fn remove_copies(&mut self, network: Uuid, at_most: usize) -> usize {
        let routes = self.routes_from((network, Mac([0; 6])));
        let routes = routes.take_while(|route| route.network == network);
        let routes: Vec<_> = routes.take(at_most).copied().collect();
        self.remove(&routes);
        routes.len()
    }

    /// Removes some of the copies that have been held for long enough, and of those that a live owner does not have.
    pub(crate) fn expire(&mut self, now: Time) -> Changed {
        let over = self.broadcasts.extract_if(.., |_, until| *until <= now);
        let vteps = over.map(|(vtep, _)| vtep).collect();
        let (lasts, served) = (self.lasts, &self.served);
        let over = self.orphans.iter().flat_map(|(vtep, orphans)| {
            let served = served.get(vtep).copied().unwrap_or_default();
            let is_over = move |since| since + lasts <= now || served.denies(since, now);
            orphans.iter().take_while(move |(since, _)| is_over(*since))
        });
        let mut routes: Vec<Route> = over.map(|(_, route)| *route).take(LOOKS_PER_STEP + 1).collect();
        self.has_expired = routes.len() > LOOKS_PER_STEP;
        routes.truncate(LOOKS_PER_STEP);
        self.remove(&routes);
        Changed {
            routes,
            vteps,
            left: false,
        }
    }

    /// Whether more copies were held for long enough than the last step has removed.
    pub(crate) fn has_expired(&self) -> bool {
        self.has_expired
    }

    /// When something may have been held for long enough.
    pub(crate) fn due(&self) -> Option<Time> {
        let due = |(vtep, orphans): (&Ipv4Addr, &BTreeSet<(Time, Route)>)| {
            let (since, _) = orphans.first()?;
            let served = self.served.get(vtep).copied().unwrap_or_default();
            let ours = served.audited && served.reported_at.is_none();
            Some(*since + if ours { WITHDRAWAL_SKEW } else { self.lasts })
        };
        let orphans = self.orphans.iter().filter_map(due);
        orphans.chain(self.broadcasts.values().copied()).min()
    }

    /// The sequence of the copy of a MAC, and where it is.
    pub(crate) fn of(&self, network: Uuid, mac: Mac) -> Option<(Ipv4Addr, u32)> {
        let mut copies = self.copies_of(network, mac);
        copies.next().map(|(route, copied)| (route.vtep, copied.sequence))
    }

    fn copies_of(&self, network: Uuid, mac: Mac) -> impl Iterator<Item = (&Route, &Copied)> {
        let ends = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST];
        let [from, to] = ends.map(|vtep| Route { network, mac, vtep });
        self.copies.range(from..=to)
    }

    /// Every route of which a copy is held.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.copies.keys()
    }

    /// The MACs of which copies are held, from one of them on.
    pub(crate) fn macs_from(&self, first: (Uuid, Mac)) -> impl Iterator<Item = (Uuid, Mac)> {
        let mut last = None;
        self.routes_from(first).filter_map(move |route| {
            let mac = (route.network, route.mac);
            (last.replace(mac) != Some(mac)).then_some(mac)
        })
    }

    fn routes_from(&self, (network, mac): (Uuid, Mac)) -> impl Iterator<Item = &Route> {
        let vtep = Ipv4Addr::UNSPECIFIED;
        let copies = self.copies.range(Route { network, mac, vtep }..);
        copies.map(|(route, _)| route)
    }

    /// Whether the broadcast routes of a switch are held: it has an owner, or had one lately.
    pub(crate) fn holds_broadcasts(&self, vtep: Ipv4Addr) -> bool {
        self.served.get(&vtep).is_some_and(|served| served.live) || self.broadcasts.contains_key(&vtep)
    }

    /// The tunnel ends of our switches.
    pub(crate) fn vteps(&self) -> BTreeSet<Ipv4Addr> {
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

    fn path(vtep: Ipv4Addr, preference: u32) -> ReceivedPath {
        ReceivedPath {
            vtep,
            preference,
            sticky: false,
            sequence: 4,
        }
    }

    /// The peer agent reports how our switch is served.
    fn serve(hold: &mut Hold, now: Time, live: bool, audited: bool) -> usize {
        let reported_at = Some(now);
        hold.on_served(
            now,
            [(
                OURS,
                Served {
                    live,
                    audited,
                    reported_at,
                },
            )]
            .into(),
        )
        .routes
        .len()
    }

    /// A copy of a route whose owner has just died.
    fn held() -> Hold {
        let mut hold = Hold::new(Duration::from_secs(300));
        serve(&mut hold, at(0), true, true);
        assert!(hold.on_paths(at(0), NETWORK, MAC, &[path(OURS, 100)]));
        assert!(!hold.on_paths(at(10), NETWORK, MAC, &[path(OURS, 1)]));
        serve(&mut hold, at(13), false, false);
        assert_eq!(hold.of(NETWORK, MAC), Some((OURS, 4)));
        hold
    }

    #[test]
    fn a_copy_outlives_its_owner_for_as_long_as_it_is_held() {
        let mut hold = held();
        assert_eq!(hold.due(), Some(at(310)));
        assert!(hold.expire(at(309)).routes.is_empty() && hold.of(NETWORK, MAC).is_some());
        assert_eq!(hold.expire(at(310)).routes.len(), 1);
        assert_eq!((hold.of(NETWORK, MAC), hold.due()), (None, Some(at(313))));
    }

    #[test]
    fn an_owner_that_comes_and_goes_prolongs_no_hold() {
        let mut hold = held();
        serve(&mut hold, at(20), true, false);
        serve(&mut hold, at(30), false, false);
        assert!(!hold.on_paths(at(30), NETWORK, MAC, &[]));
        assert_eq!(hold.expire(at(310)).routes.len(), 1);
    }

    #[test]
    fn a_released_route_is_awaited_until_another_agent_advertises_it() {
        let mut hold = Hold::new(Duration::from_secs(5));
        serve(&mut hold, at(0), true, true);
        hold.on_paths(at(0), NETWORK, MAC, &[path(OURS, 100)]);
        hold.begin_release();
        let (network, mac, vtep) = (NETWORK, MAC, OURS);
        hold.release(Route { network, mac, vtep });
        hold.on_paths(at(1), NETWORK, MAC, &[path(OURS, 100)]);
        assert!(hold.awaits(), "that is our own path");
        serve(&mut hold, at(1), false, false);
        hold.on_paths(at(1), NETWORK, MAC, &[path(OURS, 1)]);
        assert!(hold.awaits());
        hold.on_paths(at(2), NETWORK, MAC, &[path(OURS, 100), path(OURS, 1)]);
        assert!(!hold.awaits());
    }

    #[test]
    fn a_copy_goes_that_the_new_owner_has_not_found() {
        let mut hold = held();
        serve(&mut hold, at(20), true, false);
        assert!(hold.of(NETWORK, MAC).is_some());
        serve(&mut hold, at(21), true, true);
        assert!(hold.of(NETWORK, MAC).is_none());
    }

    #[test]
    fn a_route_that_a_live_owner_withdraws_is_gone_for_good() {
        let mut hold = Hold::new(Duration::from_secs(300));
        serve(&mut hold, at(0), true, true);
        hold.on_paths(at(0), NETWORK, MAC, &[path(OURS, 100)]);
        hold.on_paths(at(1), NETWORK, MAC, &[path(OURS, 1)]);
        assert_eq!(
            serve(&mut hold, at(1), true, true),
            0,
            "the report may be older than the end of the session"
        );
        assert_eq!(serve(&mut hold, at(2), true, true), 1);
        assert!(hold.of(NETWORK, MAC).is_none());
    }

    #[test]
    fn a_copy_goes_that_our_own_session_has_not_found_without_any_report() {
        let mut hold = held();
        let (live, audited, reported_at) = (true, true, None);
        assert_eq!(
            hold.on_served(
                at(20),
                [(
                    OURS,
                    Served {
                        live,
                        audited,
                        reported_at
                    }
                )]
                .into()
            )
            .routes
            .len(),
            1
        );
    }

    #[test]
    fn a_mac_that_moved_elsewhere_is_not_held_here() {
        let mut hold = held();
        assert!(hold.on_paths(at(20), NETWORK, MAC, &[path(THEIRS, 100), path(OURS, 1)]));
        assert!(hold.of(NETWORK, MAC).is_none());
    }

    #[test]
    fn copies_of_a_switch_go_with_its_configuration() {
        let mut hold = held();
        assert!(hold.on_served(at(20), BTreeMap::new()).left, "each copy is looked at");
        assert!(hold.on_paths(at(20), NETWORK, MAC, &[]));
        assert!(hold.of(NETWORK, MAC).is_none() && !hold.holds_broadcasts(OURS));
    }

    #[test]
    fn broadcasts_are_held_from_the_first_owner_on() {
        let mut hold = Hold::new(Duration::from_secs(300));
        serve(&mut hold, at(0), false, false);
        assert!(!hold.holds_broadcasts(OURS));
        serve(&mut hold, at(1), true, false);
        serve(&mut hold, at(2), false, false);
        hold.expire(at(301));
        assert!(hold.holds_broadcasts(OURS));
        hold.expire(at(302));
        assert!(!hold.holds_broadcasts(OURS));
    }
}
