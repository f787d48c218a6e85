//! A hundred thousand remote rows: the broadcast rows are repointed before the agent requests
//! them, and no session is cut off meanwhile.

#![allow(clippy::print_stdout, reason = "measured values are for people to read")]

mod fabric;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use tandem_lab::agent::{AgentOptions, NetworkSection, PortSection, SwitchSection};
use tandem_lab::stage::TSN;
use tandem_lab::switch::remote_mac;
use tandem_lab::{Agent, Contents, Stage, Switch};

const ROWS: u32 = 100_000;
const BLUE: &str = "Contrail-6f1c0d0e-0000-4000-8000-000000000001";
const VTEP: &str = "10.0.9.1";

/// The rows of a full table that a takeover has to write.
const MISSING: u32 = 50;

#[test]
fn a_takeover_of_a_full_table_claims_before_it_reads_and_cuts_no_session_off() {
    let stage = Stage::new().expect("a stage");
    let full = switch(&stage, "full");
    let began = Instant::now();
    fill(&full);
    println!("{ROWS} rows loaded in {:.1} s", began.elapsed().as_secs_f64());
    let beside = switch(&stage, "beside");
    // Another server that wants its echo within a second.
    let probe = json!([{ "op": "update", "table": "Manager", "where": [], "row": { "inactivity_probe": 1000 } }]);
    beside.transact(&probe).expect("a probe");
    let agent =
        Agent::start(&stage.scratch, Path::new(env!("CARGO_BIN_EXE_tandem")), options(&stage)).expect("an agent");
    let converged = |name: &str| stage.converged(&agent, name).expect("converged");
    let before = converged("beside")["generation"].clone();
    let session = converged("full");
    let takeover = &session["takeover_ms"];
    let (now, peak) = agent.process.memory_kib().expect("memory");
    println!("takeover of {ROWS} rows: {takeover}");
    println!("memory: {} MiB, at most {} MiB", now >> 10, peak >> 10);

    // The claim was applied before the dump was there: the database's log has it first, and alone.
    let ms = |step: &str| takeover[step].as_f64().expect("a time");
    assert!(ms("claimed") < ms("read"), "{takeover}");
    let log = full.log().expect("a log");
    let comments: Vec<&String> = log.iter().flat_map(|transaction| &transaction.comments).collect();
    let ours: Vec<&&String> = comments
        .iter()
        .filter(|comment| comment.starts_with("tandem "))
        .collect();
    assert!(ours[0].ends_with(": broadcast"), "{ours:?}");
    assert_eq!(
        ours.iter().filter(|comment| comment.ends_with(": broadcast")).count(),
        1,
        "{ours:?}"
    );
    let place = |words: &str| {
        let lines = agent.log();
        let line = lines
            .iter()
            .position(|line| line.contains(words) && line.contains("switch=\"full\""));
        line.unwrap_or_else(|| panic!("no {words} in\n{}", lines.join("\n")))
    };
    assert!(place("Claimed: 1 broadcast row repointed") < place("Read: "));

    // Nothing was cut: each switch has the only session that it ever had.
    for name in ["full", "beside"] {
        assert_eq!(agent.lines(&["Identified: ", name]).len(), 1, "{name}");
    }
    assert_eq!(converged("beside")["generation"], before);
    assert!(agent.lines(&["Closed: "]).is_empty(), "{}", agent.log().join("\n"));
    assert!(
        beside
            .process
            .log()
            .lines()
            .all(|line| !line.contains("no response to inactivity probe"))
    );

    // It is the desired state, and only the missing rows were written.
    let contents = Contents::of(&full.snapshot().expect("a snapshot"));
    assert_eq!(contents.remote.len(), ROWS as usize);
    assert_eq!(
        contents.broadcast,
        [(BLUE.into(), "unknown-dst".into(), vec![TSN.to_string()])]
    );
    let changes = log
        .iter()
        .filter(|transaction| {
            transaction
                .comments
                .iter()
                .any(|comment| comment.starts_with("tandem "))
        })
        .flat_map(|transaction| &transaction.changes);
    let macs = changes.filter(|change| change.table == "Ucast_Macs_Remote").count();
    assert_eq!(macs, MISSING as usize);
}

fn switch(stage: &Stage, name: &str) -> Switch {
    let options = stage.switch(name).expect("options");
    Switch::start(&stage.scratch, name, options).expect("a switch")
}

/// As another agent left it: everything is right but the services node and a few rows.
fn fill(switch: &Switch) {
    switch.add_logical_switch(BLUE, 5001).expect("a logical switch");
    let found = switch.dump("Logical_Switch", &["_uuid"]).expect("a table")[0]["_uuid"].clone();
    switch
        .transact(&json!([
            { "op": "insert", "table": "Physical_Locator", "uuid-name": "l",
              "row": { "dst_ip": "10.0.0.12", "encapsulation_type": "vxlan_over_ipv4" } },
            { "op": "insert", "table": "Physical_Locator_Set", "uuid-name": "s",
              "row": { "locators": ["named-uuid", "l"] } },
            { "op": "insert", "table": "Mcast_Macs_Remote",
              "row": { "MAC": "unknown-dst", "logical_switch": found, "locator_set": ["named-uuid", "s"] } },
        ]))
        .expect("a broadcast row");
    switch.add_remote_macs(BLUE, ROWS - MISSING, VTEP).expect("rows");
}

fn options(stage: &Stage) -> AgentOptions {
    let file = stage.scratch.path().join("blue.macs");
    let mut text = String::new();
    for number in 0..ROWS {
        writeln!(text, "{} {VTEP}", remote_mac(number)).expect("text");
    }
    std::fs::write(&file, text).expect("a file");
    let network = |name: &str, last: u32, file| NetworkSection {
        name: name.into(),
        uuid: format!("6f1c0d0e-0000-4000-8000-00000000000{last}"),
        vni: 5000 + last,
        remote_macs: Vec::new(),
        remote_macs_file: file,
    };
    let section = |name: &str, network: &str| SwitchSection {
        name: name.into(),
        vtep: "10.0.1.1".parse().expect("an address"),
        certificate: None,
        ports: vec![PortSection {
            port: "eth1".into(),
            vlan: 10,
            network: network.into(),
        }],
    };
    let mut options = stage.agent().expect("options");
    options.keepalive.interval = "1s".into();
    options.network = vec![network("blue", 1, Some(file)), network("green", 2, None)];
    options.switch = vec![section("full", "blue"), section("beside", "green")];
    options
}
