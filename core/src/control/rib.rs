//! The routes of every instance, the routes of departed clients that are yet to be removed, and the owners of switches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::best_path::Source;
use super::event::Event;
use super::instance::Instance;
use super::inventory::Inventory;
use super::outputs::Outputs;
use super::switch_owners::SwitchOwners;
use super::table::Outcome;
use crate::bounds::LOOKS_PER_STEP;
use crate::configuration::Network;
use crate::dirty_set::DirtySet;
use crate::evpn::{InstanceName, Key, Path};
use crate::ids::{ConnId, Mac, Uuid};

/// Every routing instance that is configured or subscribed.
#[derive(Clone, Debug, Default)]
pub(super) struct Rib {
    instances: BTreeMap<InstanceName, Instance>,
    switch_owners: SwitchOwners,
    /// Routes of departed clients, awaiting removal.
    removals: VecDeque<Removal>,
    /// Instances in which something changed of which their subscribers were not notified.
    changed: DirtySet<InstanceName>,
    #[cfg(feature = "mutants")]
    mutant: Option<crate::mutant::Mutant>,
}

/// Routes that a client published into an instance that it has left.
#[derive(Clone, Debug)]
struct Removal {
    source: Source,
    instance: InstanceName,
    paths: BTreeMap<Key, Arc<Path>>,
}

impl Rib {
    /// A planted bug of the tables.
    #[cfg(feature = "mutants")]
    pub(super) fn plant(&mut self, mutant: Option<crate::mutant::Mutant>) {
        self.mutant = mutant;
    }

    pub(super) fn get(&self, name: &InstanceName) -> Option<&Instance> {
        self.instances.get(name)
    }

    pub(super) fn instances(&self) -> impl Iterator<Item = (&InstanceName, &Instance)> {
        self.instances.iter()
    }

    pub(super) fn switch_owners(&self) -> &SwitchOwners {
        &self.switch_owners
    }

    pub(super) fn is_configured(&self, name: &InstanceName) -> bool {
        self.get(name).is_some_and(|it| it.network.is_some())
    }

    /// A client wants the routes of an instance. Answers whether it is configured.
    pub(super) fn subscribe(&mut self, name: &InstanceName, conn: ConnId) -> bool {
        let instance = self.instances.entry(name.clone()).or_default();
        instance.subscribers.insert(conn);
        instance.network.is_some()
    }

    pub(super) fn unsubscribe(&mut self, name: &InstanceName, conn: ConnId) {
        if let Some(instance) = self.instances.get_mut(name) {
            instance.subscribers.remove(&conn);
        }
        self.changed.mark(name.clone());
    }

    /// The keys of the routes that a subscriber holds that was sent everything up to a version.
    pub(super) fn held(&self, name: &InstanceName, sent: u64) -> Vec<Key> {
        let instance = self.get(name).filter(|_| sent > 0);
        instance.into_iter().flat_map(|it| it.table.held(sent)).collect()
    }

    /// A source has this path of a route from now on.
    pub(super) fn insert(
        &mut self,
        name: &InstanceName,
        key: Key,
        source: Source,
        path: Arc<Path>,
        outputs: &mut Outputs,
    ) {
        #[cfg(feature = "mutants")]
        if let Some(instance) = self.instances.get_mut(name) {
            instance.table.mutant = self.mutant;
        }
        let instance = self.instances.get_mut(name);
        let outcome = instance.and_then(|it| it.insert(key, source, path));
        self.report(name, key, outcome, outputs);
    }

    /// A source has this path of a route no more.
    pub(super) fn remove(
        &mut self,
        name: &InstanceName,
        key: Key,
        source: &Source,
        path: &Arc<Path>,
        outputs: &mut Outputs,
    ) {
        let instance = self.instances.get_mut(name);
        let outcome = instance.and_then(|it| it.remove(key, source, path));
        self.report(name, key, outcome, outputs);
    }

