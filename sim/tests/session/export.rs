//! Local MACs are exported as routes, and withdrawn when they go.

use serde_json::{Value, json};
use tandem_core::alarm::AlarmKind;
use tandem_core::event::{Route, What};
use tandem_core::session::Command;
use tandem_core::{ConnId, Mac};

use crate::wire::SECOND;
use crate::world::{TUNNEL_IP, Wanted, World, find_locator, find_logical_switch, learn, mac, name, network, ops, vtep};

fn wanted() -> Wanted {
    Wanted::new().network(1, 5001).network(2, 5002)
}

fn route(mac: Mac, vtep: std::net::Ipv4Addr) -> Route {
    let network = network(1);
    Route { network, mac, vtep }
}

/// Every route that was exported or withdrawn since this was asked last.
fn news(world: &mut World) -> Vec<(&'static str, Route)> {
    let events = std::mem::take(&mut world.events).into_iter();
    let routes = events.filter_map(|event| match event.what {
        What::Exported(route) => Some(("Exported", route)),
        What::Withdrawn(route) => Some(("Withdrawn", route)),
        _ => None,
    });
    routes.collect()
}

fn managed() -> (World, ConnId) {
    let mut world = World::new();
    let conn = world.manage(&wanted().0);
    (world, conn)
}

fn unlearn(world: &mut World) {
    world.edit(json!([{"op": "delete", "table": "Ucast_Macs_Local", "where": []}]));
    world.run();
}

/// The switch writes at which tunnel ends it wants broadcast of network 1.
fn floods_at(world: &mut World, ends: &[std::net::Ipv4Addr]) {
    let ls = ops::uuid(find_logical_switch(world, &name(1)).expect("there"));
    let mut operations = vec![json!({"op": "delete", "table": "Mcast_Macs_Local", "where": []})];
    let locators: Vec<Value> = ends
        .iter()
        .map(|end| match find_locator(world, *end) {
            Some(row) => ops::uuid(row),
            None => {
                let name = format!("l{}", end.to_bits());
                operations.push(ops::locator(&name, *end));
                ops::named(&name)
            }
        })
        .collect();
    if !ends.is_empty() {
        let row = json!({"locators": ["set", locators]});
        operations.push(json!({"op": "insert", "table": "Physical_Locator_Set", "uuid-name": "s", "row": row}));
        operations.push(ops::mcast("Mcast_Macs_Local", "unknown-dst", &ls, "s"));
    }
    world.edit(Value::Array(operations));
    world.run();
}

#[test]
fn a_learned_mac_is_exported_and_withdrawn_when_it_is_gone() {
    let (mut world, conn) = managed();
    learn(&mut world, &name(1), mac(1), TUNNEL_IP);
    assert_eq!(news(&mut world), [("Exported", route(mac(1), TUNNEL_IP))]);
    assert_eq!(world.sessions[&conn].exported(), 1);
    unlearn(&mut world);
    assert_eq!(news(&mut world), [("Withdrawn", route(mac(1), TUNNEL_IP))]);
    assert_eq!(world.sessions[&conn].exported(), 0);
}

#[test]
fn a_mac_that_is_there_at_the_takeover_is_exported_once() {
    let (mut world, conn) = managed();
    learn(&mut world, &name(1), mac(1), TUNNEL_IP);
    world.disconnect(conn);
    news(&mut world);
    world.manage(&wanted().0);
    assert_eq!(news(&mut world), [("Exported", route(mac(1), TUNNEL_IP))]);
}

#[test]
fn a_switch_whose_own_tunnel_end_changes_moves_its_macs() {
    let (mut world, _) = managed();
    learn(&mut world, &name(1), mac(1), TUNNEL_IP);
    news(&mut world);
    world.edit(json!([
        ops::locator("l", vtep(77)),
        {"op": "update", "table": "Ucast_Macs_Local", "where": [], "row": {"locator": ops::named("l")}},
    ]));
    world.run();
    // In this order, so that it is missing nowhere.
    let moved = [
        ("Exported", route(mac(1), vtep(77))),
        ("Withdrawn", route(mac(1), TUNNEL_IP)),
    ];
    assert_eq!(news(&mut world), moved);
}

#[test]
fn a_mac_in_two_rows_is_one_route_until_both_are_gone() {
    let (mut world, _) = managed();
    learn(&mut world, &name(1), mac(1), TUNNEL_IP);
    learn(&mut world, &name(1), mac(1), TUNNEL_IP);
    assert_eq!(news(&mut world).len(), 1);
    let (row, _) = world.switch.rows("Ucast_Macs_Local").next().expect("there");
    world.edit(json!([ops::delete("Ucast_Macs_Local", row)]));
    world.run();
    assert_eq!(news(&mut world), []);
    unlearn(&mut world);
    assert_eq!(news(&mut world).len(), 1);
}

