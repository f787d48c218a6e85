//! `tandem sim failovers`: what one fault costs under the recommended settings, and whether that is within its bounds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use serde::Serialize;
use tandem_sim::drill::spread::Spread;
use tandem_sim::drill::times::Times;
use tandem_sim::drill::{self, Drill, NEVER, Outcome, bounds};
use tandem_sim::plan::Plan;

use super::{Exit, Output, panics};
use crate::commands::count;
use crate::demo::Interrupt;

/// Measures the failover after each single fault under the recommended settings, and compares it with its bounds
///
/// Each row is one fault that hits the owner of a switch, or what it depends on, in many runs: they differ in the time of
/// the fault. The row below gives the bounds. Ctrl-C ends it without a verdict.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem sim failovers
  tandem sim failovers --runs 1000 --json
  tandem sim failovers --page docs/src/failover-times.md
  tandem sim failovers --save slow

Exit codes: 0 all is within its bounds, 1 something is not, 2 usage or environment, 130 Ctrl-C")]
pub(super) struct Args {
    /// Runs for each fault
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    runs: u64,
    /// Worlds at once [default: the number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Print one JSON object as the last line
    #[arg(long)]
    json: bool,
    /// Exit with 1 if the table between `<!-- failovers -->` and `<!-- /failovers -->` in this page is another one
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Write the plan of the slowest run of each fault that exceeds its bounds into this folder
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

/// What a fault cost, what it may cost, and what is wrong with that.
#[derive(Debug, Serialize)]
struct Row {
    fault: &'static str,
    hits: &'static str,
    targets: usize,
    runs: usize,
    /// In microseconds.
    measured_us: Times,
    bound_us: Times,
    wrong: Vec<String>,
}

#[derive(Serialize)]
struct Summary<'a> {
    ok: bool,
    failovers: &'a [Row],
}

/// Runs the command.
pub(super) fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    let interrupt = match Interrupt::catch() {
        Ok(interrupt) => interrupt,
        Err(why) => return output.refuse(format!("Ctrl-C cannot be caught: {why}")),
    };
    let page = match args.page.as_ref().map(fs::read_to_string).transpose() {
        Ok(page) => page,
        Err(why) => return output.refuse(format!("--page: {why}")),
    };
    let drills: Vec<Drill> = Drill::all().collect();
    let all = measure(&drills, args, &interrupt);
    if interrupt.pressed() {
        return Ok(Exit::Interrupted);
    }
    let rows: Vec<Row> = drills
        .iter()
        .zip(&all)
        .map(|(drill, outcomes)| row(*drill, outcomes))
        .collect();
    let table = table(&rows);
    writeln!(output.out, "{table}")?;
    for wrong in rows.iter().flat_map(|row| &row.wrong) {
        writeln!(output.out, "{wrong}")?;
    }
    let exceeded = rows.iter().filter(|row| !row.wrong.is_empty()).count();
    let verdict = match exceeded {
        0 => "ok    every fault is within its bounds".to_owned(),
        more => format!("FAIL  {} out of bounds", count(more, "fault", "faults")),
    };
    writeln!(output.out, "{verdict}")?;
    let is_shown = page.is_none_or(|page| shows(&page, &table));
    if !is_shown {
        writeln!(
            output.out,
            "FAIL  the page has another table between its marks: the one above belongs there"
        )?;
    }
    let ok = exceeded == 0 && is_shown;
    let unsaved = args
        .save
        .as_deref()
        .map_or(Ok(()), |folder| save(folder, &drills, &rows, &all));
    if args.json {
        let failovers = &*rows;
        output.json(&Summary { ok, failovers })?;
    }
    if let Err(why) = unsaved {
        return output.refuse(format!("--save: {why}"));
    }
    Ok(if ok { Exit::Good } else { Exit::Failed })
}

