//! Messages of a control node may reach an agent long after they were sent: TCP retransmits what was lost.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_core::agent::uplinks::What;

use super::steady::WayState;
use crate::host;
use crate::world::World;
use crate::world::log::{ActorEvent, Entry};

/// How the sessions of agents with control nodes stand, by their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Late(BTreeMap<(String, String), WayState>);

impl Late {
    /// To be called with every event.
    pub(super) fn on_event(&mut self, entry: &Entry, world: &World) {
        match &entry.event {
            ActorEvent::World(_) => self.update(world),
            ActorEvent::Agent(host::Event::Uplink(What::UplinkUp { name, .. })) => {
                self.update_with(world, Some((&entry.node, name)));
            }
            ActorEvent::Agent(_) | ActorEvent::Control(_) | ActorEvent::Switch(_) | ActorEvent::VRouter(_) => {}
            ActorEvent::Proxy(_) | ActorEvent::Vip(_) | ActorEvent::Thief(_) | ActorEvent::Intruder(_) => {}
        }
    }

    /// Whether an agent may still receive messages that this control node sent long ago.
    pub(super) fn may_come(&self, world: &World, agent: &str, control: &str) -> bool {
        let stand = self.0.get(&(agent.to_owned(), control.to_owned()));
        stand.is_none_or(|stand| stand.good_for(world.now()) == Duration::ZERO)
    }

    /// To be called once in a while.
    pub(super) fn update(&mut self, world: &World) {
        self.update_with(world, None);
    }

    /// In a session that is new nothing has been lost yet.
    fn update_with(&mut self, world: &World, new: Option<(&str, &str)>) {
        for agent in world.agents() {
            for control in world.control_nodes() {
                let is_new = new == Some((agent.name, control.name));
                let key = (agent.name.to_owned(), control.name.to_owned());
                let before = self.0.get(&key).copied().filter(|_| !is_new);
                let stand = WayState::next(before, world.now(), world.has_session(agent, control));
                self.0.insert(key, stand);
            }
        }
    }
}
