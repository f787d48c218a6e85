//! Orders of an operator to running agents and control nodes, with `tandem ctl`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use tandem_lab::control::{ControlNode, ControlOptions};
use tandem_lab::pair::Pair;
use tandem_lab::{Loopback, Pki, Scratch};

use crate::pair::{LONG, audited, audited_by, options, start, wait};

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

#[test]
fn a_control_node_takes_log_levels_at_a_socket_of_its_own_and_refuses_what_is_for_agents() {
    let scratch = Scratch::new().expect("a folder");
    let loopback = Loopback::claim().expect("an address");
    let pki = Pki::new(scratch.folder("pki").expect("a folder")).expect("an authority");
    let credentials = pki.issue("control-1").expect("a certificate");
    let socket = scratch.path().join("control-1.sock");
    let mut options = ControlOptions::new("control-1", loopback.address(5), credentials);
    options.control.orders = Some(socket.clone());
    let binary = Path::new(env!("CARGO_BIN_EXE_tandem"));
    let node = ControlNode::start(&scratch, binary, options).expect("a control node");
    let there = || socket.exists().then_some(());
    scratch.wait_until("its socket", LONG, there).expect("a socket");
    let mode = socket.metadata().expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let ctl = |order: &[&str]| {
        let mut command = Command::new(binary);
        command.args(["ctl", "--config"]).arg(node.file()).args(order);
        command.output().expect("tandem ctl runs")
    };
    let done = ctl(&["log-level", "trace"]);
    assert_eq!(String::from_utf8_lossy(&done.stdout), "the log has WARN,tandem=TRACE\n");
    let refused = ctl(&["release", "tor1"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let why = "this is a control node: it takes `log-level` alone; give the order to an agent\n";
    assert_eq!(String::from_utf8_lossy(&refused.stderr), why);
    let logged = || node.lines(&["Ordered", "log-level", "done"]).pop();
    scratch
        .wait_until("a line about the order", LONG, logged)
        .expect("a line");
}
