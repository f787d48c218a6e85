use std::collections::BTreeSet;

use super::*;
use crate::plan::{Fault, Kind};

#[test]
fn no_seed_makes_a_plan_that_is_refused() {
    for seed in 0..10_000 {
        let plan = Plan::of_seed(seed);
        assert_eq!(plan.check(), Ok(()), "seed {seed}");
        let faults = plan.faults.len();
        assert!((5..=55).contains(&faults), "seed {seed} has {faults} faults");
    }
}

#[test]
fn a_seed_makes_the_same_plan_every_time() {
    for seed in 0..100 {
        assert_eq!(Plan::of_seed(seed), Plan::of_seed(seed));
    }
    assert_ne!(Plan::of_seed(1).faults, Plan::of_seed(2).faults);
}

#[test]
fn an_early_seed_has_no_fault_of_a_later_kind() {
    let plans = (0..LATER).map(Plan::of_seed);
    assert!(
        plans
            .clone()
            .all(|plan| !plan.switch.drops_moved && !plan.switch.lockless)
    );
    assert!(plans.clone().all(|plan| plan.switch.rows_per_transaction_max.is_none()));
    let later = [
        Kind::Intrude,
        Kind::Twin,
        Kind::Expire,
        Kind::Disk,
        Kind::Undo,
        Kind::Full,
        Kind::Maint,
    ];
    assert!(plans.flat_map(|plan| kinds(&plan)).all(|kind| !later.contains(&kind)));
}

#[test]
fn together_seeds_try_every_kind_and_each_leaves_some_out() {
    let mut all = BTreeSet::new();
    let mut most = 0;
    for seed in LATER..LATER + 1000 {
        let kinds: BTreeSet<Kind> = kinds(&Plan::of_seed(seed));
        most = most.max(kinds.len());
        all.extend(kinds);
    }
    assert!(all.insert(Kind::Undo), "scenarios alone have it");
    assert_eq!(all, BTreeSet::from(Kind::ALL));
    assert!(most < Kind::ALL.len(), "{most} kinds in a plan");
}

#[test]
fn together_seeds_try_every_schema_and_every_size() {
    let plans: Vec<Plan> = (0..1000).map(Plan::of_seed).collect();
    let schemas: BTreeSet<&str> = plans.iter().map(|plan| plan.switch.schema.as_str()).collect();
    assert_eq!(schemas.len(), 10);
    for switches in 1..=6 {
        assert!(
            plans.iter().any(|plan| plan.topology.switches == switches),
            "{switches}"
        );
    }
    assert!(
        plans
            .iter()
            .any(|plan| plan.topology.agents == 3 && plan.topology.proxies == 2)
    );
}

#[test]
fn faults_overlap_in_most_plans() {
    let overlapping = (0..1000).map(Plan::of_seed).filter(|plan| {
        let pairs = plan.faults.windows(2);
        let mut ends = pairs.map(|pair| pair[0].lasts.map(|lasts| plan_end(pair[0].at, lasts) > pair[1].at));
        ends.any(|overlaps| overlaps == Some(true))
    });
    assert!(overlapping.count() > 800);
}

#[test]
fn what_no_check_can_see_is_over_before_the_core_is_healed() {
    for plan in (0..1000).map(Plan::of_seed) {
        for scheduled in &plan.faults {
            let unseen = matches!(
                scheduled.fault,
                Fault::Cut { .. } | Fault::Jam { .. } | Fault::Slow { .. } | Fault::Tls { .. } | Fault::SplitVip
            );
            if unseen {
                let lasts = scheduled.lasts.expect("an end");
                assert!(
                    plan_end(scheduled.at, lasts) < plan.duration,
                    "{}: {scheduled}",
                    plan.name
                );
            }
        }
    }
}

#[test]
fn a_switch_without_a_probe_is_spared_silence() {
    let mut seen = 0;
    for plan in (0..1000).map(Plan::of_seed) {
        if plan.switch.inactivity_probe == Some(Span::ZERO) {
            seen += 1;
            let silent = [Kind::PowerLoss, Kind::Pause, Kind::Cut, Kind::Isolate, Kind::Jam];
            assert!(
                plan.faults
                    .iter()
                    .all(|fault| fault.lasts.is_some() || fault.fault.kind().is_momentary())
            );
            assert!(silent.iter().all(|kind| !kinds(&plan).contains(kind)), "{}", plan.name);
        }
    }
    assert!(seen > 10, "{seen} plans");
}

fn kinds(plan: &Plan) -> BTreeSet<Kind> {
    plan.faults.iter().map(|fault| fault.fault.kind()).collect()
}

fn plan_end(at: Span, lasts: Span) -> Span {
    Span::micros(at.as_micros() + lasts.as_micros())
}
