//! An agent's control nodes: configuration from one of them, routes to and from all.
//!
//! Each part has a file: `connections` dials up to two control nodes of a list, and holds an `uplink` for each session,
//! with its `subscriptions` and its `rib_out`. `instances` knows the networks that our switches take part in.
//! `publications` is what we send of our own, `source` where the configuration comes from. Received routes stand in the
//! [`Fabric`] table, and the networks of which all have arrived in `complete`.
//!
//! This file joins the parts. What control nodes send is distributed in `receive`; what follows when a network is complete
//! is in `sweep`. Whatever concerns many routes is one of the `walks`, and goes on in `steps`.
//!
//! Routes of a session that ended are stale, and stay until a control node has sent all routes of their network.

mod complete;
mod connections;
mod event;
mod instances;
mod messages;
mod provider;
mod publications;
mod receive;
mod rib_out;
mod source;
mod status;
mod steps;
mod subscriptions;
mod sweep;
mod uplink;
mod walks;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::adverts::Advert;
use super::fabric::{Fabric, ReceivedPath};
use super::hold::{Changed, Served};
use crate::bounds::ROUTES_PER_STEP;
use crate::configuration::Configuration;
use crate::event::Route;
use crate::evpn::{InstanceName, Key};
use crate::identity::{self, IdentityRule};
use crate::ids::{Mac, Uuid};
use crate::machine::{Certificate, CloseReason, CloseWhy, Machine};
use crate::time::{Deadline, Time};
use complete::CompleteNetworks;
use connections::Connections;
pub use event::What;
use instances::Instances;
pub use messages::{Change, Input, Options, Output, UplinkId, Why};
use publications::Publications;
use source::Source;
use uplink::Uplink;
use walks::Walks;

/// All of an agent's control nodes.
#[derive(Clone, Debug)]
pub struct Uplinks {
    connections: Connections,
    /// The certificates that control nodes may present; none means those that contain the name of the control node.
    certificates: Vec<IdentityRule>,
    source: Source,
    configuration: Arc<Configuration>,
    instances: Instances,
    fabric: Fabric,
    complete: CompleteNetworks,
    walks: Walks,
    publications: Publications,
    now: Time,
    outputs: VecDeque<Output>,
    #[cfg(feature = "mutants")]
    mutant: Option<crate::mutant::Mutant>,
}

impl Uplinks {
    /// No control node was dialled yet.
    pub fn new(options: Options) -> Self {
        let configuration = Configuration {
            session: options.session.clone(),
            networks: BTreeMap::new(),
            switches: BTreeMap::new(),
        };
        Self {
            connections: Connections::new(&options.nodes, options.seed),
            publications: Publications::new(&options),
            certificates: options.certificates,
            #[cfg(feature = "mutants")]
            mutant: options.session.mutant,
            source: Source::new(options.session),
            configuration: Arc::new(configuration),
            instances: Instances::default(),
            fabric: Fabric::default(),
            complete: CompleteNetworks::default(),
            walks: Walks::default(),
            now: Time::ORIGIN,
            outputs: VecDeque::new(),
        }
    }

    /// Every path that control nodes sent.
    pub fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    /// Whether copies of routes are held.
    pub fn holds(&self) -> bool {
        self.publications.holds()
    }

    /// Whether another agent has yet to advertise something that we released, and a session is open to learn of it.
    pub(crate) fn lingers(&self) -> bool {
        self.any_up() && (self.is_releasing() || self.publications.awaits())
    }

    /// Whether what our sessions export still gets the copies that stay when it goes.
    pub(crate) fn is_releasing(&self) -> bool {
        self.walks.is_releasing()
    }

    /// The routes of which copies are held.
    pub fn held(&self) -> impl Iterator<Item = &Route> {
        self.publications.held()
    }

    /// The advert of a MAC.
    pub fn advert(&self, network: Uuid, mac: Mac) -> Option<Advert> {
        self.publications.advert(network, mac)
    }

    /// Whether a session with any control node is open.
    pub(crate) fn any_up(&self) -> bool {
        self.connections.uplinks().next().is_some()
    }

    /// Whether the configuration of some control node with a session is in force.
    pub(crate) fn is_configured(&self) -> bool {
        self.source.is_any_in_force()
    }

    /// Whether the configuration in force is a remembered one.
    pub(crate) fn is_remembered(&self) -> bool {
        self.source.is_remembered()
    }

    /// Whether some control node has been sent everything that we publish.
    pub(crate) fn has_sent_all(&self, now: Time) -> bool {
        !self.walks.is_marking() && self.connections.uplinks().any(|uplink| uplink.has_sent_all(now))
    }

    /// Whether all routes of a network have been received.
    pub fn is_complete(&self, network: Uuid) -> bool {
        self.complete.contains(network)
    }

