//! `tandem sim run` and `tandem sim replay`: plans, one after the other, in detail.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;
use tandem_sim::plan::Plan;
use tandem_sim::run::{Detail, Report, Run};
use tandem_sim::world::log::COLUMNS;

use super::determinism::{self, Difference};
use super::filter::Filter;
use super::print::{self, LogFormat};
use super::source::Source;
use super::trial;
use super::{Exit, Output, show};
use crate::demo::Interrupt;

/// Runs plans, and prints the result of each
///
/// A single plan is described first; several plans, or a folder, have a line each. A failure shows the check and what it
/// found, the time, the node and the events that led to it, and ends with the command that repeats the run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem sim run scenarios/
  tandem sim run scenarios/agent-crash.toml --log
  tandem sim run --seed 7 --node tor1 --word LockPassed --from 60s --to 2m
  tandem sim run --seed 7 --check-determinism
  tandem sim run --seed 7 --toml

The log has a line for each event: its number, its time, its node, its word, the state of its session (phase, owner,
remote rows found, silent for), the number of the event that caused it, and its details.

Exit codes: 0 nothing is wrong, 1 something is, 2 a plan cannot be read or run, 130 Ctrl-C, and nothing was wrong")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Print every event, in columns or as JSON lines (then everything else goes to standard error)
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "columns")]
    log: Option<LogFormat>,
    #[command(flatten)]
    how: How,
    /// Print the plan as TOML, to save and to edit, and run nothing
    #[arg(long, conflicts_with_all = ["log", "node", "word", "from", "to", "check_determinism", "json", "quiet"])]
    toml: bool,
    #[command(flatten)]
    filter: Filter,
}

/// Runs a plan that was saved, with its log
///
/// The same as `tandem sim run FILE --log`: for the plans that `sweep --save` and `shrink --out` have written.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tandem sim replay scenarios/regressions/seven.toml

Exit codes: 0 nothing is wrong, 1 something is, 2 the plan cannot be read or run, 130 Ctrl-C")]
pub(super) struct ReplayArgs {
    /// The plan
    file: PathBuf,
    /// As columns, or as JSON lines (then everything else goes to standard error)
    #[arg(long, value_name = "FORMAT", default_value = "columns")]
    log: LogFormat,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Plans, and folders of them
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The plan that this seed expands to
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Clone, Debug, Default, clap::Args)]
struct How {
    /// Run each plan twice and compare every event; where they differ, show the first
    #[arg(long)]
    check_determinism: bool,
    /// Do not describe the plan
    #[arg(short, long)]
    quiet: bool,
    /// Print one JSON object as the last line, with a report of each run
    #[arg(long)]
    json: bool,
    /// Plant this bug in the agents
    #[cfg(feature = "mutants")]
    #[arg(long, value_name = "NAME")]
    mutant: Option<tandem_core::mutant::Mutant>,
}

/// The events to print, and their format.
#[derive(Clone, Copy, Debug)]
struct Log<'a> {
    format: LogFormat,
    filter: &'a Filter,
}

/// Runs the command.
pub(super) fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    let sources = match args.which.seed {
        Some(seed) => Ok(vec![Source::seed(seed)]),
        None => Source::all(&args.which.files, output.colour),
    };
    let sources = match sources {
        Ok(sources) => sources,
        Err(why) => return output.refuse(why),
    };
    if args.toml {
        let [source] = &sources[..] else {
            let why = format!("--toml prints one plan at a time, and these are {}", sources.len());
            return output.refuse(why);
        };
        write!(output.out, "{}", source.plan.to_toml())?;
        return Ok(Exit::Good);
    }
    // A filter without a format asks for the log, too.
    let filtered = (!args.filter.is_empty()).then_some(LogFormat::Columns);
    let log = args.log.or(filtered).map(|format| Log {
        format,
        filter: &args.filter,
    });
    all(sources, log, &args.how, output)
}

/// Runs `replay`.
pub(super) fn replay(args: &ReplayArgs, output: &mut Output<'_>) -> io::Result<Exit> {
    match Source::file(&args.file, output.colour) {
        Ok(source) => {
            let log = Log {
                format: args.log,
                filter: &args.filter,
            };
            all(vec![source], Some(log), &args.how, output)
        }
        Err(why) => output.refuse(why),
    }
}

/// The result for tools: one JSON object.
#[derive(Serialize)]
struct Summary<'a> {
    ok: bool,
    runs: &'a [Report],
}

