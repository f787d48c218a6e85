//! S5: no keepalive kills a line that carried bytes in its interval, and the agent's always kills a silent one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tandem_core::event::{self, What};
use tandem_core::{CloseReason, ConnId, SwitchName, Time, bounds as core};

use super::tick::Tick;
use super::{Check, Findings, Scene};
use crate::bounds;
use crate::device::{self, Ended};
use crate::host;
use crate::switch::UNANSWERED;
use crate::world::World;
use crate::world::log::{ActorEvent, Entry};

/// What clocks may go wrong by, and what an agent may be late.
const SLACK: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Default)]
pub(super) struct Keepalive {
    /// What each session of each agent serves.
    served: BTreeMap<(String, ConnId), BTreeSet<SwitchName>>,
    /// The same, of sessions that ended, and when.
    former: Vec<(Time, String, BTreeSet<SwitchName>)>,
    /// Since when each agent has been running, and how long it had not been.
    running: BTreeMap<String, (Time, Duration)>,
    /// Since when the others have not been.
    away: BTreeMap<String, Time>,
    tick: Tick,
}

impl Check for Keepalive {
    fn name(&self) -> &'static str {
        "S5"
    }

    fn on_event(&mut self, entry: &Entry, scene @ Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        match &entry.event {
            ActorEvent::Agent(host::Event::Session(event)) => self.on_session_event(&entry.node, event, world, found),
            ActorEvent::Switch(device::Event::Disconnected {
                conn,
                why: Ended::ServerClosed(why),
                ..
            }) if why == UNANSWERED => {
                killed_by_switch(&entry.node, *conn, scene, found);
            }
            ActorEvent::World(_) => self.update_running(world),
            ActorEvent::Agent(_) | ActorEvent::Switch(_) | ActorEvent::Proxy(_) => {}
            ActorEvent::Control(_) | ActorEvent::VRouter(_) | ActorEvent::Vip(_) => {}
            ActorEvent::Thief(_) | ActorEvent::Intruder(_) => {}
        }
    }

    fn inspect(&mut self, Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        if self.tick.take(world.now()) {
            self.update_running(world);
            self.find_silent_sessions(world, found);
        }
    }

    fn due(&self) -> Option<Time> {
        self.tick.due()
    }
}

impl Keepalive {
    fn on_session_event(&mut self, node: &str, event: &event::Event, world: &World, found: &mut Findings) {
        let key = (node.to_owned(), event.conn);
        if let What::Identified { switches, .. } = &event.what {
            self.served.insert(key, switches.iter().cloned().collect());
        } else if let What::Closed { why } = &event.what {
            let served = self.served.remove(&key).unwrap_or_default();
            if why.reason == CloseReason::Silent {
                self.killed_by_agent(node, event.conn, &served, world, found);
            }
            self.former.push((world.now(), node.to_owned(), served));
        }
    }

    /// The interval is 2T. It is a second where a newer session of the switch made the agent probe this one: a session
    /// of its own, or one that the other agent of the pair reported.
    fn killed_by_agent(
        &self,
        node: &str,
        conn: ConnId,
        served: &BTreeSet<SwitchName>,
        world: &World,
        found: &mut Findings,
    ) {
        let Some(agent) = world.agents().find(|agent| agent.name == node) else {
            return;
        };
        let Some(silence) = world.silence(agent, conn) else {
            return;
        };
        let is_related = |agent: &str| agent == node || world.plan().agent.pair;
        let mut others = self
            .served
            .iter()
            .filter(|((agent, it), _)| is_related(agent) && (&**agent, *it) != (node, conn));
        // The newer session that caused the probe may be gone by now; an agent that was away probes later.
        let (since, away) = self.running.get(node).copied().unwrap_or_default();
        let away = Some(away).filter(|_| world.now().since(since) <= core::PROBE_ANSWER * 2);
        let long_ago = core::PROBE_ANSWER * 2 + away.unwrap_or_default();
        let recent = self
            .former
            .iter()
            .filter(|(at, agent, _)| is_related(agent) && world.now().since(*at) <= long_ago);
        let is_doubted = others.any(|(_, others)| !others.is_disjoint(served))
            || recent.into_iter().any(|(.., others)| !others.is_disjoint(served));
        let interval = bounds::silence(world.plan(), true)
            .filter(|_| !is_doubted)
            .unwrap_or(core::PROBE_ANSWER);
        if silence < interval {
            let what = format!("{node} closed {conn} for silence, although bytes had arrived {silence:?} before");
            found.add([node], what);
        }
    }

    fn update_running(&mut self, world: &World) {
        let now = world.now();
        for agent in world.agents() {
            if agent.running {
                let away = self.away.remove(agent.name);
                let away = away.map_or(Duration::ZERO, |since| now.since(since));
                self.running.entry(agent.name.to_owned()).or_insert((now, away));
            } else {
                self.running.remove(agent.name);
                self.away.entry(agent.name.to_owned()).or_insert(now);
            }
        }
    }

    fn find_silent_sessions(&self, world: &World, found: &mut Findings) {
        for agent in world.agents() {
            let Some((since, _)) = self.running.get(agent.name) else {
                continue;
            };
            let running_for = world.now().since(*since);
            for (conn, line) in agent.host.into_iter().flat_map(|host| host.sessions()) {
                let everything_read = line.session.phase() == tandem_core::status::Phase::Synced;
                let Some(bound) = bounds::silence(world.plan(), everything_read) else {
                    continue;
                };
                let silence = agent.now.since(line.last_received);
                if silence.min(running_for) > bound + SLACK + bound / 50 {
                    let what = format!(
                        "{conn} of {} has been silent for {silence:?}, and is still open",
                        agent.name
                    );
                    found.add([agent.name], what);
                }
            }
        }
    }
}

fn killed_by_switch(node: &str, conn: ConnId, Scene { world, ways }: Scene<'_>, found: &mut Findings) {
    let plan = world.plan();
    let bound = bounds::probe(plan) + bounds::dumps(plan) + bounds::round_trip(plan) * 4 + SLACK;
    if ways.steady.good_for(node, conn, world.now()) >= bound {
        found.add(
            [node],
            format!("{conn} of {node} was open for {bound:?}, and the switch's probe was not answered"),
        );
    }
}
