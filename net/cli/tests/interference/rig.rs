//! An agent that manages a switch, and what these tests ask of the two.

use std::path::Path;

use serde_json::{Value, json};
use tandem_lab::agent::{NetworkSection, PortSection, RemoteMac, SwitchSection};
use tandem_lab::stage::TSN;
use tandem_lab::switch::remote_mac;
use tandem_lab::{Agent, Contents, Stage, Switch};

pub(crate) const BLUE: &str = "Contrail-6f1c0d0e-0000-4000-8000-000000000001";

pub(crate) struct Rig {
    pub(crate) agent: Agent,
    pub(crate) switch: Switch,
    pub(crate) stage: Stage,
    desired: Contents,
}

impl Rig {
    /// One network with so many MACs, all behind one tunnel end.
    pub(crate) fn new(macs: u32) -> Self {
        let rig = Self::starting(macs, |_| {});
        rig.converged();
        rig
    }

    /// A rig whose agent has only just been started, on a prepared database.
    pub(crate) fn starting(macs: u32, prepare: impl FnOnce(&Switch)) -> Self {
        let stage = Stage::new().expect("a stage");
        let switch = Switch::start(&stage.scratch, "tor1", stage.switch("tor1").expect("options")).expect("a switch");
        prepare(&switch);
        let mut options = stage.agent().expect("options");
        options.network = vec![NetworkSection {
            name: "blue".into(),
            uuid: BLUE.trim_start_matches("Contrail-").into(),
            vni: 5001,
            remote_macs: (0..macs)
                .map(|number| RemoteMac {
                    mac: remote_mac(number),
                    vtep: "10.0.9.1".parse().expect("an address"),
                })
                .collect(),
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
            level = "debug"
        };
        let binary = Path::new(env!("CARGO_BIN_EXE_tandem"));
        let agent = Agent::start(&stage.scratch, binary, options).expect("an agent");
        let desired = Contents {
            logical_switches: [(BLUE.into(), Some(5001))].into(),
            broadcast: vec![(BLUE.into(), "unknown-dst".into(), vec![TSN.to_string()])],
            remote: (0..macs)
                .map(|number| (BLUE.into(), remote_mac(number), "10.0.9.1".into()))
                .collect(),
            local: Vec::new(),
            bindings: [(("tor1".into(), "eth1".into(), 10), BLUE.into())].into(),
        };
        Self {
            agent,
            switch,
            stage,
            desired,
        }
    }

    /// Waits until the database is as desired, and the agent has nothing left to do.
    pub(crate) fn converged(&self) -> Value {
        let converged = || {
            let session = self.agent.session("tor1")?;
            let quiet = session["pending"] == 0 && session["in_flight"] == 0 && session["quarantine"] == json!([]);
            (quiet && self.found() == self.desired).then_some(session)
        };
        self.stage
            .wait("a database as desired", converged)
            .unwrap_or_else(|error| {
                let session = self.agent.session("tor1").unwrap_or_default();
                panic!("{error}\nstatus: {session:#}\nfound: {:#?}", self.found())
            })
    }

    pub(crate) fn found(&self) -> Contents {
        Contents::of(&self.switch.snapshot().expect("a snapshot"))
    }

    pub(crate) fn vtep_ctl(&self, args: &[&str]) {
        self.switch.vtep_ctl(args).expect("vtep-ctl");
    }

    /// Waits for a line with all of these words.
    pub(crate) fn line(&self, words: &[&str]) -> String {
        let what = format!("a line with {words:?}");
        let line = self.stage.wait(&what, || self.agent.lines(words).pop());
        line.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The comments of the agent in the database's log, in order.
    pub(crate) fn comments(&self) -> Vec<String> {
        let log = self.switch.log().expect("a log");
        let comments = log.into_iter().flat_map(|transaction| transaction.comments);
        comments.filter(|comment| comment.starts_with("tandem ")).collect()
    }
}

/// Deletes every row of a table.
pub(crate) fn everything_of(table: &str) -> Value {
    json!({ "op": "delete", "table": table, "where": [] })
}

/// Deletes every logical switch with all that stands in it, in one transaction.
pub(crate) fn delete_all() -> Value {
    json!([
        everything_of("Ucast_Macs_Remote"),
        everything_of("Mcast_Macs_Remote"),
        { "op": "update", "table": "Physical_Port", "where": [], "row": { "vlan_bindings": ["map", []] } },
        everything_of("Logical_Switch"),
    ])
}
