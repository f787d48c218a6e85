//! The switch reports faults of itself and of its ports in its database.

use serde_json::json;
use tandem_core::ConnId;
use tandem_core::event::{LogEvent, What};
use tandem_core::status::Phase;
use tandem_sim::switch::{Options, SchemaVersion};

use crate::world::{Wanted, World};

fn managed(version: SchemaVersion) -> (World, ConnId) {
    let mut world = World::with(Options::new(version));
    let conn = world.manage(&Wanted::new().network(1, 5001).0);
    (world, conn)
}

/// The switch reports this from now on. Answers the lines about it.
fn reports(world: &mut World, table: &str, column: &str, faults: &[&str]) -> Vec<String> {
    world.events.clear();
    let name = if table == "Physical_Port" { "eth1" } else { "tor1" };
    let row = json!({ column: ["set", faults] });
    world.edit(json!([{"op": "update", "table": table, "where": [["name", "==", name]], "row": row}]));
    world.run();
    let faults = world
        .events
        .iter()
        .filter(|event| matches!(event.what, What::SwitchFaults { .. }));
    faults
        .map(|event| format!("{:?} {}", event.what.level(), event.what))
        .collect()
}

fn status(world: &World, conn: ConnId) -> Vec<String> {
    world.status(conn).faults.iter().map(ToString::to_string).collect()
}

#[test]
fn a_fault_of_the_switch_and_of_a_port_is_reported_until_it_is_over() {
    for version in [SchemaVersion::V1_1_0, SchemaVersion::V1_7_0] {
        let (mut world, conn) = managed(version);
        let switch = ("Physical_Switch", "switch_fault_status");
        let port = ("Physical_Port", "port_fault_status");
        let full = reports(&mut world, switch.0, switch.1, &["mac_table_exhaustion"]);
        assert_eq!(full, ["Warn tor1: mac_table_exhaustion"]);
        let wrong = reports(&mut world, port.0, port.1, &["invalid_vlan_map", "invalid_ACL_binding"]);
        assert_eq!(wrong, ["Warn port eth1 of tor1: invalid_ACL_binding, invalid_vlan_map"]);
        assert_eq!(
            status(&world, conn),
            [
                "tor1: mac_table_exhaustion",
                "port eth1 of tor1: invalid_ACL_binding",
                "port eth1 of tor1: invalid_vlan_map"
            ]
        );
        assert_eq!(world.status(conn).alarms[0].objects, 3);
        assert_eq!(
            reports(&mut world, switch.0, switch.1, &[]),
            ["Info tor1: no fault any more"]
        );
        assert_eq!(
            reports(&mut world, port.0, port.1, &[]),
            ["Info port eth1 of tor1: no fault any more"]
        );
        assert!(status(&world, conn).is_empty() && world.status(conn).alarms.is_empty());
    }
}

#[test]
fn a_fault_that_is_there_when_the_switch_connects_is_reported_once() {
    let mut world = World::new();
    reports(
        &mut world,
        "Physical_Switch",
        "switch_fault_status",
        &["no_fault_of_ours"],
    );
    world.manage(&Wanted::new().network(1, 5001).0);
    let faults = world.words().into_iter().filter(|word| *word == "SwitchFaults");
    assert_eq!(faults.count(), 1);
}

#[test]
fn a_schema_without_faults_is_managed_as_before() {
    let (world, conn) = managed(SchemaVersion::V1_0_0);
    assert_eq!(
        (world.status(conn).phase, status(&world, conn).len()),
        (Phase::Synced, 0)
    );
}
