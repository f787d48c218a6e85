//! The configuration of the agent of these tests, and the contents that a database must then have.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use tandem_lab::agent::{Agent, AgentOptions, NetworkSection, PortSection, RemoteMac, SwitchSection};
use tandem_lab::journal::{ChangeKind, Transaction};
use tandem_lab::stage::TSN;
use tandem_lab::switch::{Switch, remote_mac};
use tandem_lab::{Contents, Stage};

pub(crate) const BLUE: &str = "Contrail-6f1c0d0e-0000-4000-8000-000000000001";
pub(crate) const GREEN: &str = "Contrail-6f1c0d0e-0000-4000-8000-000000000002";
pub(crate) const RED: &str = "Contrail-6f1c0d0e-0000-4000-8000-000000000003";

/// No network of this name is configured.
pub(crate) const GONE: &str = "Contrail-6f1c0d0e-0000-4000-8000-0000000000ff";

/// (name, VNI, number of the first MAC, MACs) of each network. `blue` has letters in its MACs.
const NETWORKS: [(&str, i64, u32, u32); 3] = [(BLUE, 5001, 10, 6), (GREEN, 5002, 100, 3), (RED, 5003, 200, 0)];

/// (port, VLAN, index of the network)
const PORTS: [(&str, u16, usize); 3] = [("eth1", 10, 0), ("eth1", 20, 1), ("eth2", 10, 2)];

const NAMES: [&str; 3] = ["blue", "green", "red"];

pub(crate) fn binary() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_BIN_EXE_tandem"))
}

/// The tunnel end of a MAC, by its number.
pub(crate) fn vtep(number: u32) -> String {
    end(number).to_string()
}

fn end(number: u32) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 9, u8::try_from(number % 2).expect("small") + 1)
}

/// An agent that wants three networks on each of these switches.
pub(crate) fn options(stage: &Stage, switches: &[&str]) -> AgentOptions {
    let mut options = stage.agent().expect("options");
    options.network = (0..NETWORKS.len())
        .map(|index| {
            let (name, vni, first, count) = NETWORKS[index];
            NetworkSection {
                name: NAMES[index].into(),
                uuid: name.trim_start_matches("Contrail-").into(),
                vni: u32::try_from(vni).expect("a VNI"),
                remote_macs: (first..first + count)
                    .map(|number| RemoteMac {
                        mac: remote_mac(number),
                        vtep: end(number),
                    })
                    .collect(),
                remote_macs_file: None,
            }
        })
        .collect();
    options.switch = switches.iter().map(|name| section(name)).collect();
    options.more = toml::toml! {
        [audit]
        local_macs_grace = "2s"
        [log]
        level = "debug"
    };
    options
}

fn section(name: &str) -> SwitchSection {
    SwitchSection {
        name: name.into(),
        vtep: Ipv4Addr::new(10, 0, 1, 1),
        certificate: None,
        ports: PORTS
            .iter()
            .map(|(port, vlan, network)| PortSection {
                port: (*port).into(),
                vlan: *vlan,
                network: NAMES[*network].into(),
            })
            .collect(),
    }
}

pub(crate) fn agent(stage: &Stage, switches: &[&str]) -> Agent {
    Agent::start(&stage.scratch, binary(), options(stage, switches)).expect("an agent")
}

pub(crate) fn switch(stage: &Stage) -> Switch {
    let options = stage.switch("tor1").expect("options");
    Switch::start(&stage.scratch, "tor1", options).expect("a switch")
}

/// The contents that the agent's configuration desires.
pub(crate) fn contents(switches: &[&str]) -> Contents {
    let mut contents = Contents::default();
    for (name, vni, first, count) in NETWORKS {
        contents.logical_switches.insert(name.into(), Some(vni));
        let broadcast = (name.into(), "unknown-dst".into(), vec![TSN.to_string()]);
        contents.broadcast.push(broadcast);
        let macs = (first..first + count).map(|number| (name.into(), remote_mac(number), vtep(number)));
        contents.remote.extend(macs);
    }
    contents.bindings = bindings(switches);
    contents
}

fn bindings(switches: &[&str]) -> BTreeMap<(String, String, i64), String> {
    let all = switches
        .iter()
        .flat_map(|switch| PORTS.iter().map(move |port| (switch, port)));
    all.map(|(switch, (port, vlan, network))| {
        let place = ((*switch).to_owned(), (*port).to_owned(), i64::from(*vlan));
        (place, NETWORKS[*network].0.to_owned())
    })
    .collect()
}

pub(crate) fn found(switch: &Switch) -> Contents {
    Contents::of(&switch.snapshot().expect("a snapshot"))
}

/// Rows that agents wrote in these transactions, apart from locators and sets: they come and go with the rows that
/// refer to them.
pub(crate) fn rows_written(log: &[Transaction]) -> usize {
    let ours = log.iter().filter(|transaction| {
        transaction
            .comments
            .iter()
            .any(|comment| comment.starts_with("tandem "))
    });
    let changes = ours.flat_map(|transaction| &transaction.changes);
    changes
        .filter(|change| !change.table.starts_with("Physical_Locator"))
        .count()
}

/// Waits until the agent has nothing left to do on `tor1`.
pub(crate) fn converged(stage: &Stage, agent: &Agent) {
    if let Err(error) = stage.converged(agent, "tor1") {
        panic!("{error}\nstatus: {:#}", agent.session("tor1").unwrap_or_default());
    }
}

/// Starts the agent again on a dirty database, and returns the number of rows that it wrote.
pub(crate) fn clean_up(stage: &Stage, switch: &Switch, agent: &mut Agent) -> usize {
    let before = switch.log().expect("a log").len();
    agent.restart().expect("an agent");
    converged(stage, agent);
    let log = &switch.log().expect("a log")[before..];
    let written = rows_written(log);
    let audited = agent.lines(&["Audited: "]).pop().expect("an audit");
    let logged = audited
        .split("Audited: ")
        .nth(1)
        .and_then(|line| line.split(' ').next());
    let logged: usize = logged.and_then(|count| count.parse().ok()).expect("a count");
    // Writes without effect are in no log. A logical switch goes with two operations for whatever may stand in it.
    let gone = log.iter().flat_map(|transaction| &transaction.changes);
    let gone = gone.filter(|change| change.table == "Logical_Switch" && change.kind == ChangeKind::Deleted);
    let in_vain = logged.saturating_sub(written + 2 * gone.count());
    assert_eq!(
        in_vain, 0,
        "{logged} rows written, of which the database shows {written}"
    );
    written
}
