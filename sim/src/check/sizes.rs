//! S7: queues, connections, transactions, and the work of one instant stay within their bounds.

use tandem_core::Time;
use tandem_core::bounds::TRANSACTIONS_IN_FLIGHT;
use tandem_core::event::What;

use super::tick::Tick;
use super::{Check, Findings, Scene};
use crate::bounds;
use crate::host::{self, HALF_OPEN_MAX};
use crate::switch::{Commit, RowChange, Writer};
use crate::world::log::{ActorEvent, Entry};
use crate::world::{AgentView, World};

#[derive(Clone, Debug, Default)]
pub(super) struct Sizes {
    tick: Tick,
}

impl Check for Sizes {
    fn name(&self) -> &'static str {
        "S7"
    }

    /// Transactions are gone within a round trip: the time to count them is when the first is answered.
    fn on_event(&mut self, entry: &Entry, Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        let ActorEvent::Agent(host::Event::Session(event)) = &entry.event else {
            return;
        };
        if !matches!(event.what, What::Programmed { .. }) {
            return;
        }
        let agent = world.agents().find(|agent| agent.name == &*entry.node);
        let in_flight = agent.and_then(|agent| {
            let line = agent.host?.sessions().get(&event.conn)?;
            Some(line.session.in_flight())
        });
        if let Some(in_flight) = in_flight {
            let what = "transactions on the wire";
            within(&entry.node, what, in_flight, TRANSACTIONS_IN_FLIGHT, found);
        }
    }

    /// Locators do not count: the agent creates those that its rows need, and the server deletes those that nothing needs.
    fn on_commit(&mut self, switch: &str, commit: &Commit, Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        let Writer::Remote(_) = commit.by else { return };
        let Some(most) = world.plan().switch.rows_per_transaction_max else {
            return;
        };
        let counts = |change: &&RowChange| !change.table.starts_with("Physical_Locator");
        let rows = commit.changes.iter().filter(counts).count();
        within(switch, "rows in one transaction", rows, most, found);
    }

    fn inspect(&mut self, Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        let steps = usize::try_from(world.steps_at_once()).unwrap_or(usize::MAX);
        let most = usize::try_from(bounds::STEPS_AT_ONCE).unwrap_or(usize::MAX);
        within("world", "steps at one instant", steps, most, found);
        if self.tick.take(world.now()) {
            let plan = world.plan();
            let mosts = [bounds::connections(plan), bounds::planned(plan), bounds::checks(plan)];
            for ((what, size), most) in world.sizes().into_iter().zip(mosts) {
                within("world", what, size, most, found);
            }
            world.agents().for_each(|agent| measure_agent(agent, world, found));
        }
    }

    fn due(&self) -> Option<Time> {
        self.tick.due()
    }
}

fn measure_agent(agent: AgentView<'_>, world: &World, found: &mut Findings) {
    if let Some(host) = agent.host {
        within(agent.name, "handshakes", host.half_open(), HALF_OPEN_MAX, found);
        within(
            agent.name,
            "sessions",
            host.sessions().len(),
            bounds::sessions(world.plan()),
            found,
        );
    }
}

fn within(node: &str, what: &str, size: usize, most: usize, found: &mut Findings) {
    if size > most {
        found.add([node], format!("{node}: {size} {what}; the bound is {most}"));
    }
}
