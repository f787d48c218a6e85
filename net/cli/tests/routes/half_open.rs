//! An old owner believes its session alive while the other agent owns the switch.

use tandem_lab::Pair;

use crate::system::{
    audited, audited_by, converged, history, hold, nothing_was_deleted, published, remote, start_with, transactions,
    travelled, wait,
};

const MACS: usize = 50;

/// The switch goes to the other agent, and the old owner is not notified. Returns the old owner.
fn taken_over_unnoticed(pair: &Pair) -> usize {
    travelled(pair, MACS);
    let owner = audited(pair, "tor1");
    let name = &pair.agents[owner].options().agent.name;
    // First: the maintenance closes open sessions.
    pair.relays[owner].ovsdb.half_open();
    // Another answer of the agent check would end the maintenance.
    for command in ["disable agent ovsdb0/NAME", "set server ovsdb0/NAME state maint"] {
        pair.haproxy.command(&command.replace("NAME", name)).expect("a command");
    }
    audited_by(pair, 1 - owner, "tor1");
    published(pair, 1 - owner, |routes| routes >= MACS as u64);
    owner
}

/// The number of lines in an agent's log with this word.
fn logged(pair: &Pair, agent: usize, word: &str) -> usize {
    let log = pair.agents[agent].log();
    log.iter().filter(|line| line.contains(word)).count()
}

fn late_retraction(holds: bool) {
    let pair = start_with(|options| {
        options.relays = true;
        if holds {
            // Without a peer the old owner could not know that a MAC which is gone was taken back by one that lives.
            options.peer = true;
            hold(options);
        }
    });
    let owner = taken_over_unnoticed(&pair);
    let before = remote(&pair.switches[1]);
    let since = transactions(&pair.switches[1]);
    let late = logged(&pair, owner, " Retracted: ") == 0;

    wait(&pair, "the old owner to retract what it exported", || {
        (logged(&pair, owner, " Retracted: ") > 0).then_some(())
    });
    if !holds {
        published(&pair, owner, |routes| routes < MACS as u64);
    }
    nothing_was_deleted(&pair.switches[1], since);
    assert_eq!(history(&pair.switches[1], since).len(), 0, "no row was touched");
    converged(&pair);
    assert_eq!(remote(&pair.switches[1]), before);
    println!(
        "the old owner retracted {} the new one had exported",
        if late { "after" } else { "before" }
    );
}

#[test]
fn the_late_retraction_of_an_old_owner_removes_nothing_of_the_new_one() {
    late_retraction(false);
}

#[test]
fn with_copies_no_mac_is_missing_when_an_old_owner_retracts_late() {
    late_retraction(true);
}

/// Its keepalive is off: only a report of the other agent makes it probe its connection.
#[test]
fn an_old_owner_with_a_report_of_the_new_one_finds_its_line_dead() {
    let pair = start_with(|options| {
        (options.relays, options.peer) = (true, true);
        options.keepalive = "0s".into();
    });
    let owner = taken_over_unnoticed(&pair);
    wait(&pair, "the old owner to close its session", || {
        (logged(&pair, owner, " Closed: ") > 0).then_some(())
    });
    published(&pair, owner, |routes| routes < MACS as u64);
    converged(&pair);
}
