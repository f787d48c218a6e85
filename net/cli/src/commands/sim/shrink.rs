//! `tandem sim shrink`: of a plan that fails, what it takes.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tandem_sim::check::Violation;
use tandem_sim::plan::shrink::shrink_with_progress;
use tandem_sim::plan::{Plan, Role};
use tandem_sim::run::{Detail, Report};

use super::source::{Source, quoted};
use super::trial;
use super::{Exit, Output, saved, show};
use crate::commands::count;
use crate::demo::Interrupt;

/// Makes a plan that fails smaller: fewer faults, nodes and changes, rounder and shorter times
///
/// A smaller plan is taken when it fails in the same way: the first violation is one of the same check, and one of its
/// objects is an object of the first violation of the whole plan. Where nodes have been left out, others have moved up
/// to their names; then any node of the same role counts as the same object. Ctrl-C ends it with the smallest so far.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem sim shrink --seed 7
  tandem sim shrink --seed 7 --out scenarios/regressions/seven.toml

Exit codes: 0 it is smaller, or cannot be; 2 the plan cannot be read, or does not fail")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Write the plan there, and not to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Runs, at most
    #[arg(long, value_name = "N", default_value_t = 2000)]
    runs: usize,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The plan
    file: Option<PathBuf>,
    /// The plan that this seed expands to
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Runs the command.
pub(super) fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    let source = match (&args.which.file, args.which.seed) {
        (Some(file), _) => Source::file(file, output.colour),
        (None, seed) => Ok(Source::seed(seed.unwrap_or_default())),
    };
    let source = match source {
        Ok(source) => source,
        Err(why) => return output.refuse(why),
    };
    let interrupt = match Interrupt::catch() {
        Ok(interrupt) => interrupt,
        Err(why) => return output.refuse(format!("Ctrl-C cannot be caught: {why}")),
    };
    let go_on = || !interrupt.pressed();
    let Some(report) = tried(&source.plan, &go_on) else {
        return Ok(Exit::Interrupted);
    };
    let Some(violation) = report.violations.first() else {
        return output.refuse(nothing_to_shrink(&source, &report));
    };
    let (mut least, runs) = search(&source.plan, violation, args.runs, &go_on);
    let Some(report) = tried(&least, &|| true) else {
        return Ok(Exit::Interrupted);
    };
    let runs = count(runs, "run", "runs");
    let sentences = [
        format!("Shrunk in {runs} from `tandem sim run {}`:", source.arguments),
        format!("{} to {}.", size(&source.plan), size(&least)),
    ];
    if let Some(name) = args.out.as_deref().and_then(Path::file_stem) {
        least.name = name.to_string_lossy().into_owned();
    }
    let text = saved::text(&least, &report, &sentences);
    match &args.out {
        Some(file) => match write(file, &text) {
            Ok(()) => print(file, &least, &report, &sentences, output.out)?,
            Err(why) => return output.refuse(format!("{} cannot be written: {why}", file.display())),
        },
        None => write!(output.out, "{text}")?,
    }
    Ok(Exit::Good)
}

/// Why a plan without a violation cannot be shrunk.
fn nothing_to_shrink(source: &Source, report: &Report) -> String {
    let missed = report
        .missed
        .as_ref()
        .map(|check| format!(": {check} must fail in it and did not, and less cannot show why"));
    format!(
        "tandem sim run {} finds no violation{}",
        source.arguments,
        missed.unwrap_or_default()
    )
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    file.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(file, text)
}

/// Prints the plan that was written, its violation, and the command that shows it.
fn print(file: &Path, least: &Plan, report: &Report, sentences: &[String], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{least}")?;
    for sentence in sentences {
        writeln!(out, "{sentence}")?;
    }
    if let Some(violation) = report.violations.first() {
        writeln!(out)?;
        show::violation(out, violation)?;
    }
    let file = quoted(&file.display().to_string());
    show::replay(out, &format!("tandem sim run {file}"))
}

