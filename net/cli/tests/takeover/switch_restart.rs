//! The switch starts again, with its database or with an empty one.

use std::time::SystemTime;

use tandem_lab::pair::Pair;
use tandem_lab::switch::remote_mac;

use crate::events::opened;
use crate::pair::{
    BLUE, TSN, audited, audited_by, between, broadcast, nothing_flaps, owner_among, remote, start, vtep, wait,
    with_macs,
};
use crate::writers::writers;

#[test]
fn a_switch_that_keeps_its_database_is_not_rewritten() {
    let mut pair = start(&with_macs(100));
    let before = audited(&pair, "tor1");
    let written = pair.switches[0].log().expect("a log").len();
    let killed = SystemTime::now();
    let accepted = opened(&pair);
    pair.switches[0].restart_with_database().expect("a switch");
    let owner = new_owner(&pair, accepted);
    println!(
        "switch restarted with its database: audited after {}",
        between(killed, SystemTime::now())
    );
    as_wanted(&pair, owner);
    nothing_flaps(&pair);
    let log = pair.switches[0].log().expect("a log");
    let tables = log[written..].iter().flat_map(|transaction| &transaction.changes);
    let others: Vec<_> = tables
        .filter(|change| {
            !["Mcast_Macs_Remote", "Physical_Locator_Set", "Physical_Locator"].contains(&change.table.as_str())
        })
        .collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(
        log.len() - written,
        usize::from(owner != before),
        "transactions since then"
    );
    let mut owners = vec![before, owner];
    owners.dedup();
    assert_eq!(writers(&pair, 0), owners);
}

#[test]
fn a_switch_that_lost_its_database_gets_everything_again() {
    let mut pair = start(&with_macs(100));
    audited(&pair, "tor1");
    let killed = SystemTime::now();
    let accepted = opened(&pair);
    pair.switches[0].restart_empty().expect("a switch");
    let owner = new_owner(&pair, accepted);
    println!(
        "switch restarted empty: audited after {}",
        between(killed, SystemTime::now())
    );
    as_wanted(&pair, owner);
    nothing_flaps(&pair);
    assert_eq!(writers(&pair, 0), [owner]);
}

fn new_owner(pair: &Pair, accepted: usize) -> usize {
    wait(pair, "a new session", || (opened(pair) > accepted).then_some(()));
    let owner = owner_among(pair, &[0, 1]);
    audited_by(pair, owner, "tor1");
    owner
}

fn as_wanted(pair: &Pair, owner: usize) {
    let switch = &pair.switches[0];
    let broadcast: Vec<_> = broadcast(switch).into_iter().collect();
    assert_eq!(broadcast, [(BLUE.to_owned(), vec![vec![TSN[owner].to_owned()]])]);
    let wanted: Vec<_> = (0..100)
        .map(|n| (BLUE.to_owned(), remote_mac(n), vtep(n).to_string()))
        .collect();
    assert_eq!(remote(switch), wanted);
    let bindings = switch.vtep_ctl(&["list-bindings", "tor1", "eth1"]).expect("vtep-ctl");
    assert_eq!(bindings.trim(), format!("0010 {BLUE}"));
}
