//! The routes that the sessions of this agent export together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use smallvec::SmallVec;

use crate::event::Route;
use crate::ids::{Generation, Mac, Uuid};

/// Each route, and the sessions that export it.
///
/// A route is exported while any session exports it. No session takes a route over from another: the order of their
/// notices does not show which of two sessions of one switch has the lock now, for the notices of a dead line may be late.
/// The routes of a dead connection go a second later, when it has not proved that it is alive.
#[derive(Clone, Debug, Default)]
pub struct Exports {
    /// Nearly always one; two switches that share a tunnel end export the same routes, as do two sessions of a switch
    /// whose lock passed from one to the other.
    owners: BTreeMap<Route, SmallVec<[Generation; 1]>>,
    by_generation: BTreeMap<Generation, BTreeSet<Route>>,
    /// What sessions that ended exported, and is not yet retracted.
    ended: VecDeque<(Generation, BTreeSet<Route>)>,
    #[cfg(feature = "mutants")]
    mutant: Option<crate::mutant::Mutant>,
}

impl Exports {
    /// None yet, with the planted bug of these options.
    #[cfg(feature = "mutants")]
    pub(super) fn with_mutant(options: &crate::configuration::SessionOptions) -> Self {
        Self {
            mutant: options.mutant,
            ..Self::default()
        }
    }

    #[cfg(feature = "mutants")]
    fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.mutant
    }

    /// Every route that is exported now.
    pub fn routes(&self) -> impl Iterator<Item = &Route> + '_ {
        self.owners.keys()
    }

    /// The number of routes that a session exports.
    pub(super) fn of_generation(&self, generation: Generation) -> usize {
        self.by_generation.get(&generation).map_or(0, BTreeSet::len)
    }

    /// The tunnel end at which a session exports a MAC.
    pub(super) fn place_of(&self, generation: Generation, network: Uuid, mac: Mac) -> Option<Ipv4Addr> {
        let ends = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST];
        let [from, to] = ends.map(|vtep| Route { network, mac, vtep });
        let routes = self.by_generation.get(&generation)?;
        routes.range(from..=to).next().map(|route| route.vtep)
    }

    /// A session exports a route.
    pub(super) fn on_exported(&mut self, generation: Generation, route: Route) {
        if self.by_generation.entry(generation).or_default().insert(route) {
            self.owners.entry(route).or_default().push(generation);
        }
    }

    /// A session withdrew a route. It stays while another one exports it.
    pub(super) fn on_withdrawn(&mut self, generation: Generation, route: Route) {
        if let Some(routes) = self.by_generation.get_mut(&generation) {
            routes.remove(&route);
            if routes.is_empty() {
                self.by_generation.remove(&generation);
            }
        }
        self.disown(generation, &route);
    }

    /// A session ended: what it alone still exports goes, step by step.
    pub(super) fn on_closed(&mut self, generation: Generation) {
        let routes = self.by_generation.remove(&generation);
        self.ended.extend(routes.map(|routes| (generation, routes)));
    }

    /// Retracts some of what sessions that ended exported. Returns these routes; each stays while another session exports it.
    pub(super) fn retract(&mut self, at_most: usize) -> Vec<Route> {
        let mut retracted = Vec::new();
        while retracted.len() < at_most
            && let Some((generation, routes)) = self.ended.front_mut()
        {
            let generation = *generation;
            match routes.pop_first() {
                Some(route) => {
                    self.disown(generation, &route);
                    retracted.push(route);
                }
                None => drop(self.ended.pop_front()),
            }
        }
        self.ended.pop_front_if(|(_, routes)| routes.is_empty());
        retracted
    }

    /// Whether anything is left to retract.
    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// The tunnel ends that any session exports a MAC at.
    pub fn vteps(&self, network: Uuid, mac: Mac) -> impl Iterator<Item = Ipv4Addr> {
        let ends = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST];
        let [from, to] = ends.map(|vtep| Route { network, mac, vtep });
        self.owners.range(from..=to).map(|(route, _)| route.vtep)
    }

    fn disown(&mut self, generation: Generation, route: &Route) {
        let takes_all = planted!(self, LateRetractionWins);
        if let Some(owners) = self.owners.get_mut(route) {
            owners.retain(|owner| *owner != generation && !takes_all);
            if owners.is_empty() {
                self.owners.remove(route);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Generation = Generation(1);
    const NEW: Generation = Generation(2);
    const ROUTE: Route = Route {
        network: Uuid(1),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        vtep: Ipv4Addr::new(192, 0, 2, 1),
    };

    #[test]
    fn a_late_retraction_of_one_session_removes_nothing_of_another() {
        for (first, second) in [(OLD, NEW), (NEW, OLD)] {
            let mut exports = Exports::default();
            exports.on_exported(OLD, ROUTE);
            exports.on_exported(NEW, ROUTE);
            exports.on_withdrawn(first, ROUTE);
            exports.on_closed(first);
            exports.retract(9);
            assert_eq!(exports.routes().collect::<Vec<_>>(), [&ROUTE]);
            exports.on_closed(second);
            assert_eq!(exports.retract(9), [ROUTE]);
            assert_eq!(exports.routes().count(), 0);
        }
    }

    #[test]
    fn a_session_that_exports_late_and_ends_takes_nothing_with_it() {
        let mut exports = Exports::default();
        exports.on_exported(NEW, ROUTE);
        exports.on_exported(OLD, ROUTE);
        exports.on_closed(OLD);
        assert_eq!((exports.retract(1), exports.has_ended()), (vec![ROUTE], false));
        assert_eq!(exports.of_generation(NEW), 1);
        assert_eq!(exports.routes().count(), 1);
    }
}
