//! What all sessions of this agent export together.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Route;
use crate::ids::Generation;

/// Each route, and the session that vouches for it. The control side reads it from here.
#[derive(Clone, Debug, Default)]
pub struct Exports {
    owners: BTreeMap<Route, Generation>,
    by_generation: BTreeMap<Generation, BTreeSet<Route>>,
}

impl Exports {
    /// Every route that is exported now.
    pub fn routes(&self) -> impl Iterator<Item = &Route> + '_ {
        self.owners.keys()
    }

    /// How many routes a session vouches for.
    pub fn of_generation(&self, generation: Generation) -> usize {
        self.by_generation.get(&generation).map_or(0, BTreeSet::len)
    }

    /// A session exports a route. From a newer session of the switch it takes the route over.
    pub fn exported(&mut self, generation: Generation, route: Route) {
        match self.owners.get(&route) {
            Some(owner) if *owner > generation => return,
            Some(owner) => {
                let owner = *owner;
                self.disown(owner, &route);
            }
            None => {}
        }
        self.owners.insert(route, generation);
        self.by_generation.entry(generation).or_default().insert(route);
    }

    /// A session takes a route back. News of an older session than the one that vouches for it counts nothing.
    pub fn withdrawn(&mut self, generation: Generation, route: Route) {
        if self.owners.get(&route) == Some(&generation) {
            self.owners.remove(&route);
            self.disown(generation, &route);
        }
    }

    /// A session is over: whatever it still vouches for goes.
    pub fn retracted(&mut self, generation: Generation) {
        for route in self.by_generation.remove(&generation).unwrap_or_default() {
            self.owners.remove(&route);
        }
    }

    fn disown(&mut self, generation: Generation, route: &Route) {
        if let Some(routes) = self.by_generation.get_mut(&generation) {
            routes.remove(route);
            if routes.is_empty() {
                self.by_generation.remove(&generation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Mac, Uuid};
    use std::net::Ipv4Addr;

    const OLD: Generation = Generation(1);
    const NEW: Generation = Generation(2);
    const ROUTE: Route = Route {
        network: Uuid(1),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        vtep: Ipv4Addr::new(192, 0, 2, 1),
    };

    #[test]
    fn a_late_retraction_of_the_older_session_removes_nothing_of_the_newer() {
        let mut exports = Exports::default();
        exports.exported(OLD, ROUTE);
        exports.exported(NEW, ROUTE);
        exports.withdrawn(OLD, ROUTE);
        exports.retracted(OLD);
        assert_eq!(exports.routes().collect::<Vec<_>>(), [&ROUTE]);
        exports.retracted(NEW);
        assert_eq!(exports.routes().count(), 0);
    }

    #[test]
    fn a_late_export_of_the_older_session_takes_nothing_from_the_newer() {
        let mut exports = Exports::default();
        exports.exported(NEW, ROUTE);
        exports.exported(OLD, ROUTE);
        exports.retracted(OLD);
        assert_eq!(exports.of_generation(NEW), 1);
    }
}
