//! A run in words: the verdict, what was wrong, and how it came to that, in lines of a hundred columns.

use std::io::{self, Write};

use tandem_core::Time;
use tandem_sim::check::Violation;
use tandem_sim::plan::Plan;
use tandem_sim::run::Report;
use tandem_sim::world::log::Entry;

use super::trial;
use crate::commands::count;

const COLUMNS: usize = 100;

/// Links of a chain of causes that are shown.
const LINKS: usize = 15;

/// Violations of one run that are shown.
const VIOLATIONS: usize = 10;

/// `ok    agent-crash   converged in 3.204 s, 12345 steps in 600 s, 2 failovers`, in one line.
pub(super) fn verdict(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let steps = format!(
        "{} steps in {} of the world",
        report.steps,
        seconds(report.simulated_us)
    );
    let text = match (report.ok(), report.converged_us) {
        (false, _) => {
            let checks = report.violations.iter().map(|violation| violation.check);
            let mut checks: Vec<_> = checks.chain(report.missed.is_some().then_some("too little")).collect();
            checks.dedup();
            format!("{} after {steps}", checks.join(", "))
        }
        (true, Some(after)) => format!("converged in {}, {steps}", seconds(after)),
        (true, None) => format!("wrong as it must be, after {steps}"),
    };
    let failovers = match report.failovers.len() {
        0 => String::new(),
        number => format!(", {}", count(number, "failover", "failovers")),
    };
    let excused = match report.excused {
        0 => String::new(),
        number => format!(", {number} excused"),
    };
    let word = if report.ok() { "ok" } else { "FAIL" };
    writeln!(out, "{word:<5} {:<34} {text}{failovers}{excused}", report.plan)
}

/// Everything that was wrong, and how it came to the first of it.
pub(super) fn failure(out: &mut dyn Write, plan: &Plan, report: &Report) -> io::Result<()> {
    for violation in report.violations.iter().take(VIOLATIONS) {
        writeln!(out)?;
        self::violation(out, violation)?;
    }
    if let Some(more) = report.violations.len().checked_sub(VIOLATIONS).filter(|more| *more > 0) {
        writeln!(out, "\n... and {more} more")?;
    }
    if let Some(check) = &report.missed {
        writeln!(out, "\n{check} must fail in this plan, and it did not")?;
    }
    if let Some(first) = report.violations.first() {
        causes(out, &chain(plan, first))?;
    }
    Ok(())
}

/// The command that shows it again, alone on the last line.
pub(super) fn replay(out: &mut dyn Write, command: &str) -> io::Result<()> {
    writeln!(out, "\nTo see it again:\n{command}")
}

/// What was wrong: check, time, event, objects, and the sentence.
pub(super) fn violation(out: &mut dyn Write, violation: &Violation) -> io::Result<()> {
    let Violation {
        check,
        at,
        entry,
        objects,
        what,
    } = violation;
    let objects = objects.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    wrapped(out, "", &format!("{check} at {}, event {entry}: {objects}", time(*at)))?;
    wrapped(out, "  ", what)
}

/// A text in lines that begin like this and, where their words are short enough, have at most a hundred columns.
pub(super) fn wrapped(out: &mut dyn Write, indent: &str, text: &str) -> io::Result<()> {
    for line in lines(text, COLUMNS.saturating_sub(indent.len())) {
        writeln!(out, "{indent}{line}")?;
    }
    Ok(())
}

/// Simulated time in seconds, to the millisecond.
pub(super) fn time(at: Time) -> String {
    seconds(at.micros())
}

fn seconds(micros: u64) -> String {
    format!("{}.{:03} s", micros / 1_000_000, micros / 1000 % 1000)
}

/// The event at which it was seen, what led to that, and so on, from a second run that is the same as the first.
fn chain(plan: &Plan, violation: &Violation) -> Vec<Entry> {
    let mut entries = Vec::new();
    trial::run(plan, true, &mut |entry| entries.push(entry.clone()), &|| true);
    let find = |id: u64| {
        let place = usize::try_from(id.checked_sub(1)?).ok()?;
        entries.get(place).cloned()
    };
    std::iter::successors(find(violation.entry), |entry| find(entry.cause))
        .take(LINKS)
        .collect()
}

fn causes(out: &mut dyn Write, chain: &[Entry]) -> io::Result<()> {
    let Some(oldest) = chain.last() else {
        return Ok(());
    };
    writeln!(out, "\nHow it came to that, the last event first:")?;
    for entry in chain {
        let head = format!(
            "{:>8} {:>12}  {:<10} {:<17} ",
            entry.id,
            entry.at.to_string(),
            entry.who,
            entry.what.word()
        );
        let texts = lines(&entry.what.to_string(), COLUMNS.saturating_sub(head.len()));
        writeln!(out, "{head}{}", texts.first().map_or("", String::as_str))?;
        for text in texts.iter().skip(1) {
            writeln!(out, "{:width$}{text}", "", width = head.len())?;
        }
    }
    match oldest.cause {
        0 => writeln!(out, "   which came from the plan"),
        cause => writeln!(out, "   which came from event {cause}; --log shows it"),
    }
}

fn lines(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let text = "name = 'x'\nseed = 1\nduration = '5s'\n[[fault]]\nat = '1s'\nfor = '2s'\nkind = 'crash'\nnode = 'agent-a'\n";
        Plan::parse(text).expect("a plan")
    }

    fn violation() -> Violation {
        let mut started = None;
        let mut hear = |entry: &Entry| {
            if entry.what.word() == "Started" {
                started = Some((entry.id, entry.at));
            }
        };
        trial::run(&plan(), false, &mut hear, &|| true);
        let (entry, at) = started.expect("it is started again");
        Violation {
            check: "S2",
            at,
            entry,
            objects: ["tor1", "agent-a"].map(String::from).into(),
            what: "a sentence that is long enough ".repeat(6),
        }
    }

    #[test]
    fn a_failure_is_told_with_its_objects_and_its_causes_back_to_the_plan() {
        let mut report = trial::run(&plan(), false, &mut |_| (), &|| true).expect("a report");
        report.violations = vec![violation()];
        let mut out = Vec::new();
        failure(&mut out, &plan(), &report).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert!(
            text.contains("S2 at 3.000 s, event") && text.contains(": agent-a, tor1\n"),
            "{text}"
        );
        assert!(
            text.contains("Started") && text.contains("FaultBegins       #1 crash agent-a"),
            "{text}"
        );
        assert!(text.ends_with("   which came from the plan\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
    }

    #[test]
    fn long_words_are_kept_whole() {
        assert_eq!(lines("a bb ccc dddddddd e", 4), ["a bb", "ccc", "dddddddd", "e"]);
        assert_eq!(lines("", 4), Vec::<String>::new());
    }
}
