use super::*;
use crate::plan::{Fault, Kind, Role, Scheduled, Span, Switch};

/// A plan with 30 faults and more of everything than is needed, in which a cut comes before a crash of `agent-a`.
fn large() -> Plan {
    let plans = (0..).map(Plan::of_seed);
    let mut plan = plans
        .into_iter()
        .find(|plan| plan.faults.len() == 30 && plan.topology.switches == 6)
        .expect("a plan");
    plan.faults[7] = fault(
        plan.faults[7].at,
        Fault::Cut {
            from: "tor2".into(),
            to: "proxy-1".into(),
        },
    );
    plan.faults[23] = fault(plan.faults[23].at, Fault::Crash { node: "agent-a".into() });
    assert_eq!(plan.check(), Ok(()));
    plan
}

fn fault(at: Span, fault: Fault) -> Scheduled {
    Scheduled {
        at,
        lasts: Some(Span::micros(17_384_713)),
        fault,
    }
}

fn crash_after_cut(plan: &Plan) -> bool {
    let mut faults = plan.faults.iter().map(|fault| &fault.fault);
    faults.any(|fault| fault.kind() == Kind::Cut)
        && faults.any(|fault| matches!(fault, Fault::Crash { node } if node == "agent-a"))
}

#[test]
fn of_thirty_faults_the_two_that_it_takes_are_left() {
    let least = shrink(&large(), crash_after_cut, 10_000);
    let Plan { name, seed, .. } = large();
    insta::assert_snapshot!(
        least
            .to_toml()
            .replace(&name, "NAME")
            .replace(&format!("seed = {seed}"), "seed = SEED")
    );
}

#[test]
fn what_was_shrunk_cannot_be_shrunk_further() {
    let least = shrink(&large(), crash_after_cut, 10_000);
    assert_eq!(shrink(&least, crash_after_cut, 10_000), least);
}

#[test]
fn the_budget_is_kept_and_what_is_returned_has_failed() {
    for budget in [0, 1, 7, 50] {
        let mut runs = 0;
        let least = shrink(
            &large(),
            |plan| {
                runs += 1;
                crash_after_cut(plan)
            },
            budget,
        );
        assert!(runs <= budget, "{runs} of {budget}");
        assert!(crash_after_cut(&least));
    }
}

#[test]
fn progress_is_reported_after_each_run_and_never_grows() {
    let mut reported = Vec::new();
    let least = shrink_with_progress(&large(), crash_after_cut, 10_000, |progress| {
        reported.push((progress.runs, progress.best.faults.len()));
    });
    assert!(reported.iter().map(|(runs, _)| *runs).eq(1..=reported.len()));
    assert!(reported.is_sorted_by(|(_, one), (_, next)| one >= next));
    assert_eq!(reported.last().map(|(_, faults)| *faults), Some(least.faults.len()));
}

#[test]
fn thirty_faults_take_few_runs() {
    let mut runs = 0;
    shrink_with_progress(&large(), crash_after_cut, 10_000, |_| runs += 1);
    assert!(runs < 300, "{runs} runs");
}

#[test]
fn unneeded_nodes_are_removed_and_the_others_move_up() {
    let mut plan = large();
    plan.faults = vec![fault(Span::seconds(5), Fault::Crash { node: "tor5".into() })];
    let crash_of_a_switch = |plan: &Plan| {
        let mut nodes = plan.faults.iter().flat_map(|fault| fault.fault.nodes());
        nodes.any(|(name, _)| plan.topology.role(name) == Some(Role::Switch))
    };
    let least = shrink(&plan, crash_of_a_switch, 10_000);
    assert_eq!(least.topology.switches, 1);
    assert_eq!(least.faults[0].fault, Fault::Crash { node: "tor1".into() });
}

#[test]
fn what_it_takes_stays() {
    let plan = large();
    let takes = |plan: &Plan| {
        plan.topology.switches >= 3
            && plan.topology.remote_macs >= 2
            && plan.workload.local_changes_per_h > 0
            && plan.duration >= Span::seconds(37)
    };
    let mut plan = Plan {
        switch: Switch::default(),
        ..plan
    };
    plan.topology.remote_macs = 83;
    plan.workload.local_changes_per_h = 5;
    let least = shrink(&plan, takes, 10_000);
    assert_eq!((least.topology.switches, least.topology.remote_macs), (3, 2));
    assert_eq!((least.workload.local_changes_per_h, least.faults.len()), (5, 0));
    assert_eq!(least.duration, Span::seconds(60), "the first nice time from 37 s on");
}
