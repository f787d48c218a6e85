//! The database against the desired state: the fewest writes.

use std::sync::Arc;

use serde_json::json;
use tandem_core::Machine;
use tandem_core::bounds::AUDIT_ROWS_PER_STEP;
use tandem_core::session::{Command, Why};
use tandem_sim::switch::{Options, SchemaVersion};

use crate::contents::{assert_as_wanted, found, ours, wanted};
use crate::world::{
    TSN_A, TSN_B, Wanted, World, find_locator, find_logical_switch, find_remote, leave_behind, mac, name, ops, vtep,
};

#[test]
fn an_empty_switch_gets_everything() {
    let configuration = Wanted::new().network(1, 5001).network(2, 5002).macs(1, 300).0;
    let mut world = World::new();
    world.manage(&configuration);
    assert_as_wanted(&world, &configuration);
    assert!(
        world
            .words()
            .starts_with(&["Opened", "Identified", "Locked", "Claimed"]),
        "{:?}",
        world.words()
    );
    assert!(world.words().ends_with(&["Audited"]));
}

#[test]
fn every_version_of_the_schema_is_managed() {
    let versions = [
        SchemaVersion::V1_0_0,
        SchemaVersion::V1_3_0,
        SchemaVersion::V1_5_0,
        SchemaVersion::V1_6_0,
        SchemaVersion::V1_7_0,
    ];
    for version in versions {
        let configuration = Wanted::new().network(1, 5001).macs(1, 3).0;
        let mut world = World::with(Options::new(version));
        world.manage(&configuration);
        assert_as_wanted(&world, &configuration);
    }
}

#[test]
fn a_server_without_monitor_cond_is_managed() {
    let configuration = Wanted::new().network(1, 5001).macs(1, 3).0;
    let mut options = Options::new(SchemaVersion::V1_3_0);
    options.monitor_cond = false;
    let mut world = World::with(options);
    world.manage(&configuration);
    assert_as_wanted(&world, &configuration);
    let gone = find_remote(&world, &mac(1).to_string())[0];
    world.edit(serde_json::json!([ops::delete("Ucast_Macs_Remote", gone)]));
    world.run();
    assert_as_wanted(&world, &configuration);
}

#[test]
fn a_takeover_that_finds_everything_right_writes_nothing() {
    let configuration = Wanted::new().network(1, 5001).network(2, 5002).macs(1, 50).0;
    let mut world = World::new();
    let first = world.manage(&configuration);
    world.disconnect(first);
    world.commits();
    world.manage(&configuration);
    assert_eq!(world.commits(), []);
    assert!(world.words().ends_with(&["Audited"]));
}

#[test]
fn a_takeover_by_the_other_agent_writes_only_the_broadcast_rows_in_one_transaction() {
    let configuration = Wanted::new().network(1, 5001).network(2, 5002).macs(1, 50);
    let mut world = World::new();
    let first = world.manage(&configuration.0);
    world.disconnect(first);
    world.commits();
    let configuration = configuration.agent_b().0;
    world.manage(&configuration);
    assert_as_wanted(&world, &configuration);
    let commits = world.commits();
    assert_eq!(commits.len(), 1, "{commits:?}");
    assert_eq!(commits[0].0, "tandem agent-b generation 2: broadcast");
}

#[test]
fn duplicate_rows_of_one_mac_are_folded_and_the_right_one_stays() {
    let configuration = Wanted::new().network(1, 5001).mac(1, mac(10), vtep(1)).0;
    let mut world = World::new();
    let text = mac(10).to_string();
    let rows = [
        (text.clone(), vtep(2)),
        (text.to_uppercase(), vtep(1)),
        (text.clone(), vtep(1)),
        (text.clone(), vtep(1)),
    ];
    leave_behind(&mut world, &name(1), 5001, TSN_A, &rows);
    world.manage(&configuration);
    assert_as_wanted(&world, &configuration);
    assert_eq!(find_remote(&world, &text).len(), 1);
}

