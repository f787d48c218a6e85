//! The owner drains (SIGTERM): it hands over in good order.

use std::time::SystemTime;

use tandem_lab::pair::{Pair, PairOptions};

use crate::events::logged;
use crate::pair::{LONG, TSN, audited, audited_by, between, nothing_flaps, rewritten, start, warm, with_macs};
use crate::watch::Watch;
use crate::writers::writers;

#[test]
fn a_drained_owner_notifies_the_proxy_hands_over_and_exits_with_0() {
    drain(&with_macs(1000), "one target");
}

#[test]
fn a_drained_owner_hands_over_to_a_warm_agent_at_once() {
    let mut options = with_macs(1000);
    options.targets = 2;
    drain(&options, "two targets");
}

/// No switch is connected any more either, so the agent ends as soon as it has ceased to wait.
#[test]
fn a_proxy_that_does_not_poll_a_draining_agent_is_named_and_not_waited_for_long() {
    let pair = start(&with_macs(10));
    let owner = audited(&pair, "tor1");
    has_asked(&pair, owner);
    pair.haproxy.process.kill().expect("killed");
    let agent = &pair.agents[owner];
    agent.process.terminate().expect("a signal");
    let status = agent.process.wait(LONG).expect("the end");
    assert_eq!(status.code(), Some(0), "{status}");
    let log = agent.log();
    let named = log
        .iter()
        .position(|line| line.contains("AnnouncementMissed: [") && line.contains("did not poll within"));
    let stopped = log.iter().position(|line| line.contains("Stopped: "));
    assert!(named.is_some() && named < stopped, "{log:#?}");
}

/// Waits until the proxy has asked this agent how it is: a drain waits for those that have.
fn has_asked(pair: &Pair, agent: usize) {
    let name = &pair.agents[agent].options().agent.name;
    let asked = || {
        let table = pair.haproxy.command("show stat").ok()?;
        let mut rows = table.lines().map(|row| row.split(',').collect::<Vec<_>>());
        let column = rows.next()?.iter().position(|title| *title == "agent_status")?;
        let row = rows.find(|row| row.get(1) == Some(&name.as_str()))?;
        row.get(column)?.ends_with("L7OK").then_some(())
    };
    let waited = pair.scratch.wait_until("the proxy to ask the agent", LONG, asked);
    waited.unwrap_or_else(|error| panic!("{error}"));
}

fn drain(options: &PairOptions, what: &str) {
    let pair = start(options);
    let owner = audited(&pair, "tor1");
    let other = 1 - owner;
    if options.targets > 1 {
        warm(&pair, other, 1);
    }
    let switch = &pair.switches[0];
    let watch = Watch::start(switch);
    let before = switch.snapshot().expect("a snapshot");

    let asked = SystemTime::now();
    pair.agents[owner].process.terminate().expect("a signal");
    let status = pair.agents[owner].process.wait(LONG).expect("the end");
    let ended = SystemTime::now();
    let repointed = watch.until(&pair.scratch, TSN[other]);
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(
        drained(&pair, owner),
        "{}",
        pair.haproxy.command(STATES).expect("states")
    );
    assert!(!drained(&pair, other));
    audited_by(&pair, other, "tor1");
    let let_go = logged(&pair.agents[owner], "Closed")
        .pop()
        .expect("the session's end")
        .at;
    println!(
        "drain, {what}: let go after {}, then {} until broadcast was at the other, {} until audited; exit after {}",
        between(asked, let_go),
        between(let_go, repointed),
        between(let_go, SystemTime::now()),
        between(asked, ended),
    );
    assert!(rewritten(&switch.snapshot().expect("a snapshot").since(&before)).is_empty());
    warm(&pair, other, options.targets.into());
    nothing_flaps(&pair);
    assert_eq!(watch.ends(), [TSN[owner], TSN[other]]);
    assert_eq!(writers(&pair, 0), [owner, other]);
}

const STATES: &str = "show servers state";

/// Whether the proxy has received `drain` from an agent: it remembers that, even when the agent is gone.
///
/// Its sections poll separately, and an agent knows them by one address: only the first that polls is certain to receive it.
fn drained(pair: &Pair, agent: usize) -> bool {
    const FORCED_DRAIN: u32 = 8;
    let name = pair.agents[agent].options().agent.name.as_str();
    let table = pair.haproxy.command(STATES).expect("states");
    let cells = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let header = table
        .lines()
        .find_map(|line| line.strip_prefix("# "))
        .expect("a header");
    let column = |title: &str| cells(header).iter().position(|cell| cell == title).expect("a column");
    let (server, admin) = (column("srv_name"), column("srv_admin_state"));
    let rows = table.lines().map(cells);
    let mut ours = rows.filter(|row| row.get(server).is_some_and(|cell| cell == name));
    ours.any(|row| row[admin].parse::<u32>().expect("flags") & FORCED_DRAIN != 0)
}
