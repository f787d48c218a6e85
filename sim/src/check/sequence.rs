//! Moves raise the sequence of a MAC, and nothing else does: an agent that raised it at every takeover would soon see it
//! frozen elsewhere, and one that never raised it would see the old place win.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use tandem_core::agent::uplinks;
use tandem_core::event::{Route, What};
use tandem_core::{Mac, Time, Uuid};

use super::learned::Audited;
use super::{Check, Findings, Scene, learned};
use crate::host;
use crate::switch::Commit;
use crate::world::World;
use crate::world::log::{ActorEvent, Entry, WorldEvent};

/// The sequence of a MAC that has never moved.
const FIRST: u32 = 1;

#[derive(Clone, Debug, Default)]
pub(super) struct Sequence {
    /// Where each MAC was exported last and when, and how often that was another place than before.
    places: BTreeMap<(Uuid, Mac), (Ipv4Addr, Time, u32)>,
    /// What switches have learned, and no agent has exported yet, with the tunnel end of that time.
    learned: BTreeMap<(String, Uuid, Mac), Ipv4Addr>,
    audited: Audited,
}

impl Check for Sequence {
    fn name(&self) -> &'static str {
        "sequence"
    }

    fn on_event(&mut self, entry: &Entry, Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        match &entry.event {
            ActorEvent::Agent(host::Event::Session(event)) => {
                self.audited.on_event(&entry.node, event);
                if let What::Exported(route) = &event.what {
                    self.exported(route, world.now());
                    if self.was_learned(route, world) && self.audited.contains(&entry.node, event.conn) {
                        is_raised(&entry.node, route, world, found);
                    }
                }
            }
            ActorEvent::Agent(host::Event::Uplink(uplinks::What::Imported { network, mac, .. })) => {
                self.imported(&entry.node, (*network, *mac), world, found);
            }
            ActorEvent::Agent(_) | ActorEvent::Switch(_) | ActorEvent::Proxy(_) | ActorEvent::Control(_) => {}
            ActorEvent::World(WorldEvent::Started { node }) => self.audited.forget(node),
            ActorEvent::Vip(_) | ActorEvent::VRouter(_) | ActorEvent::World(_) => {}
            ActorEvent::Thief(_) | ActorEvent::Intruder(_) => {}
        }
    }

    fn on_commit(&mut self, switch: &str, commit: &Commit, Scene { world, .. }: Scene<'_>, _: &mut Findings) {
        if world.plan().topology.control_nodes == 0 {
            return;
        }
        if let Some(view) = world.switches().find(|view| view.name == switch) {
            let vtep = view.tunnel_ip;
            let learned = learned::by(commit, view);
            self.learned
                .extend(learned.map(|(network, mac)| ((switch.to_owned(), network, mac), vtep)));
        }
    }
}

impl Sequence {
    /// Whether a route is exported for the first time since a switch has learned it there.
    fn was_learned(&mut self, Route { network, mac, vtep }: &Route, world: &World) -> bool {
        let mut switches = world.switches().filter(|switch| switch.tunnel_ip == *vtep);
        switches.any(|switch| self.learned.remove(&(switch.name.to_owned(), *network, *mac)) == Some(*vtep))
    }

    /// What sessions export at the same instant, their agent may take in the other order.
    fn exported(&mut self, route: &Route, now: Time) {
        let Route { network, mac, vtep } = *route;
        let (end, at, moves) = self.places.entry((network, mac)).or_insert((vtep, now, 0));
        if *end != vtep {
            *moves += 1 + u32::from(*at == now);
        }
        (*end, *at) = (vtep, now);
    }

    /// A row that a new owner inherits may count as a move here, and not there: this is the most that it may be.
    fn imported(&self, node: &str, (network, mac): (Uuid, Mac), world: &World, found: &mut Findings) {
        let agent = world.agents().find(|agent| agent.name == node);
        let uplinks = agent.and_then(|agent| agent.host?.agent().uplinks());
        let best = uplinks.and_then(|uplinks| uplinks.fabric().best(network, mac));
        let Some((best, (.., moves))) = best.zip(self.places.get(&(network, mac))) else {
            return;
        };
        if best.sequence > FIRST + moves {
            let sequence = best.sequence;
            let what = format!(
                "{node} imports {mac} in {network} with sequence {sequence}, but it has moved only {moves} times"
            );
            found.add([format!("{mac} in {network}")], what);
        }
    }
}

/// A MAC that a switch has just learned beats the path to another tunnel end that its agent knows.
fn is_raised(node: &str, route: &Route, world: &World, found: &mut Findings) {
    let Route { network, mac, vtep } = *route;
    let agent = world.agents().find(|agent| agent.name == node);
    let Some(uplinks) = agent.and_then(|agent| agent.host?.agent().uplinks()) else {
        return;
    };
    let elsewhere = uplinks.fabric().best(network, mac).filter(|best| best.vtep != vtep);
    let advert = uplinks.advert(network, mac).filter(|advert| advert.vtep == vtep);
    if let Some((best, advert)) = elsewhere.zip(advert)
        && advert.sequence <= best.sequence
    {
        let (ours, theirs) = (advert.sequence, best.sequence);
        let what = format!(
            "{node} exports {mac} in {network} with sequence {ours}, which moved here from {}, where it has {theirs}",
            best.vtep
        );
        found.add([format!("{mac} in {network}")], what);
    }
}
