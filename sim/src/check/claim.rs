//! S2: a takeover does not wait for the dump. A session that takes a switch over points the broadcast rows to its
//! services node before it reads the unicast tables; one that has read them does so when it gets the lock.

use std::collections::BTreeMap;

use tandem_core::event::{self, What};
use tandem_core::status::Phase;
use tandem_core::{ConnId, Time, Uuid};

use super::broadcast::wrong_rows;
use super::{Check, Findings, Scene};
use crate::model::{self, Thing};
use crate::world::log::{ActorEvent, Entry};
use crate::world::{AgentView, LOCK, SwitchView, World};
use crate::{bounds, device, host};

#[derive(Clone, Debug, Default)]
pub(super) struct Claim {
    /// By the agent, and its connection.
    takeovers: BTreeMap<(String, ConnId), Takeover>,
}

/// A session that has the lock, and rows that it has to change.
#[derive(Clone, Debug)]
struct Takeover {
    switch: String,
    switch_conn: ConnId,
    /// When it must have changed them, if it has read everything before.
    due: Option<Time>,
    wrong: BTreeMap<Uuid, String>,
}

impl Check for Claim {
    fn name(&self) -> &'static str {
        "S2"
    }

    fn on_event(&mut self, entry: &Entry, Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        match &entry.event {
            ActorEvent::Switch(device::Event::LockPassed { lock, from, to }) => {
                self.takeovers.retain(|_, takeover| takeover.switch != *entry.node);
                let switch = world.switches().find(|switch| switch.name == &*entry.node);
                if let (Some(switch), Some(conn)) = (switch.filter(|_| lock == LOCK), *to) {
                    self.begin(world, switch, conn, from.is_some());
                }
            }
            ActorEvent::Agent(host::Event::Session(event)) => self.on_session(&entry.node, event, world, found),
            ActorEvent::Agent(_) | ActorEvent::Switch(_) | ActorEvent::Proxy(_) | ActorEvent::Control(_) => {}
            ActorEvent::World(_) | ActorEvent::VRouter(_) | ActorEvent::Vip(_) => {}
            ActorEvent::Thief(_) | ActorEvent::Intruder(_) => {}
        }
    }

    fn inspect(&mut self, Scene { world, ways }: Scene<'_>, found: &mut Findings) {
        let now = world.now();
        let is_due = |takeover: &Takeover| takeover.due.is_some_and(|due| due <= now);
        let due = self.takeovers.iter().filter(|(_, takeover)| is_due(takeover));
        let due: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        for key @ (agent, _) in &due {
            let Some(takeover) = self.takeovers.remove(key) else {
                continue;
            };
            let good_for = ways.steady.good_for(&takeover.switch, takeover.switch_conn, now);
            let bound = bounds::lock(world.plan());
            if good_for >= bound {
                let what = format!("{agent} has waited for the lock, and has held it for {bound:?}");
                takeover.judge(world, agent, &what, found);
            }
        }
    }

    fn due(&self) -> Option<Time> {
        self.takeovers.values().filter_map(|takeover| takeover.due).min()
    }
}

impl Claim {
    fn begin(&mut self, world: &World, switch: SwitchView<'_>, switch_conn: ConnId, waited: bool) {
        let Some(way) = world.way(switch, switch_conn) else {
            return;
        };
        let line = way.agent.host.and_then(|host| host.sessions().get(&way.conn));
        let due = match line.map(|line| line.session.phase()) {
            Some(Phase::Opened | Phase::Identifying) => None,
            // It got the lock when it asked for it.
            Some(Phase::Reading) if !waited => None,
            Some(Phase::Synced) => Some(world.now() + bounds::lock(world.plan())),
            // It waits for the lock, and reads.
            Some(Phase::Reading | Phase::Closing) | None => return,
        };
        let wrong = to_change(world, switch, way.agent);
        if !wrong.is_empty() && world.can_be_owned(switch) {
            let takeover = Takeover {
                switch: switch.name.to_owned(),
                switch_conn,
                due,
                wrong,
            };
            self.takeovers.insert((way.agent.name.to_owned(), way.conn), takeover);
        }
    }

    /// What a session reports may end its takeover, or show that it reads too early.
    fn on_session(&mut self, agent: &str, event: &event::Event, world: &World, found: &mut Findings) {
        let reads = matches!(event.what, What::Read { .. });
        let gives_up = matches!(
            event.what,
            // What was rejected is tried again, with pauses.
            What::TransactionRejected { .. }
                | What::WritesStopped { .. }
                | What::Draining
                | What::HandingOver
                | What::Stolen
                | What::Closed { .. }
        );
        if !reads && !gives_up {
            return;
        }
        let takeover = self.takeovers.remove(&(agent.to_owned(), event.conn));
        if let Some(takeover) = takeover.filter(|_| reads) {
            let what = format!("{agent} has taken the lock and read the unicast tables");
            takeover.judge(world, agent, &what, found);
        }
    }
}

impl Takeover {
    fn judge(&self, world: &World, agent: &str, what: &str, found: &mut Findings) {
        let switch = world.switches().find(|switch| switch.name == self.switch);
        let agent = world.agents().find(|view| view.name == agent);
        let (Some(switch), Some(agent)) = (switch, agent) else {
            return;
        };
        for (network, rows) in to_change(world, switch, agent) {
            if self.wrong.get(&network) == Some(&rows) {
                let what = format!("{what}, and broadcast of {network} on {} is still {rows}", switch.name);
                found.add([switch.name.to_owned(), network.to_string()], what);
            }
        }
    }
}

/// The broadcast rows that this agent has to change, as it knows.
fn to_change(world: &World, switch: SwitchView<'_>, agent: AgentView<'_>) -> BTreeMap<Uuid, String> {
    let wrong = wrong_rows(world, switch, agent.tsn);
    let known = wrong.filter(|(network, _)| model::has_received(world, switch, agent, &Thing::Broadcast(*network)));
    known.collect()
}