#[test]
fn a_mac_in_upper_case_is_the_same_mac() {
    let configuration = Wanted::new().network(1, 5001).mac(1, mac(10), vtep(1)).0;
    let mut world = World::new();
    leave_behind(
        &mut world,
        &name(1),
        5001,
        TSN_A,
        &[(mac(10).to_string().to_uppercase(), vtep(1))],
    );
    world.manage(&configuration);
    assert_as_wanted(&world, &configuration);
    let unicast = world
        .commits()
        .into_iter()
        .filter(|(comment, _)| comment.ends_with("unicast"))
        .count();
    assert_eq!(unicast, 0);
}

#[test]
fn a_mac_at_another_tunnel_end_is_moved_in_place() {
    let configuration = Wanted::new().network(1, 5001).mac(1, mac(10), vtep(1)).0;
    let mut world = World::new();
    leave_behind(&mut world, &name(1), 5001, TSN_A, &[(mac(10).to_string(), vtep(2))]);
    let row = find_remote(&world, &mac(10).to_string());
    world.manage(&configuration);
    assert_as_wanted(&world, &configuration);
    assert_eq!(find_remote(&world, &mac(10).to_string()), row);
}

#[test]
fn rows_that_nothing_explains_go_from_our_logical_switches() {
    let configuration = Wanted::new().network(1, 5001).mac(1, mac(1), vtep(1)).0;
    let mut world = World::new();
    let rows = [
        (mac(1).to_string(), vtep(1)),
        (mac(2).to_string(), vtep(1)),
        ("zz".into(), vtep(2)),
    ];
    leave_behind(&mut world, &name(1), 5001, TSN_A, &rows);
    world.manage(&configuration);
    assert_as_wanted(&world, &configuration);
}

#[test]
fn a_desired_row_that_another_client_deletes_is_put_back_and_reported() {
    let configuration = Wanted::new().network(1, 5001).macs(1, 3).0;
    let mut world = World::new();
    world.manage(&configuration);
    let row = find_remote(&world, &mac(1).to_string())[0];
    world.edit(serde_json::json!([ops::delete("Ucast_Macs_Remote", row)]));
    world.run();
    assert_as_wanted(&world, &configuration);
    assert!(world.words().contains(&"Repaired"));
}

#[test]
fn a_foreign_insert_into_our_logical_switch_is_noticed_and_removed() {
    let configuration = Wanted::new().network(1, 5001).macs(1, 3).0;
    let mut world = World::new();
    world.manage(&configuration);
    let ls = ops::uuid(find_logical_switch(&world, &name(1)).expect("there"));
    world.edit(serde_json::json!([
        ops::locator("l", vtep(99)),
        ops::ucast("Ucast_Macs_Remote", "02:00:00:00:99:99", &ls, &ops::named("l")),
    ]));
    world.run();
    assert_as_wanted(&world, &configuration);
}

#[test]
fn a_logical_switch_that_another_client_deletes_with_all_that_is_in_it_comes_back() {
    let configuration = Wanted::new().network(1, 5001).macs(1, 3).0;
    let mut world = World::new();
    world.manage(&configuration);
    let row = find_logical_switch(&world, &name(1)).expect("there");
    world.edit(serde_json::json!([
        {"op": "update", "table": "Physical_Port", "where": [], "row": {"vlan_bindings": ["map", []]}},
        {"op": "delete", "table": "Ucast_Macs_Remote", "where": []},
        {"op": "delete", "table": "Mcast_Macs_Remote", "where": []},
        ops::delete("Logical_Switch", row),
    ]));
    world.run();
    assert_as_wanted(&world, &configuration);
}

