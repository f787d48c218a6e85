//! Another program undoes what the session writes, each time at once.

use serde_json::json;
use tandem_core::alarm::AlarmKind;
use tandem_core::event::What;

use crate::contents::assert_as_wanted;
use crate::wire::SECOND;
use crate::world::{Wanted, World, find_remote, mac, ops, vtep};

fn macs(count: u32) -> Wanted {
    Wanted::new().network(1, 5001).macs(1, count)
}

/// Deletes the row of MAC 1 as soon as it is there, for so many tenths of a second.
fn fight(world: &mut World, tenths: u32) {
    for _ in 0..tenths {
        world.pass(SECOND / 10);
        for row in find_remote(world, &mac(1).to_string()) {
            world.edit(json!([ops::delete("Ucast_Macs_Remote", row)]));
        }
    }
}

fn repairs(world: &World) -> usize {
    world.count(|what| matches!(what, What::Repaired { .. }))
}

#[test]
fn a_change_of_another_client_is_repaired_at_once_and_again_and_again_more_slowly() {
    let mut world = World::new();
    let conn = world.manage(&macs(3).0);
    fight(&mut world, 50);
    assert!((5..=7).contains(&repairs(&world)), "{}", repairs(&world));
    fight(&mut world, 600);
    assert!(repairs(&world) <= 7 + 8, "one in ten seconds: {}", repairs(&world));
    assert_eq!(world.status(conn).repairs, repairs(&world) as u64);
}

#[test]
fn a_fight_is_an_alarm_and_one_line_a_minute_with_what_the_other_program_wrote() {
    let mut world = World::new();
    let conn = world.manage(&macs(3).0);
    fight(&mut world, 1200);
    let status = world.status(conn);
    let [alarm] = status.alarms.as_slice() else {
        panic!("{:?}", status.alarms)
    };
    assert_eq!((alarm.kind, alarm.objects), (AlarmKind::OtherWriter, 1));
    assert!(alarm.detail.contains("absent"), "{}", alarm.detail);
    let lines = world.count(|what| matches!(what, What::Contested { .. }));
    assert!((2..=3).contains(&lines), "{lines}");
}

#[test]
fn other_objects_are_repaired_at_once_meanwhile_and_the_end_of_a_fight_ends_the_alarm() {
    let mut world = World::new();
    let conn = world.manage(&macs(3).0);
    fight(&mut world, 100);
    let row = find_remote(&world, &mac(2).to_string())[0];
    let locator = crate::world::find_locator(&world, vtep(0)).expect("there");
    let operation = json!({"op": "update", "table": "Ucast_Macs_Remote", "where": [["_uuid", "==", ["uuid", row.to_string()]]],
        "row": {"locator": ["uuid", locator.to_string()]}});
    world.edit(json!([operation]));
    let before = repairs(&world);
    world.run();
    assert_eq!(repairs(&world), before + 1);
    world.pass(71 * SECOND);
    assert_as_wanted(&world, &macs(3).0);
    assert_eq!(world.status(conn).alarms, []);
}
