//! Our publications: the routes that our switches learned, their broadcast routes, and the copies that are held.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use super::instances::Instances;
use super::walks::{Portion, portion};
use super::{Change, Options};
use crate::agent::adverts::{Advert, Adverts};
use crate::agent::fabric::{Fabric, ReceivedPath};
use crate::agent::hold::{Changed, Hold, Served};
use crate::bounds::LINGER;
use crate::event::Route;
use crate::evpn::{InstanceName, Key, NextHop, PREFERENCE, Path, STALE_PREFERENCE};
use crate::ids::{Mac, Uuid, Vni};
use crate::planted::Planted;
use crate::time::Time;

/// The routes that every control node is to have.
#[derive(Clone, Debug)]
pub(super) struct Publications {
    /// The broadcast routes of our switches.
    tsn: Ipv4Addr,
    adverts: Adverts,
    /// `None` holds no copies.
    hold: Option<Hold>,
    /// The broadcast routes that our sessions export, by the switch's tunnel end.
    broadcasts: BTreeSet<(Uuid, Ipv4Addr)>,
    #[cfg(feature = "mutants")]
    mutant: Option<crate::mutant::Mutant>,
}

impl Publications {
    /// Nothing yet.
    pub(super) fn new(options: &Options) -> Self {
        let mut publications = Self {
            tsn: options.session.tsn,
            adverts: Adverts::default(),
            hold: None,
            broadcasts: BTreeSet::new(),
            #[cfg(feature = "mutants")]
            mutant: options.session.mutant,
        };
        let factor = if planted!(publications, HoldProlonged) { 100 } else { 1 };
        let planted = Planted::of(&options.session);
        publications.hold = options.stale_hold.map(|lasts| Hold::new(lasts * factor).with(planted));
        publications
    }

    /// Whether copies are held.
    pub(super) fn holds(&self) -> bool {
        self.hold.is_some()
    }

    /// Whether another agent has yet to advertise something that we released.
    pub(super) fn awaits(&self) -> bool {
        self.hold.as_ref().is_some_and(Hold::awaits)
    }

    /// The routes of which copies are held.
    pub(super) fn held(&self) -> impl Iterator<Item = &Route> {
        self.hold.iter().flat_map(Hold::routes)
    }

    /// When the sequences of routes that went are to be forgotten.
    pub(super) fn forget_at(&self) -> Option<Time> {
        self.adverts
            .forget_at()
            .filter(|_| !planted!(self, SequencesNeverForgotten))
    }

    /// Whether copies are left that have been held for long enough.
    pub(super) fn has_expired(&self) -> bool {
        self.hold.as_ref().is_some_and(Hold::has_expired)
    }

    /// When a copy may have been held for long enough.
    pub(super) fn hold_due(&self) -> Option<Time> {
        self.hold.as_ref().and_then(Hold::due)
    }

    /// The advert of a MAC at first hand.
    pub(super) fn advert(&self, network: Uuid, mac: Mac) -> Option<Advert> {
        self.adverts.of(network, mac)
    }

    /// Some of the MACs that are advertised at first hand, from one of them on, and the next.
    pub(super) fn advertised_from(&self, first: (Uuid, Mac), at_most: usize) -> Portion<(Uuid, Mac)> {
        portion(self.adverts.from(first).take(at_most + 1), at_most)
    }

    /// Some of the MACs of which copies are held, from one of them on, and the next.
    pub(super) fn held_from(&self, first: (Uuid, Mac), at_most: usize) -> Portion<(Uuid, Mac)> {
        let held = self.hold.iter().flat_map(|hold| hold.macs_from(first));
        portion(held.take(at_most + 1), at_most)
    }

    /// Some of the MACs of a network that are published, at first hand or as copies, from one of them on, and the next.
    pub(super) fn macs_from(&self, network: Uuid, first: Mac, at_most: usize) -> Portion<Mac> {
        let held = self.hold.iter().flat_map(|hold| hold.macs_from((network, first)));
        let held = held.take_while(|(of, _)| *of == network).map(|(_, mac)| mac);
        let advertised = self.adverts.of_network(network, first);
        portion(advertised.take(at_most + 1).chain(held.take(at_most + 1)), at_most)
    }