#[test]
fn each_tunnel_end_of_the_flood_route_is_exported_and_withdrawn_by_itself() {
    let (mut world, _) = managed();
    floods_at(&mut world, &[TUNNEL_IP, vtep(70)]);
    assert_eq!(news(&mut world).len(), 2);
    floods_at(&mut world, &[vtep(70)]);
    assert_eq!(news(&mut world), [("Withdrawn", route(Mac::BROADCAST, TUNNEL_IP))]);
    floods_at(&mut world, &[]);
    assert_eq!(news(&mut world), [("Withdrawn", route(Mac::BROADCAST, vtep(70)))]);
}

#[test]
fn what_stands_in_a_network_that_is_not_wanted_is_not_exported() {
    let (mut world, conn) = managed();
    learn(&mut world, &name(1), mac(1), TUNNEL_IP);
    floods_at(&mut world, &[TUNNEL_IP]);
    news(&mut world);
    world.configure(conn, &Wanted::new().network(2, 5002).0);
    let words: Vec<_> = news(&mut world).into_iter().map(|(word, _)| word).collect();
    assert_eq!(words, ["Withdrawn", "Withdrawn"]);
    world.configure(conn, &wanted().0);
    assert_eq!(news(&mut world).len(), 2);
}

#[test]
fn what_stands_in_a_foreign_logical_switch_is_not_exported() {
    let (mut world, _) = managed();
    world.edit(json!([ops::logical_switch("theirs", 9000)]));
    learn(&mut world, "theirs", mac(1), TUNNEL_IP);
    assert_eq!(news(&mut world), []);
}

#[test]
fn text_that_is_no_mac_is_not_exported_and_ends_nothing() {
    let (mut world, conn) = managed();
    let ls = ops::uuid(find_logical_switch(&world, &name(1)).expect("there"));
    world.edit(json!([
        ops::locator("l", TUNNEL_IP),
        ops::ucast("Ucast_Macs_Local", "zz", &ls, &ops::named("l"))
    ]));
    world.run();
    assert_eq!(news(&mut world), []);
    assert!(world.is_open(conn));
    let alarms = world.status(conn).alarms;
    let [alarm] = alarms.as_slice() else {
        panic!("{alarms:?}")
    };
    assert_eq!((alarm.kind, alarm.objects), (AlarmKind::NotExported, 1));
    assert_eq!(alarm.detail, "1 row of Ucast_Macs_Local whose text is no MAC");
}

#[test]
fn a_mac_that_the_switch_spells_in_another_way_is_exported() {
    let (mut world, conn) = managed();
    let ls = ops::uuid(find_logical_switch(&world, &name(1)).expect("there"));
    for spelled in ["02-00-00-00-00-01", "0200.0000.0001"] {
        world.edit(json!([
            ops::locator("l", TUNNEL_IP),
            ops::ucast("Ucast_Macs_Local", spelled, &ls, &ops::named("l"))
        ]));
        world.run();
        assert_eq!(news(&mut world), [("Exported", route(mac(1), TUNNEL_IP))], "{spelled}");
        assert_eq!(world.status(conn).alarms, []);
        unlearn(&mut world);
        news(&mut world);
    }
}

#[test]
fn a_logical_switch_that_another_client_deletes_takes_its_routes_with_it() {
    let (mut world, _) = managed();
    learn(&mut world, &name(1), mac(1), TUNNEL_IP);
    news(&mut world);
    let row = find_logical_switch(&world, &name(1)).expect("there");
    world.edit(json!([
        {"op": "update", "table": "Physical_Port", "where": [], "row": {"vlan_bindings": ["map", []]}},
        {"op": "delete", "table": "Ucast_Macs_Local", "where": []},
        {"op": "delete", "table": "Mcast_Macs_Remote", "where": []},
        ops::delete("Logical_Switch", row),
    ]));
    world.run();
    assert_eq!(news(&mut world), [("Withdrawn", route(mac(1), TUNNEL_IP))]);
}

#[test]
fn a_row_that_arrives_before_its_locator_is_exported_when_the_locator_is_there() {
    let (mut world, conn) = managed();
    let ls = ops::uuid(find_logical_switch(&world, &name(1)).expect("there"));
    world.edit(json!([
        ops::locator("l", TUNNEL_IP),
        ops::ucast("Ucast_Macs_Local", &mac(1).to_string(), &ls, &ops::named("l")),
    ]));
    // The server sends one transaction to several monitors, in any order.
    let mut updates = world.intercept_answers(conn);
    updates.sort_by_key(|update| update["params"][0] != "local");
    updates.iter().for_each(|update| world.send_to_session(conn, update));
    world.run();
    assert_eq!(news(&mut world), [("Exported", route(mac(1), TUNNEL_IP))]);
}

