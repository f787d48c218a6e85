//! A run: a world and its judges, through faults to convergence.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use tandem_core::Time;

use crate::absence::Times;
use crate::bounds;
use crate::check::{Judges, Memories, Violation};
use crate::failover::{Failover, Stopwatch};
use crate::model::{self, Pending};
use crate::plan::Plan;
use crate::world::World;
use crate::world::log::{ActorEvent, Chain, Entry};

/// How often to look whether everything has converged: comparing all tables takes long.
const PENDING_EVERY: Duration = Duration::from_millis(250);

/// Every row of every switch may be pending; a sentence names this many.
const PENDING_NAMED: usize = 5;

/// What a run writes down, beside what comes of it.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Detail {
    /// Nothing.
    #[default]
    Outcome,
    /// The hash of its log.
    Chain,
    /// That, and at each event how its session stood.
    Sessions,
}

/// A world under judgement.
#[derive(Clone, Debug)]
pub struct Run {
    world: World,
    judges: Judges,
    stopwatch: Stopwatch,
    chain: Option<Chain>,
    violations: Vec<Violation>,
    excused: usize,
    last_entry: u64,
    /// When it was looked last at what has not converged.
    pending_at: Time,
    /// What programs that had done a lot remembered at rest; they have been started anew since.
    used: Option<Memories>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Safety {
        until: Time,
    },
    Liveness {
        until: Time,
    },
    /// Everything has converged, and was withdrawn.
    Rest {
        until: Time,
        converged: Time,
    },
    Over {
        converged: Option<Time>,
    },
}

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub plan: String,
    pub seed: u64,
    /// What must not have been, in order. The run ends at the first.
    pub violations: Vec<Violation>,
    /// Violations that the plan excuses.
    pub excused: usize,
    /// What a plan demands must fail, and did not.
    pub missed: Option<String>,
    /// The hash of the whole log, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// Things done, and events logged.
    pub steps: u64,
    pub entries: u64,
    /// Simulated microseconds.
    pub simulated_us: u64,
    /// From the end of the faults to convergence, in microseconds.
    pub converged_us: Option<u64>,
    pub failovers: Vec<Failover>,
    /// How long MACs were missing at agents that do not own their switch and at vRouters.
    pub missing_us: Times,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn ok(&self) -> bool {
        self.violations.is_empty() && self.missed.is_none()
    }
}

impl Run {
    /// A run of this plan; nothing has happened yet. More detail takes more time, and changes nothing else.
    pub fn new(plan: &Plan, detail: Detail) -> Self {
        let world = World::new(plan, detail == Detail::Sessions);
        Self {
            judges: Judges::default(),
            stopwatch: Stopwatch::default(),
            chain: (detail >= Detail::Chain).then(Chain::default),
            violations: Vec::new(),
            excused: 0,
            last_entry: 0,
            pending_at: Time::ORIGIN,
            used: None,
            phase: Phase::Safety {
                until: Time::from_micros(world.plan().duration.as_micros()),
            },
            world,
        }
    }

    /// Runs to the end. `observe` gets every event, in order.
    pub fn finish(mut self, mut observe: impl FnMut(&Entry)) -> Report {
        while self.step(&mut observe) {}
        self.report()
    }

    /// Does the next thing; `false` at the end.
    pub fn step(&mut self, observe: &mut dyn FnMut(&Entry)) -> bool {
        match self.phase {
            Phase::Over { .. } => return false,
            Phase::Safety { until } | Phase::Liveness { until } | Phase::Rest { until, .. }
                if self.next_at().is_none_or(|at| at > until) =>
            {
                self.phase_ends(until);
            }
            Phase::Safety { .. } | Phase::Liveness { .. } | Phase::Rest { .. } => {
                let due = self.judges.due();
                if due.is_some_and(|due| self.world.next_at().is_none_or(|at| due < at)) {
                    self.world.pass_to(due.unwrap_or_default());
                } else {
                    self.world.step();
                }
            }
        }
        self.judge(observe);
        true
    }