/// Runs plan after plan; the exit code is the verdict on all of them.
fn all(sources: Vec<Source>, log: Option<Log<'_>>, how: &How, output: &mut Output<'_>) -> io::Result<Exit> {
    let interrupt = match Interrupt::catch() {
        Ok(interrupt) => interrupt,
        Err(why) => return output.refuse(format!("Ctrl-C cannot be caught: {why}")),
    };
    let go_on = || !interrupt.pressed();
    let alone = sources.len() == 1;
    let mut reports = Vec::new();
    let mut failed = Vec::new();
    for source in sources {
        let plan = planted(source.plan, how);
        if alone && !how.quiet {
            writeln!(text(output, log), "{plan}")?;
        }
        let Some((report, ok)) = judged(&plan, log, how, output, &go_on)? else {
            break;
        };
        if !ok {
            failed.push(command(&source.arguments, how));
        }
        reports.push(report);
    }
    let exit = match (failed.is_empty(), interrupt.pressed()) {
        (false, _) => Exit::Failed,
        (true, true) => Exit::Interrupted,
        (true, false) => Exit::Good,
    };
    let out = text(output, log);
    if !alone {
        writeln!(out, "\n{} of {} good", reports.len() - failed.len(), reports.len())?;
    }
    if !failed.is_empty() {
        show::replay(out, &failed.join("\n"))?;
    }
    if how.json {
        let (ok, runs) = (exit == Exit::Good, &*reports);
        output.json(&Summary { ok, runs })?;
    }
    Ok(exit)
}

/// Runs a plan, and prints the verdict; answers whether it is good. `None` if `go_on` answered false.
fn judged(
    plan: &Plan,
    log: Option<Log<'_>>,
    how: &How,
    output: &mut Output<'_>,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Option<(Report, bool)>> {
    let report = match log {
        Some(Log { format, filter }) => print::run(plan, format, filter, output.out, go_on)?,
        None => trial::run(plan, Detail::Chain, &mut |_| (), go_on),
    };
    let Some(report) = report else {
        return Ok(None);
    };
    let out = text(output, log);
    show::verdict(out, &report)?;
    let mut ok = report.ok();
    if !ok {
        show::failure(out, plan, &report)?;
    }
    if how.check_determinism {
        let Some(same) = deterministic(out, plan, &report, go_on)? else {
            return Ok(None);
        };
        ok &= same;
    }
    Ok(Some((report, ok)))
}

/// Reports whether a second run is the same, and if not, where it differs from the first; `None` if `go_on` answered false.
fn deterministic(
    out: &mut dyn Write,
    plan: &Plan,
    report: &Report,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Option<bool>> {
    let Some(same) = determinism::is_same_again(plan, report, go_on) else {
        return Ok(None);
    };
    if same {
        writeln!(
            out,
            "the same twice: {} events, {}",
            report.entries,
            report.chain.as_deref().unwrap_or_default()
        )?;
        return Ok(Some(true));
    }
    writeln!(out, "\nFAIL: two runs of this plan differ")?;
    // Once more side by side, so that no two whole logs are kept.
    match determinism::first_difference(Run::new(plan, Detail::Sessions), Run::new(plan, Detail::Sessions)) {
        Some(Difference { one, other }) => {
            writeln!(out, "The first event that differs:\n{COLUMNS}")?;
            for entry in [one, other] {
                writeln!(
                    out,
                    "{}",
                    entry.map_or_else(|| "  (it has ended)".into(), |entry| entry.to_string())
                )?;
            }
        }
        None => writeln!(out, "Side by side they do not: it does not happen every time.")?,
    }
    Ok(Some(false))
}

/// The output for people: not among JSON lines.
fn text<'a>(output: &'a mut Output<'_>, log: Option<Log<'_>>) -> &'a mut dyn Write {
    match log.map(|log| log.format) {
        Some(LogFormat::Jsonl) => output.err,
        Some(LogFormat::Columns) | None => output.out,
    }
}

fn command(arguments: &str, how: &How) -> String {
    let mut command = format!("tandem sim run {arguments}");
    if how.check_determinism {
        command += " --check-determinism";
    }
    #[cfg(feature = "mutants")]
    if let Some(mutant) = how.mutant {
        command += &format!(" --mutant {mutant}");
    }
    command
}

#[cfg(feature = "mutants")]
fn planted(mut plan: Plan, how: &How) -> Plan {
    plan.mutant = how.mutant;
    plan
}

#[cfg(not(feature = "mutants"))]
fn planted(plan: Plan, _how: &How) -> Plan {
    plan
}
