//! Agents and control nodes together, in typed stanzas: a MAC that one switch learned reaches every other switch.

#[path = "fabric/configuration.rs"]
mod configuration;
#[path = "fabric/copies.rs"]
mod copies;
#[path = "fabric/net.rs"]
mod net;

use std::net::Ipv4Addr;
use std::time::Duration;

use net::{Net, SWITCHES, mac, network, vtep};
use tandem_core::agent::Advert;
use tandem_core::health::Grade;
use tandem_core::{Mac, Vni};

/// Two agents and two control nodes, all connected; agent 0 owns switch 0, agent 1 owns switch 1.
fn pair() -> Net {
    let mut net = Net::new(2, 2);
    net.run_to_rest();
    net.own(0, 0);
    net.own(1, 1);
    net.audited(0, 0);
    net.audited(1, 1);
    net
}

fn sequence(net: &Net, agent: usize, number: u8) -> Option<u32> {
    let advert: Option<Advert> = net.advert(agent, mac(number));
    advert.map(|advert| advert.sequence)
}

#[test]
fn a_mac_that_one_switch_learned_is_programmed_into_the_other_and_goes_with_it() {
    let mut net = pair();
    net.learn(0, 0, mac(1));
    assert_eq!(net.imported(1, 1, mac(1)), Some(vtep(0)));
    // It comes back to the switch that learned it, whose session knows its own tunnel end.
    assert_eq!(net.imported(0, 0, mac(1)), Some(vtep(0)));
    net.lose(0, 0, mac(1));
    assert_eq!(net.imported(1, 1, mac(1)), None);
}

#[test]
fn a_mac_that_moves_is_imported_from_its_new_tunnel_end_while_the_old_switch_still_has_it() {
    let mut net = pair();
    net.learn(0, 0, mac(1));
    net.learn(1, 1, mac(1));
    assert_eq!(net.imported(0, 0, mac(1)), Some(vtep(1)));
    assert_eq!((sequence(&net, 0, 1), sequence(&net, 1, 1)), (Some(1), Some(2)));
    net.lose(0, 0, mac(1));
    assert_eq!(net.imported(1, 1, mac(1)), Some(vtep(1)));
}

#[test]
fn an_old_place_whose_network_is_configured_again_does_not_beat_the_new_one() {
    for [first, second] in [[0, 1], [1, 0]] {
        let mut net = pair();
        net.learn(0, 0, mac(1));
        net.learn(1, 1, mac(1));
        (0..2).for_each(|switch| net.lose(switch, switch, mac(1)));
        for switch in [first, second] {
            net.export_again(switch, switch, mac(1));
        }
        assert_eq!((sequence(&net, 0, 1), sequence(&net, 1, 1)), (Some(1), Some(2)));
        assert_eq!(net.imported(0, 0, mac(1)), Some(vtep(1)), "{first} was first");
    }
}

#[test]
fn a_takeover_retracts_and_exports_again_and_keeps_the_sequence() {
    let mut net = pair();
    net.learn(1, 1, mac(1));
    net.learn(0, 0, mac(1));
    assert_eq!(sequence(&net, 0, 1), Some(2));
    net.lose(1, 1, mac(1));
    net.end(0, 0);
    assert_eq!(net.imported(1, 1, mac(1)), None, "no agent exports it");
    net.own(1, 0);
    net.learn(1, 0, mac(1));
    assert_eq!(sequence(&net, 1, 1), Some(2), "the place is the same");
    assert_eq!(net.imported(1, 1, mac(1)), Some(vtep(0)));
}

#[test]
fn a_row_that_a_new_owner_inherits_pulls_no_mac_back_that_has_moved_away() {
    let mut net = pair();
    net.learn(0, 0, mac(1));
    net.learn(1, 1, mac(1));
    net.end(0, 0);
    net.own(1, 0);
    net.learn(1, 0, mac(1));
    net.audited(1, 0);
    assert_eq!(net.imported(1, 0, mac(1)), Some(vtep(1)), "it has moved");
}

#[test]
fn ten_takeovers_raise_no_sequence() {
    let mut net = pair();
    net.learn(0, 0, mac(1));
    for round in 0..10 {
        let (from, to) = (round % 2, (round + 1) % 2);
        net.own(to, 0);
        net.learn(to, 0, mac(1));
        net.end(from, 0);
        assert_eq!(sequence(&net, to, 1), Some(1), "takeover {round}");
    }
}

