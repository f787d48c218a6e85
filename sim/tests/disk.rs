//! What agents remember on disk, and a site that loses its power.

#![allow(clippy::disallowed_methods, reason = "a test reads its files")]

use std::collections::BTreeSet;
use std::path::Path;

use tandem_core::event::LogEvent;
use tandem_sim::plan::{Plan, Span};
use tandem_sim::run::{Detail, Run};

fn scenario(name: &str) -> Plan {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../scenarios/{name}.toml"));
    Plan::parse(&std::fs::read_to_string(file).expect("a scenario")).expect("a plan")
}

/// The agents that claimed a switch after the power came back and before a control node did, and the words of their
/// writes; the whole run must go well.
fn claims_in_between(plan: &Plan) -> (Vec<String>, BTreeSet<String>) {
    let [from, to] = [121, 360].map(|seconds| Span::seconds(seconds).as_micros());
    let (mut claims, mut deleted) = (Vec::new(), BTreeSet::new());
    let report = Run::new(plan, Detail::Outcome).finish(|entry| {
        if !(from..to).contains(&entry.at.micros()) {
            return;
        }
        match entry.event.word() {
            "Claimed" => claims.push(entry.node.to_string()),
            "Committed" if entry.event.to_string().contains("deletions") => {
                deleted.insert(entry.event.to_string());
            }
            _ => {}
        }
    });
    assert!(report.ok(), "{report:?}");
    (claims, deleted)
}

#[test]
fn after_a_power_cut_of_the_site_each_switch_has_an_owner_before_a_control_node_is_back() {
    let (claims, deleted) = claims_in_between(&scenario("site-without-power"));
    assert_eq!(claims.len(), 2, "{claims:?}");
    assert_eq!(deleted, BTreeSet::new());
}

#[test]
fn agents_that_remember_nothing_own_no_switch_before_a_control_node_is_back() {
    let mut plan = scenario("site-without-power");
    plan.agent.remember = false;
    assert_eq!(claims_in_between(&plan).0, [""; 0]);
}

#[test]
fn a_torn_file_is_ignored_and_an_old_one_deletes_nothing() {
    let (claims, deleted) = claims_in_between(&scenario("site-without-power-and-memory"));
    assert!(claims.iter().all(|agent| agent == "agent-b"), "{claims:?}");
    assert_eq!(claims.len(), 2, "{claims:?}");
    assert_eq!(deleted, BTreeSet::new());
}
