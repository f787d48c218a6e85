//! A run in words: the verdict, and what was wrong, in lines of a hundred columns.

use std::io::{self, Write};

use tandem_sim::check::Violation;
use tandem_sim::plan::Plan;
use tandem_sim::plan::describe::shown;
use tandem_sim::run::Report;

use super::account::Account;
use super::text::{seconds, time, wrapped};
use crate::commands::count;

/// Violations of one run that are shown, and objects of a violation.
const VIOLATIONS: usize = 10;
const OBJECTS: usize = 10;

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
    let name = shown(&report.plan);
    writeln!(out, "{word:<5} {name:<34} {text}{failovers}{excused}")
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
        Account::of(plan, first).write(out)?;
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
    let named: Vec<_> = objects.iter().take(OBJECTS).map(String::as_str).collect();
    let named = named.join(", ");
    let more = match objects.len().saturating_sub(OBJECTS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    wrapped(
        out,
        "",
        &format!("{check} at {}, event {entry}: {named}{more}", time(*at)),
    )?;
    wrapped(out, "  ", what)
}

#[cfg(test)]
mod tests {
    use super::super::text::COLUMNS;
    use super::*;
    use tandem_core::Time;

    #[test]
    fn of_many_objects_the_first_are_named() {
        let violation = Violation {
            check: "L",
            at: Time::from_micros(3_000_000),
            entry: 7,
            objects: (100..200).map(|number| format!("tor{number}")).collect(),
            what: "a sentence that is long enough ".repeat(6),
        };
        let mut out = Vec::new();
        self::violation(&mut out, &violation).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert!(text.starts_with("L at 3.000 s, event 7: tor100, tor101,"), "{text}");
        assert!(text.contains("tor109 and 90 more\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
    }
}
