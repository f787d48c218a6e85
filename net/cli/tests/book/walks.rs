//! The walks of the book work when they are pasted.

use std::path::Path;
use std::process::{Command, Stdio};

use tandem_lab::{Loopback, Scratch, program};

use super::{blocks, read, root};

#[test]
fn the_quick_start_works_when_pasted() {
    let shown = pasted("quick-start.md", &["haproxy", "ovsdb-server", "ovsdb-tool", "vtep-ctl"]);
    let broadcast = |tsn: &str| shown.find(&format!("unknown-dst -> vxlan_over_ipv4/{tsn}"));
    let (first, other) = (broadcast("10.0.0.11"), broadcast("10.0.0.12"));
    assert!(
        first.is_some() && first < other,
        "first agent-a owns, then agent-b: {shown}"
    );
    assert!(shown.contains("\"tandem agent-b generation "), "{shown}");
}

#[test]
fn the_walk_with_control_nodes_works_when_pasted() {
    let shown = pasted("control-nodes.md", &["vtep-ctl"]);
    for seen in [
        "control-2.toml is right: control node control-2, revision 1, 1 network with 0 remote MACs, 2 switches with 2 port bindings, 2 agents",
        "agent-b.toml is right: agent agent-b, led by 2 control nodes",
        "control node control-1: revision 1, 2 clients, 1 network, 2 switches",
        "0030 Contrail-6f1c0d0e-0000-4000-8000-000000000001",
    ] {
        assert!(
            shown.lines().any(|line| line.trim() == seen),
            "{seen} is not in\n{shown}"
        );
    }
    let moved = |node: &str| {
        shown
            .lines()
            .any(|line| line.trim() == format!("unknown-dst -> vxlan_over_ipv4/{node}"))
    };
    assert!(
        moved("10.0.0.11") != moved("10.0.0.12"),
        "one agent was killed, and the other owns: {shown}"
    );
    let learned = shown.matches("02:00:00:00:00:07 -> vxlan_over_ipv4/10.0.1.1").count();
    assert_eq!(learned, 2, "it is there before and after the failover: {shown}");
}

/// The output of the `bash` blocks of a page, on loopback addresses of their own.
fn pasted(page: &str, programs: &[&str]) -> String {
    for name in programs {
        program::find(name).unwrap_or_else(|error| panic!("{error}"));
    }
    let scratch = Scratch::new().expect("a folder");
    let loopback = Loopback::claim().expect("a network");
    let network = loopback.address(0).to_string();
    let prefix = network.strip_suffix('0').expect("the first address");
    let walk = blocks(&read(&root().join("docs/src").join(page)), "bash").concat();
    let walk = walk.replace("127.0.0.", prefix);
    let tandem = Path::new(env!("CARGO_BIN_EXE_tandem")).parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    // The processes of the walk end with its shell, and the shell ends after two minutes.
    let output = Command::new("timeout")
        .args(["-k", "5", "120", "bash", "-ec"])
        .arg(format!("trap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n{walk}"))
        .current_dir(scratch.path())
        .env("PATH", format!("{}:{path}:/usr/sbin", tandem.display()))
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    let logs = scratch.logs();
    assert!(output.status.success(), "{shown}\n{complained}\n{logs}");
    eprintln!("{shown}");
    shown
}