    /// The world, for observers.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The hash of the log so far, if it was asked for.
    pub fn chain(&self) -> Option<Chain> {
        self.chain
    }

    /// The violations found so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Whether MACs are missing somewhere now.
    pub fn misses_macs(&self) -> bool {
        self.stopwatch.misses_macs()
    }

    /// The longest time that a MAC was missing somewhere, or has been until now.
    pub fn longest_absence(&self) -> Duration {
        self.stopwatch.longest_absence(self.world.now())
    }

    fn next_at(&self) -> Option<Time> {
        [self.world.next_at(), self.judges.due()].into_iter().flatten().min()
    }

    /// Passes new events and commits to the judges.
    fn judge(&mut self, observe: &mut dyn FnMut(&Entry)) {
        let now = self.world.now();
        let crowded = self.world.steps_at_once() > bounds::STEPS_AT_ONCE;
        let mut changed = crowded || self.judges.due().is_some_and(|due| due <= now);
        let mut moved = false;
        while let Some(entry) = self.world.poll_entry() {
            changed = true;
            self.last_entry = entry.id;
            if let Some(chain) = &mut self.chain {
                chain.add(&entry);
            }
            let found = self.judges.on_event(&entry, &self.world);
            self.found(found);
            if let ActorEvent::Switch(crate::device::Event::Committed(_)) = &entry.event {
                for commit in self.world.take_commits(&entry.node) {
                    self.stopwatch.on_commit(&entry.node, &commit, &self.world);
                    let found = self.judges.on_commit(&entry.node, &commit, &self.world, entry.id);
                    self.found(found);
                }
            }
            moved |= !matches!(
                entry.event,
                ActorEvent::Agent(_) | ActorEvent::Proxy(_) | ActorEvent::Control(_) | ActorEvent::VRouter(_)
            );
            self.stopwatch.on_event(&entry, &self.world);
            observe(&entry);
        }
        if changed {
            let found = self.judges.inspect(&self.world, self.last_entry);
            self.found(found);
            if moved {
                self.stopwatch.inspect(&self.world);
            }
            if let Phase::Liveness { .. } = self.phase
                && now.since(self.pending_at) >= PENDING_EVERY
                && self.is_converged()
            {
                self.converged();
            }
        }
    }

    fn phase_ends(&mut self, until: Time) {
        match self.phase {
            Phase::Safety { .. } => {
                self.world.pass_to(until);
                self.world.heal();
                let until = until + bounds::convergence(self.world.plan());
                self.phase = Phase::Liveness { until };
            }
            Phase::Liveness { .. } => {
                self.not_converged();
                self.phase = Phase::Over { converged: None };
            }
            Phase::Rest { until, converged } => self.rest_ends(until, converged),
            Phase::Over { .. } => {}
        }
    }

    /// The healed core has converged: the run is over, or everything is withdrawn.
    fn converged(&mut self) {
        let converged = self.world.now();
        if !self.world.plan().judgement.rest {
            self.phase = Phase::Over {
                converged: Some(converged),
            };
            return;
        }
        self.world.withdraw_everything();
        let until = converged + bounds::rest(self.world.plan());
        self.phase = Phase::Rest { until, converged };
    }

    /// What is remembered after a rest is compared with what is remembered after a restart and a rest.
    fn rest_ends(&mut self, until: Time, converged: Time) {
        self.world.pass_to(until);
        self.phase = Phase::Over {
            converged: Some(converged),
        };
        if !self.is_converged() {
            return self.not_converged();
        }
        let memories = Memories::of(&self.world);
        if let Some(used) = self.used.take() {
            let found = used.beyond(&memories, &self.world, self.last_entry);
            return self.found(found);
        }
        self.used = Some(memories);
        self.world.restart_programs();
        let until = until + bounds::rest(self.world.plan());
        self.phase = Phase::Rest { until, converged };
    }

