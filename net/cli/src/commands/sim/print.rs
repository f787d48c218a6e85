//! A run whose log is printed.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};

use tandem_core::event::LogEvent;
use tandem_sim::plan::Plan;
use tandem_sim::run::{Detail, Report};
use tandem_sim::world::log::{COLUMNS, Entry};

use super::filter::Filter;
use super::trial;

/// The format of a line of the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum LogFormat {
    Columns,
    Jsonl,
}

/// Runs a plan, and prints the entries of its log that the filter takes; `None` if `go_on` answered false.
pub(super) fn run(
    plan: &Plan,
    format: LogFormat,
    filter: &Filter,
    out: &mut dyn Write,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Option<Report>> {
    let printer = RefCell::new(Printer::new(format, filter, out)?);
    let mut observe = |entry: &Entry| printer.borrow_mut().entry(entry);
    let go_on = || printer.borrow().failed.is_none() && go_on();
    let report = trial::run(plan, Detail::Sessions, &mut observe, &go_on);
    printer.into_inner().finish(report.as_ref())?;
    Ok(report)
}

struct Printer<'a> {
    out: BufWriter<&'a mut dyn Write>,
    format: LogFormat,
    filter: &'a Filter,
    shown: u64,
    nodes: BTreeSet<String>,
    words: BTreeSet<&'static str>,
    /// Why the output takes no more.
    failed: Option<io::Error>,
}

impl<'a> Printer<'a> {
    fn new(format: LogFormat, filter: &'a Filter, out: &'a mut dyn Write) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 16, out);
        if format == LogFormat::Columns {
            writeln!(out, "{COLUMNS}")?;
        }
        Ok(Self {
            out,
            format,
            filter,
            shown: 0,
            nodes: BTreeSet::new(),
            words: BTreeSet::new(),
            failed: None,
        })
    }

    fn entry(&mut self, entry: &Entry) {
        self.words.insert(entry.event.word());
        if !self.nodes.contains(&*entry.node) {
            self.nodes.insert(entry.node.to_string());
        }
        if self.failed.is_some() || !self.filter.takes(entry) {
            return;
        }
        self.shown += 1;
        let written = match self.format {
            LogFormat::Columns => writeln!(self.out, "{entry}"),
            LogFormat::Jsonl => serde_json::to_string(entry)
                .map_err(Into::into)
                .and_then(|line| writeln!(self.out, "{line}")),
        };
        self.failed = written.err();
    }

    /// Prints how much of the log was shown. If nothing was, prints the names that the filter could have taken: a name without
    /// an entry is mostly mistyped.
    fn finish(mut self, report: Option<&Report>) -> io::Result<()> {
        if let Some(why) = self.failed {
            return Err(why);
        }
        if self.format == LogFormat::Columns {
            writeln!(self.out)?;
            if let Some(report) = report.filter(|_| !self.filter.is_empty()) {
                writeln!(self.out, "{} of {} events\n", self.shown, report.entries)?;
                if self.shown == 0 {
                    let listed = |names: Vec<&str>| names.join(" ");
                    writeln!(
                        self.out,
                        "nodes  {}",
                        listed(self.nodes.iter().map(String::as_str).collect())
                    )?;
                    writeln!(self.out, "words  {}\n", listed(self.words.into_iter().collect()))?;
                }
            }
        }
        self.out.flush()
    }
}