    /// The routes of a client in an instance that it left go, its broadcast routes first: the other members have
    /// to learn of that.
    pub(super) fn remove_later(
        &mut self,
        source: &Source,
        name: &InstanceName,
        mut published: BTreeMap<Key, Arc<Path>>,
        broadcasts: &BTreeSet<Key>,
    ) {
        let taken = broadcasts.iter().filter_map(|key| published.remove_entry(key));
        let broadcasts: BTreeMap<_, _> = taken.collect();
        let removal = |paths| Removal {
            source: source.clone(),
            instance: name.clone(),
            paths,
        };
        if !broadcasts.is_empty() {
            self.removals.push_front(removal(broadcasts));
        }
        if !published.is_empty() {
            self.removals.push_back(removal(published));
        }
    }

    /// Removes some of the routes of departed clients.
    pub(super) fn sweep(&mut self, outputs: &mut Outputs) {
        for _ in 0..LOOKS_PER_STEP {
            let Some(mut removal) = self.removals.pop_front() else {
                return;
            };
            if let Some((key, path)) = removal.paths.pop_first() {
                self.remove(&removal.instance, key, &removal.source, &path, outputs);
            }
            if !removal.paths.is_empty() {
                self.removals.push_front(removal);
            }
        }
    }

    /// Whether a step of work is left.
    pub(super) fn has_work(&self) -> bool {
        !self.removals.is_empty() || !self.changed.is_empty()
    }

    /// The next instance whose subscribers are to be notified. One that is neither configured nor subscribed goes.
    pub(super) fn next_changed(&mut self) -> Option<(InstanceName, &mut Instance)> {
        loop {
            let name = self.changed.take(1).pop()?;
            let is_used = |it: &Instance| it.network.is_some() || !it.subscribers.is_empty();
            if self.instances.get(&name).is_some_and(is_used) {
                return self.instances.get_mut(&name).map(|instance| (name, instance));
            }
            self.instances.remove(&name);
        }
    }

    pub(super) fn mark(&mut self, name: InstanceName) {
        self.changed.mark(name);
    }

    /// The instances that were configured, and are not any more.
    pub(super) fn unconfigured(&self, configured: &BTreeMap<InstanceName, Uuid>) -> Vec<InstanceName> {
        let known = self.instances.iter().filter(|(_, it)| it.network.is_some());
        let gone = known.filter(|(name, _)| !configured.contains_key(*name));
        gone.map(|(name, _)| name.clone()).collect()
    }

    /// An instance is configured. Answers its network so far, if it had one.
    pub(super) fn configure_instance(&mut self, name: &InstanceName, network: Uuid) -> Option<Uuid> {
        let instance = self.instances.entry(name.clone()).or_default();
        instance.network.replace(network)
    }

    /// An instance is not configured any more: every subscriber receives a retract of each of its routes.
    pub(super) fn unconfigure_instance(&mut self, name: &InstanceName, outputs: &mut Outputs) {
        let paths = self.instances.get_mut(name).map(Instance::unconfigure);
        for (key, source, path) in paths.into_iter().flatten() {
            self.remove(name, key, &source, &path, outputs);
        }
        self.changed.mark(name.clone());
    }

    /// The inventory has these routes of a network.
    pub(super) fn configure_statics(&mut self, name: &InstanceName, network: &Network, outputs: &mut Outputs) {
        let Some(instance) = self.instances.get_mut(name) else {
            return;
        };
        let changes = instance.configure_statics(name, network);
        for (key, path) in changes.removed {
            self.remove(name, key, &Source::Static, &path, outputs);
        }
        for (key, path) in changes.added {
            self.insert(name, key, Source::Static, path, outputs);
        }
    }

    /// The inventory has these switches.
    pub(super) fn configure_switches(&mut self, inventory: &Inventory, outputs: &mut Outputs) {
        self.switch_owners.configure(inventory);
        let watched: Vec<_> = self.switch_owners.watched().cloned().collect();
        for (name, key) in watched {
            self.compare_owners(&name, key, outputs);
        }
    }

