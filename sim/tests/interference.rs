//! Another program undoes what agents write, or a switch has no room.

#![allow(clippy::disallowed_methods, reason = "a test reads its files")]

use std::collections::BTreeMap;
use std::path::Path;

use tandem_core::event::LogEvent;
use tandem_sim::plan::Plan;
use tandem_sim::run::{Detail, Run};

/// Runs a scenario, which must go well. Answers how often each word occurred.
fn words(name: &str) -> BTreeMap<&'static str, usize> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../scenarios/{name}.toml"));
    let plan = Plan::parse(&std::fs::read_to_string(file).expect("a scenario")).expect("a plan");
    let mut words = BTreeMap::new();
    let report = Run::new(&plan, Detail::Outcome).finish(|entry| *words.entry(entry.event.word()).or_default() += 1);
    assert!(report.ok(), "{report:?}");
    words
}

#[test]
fn a_fight_over_a_mac_takes_few_transactions_and_is_named() {
    let words = words("another-writer-undoes");
    let repairs = words.get("Repaired").copied().unwrap_or(0);
    assert!((10..60).contains(&repairs), "{repairs} repairs in two minutes");
    let lines = words.get("Contested").copied().unwrap_or(0);
    assert!((1..=4).contains(&lines), "{lines} lines");
}

#[test]
fn a_switch_without_room_is_probed_and_nothing_is_quarantined() {
    let words = words("switch-without-room");
    let of = |word| words.get(word).copied().unwrap_or(0);
    assert!(of("WritesStopped") > 0 && of("WritesResumed") > 0, "{words:?}");
    assert!((1..60).contains(&of("TransactionRejected")), "{words:?}");
    assert_eq!(of("Quarantined"), 0);
}
