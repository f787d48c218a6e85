//! `tandem sim mutants`: whether the simulator finds the bugs that were planted for it.

use std::io;

use super::{Exit, Output};

/// Plants bugs in the agents, one after the other, and prints the number of seeds that each takes to be found
///
/// It needs a build of its own with the bugs in it; the agents of a plain build have none.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tandem sim mutants --seeds 300

Exit codes: 0 each was found, 1 one was not, 2 usage, or this build has no bugs in it, 130 Ctrl-C")]
pub(super) struct Args {
    /// The most seeds to try for each bug, from 1 on
    #[arg(long, value_name = "N", default_value_t = 300)]
    seeds: u64,
    /// Print one JSON object as the last line
    #[arg(long)]
    json: bool,
}

/// Runs the command.
#[cfg(not(feature = "mutants"))]
pub(super) fn run(_args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    writeln!(
        output.err,
        "This build has no planted bugs. Make one that has, and run it:\n\n    {COMMAND}"
    )?;
    Ok(Exit::Environment)
}

/// Runs the command.
#[cfg(feature = "mutants")]
pub(super) fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    hunt::run(args, output)
}

/// Builds the program with the bugs, beside the one without.
const COMMAND: &str = "cargo run --release -p tandem --features mutants --target-dir target/mutants -- sim mutants";

#[cfg(feature = "mutants")]
mod hunt {
    use std::io;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use serde::Serialize;
    use tandem_core::mutant::Mutant;
    use tandem_sim::plan::Plan;
    use tandem_sim::run::Detail;

    use super::{Args, COMMAND};
    use crate::commands::sim::trial;
    use crate::commands::{Exit, Output};
    use crate::demo::{Interrupt, Progress};

