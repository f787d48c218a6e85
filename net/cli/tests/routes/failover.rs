//! The agent that owns a switch is killed, hangs, drains or is cut off: what another switch misses meanwhile.

use tandem_lab::{Pair, Signal, netns};

use crate::system::{
    audited, audited_by, connected, converged, gap, history, hold, nothing_was_deleted, published, remote, start_with,
    transactions, travelled, wait,
};

const MACS: usize = 200;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Killed,
    Hung,
    Drained,
    /// Its node loses its only link.
    Cut,
}

impl Fault {
    fn begins(self, pair: &mut Pair, agent: usize) {
        let process = &mut pair.agents[agent].process;
        match self {
            Self::Killed => process.kill().expect("killed"),
            Self::Hung => process.signal(Signal::SIGSTOP).expect("stopped"),
            Self::Drained => process.signal(Signal::SIGTERM).expect("a signal"),
            Self::Cut => link(pair, agent).cut().expect("cut"),
        }
    }

    /// Everything is as it was before; the agent receives what happened meanwhile.
    fn ends(self, pair: &mut Pair, agent: usize) {
        match self {
            Self::Killed => pair.agents[agent].restart().expect("started again"),
            Self::Hung => pair.agents[agent].process.signal(Signal::SIGCONT).expect("continued"),
            Self::Drained => {
                let status = wait(pair, "the end of the drain", || pair.agents[agent].process.exited());
                assert!(status.success(), "{status}");
                pair.agents[agent].restart().expect("started again");
            }
            Self::Cut => link(pair, agent).heal().expect("healed"),
        }
        if matches!(self, Self::Hung | Self::Cut) {
            wait(pair, "the old owner to see that its session is over", || {
                let log = pair.agents[agent].log();
                log.iter().any(|line| line.contains(" Closed: ")).then_some(())
            });
        }
        connected(pair, 2);
    }
}

fn link(pair: &Pair, agent: usize) -> &netns::Link {
    let island = pair.island.as_ref().expect("there are namespaces");
    &island.links[agent]
}

fn failover(fault: Fault, holds: bool) {
    let mut pair = start_with(|options| {
        options.peer = true;
        options.namespaces = matches!(fault, Fault::Cut);
        if holds {
            hold(options);
        }
    });
    travelled(&pair, MACS);
    let owner = audited(&pair, "tor1");
    let before = remote(&pair.switches[1]);
    let since = transactions(&pair.switches[1]);

    fault.begins(&mut pair, owner);
    audited_by(&pair, 1 - owner, "tor1");
    published(&pair, 1 - owner, |routes| routes >= MACS as u64);
    wait(&pair, "the same rows in tor2", || {
        (remote(&pair.switches[1]) == before).then_some(())
    });
    fault.ends(&mut pair, owner);
    if !holds {
        published(&pair, owner, |routes| routes < MACS as u64);
    }
    if holds {
        nothing_was_deleted(&pair.switches[1], since);
    }
    let history = history(&pair.switches[1], since);
    converged(&pair);
    assert_eq!(remote(&pair.switches[1]), before);

    let mut missing: Vec<u64> = history.values().map(|steps| gap(steps)).collect();
    missing.sort_unstable();
    println!(
        "{fault:?}, {}: {} of {MACS} MACs were missing in the other switch; {:?} ms at least, {:?} ms in the middle, {:?} ms at most",
        if holds { "copies held" } else { "no copies" },
        missing.len(),
        missing.first().unwrap_or(&0),
        missing.get(missing.len() / 2).unwrap_or(&0),
        missing.last().unwrap_or(&0),
    );
}

#[test]
fn routes_of_a_killed_agent_come_back_from_the_other() {
    failover(Fault::Killed, false);
}

#[test]
fn with_copies_no_mac_is_missing_when_an_agent_is_killed() {
    failover(Fault::Killed, true);
}

#[test]
fn routes_of_a_hung_agent_come_back_from_the_other() {
    failover(Fault::Hung, false);
}

#[test]
fn with_copies_no_mac_is_missing_when_an_agent_hangs() {
    failover(Fault::Hung, true);
}

#[test]
fn routes_of_a_draining_agent_come_back_from_the_other() {
    failover(Fault::Drained, false);
}

#[test]
fn with_copies_no_mac_is_missing_when_an_agent_drains() {
    failover(Fault::Drained, true);
}

#[test]
fn routes_of_an_agent_that_is_cut_off_come_back_from_the_other() {
    let test = "failover::routes_of_an_agent_that_is_cut_off_come_back_from_the_other";
    let done = netns::enter(test, || {
        failover(Fault::Cut, false);
        Ok(())
    });
    done.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn with_copies_no_mac_is_missing_when_an_agent_is_cut_off() {
    let test = "failover::with_copies_no_mac_is_missing_when_an_agent_is_cut_off";
    let done = netns::enter(test, || {
        failover(Fault::Cut, true);
        Ok(())
    });
    done.unwrap_or_else(|error| panic!("{error}"));
}