#[test]
fn a_row_that_arrives_before_its_logical_switch_is_exported_when_that_is_there() {
    let mut world = World::new();
    let conn = world.manage(&Wanted::new().0);
    let (configuration, complete) = (wanted().0.into(), true);
    world.edit(json!([
        ops::logical_switch(&name(1), 5001),
        ops::locator("l", TUNNEL_IP),
        ops::ucast(
            "Ucast_Macs_Local",
            &mac(1).to_string(),
            &ops::named("ls"),
            &ops::named("l")
        ),
    ]));
    world.command(
        conn,
        Command::Configure {
            configuration,
            complete,
        },
    );
    let mut updates = world.intercept_answers(conn);
    updates.sort_by_key(|update| update["params"][0] != "local");
    updates.iter().for_each(|update| world.send_to_session(conn, update));
    world.pass(SECOND);
    assert_eq!(news(&mut world), [("Exported", route(mac(1), TUNNEL_IP))]);
}

#[test]
fn whatever_ends_the_session_retracts_what_it_exported() {
    let ends: [fn(&mut World, ConnId); 4] = [
        |world, conn| world.disconnect(conn),
        |world, conn| world.command(conn, Command::Drain),
        |world, conn| world.send_to_session(conn, &json!({"id": null, "method": "stolen", "params": ["tandem"]})),
        |world, conn| {
            world.to_switch.remove(&conn);
            world.pass(20 * SECOND);
        },
    ];
    for end in ends {
        let (mut world, conn) = managed();
        learn(&mut world, &name(1), mac(1), TUNNEL_IP);
        floods_at(&mut world, &[TUNNEL_IP]);
        end(&mut world, conn);
        world.run();
        assert_eq!(world.count(|what| *what == What::Retracted { routes: 2 }), 1);
    }
}

#[test]
fn after_a_reconnect_everything_is_exported_anew_by_the_new_session() {
    let (mut world, conn) = managed();
    learn(&mut world, &name(1), mac(1), TUNNEL_IP);
    world.disconnect(conn);
    let next = world.manage(&wanted().0);
    let exported = |conn| {
        let events = world.events.iter().filter(|event| event.conn == conn);
        events.filter(|event| matches!(event.what, What::Exported(_))).count()
    };
    assert_eq!((exported(conn), exported(next)), (1, 1));
}

#[test]
fn a_vni_that_changes_takes_nothing_back() {
    let (mut world, conn) = managed();
    learn(&mut world, &name(1), mac(1), TUNNEL_IP);
    news(&mut world);
    world.configure(conn, &Wanted::new().network(1, 6001).network(2, 5002).0);
    assert_eq!(news(&mut world), []);
    assert_eq!(world.sessions[&conn].exported(), 1);
}

#[test]
fn a_group_address_is_not_exported_as_if_it_were_in_one_place() {
    let (mut world, conn) = managed();
    for group in [Mac([1, 0, 94, 0, 0, 1]), Mac([0x33, 0x33, 0, 0, 0, 1])] {
        learn(&mut world, &name(1), group, TUNNEL_IP);
    }
    learn(&mut world, &name(1), mac(1), TUNNEL_IP);
    assert_eq!(news(&mut world), [("Exported", route(mac(1), TUNNEL_IP))]);
    assert_eq!(world.sessions[&conn].exported(), 1);
    let alarms = world.status(conn).alarms;
    assert_eq!((alarms[0].kind, alarms[0].objects), (AlarmKind::NotExported, 2));
    assert!(
        alarms[0].detail.ends_with("01:00:5e:00:00:01, 33:33:00:00:00:01"),
        "{alarms:?}"
    );
}

#[test]
fn a_mac_behind_a_locator_with_a_key_is_exported_if_the_key_is_the_vni_of_its_network() {
    let (mut world, conn) = managed();
    let row = ops::uuid(find_logical_switch(&world, &name(1)).expect("there"));
    for (number, key) in [(1, 5001), (2, 7000)] {
        let end = vtep(u8::try_from(number).expect("small"));
        let mut locator = ops::locator("l", end);
        locator["row"]["tunnel_key"] = json!(key);
        let address = mac(number).to_string();
        let learned = ops::ucast("Ucast_Macs_Local", &address, &row, &ops::named("l"));
        world.edit(json!([locator, learned]));
        world.run();
    }
    assert_eq!(news(&mut world), [("Exported", route(mac(1), vtep(1)))]);
    let alarms = world.status(conn).alarms;
    assert_eq!((alarms[0].kind, alarms[0].objects), (AlarmKind::NotExported, 1));
    assert!(alarms[0].detail.ends_with(&mac(2).to_string()), "{alarms:?}");
    world.edit(json!([{ "op": "delete", "table": "Ucast_Macs_Local", "where": [["MAC", "==", mac(2).to_string()]] }]));
    world.run();
    assert!(world.status(conn).alarms.is_empty());
}
