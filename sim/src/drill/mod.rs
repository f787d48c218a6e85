//! Drills: one fault in a world with the recommended settings, at the owner of a switch, and what that costs.
//!
//! A scenario shows one course of events, and a swarm draws careless settings as well. A drill asks for less, and has a
//! strict answer: how long a failover takes, in many runs that differ in the time of the fault alone. The [`bounds`] judge it.

pub mod bounds;
pub mod spread;
pub mod times;
mod watch;

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tandem_core::Time;

use crate::plan::{
    Agent, Edit, Fault, Judgement, Kind, Network, Plan, Proxy, Scheduled, Span, Switch, Topology, Workload,
};
use crate::run::{Detail, Run};
use crate::world::World;
use spread::micros;
use watch::Watch;

/// The switch that is watched.
const SWITCH: &str = "tor1";

/// When the fault begins: after everything has converged, at any time of every interval.
const CALM: Span = Span::seconds(30);
const PHASES: Span = Span::seconds(10);

/// The longest time that a fault lasts which must end before the switch can be served; the least is a second.
const PASSES: Span = Span::seconds(30);
const LONGEST: Duration = Duration::from_secs(31);

/// How long a switch must be served until the failover counts as over, and how long a fault is given until it shows.
const SETTLED: Span = Span::seconds(10);
const SHOWS: Span = Span::seconds(20);

/// The longest time that a drill waits for its end.
const PATIENCE: Span = Span::seconds(180);

/// The time of what did not come about.
pub const NEVER: u64 = u64::MAX;

/// The stream that the times of faults are drawn from.
const STREAM: u64 = 0x6472_696c;

/// A fault, at something that a switch depends on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Hit {
    AgentCrashes,
    AgentLosesPower,
    AgentHangs,
    AgentDrains,
    AgentIsolated,
    ServicesNodeDies,
    CutToAgent,
    CutFromAgent,
    AgentJammed,
    CutToProxy,
    CutFromProxy,
    SwitchJammed,
    SessionReset,
    ProxyCrashes,
    ProxyLosesPower,
    ProxyHangs,
    ProxyIsolated,
    ProxyReloads,
    VipMoves,
    VipSplits,
    SwitchReboots,
    SwitchRebootsEmpty,
    LockStolen,
    BroadcastEdited,
    ControlCrashes,
    ControlLosesPower,
    ControlIsolated,
}

/// A fault, in one of the two recommended set-ups.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Drill {
    /// `Manager` targets of each switch: 1, or 2 for the warm pair.
    pub targets: usize,
    pub hit: Hit,
}

/// What came of one run, in microseconds.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Outcome {
    pub seed: u64,
    /// Until an agent held the lock over an open way; 0 if none ever lost it. `None` if that did not come about.
    pub session_us: Option<u64>,
    /// Until every broadcast row named a services node that works.
    pub broadcast_us: Option<u64>,
    /// The longest that a MAC was missing at an agent that does not own its switch, or at a vRouter.
    pub missing_us: u64,
    /// What went wrong besides: a finding of the checks.
    pub wrong: Option<String>,
}

impl Outcome {
    /// A run that could not be measured.
    pub fn failed(seed: u64, why: String) -> Self {
        Self {
            seed,
            session_us: None,
            broadcast_us: None,
            missing_us: 0,
            wrong: Some(why),
        }
    }

    /// What it cost in all, to compare runs by.
    pub fn cost(&self) -> u64 {
        self.broadcast_us.unwrap_or(NEVER).max(self.missing_us)
    }
}

impl Hit {
    /// Each of them, once.
    pub const ALL: [Self; 27] = [
        Self::AgentCrashes,
        Self::AgentLosesPower,
        Self::AgentHangs,
        Self::AgentDrains,
        Self::AgentIsolated,
        Self::ServicesNodeDies,
        Self::CutToAgent,
        Self::CutFromAgent,
        Self::AgentJammed,
        Self::CutToProxy,
        Self::CutFromProxy,
        Self::SwitchJammed,
        Self::SessionReset,
        Self::ProxyCrashes,
        Self::ProxyLosesPower,
        Self::ProxyHangs,
        Self::ProxyIsolated,
        Self::ProxyReloads,
        Self::VipMoves,
        Self::VipSplits,
        Self::SwitchReboots,
        Self::SwitchRebootsEmpty,
        Self::LockStolen,
        Self::BroadcastEdited,
        Self::ControlCrashes,
        Self::ControlLosesPower,
        Self::ControlIsolated,
    ];

