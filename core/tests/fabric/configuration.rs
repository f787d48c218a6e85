//! Two control nodes that serve different configurations.

use tandem_core::Vni;
use tandem_core::control::Inventory;

use super::net::{Net, mac, network};
use super::pair;

fn with_vni(vni: u32, revision: u64) -> impl FnOnce(&mut Inventory) {
    move |inventory| {
        inventory.networks.get_mut(&network()).expect("it").vni = Vni::new(vni).expect("a VNI");
        inventory.revision = revision;
    }
}

#[test]
fn an_agent_with_an_outdated_control_node_follows_a_newer_one_as_soon_as_there_is_one() {
    let mut net = pair();
    net.learn(0, 0, mac(1));
    net.configure_one(0, with_vni(6000, 2));
    net.pass(5);
    let key = |vni: u32| format!("{vni}-{},0.0.0.0/32", mac(1));
    assert_eq!(net.keys(0), [key(6000)]);
    net.kill_node(0);
    net.pass(60);
    assert!(net.words.contains("RevisionOutdated"));
    assert_eq!(net.keys(1), [key(6000)], "the other is a revision behind");
    net.start_node(0);
    net.pass(60);
    net.configure_one(0, with_vni(7000, 3));
    net.pass(5);
    assert_eq!(net.keys(0), [key(7000)]);
    assert!(!net.words.contains("Contradicted"));
}

#[test]
fn another_content_of_the_same_revision_is_named() {
    let mut net = Net::new(1, 2);
    net.run_to_rest();
    let disagrees = |net: &Net| net.status(0).control_nodes.iter().any(|node| node.disagrees);
    net.configure_one(1, with_vni(6000, 1));
    net.pass(4);
    assert!(
        !net.words.contains("Contradicted"),
        "the difference may be about to end"
    );
    net.pass(2);
    assert!(net.words.contains("Contradicted") && disagrees(&net));
    net.configure_one(1, with_vni(5000, 1));
    net.pass(1);
    assert!(!disagrees(&net));
}

#[test]
fn a_control_node_that_stays_behind_is_named_and_one_that_goes_ahead_is_followed() {
    let mut net = Net::new(1, 2);
    net.run_to_rest();
    let served = |net: &Net| -> Vec<_> {
        let nodes = net.status(0).control_nodes;
        let served = nodes
            .iter()
            .map(|node| (node.configures, node.revision, node.disagrees));
        served.collect()
    };
    assert_eq!(served(&net), [(true, Some(1), false), (false, Some(1), false)]);
    net.configure_one(1, with_vni(6000, 2));
    net.pass(6);
    assert_eq!(served(&net), [(false, Some(1), true), (true, Some(2), false)]);
    assert_eq!(net.status(0).revision, Some(2));
    assert!(net.words.contains("RevisionOutdated"));
    net.configure_one(0, with_vni(6000, 2));
    net.pass(1);
    assert_eq!(served(&net), [(false, Some(2), false), (true, Some(2), false)]);
    // The control node in force is lost: the other serves the same configuration.
    net.kill_node(1);
    net.pass(60);
    assert_eq!(served(&net)[0], (true, Some(2), false));
    assert!(!net.words.contains("Contradicted"));
}

#[test]
fn a_control_node_that_was_outdated_and_then_contradicts_is_named_again() {
    let mut net = Net::new(1, 2);
    net.run_to_rest();
    net.configure_one(0, with_vni(6000, 2));
    net.pass(6);
    assert!(net.words.contains("RevisionOutdated") && !net.words.contains("Contradicted"));
    net.configure_one(1, with_vni(7000, 2));
    net.pass(2);
    assert!(
        !net.words.contains("Contradicted"),
        "the difference may be about to end"
    );
    net.pass(4);
    assert!(net.words.contains("Contradicted"));
}

#[test]
fn a_control_node_that_was_outdated_and_catches_up_is_followed_again() {
    let mut net = Net::new(1, 1);
    net.run_to_rest();
    net.configure_one(0, with_vni(6000, 2));
    net.kill_node(0);
    net.stale(with_vni(5000, 1));
    net.start_node(0);
    net.pass(60);
    let served = |net: &Net| {
        let node = net.status(0).control_nodes.remove(0);
        (node.configures, node.revision, node.disagrees)
    };
    assert_eq!(served(&net), (false, Some(1), true));
    net.configure_one(0, with_vni(7000, 2));
    net.pass(6);
    assert_eq!(served(&net), (true, Some(2), false));
}
