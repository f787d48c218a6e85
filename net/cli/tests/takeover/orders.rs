//! Orders of an operator to running agents, with `tandem ctl`.

use std::path::PathBuf;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use tandem_lab::pair::Pair;

use crate::pair::{audited, audited_by, options, start, wait};

fn socket(pair: &Pair, agent: usize) -> PathBuf {
    pair.agents[agent].options().listen.orders.clone()
}

fn ctl(pair: &Pair, agent: usize, order: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["ctl", "--socket"])
        .arg(socket(pair, agent))
        .args(order)
        .output();
    output.expect("tandem ctl runs")
}

/// Gives an order that the agent carries out.
fn done(pair: &Pair, agent: usize, order: &[&str]) -> String {
    let output = ctl(pair, agent, order);
    assert!(output.status.success(), "{order:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn graded(pair: &Pair, agent: usize, grade: &str) {
    wait(pair, &format!("the grade {grade}"), || {
        let status = pair.agents[agent].status().ok()?;
        (status["grade"] == grade).then_some(())
    });
}

#[test]
fn an_operator_moves_one_switch_and_takes_an_agent_out_of_service_and_back() {
    let mut options = options();
    options.peer = true;
    let pair = start(&options);
    let owner = audited(&pair, "tor1");
    let other = 1 - owner;
    wait(&pair, "the link between the agents", || {
        let status = pair.agents[owner].status().ok()?;
        (status["peer"]["grade"] == "fit").then_some(())
    });

    let name = &pair.agents[other].options().agent.name;
    assert_eq!(
        done(&pair, owner, &["release", "tor1"]),
        format!("tor1 moved to {name}\n")
    );
    audited_by(&pair, other, "tor1");
    graded(&pair, owner, "fit");

    let refused = ctl(&pair, owner, &["release", "tor1"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("no session"),
        "{refused:?}"
    );

    assert!(done(&pair, other, &["drain"]).starts_with("draining: 1 owned"));
    audited_by(&pair, owner, "tor1");
    graded(&pair, other, "draining");
    done(&pair, other, &["resume"]);
    graded(&pair, other, "fit");
    assert_eq!(
        done(&pair, owner, &["retry", "tor1"]),
        "1 session with tor1 tries everything again now\n"
    );
    wait(&pair, "a line about the order", || {
        pair.agents[owner].lines(&["Ordered", "\"retry\"", "done"]).pop()
    });
}

#[test]
fn the_log_level_changes_while_the_agent_runs_and_unknown_signals_do_not_end_it() {
    let pair = start(&options());
    let agent = &pair.agents[0];
    for signal in [Signal::SIGUSR2, Signal::SIGALRM, Signal::SIGIO, Signal::SIGUSR1] {
        agent.process.signal(signal).expect("sent");
    }
    wait(&pair, "debug lines", || {
        agent.lines(&["LogLevelChanged", "tandem=DEBUG"]).pop()
    });
    assert_eq!(done(&pair, 0, &["log-level", "warn"]), "the log has WARN,tandem=WARN\n");
    assert_eq!(done(&pair, 0, &["log-level"]), "the log has WARN,tandem=INFO\n");
    assert_eq!(ctl(&pair, 0, &["log-level", "loud"]).status.code(), Some(1));
    std::fs::remove_file(socket(&pair, 0)).expect("removed");
    assert_eq!(ctl(&pair, 0, &["resume"]).status.code(), Some(2));
    assert_eq!(agent.process.exited(), None);
}