#[test]
fn a_late_retraction_of_the_old_owner_removes_nothing_of_the_new_one() {
    let mut net = pair();
    net.learn(0, 0, mac(1));
    net.own(1, 0);
    net.learn(1, 0, mac(1));
    let before = net.commands(1, 1);
    net.end(0, 0);
    assert_eq!(net.imported(1, 1, mac(1)), Some(vtep(0)));
    assert_eq!(net.commands(1, 1), before, "the other switch received nothing");
}

#[test]
fn one_control_node_lost_is_noticed_nowhere() {
    let mut net = pair();
    net.learn(0, 0, mac(1));
    let before = net.commands(1, 1);
    net.kill_node(0);
    net.pass(60);
    assert_eq!(net.commands(1, 1), before);
    net.learn(0, 0, mac(2));
    assert_eq!(net.imported(1, 1, mac(2)), Some(vtep(0)));
    net.start_node(0);
    net.pass(60);
    net.kill_node(1);
    net.pass(60);
    assert_eq!(net.imported(1, 1, mac(1)), Some(vtep(0)), "the restarted node has it");
    net.learn(0, 0, mac(3));
    assert_eq!(net.imported(1, 1, mac(3)), Some(vtep(0)));
}

#[test]
fn while_no_control_node_is_there_nothing_is_forgotten_and_nothing_may_be_deleted() {
    let mut net = pair();
    net.learn(0, 0, mac(1));
    net.learn(0, 0, mac(2));
    assert!(net.is_complete(1, 1));
    net.kill_node(0);
    net.kill_node(1);
    net.pass(600);
    assert_eq!(net.imported(1, 1, mac(1)), Some(vtep(0)));
    assert!(!net.is_complete(1, 1));
    net.lose(0, 0, mac(2));
    net.start_node(1);
    net.pass(60);
    assert!(net.is_complete(1, 1));
    assert_eq!(net.imported(1, 1, mac(1)), Some(vtep(0)));
    assert_eq!(
        net.imported(1, 1, mac(2)),
        None,
        "a route that is not sent again is removed"
    );
}

#[test]
fn control_nodes_that_were_just_started_send_end_of_rib_once_every_agent_is_back() {
    let mut net = pair();
    net.learn(0, 0, mac(1));
    net.cut(0);
    net.kill_node(0);
    net.kill_node(1);
    net.start_node(0);
    net.start_node(1);
    net.pass(20);
    assert!(!net.is_complete(1, 1), "however quiet it is, an agent is missing");
    net.restore(0);
    net.pass(60);
    assert!(net.is_complete(1, 1));
    assert_eq!(net.imported(1, 1, mac(1)), Some(vtep(0)));
}

#[test]
fn a_mac_that_moved_between_our_switches_while_no_control_node_was_there_stays_where_it_is() {
    let mut net = Net::new(2, 1);
    net.run_to_rest();
    net.own(0, 0);
    net.own(0, 1);
    net.learn(0, 0, mac(1));
    assert_eq!(net.imported(0, 1, mac(1)), Some(vtep(0)));
    net.cut(0);
    net.learn(0, 1, mac(1));
    net.lose(0, 0, mac(1));
    net.slow = true;
    net.restore(0);
    net.pass(60);
    // The control node has no route, and sends end-of-RIB.
    assert!(net.is_complete(0, 0));
    assert_eq!(net.imported_when_complete(0, 0, mac(1)), Some(vtep(1)));
    net.arrive();
    assert_eq!(net.imported(0, 0, mac(1)), Some(vtep(1)));
    assert!(!net.missed(0, 0, mac(1)));
}

#[test]
fn a_mac_of_our_own_is_there_before_our_first_control_node_sends_it() {
    let mut net = Net::new(1, 1);
    net.run_to_rest();
    net.cut(0);
    net.own(0, 0);
    net.own(0, 1);
    net.learn(0, 1, mac(1));
    net.slow = true;
    net.restore(0);
    net.pass(60);
    assert!(net.is_complete(0, 0));
    assert_eq!(net.imported_when_complete(0, 0, mac(1)), Some(vtep(1)));
    // The agent withdraws the MAC before its publication has reached the control node.
    net.lose(0, 1, mac(1));
    assert_eq!(net.imported(0, 0, mac(1)), None);
    net.arrive();
    assert_eq!(net.imported(0, 0, mac(1)), None);
}