    /// The result for tools: one JSON object.
    #[derive(Serialize)]
    struct Summary<'a> {
        ok: bool,
        mutants: &'a [Hunted],
    }

    /// The result for one planted bug.
    #[derive(Serialize)]
    struct Hunted {
        name: &'static str,
        /// The check that found it, or the one that should have.
        check: String,
        /// `None` if no seed found it.
        seeds_to_detection: Option<u64>,
    }

    pub(super) fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
        let interrupt = match Interrupt::catch() {
            Ok(interrupt) => interrupt,
            Err(why) => return output.refuse(format!("Ctrl-C cannot be caught: {why}")),
        };
        let hunted = hunt(args.seeds, &interrupt, output)?;
        let found = hunted.iter().filter(|hunted| hunted.seeds_to_detection.is_some());
        let exit = match (found.clone().count() == hunted.len(), interrupt.pressed()) {
            (true, false) => Exit::Good,
            (true, true) => Exit::Interrupted,
            (false, _) => Exit::Failed,
        };
        writeln!(output.out, "\n{} of {} found", found.clone().count(), hunted.len())?;
        if let Some(example) = found.clone().next() {
            let (command, _) = COMMAND.rsplit_once(' ').unwrap_or((COMMAND, ""));
            let (seed, name) = (example.seeds_to_detection.unwrap_or(1), example.name);
            writeln!(
                output.out,
                "\nTo see one of them at work:\n{command} run --seed {seed} --mutant {name}"
            )?;
        }
        if args.json {
            let (ok, mutants) = (exit == Exit::Good, &*hunted);
            output.json(&Summary { ok, mutants })?;
        }
        Ok(exit)
    }

    /// Looks for one bug after the other, and prints a row for each.
    fn hunt(seeds: u64, interrupt: &Interrupt, output: &mut Output<'_>) -> io::Result<Vec<Hunted>> {
        let progress = Progress::new();
        let mut hunted = Vec::new();
        writeln!(
            output.out,
            "{:<28} {:<6} {:<12} seeds to detection",
            "planted bug", "check", "found by"
        )?;
        for mutant in Mutant::ALL {
            progress.step(format!("{mutant}"));
            let found = first(mutant, seeds, &|| !interrupt.pressed());
            if interrupt.pressed() {
                break;
            }
            let (seed, by) = match &found {
                Some((seed, by)) => (seed.to_string(), by.as_str()),
                None => (format!("survived {seeds}"), "-"),
            };
            let (name, check) = (mutant.name(), mutant.caught_by());
            writeln!(output.out, "{name:<28} {check:<6} {by:<12} {seed}")?;
            output.out.flush()?;
            hunted.push(Hunted {
                name,
                seeds_to_detection: found.as_ref().map(|(seed, _)| *seed),
                check: found.map_or_else(|| check.to_owned(), |(_, by)| by),
            });
        }
        Ok(hunted)
    }

    /// The first seed that finds it, and the check that did; the same whatever the number of cores.
    fn first(mutant: Mutant, seeds: u64, go_on: &(dyn Fn() -> bool + Sync)) -> Option<(u64, String)> {
        let (next, least) = (AtomicU64::new(1), AtomicU64::new(u64::MAX));
        let found = Mutex::new(None::<(u64, String)>);
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed > seeds.min(least.load(Ordering::Relaxed)) || !go_on() {
                            return;
                        }
                        // A seed after one that found the bug need not end.
                        let worth_it = || go_on() && seed < least.load(Ordering::Relaxed);
                        let wrong = |mut plan: Plan| {
                            plan.mutant = Some(mutant);
                            let report = trial::run(&plan, Detail::Outcome, &mut |_| (), &worth_it)?;
                            trial::wrong(&report).map(|(check, _)| check.to_owned())
                        };
                        if let Some(check) = wrong(Plan::of_seed(seed)).or_else(|| wrong(scenario(mutant, seed)?)) {
                            least.fetch_min(seed, Ordering::Relaxed);
                            let mut found = found.lock().unwrap_or_else(|broken| broken.into_inner());
                            if found.as_ref().is_none_or(|(earlier, _)| seed < *earlier) {
                                *found = Some((seed, check));
                            }
                        }
                    }
                });
            }
        });
        found.into_inner().unwrap_or_else(|broken| broken.into_inner())
    }

    /// A bug that the swarm hardly ever meets has a scenario of its own, which runs with every seed as well.
    fn scenario(mutant: Mutant, seed: u64) -> Option<Plan> {
        let text = match mutant {
            Mutant::LockNotAsserted => include_str!("../../../../../scenarios/stolen-while-writing.toml"),
            Mutant::PartialNotLife => include_str!("../../../../../scenarios/answers-in-pieces.toml"),
            Mutant::LocatorRaceNotRetried => include_str!("../../../../../scenarios/locator-race.toml"),
            Mutant::ProbeClaims => include_str!("../../../../../scenarios/unknown-agent-waits-for-the-lock.toml"),
            Mutant::RetractionTakesAll => include_str!("../../../../../scenarios/late-retraction.toml"),
            Mutant::SweptBeforeComplete => include_str!("../../../../../scenarios/xmpp-cut.toml"),
            Mutant::HoldProlonged => include_str!("../../../../../scenarios/hold-ends-while-others-flap.toml"),
            Mutant::CopyOutlivesWithdrawal => include_str!("../../../../../scenarios/withdrawal-ends-the-copy.toml"),
            Mutant::CopyOutlivesMove => include_str!("../../../../../scenarios/mac-leaves-a-dark-switch.toml"),
            Mutant::TunnelEndNotExported => include_str!("../../../../../scenarios/locator-changes.toml"),
            Mutant::SlowClientDelaysAll => include_str!("../../../../../scenarios/one-agent-reads-slowly.toml"),
            Mutant::NameNotChecked => include_str!("../../../../../scenarios/name-taken-at-a-control-node.toml"),
            Mutant::TunnelEndNotChecked => include_str!("../../../../../scenarios/foreign-tunnel-end-published.toml"),
            Mutant::SwitchNotIdentified => {
                include_str!("../../../../../scenarios/twin-with-another-certificate.toml")
            }
            Mutant::RepairsNotSlowed => include_str!("../../../../../scenarios/another-writer-undoes.toml"),
            Mutant::FirstLocatorCounts => include_str!("../../../../../scenarios/broadcast-at-two-tunnel-ends.toml"),
            Mutant::WritingCountsAsLife => {
                include_str!("../../../../../scenarios/asymmetric-cut.toml")
            }
            Mutant::BrakeWithholdsNothing => {
                include_str!("../../../../../scenarios/control-nodes-lose-the-routes-of-an-agent.toml")
            }
            Mutant::BrakeNeverReleases => {
                include_str!("../../../../../scenarios/configuration-loses-its-networks.toml")
            }
            _ => return None,
        };
        let plan = Plan::parse(text).ok()?;
        Some(Plan { seed, ..plan })
    }
}
