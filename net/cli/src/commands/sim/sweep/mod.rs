//! `tandem sim sweep`: many seeds, on every core, in sums.

mod histogram;
mod summary;
mod tally;

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tandem_sim::plan::Plan;
use tandem_sim::run::{Detail, Report};

use super::{Exit, Output, determinism, saved, trial};
use crate::demo::Interrupt;
use tally::{Failure, Tally};

/// Runs a range of seeds, and prints which failed, how fast it was, and what failovers cost
///
/// Every seed is a plan of its own: its nodes, its settings, its faults. Every hundredth runs twice, to compare the two
/// logs. Ctrl-C ends the sweep with the results so far.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem sim sweep --seeds 1..1000
  tandem sim sweep --seeds 1..50000 -j 2 --save failed
  tandem sim sweep --seeds 1..100 --json

Exit codes: 0 no seed failed, 1 one did, 2 usage or environment, 130 Ctrl-C, and none had failed")]
pub(super) struct Args {
    /// The first and the last seed
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: RangeInclusive<u64>,
    /// Worlds at once [default: the number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Print one JSON object as the last line
    #[arg(long)]
    json: bool,
    /// Write the plans of failed seeds into this folder
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

/// Of so many seeds, one runs twice.
const TWICE: u64 = 100;

/// Runs the command.
pub(super) fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    if let Some(folder) = &args.save
        && let Err(why) = fs::create_dir_all(folder)
    {
        return output.refuse(format!(
            "--save {}: no such folder can be made: {why}",
            folder.display()
        ));
    }
    let interrupt = match Interrupt::catch() {
        Ok(interrupt) => interrupt,
        Err(why) => return output.refuse(format!("Ctrl-C cannot be caught: {why}")),
    };
    let begun = Instant::now();
    let (tally, unsaved) = sweep(args, &interrupt);
    let summary = summary::Summary::new(&tally, begun.elapsed(), interrupt.pressed());
    summary.text(output.out)?;
    for why in &unsaved {
        writeln!(output.err, "{why}")?;
    }
    if args.json {
        output.json(&summary.json())?;
    }
    Ok(match (summary.ok(), tally.failed.is_empty(), unsaved.is_empty()) {
        (_, false, _) => Exit::Failed,
        (false, true, _) => Exit::Interrupted,
        (true, true, false) => Exit::Environment,
        (true, true, true) => Exit::Good,
    })
}

/// Runs the seeds, and answers with the sums and with what could not be saved.
fn sweep(args: &Args, interrupt: &Interrupt) -> (Tally, Vec<String>) {
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or_else(cores, usize::from);
    let bar = progress(&args.seeds);
    let next = AtomicU64::new(0);
    let (mut tally, mut unsaved) = (Tally::default(), Vec::new());
    thread::scope(|scope| {
        // Bounded: memory stays flat, however slow the collector is.
        let (results, collected) = mpsc::sync_channel(jobs * 2);
        for _ in 0..jobs {
            let results = results.clone();
            let (seeds, next) = (&args.seeds, &next);
            scope.spawn(move || work(seeds, next, &|| !interrupt.pressed(), &results));
        }
        drop(results);
        for (report, failure) in collected {
            if let (Some(folder), Some(failure)) = (&args.save, &failure) {
                unsaved.extend(save(folder, failure, &report).err());
            }
            tally.add(&report, failure);
            bar.set_message(format!("{} failed", tally.failed.len()));
            bar.inc(1);
        }
    });
    bar.finish_and_clear();
    (tally, unsaved)
}

/// Runs the next seed until there is none, or `go_on` answers false.
fn work(
    seeds: &RangeInclusive<u64>,
    next: &AtomicU64,
    go_on: &dyn Fn() -> bool,
    results: &SyncSender<(Report, Option<Failure>)>,
) {
    loop {
        let offset = next.fetch_add(1, Ordering::Relaxed);
        let seed = seeds.start().checked_add(offset).filter(|seed| seeds.contains(seed));
        let Some(result) = seed.and_then(|seed| tried(seed, go_on)) else {
            return;
        };
        if results.send(result).is_err() {
            return;
        }
    }
}

fn tried(seed: u64, go_on: &dyn Fn() -> bool) -> Option<(Report, Option<Failure>)> {
    let plan = Plan::of_seed(seed);
    let twice = seed.is_multiple_of(TWICE);
    let detail = if twice { Detail::Chain } else { Detail::Outcome };
    let report = trial::run(&plan, detail, &mut |_| (), go_on)?;
    let mut failure = Failure::of(seed, &report);
    if twice && !determinism::is_same_again(&plan, &report, go_on)? {
        failure = Some(Failure::differs(seed));
    }
    Some((report, failure))
}

/// Writes the plan of a seed with what was wrong on top; answers why that cannot be.
fn save(folder: &Path, failure: &Failure, report: &Report) -> Result<(), String> {
    let plan = Plan::of_seed(failure.seed);
    let file = folder.join(format!("{}.toml", plan.name));
    let text = saved::text(&plan, report, &[format!("From seed {}.", failure.seed)]);
    fs::write(&file, text).map_err(|why| format!("{} cannot be written: {why}", file.display()))
}

/// A bar on a terminal, and nothing elsewhere.
fn progress(seeds: &RangeInclusive<u64>) -> ProgressBar {
    let number = (seeds.end() - seeds.start()).saturating_add(1);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {msg}, {per_sec}, {eta} to go");
    let bar = ProgressBar::new(number).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message("0 failed");
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// `1..1000`: both are run.
pub(super) fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let wrong = || format!("`{text}` is no range of seeds, such as 1..1000");
    let (first, last) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(format!(
            "`{text}` runs backwards: the first seed comes first, such as 1..1000"
        ));
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_seeds_has_both_its_ends() {
        assert_eq!(seeds("3..5"), Ok(3..=5));
        assert_eq!(seeds("3..3"), Ok(3..=3));
        for wrong in ["5..3", "3", "..5", "3..", "3...5", "-1..5"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_last_seed_of_all_is_the_end() {
        let (next, (results, collected)) = (AtomicU64::new(1), mpsc::sync_channel(1));
        work(&(u64::MAX..=u64::MAX), &next, &|| true, &results);
        drop(results);
        assert_eq!(collected.iter().count(), 0);
    }
}