    /// What is hit, in words that follow the kind of the fault.
    pub const fn place(self) -> &'static str {
        match self {
            Self::AgentCrashes
            | Self::AgentLosesPower
            | Self::AgentHangs
            | Self::AgentDrains
            | Self::AgentIsolated
            | Self::ServicesNodeDies => "owner",
            Self::CutToAgent => "proxy to owner",
            Self::CutFromAgent => "owner to proxy",
            Self::AgentJammed => "proxy and owner",
            Self::CutToProxy => "switch to proxy",
            Self::CutFromProxy => "proxy to switch",
            Self::SwitchJammed | Self::SessionReset => "switch and proxy",
            Self::ProxyCrashes
            | Self::ProxyLosesPower
            | Self::ProxyHangs
            | Self::ProxyIsolated
            | Self::ProxyReloads => "proxy",
            Self::VipMoves | Self::VipSplits => "virtual IP",
            Self::SwitchReboots => "switch, keeps its database",
            Self::SwitchRebootsEmpty => "switch, loses its database",
            Self::LockStolen => "lock",
            Self::BroadcastEdited => "broadcast rows",
            Self::ControlCrashes | Self::ControlLosesPower | Self::ControlIsolated => "control node",
        }
    }

    /// The kind of the fault.
    pub fn kind(self) -> Kind {
        self.fault("agent-a").kind()
    }

    /// Whether no agent can serve the switch until the fault has ended: time counts from there.
    pub const fn must_pass(self) -> bool {
        matches!(
            self,
            Self::CutToProxy
                | Self::CutFromProxy
                | Self::SwitchJammed
                | Self::SwitchReboots
                | Self::SwitchRebootsEmpty
                | Self::LockStolen
        )
    }

    /// Whether the other agent could go on over its own connection.
    const fn is_of_owner(self) -> bool {
        matches!(
            self,
            Self::AgentCrashes
                | Self::AgentLosesPower
                | Self::AgentHangs
                | Self::AgentDrains
                | Self::AgentIsolated
                | Self::ServicesNodeDies
                | Self::CutToAgent
                | Self::CutFromAgent
                | Self::AgentJammed
                | Self::CutToProxy
                | Self::CutFromProxy
                | Self::SwitchJammed
        )
    }

    fn fault(self, owner: &str) -> Fault {
        let (agent, node) = (owner.to_owned(), owner.to_owned());
        let (switch, proxy, control) = (SWITCH.to_owned(), "proxy-1".to_owned(), "control-1".to_owned());
        match self {
            Self::AgentCrashes => Fault::Crash { node },
            Self::AgentLosesPower => Fault::PowerLoss { node },
            Self::AgentHangs => Fault::Pause { node },
            Self::AgentDrains => Fault::Drain { agent },
            Self::AgentIsolated => Fault::Isolate { node },
            Self::ServicesNodeDies => Fault::TsnDeath { agent },
            Self::CutToAgent => Fault::Cut { from: proxy, to: agent },
            Self::CutFromAgent => Fault::Cut { from: agent, to: proxy },
            Self::AgentJammed => Fault::Jam { from: proxy, to: agent },
            Self::CutToProxy => Fault::Cut {
                from: switch,
                to: proxy,
            },
            Self::CutFromProxy => Fault::Cut {
                from: proxy,
                to: switch,
            },
            Self::SwitchJammed => Fault::Jam {
                from: switch,
                to: proxy,
            },
            Self::SessionReset => Fault::Reset {
                between: switch,
                and: proxy,
            },
            Self::ProxyCrashes => Fault::Crash { node: proxy },
            Self::ProxyLosesPower => Fault::PowerLoss { node: proxy },
            Self::ProxyHangs => Fault::Pause { node: proxy },
            Self::ProxyIsolated => Fault::Isolate { node: proxy },
            Self::ProxyReloads => Fault::Reload { proxy },
            Self::VipMoves => Fault::MoveVip,
            Self::VipSplits => Fault::SplitVip,
            Self::SwitchReboots => Fault::Reboot {
                switch,
                keeps_database: true,
            },
            Self::SwitchRebootsEmpty => Fault::Reboot {
                switch,
                keeps_database: false,
            },
            Self::LockStolen => Fault::Steal { switch },
            Self::BroadcastEdited => Fault::Edit {
                switch,
                what: Edit::DeleteBroadcast,
            },
            Self::ControlCrashes => Fault::Crash { node: control },
            Self::ControlLosesPower => Fault::PowerLoss { node: control },
            Self::ControlIsolated => Fault::Isolate { node: control },
        }
    }
}

