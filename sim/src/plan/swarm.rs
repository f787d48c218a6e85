//! A plan from a seed, by swarm testing: each seed leaves out many features, so that the rest meets in every
//! combination.
//!
//! A plan asks a lot, and nothing impossible: when `duration` is over and a core is healed, it must be possible to
//! converge. So a fault that no health check and no probe can see ends in time, while one that they can see may last
//! until the end.

mod choices;
mod faults;
mod identity;
mod later;
mod settings;

use super::{Judgement, Plan, Span};
use choices::Choices;

/// How long the plan of a seed goes on.
const DURATION: Span = Span::seconds(600);

/// The stream of the generator that plans are drawn from; the world draws from others.
const STREAM: u64 = 0x706c_616e;

/// Tables of the book and reports name earlier seeds: those keep their plans, and get no fault of a later kind.
const LATER: u64 = 1001;

/// One plan in so many rests at its end: that takes as long as the rest of the run.
const RESTS: u64 = 10;

/// A check that later seeds excuse and count, until a large range was judged by it: it was corrected last.
const UNSETTLED: &str = "S10";

/// The stream that faults of identity are drawn from.
const IDENTITY: u64 = 0x6e61_6d65;

/// The stream that what switches do with moved MACs is drawn from.
const MOVES: u64 = 0x6d6f_7665;

impl Plan {
    /// The plan of a seed: always the same one, and always one that [`Plan::check`] takes.
    pub fn of_seed(seed: u64) -> Self {
        let mut choices = Choices::of(seed, STREAM);
        let topology = settings::topology(&mut choices);
        let mut plan = Self {
            name: format!("swarm-{seed}"),
            seed,
            duration: DURATION,
            switch: settings::switch(&topology, &mut choices),

            network: settings::network(&mut choices),
            agent: settings::agent(&mut choices),
            proxy: settings::proxy(&mut choices),
            workload: settings::workload(&topology, &mut choices),
            topology,
            judgement: Judgement {
                rest: seed.is_multiple_of(RESTS),
                ..Judgement::default()
            },
            #[cfg(feature = "mutants")]
            mutant: None,
            faults: Vec::new(),
        };
        settings::idle_timeouts(&mut plan, &mut choices);
        plan.faults = faults::schedule(&plan, &mut choices);
        // What came later is drawn later, so that what a seed meant before it still means.
        plan.topology.control_nodes = settings::control_nodes(&mut choices);
        faults::add_of_control_nodes(&mut plan, &mut choices);
        settings::pair(&mut plan, &mut choices);
        faults::add_of_pair(&mut plan, &mut choices);
        plan.topology.vrouters = settings::vrouters(&plan.topology, &mut choices);
        faults::add_of_vrouters(&mut plan, &mut choices);
        faults::add_moves(&mut plan, &mut choices);
        if seed >= LATER {
            identity::add(&mut plan, &mut Choices::of(seed, IDENTITY));
            later::add(&mut plan);
            plan.judgement.excuse = vec![UNSETTLED.to_owned()];
            plan.switch.drops_moved = Choices::of(seed, MOVES).percent(50);
        }
        plan
    }
}

#[cfg(test)]
mod tests;
