//! What a sweep has seen so far: sums, never the runs themselves.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tandem_sim::failover::Failover;
use tandem_sim::run::Report;

use super::histogram::Histogram;
use crate::commands::sim::trial;

/// Sums over seeds; the same in whatever order they come.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub seeds: u64,
    /// Things done in all worlds.
    pub events: u64,
    /// Simulated microseconds.
    pub simulated_us: u64,
    pub failed: BTreeMap<u64, Failure>,
    /// By the kind of fault that they began with.
    pub failover: BTreeMap<&'static str, Times>,
    /// How long MACs were missing, in microseconds, by the kind of fault that had begun last.
    pub missing: BTreeMap<&'static str, Histogram>,
}

/// A seed that failed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Failure {
    pub seed: u64,
    /// The check that found something first.
    pub check: String,
    pub objects: BTreeSet<String>,
    pub what: String,
    /// The command that shows it again.
    pub replay: String,
}

/// How long failovers took, in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    pub session: Histogram,
    pub broadcast: Histogram,
}

impl Failure {
    /// What is wrong in a report of a seed.
    pub(super) fn of(seed: u64, report: &Report) -> Option<Self> {
        let (check, what) = trial::wrong(report)?;
        Some(Self {
            seed,
            check: check.to_owned(),
            objects: report
                .violations
                .first()
                .map(|found| found.objects.clone())
                .unwrap_or_default(),
            what,
            replay: format!("tandem sim run --seed {seed}"),
        })
    }

    /// Two runs of the seed were not the same.
    pub(super) fn differs(seed: u64) -> Self {
        Self {
            seed,
            check: "determinism".into(),
            objects: BTreeSet::new(),
            what: "two runs of this seed differ".into(),
            replay: format!("tandem sim run --seed {seed} --check-determinism"),
        }
    }
}

impl Tally {
    /// Adds the run of one seed, and what was wrong with it.
    pub(super) fn add(&mut self, report: &Report, failure: Option<Failure>) {
        self.seeds += 1;
        self.events += report.steps;
        self.simulated_us += report.simulated_us;
        self.failed.extend(failure.map(|failure| (failure.seed, failure)));
        for Failover {
            fault,
            session_us,
            broadcast_us,
            ..
        } in &report.failovers
        {
            let times = self.failover.entry(fault).or_default();
            times.session.add(*session_us);
            times.broadcast.add(*broadcast_us);
        }
        for (fault, missing_us) in &report.missing_us {
            let missing = self.missing.entry(fault).or_default();
            missing_us.iter().for_each(|micros| missing.add(*micros));
        }
    }
}
