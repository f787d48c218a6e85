//! Both agents are gone for a while, and one comes back.

use std::thread;
use std::time::{Duration, SystemTime};

use crate::pair::{TSN, audited, audited_by, between, nothing_flaps, proxied, rewritten, start, wait, with_macs};
use crate::watch::Watch;
use crate::writers::writers;

/// Long enough for a switch with the default back-off to reach the ceiling of 8 s.
const OUTAGE: Duration = Duration::from_secs(30);

#[test]
fn a_switch_comes_back_to_the_first_agent_that_does() {
    let mut options = with_macs(100);
    options.max_backoff_ms = None;
    let mut pair = start(&options);
    let owner = audited(&pair, "tor1");
    let back = 1 - owner;
    let switch = &pair.switches[0];
    wait(&pair, "a pinned back-off", || {
        let managers = switch.dump("Manager", &["max_backoff"]).ok()?;
        (managers[0]["max_backoff"] == 1000).then_some(())
    });
    let before = switch.snapshot().expect("a snapshot");
    let watch = Watch::start(switch);
    for agent in &pair.agents {
        agent.process.kill().expect("killed");
    }
    (0..2).for_each(|agent| proxied(&pair, agent, "DOWN"));
    thread::sleep(OUTAGE);
    let returned = SystemTime::now();
    pair.agents[back].restart().expect("an agent");
    let repointed = watch.until(&pair.scratch, TSN[back]);
    audited_by(&pair, back, "tor1");
    println!(
        "both agents gone for {OUTAGE:?}, one started: broadcast after {}, audited after {}",
        between(returned, repointed),
        between(returned, SystemTime::now())
    );
    nothing_flaps(&pair);
    let differences = pair.switches[0].snapshot().expect("a snapshot").since(&before);
    assert!(rewritten(&differences).is_empty(), "{differences:?}");
    assert_eq!(watch.ends(), [TSN[owner], TSN[back]]);
    assert_eq!(writers(&pair, 0), [owner, back]);
}
