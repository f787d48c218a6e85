//! A sweep in words: which seeds failed, how fast it was, and what failovers cost.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::histogram::Histogram;
use super::tally::{Failure, Tally, Times};
use crate::commands::count;
use crate::commands::sim::{show, text};

/// The result of a sweep.
pub(super) struct Summary<'a> {
    tally: &'a Tally,
    took: Duration,
    /// An interrupt ended it before it was done.
    interrupted: bool,
}

/// Failed seeds that are printed one by one; JSON has all.
const FAILED: usize = 20;

impl<'a> Summary<'a> {
    pub(super) fn new(tally: &'a Tally, took: Duration, interrupted: bool) -> Self {
        Self {
            tally,
            took,
            interrupted,
        }
    }

    /// Every seed was run, and none failed.
    pub(super) fn ok(&self) -> bool {
        self.tally.failed.is_empty() && !self.interrupted
    }

    /// For people. Where seeds failed, the last line shows the first of them again.
    pub(super) fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Tally {
            seeds,
            events,
            simulated_us,
            failed,
            ..
        } = self.tally;
        let verdict = match (self.interrupted, failed.is_empty()) {
            (_, false) => format!("FAIL  {} of {seeds} seeds", failed.len()),
            (true, true) => format!("interrupted after {}", count_of(*seeds)),
            (false, true) => format!("ok    {}", count_of(*seeds)),
        };
        writeln!(
            out,
            "{verdict}, {} s: {events} events, {} simulated s",
            self.seconds(),
            simulated_us / 1_000_000
        )?;
        writeln!(
            out,
            "      {} events/s, {} simulated s/s",
            self.events_per_s(),
            self.sim_seconds_per_s()
        )?;
        self.failovers(out)?;
        self.missing(out)?;
        self.failures(out)
    }

    /// For tools.
    pub(super) fn json(&self) -> impl Serialize + use<'a> {
        let of_fault = |times: &Times| OfFault {
            count: times.session.count(),
            session_ms: Percentiles::of(&times.session),
            broadcast_ms: Percentiles::of(&times.broadcast),
        };
        Json {
            ok: self.ok(),
            seeds: self.tally.seeds,
            failed: self.tally.failed.values().collect(),
            events: self.tally.events,
            events_per_s: self.events_per_s(),
            sim_seconds_per_s: self.sim_seconds_per_s(),
            failover: (self.tally.failover.iter())
                .map(|(fault, times)| (*fault, of_fault(times)))
                .collect(),
            missing: (self.tally.missing.iter())
                .map(|(fault, times)| (*fault, Missing::of(times)))
                .collect(),
        }
    }

    fn failovers(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.tally.failover.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\nFailovers in ms, from the fault to the next owner (session) and its broadcast rows (broadcast)"
        )?;
        writeln!(out, "{:<12} {:>7}  {:>29}  {:>29}", "", "", "session", "broadcast")?;
        let head = format!("{:>9} {:>9} {:>9}", "p50", "p99", "max");
        writeln!(out, "{:<12} {:>7}  {head}  {head}", "fault", "number")?;
        for (fault, times) in &self.tally.failover {
            let [session, broadcast] = [&times.session, &times.broadcast].map(|times| {
                let Percentiles { p50, p99, max } = Percentiles::of(times);
                format!("{p50:>9.1} {p99:>9.1} {max:>9.1}")
            });
            writeln!(out, "{fault:<12} {:>7}  {session}  {broadcast}", times.session.count())?;
        }
        Ok(())
    }

    fn missing(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.tally.missing.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\nMissing MACs in ms, at each vRouter and each agent that does not own the switch, until back"
        )?;
        writeln!(
            out,
            "{:<12} {:>7}  {:>9} {:>9} {:>9}",
            "fault", "number", "p50", "p99", "max"
        )?;
        for (fault, times) in &self.tally.missing {
            let Percentiles { p50, p99, max } = Percentiles::of(times);
            writeln!(
                out,
                "{fault:<12} {:>7}  {p50:>9.1} {p99:>9.1} {max:>9.1}",
                times.count()
            )?;
        }
        Ok(())
    }

    fn failures(&self, out: &mut dyn Write) -> io::Result<()> {
        let failed = &self.tally.failed;
        let Some(first) = failed.values().next() else {
            return Ok(());
        };
        writeln!(out)?;
        for Failure {
            seed,
            check,
            objects,
            what,
            replay,
        } in failed.values().take(FAILED)
        {
            let objects: String = objects.iter().map(|object| format!(" {object}")).collect();
            text::wrapped(out, "", &format!("seed {seed}: {check}{objects}"))?;
            text::wrapped(out, "  ", what)?;
            writeln!(out, "  {replay}")?;
        }
        let mut checks: BTreeMap<&str, usize> = BTreeMap::new();
        for failure in failed.values() {
            *checks.entry(&failure.check).or_default() += 1;
        }
        let checks: Vec<_> = checks
            .iter()
            .map(|(check, number)| format!("{check} {number}"))
            .collect();
        writeln!(out, "\nfailed seeds by check: {}", checks.join(", "))?;
        show::replay(out, &first.replay)
    }

    fn seconds(&self) -> f64 {
        rounded(self.took.as_secs_f64(), 10.0)
    }

    fn events_per_s(&self) -> f64 {
        self.rate(self.tally.events as f64)
    }

    fn sim_seconds_per_s(&self) -> f64 {
        self.rate(self.tally.simulated_us as f64 / 1e6)
    }

    fn rate(&self, number: f64) -> f64 {
        rounded(number / self.took.as_secs_f64().max(1e-6), 1.0)
    }
}