    /// The tunnel end of the best path of a MAC.
    pub fn vtep(&self, network: Uuid, mac: Mac) -> Option<Ipv4Addr> {
        self.fabric.best(network, mac).map(|best| best.vtep)
    }

    #[cfg(feature = "mutants")]
    fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.mutant
    }

    fn on_opened(&mut self, now: Time, id: UplinkId, name: String, ours: bool, certificate: Option<&Certificate>) {
        let checked = certificate.map_or(Ok(()), |shown| identity::check(&name, &self.certificates, shown));
        if let Err(why) = checked {
            let remedy = "issue a certificate with this name, or list others in `certificates` of `[control]`";
            let why = CloseWhy::new(CloseReason::WrongCertificate, format!("{why}; {remedy}"));
            return self.outputs.push_back(Output::Close { id, why });
        }
        let Some(address) = self.connections.on_opened(now, id, name.clone(), ours) else {
            return;
        };
        self.event(What::UplinkUp { address, name });
        self.source.choose(now, &self.connections, &mut self.outputs);
        self.subscribe(now);
        self.update_complete();
    }

    /// The routes of the session become stale; they go at once where another control node has sent everything.
    fn on_closed(&mut self, now: Time, id: UplinkId, why: CloseWhy) {
        let Some((slot, address)) = self.connections.on_closed(now, id, why.reason) else {
            return;
        };
        self.event(What::UplinkDown { address, why });
        self.fabric.mark_stale(slot);
        self.copy_all();
        self.source.on_closed(id);
        self.source.choose(now, &self.connections, &mut self.outputs);
        self.update_complete();
        for network in self.complete.iter() {
            self.walks.sweep_network(network);
        }
        self.sweep_some();
    }

    /// The paths of a MAC changed: the best may be another, and what we publish of it.
    fn on_paths(&mut self, network: Uuid, mac: Mac, before: Option<ReceivedPath>) {
        let publications = &mut self.publications;
        if publications.on_paths(self.now, (network, mac), before, &self.fabric) {
            self.mark_mac(network, mac);
        }
        let vtep = self.vtep(network, mac);
        if before.map(|before| before.vtep) != vtep {
            self.outputs.push_back(Output::Imported { network, mac, vtep });
            self.event(What::Imported { network, mac, vtep });
        }
    }

    /// A configuration is in force: subscriptions follow, and each network's routes go under its present VNI.
    fn on_configured(&mut self, now: Time, configuration: Arc<Configuration>) {
        if self.configuration == configuration {
            return;
        }
        let (moved, members) = self.instances.replace(Instances::of(&configuration));
        self.configuration = configuration;
        let instances = &self.instances;
        for network in self.walks.take_back(|network| instances.of_network(network).is_some()) {
            self.publications.remove_copies(network, usize::MAX);
        }
        for moved in moved {
            if moved.left {
                self.fabric.leave_network(moved.network);
                self.walks.leave(moved.network);
            }
            self.walks.mark_network(moved.network, moved.from);
        }
        for (network, vtep) in members {
            self.mark_broadcasts(network, &[vtep]);
        }
        self.subscribe(now);
        self.update_complete();
        self.walk();
    }

    /// The exports of a route changed.
    fn on_exported(&mut self, route: Route, change: Change, vteps: &[Ipv4Addr]) {
        let Route { network, mac, .. } = route;
        if mac.is_broadcast() {
            let concerned = self.publications.on_broadcasts_exported(network, vteps);
            return self.mark_broadcasts(network, &concerned);
        }
        self.publications.on_exported(route, change, vteps, &self.fabric);
        self.mark_mac(network, mac);
        self.sweep_complete(network, mac);
    }

    /// Our switches are served in another way now.
    fn on_served(&mut self, now: Time, served: BTreeMap<Ipv4Addr, Served>) {
        let changed = self.publications.on_served(now, served);
        self.on_held(changed);
    }

    /// Our sessions are about to end: what they export is to stay until another agent advertises it.
    fn on_releasing(&mut self, now: Time, served: BTreeMap<Ipv4Addr, Served>) {
        self.publications.hold_for_release();
        self.on_served(now, served);
        self.walks.release();
        self.release_some();
    }

    fn on_timeout(&mut self, now: Time) {
        let mut any = false;
        for uplink in self.connections.uplinks_mut() {
            any |= uplink.subscriptions_mut().on_timeout(now);
        }
        if any {
            self.update_complete();
        }
        self.walk();
        self.source.on_timeout(now, &self.connections, &mut self.outputs);
        let changed = self.publications.expire(now);
        self.on_held(changed);
    }

    /// Copies went, or broadcast routes are held from now on, or no more.
    fn on_held(&mut self, Changed { routes, vteps, left }: Changed) {
        if left {
            self.copy_all();
        }
        for Route { network, mac, .. } in routes {
            self.mark_mac(network, mac);
            self.sweep_complete(network, mac);
        }
        if vteps.is_empty() {
            return;
        }
        let vteps: Vec<_> = vteps.into_iter().collect();
        let networks: Vec<Uuid> = self.instances.networks().map(|(network, ..)| network).collect();
        for network in networks {
            self.mark_broadcasts(network, &vteps);
        }
    }

    /// The live paths of a MAC may be others: so may its copy. Returns whether it is.
    fn update_copy(&mut self, network: Uuid, mac: Mac) -> bool {
        let changed = self.publications.update_copy(self.now, network, mac, &self.fabric);
        if changed {
            self.mark_mac(network, mac);
        }
        changed
    }

    /// Subscribes to every instance, on every uplink, and marks what we publish in those that are new.
    fn subscribe(&mut self, now: Time) {
        let mut new = BTreeSet::new();
        for uplink in self.connections.uplinks_mut() {
            new.extend(uplink.subscribe(now, &self.instances, &mut self.outputs));
        }
        for instance in new {
            if let Some((network, _)) = self.instances.of_instance(&instance) {
                self.walks.mark_network(network, instance);
            }
        }
        self.mark_some();
    }

    fn mark_mac(&mut self, network: Uuid, mac: Mac) {
        if let Some((instance, vni)) = self.instances.of_network(network) {
            let key = Key::of_mac(vni, mac);
            mark(&mut self.connections, instance, [key]);
        }
    }

    fn mark_broadcasts(&mut self, network: Uuid, vteps: &[Ipv4Addr]) {
        if let Some((instance, vni)) = self.instances.of_network(network) {
            let keys = vteps.iter().map(|vtep| Key::of_broadcast(vni, *vtep));
            mark(&mut self.connections, instance, keys);
        }
    }

    /// Sends a bounded number of routes to each control node that can take them.
    fn publish(&mut self) {
        let (publications, instances) = (&self.publications, &self.instances);
        let desired = |instance: &InstanceName, key: &Key| publications.desired(instances, instance, key);
        let all_marked = !self.walks.is_marking();
        for uplink in self.connections.uplinks_mut() {
            uplink.publish(ROUTES_PER_STEP, all_marked, desired, &mut self.outputs);
        }
    }

    fn event(&mut self, what: What) {
        self.outputs.push_back(Output::Event(what));
    }
}

