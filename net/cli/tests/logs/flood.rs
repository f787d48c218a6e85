//! Many events of one kind.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tandem_lab::agent::{NetworkSection, PortSection, SwitchSection};
use tandem_lab::switch::remote_mac;
use tandem_lab::{Agent, Stage, Switch};

const BLUE: &str = "Contrail-6f1c0d0e-0000-4000-8000-000000000001";

/// Foreign rows that another client inserts.
const ROWS: u32 = 200;

#[test]
fn foreign_rows_without_end_are_a_few_lines_and_counted_exactly() {
    let stage = Stage::new().expect("a stage");
    let switch = Switch::start(&stage.scratch, "tor1", stage.switch("tor1").expect("options")).expect("a switch");
    let agent = agent(&stage);
    let generation = stage.converged(&agent, "tor1").expect("converged")["generation"].clone();
    let macs: Vec<String> = (0..ROWS).map(remote_mac).collect();
    let inserts = macs.iter().map(|mac| ["--", "add-ucast-remote", BLUE, mac, "10.0.9.9"]);
    switch
        .vtep_ctl(&inserts.flatten().skip(1).collect::<Vec<_>>())
        .expect("vtep-ctl");
    let counted = || {
        let rows = switch.dump("Ucast_Macs_Remote", &["MAC"]).ok()?;
        let session = agent
            .session("tor1")
            .filter(|it| it["in_flight"] == 0 && it["pending"] == 0)?;
        assert_eq!(session["generation"], generation);
        session["warnings"]["Repaired"].as_u64().filter(|_| rows.is_empty())
    };
    let counted = stage.wait("the rows to go", counted).expect("repaired");
    assert!(counted >= u64::from(ROWS), "{counted}");
    agent.process.terminate().expect("it runs");
    agent.process.wait(Duration::from_secs(60)).expect("drained");
    let lines: Vec<Value> = agent
        .log()
        .iter()
        .map(|line| serde_json::from_str(line).expect("one JSON object"))
        .collect();
    let repaired: Vec<&Value> = lines.iter().filter(|line| line["word"] == "Repaired").collect();
    println!(
        "{} lines of {counted}, the last: {}",
        repaired.len(),
        repaired[repaired.len() - 1]
    );
    assert!(
        repaired
            .iter()
            .all(|line| line["switch"] == "tor1" && line["agent"] == "agent-a")
    );
    let summarised: u64 = repaired.iter().filter_map(|line| line["count"].as_u64()).sum();
    let written = repaired.iter().filter(|line| line["count"].is_null()).count() as u64;
    assert_eq!(
        summarised + written,
        counted,
        "each is in a line or in the number of one"
    );
    assert!(written <= counted / 4, "{written} lines");
}

fn agent(stage: &Stage) -> Agent {
    let mut options = stage.agent().expect("options");
    options.network = vec![NetworkSection {
        name: "blue".into(),
        uuid: BLUE.trim_start_matches("Contrail-").into(),
        vni: 5001,
        remote_macs: Vec::new(),
        remote_macs_file: None,
    }];
    options.switch = vec![SwitchSection {
        name: "tor1".into(),
        vtep: "10.0.1.1".parse().expect("an address"),
        certificate: None,
        ports: vec![PortSection {
            port: "eth1".into(),
            vlan: 10,
            network: "blue".into(),
        }],
    }];
    options.more = toml::toml! {
        [log]
        format = "json"
    };
    Agent::start(&stage.scratch, Path::new(env!("CARGO_BIN_EXE_tandem")), options).expect("an agent")
}
