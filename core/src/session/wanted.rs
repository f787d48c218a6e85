//! What this switch is to look like, cut out of the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::Bound;
use std::sync::Arc;

use crate::bounds::{CLAIM_ROWS_PER_TRANSACTION, ROWS_PER_TRANSACTION};
use crate::configuration::{Configuration, Network, SessionOptions, VlanId};
use crate::event::Lane;
use crate::ids::{Mac, PortName, SwitchName, Uuid};
use crate::session::routes::Routes;

/// The configuration and the routes, seen from the switches that one database serves.
#[derive(Clone, Debug)]
pub struct Wanted {
    configuration: Arc<Configuration>,
    /// That of the last [`serve`](Self::serve).
    in_force: Arc<Configuration>,
    /// Everything that could want a row is known, so that what is not wanted may go.
    pub complete: bool,
    served: BTreeSet<SwitchName>,
    /// The networks that have a port here, and which ports.
    networks: BTreeMap<Uuid, BTreeSet<(SwitchName, PortName)>>,
    /// The switches' own tunnel ends: routes that point there never go south.
    own_vteps: BTreeSet<Ipv4Addr>,
    rows_per_transaction: usize,
    /// What control nodes told, of networks that have a port here or had one.
    routes: Routes,
}

impl Wanted {
    /// Nothing is wanted until a switch has named itself.
    pub fn new(configuration: Arc<Configuration>, complete: bool) -> Self {
        Self {
            in_force: Arc::clone(&configuration),
            configuration,
            complete,
            served: BTreeSet::new(),
            networks: BTreeMap::new(),
            own_vteps: BTreeSet::new(),
            rows_per_transaction: usize::MAX,
            routes: Routes::default(),
        }
    }

    /// The configuration itself.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// How sessions behave.
    pub fn options(&self) -> &SessionOptions {
        &self.configuration.session
    }

    #[cfg(feature = "mutants")]
    fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.options().mutant
    }

    /// This configuration. Answers whether it is another one; call [`serve`](Self::serve) then.
    pub fn configure(&mut self, configuration: Arc<Configuration>, complete: bool) -> bool {
        let changed = (&self.configuration, self.complete) != (&configuration, complete);
        self.configuration = configuration;
        self.complete = complete;
        changed
    }

    /// These switches are at the other end, with these tunnel ends of their own. Answers the MACs that may be wanted in
    /// another way now, a network without a MAC being all of it; `None` if all may.
    pub fn serve(
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
    pub fn served(&self) -> &BTreeSet<SwitchName> {
        &self.served
    }

    /// Whether none of these switches has another writer.
    pub fn sole_manager(&self) -> bool {
        let mut served = self
            .served
            .iter()
            .filter_map(|name| self.configuration.switches.get(name));
        served.all(|switch| switch.sole_manager)
    }

    /// The networks that have a port here.
    pub fn networks(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.networks.keys().copied()
    }

    /// A network, if it has a port here.
    pub fn network(&self, network: Uuid) -> Option<&Network> {
        self.networks.get(&network)?;
        self.configuration.networks.get(&network)
    }

    /// The bindings of a port.
    pub fn bindings(&self, switch: &SwitchName, port: &PortName) -> Option<&BTreeMap<VlanId, Uuid>> {
        self.served.get(switch)?;
        self.configuration.switches.get(switch)?.ports.get(port)
    }

    /// Every port that has bindings.
    pub fn ports(&self) -> impl Iterator<Item = (&SwitchName, &PortName)> + '_ {
        let served = self
            .served
            .iter()
            .filter_map(|name| Some((name, self.configuration.switches.get(name)?)));
        served.flat_map(|(name, switch)| switch.ports.keys().map(move |port| (name, port)))
    }

    /// The ports that a network has here.
    pub fn ports_of(&self, network: Uuid) -> impl Iterator<Item = &(SwitchName, PortName)> + '_ {
        self.networks.get(&network).into_iter().flatten()
    }

    /// Control nodes say that a MAC is there, or nowhere.
    pub fn import(&mut self, network: Uuid, mac: Mac, vtep: Option<Ipv4Addr>) {
        self.routes.import(network, mac, vtep);
    }

    /// Whether everything that control nodes may tell of a network has been told.
    pub fn settle(&mut self, network: Uuid, settled: bool) {
        self.routes.settle(network, settled);
    }

    /// Whether a MAC that nobody wants in a network may go.
    pub fn is_complete(&self, network: Uuid) -> bool {
        self.complete && (!self.options().routed || self.routes.is_settled(network))
    }

    /// Where a MAC of a network is to be found. What is configured counts, whatever a route says.
    pub fn vtep(&self, network: Uuid, mac: Mac) -> Option<Ipv4Addr> {
        let configured = self.network(network)?.remote_macs.get(&mac).copied();
        let vtep = configured.or_else(|| self.routes.vtep(network, mac))?;
        Some(vtep).filter(|vtep| !self.own_vteps.contains(vtep) || planted!(self, OwnEndProgrammed))
    }

    /// The first wanted MAC of a network that comes after another.
    pub fn next_mac(&self, network: Uuid, after: Option<Mac>) -> Option<Mac> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let macs = &self.network(network)?.remote_macs;
        let configured = macs.range((from, Bound::Unbounded)).next().map(|(mac, _)| *mac);
        let routed = self.routes.next_mac(network, after);
        configured.into_iter().chain(routed).min()
    }

    /// Remote rows that are wanted altogether.
    pub fn rows(&self) -> usize {
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
    pub fn takes_any_number_of_rows(&self) -> bool {
        self.rows_per_transaction == usize::MAX
    }

    /// Rows that the switch takes in one transaction.
    pub fn rows_per_transaction_max(&self) -> usize {
        self.rows_per_transaction
    }

    /// Rows that one transaction of a lane may write.
    pub fn rows_per_transaction(&self, lane: Lane) -> usize {
        let ours = match lane {
            Lane::Broadcast => CLAIM_ROWS_PER_TRANSACTION,
            Lane::Bindings | Lane::LogicalSwitches | Lane::Unicast | Lane::Deletions => ROWS_PER_TRANSACTION,
        };
        ours.min(self.rows_per_transaction)
    }
}