/// The smallest plan that fails in the same way, and how many runs that took.
fn search(plan: &Plan, violation: &Violation, most: usize, go_on: &dyn Fn() -> bool) -> (Plan, usize) {
    let style = ProgressStyle::with_template("{spinner} {pos} of at most {len} runs, {msg}, {elapsed}");
    let bar = ProgressBar::new(most as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(100));
    let fails = |smaller: &Plan| {
        let found = tried(smaller, go_on).and_then(|report| report.violations.into_iter().next());
        found.is_some_and(|found| is_same(&found, smaller, violation, plan))
    };
    let mut runs = 0;
    let least = shrink_with_progress(plan, fails, most, |progress| {
        runs = progress.runs;
        bar.set_position(progress.runs as u64);
        bar.set_message(size(progress.best));
    });
    bar.finish_and_clear();
    (least, runs)
}

/// Whether what was found in a smaller plan is what was found in the whole one.
fn is_same(found: &Violation, smaller: &Plan, violation: &Violation, plan: &Plan) -> bool {
    // The names of roles mean nothing where nodes were left out.
    let renamed = |role: &Role| smaller.topology.names(*role).len() < plan.topology.names(*role).len();
    let objects = |violation: &Violation, of: &Plan| -> BTreeSet<String> {
        let objects = violation.objects.iter();
        let name = |object: &String| match of.topology.role(object).filter(renamed) {
            Some(role) => format!("{role:?}"),
            None => object.clone(),
        };
        objects.map(name).collect()
    };
    let (before, now) = (objects(violation, plan), objects(found, smaller));
    found.check == violation.check && (before == now || !before.is_disjoint(&now))
}

fn tried(plan: &Plan, go_on: &dyn Fn() -> bool) -> Option<Report> {
    if !go_on() {
        return None;
    }
    trial::run(plan, Detail::Outcome, &mut |_| (), go_on)
}

/// `2 faults, 5 nodes, 1m`
fn size(plan: &Plan) -> String {
    let faults = count(plan.faults.len(), "fault", "faults");
    format!("{faults}, {} nodes, {}", plan.topology.nodes().len(), plan.duration)
}

#[cfg(test)]
mod tests {
    use tandem_core::Time;

    use super::*;

    fn plan(switches: usize) -> Plan {
        let text = format!("name = 'x'\nseed = 1\nduration = '1s'\n[topology]\nswitches = {switches}\n");
        Plan::parse(&text).expect("a plan")
    }

    fn violation(check: &'static str, objects: &[&str]) -> Violation {
        Violation {
            check,
            at: Time::ORIGIN,
            entry: 1,
            objects: objects.iter().map(ToString::to_string).collect(),
            what: String::new(),
        }
    }

    #[test]
    fn a_failure_is_the_same_with_the_same_check_and_an_object_in_common() {
        let first = violation("S2", &["tor2", "blue"]);
        let same = |found: &Violation| is_same(found, &plan(3), &first, &plan(3));
        assert!(same(&violation("S2", &["tor2"])));
        assert!(same(&violation("S2", &["tor1", "blue", "red"])));
        assert!(!same(&violation("S2", &["tor1", "red"])));
        assert!(!same(&violation("S2", &[])));
        assert!(!same(&violation("S4", &["tor2", "blue"])));
        let nameless = violation("L", &[]);
        assert!(is_same(&nameless, &plan(3), &nameless, &plan(3)));
    }

    #[test]
    fn where_nodes_have_moved_up_their_role_is_what_counts() {
        let first = violation("S2", &["tor3"]);
        assert!(is_same(&violation("S2", &["tor1"]), &plan(1), &first, &plan(3)));
        assert!(!is_same(&violation("S2", &["tor1"]), &plan(3), &first, &plan(3)));
        assert!(!is_same(&violation("S2", &["agent-a"]), &plan(1), &first, &plan(3)));
    }
}