#[test]
fn an_agent_that_loses_its_control_nodes_is_forgotten_by_them_and_comes_back_with_everything() {
    let mut net = pair();
    net.learn(0, 0, mac(1));
    net.cut(0);
    net.pass(1);
    assert_eq!(
        net.imported(1, 1, mac(1)),
        None,
        "the control node removes what the agent exported"
    );
    net.learn(0, 0, mac(2));
    net.restore(0);
    net.pass(60);
    for number in [1, 2] {
        assert_eq!(net.imported(1, 1, mac(number)), Some(vtep(0)));
    }
}

#[test]
fn an_agent_that_comes_back_forgets_no_route_of_its_own() {
    let mut net = Net::new(2, 1);
    net.run_to_rest();
    net.own(0, 0);
    net.own(0, 1);
    net.learn(0, 0, mac(1));
    net.slow = true;
    net.cut(0);
    net.restore(0);
    net.pass(60);
    assert!(net.is_complete(0, 1));
    assert_eq!(
        net.imported(0, 1, mac(1)),
        Some(vtep(0)),
        "the control node does not have that route yet"
    );
    net.arrive();
    assert!(!net.missed(0, 1, mac(1)));
    net.lose(0, 0, mac(1));
    assert_eq!(net.imported(0, 1, mac(1)), None);
}

#[test]
fn another_vni_takes_the_routes_along() {
    let mut net = pair();
    net.learn(0, 0, mac(1));
    net.configure(|inventory| {
        let about = inventory.networks.get_mut(&network()).expect("the network");
        about.vni = Vni::new(6000).expect("a VNI");
    });
    net.pass(5);
    assert_eq!(net.keys(0), [format!("6000-{},0.0.0.0/32", mac(1))]);
    assert_eq!(net.imported(1, 1, mac(1)), Some(vtep(0)));
}

#[test]
fn a_switch_that_leaves_a_network_gets_no_route_of_it_and_every_route_when_it_comes_back() {
    let mut net = pair();
    net.learn(0, 0, mac(1));
    let [_, name] = SWITCHES;
    let ports = net.inventory().switches[&name.into()].switch.ports.clone();
    net.configure(|inventory| {
        inventory
            .switches
            .get_mut(&name.into())
            .expect("it")
            .switch
            .ports
            .clear()
    });
    net.pass(5);
    net.lose(0, 0, mac(1));
    net.learn(0, 0, mac(2));
    assert_eq!(net.imported(1, 1, mac(2)), None);
    net.configure(|inventory| inventory.switches.get_mut(&name.into()).expect("it").switch.ports = ports);
    net.pass(5);
    assert_eq!(net.imported(1, 1, mac(2)), Some(vtep(0)));
    assert_eq!(net.imported(1, 1, mac(1)), None);
}

#[test]
fn a_static_mac_of_the_inventory_is_a_route_like_any_other() {
    let mut net = pair();
    let elsewhere = Ipv4Addr::new(10, 9, 9, 9);
    net.configure(|inventory| {
        let about = inventory.networks.get_mut(&network()).expect("the network");
        about.remote_macs.insert(mac(9), elsewhere);
    });
    net.pass(5);
    assert_eq!(net.imported(0, 0, mac(9)), Some(elsewhere));
}

#[test]
fn a_network_is_complete_for_a_session_after_all_its_macs() {
    const MACS: u16 = 1000;
    let mut net = pair();
    net.configure(|inventory| {
        let about = inventory.networks.get_mut(&network()).expect("the network");
        let mac = |number: u16| {
            let [high, low] = number.to_be_bytes();
            Mac([2, 0, 0, 1, high, low])
        };
        let macs = (0..MACS).map(|number| (mac(number), Ipv4Addr::new(10, 9, 9, 9)));
        about.remote_macs.extend(macs);
    });
    net.pass(5);
    net.end(0, 0);
    net.own(1, 0);
    net.pass(5);
    assert!(net.is_complete(1, 0));
    assert_eq!(net.macs_when_complete(1, 0), usize::from(MACS));
}