/// The outcomes of each drill, in the order of their seeds, whatever the number of worlds at once.
fn measure(drills: &[Drill], args: &Args, interrupt: &Interrupt) -> Vec<Vec<Outcome>> {
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let mut all: Vec<Vec<Outcome>> = vec![Vec::new(); drills.len()];
    thread::scope(|scope| {
        let (results, collected) = mpsc::channel();
        for _ in 0..args.jobs.map_or_else(cores, usize::from) {
            let (results, next) = (results.clone(), &next);
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(drill) = drills.get(place) else { return };
                    let outcomes = (1..=args.runs).take_while(|_| !interrupt.pressed());
                    let outcomes: Vec<_> = outcomes.map(|seed| outcome(*drill, seed)).collect();
                    if results.send((place, outcomes)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        for (place, outcomes) in collected {
            all[place] = outcomes;
        }
    });
    all
}

/// A run that panics, or has no owner that could be hit, never recovers.
fn outcome(drill: Drill, seed: u64) -> Outcome {
    let done = panics::catch(|| drill.plan(seed).map(|plan| drill::run(&plan)));
    let without = |why: String| Outcome::failed(seed, why);
    match done {
        Ok(Some(outcome)) => outcome,
        Ok(None) => without("no agent owned the switch before the fault".into()),
        Err(panic) => without(format!("panic at {}: {}", panic.place, panic.text)),
    }
}

fn row(drill: Drill, outcomes: &[Outcome]) -> Row {
    let (measured_us, bound_us) = (Times::of(outcomes), bounds::of(drill));
    let name = format!(
        "{} ({}, {} targets)",
        drill.hit.kind(),
        drill.hit.place(),
        drill.targets
    );
    let exceeded = measured_us.beyond(&bound_us);
    let mut wrong: Vec<String> = exceeded.into_iter().map(|what| format!("{name}: {what}")).collect();
    let failed = |outcome: &Outcome| Some(format!("{name}, run {}: {}", outcome.seed, outcome.wrong.as_ref()?));
    wrong.extend(outcomes.iter().find_map(failed));
    Row {
        fault: drill.hit.kind().name(),
        hits: drill.hit.place(),
        targets: drill.targets,
        runs: outcomes.len(),
        measured_us,
        bound_us,
        wrong,
    }
}

/// As the book has it.
fn table(rows: &[Row]) -> String {
    let three = |one: &str, two: &str, three: &str| format!("{one:>8} {two:>8} {three:>8}");
    let measures = ["session", "broadcast", "missing MACs"]
        .map(|it| format!("{it:>26}"))
        .join("  ");
    let head = [
        three("p50", "p99", "max"),
        three("p50", "p99", "max"),
        three("p50", "p99", "max"),
    ]
    .join("  ");
    let mut lines = vec![
        format!("{:<45} {measures}", "Milliseconds; each second row gives the bounds"),
        format!("{:<10} {:<26} {:>7} {head}", "fault", "hits", "targets"),
    ];
    let cells = |times: &Times| {
        let ms = |micros: u64| match micros {
            NEVER => "never".to_owned(),
            micros => format!("{:.1}", micros as f64 / 1000.0),
        };
        let cells = |spread: Spread| three(&ms(spread.p50), &ms(spread.p99), &ms(spread.max));
        [times.session, times.broadcast, times.missing].map(cells).join("  ")
    };
    for row in rows {
        let measured = cells(&row.measured_us);
        lines.push(format!(
            "{:<10} {:<26} {:>7} {measured}",
            row.fault, row.hits, row.targets
        ));
        lines.push(format!("{:<45} {}", "", cells(&row.bound_us)));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Whether a page has this table between its marks: the same words, and numbers that differ by a tenth at most. The last
/// digit changes with every order of things.
fn shows(page: &str, table: &str) -> bool {
    let marked = page.split_once("<!-- failovers -->\n```text\n");
    let shown = marked.and_then(|(_, rest)| rest.split_once("```\n<!-- /failovers -->"));
    let is_alike = |(shown, right): (&str, &str)| match (shown.parse::<f64>(), right.parse::<f64>()) {
        (Ok(shown), Ok(right)) => (shown - right).abs() <= 0.1 * right.max(10.0),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => shown == right,
    };
    shown.is_some_and(|(shown, _)| {
        let (shown, right): (Vec<_>, Vec<_>) = (shown.split_whitespace().collect(), table.split_whitespace().collect());
        shown.len() == right.len() && shown.into_iter().zip(right).all(is_alike)
    })
}

/// Writes the plan of the slowest run of each fault with something wrong; answers why that cannot be.
fn save(folder: &Path, drills: &[Drill], rows: &[Row], all: &[Vec<Outcome>]) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|why| format!("no such folder can be made: {why}"))?;
    for ((drill, row), outcomes) in drills.iter().zip(rows).zip(all) {
        let slowest = outcomes.iter().max_by_key(|it| (it.wrong.is_some(), it.cost()));
        let slowest = slowest.filter(|_| !row.wrong.is_empty());
        let Some(plan) = slowest.and_then(|it| drill.plan(it.seed)) else {
            continue;
        };
        let comment: String = row.wrong.iter().map(|wrong| format!("# {wrong}\n")).collect();
        write(folder, &plan, &comment)?;
    }
    Ok(())
}

fn write(folder: &Path, plan: &Plan, comment: &str) -> Result<(), String> {
    let file = folder.join(format!("{}-{}.toml", plan.name, plan.seed));
    let text = format!("{comment}\n{}", plan.to_toml());
    fs::write(&file, text).map_err(|why| format!("{} cannot be written: {why}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_a_table_whose_numbers_differ_by_a_tenth_at_most() {
        let page = "before\n<!-- failovers -->\n```text\ncrash  owner 1010.0 0.0\n```\n<!-- /failovers -->\nafter";
        assert!(shows(page, "crash  owner 1010.0 0.0\n"));
        assert!(shows(page, "crash owner 1050.0  0.5"));
        assert!(!shows(page, "crash owner 1200.0 0.0"));
        assert!(!shows(page, "pause owner 1010.0 0.0"));
        assert!(!shows(page, "crash owner 1010.0 0.0 0.0"));
        assert!(!shows("no marks", "crash owner 1010.0 0.0"));
    }

    #[test]
    fn a_run_beyond_its_bounds_is_wrong_and_so_is_one_that_could_not_be_measured() {
        let drill = Drill::all().next().expect("a drill");
        let bound = bounds::of(drill);
        let outcome = |session_us| Outcome {
            seed: 1,
            session_us: Some(session_us),
            broadcast_us: Some(session_us),
            missing_us: 0,
            wrong: None,
        };
        assert!(row(drill, &[outcome(bound.session.p50)]).wrong.is_empty());
        assert!(!row(drill, &[outcome(bound.session.p50 + 5_000_000)]).wrong.is_empty());
        let failed = row(drill, &[Outcome::failed(7, "panic".into())]).wrong;
        assert!(failed.iter().any(|it| it.ends_with("run 7: panic")), "{failed:?}");
    }
}