/// Marks routes of an instance on every uplink.
fn mark(connections: &mut Connections, instance: &InstanceName, keys: impl IntoIterator<Item = Key>) {
    for key in keys {
        for uplink in connections.uplinks_mut() {
            uplink.rib_out_mut().mark(instance, key);
        }
    }
}

impl Machine for Uplinks {
    type Input = Input;
    type Output = Output;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Input) {
        debug_assert!(self.outputs.is_empty(), "drain the outputs first");
        self.now = now;
        self.walks.begin_step();
        match input {
            Input::Opened {
                id,
                name,
                ours,
                certificate,
            } => self.on_opened(now, id, name, ours, certificate.as_ref()),
            Input::Received { id, stanza } => self.on_received(now, id, stanza),
            Input::Sent { id, queued_bytes } => {
                if let Some((_, uplink)) = self.connections.uplink_mut(id) {
                    uplink.on_sent(queued_bytes);
                }
            }
            Input::Closed { id, why } => self.on_closed(now, id, why),
            Input::Configured(configuration) => self.on_configured(now, configuration),
            Input::Exported { route, change, vteps } => self.on_exported(route, change, &vteps),
            Input::Retracted(routes) => {
                for (route, vteps) in routes {
                    self.on_exported(route, Change::SessionOver, &vteps);
                }
            }
            Input::Served(served) => self.on_served(now, served),
            Input::Releasing(served) => self.on_releasing(now, served),
            Input::Remembered(configuration, revision) => {
                let content = (configuration, revision);
                self.source.on_remembered(now, content, &self.connections);
            }
            Input::Timeout => self.on_timeout(now),
        }
        self.connections.dial(now, &mut self.outputs);
        self.publish();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        let uplinks = || self.connections.uplinks();
        let deadline = |why| move |at| Deadline { at, why };
        let walks = self.walks.is_any() || self.fabric.has_left() || self.publications.has_expired();
        let has_more = walks || uplinks().any(Uplink::can_publish);
        let more = has_more.then_some(self.now);
        let quiet = uplinks().filter_map(|uplink| uplink.subscriptions().quiet_at()).min();
        let deadlines = [
            more.map(deadline(Why::MoreWork)),
            self.connections.dial_at().map(deadline(Why::DialDue)),
            quiet.map(deadline(Why::QuietDue)),
            self.source.due().map(deadline(Why::ConfigurationDue)),
            self.publications.hold_due().map(deadline(Why::HoldDue)),
            self.publications.forget_at().map(deadline(Why::ForgetDue)),
        ];
        deadlines.into_iter().flatten().min_by_key(|deadline| deadline.at)
    }
}