#[test]
fn an_agent_without_control_nodes_hands_its_switches_over_to_one_that_has_some() {
    let mut net = pair();
    net.cut(0);
    net.pass(1);
    assert_eq!(net.grade(0), Grade::Fit, "that may be over in a moment");
    net.pass(3);
    assert_eq!((net.grade(0), net.grade(1)), (Grade::Isolated, Grade::Fit));
    assert_eq!(net.orders(0, 0), (true, false));
    net.end(0, 0);
    net.own(0, 0);
    net.pass(30);
    assert_eq!(net.orders(0, 0), (false, false), "a switch that comes back is kept");
    net.restore(0);
    net.pass(60);
    assert_eq!(net.grade(0), Grade::Fit);
}

#[test]
fn two_agents_without_control_nodes_keep_their_switches() {
    let mut net = pair();
    net.kill_node(0);
    net.kill_node(1);
    net.pass(60);
    assert_eq!((net.grade(0), net.grade(1)), (Grade::Alone, Grade::Alone));
    assert_eq!((net.orders(0, 0), net.orders(1, 1)), ((false, false), (false, false)));
}

#[test]
fn an_agent_without_reports_of_the_other_keeps_its_switches() {
    let mut net = pair();
    net.is_peer_link_cut = true;
    net.pass(5);
    net.cut(0);
    net.pass(60);
    assert_eq!(net.grade(0), Grade::Alone);
    assert_eq!(net.orders(0, 0), (false, false));
}

#[test]
fn an_agent_whose_services_node_died_hands_its_switches_over_until_it_lives_again() {
    let mut net = pair();
    net.probe(0, false);
    assert_eq!(net.grade(0), Grade::Isolated);
    assert_eq!(net.orders(0, 0), (true, false));
    net.probe(0, true);
    assert_eq!(net.grade(0), Grade::Fit);
}

#[test]
fn an_owner_doubts_its_line_when_the_other_agent_claims_the_switch() {
    let mut net = pair();
    assert_eq!(net.orders(0, 0), (false, false));
    net.own(1, 0);
    assert_eq!(net.orders(0, 0), (false, true));
    assert_eq!(net.orders(1, 1), (false, false), "that is another switch");
}

#[test]
fn agents_that_are_configured_differently_log_it_once() {
    let mut net = pair();
    net.cut(0);
    net.configure(|inventory| inventory.networks.get_mut(&network()).expect("it").vni = Vni::new(6000).expect("a VNI"));
    net.pass(10);
    let disagreed = |net: &Net| net.news.iter().filter(|news| news.starts_with("Disagreed ")).count();
    assert_eq!(disagreed(&net), 4, "two switches, at both agents: {:?}", net.news);
    net.pass(60);
    assert_eq!(disagreed(&net), 4);
    net.restore(0);
    net.pass(60);
    let agreed = net.news.iter().filter(|news| news.starts_with("Agreed ")).count();
    assert_eq!(agreed, 4, "{:?}", net.news);
}

#[test]
fn a_switch_without_an_owner_or_with_two_is_logged_unless_it_is_just_changing_hands() {
    let mut net = pair();
    let mastership = |net: &mut Net| {
        std::mem::take(&mut net.news)
            .into_iter()
            .filter(|news| news.starts_with("Mastership "))
    };
    net.end(0, 0);
    net.pass(1);
    net.own(1, 0);
    net.pass(10);
    assert_eq!(mastership(&mut net).collect::<Vec<_>>(), [""; 0], "that was a takeover");
    net.end(1, 0);
    net.pass(10);
    assert_eq!(
        mastership(&mut net).collect::<Vec<_>>(),
        ["Mastership no agent owns tor0"; 2]
    );
    net.own(0, 0);
    net.own(1, 0);
    net.pass(10);
    let both = mastership(&mut net).next_back();
    assert_eq!(
        both.as_deref(),
        Some("Mastership several agents own tor0: agent-1, agent-0")
    );
    net.end(1, 0);
    net.pass(1);
    assert_eq!(
        mastership(&mut net).collect::<Vec<_>>(),
        ["Mastership agent-0 owns tor0"; 2]
    );
    let status = net.status(0);
    assert!(
        status.switches.values().all(|switch| switch.alarms.is_empty()),
        "{status:?}"
    );
}