    /// The tunnel ends whose broadcast routes in a network may be published.
    pub(super) fn broadcast_vteps(&self, network: Uuid) -> impl Iterator<Item = Ipv4Addr> {
        let held = self.hold.iter().flat_map(Hold::vteps);
        self.exported_broadcasts(network).chain(held)
    }

    /// The tunnel end that we publish for a MAC, at first hand or as a copy, and the sequence.
    pub(super) fn place(&self, network: Uuid, mac: Mac) -> Option<(Ipv4Addr, u32)> {
        let advert = self
            .adverts
            .of(network, mac)
            .map(|advert| (advert.vtep, advert.sequence));
        advert.or_else(|| self.hold.as_ref()?.of(network, mac))
    }

    /// The path that control nodes are to have of a route, if any.
    pub(super) fn desired(&self, instances: &Instances, instance: &InstanceName, key: &Key) -> Option<Path> {
        let (network, vni) = instances.of_instance(instance)?;
        if key.ethernet_tag != u32::from(vni) {
            return None;
        }
        if key.mac.is_broadcast() {
            let IpAddr::V4(vtep) = key.address else { return None };
            return self.desired_broadcast(instances, network, vtep, vni);
        }
        let local_preference = match self.adverts.of(network, key.mac) {
            Some(_) => PREFERENCE,
            None => STALE_PREFERENCE,
        };
        let (vtep, sequence) = self.place(network, key.mac)?;
        Some(Path {
            sequence,
            local_preference,
            ..path(vtep, vni)
        })
    }

    fn desired_broadcast(&self, instances: &Instances, network: Uuid, vtep: Ipv4Addr, vni: Vni) -> Option<Path> {
        let is_exported = self.broadcasts.contains(&(network, vtep));
        let is_held = || {
            let held = self.hold.as_ref().is_some_and(|hold| hold.holds_broadcasts(vtep));
            held && instances.has_member(network, vtep)
        };
        let local_preference = if is_exported { PREFERENCE } else { STALE_PREFERENCE };
        (is_exported || is_held()).then(|| Path {
            replicator: Some(self.tsn),
            local_preference,
            ..path(vtep, vni)
        })
    }

    /// The exports of a MAC changed; it is at these tunnel ends now.
    pub(super) fn on_exported(&mut self, route: Route, change: Change, vteps: &[Ipv4Addr], fabric: &Fabric) {
        let Route { network, mac, vtep } = route;
        if let Some(hold) = self.hold.as_mut().filter(|_| change == Change::Withdrawn) {
            hold.on_withdrawn(&route);
        }
        let advert = self.adverts.of(network, mac).map(|advert| advert.vtep);
        let best = fabric.best(network, mac);
        // A row that went along with the tunnel end of its switch is where the MAC is, unless that went elsewhere before.
        let (follows, moved) = match change {
            Change::Learned => (true, true),
            Change::Relocated(from) => (
                advert == Some(from),
                best.is_none_or(|best| [from, vtep].contains(&best.vtep)) && self.adverts.is_latest(network, mac),
            ),
            Change::Inherited | Change::Withdrawn | Change::SessionOver => (false, false),
        };
        let learned = Some(vtep).filter(|_| follows);
        match learned.or_else(|| self.latest(network, mac, vteps, fabric)) {
            None => self.adverts.on_withdrawn(network, mac),
            // The session of a dead line may still export the row that was gone and is back.
            Some(vtep) if advert == Some(vtep) && change != Change::Learned => {}
            Some(vtep) => {
                let route = Route { network, mac, vtep };
                let paths = fabric.paths(network, mac);
                // A row that stood there before may be older than the path elsewhere: only a MAC that was just learned
                // beats that.
                if follows && moved && !planted!(self, MovesNotRaised) {
                    self.adverts.on_learned(route, best, paths);
                } else {
                    self.adverts.on_inherited(route, paths);
                }
            }
        }
    }

