//! No session ends, and no grade falls, without a fault that explains it.
//!
//! A fault explains what happens to the nodes that it names while it lasts, and until everything has settled afterwards.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::agent::uplinks;
use tandem_core::event::{self, What};
use tandem_core::health::Grade;
use tandem_core::{CloseReason, CloseWhy, ConnId, Time};

use super::{Check, Findings, Scene};
use crate::link::RETRANSMIT_MAX;
use crate::plan::{Fault, Kind, Plan, Role};
use crate::world::World;
use crate::world::log::{ActorEvent, Entry, WorldEvent};
use crate::{bounds, host};

#[derive(Clone, Debug, Default)]
pub(super) struct Cause {
    /// Of each node; of the virtual IP, under [`VIP`].
    troubles: BTreeMap<String, Trouble>,
    /// The switch of each session of an agent.
    served: BTreeMap<(Arc<str>, ConnId), String>,
    /// The control node at the other end of each stream.
    uplinks: BTreeMap<(Arc<str>, SocketAddr), String>,
    grades: BTreeMap<Arc<str>, Grade>,
}

/// Not a node: what moves between the proxies.
const VIP: &str = "vip";

/// Faults of a node that overlap, or follow each other before everything has settled, are one trouble.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    since: Time,
    active: u32,
    until: Time,
}

impl Check for Cause {
    fn name(&self) -> &'static str {
        "cause"
    }

    fn on_event(&mut self, entry: &Entry, Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        let node = &entry.node;
        match &entry.event {
            ActorEvent::World(event) => self.on_world_event(event, entry.at, world),
            ActorEvent::Agent(host::Event::Session(event)) => self.on_session_event(node, event, world, found),
            ActorEvent::Agent(host::Event::Uplink(what)) | ActorEvent::VRouter(what) => {
                self.on_uplink_event(node, what, world, found);
            }
            ActorEvent::Agent(host::Event::Graded(grade)) => self.on_grade(node, *grade, world, found),
            ActorEvent::Agent(_) | ActorEvent::Control(_) | ActorEvent::Switch(_) | ActorEvent::Proxy(_) => {}
            ActorEvent::Vip(_) | ActorEvent::Thief(_) | ActorEvent::Intruder(_) => {}
        }
    }
}

impl Cause {
    fn on_world_event(&mut self, event: &WorldEvent, at: Time, world: &World) {
        match event {
            WorldEvent::FaultBegins { fault, .. } => {
                for name in disturbed(world, *fault) {
                    self.trouble(&name, at, world).active += 1;
                }
            }
            WorldEvent::FaultEnds { fault } => {
                for name in disturbed(world, *fault) {
                    let trouble = self.trouble(&name, at, world);
                    trouble.active = trouble.active.saturating_sub(1);
                    trouble.until = at;
                }
            }
            // What is lost has its faults for good.
            WorldEvent::Healed { lost, .. } => {
                for name in lost {
                    self.trouble(name, at, world).active += 1;
                }
            }
            WorldEvent::Started { node } => self.trouble(node, at, world).until = at,
            WorldEvent::ConfigurationLoaded { .. } => {}
        }
    }

    fn on_session_event(&mut self, node: &Arc<str>, event: &event::Event, world: &World, found: &mut Findings) {
        let key = (node.clone(), event.conn);
        if let What::Identified { switches, .. } = &event.what {
            let switch = switches.first().map(ToString::to_string);
            self.served.extend(switch.map(|switch| (key, switch)));
        } else if let What::Closed { why } = &event.what
            && let Some(switch) = self.served.remove(&key)
            && why.reason != CloseReason::Reconfigured
            && !self.explains(world, |name, role| {
                name == &**node || name == switch || is_between(role) || decides(why, role)
            })
        {
            let what = format!("{node} has no session with {switch} any more, and no fault explains it: {why}");
            found.add([&**node, &switch], what);
        }
    }

    fn on_uplink_event(&mut self, node: &Arc<str>, what: &uplinks::What, world: &World, found: &mut Findings) {
        if let uplinks::What::UplinkUp { address, name } = what {
            self.uplinks.insert((node.clone(), *address), name.clone());
        } else if let uplinks::What::UplinkDown { address, why } = what
            && let Some(control) = self.uplinks.remove(&(node.clone(), *address))
            && !self.explains(world, |name, _| name == &**node || name == control)
        {
            let what = format!("{node} has no session with {control} any more, and no fault explains it: {why}");
            found.add([&**node, &control], what);
        }
    }