#[test]
fn only_differences_of_a_new_configuration_are_written() {
    let mut world = World::new();
    let conn = world.manage(&Wanted::new().network(1, 5001).macs(1, 100).0);
    world.commits();
    let configuration = Wanted::new().network(1, 5001).macs(1, 101).0;
    world.configure(conn, &configuration);
    assert_as_wanted(&world, &configuration);
    assert_eq!(world.commits(), [("tandem agent-a generation 1: unicast".into(), 1)]);
}

#[test]
fn of_a_new_configuration_only_what_it_changes_is_compared() {
    let rows = u32::try_from(AUDIT_ROWS_PER_STEP).expect("a number of rows");
    let wanted = |rows| Wanted::new().network(1, 5001).network(2, 5002).macs(1, rows).0;
    let mut world = World::new();
    let conn = world.manage(&wanted(rows));
    world.commits();
    for (rows, commits) in [(rows, 0), (rows + 1, 1)] {
        let command = Command::Configure {
            configuration: Arc::new(wanted(rows)),
            complete: true,
        };
        world.command(conn, command);
        // To compare every row takes more than one step.
        let due = world.sessions[&conn].poll_timeout();
        assert!(due.is_none_or(|due| due.why != Why::MoreWork), "{due:?}");
        world.run();
        assert_as_wanted(&world, &wanted(rows));
        assert_eq!(world.commits().len(), commits);
    }
}

#[test]
fn routes_that_point_to_the_switch_itself_never_go_south() {
    let configuration = Wanted::new()
        .network(1, 5001)
        .mac(1, mac(1), crate::world::TUNNEL_IP)
        .mac(1, mac(2), vtep(1))
        .0;
    let mut world = World::new();
    world.manage(&configuration);
    assert_as_wanted(&world, &configuration);
    assert_eq!(found(&world.switch).remote.len(), 1);
}

#[test]
fn a_switch_that_was_left_by_the_other_agent_needs_no_second_look() {
    let configuration = Wanted::new().network(1, 5001).macs(1, 1000).0;
    let mut world = World::new();
    let rows: Vec<_> = configuration.networks[&crate::world::network(1)]
        .remote_macs
        .iter()
        .map(|(mac, vtep)| (mac.to_string(), *vtep))
        .collect();
    leave_behind(&mut world, &name(1), 5001, TSN_B, &rows);
    world.manage(&configuration);
    assert_eq!(found(&world.switch), wanted(&configuration));
    let lanes: Vec<String> = world.commits().into_iter().map(|(comment, _)| comment).collect();
    assert_eq!(
        lanes,
        [
            "tandem agent-a generation 1: broadcast",
            "tandem agent-a generation 1: bindings"
        ]
    );
}

#[test]
fn what_stands_in_a_logical_switch_that_gets_our_name_is_audited_groups_and_gibberish_too() {
    let mut world = World::new();
    let configuration = Wanted::new().network(1, 5001).0;
    let conn = world.manage(&configuration);
    let old = find_logical_switch(&world, &name(1)).expect("there");
    leave_behind(&mut world, "foreign", 6001, TSN_A, &[("gibberish".to_owned(), vtep(1))]);
    let foreign = find_logical_switch(&world, "foreign").expect("there");
    let locator = ops::uuid(find_locator(&world, vtep(1)).expect("there"));
    world.edit(json!([
        {"op": "insert", "table": "Physical_Locator_Set", "uuid-name": "s", "row": {"locators": locator}},
        ops::mcast("Mcast_Macs_Remote", "01:00:5e:00:00:01", &ops::uuid(foreign), "s"),
    ]));
    world.run();
    let change = |row, columns| {
        let row = ops::uuid(row);
        json!([{"op": "update", "table": "Logical_Switch", "where": [["_uuid", "==", row]], "row": columns}])
    };
    world.edit(change(old, json!({"name": "aside", "tunnel_key": 6002})));
    world.edit(change(foreign, json!({"name": name(1), "tunnel_key": 5001})));
    world.run();
    assert!(world.sessions.contains_key(&conn));
    assert_eq!(ours(&found(&world.switch)), wanted(&configuration));
}
