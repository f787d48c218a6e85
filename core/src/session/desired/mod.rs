//! The desired state: what configuration and routes want of the switches at the other end.

mod routes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::Bound;
use std::sync::Arc;

use crate::bounds::{CLAIM_ROWS_PER_TRANSACTION, ROWS_PER_TRANSACTION};
use crate::configuration::{Configuration, Network, SessionOptions, VlanId};
use crate::event::Lane;
use crate::ids::{Mac, PortName, SwitchName, Uuid};
use routes::Routes;

/// The configuration and the routes, seen from the switches that one database holds.
#[derive(Clone, Debug)]
pub(super) struct Desired {
    configuration: Arc<Configuration>,
    /// That of the last [`serve`](Self::serve).
    in_force: Arc<Configuration>,
    /// Everything that could want a row is configured, so that what is not desired may go.
    complete: bool,
    /// Something changed since the last [`serve`](Self::serve).
    serve_due: bool,
    served: BTreeSet<SwitchName>,
    /// The networks that have a port here, and which ports.
    networks: BTreeMap<Uuid, BTreeSet<(SwitchName, PortName)>>,
    /// The switches' own tunnel ends: routes that point there are never programmed.
    own_vteps: BTreeSet<Ipv4Addr>,
    rows_per_transaction: usize,
    /// Received routes of networks that have a port here.
    routes: Routes,
}

impl Desired {
    /// Nothing is desired until a switch has named itself.
    pub(super) fn new(configuration: Arc<Configuration>, complete: bool) -> Self {
        Self {
            in_force: Arc::clone(&configuration),
            configuration,
            complete,
            serve_due: true,
            served: BTreeSet::new(),
            networks: BTreeMap::new(),
            own_vteps: BTreeSet::new(),
            rows_per_transaction: usize::MAX,
            routes: Routes::default(),
        }
    }

    /// The configuration.
    pub(super) fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The options of sessions.
    pub(super) fn options(&self) -> &SessionOptions {
        &self.configuration.session
    }