    fn on_grade(&mut self, node: &Arc<str>, grade: Grade, world: &World, found: &mut Findings) {
        let before = self.grades.insert(node.clone(), grade);
        let fell = before == Some(Grade::Fit) && grade != Grade::Fit;
        let others = |role| matches!(role, Some(Role::Control | Role::Switch | Role::Proxy) | None);
        if fell && !self.explains(world, |name, role| name == &**node || others(role)) {
            found.add([&**node], format!("{node} is {grade}, and no fault explains it"));
        }
    }

    /// Whether a node of which `is_meant` holds was in trouble lately.
    fn explains(&self, world: &World, is_meant: impl Fn(&str, Option<Role>) -> bool) -> bool {
        let (now, bound) = (world.now(), bounds::settled(world.plan()));
        let started = world.plan().agent.configured_after.duration() + bound;
        let topology = &world.plan().topology;
        now <= Time::ORIGIN + started
            || is_slow(world.plan())
            || self
                .troubles
                .iter()
                .any(|(name, trouble)| trouble.explains(now, bound) && is_meant(name, topology.role(name)))
    }

    /// The trouble of a node, as of now.
    fn trouble(&mut self, name: &str, now: Time, world: &World) -> &mut Trouble {
        let bound = bounds::settled(world.plan());
        let new = Trouble {
            since: now,
            active: 0,
            until: now,
        };
        let trouble = self.troubles.entry(name.to_owned()).or_insert(new);
        if !trouble.explains(now, bound) {
            *trouble = new;
        }
        trouble
    }
}

impl Trouble {
    /// TCP sends again what was lost, after a time that is as long as the trouble was.
    fn explains(&self, now: Time, bound: Duration) -> bool {
        let resent = self.until.since(self.since).min(RETRANSMIT_MAX);
        self.active > 0 || now.since(self.until) <= bound + resent
    }
}

/// Whether no answer comes within the interval of the keepalive, however calm the world is.
fn is_slow(plan: &Plan) -> bool {
    let interval = plan.agent.keepalive.unless_zero();
    interval.is_some_and(|interval| interval < bounds::round_trip(plan))
}

/// Whether it is on the way from a switch to an agent. [`VIP`] has no role.
fn is_between(role: Option<Role>) -> bool {
    matches!(role, Some(Role::Proxy) | None)
}

/// Whether such a node may be why an agent itself ends a session: it hands over when it has no control node, or when the
/// other agent of the pair takes the switch.
fn decides(why: &CloseWhy, role: Option<Role>) -> bool {
    let is_of_pair = matches!(
        why.reason,
        CloseReason::Drained | CloseReason::Duplicate | CloseReason::Silent
    );
    is_of_pair && matches!(role, Some(Role::Control | Role::Agent))
}

/// What a fault of the plan can end a session or lower a grade of.
fn disturbed(world: &World, fault: usize) -> Vec<String> {
    let Some(scheduled) = world.plan().fault(fault) else {
        return Vec::new();
    };
    match scheduled.fault.kind() {
        Kind::Drift | Kind::Edit | Kind::Configure | Kind::Undo | Kind::Full | Kind::Disk => Vec::new(),
        Kind::MoveVip | Kind::SplitVip => vec![VIP.to_owned()],
        Kind::Crash
        | Kind::PowerLoss
        | Kind::Pause
        | Kind::Drain
        | Kind::Cut
        | Kind::Isolate
        | Kind::Slow
        | Kind::Jam
        | Kind::Reset
        | Kind::Reload
        | Kind::Reboot
        | Kind::Steal
        | Kind::Tls
        | Kind::TsnDeath
        | Kind::Intrude
        | Kind::Twin
        | Kind::Expire
        | Kind::Maint => named(&scheduled.fault),
    }
}

fn named(fault: &Fault) -> Vec<String> {
    fault.nodes().into_iter().map(|(name, _)| name.to_owned()).collect()
}