/// The keys of the JSON line, in this order.
#[derive(Serialize)]
struct Json<'a> {
    ok: bool,
    seeds: u64,
    failed: Vec<&'a Failure>,
    /// Things done in all worlds.
    events: u64,
    events_per_s: f64,
    sim_seconds_per_s: f64,
    failover: BTreeMap<&'a str, OfFault>,
    missing: BTreeMap<&'a str, Missing>,
}

#[derive(Serialize)]
struct OfFault {
    count: u64,
    session_ms: Percentiles,
    broadcast_ms: Percentiles,
}

#[derive(Serialize)]
struct Missing {
    count: u64,
    ms: Percentiles,
}

impl Missing {
    fn of(times: &Histogram) -> Self {
        Self {
            count: times.count(),
            ms: Percentiles::of(times),
        }
    }
}

/// In milliseconds.
#[derive(Serialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
    max: f64,
}

impl Percentiles {
    fn of(times: &Histogram) -> Self {
        let millis = |micros: u64| rounded(micros as f64 / 1000.0, 10.0);
        Self {
            p50: millis(times.percentile(50)),
            p99: millis(times.percentile(99)),
            max: millis(times.max()),
        }
    }
}

fn count_of(seeds: u64) -> String {
    count(usize::try_from(seeds).unwrap_or(usize::MAX), "seed", "seeds")
}

fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use tandem_sim::failover::Failover;
    use tandem_sim::run::Report;

    use super::*;

    #[test]
    fn a_sweep_is_printed_with_its_failovers_and_ends_with_the_first_failure() {
        let mut tally = Tally::default();
        for seed in 1..=22 {
            tally.add(&report(seed), (seed > 1).then(|| Failure::differs(seed)));
        }
        let summary = Summary::new(&tally, Duration::from_secs(2), false);
        let mut text = Vec::new();
        summary.text(&mut text).expect("written");
        let text = String::from_utf8(text).expect("text");
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn tools_get_the_same_in_json() {
        let mut tally = Tally::default();
        tally.add(&report(1), None);
        tally.add(&report(2), Some(Failure::differs(2)));
        let summary = Summary::new(&tally, Duration::from_secs(2), false);
        insta::assert_snapshot!(serde_json::to_string_pretty(&summary.json()).expect("JSON"));
    }

    #[test]
    fn a_sweep_that_was_interrupted_is_not_good() {
        let (tally, took) = (Tally::default(), Duration::ZERO);
        assert!(Summary::new(&tally, took, false).ok());
        let summary = Summary::new(&tally, took, true);
        let mut text = Vec::new();
        summary.text(&mut text).expect("written");
        assert!(!summary.ok() && text.starts_with(b"interrupted after 0 seeds, "));
    }

    fn report(seed: u64) -> Report {
        let failover = |fault, session_us| Failover {
            fault,
            switch: "tor1".into(),
            session_us,
            broadcast_us: session_us + 7000,
        };
        Report {
            plan: format!("swarm-{seed}"),
            seed,
            violations: Vec::new(),
            excused: 0,
            missed: None,
            chain: None,
            steps: 100_000,
            entries: 5,
            simulated_us: 600_000_000,
            converged_us: Some(1),
            failovers: vec![failover("crash", seed * 40_000), failover("power_loss", 12_345_678)],
            missing_us: [("crash", vec![seed * 50_000; 3])].into(),
        }
    }
}
