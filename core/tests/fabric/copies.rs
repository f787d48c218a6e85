//! With hold: each agent keeps copies of the routes of the other one.

use super::*;

/// The same pair, holding copies for five minutes; agent 0 owns both switches.
fn holding_pair() -> Net {
    let mut net = Net::holding(2, 2, Some(Duration::from_secs(300)));
    net.run_to_rest();
    net.own(0, 0);
    net.own(1, 1);
    net.learn(0, 0, mac(1));
    net.learn(0, 0, mac(2));
    net.audited(0, 0);
    net
}

#[test]
fn with_copies_no_mac_is_missing_through_a_takeover_and_what_is_not_there_any_more_goes_after_it() {
    let mut net = holding_pair();
    net.end(0, 0);
    net.pass(30);
    net.own(1, 0);
    net.learn(1, 0, mac(1));
    assert_eq!(
        net.imported(1, 1, mac(2)),
        Some(vtep(0)),
        "the new owner may still find it"
    );
    net.audited(1, 0);
    assert_eq!(net.imported(1, 1, mac(1)), Some(vtep(0)));
    assert!(!net.missed(1, 1, mac(1)));
    assert_eq!(net.imported(1, 1, mac(2)), None, "the new owner has not found it");
    assert_eq!(sequence(&net, 1, 1), Some(1));
}

#[test]
fn with_copies_an_agent_that_dies_with_its_node_leaves_its_routes_to_the_other() {
    let mut net = holding_pair();
    net.is_peer_link_cut = true;
    net.cut(0);
    net.pass(60);
    assert!(!net.missed(1, 1, mac(1)));
    net.pass(250);
    assert_eq!(net.imported(1, 1, mac(1)), None, "no owner for five minutes");
}

#[test]
fn with_copies_a_mac_that_an_owner_takes_back_goes_as_soon_as_it_is_known_to_live() {
    let mut net = holding_pair();
    net.lose(0, 0, mac(1));
    net.pass(2);
    assert_eq!(net.imported(1, 1, mac(1)), None);
    assert_eq!(net.imported(1, 1, mac(2)), Some(vtep(0)));
}

#[test]
fn with_copies_an_agent_that_is_cut_off_for_longer_than_they_are_held_brings_none_back() {
    let mut net = holding_pair();
    net.is_peer_link_cut = true;
    net.cut(1);
    net.lose(0, 0, mac(1));
    net.pass(400);
    net.restore(1);
    net.pass(60);
    assert_eq!(net.keys(0).len(), 1, "mac 2 alone");
    assert_eq!(net.imported(1, 1, mac(1)), None);
}

#[test]
fn with_copies_an_owner_that_loses_its_control_nodes_takes_nothing_back() {
    let mut net = holding_pair();
    net.pass(5);
    net.cut(0);
    net.pass(60);
    assert_eq!(net.imported(1, 1, mac(1)), Some(vtep(0)));
    net.restore(0);
    net.pass(60);
    assert!(!net.missed(1, 1, mac(1)));
    net.lose(0, 0, mac(1));
    net.pass(5);
    assert_eq!(net.imported(1, 1, mac(1)), None, "its withdrawals count again");
}

#[test]
fn with_copies_an_agent_that_comes_back_forgets_none_before_its_control_nodes_have_received_them_again() {
    let mut net = holding_pair();
    net.is_peer_link_cut = true;
    net.cut(0);
    net.slow = true;
    net.cut(1);
    net.restore(1);
    net.pass(60);
    assert!(net.is_complete(1, 1));
    assert_eq!(
        net.imported(1, 1, mac(1)),
        Some(vtep(0)),
        "the control nodes do not have that route yet"
    );
    net.arrive();
    assert!(!net.missed(1, 1, mac(1)));
    net.pass(300);
    assert_eq!(net.imported(1, 1, mac(1)), None, "no owner for five minutes");
}

#[test]
fn with_copies_a_copy_that_grows_old_before_it_was_received_again_is_forgotten() {
    let mut net = holding_pair();
    net.is_peer_link_cut = true;
    net.cut(0);
    net.slow = true;
    net.cut(1);
    net.restore(1);
    net.pass(400);
    assert_eq!(net.imported(1, 1, mac(1)), None);
}

#[test]
fn with_copies_a_network_that_goes_takes_them_along() {
    let mut net = holding_pair();
    let switches = net.inventory().switches.clone();
    net.configure(|inventory| inventory.switches.values_mut().for_each(|it| it.switch.ports.clear()));
    net.pass(5);
    assert_eq!([0, 1].map(|agent| net.held(agent)), [0, 0]);
    net.lose(0, 0, mac(1));
    net.configure(|inventory| inventory.switches = switches);
    net.pass(5);
    assert_eq!(
        net.imported(1, 1, mac(1)),
        None,
        "it was lost while there was no such network"
    );
    assert_eq!(net.imported(1, 1, mac(2)), Some(vtep(0)));
}

#[test]
fn with_copies_a_mac_that_moves_is_imported_from_its_new_place() {
    let mut net = holding_pair();
    net.end(0, 0);
    net.learn(1, 1, mac(1));
    assert_eq!(net.imported(1, 1, mac(1)), Some(vtep(1)));
    assert_eq!(net.keys(0).len(), 2, "mac 1 and mac 2 once each");
}