#[test]
fn the_status_shows_the_configuration_and_the_peer() {
    let mut net = pair();
    let status = net.status(0);
    assert_eq!(status.revision, Some(1));
    let shown = |net: &Net, agent| net.status(agent).switches.into_iter();
    for ((name, ours), (_, theirs)) in shown(&net, 0).zip(shown(&net, 1)) {
        assert_eq!(ours.fingerprint, theirs.fingerprint);
        assert_ne!(ours.at_peer, theirs.at_peer, "one of them owns {name}");
    }
    let peer = |net: &Net| net.status(0).peer.expect("it has one").agent;
    assert_eq!(peer(&net).as_deref(), Some("agent-1"));
    net.is_peer_link_cut = true;
    net.pass(4);
    assert_eq!(peer(&net), None);
    assert!(!shown(&net, 0).any(|(_, switch)| switch.at_peer), "nobody reports it");
}

#[test]
fn an_agent_that_drains_leaves_its_routes_until_another_vouches_for_them() {
    let mut net = pair();
    net.learn(0, 0, mac(1));
    net.drain(0, 0);
    assert!(!net.drained.contains(&0), "no other agent has the route");
    net.own(1, 0);
    net.learn(1, 0, mac(1));
    assert!(net.drained.contains(&0));
    net.cut(0);
    net.pass(5);
    assert_eq!(net.imported(1, 1, mac(1)), Some(vtep(0)));
    assert!(!net.missed(1, 1, mac(1)));
}

#[test]
fn an_agent_that_drains_does_not_wait_for_long() {
    let mut net = pair();
    net.learn(0, 0, mac(1));
    net.drain(0, 0);
    net.pass(5);
    assert!(net.drained.contains(&0));
    let mut net = pair();
    net.drain(0, 0);
    assert!(net.drained.contains(&0), "there is nothing to wait for");
}

#[test]
fn routes_of_a_lost_control_node_alone_go_where_another_is_complete() {
    let mut net = pair();
    let elsewhere = Ipv4Addr::new(10, 9, 9, 9);
    net.configure_one(1, |inventory| {
        let about = inventory.networks.get_mut(&network()).expect("the network");
        about.remote_macs.insert(mac(9), elsewhere);
    });
    assert_eq!(net.imported(0, 0, mac(9)), Some(elsewhere));
    net.kill_node(1);
    assert_eq!(net.imported(0, 0, mac(9)), None);
}

/// A MAC that the control node has not sent, because its publication is still under way.
fn presumed() -> Net {
    let mut net = Net::new(1, 1);
    net.run_to_rest();
    net.cut(0);
    net.own(0, 0);
    net.own(0, 1);
    net.audited(0, 0);
    net.audited(0, 1);
    net.learn(0, 0, mac(1));
    net.slow = true;
    net.restore(0);
    net.pass(60);
    assert_eq!(net.imported(0, 1, mac(1)), Some(vtep(0)));
    net
}

#[test]
fn a_presumed_route_goes_along_with_its_reason() {
    let mut net = presumed();
    net.end(0, 0);
    assert_eq!(net.imported(0, 1, mac(1)), None, "its session is over");

    let mut net = presumed();
    let switches = net.inventory().switches.clone();
    net.configure(|inventory| inventory.switches.values_mut().for_each(|it| it.switch.ports.clear()));
    net.lose(0, 0, mac(1));
    net.configure(|inventory| inventory.switches = switches);
    net.pass(5);
    assert_eq!(net.imported(0, 1, mac(1)), None, "its network was left");

    let mut net = presumed();
    net.learn(0, 1, mac(1));
    assert_eq!(net.imported(0, 0, mac(1)), Some(vtep(1)), "it has moved");
    assert_eq!(sequence(&net, 0, 1), Some(2));
}

#[test]
fn a_presumed_route_outlives_another_vni() {
    let mut net = presumed();
    net.configure(|inventory| inventory.networks.get_mut(&network()).expect("it").vni = Vni::new(6000).expect("a VNI"));
    net.arrive();
    net.pass(5);
    assert!(!net.missed(0, 1, mac(1)));
    net.lose(0, 0, mac(1));
    assert_eq!(net.imported(0, 1, mac(1)), None);
}
