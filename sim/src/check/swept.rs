//! S8, of routes: no agent deletes a MAC that every control node that it talks to has known for a while.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use tandem_core::agent::uplinks;
use tandem_core::contrail_schema::{instance, virtual_network};
use tandem_core::control::Event as NodeEvent;
use tandem_core::event::{Route, What};
use tandem_core::evpn::{InstanceName, Key};
use tandem_core::{Mac, Time, Uuid};

use super::{Check, Findings, Scene};
use crate::model::network_named;
use crate::switch::{Commit, Row, RowChange, Writer};
use crate::world::log::{ActorEvent, Entry, WorldEvent};
use crate::world::{AgentView, Consumer, ControlView, SwitchView, World};
use crate::{control, host};

/// The longest time that a route, or another configuration, may take to arrive.
const RECENT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default)]
pub(super) struct Swept {
    /// Where each MAC was exported last, and when.
    exported: BTreeMap<(Uuid, Mac), (Ipv4Addr, Time)>,
    /// Since when each control node has known of a route.
    known: BTreeMap<(String, InstanceName, Key), Time>,
    /// When each agent last imported a MAC at a tunnel end: the import takes the MAC away from the switch at that end.
    placed: BTreeMap<(String, Route), Time>,
    configured: Time,
}

impl Check for Swept {
    fn name(&self) -> &'static str {
        "S8"
    }

    fn on_event(&mut self, entry: &Entry, Scene { world, .. }: Scene<'_>, _found: &mut Findings) {
        match &entry.event {
            ActorEvent::Agent(host::Event::Session(event)) => {
                if let What::Exported(Route { network, mac, vtep }) = event.what {
                    self.exported.insert((network, mac), (vtep, world.now()));
                }
            }
            ActorEvent::Agent(host::Event::Uplink(uplinks::What::Imported { network, mac, vtep })) => {
                if let (network, mac, Some(vtep)) = (*network, *mac, *vtep) {
                    let place = (entry.node.to_string(), Route { network, mac, vtep });
                    self.placed.insert(place, world.now());
                }
            }
            ActorEvent::Control(control::Event::Node(NodeEvent::Reflected { instance, route })) => {
                let route = (entry.node.to_string(), instance.clone(), *route);
                self.known.entry(route).or_insert_with(|| world.now());
            }
            ActorEvent::Control(control::Event::Node(NodeEvent::RouteRemoved { instance, route })) => {
                let route = (entry.node.to_string(), instance.clone(), *route);
                self.known.remove(&route);
            }
            ActorEvent::World(event) => {
                // A route with a new VNI is a new route.
                if let WorldEvent::ConfigurationLoaded { .. } = event {
                    self.configured = world.now();
                }
                // A dead control node forgets everything.
                for node in world.control_nodes().filter(|node| node.host.is_none()) {
                    self.known.retain(|(name, ..), _| name != node.name);
                }
            }
            ActorEvent::Agent(_) | ActorEvent::Switch(_) | ActorEvent::Proxy(_) | ActorEvent::Control(_) => {}
            ActorEvent::Vip(_) | ActorEvent::Thief(_) | ActorEvent::Intruder(_) | ActorEvent::VRouter(_) => {}
        }
    }

    fn on_commit(&mut self, switch: &str, commit: &Commit, scene: Scene<'_>, found: &mut Findings) {
        let Scene { world, ways } = scene;
        let Writer::Remote(conn) = commit.by else { return };
        if world.plan().topology.control_nodes == 0 || world.now().since(self.configured) <= RECENT {
            return;
        }
        // What was on its way for long may have been right when it was written.
        if ways.steady.is_disturbed(switch, conn, world.now()) {
            return;
        }
        let deleted = |change: &&RowChange| change.table == "Ucast_Macs_Remote" && change.new.is_none();
        for change in commit.changes.iter().filter(deleted) {
            let view = world.switches().find(|view| view.name == switch);
            let writer = view.and_then(|view| world.way(view, conn)).map(|way| way.agent);
            if let (Some(view), Some(writer)) = (view, writer)
                && let Some((network, mac)) = self.is_known(change, view, writer, scene)
            {
                let what = format!(
                    "{conn} of {switch} deleted {mac} in {network}, which every control node of {} knows: {}",
                    writer.name,
                    commit.comments.join("; ")
                );
                found.add([switch.to_owned(), format!("{mac} in {network}")], what);
            }
        }
    }
}