impl Drill {
    /// Each fault with one target, and with two where that makes a difference.
    pub fn all() -> impl Iterator<Item = Self> {
        let of = |targets| move |hit| Self { targets, hit };
        let warm = Hit::ALL.into_iter().filter(|hit| hit.is_of_owner());
        Hit::ALL.into_iter().map(of(1)).chain(warm.map(of(2)))
    }

    /// The plan of a seed: the time of the fault is drawn, and it hits the owner of that time. `None` if there is none.
    pub fn plan(self, seed: u64) -> Option<Plan> {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(STREAM);
        let mut below = |span: Span| Span::micros(generator.next_u64() % span.as_micros());
        let at = Span::micros(CALM.as_micros() + below(PHASES).as_micros());
        let lasts = Span::micros(1_000_000 + below(PASSES).as_micros());
        let mut plan = recommended(self.targets, seed);
        let place = self.hit.place().replace([' ', ','], "-").replace("--", "-");
        plan.name = format!("{}-{place}-{}", self.hit.kind(), self.targets);
        let owner = owner(&plan, at)?;
        plan.faults = vec![Scheduled {
            at,
            lasts: self.hit.must_pass().then_some(lasts),
            fault: self.hit.fault(&owner),
        }];
        Some(plan)
    }
}

/// Runs the plan of a drill until its switch is served again, for good.
pub fn run(plan: &Plan) -> Outcome {
    let mut run = Run::new(plan, Detail::Outcome);
    let mut watch = Watch::new(plan, SWITCH);
    let counts_from = watch.counts_from();
    let after = |span: Span| counts_from + span.duration();
    loop {
        let going = run.step(&mut |entry| watch.on_event(entry));
        watch.inspect(run.world());
        let now = run.world().now();
        let rests = now >= after(SHOWS) && watch.is_served_for(now, SETTLED.duration()) && !run.misses_macs();
        if !going || rests || now >= after(PATIENCE) {
            break;
        }
    }
    let (session_us, broadcast_us) = watch.times();
    Outcome {
        seed: plan.seed,
        session_us,
        broadcast_us,
        missing_us: micros(run.longest_absence()),
        wrong: run.violations().first().map(|it| format!("{}: {}", it.check, it.what)),
    }
}

/// Two agents with a peer link and the hold, two control nodes, two proxies; whatever else has defaults, has those of the
/// book. A second switch and a vRouter receive the routes of the first.
fn recommended(targets: usize, seed: u64) -> Plan {
    let topology = Topology {
        switches: 2,
        proxies: 2,
        control_nodes: 2,
        vrouters: 1,
        targets,
        ..Topology::default()
    };
    Plan {
        name: String::new(),
        seed,
        duration: Span::seconds(600),
        topology,
        network: Network::default(),
        agent: Agent {
            pair: true,
            tsn_probe: true,
            remember: true,
            stale_hold: Span::seconds(300),
            brake_rows: 20,
            ..Agent::default()
        },
        proxy: Proxy::default(),
        switch: Switch::default(),
        workload: Workload::default(),
        judgement: Judgement::default(),
        #[cfg(feature = "mutants")]
        mutant: None,
        faults: Vec::new(),
    }
}

/// The agent that owns the switch at this time, if nothing breaks before.
fn owner(plan: &Plan, at: Span) -> Option<String> {
    let at = Time::from_micros(at.as_micros());
    let mut world = World::new(plan, false);
    while world.next_at().is_some_and(|next| next < at) {
        world.step();
        while world.poll_entry().is_some() {}
    }
    let switch = world.switches().find(|switch| switch.name == SWITCH)?;
    Some(world.master(switch)?.agent.name.to_owned())
}
