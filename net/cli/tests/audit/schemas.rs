//! Older schemas, and databases that serve more than one switch.

use serde_json::json;
use tandem_lab::switch::{PhysicalSwitch, Switch, remote_mac};
use tandem_lab::{Schema, Stage, SwitchOptions};

use crate::dirt::Dirt;
use crate::wanted::{self, BLUE, GONE, GREEN, contents, converged, found, vtep};

#[test]
fn older_schemas_are_cleaned_up_as_well() {
    for schema in [Schema::V1_0_0, Schema::V1_3_0] {
        let stage = Stage::new().expect("a stage");
        let options = SwitchOptions {
            schema,
            ..stage.switch("tor1").expect("options")
        };
        let switch = Switch::start(&stage.scratch, "tor1", options).expect("a switch");
        dirty(&switch);
        let mut agent = wanted::agent(&stage, &["tor1"]);
        converged(&stage, &agent);
        assert_eq!(found(&switch), contents(&["tor1"]), "schema {}", schema.version());
        let session = agent.session("tor1").expect("a session");
        assert_eq!(session["schema"], schema.version());
        agent.process.kill().expect("killed");
        assert_eq!(wanted::clean_up(&stage, &switch, &mut agent), 0);
        println!("schema {}: {}", schema.version(), session["takeover_ms"]);
    }
}

#[test]
fn two_switches_in_one_database_are_both_cleaned_up() {
    let stage = Stage::new().expect("a stage");
    let switch = two_switches(&stage);
    dirty(&switch);
    let agent = wanted::agent(&stage, &["tor1", "tor2"]);
    converged(&stage, &agent);
    assert_eq!(found(&switch), contents(&["tor1", "tor2"]));
    let [one, two] = ["tor1", "tor2"].map(|name| agent.session(name).expect("a session"));
    assert_eq!(one["conn"], two["conn"], "one session serves both");
}

#[test]
fn of_two_switches_in_one_database_the_one_that_is_not_configured_keeps_its_bindings() {
    let stage = Stage::new().expect("a stage");
    let switch = two_switches(&stage);
    let mut dirt = Dirt::on(&switch);
    dirt.logical_switch("theirs", Some(7001));
    let theirs = dirt.logical_switch("theirs", None);
    dirt.operation(json!({
        "op": "update", "table": "Physical_Port", "where": [["name", "==", "eth9"]],
        "row": { "vlan_bindings": ["map", [[10, theirs]]] },
    }));
    dirt.write(&switch);
    let agent = wanted::agent(&stage, &["tor1"]);
    converged(&stage, &agent);
    let mut expected = contents(&["tor1"]);
    expected.logical_switches.insert("theirs".into(), Some(7001));
    let place = ("tor2".into(), "eth9".into(), 10);
    expected.bindings.insert(place, "theirs".into());
    assert_eq!(found(&switch), expected);
    assert_eq!(
        agent.status().expect("a status")["switches"]
            .as_object()
            .expect("switches")
            .len(),
        1
    );
}

fn two_switches(stage: &Stage) -> Switch {
    let mut options = stage.switch("tor1").expect("options");
    options.physical_switches.push(PhysicalSwitch {
        name: "tor2".into(),
        tunnel_ip: "10.0.1.2".into(),
        // `eth1` and `eth2` as the other has, for their names are unique in a switch only.
        ports: vec!["eth1".into(), "eth2".into(), "eth9".into()],
    });
    Switch::start(&stage.scratch, "tor1", options).expect("a switch")
}

/// Some of everything that every schema knows.
fn dirty(switch: &Switch) {
    let mut dirt = Dirt::on(switch);
    dirt.logical_switch(BLUE, Some(5002));
    dirt.logical_switch(GREEN, Some(5001));
    dirt.logical_switch(GONE, Some(5003));
    for mac in [
        remote_mac(10),
        remote_mac(10).to_uppercase(),
        "no MAC".into(),
        remote_mac(99),
    ] {
        dirt.unicast("Ucast_Macs_Remote", BLUE, &mac, &vtep(10));
    }
    dirt.unicast("Ucast_Macs_Remote", GREEN, &remote_mac(100), "10.0.9.77");
    dirt.unicast("Ucast_Macs_Remote", GONE, &remote_mac(100), "10.0.9.77");
    dirt.multicast("Mcast_Macs_Remote", BLUE, "unknown-dst", &["10.0.0.12"]);
    dirt.multicast("Mcast_Macs_Remote", BLUE, "ff:ff:ff:ff:ff:ff", &["10.0.0.11"]);
    dirt.bind("eth1", 10, GREEN);
    dirt.bind("eth2", 30, GONE);
    dirt.write(switch);
}
