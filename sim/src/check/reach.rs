//! How long consumers and exporters of routes have had undisturbed sessions with their control nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_core::Uuid;
use tandem_core::agent::uplinks::What;
use tandem_core::control::Event as NodeEvent;

use super::steady::WayState;
use crate::world::log::{ActorEvent, Entry};
use crate::world::{ControlView, World};
use crate::{control, host};

/// The state of each session, by the names of the consumer and of the control node.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach(BTreeMap<(String, String), WayState>);

impl Reach {
    /// To be called with every event.
    pub(super) fn on_event(&mut self, entry: &Entry, world: &World) {
        if moves_ways(&entry.event) {
            self.update(world);
        }
    }

    /// To be called once in a while.
    pub(super) fn update(&mut self, world: &World) {
        let now = world.now();
        for consumer in world.consumers() {
            for control in world.control_nodes() {
                let key = (consumer.name().to_owned(), control.name.to_owned());
                let before = self.0.get(&key).copied();
                self.0
                    .insert(key, WayState::next(before, now, world.has_session(consumer, control)));
            }
        }
    }

    /// How long nothing has been in the way from one to the other, by the best of the control nodes that know the
    /// network.
    pub(super) fn lasts(&self, world: &World, from: &str, to: &str, network: Uuid) -> Duration {
        let knows = |control: &ControlView<'_>| {
            let node = control.host.map(control::ControlHost::node);
            node.is_some_and(|node| node.inventory().networks.contains_key(&network))
        };
        let good = |node: &str, control: &str| {
            let stand = self.0.get(&(node.to_owned(), control.to_owned()));
            stand.map_or(Duration::ZERO, |stand| stand.good_for(world.now()))
        };
        let nodes = world.control_nodes().filter(knows);
        let ways = nodes.map(|control| good(from, control.name).min(good(to, control.name)));
        ways.max().unwrap_or_default()
    }
}

/// Whether an event may open or end a session between a consumer and a control node.
fn moves_ways(what: &ActorEvent) -> bool {
    let of_uplink = |what: &What| matches!(what, What::UplinkUp { .. } | What::UplinkDown { .. });
    match what {
        ActorEvent::World(_) => true,
        ActorEvent::Agent(host::Event::Uplink(what)) | ActorEvent::VRouter(what) => of_uplink(what),
        ActorEvent::Control(control::Event::Node(what)) => {
            matches!(what, NodeEvent::ClientUp { .. } | NodeEvent::ClientDown { .. })
        }
        ActorEvent::Agent(_) | ActorEvent::Control(_) | ActorEvent::Switch(_) => false,
        ActorEvent::Proxy(_) | ActorEvent::Vip(_) | ActorEvent::Thief(_) | ActorEvent::Intruder(_) => false,
    }
}
