//! Only moves raise the sequence of a MAC: an agent that raised it at every takeover would soon see it frozen
//! elsewhere.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use tandem_core::agent::uplinks;
use tandem_core::event::{Route, What};
use tandem_core::{Mac, Uuid};

use super::{Check, Findings, Scene};
use crate::host;
use crate::world::World;
use crate::world::log::{ActorEvent, Entry};

/// The sequence of a MAC that has never moved.
const FIRST: u32 = 1;

#[derive(Clone, Debug, Default)]
pub(super) struct Sequence {
    /// Where each MAC was exported last, and how often that was another place than before.
    places: BTreeMap<(Uuid, Mac), (Ipv4Addr, u32)>,
}

impl Check for Sequence {
    fn name(&self) -> &'static str {
        "sequence"
    }

    fn on_event(&mut self, entry: &Entry, Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        match &entry.event {
            ActorEvent::Agent(host::Event::Session(event)) => {
                if let What::Exported(route) = &event.what {
                    self.exported(route);
                }
            }
            ActorEvent::Agent(host::Event::Uplink(uplinks::What::Imported { network, mac, .. })) => {
                self.imported(&entry.node, (*network, *mac), world, found);
            }
            ActorEvent::Agent(_) | ActorEvent::Switch(_) | ActorEvent::Proxy(_) | ActorEvent::Control(_) => {}
            ActorEvent::Vip(_) | ActorEvent::VRouter(_) | ActorEvent::World(_) => {}
            ActorEvent::Thief(_) | ActorEvent::Intruder(_) => {}
        }
    }
}

impl Sequence {
    fn exported(&mut self, route: &Route) {
        let Route { network, mac, vtep } = *route;
        let place = self.places.entry((network, mac)).or_insert((vtep, 0));
        if place.0 != vtep {
            *place = (vtep, place.1 + 1);
        }
    }

    /// A row that a new owner inherits may count as a move here, and not there: this is the most that it may be.
    fn imported(&self, node: &str, (network, mac): (Uuid, Mac), world: &World, found: &mut Findings) {
        let agent = world.agents().find(|agent| agent.name == node);
        let uplinks = agent.and_then(|agent| agent.host?.agent().uplinks());
        let best = uplinks.and_then(|uplinks| uplinks.fabric().best(network, mac));
        let Some((best, (_, moves))) = best.zip(self.places.get(&(network, mac))) else {
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
