//! Nodes that are not who they claim to be, at control nodes and as switches.

#![allow(clippy::disallowed_methods, reason = "a test reads its files")]

use std::collections::BTreeMap;
use std::path::Path;

use tandem_core::event::LogEvent;
use tandem_sim::plan::Plan;
use tandem_sim::run::{Detail, Run};

/// Runs a scenario, which must go well. Answers how often an event of each word said something.
fn events(name: &str) -> BTreeMap<String, Vec<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../scenarios/{name}.toml"));
    let plan = Plan::parse(&std::fs::read_to_string(file).expect("a scenario")).expect("a plan");
    let mut events = BTreeMap::<String, Vec<String>>::new();
    let report = Run::new(&plan, Detail::Outcome).finish(|entry| {
        let said = format!("{}: {}", entry.node, entry.event);
        events.entry(entry.event.word().to_owned()).or_default().push(said);
    });
    assert!(report.ok(), "{report:?}");
    events
}

fn said<'a>(events: &'a BTreeMap<String, Vec<String>>, word: &str) -> &'a [String] {
    events.get(word).map_or(&[], Vec::as_slice)
}

#[test]
fn a_client_with_the_certificate_of_another_name_opens_no_session() {
    let events = events("name-taken-at-a-control-node");
    let (tries, refused) = (said(&events, "Intruding"), said(&events, "ClientRefused"));
    for name in ["agent-a", "agent-b", "vrouter-1"] {
        assert!(tries.iter().any(|it| it.ends_with(name)), "{name} was not tried");
        let refused = refused
            .iter()
            .filter(|it| it.contains(&format!("{name} ")) || it.contains(&format!("{name}:")));
        assert!(refused.clone().count() > 5, "{refused:?}");
    }
    assert!(
        refused.iter().all(|it| it.contains("does not contain the name")),
        "{refused:?}"
    );
    let ended = said(&events, "ClientDown");
    assert!(ended.iter().all(|it| !it.contains("connected again")), "{ended:?}");
}

#[test]
fn a_client_that_no_inventory_names_publishes_nothing() {
    let events = events("unknown-client-at-a-control-node");
    let refused = said(&events, "ClientRefused");
    assert!(
        refused.len() > 20,
        "{} of {}",
        refused.len(),
        said(&events, "Intruding").len()
    );
    assert!(
        refused.iter().all(|it| it.contains("does not name this client")),
        "{refused:?}"
    );
    let admitted = said(&events, "ClientUp").iter().filter(|it| it.contains("intruder"));
    assert!(
        admitted.count() > 0,
        "it was admitted at no moment without an inventory"
    );
}

#[test]
fn a_listed_client_publishes_no_tunnel_end_of_others() {
    let events = events("foreign-tunnel-end-published");
    let refused = said(&events, "RouteRefused");
    for end in ["10.9.9.66", "10.1.0.1"] {
        assert!(
            refused.iter().any(|it| it.contains("guest") && it.contains(end)),
            "{refused:?}"
        );
    }
    assert_eq!(said(&events, "ClientRefused"), [""; 0]);
}

#[test]
fn a_box_with_the_certificate_of_another_name_is_not_programmed() {
    let events = events("twin-with-another-certificate");
    let closed = said(&events, "Closed").iter().filter(|it| it.contains("certificate"));
    assert!(closed.count() > 5, "the twin hardly came");
    let written = said(&events, "Committed").iter().filter(|it| it.starts_with("twin:"));
    let by_agents: Vec<_> = written.filter(|it| it.contains("tandem agent")).collect();
    assert!(by_agents.is_empty(), "{by_agents:?}");
}

#[test]
fn of_two_boxes_with_one_name_the_one_at_another_tunnel_end_is_not_programmed() {
    let events = events("twin-at-another-tunnel-end");
    let written = said(&events, "Committed").iter().filter(|it| it.starts_with("twin:"));
    let by_agents: Vec<_> = written.filter(|it| it.contains("tandem agent")).collect();
    assert!(by_agents.is_empty(), "{by_agents:?}");
    let owners = said(&events, "Claimed").len();
    assert_eq!(owners, 2, "each switch has had one owner");
}

#[test]
fn a_certificate_that_has_ended_costs_its_switch_alone_the_owner() {
    let events = events("certificate-of-a-switch-ends");
    let refused = said(&events, "HandshakeFailed");
    assert!(refused.len() > 5, "{refused:?}");
    assert!(refused.iter().all(|it| it.contains("has ended")), "{refused:?}");
    // An agent without any other switch may not be to blame, and tries again; the one that serves tor1 stays fit.
    for agent in ["agent-a:", "agent-b:"] {
        let last = said(&events, "Graded").iter().rfind(|it| it.starts_with(agent));
        assert!(last.is_some_and(|it| it.ends_with(" fit")), "{last:?}");
    }
    let claims = said(&events, "Claimed").len();
    assert_eq!(claims, 3, "tor1 once, tor2 before and after");
}

#[test]
fn a_lock_that_fences_nothing_is_granted_and_nothing_is_written() {
    let events = events("clustered-database");
    assert!(!said(&events, "Unfenced").is_empty(), "no agent noticed");
    let written: Vec<_> = said(&events, "Committed")
        .iter()
        .filter(|it| it.contains("tandem agent"))
        .collect();
    assert!(written.is_empty(), "{written:?}");
}
