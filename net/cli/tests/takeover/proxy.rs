//! The proxy starts again, or takes over a new configuration.

use std::time::SystemTime;

use crate::events::opened;
use crate::pair::{
    TSN, audited, audited_by, between, changed, nothing_flaps, owner_among, rewritten, start, wait, with_macs,
};
use crate::watch::Watch;
use crate::writers::writers;

#[test]
fn a_proxy_that_starts_again_costs_one_takeover_and_no_row() {
    let mut pair = start(&with_macs(100));
    let before_owner = audited(&pair, "tor1");
    let watch = Watch::start(&pair.switches[0]);
    let before = pair.switches[0].snapshot().expect("a snapshot");
    let (accepted, killed) = (opened(&pair), SystemTime::now());
    pair.haproxy.restart().expect("a proxy");
    wait(&pair, "a new session", || (opened(&pair) > accepted).then_some(()));
    let owner = owner_among(&pair, &[0, 1]);
    audited_by(&pair, owner, "tor1");
    watch.until(&pair.scratch, TSN[owner]);
    println!(
        "proxy restarted: agent {before_owner} to {owner}, audited after {}",
        between(killed, SystemTime::now())
    );
    nothing_flaps(&pair);
    assert_eq!(opened(&pair), accepted + 1);
    let differences = pair.switches[0].snapshot().expect("a snapshot").since(&before);
    assert!(rewritten(&differences).is_empty(), "{differences:?}");
    let mut owners = vec![before_owner, owner];
    owners.dedup();
    assert_eq!(watch.ends(), owners.iter().map(|owner| TSN[*owner]).collect::<Vec<_>>());
    assert_eq!(writers(&pair, 0), owners);
}

#[test]
fn a_proxy_that_reloads_costs_nothing() {
    let mut pair = start(&with_macs(100));
    let owner = audited(&pair, "tor1");
    let (before, accepted) = (pair.switches[0].snapshot().expect("a snapshot"), opened(&pair));
    let options = pair.haproxy.options().clone();
    pair.haproxy.reload(options).expect("a new proxy");
    nothing_flaps(&pair);
    assert_eq!(opened(&pair), accepted);
    let differences = changed(&pair.switches[0], &before);
    assert!(differences.is_empty(), "{differences:?}");
    assert_eq!(audited(&pair, "tor1"), owner);
    assert_eq!(writers(&pair, 0), [owner]);
}