    /// Reports what became of a route, if anything.
    fn report(&mut self, name: &InstanceName, key: Key, outcome: Option<Outcome>, outputs: &mut Outputs) {
        let Some(outcome) = outcome else { return };
        self.changed.mark(name.clone());
        let (instance, route) = (name.clone(), key);
        outputs.event(match outcome {
            Outcome::Reflected => Event::Reflected { instance, route },
            Outcome::Removed => Event::RouteRemoved { instance, route },
        });
        if key.mac == Mac::BROADCAST {
            self.compare_owners(name, key, outputs);
        }
    }

    fn compare_owners(&mut self, name: &InstanceName, key: Key, outputs: &mut Outputs) {
        let owners = self.instances.get(name).into_iter();
        let owners = owners.flat_map(|it| it.members.owners(key)).cloned();
        for event in self.switch_owners.on_published(name, key, owners) {
            outputs.event(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::event::LogEvent;
    use crate::evpn::NextHop;
    use crate::ids::Vni;

    fn vni() -> Vni {
        Vni::new(101).expect("a VNI")
    }

    fn blue() -> InstanceName {
        "d:p:blue:blue".into()
    }

    fn source(name: &str) -> Source {
        Source::Client(name.into())
    }

    fn path() -> Arc<Path> {
        Arc::new(Path {
            next_hops: vec![NextHop::vxlan(Ipv4Addr::new(192, 0, 2, 1), vni())],
            ..Path::default()
        })
    }

    fn words(outputs: &mut Outputs) -> Vec<&'static str> {
        let events = std::iter::from_fn(|| outputs.pop()).map(|output| {
            let crate::control::Output::Event(event) = output else {
                panic!("{output:?}")
            };
            event.word()
        });
        events.collect()
    }

    #[test]
    fn routes_of_a_departed_client_go_step_by_step_and_its_broadcast_routes_first() {
        let (mut rib, mut outputs) = (Rib::default(), Outputs::default());
        rib.configure_instance(&blue(), Uuid(1));
        let key = |number: usize| Key {
            ethernet_tag: u32::try_from(number).expect("few"),
            ..Key::of_mac(vni(), Mac([2; 6]))
        };
        let broadcast = Key::of_broadcast(vni(), Ipv4Addr::UNSPECIFIED);
        let keys = (0..=LOOKS_PER_STEP).map(key).chain([broadcast]);
        let published: BTreeMap<_, _> = keys.map(|key| (key, path())).collect();
        for (key, path) in &published {
            rib.insert(&blue(), *key, source("a"), Arc::clone(path), &mut outputs);
        }
        words(&mut outputs);
        rib.remove_later(&source("a"), &blue(), published, &[broadcast].into());
        rib.sweep(&mut outputs);
        let instance = rib.get(&blue()).expect("blue");
        assert_eq!((instance.members.len(), instance.table.routes().count()), (0, 2));
        assert!(rib.has_work());
        rib.sweep(&mut outputs);
        assert_eq!(words(&mut outputs).len(), LOOKS_PER_STEP + 2);
    }

    #[test]
    fn an_instance_that_is_neither_configured_nor_subscribed_is_forgotten() {
        let mut rib = Rib::default();
        assert!(!rib.subscribe(&blue(), ConnId(1)));
        rib.mark(blue());
        assert_eq!(rib.next_changed().map(|(name, _)| name), Some(blue()));
        rib.unsubscribe(&blue(), ConnId(1));
        assert!(rib.next_changed().is_none());
        assert!(rib.get(&blue()).is_none() && !rib.has_work());
    }

    #[test]
    fn an_instance_that_is_not_configured_any_more_has_no_routes() {
        let (mut rib, mut outputs) = (Rib::default(), Outputs::default());
        assert_eq!(rib.configure_instance(&blue(), Uuid(1)), None);
        rib.insert(
            &blue(),
            Key::of_mac(vni(), Mac([2; 6])),
            source("a"),
            path(),
            &mut outputs,
        );
        assert_eq!(rib.unconfigured(&BTreeMap::new()), [blue()]);
        rib.unconfigure_instance(&blue(), &mut outputs);
        assert_eq!(words(&mut outputs), ["Reflected", "RouteRemoved"]);
        assert!(!rib.is_configured(&blue()));
        assert_eq!(rib.get(&blue()).map(|it| it.table.routes().count()), Some(0));
    }
}