impl Swept {
    /// The MAC of a deleted row, if the MAC has been at another switch for a while, and every control node of the
    /// writer has its route.
    fn is_known(
        &self,
        change: &RowChange,
        switch: SwitchView<'_>,
        writer: AgentView<'_>,
        scene: Scene<'_>,
    ) -> Option<(Uuid, Mac)> {
        let old = change.old.as_deref()?;
        let (text, logical_switch) = (old.text("MAC")?, old.reference("logical_switch")?);
        let row = switch.switch.row("Logical_Switch", logical_switch)?;
        let (network, mac) = (network_named(row.text("name")?)?, text.parse().ok()?);
        let here = Route {
            network,
            mac,
            vtep: switch.tunnel_ip,
        };
        let is_same = |(_, row): (Uuid, &Row)| {
            let same = row.text("MAC").and_then(|text| text.parse().ok()) == Some(mac);
            same && row.reference("logical_switch") == Some(logical_switch)
        };
        let is_folded = || switch.switch.rows("Ucast_Macs_Remote").any(is_same);
        let known = self.is_known_to_all(writer, network, mac, scene) && self.is_elsewhere(here, scene.world);
        (known && !self.may_be_here(here, writer, scene.world) && !is_folded()).then_some((network, mac))
    }

    /// Whether it was exported last at another tunnel end, long ago, and still is.
    fn is_elsewhere(&self, here: Route, world: &World) -> bool {
        let exported = self.exported.get(&(here.network, here.mac));
        exported.is_some_and(|(vtep, since)| {
            let there = Route { vtep: *vtep, ..here };
            world.now().since(*since) > RECENT && *vtep != here.vtep && is_exported(there, world)
        })
    }

    /// Of a MAC that is in two places one counts, and that may be this one, by the word of an agent that hangs, too;
    /// and for a moment by that of one that does not hang any more.
    fn may_be_here(&self, here: Route, writer: AgentView<'_>, world: &World) -> bool {
        let fabric = Consumer::Agent(writer).fabric().into_iter();
        let mut paths = fabric.flat_map(|fabric| fabric.paths(here.network, here.mac));
        let placed = self.placed.get(&(writer.name.to_owned(), here));
        placed.is_some_and(|at| world.now().since(*at) <= RECENT)
            || is_exported(here, world)
            || paths.any(|path| path.vtep == here.vtep)
    }

    fn known_since(&self, node: ControlView<'_>, network: Uuid, mac: Mac) -> Option<Time> {
        let about = node.host?.node().inventory().networks.get(&network)?;
        let instance = instance(&virtual_network(&about.name));
        let known = (node.name.to_owned(), instance, Key::of_mac(about.vni, mac));
        self.known.get(&known).copied()
    }

    /// Whether every control node that the writer talks to knows it, and has known it for a while.
    fn is_known_to_all(
        &self,
        writer: AgentView<'_>,
        network: Uuid,
        mac: Mac,
        Scene { world, ways }: Scene<'_>,
    ) -> bool {
        let has_it = |node: ControlView<'_>| {
            let since = self.known_since(node, network, mac);
            since.is_some_and(|since| world.now().since(since) > RECENT)
                && !ways.late.may_come(world, writer.name, node.name)
        };
        let nodes = world.control_nodes().filter(|node| world.has_session(writer, *node));
        let mut nodes = nodes.peekable();
        world.is_current(writer) && nodes.peek().is_some() && nodes.all(has_it)
    }
}

/// Whether an agent that runs exports this.
fn is_exported(route: Route, world: &World) -> bool {
    let running = world.agents().filter(|agent| agent.running);
    let mut exports = running.filter_map(|agent| Some(agent.host?.agent().exports()));
    exports.any(|exports| exports.vteps(route.network, route.mac).any(|vtep| vtep == route.vtep))
}
