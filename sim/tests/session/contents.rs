//! The contents of a switch's database, in a form that can be compared with a configuration.

use std::collections::{BTreeMap, BTreeSet};

use tandem_core::configuration::Configuration;
use tandem_sim::switch::Switch;

use crate::world::{TUNNEL_IP, World};

/// The tables that we program, by names instead of rows. What is double shows as a longer list.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Contents {
    /// Name to VNI.
    pub(crate) logical_switches: BTreeMap<String, Option<i64>>,
    /// Logical switch to each of its remote multicast rows: address and tunnel ends.
    pub(crate) broadcast: BTreeMap<String, Vec<(String, Vec<String>)>>,
    /// Logical switch and MAC in lower case to the tunnel end of each row.
    pub(crate) remote: BTreeMap<(String, String), Vec<String>>,
    /// Port and VLAN to logical switch.
    pub(crate) bindings: BTreeMap<(String, i64), String>,
}

/// The contents that are there.
pub(crate) fn found(switch: &Switch) -> Contents {
    let mut contents = Contents::default();
    let names: BTreeMap<_, _> = switch
        .rows("Logical_Switch")
        .map(|(uuid, row)| (uuid, row.text("name").unwrap_or_default().to_owned()))
        .collect();
    let ends: BTreeMap<_, _> = switch
        .rows("Physical_Locator")
        .map(|(uuid, row)| (uuid, row.text("dst_ip").unwrap_or_default().to_owned()))
        .collect();
    let sets: BTreeMap<_, Vec<String>> = switch
        .rows("Physical_Locator_Set")
        .map(|(uuid, row)| {
            (
                uuid,
                row.references("locators")
                    .map(|locator| ends[&locator].clone())
                    .collect(),
            )
        })
        .collect();
    for (uuid, row) in switch.rows("Logical_Switch") {
        contents
            .logical_switches
            .insert(names[&uuid].clone(), row.integer("tunnel_key"));
    }
    for (_, row) in switch.rows("Mcast_Macs_Remote") {
        let name = names[&row.reference("logical_switch").expect("a logical switch")].clone();
        let set = sets[&row.reference("locator_set").expect("a set")].clone();
        let mac = row.text("MAC").unwrap_or_default().to_owned();
        contents.broadcast.entry(name).or_default().push((mac, set));
    }
    for (_, row) in switch.rows("Ucast_Macs_Remote") {
        let name = names[&row.reference("logical_switch").expect("a logical switch")].clone();
        let end = ends[&row.reference("locator").expect("a locator")].clone();
        let mac = row.text("MAC").unwrap_or_default().to_lowercase();
        contents.remote.entry((name, mac)).or_default().push(end);
    }
    for (_, row) in switch.rows("Physical_Port") {
        let port = row.text("name").unwrap_or_default().to_owned();
        for (vlan, logical_switch) in row
            .datum("vlan_bindings")
            .into_iter()
            .flat_map(|bindings| bindings.pairs())
        {
            let name = names[&logical_switch.as_uuid().expect("a reference")].clone();
            contents
                .bindings
                .insert((port.clone(), vlan.as_integer().expect("a VLAN")), name);
        }
    }
    contents
}

/// The desired contents, if no other client had ever written anything.
pub(crate) fn wanted(configuration: &Configuration) -> Contents {
    let mut contents = Contents::default();
    let switch = &configuration.switches[&"tor1".into()];
    let tsn = configuration.session.tsn.to_string();
    for network in switch.networks() {
        let Some(it) = configuration.networks.get(&network) else {
            continue;
        };
        let name = configuration.session.logical_switch(network).to_string();
        contents
            .logical_switches
            .insert(name.clone(), Some(i64::from(it.vni.value())));
        contents
            .broadcast
            .insert(name.clone(), vec![("unknown-dst".into(), vec![tsn.clone()])]);
        for (mac, vtep) in it.remote_macs.iter().filter(|(_, vtep)| **vtep != TUNNEL_IP) {
            contents
                .remote
                .insert((name.clone(), mac.to_string()), vec![vtep.to_string()]);
        }
    }
    for (port, vlans) in &switch.ports {
        for (vlan, network) in vlans {
            let name = configuration.session.logical_switch(*network).to_string();
            contents.bindings.insert((port.to_string(), i64::from(*vlan)), name);
        }
    }
    contents
}

/// The part of the contents that belongs to others.
pub(crate) fn foreign(contents: &Contents) -> Contents {
    let foreign = |name: &String| !name.starts_with("Contrail-");
    let mut part = contents.clone();
    part.logical_switches.retain(|name, _| foreign(name));
    part.broadcast.retain(|name, _| foreign(name));
    part.remote.retain(|(name, _), _| foreign(name));
    part.bindings.retain(|_, name| foreign(name));
    part
}

/// The part of the contents that is ours.
pub(crate) fn ours(contents: &Contents) -> Contents {
    let ours: BTreeSet<String> = contents
        .logical_switches
        .keys()
        .filter(|name| name.starts_with("Contrail-"))
        .cloned()
        .collect();
    let mut part = contents.clone();
    part.logical_switches.retain(|name, _| ours.contains(name));
    part.broadcast.retain(|name, _| ours.contains(name));
    part.remote.retain(|(name, _), _| ours.contains(name));
    part.bindings.retain(|_, name| ours.contains(name));
    part
}

/// The switch holds exactly the desired state.
#[track_caller]
pub(crate) fn assert_as_wanted(world: &World, configuration: &Configuration) {
    assert_eq!(found(&world.switch), wanted(configuration));
}
