//! `tandem sim run` and `tandem sim replay`: plans, one after the other, in detail.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde::Serialize;
use tandem_core::event::LogEvent;
use tandem_sim::plan::Plan;
use tandem_sim::run::{Detail, Report, Run};
use tandem_sim::world::log::{COLUMNS, Entry};

use super::determinism::{self, Difference};
use super::filter::Filter;
use super::source::Source;
use super::trial;
use super::{Exit, Output, refuse, show};
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

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum LogFormat {
    Columns,
    Jsonl,
}

/// What is printed of the events.
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
        Err(why) => return refuse(output, why),
    };
    if args.toml {
        let [source] = &sources[..] else {
            let why = format!("--toml prints one plan at a time, and these are {}", sources.len());
            return refuse(output, why);
        };
        write!(output.out, "{}", source.plan.to_toml())?;
        return Ok(Exit::Good);
    }
    // A filter of the log implies the log.
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
        Err(why) => refuse(output, why),
    }
}

#[derive(Serialize)]
struct Summary<'a> {
    ok: bool,
    runs: &'a [Report],
}

fn all(sources: Vec<Source>, log: Option<Log<'_>>, how: &How, output: &mut Output<'_>) -> io::Result<Exit> {
    let interrupt = match Interrupt::catch() {
        Ok(interrupt) => interrupt,
        Err(why) => return refuse(output, format!("Ctrl-C cannot be caught: {why}")),
    };
    let go_on = || !interrupt.pressed();
    let alone = sources.len() == 1;
    let mut reports = Vec::new();
    let mut again = Vec::new();
    let mut exit = Exit::Good;
    for source in sources {
        let command = command(&source.arguments, how);
        let plan = planted(source.plan, how);
        if alone && !how.quiet {
            writeln!(text(output, log), "{}", plan)?;
        }
        let Some(report) = observed(&plan, log, output, &go_on)? else {
            break;
        };
        let out = text(output, log);
        show::verdict(out, &report)?;
        let mut ok = report.ok();
        if !ok {
            show::failure(out, &plan, &report)?;
        }
        if how.check_determinism {
            let Some(same) = deterministic(out, &plan, &report, &go_on)? else {
                break;
            };
            ok &= same;
        }
        if !ok {
            exit = Exit::Failed;
            again.push(command);
        }
        reports.push(report);
    }
    if interrupt.pressed() && exit == Exit::Good {
        exit = Exit::Interrupted;
    }
    let out = text(output, log);
    if !alone {
        writeln!(out, "\n{} of {} good", reports.len() - again.len(), reports.len())?;
    }
    if !again.is_empty() {
        show::replay(out, &again.join("\n"))?;
    }
    if how.json {
        output.json(&Summary {
            ok: exit == Exit::Good,
            runs: &reports,
        })?;
    }
    Ok(exit)
}

/// Runs it and prints its log; `None` if `go_on` answered false.
fn observed(
    plan: &Plan,
    log: Option<Log<'_>>,
    output: &mut Output<'_>,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Option<Report>> {
    let Some(Log { format, filter }) = log else {
        return Ok(trial::run(plan, Detail::Chain, &mut |_| (), go_on));
    };
    let mut out = BufWriter::with_capacity(1 << 16, &mut output.out);
    if format == LogFormat::Columns {
        writeln!(out, "{COLUMNS}")?;
    }
    let failed = std::cell::Cell::new(None);
    let mut shown = 0;
    let (mut nodes, mut words) = (BTreeSet::new(), BTreeSet::new());
    let mut observe = |entry: &Entry| {
        words.insert(entry.event.word());
        if !nodes.contains(&*entry.node) {
            nodes.insert(entry.node.to_string());
        }
        if !filter.takes(entry) {
            return;
        }
        shown += 1;
        let written = match format {
            LogFormat::Columns => writeln!(out, "{entry}"),
            LogFormat::Jsonl => serde_json::to_string(entry)
                .map_err(Into::into)
                .and_then(|line| writeln!(out, "{line}")),
        };
        if let Err(why) = written {
            failed.set(Some(why));
        }
    };
    let go_on = || {
        let why = failed.take();
        let good = why.is_none();
        failed.set(why);
        good && go_on()
    };
    let report = trial::run(plan, Detail::Sessions, &mut observe, &go_on);
    if let Some(why) = failed.take() {
        return Err(why);
    }
    if format == LogFormat::Columns {
        writeln!(out)?;
        if let Some(report) = report.as_ref().filter(|_| !filter.is_empty()) {
            writeln!(out, "{shown} of {} events\n", report.entries)?;
            // A name that is not there is mostly one that was mistyped.
            if shown == 0 {
                let listed = |names: Vec<&str>| names.join(" ");
                writeln!(out, "nodes  {}", listed(nodes.iter().map(String::as_str).collect()))?;
                writeln!(out, "words  {}\n", listed(words.into_iter().collect()))?;
            }
        }
    }
    out.flush()?;
    Ok(report)
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

/// Where people read: not among JSON lines.
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
