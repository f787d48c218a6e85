//! `tandem sim hashes`: one hash a run, to prove that a change of the code changed no decision.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tandem_sim::plan::Plan;
use tandem_sim::run::Detail;

use super::source::Source;
use super::sweep::seeds;
use super::{Exit, Output, trial};
use crate::commands::count;
use crate::demo::{Interrupt, Progress};

/// Prints the hash of each run's event log, or compares the hashes with a recorded file
///
/// The hash of a log covers every event: its time, its node, its cause and its contents. A change that only moves code
/// leaves every hash unchanged. Record the hashes before such a change, and compare after it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem sim hashes scenarios/ --seeds 1..2000 > before.txt
  tandem sim hashes scenarios/ --seeds 1..2000 --compare before.txt

A line is the hash of a log, two spaces, and the run: `seed N`, or the file of the plan. A run that the recorded file
does not contain counts as different.

Exit codes: 0 every hash is printed, or equals the recorded one; 1 a hash differs; 2 usage or environment; 130 Ctrl-C")]
pub(super) struct Args {
    /// Plans, and folders of them
    #[arg(value_name = "FILE", required_unless_present = "seeds")]
    files: Vec<PathBuf>,
    /// The first and the last seed to run, after the files
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: Option<RangeInclusive<u64>>,
    /// Compare with the hashes in this file, and print only the runs that differ
    #[arg(long, value_name = "RECORDED")]
    compare: Option<PathBuf>,
    /// Worlds at once [default: the number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
}

/// Runs the command.
pub(super) fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    let recorded = match args.compare.as_ref().map(|file| (file, fs::read_to_string(file))) {
        None => None,
        Some((file, Ok(text))) => match parse(&text) {
            Ok(recorded) => Some(recorded),
            Err(line) => {
                let file = file.display();
                return output.refuse(format!(
                    "{file}:{line}: a line is a hash, two spaces and the name of a run"
                ));
            }
        },
        Some((file, Err(why))) => return output.refuse(format!("{} cannot be read: {why}", file.display())),
    };
    let plans = match plans(args, output.colour) {
        Ok(plans) => plans,
        Err(why) => return output.refuse(why),
    };
    let interrupt = match Interrupt::catch() {
        Ok(interrupt) => interrupt,
        Err(why) => return output.refuse(format!("Ctrl-C cannot be caught: {why}")),
    };
    let hashes = hash_all(&plans, args.jobs, &interrupt);
    if interrupt.pressed() {
        return Ok(Exit::Interrupted);
    }
    let Some(recorded) = recorded else {
        for (plan, hash) in plans.iter().zip(&hashes) {
            writeln!(output.out, "{hash}  {}", plan.name())?;
        }
        return Ok(Exit::Good);
    };
    let text = differences(plans.iter().map(Job::name).zip(hashes), &recorded);
    let different = text.lines().count();
    writeln!(
        output.out,
        "{text}{}, {different} different",
        count(plans.len(), "run", "runs")
    )?;
    Ok(if different == 0 { Exit::Good } else { Exit::Failed })
}

/// A run to hash. A seed expands to its plan only when its turn comes: plans are large.
enum Job {
    Seed(u64),
    File(Box<Source>),
}

impl Job {
    fn name(&self) -> String {
        match self {
            Self::Seed(seed) => format!("seed {seed}"),
            Self::File(source) => source.arguments.clone(),
        }
    }

    /// The hash of its log; `None` if `go_on` returned false.
    fn hash(&self, go_on: &dyn Fn() -> bool) -> Option<String> {
        let report = match self {
            Self::Seed(seed) => trial::run(&Plan::of_seed(*seed), Detail::Chain, &mut |_| (), go_on),
            Self::File(source) => trial::run(&source.plan, Detail::Chain, &mut |_| (), go_on),
        }?;
        Some(report.chain.unwrap_or_default())
    }
}

fn plans(args: &Args, colour: bool) -> Result<Vec<Job>, super::source::SourceError> {
    let files = Source::all(&args.files, colour)?.into_iter();
    let files = files.map(|source| Job::File(Box::new(source)));
    Ok(files
        .chain(args.seeds.clone().into_iter().flatten().map(Job::Seed))
        .collect())
}

/// The hashes of all runs, in their order; those that an interrupt prevented are empty.
fn hash_all(jobs: &[Job], threads: Option<u16>, interrupt: &Interrupt) -> Vec<String> {
    let threads = threads.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from);
    let progress = Progress::new();
    let next = AtomicUsize::new(0);
    let hashes = Mutex::new(vec![String::new(); jobs.len()]);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(hash) = jobs.get(index).and_then(|job| job.hash(&|| !interrupt.pressed())) else {
                        return;
                    };
                    progress.step(format!("{} of {}", index + 1, count(jobs.len(), "run", "runs")));
                    if let Ok(mut hashes) = hashes.lock()
                        && let Some(place) = hashes.get_mut(index)
                    {
                        *place = hash;
                    }
                }
            });
        }
    });
    hashes.into_inner().unwrap_or_default()
}

/// The recorded hash of each run, by its name. The error is the number of the first malformed line.
fn parse(text: &str) -> Result<BTreeMap<String, String>, usize> {
    let mut recorded = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let (hash, name) = line.split_once("  ").ok_or(index + 1)?;
        recorded.insert(name.to_owned(), hash.to_owned());
    }
    Ok(recorded)
}

/// A line for each run whose hash is not the recorded one.
fn differences(hashes: impl Iterator<Item = (String, String)>, recorded: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, hash) in hashes {
        let line = match recorded.get(&name) {
            Some(before) if *before == hash => continue,
            Some(before) => format!("{name}: was {before}, is {hash}\n"),
            None => format!("{name}: is {hash}, and was not recorded\n"),
        };
        let _ = text.write_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_hash_and_a_run_that_was_not_recorded_are_different() {
        let recorded = parse("aa  seed 1\nbb  seed 2\n").expect("a recorded file");
        let hashes = [("seed 1", "aa"), ("seed 2", "cc"), ("seed 3", "dd")];
        let hashes = hashes.map(|(name, hash)| (name.to_owned(), hash.to_owned()));
        assert_eq!(
            differences(hashes.into_iter(), &recorded),
            "seed 2: was bb, is cc\nseed 3: is dd, and was not recorded\n"
        );
    }

    #[test]
    fn a_malformed_line_is_named() {
        assert_eq!(parse("aa  seed 1\nbb\n"), Err(2));
    }

    #[test]
    fn a_seed_has_one_hash_and_two_seeds_have_two() {
        let interrupt = Interrupt::catch().expect("Ctrl-C is caught");
        let hashes = hash_all(&[Job::Seed(1), Job::Seed(1), Job::Seed(2)], None, &interrupt);
        assert_eq!(hashes.first(), hashes.get(1));
        assert_ne!(hashes.first(), hashes.get(2));
        assert!(hashes.iter().all(|hash| !hash.is_empty()), "{hashes:?}");
    }
}
