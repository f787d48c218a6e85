//! A switch, a plan, and the shortest agent there is: what the tests of this folder need.

use std::net::Ipv4Addr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};
use tandem_core::Time;
use tandem_core::configuration::Configuration;

use super::configuration::{Intent, vtep_of};
use super::draft::{Draft, reference};
use super::{PORTS, view};
use crate::plan::{Edit, Plan, Span, Topology};
use crate::switch::{SchemaVersion, Switch};

pub(super) const TSN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 11);

pub(super) const EDITS: [Edit; 13] = [
    Edit::DeleteBroadcast,
    Edit::MisdirectBroadcast,
    Edit::DuplicateBroadcast,
    Edit::WidenBroadcast,
    Edit::DeleteRemote,
    Edit::DuplicateRemote,
    Edit::MisdirectRemote,
    Edit::StrayRemote,
    Edit::ClearBindings,
    Edit::MisbindPort,
    Edit::WrongVni,
    Edit::DeleteLogicalSwitch,
    Edit::AddForeign,
];

pub(super) fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// An empty `tor1`.
pub(super) fn switch(version: SchemaVersion) -> Switch {
    let mut switch = Switch::new(7, version);
    switch
        .add_physical_switch("tor1", &vtep_of("tor1").to_string(), &PORTS)
        .expect("a switch");
    switch
}

pub(super) fn plan(networks: usize) -> Plan {
    Plan {
        name: "bench".into(),
        seed: 7,
        duration: Span::seconds(600),
        topology: Topology {
            networks,
            ..Topology::default()
        },
        network: Default::default(),
        agent: Default::default(),
        proxy: Default::default(),
        switch: Default::default(),
        workload: Default::default(),
        judgement: Default::default(),
        #[cfg(feature = "mutants")]
        mutant: None,
        faults: Vec::new(),
    }
}

pub(super) fn configuration(networks: usize) -> Configuration {
    let plan = plan(networks);
    Intent::new(&plan).configuration("agent-a", TSN, &plan)
}

/// `tor1` with this many networks, as an agent would leave it.
pub(super) fn programmed(networks: usize) -> Switch {
    let mut switch = switch(SchemaVersion::V1_7_0);
    program(&mut switch, &configuration(networks));
    switch
}

/// Runs an edit that must find something to do.
pub(super) fn act(switch: &mut Switch, mut actor: impl FnMut(&Switch) -> Option<Value>) {
    let transaction = actor(switch);
    apply(switch, transaction);
}

/// Runs a transaction; it must be there, and be applied.
pub(super) fn apply(switch: &mut Switch, transaction: Option<Value>) {
    let transaction = transaction.expect("something to do");
    let results = switch.local(Time::ORIGIN, transaction.clone());
    let refused = |results: &Vec<Value>| results.iter().any(|result| result.get("error").is_some());
    let done = results.as_array().is_some_and(|results| !refused(results));
    assert!(done, "{transaction:#}\n{results:#}");
}

/// Puts everything back that is wanted of `tor1` and missing; what is too much stays.
pub(super) fn program(switch: &mut Switch, configuration: &Configuration) {
    for (uuid, network) in &configuration.networks {
        let mut draft = Draft::on(switch);
        let name = configuration.session.logical_switch(*uuid);
        let found = switch
            .rows("Logical_Switch")
            .find(|(_, row)| row.text("name") == Some(name.as_str()))
            .map(|(uuid, _)| uuid);
        let reference = match found {
            Some(found) => reference(found),
            None => {
                let row = json!({"name": name, "tunnel_key": network.vni});
                draft.insert("Logical_Switch", row)
            }
        };
        for (port, vlans) in &configuration.switches[&"tor1".into()].ports {
            for (vlan, _) in vlans.iter().filter(|(_, bound)| *bound == uuid) {
                draft.bind(port.as_str(), i64::from(*vlan), &reference);
            }
        }
        let rows = |table| -> Vec<_> {
            let rows = found.into_iter().flat_map(|found| view::rows_of(switch, table, found));
            rows.map(|(_, row)| view::mac(row)).collect()
        };
        if rows("Mcast_Macs_Remote").is_empty() {
            draft.multicast("Mcast_Macs_Remote", &reference, "unknown-dst", TSN);
        }
        let macs = rows("Ucast_Macs_Remote");
        let missing = network
            .remote_macs
            .iter()
            .filter(|(mac, _)| !macs.contains(&Some(**mac)));
        for (mac, vtep) in missing {
            draft.unicast("Ucast_Macs_Remote", &reference, &mac.to_string(), *vtep, "");
        }
        apply(switch, draft.finish());
    }
}
