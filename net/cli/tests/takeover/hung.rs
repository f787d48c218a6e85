//! The owner hangs: the kernel still accepts connections for it, and it never answers.

use std::time::SystemTime;

use tandem_lab::agent::RemoteMac;
use tandem_lab::switch::remote_mac;

use crate::events::{logged, opened};
use crate::pair::{
    TSN, audited, audited_by, between, changed, delete_remote_mac, exported, learn, nothing_flaps, proxied, remote,
    sessions, start, vtep, wait, with_macs,
};
use crate::watch::Watch;
use crate::writers::writers;

#[test]
fn a_hung_owner_is_replaced_and_does_no_harm_when_it_goes_on() {
    let mut pair = start(&with_macs(100));
    let owner = audited(&pair, "tor1");
    let other = 1 - owner;
    learn(&pair.switches[0], "02:02:00:00:00:01");
    wait(&pair, "the route of a local MAC", || {
        (exported(&pair, owner) == 1).then_some(())
    });
    let watch = Watch::start(&pair.switches[0]);

    let hung = SystemTime::now();
    pair.agents[owner].process.stop().expect("stopped");
    // Both will make it want to write as soon as it goes on: a row to put back, and one that only it knows of.
    delete_remote_mac(&pair.switches[0], &remote_mac(7));
    let mut options = pair.agents[owner].options().clone();
    options.network[0].remote_macs.push(RemoteMac {
        mac: remote_mac(1000),
        vtep: vtep(1000),
    });
    pair.agents[owner].reload(options).expect("a signal that waits");
    let repointed = watch.until(&pair.scratch, TSN[other]);
    audited_by(&pair, other, "tor1");
    println!(
        "agent hung: broadcast after {}, audited after {}",
        between(hung, repointed),
        between(hung, SystemTime::now())
    );
    let switch = &pair.switches[0];
    assert_eq!(remote(switch).len(), 100, "the row is back");

    let (before, accepted) = (switch.snapshot().expect("a snapshot"), opened(&pair));
    pair.agents[owner].process.cont().expect("continued");
    wait(&pair, "the old owner to see that its session is over", || {
        (!logged(&pair.agents[owner], "Closed").is_empty()).then_some(())
    });
    wait(&pair, "the old owner to read its configuration", || {
        (!logged(&pair.agents[owner], "Reloaded").is_empty()).then_some(())
    });
    proxied(&pair, owner, "UP");
    nothing_flaps(&pair);
    assert!(changed(switch, &before).is_empty(), "{:?}", changed(switch, &before));
    assert_eq!(opened(&pair), accepted);
    assert_eq!((sessions(&pair, owner, "tor1").len(), exported(&pair, owner)), (0, 0));
    assert_eq!(
        exported(&pair, other),
        1,
        "the old owner's retraction is not the new owner's"
    );
    assert_eq!(watch.ends(), [TSN[owner], TSN[other]]);
    assert_eq!(writers(&pair, 0), [owner, other]);
}