    #[cfg(feature = "mutants")]
    pub(super) fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.options().mutant
    }

    /// Whether a configuration is another than the one in force.
    pub(super) fn is_another(&self, configuration: &Arc<Configuration>, complete: bool) -> bool {
        (&self.configuration, self.complete) != (configuration, complete)
    }

    /// Another configuration may be in force. If it differs, [`serve`](Self::serve) is due.
    pub(super) fn configure(&mut self, configuration: Arc<Configuration>, complete: bool) {
        self.serve_due |= self.is_another(&configuration, complete);
        self.configuration = configuration;
        self.complete = complete;
    }

    /// Switches came, went or were renamed: [`serve`](Self::serve) is due.
    pub(super) fn mark_served(&mut self) {
        self.serve_due = true;
    }

    /// Takes the mark that [`serve`](Self::serve) is due.
    pub(super) fn take_serve_due(&mut self) -> bool {
        std::mem::take(&mut self.serve_due)
    }

    /// These switches are at the other end, with these tunnel ends of their own. Answers the MACs that may be desired
    /// in another place now, a network without a MAC being all of it; `None` if all may.
    pub(super) fn serve(
        &mut self,
        served: BTreeSet<SwitchName>,
        tunnel_ips: impl Iterator<Item = Ipv4Addr>,
    ) -> Option<BTreeSet<(Uuid, Option<Mac>)>> {
        let configured = || {
            let switches = &self.configuration.switches;
            served.iter().filter_map(|name| Some((name, switches.get(name)?)))
        };
        let mut networks: BTreeMap<Uuid, BTreeSet<(SwitchName, PortName)>> = BTreeMap::new();
        for (name, switch) in configured() {
            for (port, bindings) in &switch.ports {
                for network in bindings
                    .values()
                    .filter(|network| self.configuration.networks.contains_key(network))
                {
                    networks
                        .entry(*network)
                        .or_default()
                        .insert((name.clone(), port.clone()));
                }
            }
        }
        let caps = configured().filter_map(|(_, switch)| switch.rows_per_transaction_max);
        self.rows_per_transaction = caps.min().map_or(usize::MAX, |cap| cap.max(1));
        let own_vteps = tunnel_ips
            .chain(configured().filter_map(|(_, switch)| switch.vtep))
            .collect();
        self.routes.retain(|network| networks.contains_key(network));
        let before = std::mem::replace(&mut self.networks, networks);
        let in_force = std::mem::replace(&mut self.in_force, Arc::clone(&self.configuration));
        let same_place = (&self.served, &self.own_vteps) == (&served, &own_vteps);
        self.served = served;
        self.own_vteps = own_vteps;
        same_place.then(|| self.changed_since(&before, &in_force))
    }

    fn changed_since(
        &self,
        before: &BTreeMap<Uuid, BTreeSet<(SwitchName, PortName)>>,
        in_force: &Configuration,
    ) -> BTreeSet<(Uuid, Option<Mac>)> {
        let mut changed = BTreeSet::new();
        let networks: BTreeSet<_> = before.keys().chain(self.networks.keys()).copied().collect();
        for network in networks {
            let former = before.get(&network).and_then(|_| in_force.networks.get(&network));
            let (Some(old), Some(new)) = (former, self.network(network)) else {
                changed.insert((network, None));
                continue;
            };
            let (old, new) = (&old.remote_macs, &new.remote_macs);
            if old == new {
                continue;
            }
            for (one, other) in [(old, new), (new, old)] {
                let moved = one.iter().filter(|(mac, vtep)| other.get(mac) != Some(vtep));
                changed.extend(moved.map(|(mac, _)| (network, Some(*mac))));
            }
        }
        changed
    }

    /// The switches that are configured and at the other end.
    pub(super) fn served(&self) -> &BTreeSet<SwitchName> {
        &self.served
    }

    /// Whether none of these switches has another writer.
    pub(super) fn sole_manager(&self) -> bool {
        let mut served = self
            .served
            .iter()
            .filter_map(|name| self.configuration.switches.get(name));
        served.all(|switch| switch.sole_manager)
    }

    /// The networks that have a port here.
    pub(super) fn networks(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.networks.keys().copied()
    }

    /// A network, if it has a port here.
    pub(super) fn network(&self, network: Uuid) -> Option<&Network> {
        self.networks.get(&network)?;
        self.configuration.networks.get(&network)
    }

    /// The bindings of a port.
    pub(super) fn bindings(&self, switch: &SwitchName, port: &PortName) -> Option<&BTreeMap<VlanId, Uuid>> {
        self.served.get(switch)?;
        self.configuration.switches.get(switch)?.ports.get(port)
    }

    /// Every port that has bindings.
    pub(super) fn ports(&self) -> impl Iterator<Item = (&SwitchName, &PortName)> + '_ {
        let served = self
            .served
            .iter()
            .filter_map(|name| Some((name, self.configuration.switches.get(name)?)));
        served.flat_map(|(name, switch)| switch.ports.keys().map(move |port| (name, port)))
    }

    /// The ports that a network has here.
    pub(super) fn ports_of(&self, network: Uuid) -> impl Iterator<Item = &(SwitchName, PortName)> + '_ {
        self.networks.get(&network).into_iter().flatten()
    }

    /// Whether everything that could want a row is configured.
    pub(super) fn is_configuration_complete(&self) -> bool {
        self.complete
    }

    /// A route was received: a MAC is there, or nowhere. One of a network that has no port here was on its way when the
    /// last port went: it is sent again when the network is back, unless it is gone by then.
    pub(super) fn import(&mut self, network: Uuid, mac: Mac, vtep: Option<Ipv4Addr>) {
        if self.networks.contains_key(&network) {
            self.routes.import(network, mac, vtep);
        }
    }

    /// Whether all routes of a network have been received.
    pub(super) fn set_routes_complete(&mut self, network: Uuid, complete: bool) {
        if self.networks.contains_key(&network) {
            self.routes.set_complete(network, complete);
        }
    }

    /// Whether a MAC that is not desired in a network may go.
    pub(super) fn is_complete(&self, network: Uuid) -> bool {
        self.complete && (!self.options().routed || self.routes.is_complete(network))
    }

    /// The tunnel end of a MAC of a network. What is configured counts, whatever the routes are.
    pub(super) fn vtep(&self, network: Uuid, mac: Mac) -> Option<Ipv4Addr> {
        let configured = self.network(network)?.remote_macs.get(&mac).copied();
        let vtep = configured.or_else(|| self.routes.vtep(network, mac))?;
        Some(vtep).filter(|vtep| !self.own_vteps.contains(vtep) || planted!(self, OwnEndProgrammed))
    }

    /// Whether the place of a MAC is known. A route alone does not put it at the switch itself: that has to have learned
    /// it.
    pub(super) fn is_placed(&self, network: Uuid, mac: Mac, learned: bool) -> bool {
        let configured = self.network(network);
        let configured = configured.is_some_and(|network| network.remote_macs.contains_key(&mac));
        let is_there = |vtep: Ipv4Addr| learned || !self.own_vteps.contains(&vtep);
        configured || self.routes.vtep(network, mac).is_some_and(is_there)
    }

    /// The first desired MAC of a network that comes after another.
    pub(super) fn next_mac(&self, network: Uuid, after: Option<Mac>) -> Option<Mac> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let macs = &self.network(network)?.remote_macs;
        let configured = macs.range((from, Bound::Unbounded)).next().map(|(mac, _)| *mac);
        let routed = self.routes.next_mac(network, after);
        configured.into_iter().chain(routed).min()
    }

    /// Remote rows that are desired altogether.
    pub(super) fn rows(&self) -> usize {
        let networks = self
            .networks
            .keys()
            .filter_map(|network| Some((*network, self.network(*network)?)));
        let of_network = |(network, configured): (Uuid, &Network)| {
            let elsewhere = |vtep: &&Ipv4Addr| !self.own_vteps.contains(*vtep);
            let routed = self.routes.macs(network);
            let routed = routed.filter(|(mac, _)| !configured.remote_macs.contains_key(mac));
            let routed = routed.map(|(_, vtep)| vtep);
            configured.remote_macs.values().chain(routed).filter(elsewhere).count()
        };
        networks.map(of_network).sum()
    }

    /// Whether the switch has no limit of its own.
    pub(super) fn takes_any_number_of_rows(&self) -> bool {
        self.rows_per_transaction == usize::MAX
    }

    /// Rows that the switch takes in one transaction.
    pub(super) fn rows_per_transaction_max(&self) -> usize {
        self.rows_per_transaction
    }

    /// Rows that one transaction of a lane may write.
    pub(super) fn rows_per_transaction(&self, lane: Lane) -> usize {
        let ours = match lane {
            Lane::Broadcast => CLAIM_ROWS_PER_TRANSACTION,
            Lane::Bindings | Lane::LogicalSwitches | Lane::Unicast | Lane::Deletions => ROWS_PER_TRANSACTION,
        };
        ours.min(self.rows_per_transaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Switch;
    use crate::ids::Vni;

    const NETWORK: Uuid = Uuid(1);
    const VTEP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);

    fn mac(n: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, n])
    }

    fn configuration(macs: &[(u8, Ipv4Addr)]) -> Arc<Configuration> {
        let network = Network {
            name: "blue".into(),
            vni: Vni::new(5001).expect("a VNI"),
            remote_macs: macs.iter().map(|(n, vtep)| (mac(*n), *vtep)).collect(),
        };
        let mut switch = Switch::default();
        switch.ports.insert("eth1".into(), [(10, NETWORK)].into());
        Arc::new(Configuration {
            session: SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST),
            networks: [(NETWORK, network)].into(),
            switches: [("tor1".into(), switch)].into(),
        })
    }

    fn served(macs: &[(u8, Ipv4Addr)]) -> Desired {
        let mut desired = Desired::new(configuration(macs), true);
        desired.serve(["tor1".into()].into(), [OWN].into_iter());
        desired
    }

    #[test]
    fn nothing_is_desired_before_a_switch_has_named_itself() {
        let desired = Desired::new(configuration(&[(1, VTEP)]), true);
        assert_eq!((desired.vtep(NETWORK, mac(1)), desired.rows()), (None, 0));
        assert_eq!(served(&[(1, VTEP)]).vtep(NETWORK, mac(1)), Some(VTEP));
    }

    #[test]
    fn what_is_configured_counts_more_than_a_route_and_an_own_tunnel_end_not_at_all() {
        let mut desired = served(&[(1, VTEP)]);
        desired.import(NETWORK, mac(1), Some(Ipv4Addr::new(10, 0, 0, 2)));
        desired.import(NETWORK, mac(2), Some(OWN));
        desired.import(NETWORK, mac(3), Some(VTEP));
        assert_eq!(desired.vtep(NETWORK, mac(1)), Some(VTEP));
        assert_eq!(desired.vtep(NETWORK, mac(2)), None);
        assert_eq!(desired.rows(), 2);
        let walk = std::iter::successors(desired.next_mac(NETWORK, None), |mac| {
            desired.next_mac(NETWORK, Some(*mac))
        });
        assert_eq!(walk.collect::<Vec<_>>(), [mac(1), mac(2), mac(3)]);
    }

    #[test]
    fn another_configuration_names_the_macs_that_moved() {
        let mut desired = served(&[(1, VTEP), (2, VTEP)]);
        assert!(desired.take_serve_due() && !desired.take_serve_due());
        desired.configure(configuration(&[(1, VTEP), (2, OWN), (3, VTEP)]), true);
        assert!(desired.take_serve_due());
        let changed = desired.serve(["tor1".into()].into(), [OWN].into_iter());
        let moved = [(NETWORK, Some(mac(2))), (NETWORK, Some(mac(3)))];
        assert_eq!(changed, Some(moved.into()));
        assert_eq!(
            desired.serve(["tor1".into()].into(), std::iter::empty()),
            None,
            "other tunnel ends"
        );
    }

    #[test]
    fn a_network_whose_routes_are_not_complete_any_more_is_not_complete() {
        let mut desired = served(&[]);
        let mut routed = Configuration::clone(desired.configuration());
        routed.session.routed = true;
        desired.configure(Arc::new(routed), true);
        for complete in [true, false, true] {
            desired.set_routes_complete(NETWORK, complete);
            assert_eq!(desired.is_complete(NETWORK), complete);
        }
    }

    #[test]
    fn a_network_is_complete_when_the_configuration_and_its_routes_are() {
        let mut desired = served(&[]);
        assert!(desired.is_complete(NETWORK));
        let mut routed = Configuration::clone(desired.configuration());
        routed.session.routed = true;
        desired.configure(Arc::new(routed), true);
        assert!(!desired.is_complete(NETWORK));
        desired.set_routes_complete(NETWORK, true);
        assert!(desired.is_complete(NETWORK));
        let configuration = Arc::new(desired.configuration().clone());
        desired.configure(configuration, false);
        assert!(!desired.is_complete(NETWORK));
    }
}