    /// The tunnel end among those of our rows that the MAC came to last, as far as is known. The others are not advertised:
    /// if one were later, with a higher sequence than this, no other agent could have beaten it in time.
    fn latest(&self, network: Uuid, mac: Mac, vteps: &[Ipv4Addr], fabric: &Fabric) -> Option<Ipv4Addr> {
        let advert = self.adverts.of(network, mac).map(|advert| advert.vtep);
        let known = |vtep| {
            let paths = fabric.paths(network, mac);
            self.adverts.known(Route { network, mac, vtep }, paths)
        };
        let ours = vteps.iter().rev().copied();
        ours.max_by_key(|vtep| (known(*vtep), advert == Some(*vtep)))
    }

    /// Our sessions export the broadcast routes of a network for these tunnel ends now. Returns every tunnel end that is
    /// or was among them.
    pub(super) fn on_broadcasts_exported(&mut self, network: Uuid, vteps: &[Ipv4Addr]) -> Vec<Ipv4Addr> {
        let mut concerned: Vec<_> = self.exported_broadcasts(network).collect();
        for vtep in &concerned {
            self.broadcasts.remove(&(network, *vtep));
        }
        self.broadcasts.extend(vteps.iter().map(|vtep| (network, *vtep)));
        concerned.extend(vteps);
        concerned
    }

    /// The paths of a MAC changed, and with them perhaps the best. Returns whether what we publish of it may have changed.
    pub(super) fn on_paths(
        &mut self,
        now: Time,
        (network, mac): (Uuid, Mac),
        before: Option<ReceivedPath>,
        fabric: &Fabric,
    ) -> bool {
        let best = fabric.best(network, mac);
        if let Some(gone) = before.filter(|before| best.is_none_or(|best| best.vtep != before.vtep)) {
            let vtep = gone.vtep;
            let moved = u32::from(planted!(self, SequenceRaised));
            let sequence = gone.sequence.saturating_add(moved);
            self.adverts.remember(now, Route { network, mac, vtep }, sequence);
        }
        // A path at our own tunnel end is the same place: its sequence is ours.
        let raised = best.is_some_and(|best| self.adverts.on_path(network, mac, best));
        raised | self.update_copy(now, network, mac, fabric)
    }

    /// Our switches left a network, and this was the best path of a MAC there. They may come back before it is forgotten.
    pub(super) fn on_left(&mut self, now: Time, network: Uuid, mac: Mac, path: ReceivedPath) {
        let vtep = path.vtep;
        self.adverts
            .remember_at_least(now, Route { network, mac, vtep }, path.sequence);
    }

    /// The live paths of a MAC changed: a copy may come, change or go. Returns whether one did.
    pub(super) fn update_copy(&mut self, now: Time, network: Uuid, mac: Mac, fabric: &Fabric) -> bool {
        let Some(hold) = &mut self.hold else { return false };
        let paths: Vec<_> = fabric.fresh_paths(network, mac).collect();
        hold.on_paths(now, network, mac, &paths)
    }

    /// The service of our switches changed. Returns the routes that are no longer held, or are held from now on.
    pub(super) fn on_served(&mut self, now: Time, served: BTreeMap<Ipv4Addr, Served>) -> Changed {
        let hold = self.hold.as_mut();
        hold.map(|hold| hold.on_served(now, served)).unwrap_or_default()
    }

    /// Our sessions are about to end: copies are held from now on, in any case.
    pub(super) fn hold_for_release(&mut self) {
        let hold = self.hold.get_or_insert_with(|| Hold::new(LINGER));
        hold.begin_release();
    }

    /// Our sessions are about to end: if we advertise this MAC now, another agent is to advertise it.
    pub(super) fn release(&mut self, network: Uuid, mac: Mac) {
        if let (Some(hold), Some(advert)) = (&mut self.hold, self.adverts.of(network, mac)) {
            let vtep = advert.vtep;
            hold.release(Route { network, mac, vtep });
        }
    }