    fn not_converged(&mut self) {
        let pending = self.pending();
        let objects: BTreeSet<String> = pending.iter().flat_map(|pending| pending.objects.clone()).collect();
        let violation = Violation {
            check: "L",
            at: self.world.now(),
            entry: self.last_entry,
            objects,
            what: format!("the healed core has not converged: {}", sentence(&pending)),
        };
        self.found(vec![violation]);
    }

    fn is_converged(&mut self) -> bool {
        self.pending_at = self.world.now();
        let world = &self.world;
        let switches = world.switches().all(|switch| model::pending(world, switch).is_empty());
        switches
            && world
                .vrouters()
                .all(|vrouter| model::missing_at_vrouter(world, vrouter).is_empty())
    }

    fn pending(&self) -> Vec<Pending> {
        let world = &self.world;
        let switches = world.switches().flat_map(|switch| model::pending(world, switch));
        let vrouters = world
            .vrouters()
            .flat_map(|vrouter| model::missing_at_vrouter(world, vrouter));
        switches.chain(vrouters).collect()
    }

    fn found(&mut self, found: Vec<Violation>) {
        // That every program was started anew, no fault explains.
        let found: Vec<_> = found
            .into_iter()
            .filter(|it| self.used.is_none() || it.check != "cause")
            .collect();
        let excuses = &self.world.plan().judgement.excuse;
        let (excused, found): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|violation| excuses.iter().any(|check| check == violation.check));
        self.excused += excused.len();
        if !found.is_empty() {
            self.violations.extend(found);
            self.phase = Phase::Over { converged: None };
        }
    }

    fn report(mut self) -> Report {
        let plan = self.world.plan();
        let must_fail = plan.judgement.must_fail.clone();
        let is_missed = |check: &String| !self.violations.iter().any(|violation| violation.check == check);
        let missed = must_fail.clone().filter(is_missed);
        let healed_at = plan.duration.as_micros();
        let converged = match self.phase {
            Phase::Over { converged } => converged,
            Phase::Rest { converged, .. } => Some(converged),
            Phase::Safety { .. } | Phase::Liveness { .. } => None,
        };
        let (plan, seed) = (plan.name.clone(), plan.seed);
        self.violations
            .retain(|violation| must_fail.as_deref() != Some(violation.check));
        Report {
            plan,
            seed,
            violations: self.violations,
            excused: self.excused + self.judges.excused(),
            missed,
            chain: self.chain.map(|chain| chain.to_string()),
            steps: self.world.steps(),
            entries: self.last_entry,
            simulated_us: self.world.now().micros(),
            converged_us: converged.map(|at| at.micros().saturating_sub(healed_at)),
            failovers: self.stopwatch.failovers(),
            missing_us: self.stopwatch.missing(),
        }
    }
}

/// What is pending and why, of the first.
fn sentence(pending: &[Pending]) -> String {
    let named = pending.iter().take(PENDING_NAMED);
    let mut named: Vec<_> = named
        .map(|pending| format!("{}: {}", pending.objects.join(" "), pending.why))
        .collect();
    if let more @ 1.. = pending.len().saturating_sub(PENDING_NAMED) {
        named.push(format!("and {more} more"));
    }
    named.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_much_that_is_pending_the_first_is_named_and_the_rest_counted() {
        let pending = |number: usize| -> Vec<_> {
            let pending = |number| Pending {
                objects: vec!["tor1".into(), format!("row {number}")],
                why: "missing".into(),
            };
            (1..=number).map(pending).collect()
        };
        assert_eq!(sentence(&pending(2)), "tor1 row 1: missing; tor1 row 2: missing");
        let named = sentence(&pending(100_000));
        assert!(named.ends_with("tor1 row 5: missing; and 99995 more"), "{named}");
    }
}
