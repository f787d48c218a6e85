//! The agent that exports is killed: its routes go, and come back from the other.

use crate::system::{TOR, audited, history, learn, mac, remote, start, transactions, wait};

const MACS: usize = 200;

#[test]
fn routes_of_a_killed_agent_are_retracted_and_exported_by_the_other() {
    let mut pair = start();
    for number in 0..MACS {
        learn(&pair.switches[0], &mac(number), TOR[0]);
    }
    wait(&pair, "every MAC in tor2", || {
        (remote(&pair.switches[1]).len() == MACS).then_some(())
    });
    let before = remote(&pair.switches[1]);
    let since = transactions(&pair.switches[1]);
    let owner = audited(&pair, "tor1");
    let [killed, other] = [owner, 1 - owner].map(|agent| pair.agents[agent].options().agent.name.clone());

    pair.agents[owner].process.kill().expect("killed");
    for node in &pair.control_nodes {
        wait(&pair, "the retraction", || {
            let down = node.lines(&["ClientDown", &killed]);
            down.first().map(|line| assert!(!line.contains(" 0 routes"), "{line}"))
        });
    }
    assert_eq!(audited(&pair, "tor1"), 1 - owner);
    for node in &pair.control_nodes {
        wait(&pair, "the routes of the other agent", || {
            let routes = node.status().ok()?["clients"][&other]["routes"].as_u64()?;
            (routes >= MACS as u64).then_some(())
        });
    }
    wait(&pair, "the same rows in tor2", || {
        (remote(&pair.switches[1]) == before).then_some(())
    });

    let mut missing: Vec<u64> = history(&pair.switches[1], since).values().map(|it| gap(it)).collect();
    missing.sort_unstable();
    println!(
        "agent killed: {} of {MACS} MACs were missing in the other switch: {:?} ms at least, {:?} ms in the middle, {:?} ms at most",
        missing.len(),
        missing.first(),
        missing.get(missing.len() / 2),
        missing.last(),
    );
    pair.agents[owner].restart().expect("started again");
}

/// For how long a row was not there, in milliseconds.
fn gap(steps: &[(u64, bool)]) -> u64 {
    let mut gone = None;
    let mut missing = 0;
    for (at, there) in steps {
        match (there, gone) {
            (false, None) => gone = Some(at),
            (true, Some(since)) => {
                missing += at - since;
                gone = None;
            }
            (false, Some(_)) | (true, None) => {}
        }
    }
    assert_eq!(gone, None, "it is there again");
    missing
}