    /// Forgets old sequences, and copies that have been held for long enough. Returns the latter.
    pub(super) fn expire(&mut self, now: Time) -> Changed {
        if !planted!(self, SequencesNeverForgotten) {
            self.adverts.expire(now);
        }
        self.hold.as_mut().map(|hold| hold.expire(now)).unwrap_or_default()
    }

    /// No switch of ours takes part in a network any more: some of the copies of it go. Returns how many.
    pub(super) fn remove_copies(&mut self, network: Uuid, at_most: usize) -> usize {
        let hold = self.hold.as_mut();
        hold.map_or(0, |hold| hold.remove_copies(network, at_most))
    }

    fn exported_broadcasts(&self, network: Uuid) -> impl Iterator<Item = Ipv4Addr> {
        let ends = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST];
        let [first, last] = ends.map(|vtep| (network, vtep));
        self.broadcasts.range(first..=last).map(|(_, vtep)| *vtep)
    }

    #[cfg(feature = "mutants")]
    fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.mutant
    }
}

/// The attributes that all our routes share.
fn path(vtep: Ipv4Addr, vni: Vni) -> Path {
    Path {
        next_hops: vec![NextHop::vxlan(vtep, vni)],
        local_preference: PREFERENCE,
        ..Path::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bounds::SEQUENCE_MEMORY;
    use crate::configuration::{Configuration, Network, SessionOptions, Switch};
    use crate::contrail_schema::{instance, virtual_network};

    const NETWORK: Uuid = Uuid(1);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const THERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

    fn vni() -> Vni {
        Vni::new(5000).expect("a VNI")
    }

    fn publications(stale_hold: Option<Duration>) -> Publications {
        Publications::new(&Options {
            nodes: Vec::new(),
            certificates: Vec::new(),
            session: SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST),
            stale_hold,
            seed: 1,
        })
    }

    /// The network, with one switch of ours in it.
    fn instances() -> Instances {
        let network = Network {
            name: "blue".into(),
            vni: vni(),
            remote_macs: BTreeMap::new(),
        };
        let switch = Switch {
            vtep: Some(HERE),
            ports: [("eth1".into(), [(1, NETWORK)].into())].into(),
            ..Switch::default()
        };
        Instances::of(&Configuration {
            session: SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST),
            networks: [(NETWORK, network)].into(),
            switches: [("tor1".into(), switch)].into(),
        })
    }

    fn desired(publications: &Publications, key: &Key) -> Option<Path> {
        publications.desired(&instances(), &instance(&virtual_network("blue")), key)
    }

    fn export(publications: &mut Publications, change: Change, vtep: Ipv4Addr, vteps: &[Ipv4Addr]) {
        publications.on_exported(route(vtep), change, vteps, &Fabric::default());
    }

    #[test]
    fn a_route_is_published_under_the_vni_of_its_network_alone() {
        let mut publications = publications(None);
        export(&mut publications, Change::Learned, HERE, &[HERE]);
        let path = desired(&publications, &Key::of_mac(vni(), MAC)).expect("a path");
        assert_eq!(path.next_hops, [NextHop::vxlan(HERE, vni())]);
        assert_eq!((path.local_preference, path.sequence), (PREFERENCE, 1));
        let other = Vni::new(6000).expect("a VNI");
        assert_eq!(desired(&publications, &Key::of_mac(other, MAC)), None);
    }

    #[test]
    fn a_mac_stays_where_it_is_until_it_is_learned_elsewhere_or_goes() {
        let mut publications = publications(None);
        export(&mut publications, Change::Learned, HERE, &[HERE]);
        export(&mut publications, Change::Inherited, THERE, &[HERE, THERE]);
        assert_eq!(publications.place(NETWORK, MAC), Some((HERE, 1)));
        export(&mut publications, Change::Learned, THERE, &[HERE, THERE]);
        assert_eq!(publications.place(NETWORK, MAC), Some((THERE, 2)));
        export(&mut publications, Change::Withdrawn, THERE, &[HERE]);
        assert_eq!(publications.place(NETWORK, MAC).map(|(vtep, _)| vtep), Some(HERE));
        export(&mut publications, Change::Withdrawn, HERE, &[]);
        assert_eq!(publications.place(NETWORK, MAC), None);
    }

    #[test]
    fn the_row_that_the_mac_came_to_last_is_advertised_and_no_other_comes_forward_with_more() {
        for (first, second) in [(HERE, THERE), (THERE, HERE)] {
            let mut publications = publications(None);
            for (vtep, sequence) in [(first, 2), (second, 5)] {
                publications.adverts.remember(Time::ORIGIN, route(vtep), sequence);
            }
            export(&mut publications, Change::Inherited, first, &[first]);
            assert_eq!(publications.place(NETWORK, MAC), Some((first, 2)));
            export(&mut publications, Change::Inherited, second, &[HERE, THERE]);
            assert_eq!(publications.place(NETWORK, MAC), Some((second, 5)));
            export(&mut publications, Change::Withdrawn, second, &[first]);
            assert_eq!(publications.place(NETWORK, MAC), Some((first, 2)));
        }
    }

    fn route(vtep: Ipv4Addr) -> Route {
        Route {
            network: NETWORK,
            mac: MAC,
            vtep,
        }
    }

    fn received(vtep: Ipv4Addr, sequence: u32) -> ReceivedPath {
        ReceivedPath {
            vtep,
            preference: PREFERENCE,
            sticky: false,
            sequence,
        }
    }

    fn fabric(paths: &[ReceivedPath]) -> Fabric {
        let mut fabric = Fabric::default();
        for (slot, path) in paths.iter().enumerate() {
            let inserted = fabric.insert(slot, NETWORK, Key::of_mac(vni(), MAC), *path);
            inserted.expect("there is room");
        }
        fabric
    }

    #[test]
    fn a_row_that_goes_along_with_the_tunnel_end_of_its_switch_beats_no_later_place() {
        let other = Ipv4Addr::new(192, 0, 2, 9);
        for (elsewhere, remembered, sequence) in [(None, None, 2), (Some(5), None, 1), (None, Some(5), 1)] {
            let mut publications = publications(None);
            export(&mut publications, Change::Learned, HERE, &[HERE]);
            if let Some(sequence) = remembered {
                publications.adverts.remember(Time::ORIGIN, route(other), sequence);
            }
            let paths: Vec<_> = elsewhere
                .map(|sequence| received(other, sequence))
                .into_iter()
                .collect();
            let fabric = fabric(&[&[received(HERE, 1)], &paths[..]].concat());
            for (change, vtep, vteps) in [
                (Change::Relocated(HERE), THERE, &[HERE, THERE][..]),
                (Change::Withdrawn, HERE, &[THERE]),
            ] {
                publications.on_exported(route(vtep), change, vteps, &fabric);
            }
            assert_eq!(publications.place(NETWORK, MAC), Some((THERE, sequence)));
        }
    }

    #[test]
    fn a_row_that_is_back_beats_the_place_elsewhere_although_a_dead_line_exports_it_still() {
        let mut publications = publications(None);
        export(&mut publications, Change::Learned, HERE, &[HERE]);
        for _ in 0..3 {
            let fabric = fabric(&[received(THERE, 6)]);
            publications.on_exported(route(HERE), Change::Withdrawn, &[HERE], &fabric);
            publications.on_exported(route(HERE), Change::Learned, &[HERE], &fabric);
            assert_eq!(publications.place(NETWORK, MAC), Some((HERE, 7)));
        }
    }

    #[test]
    fn a_place_in_a_network_that_was_left_is_beaten_when_the_network_is_back() {
        for (later, sequence) in [(None, 4), (Some(5), 6)] {
            let mut publications = publications(None);
            if let Some(sequence) = later {
                publications.adverts.remember(Time::ORIGIN, route(THERE), sequence);
            }
            publications.on_left(Time::ORIGIN, NETWORK, MAC, received(THERE, 3));
            export(&mut publications, Change::Learned, HERE, &[HERE]);
            assert_eq!(publications.place(NETWORK, MAC), Some((HERE, sequence)));
        }
    }

    #[test]
    fn a_copy_has_the_sequence_of_its_original_and_the_least_preference() {
        let mut publications = publications(Some(Duration::from_secs(30)));
        let live = Served {
            live: true,
            ..Served::default()
        };
        publications.on_served(Time::ORIGIN, [(HERE, live)].into());
        let fabric = fabric(&[received(HERE, 7)]);
        let key = Key::of_mac(vni(), MAC);
        assert!(publications.update_copy(Time::ORIGIN, NETWORK, MAC, &fabric));
        let copy = desired(&publications, &key).expect("a path");
        assert_eq!((copy.local_preference, copy.sequence), (STALE_PREFERENCE, 7));
        assert_eq!(publications.advert(NETWORK, MAC), None, "it is not ours");
        assert!(!publications.update_copy(Time::ORIGIN, NETWORK, MAC, &fabric));
    }

    /// A copy of a route that another agent advertises for our switch.
    fn with_copy() -> Publications {
        let mut publications = publications(Some(Duration::from_secs(30)));
        let live = Served {
            live: true,
            ..Served::default()
        };
        publications.on_served(Time::ORIGIN, [(HERE, live)].into());
        let fabric = fabric(&[received(HERE, 7)]);
        publications.update_copy(Time::ORIGIN, NETWORK, MAC, &fabric);
        publications
    }

    #[test]
    fn what_is_held_is_among_what_a_control_node_that_comes_later_is_sent() {
        let publications = with_copy();
        assert_eq!(publications.macs_from(NETWORK, Mac([0; 6]), 9), (vec![MAC], None));
        assert_eq!(publications.broadcast_vteps(NETWORK).collect::<Vec<_>>(), [HERE]);
        assert!(desired(&publications, &Key::of_broadcast(vni(), HERE)).is_some());
    }

    #[test]
    fn a_release_awaits_what_we_advertise_and_no_copy_for_another_agent() {
        let mut publications = with_copy();
        publications.release(NETWORK, MAC);
        assert!(!publications.awaits());
        export(&mut publications, Change::Learned, HERE, &[HERE]);
        publications.release(NETWORK, MAC);
        assert!(publications.awaits());
    }

    #[test]
    fn the_sequence_of_a_route_that_went_is_remembered_for_a_bounded_time() {
        let mut publications = publications(None);
        export(&mut publications, Change::Learned, HERE, &[HERE]);
        export(&mut publications, Change::Learned, THERE, &[THERE]);
        for (now, sequence) in [(Time::ORIGIN, 2), (Time::ORIGIN + SEQUENCE_MEMORY, 1)] {
            let (_, published) = publications.place(NETWORK, MAC).expect("a place");
            export(&mut publications, Change::Withdrawn, THERE, &[]);
            let path = received(THERE, published);
            publications.on_paths(Time::ORIGIN, (NETWORK, MAC), Some(path), &Fabric::default());
            publications.expire(now);
            export(&mut publications, Change::Inherited, THERE, &[THERE]);
            assert_eq!(publications.place(NETWORK, MAC), Some((THERE, sequence)));
        }
    }

    #[test]
    fn broadcast_routes_name_the_services_node_and_those_that_went_are_concerned_too() {
        let mut publications = publications(None);
        let key = Key::of_broadcast(vni(), HERE);
        assert_eq!(publications.on_broadcasts_exported(NETWORK, &[HERE]), [HERE]);
        let path = desired(&publications, &key).expect("a path");
        assert_eq!(path.replicator, Some(Ipv4Addr::LOCALHOST));
        assert_eq!(publications.on_broadcasts_exported(NETWORK, &[THERE]), [HERE, THERE]);
        assert_eq!(desired(&publications, &key), None);
    }
}
