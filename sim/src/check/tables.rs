//! S4: while a switch has had a live owner for long enough, its tables and its exports match the desired state, and no
//! agent exports routes without a session.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tandem_core::Time;

use super::overdue::Overdue;
use super::tick::{EVERY, Tick};
use super::{Check, Findings, Scene};
use crate::bounds;
use crate::model::{self, Thing};
use crate::world::log::{ActorEvent, Entry};
use crate::world::{AgentView, SwitchView, World};

#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    wrong: Overdue<(String, Thing)>,
    /// What differed on each switch when it was compared last; switches that changed since are not here.
    compared: BTreeMap<String, Vec<(Thing, String)>>,
    /// Agents, and the switches of which they export what they do not own.
    stray: Overdue<(String, String)>,
    tick: Tick,
}

impl Check for Tables {
    fn name(&self) -> &'static str {
        "S4"
    }

    fn on_event(&mut self, entry: &Entry, _scene: Scene<'_>, _found: &mut Findings) {
        match &entry.event {
            ActorEvent::Switch(_) => drop(self.compared.remove(&*entry.node)),
            ActorEvent::Agent(_) | ActorEvent::Control(_) | ActorEvent::World(_) => self.compared.clear(),
            ActorEvent::Proxy(_) | ActorEvent::VRouter(_) | ActorEvent::Vip(_) => {}
            ActorEvent::Thief(_) | ActorEvent::Intruder(_) => {}
        }
    }

    fn inspect(&mut self, scene @ Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        if !self.tick.take_every(pause(world), world.now()) {
            return;
        }
        self.compare_tables(scene, found);
        self.find_stray_exports(scene, found);
    }

    fn due(&self) -> Option<Time> {
        self.tick.due()
    }
}

impl Tables {
    fn compare_tables(&mut self, Scene { world, ways }: Scene<'_>, found: &mut Findings) {
        let now = world.now();
        let mut wrong = Vec::new();
        for switch in world.switches() {
            // A switch without an owner is not compared; its differences are timed anew.
            let owner = Some(switch).filter(|_| ways.steady.owned_for(switch.name, now) > Duration::ZERO);
            let Some(owner) = owner.and_then(|switch| world.master(switch)) else {
                continue;
            };
            let compared = self.compared.entry(switch.name.to_owned()).or_insert_with(|| {
                let differences = model::differences(world, switch, owner.agent);
                let things = differences.iter().map(|it| (it.thing.clone(), it.to_string()));
                things.collect()
            });
            // The owner cannot have programmed what it has not received yet; such differences are timed anew.
            let received = compared
                .iter()
                .filter(|(thing, _)| model::has_received(world, switch, owner.agent, thing));
            wrong.extend(
                received
                    .cloned()
                    .map(|(thing, how)| ((switch.name.to_owned(), thing), how)),
            );
        }
        self.wrong.update(now, wrong);
        let bound = bounds::tables(world.plan());
        for ((switch, thing), how) in self.wrong.longer_than(bound, now) {
            if ways.steady.owned_for(switch, now) >= bound {
                let view = world.switches().find(|view| view.name == switch);
                let pending = view.map(|view| model::pending(world, view)).unwrap_or_default();
                let why = pending.first().map_or("", |pending| &pending.why);
                let what = format!("{thing} on {switch} has been wrong for {bound:?}: {how} ({why})");
                found.add([switch.clone(), thing.to_string()], what);
            }
        }
    }

    fn find_stray_exports(&mut self, scene @ Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        let mut strays = Vec::new();
        for agent in world.agents().filter(|agent| agent.running) {
            let routes = agent.host.into_iter().flat_map(|host| host.agent().exports().routes());
            let exported: BTreeSet<_> = routes.map(|route| route.vtep).collect();
            for switch in world.switches().filter(|switch| exported.contains(&switch.tunnel_ip)) {
                match role_of(scene, agent, switch) {
                    Role::Owner | Role::Unsure => {}
                    Role::Stranger => {
                        let what = format!(
                            "{} exports routes of {} and has no session with it",
                            agent.name, switch.name
                        );
                        found.add([agent.name, switch.name], what);
                    }
                    Role::Another => strays.push(((agent.name.to_owned(), switch.name.to_owned()), String::new())),
                }
            }
        }
        let now = world.now();
        self.stray.update(now, strays);
        let bound = bounds::broadcast(world.plan());
        for ((agent, switch), _) in self.stray.longer_than(bound, now) {
            let what = format!("{agent} exports routes of {switch}, and has not held its lock for {bound:?}");
            found.add([agent.clone(), switch.clone()], what);
        }
    }
}

/// What an agent is to a switch.
enum Role {
    Owner,
    /// It has a session and no lock, and may not know that yet.
    Unsure,
    /// It has a session, and can see that another client holds the lock.
    Another,
    Stranger,
}

fn role_of(Scene { world, ways }: Scene<'_>, agent: AgentView<'_>, switch: SwitchView<'_>) -> Role {
    let sessions = agent.host.into_iter().flat_map(|host| host.sessions());
    let serving = sessions.filter(|(_, line)| line.session.served().contains(&switch.name.into()));
    let conns: BTreeSet<_> = serving.map(|(conn, _)| *conn).collect();
    if conns.is_empty() {
        return Role::Stranger;
    }
    let (now, bound) = (world.now(), bounds::broadcast(world.plan()));
    let all = world.ways(switch);
    let its: Vec<_> = all
        .iter()
        .filter(|way| way.agent.name == agent.name && conns.contains(&way.conn))
        .collect();
    let holder = world.lock_holder(switch);
    if its.iter().any(|way| Some(way.switch_conn) == holder) {
        Role::Owner
    } else if its.len() == conns.len()
        && its
            .iter()
            .all(|way| ways.steady.good_for(switch.name, way.switch_conn, now) >= bound)
    {
        Role::Another
    } else {
        Role::Unsure
    }
}

/// From one look to the next: comparing every row takes long, and what is wrong for as long as the bound is seen four
/// times.
fn pause(world: &World) -> Duration {
    (bounds::tables(world.plan()) / 4).max(EVERY)
}
