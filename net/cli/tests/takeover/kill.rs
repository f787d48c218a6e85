//! The active agent is killed.

use std::time::Instant;

use crate::pair::{BLUE, TSN, audited, broadcast, ms, rewritten, start, wait, with_macs};

#[test]
fn the_other_agent_takes_over_and_rewrites_only_the_broadcast_row() {
    let pair = start(&with_macs(1000));
    let owner = audited(&pair, "tor1");
    let other = 1 - owner;
    let switch = &pair.switches[0];
    let before = switch.snapshot().expect("a snapshot");
    let killed = Instant::now();
    pair.agents[owner].process.kill().expect("killed");
    wait(&pair, "the broadcast row at the other services node", || {
        (broadcast(switch).get(BLUE)? == &[[TSN[other]]]).then_some(())
    });
    let broadcast_ms = ms(killed);
    assert_eq!(audited(&pair, "tor1"), other);
    let after = switch.snapshot().expect("a snapshot");
    let differences = after.since(&before);
    assert!(rewritten(&differences).is_empty(), "{differences:?}");
    println!(
        "agent killed: broadcast after {broadcast_ms:.0} ms, audited after {:.0} ms",
        ms(killed)
    );
}
