//! Control nodes are killed: switches keep their rows.

use std::thread;
use std::time::Duration;

use tandem_lab::Pair;

use crate::system::{TOR, connected, installed, learn, mac, nothing_was_deleted, remote, start, transactions, wait};

const MACS: usize = 50;

/// Longer than the silence after which a network counts as complete without end-of-RIB.
const LOOK: Duration = Duration::from_secs(20);

/// Both switches have learned MACs, and have those of each other.
fn busy() -> Pair {
    let pair = start();
    for number in 0..MACS {
        learn(&pair.switches[0], &mac(number), TOR[0]);
        learn(&pair.switches[1], &mac(number + MACS), TOR[1]);
    }
    for switch in &pair.switches {
        wait(&pair, "every MAC", || (remote(switch).len() == MACS).then_some(()));
    }
    pair
}

fn nothing_is_deleted(pair: &Pair, since: [usize; 2]) {
    for (switch, since) in pair.switches.iter().zip(since) {
        nothing_was_deleted(switch, since);
        assert_eq!(remote(switch).len(), MACS);
    }
}

#[test]
fn with_one_control_node_left_nothing_is_missing_and_routes_still_travel() {
    let mut pair = busy();
    let since = [0, 1].map(|switch| transactions(&pair.switches[switch]));
    pair.control_nodes[0].process.kill().expect("killed");
    connected(&pair, 1);
    thread::sleep(LOOK);
    nothing_is_deleted(&pair, since);

    learn(&pair.switches[0], "02:00:00:00:ff:01", TOR[0]);
    installed(&pair, 1, "02:00:00:00:ff:01", Some(TOR[0]));
    pair.control_nodes[0].restart().expect("started again");
    connected(&pair, 2);
    let since = [0, 1].map(|switch| transactions(&pair.switches[switch]));
    pair.control_nodes[1].process.kill().expect("killed");
    connected(&pair, 1);
    for (switch, since) in pair.switches.iter().zip(since) {
        nothing_was_deleted(switch, since);
    }
}

#[test]
fn without_any_control_node_nothing_is_deleted_from_switches() {
    let mut pair = busy();
    let since = [0, 1].map(|switch| transactions(&pair.switches[switch]));
    for node in &mut pair.control_nodes {
        node.process.kill().expect("killed");
    }
    connected(&pair, 0);
    thread::sleep(LOOK);
    nothing_is_deleted(&pair, since);

    for node in &mut pair.control_nodes {
        node.restart().expect("started again");
    }
    connected(&pair, 2);
    nothing_is_deleted(&pair, since);
}
