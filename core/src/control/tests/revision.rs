//! A client with a higher revision in force than the inventory's.

use super::*;

fn ask(in_force: u64) -> Stanza {
    Stanza::SubscribeConfiguration {
        kind: "virtual-router".into(),
        name: format!("{GLOBAL}:agent-a").into(),
        compact: true,
        in_force: Some(in_force),
    }
}

#[test]
fn a_client_that_ignores_the_revision_is_named_until_the_inventory_has_caught_up() {
    let mut world = World::default();
    world.handle(Input::Configure(inventory(3, &[1])));
    world.open(1, "agent-a");
    world.send(1, ask(5));
    world.run_to_rest();
    let lines = world.events.iter().map(ToString::to_string);
    let expected = "revision 3 is ignored by agent-a: revision 5 is in force there";
    assert_eq!(lines.filter(|line| line == expected).count(), 1);
    let ignores = |world: &World| world.node.status().clients[&"agent-a".into()].ignores_for;
    assert_eq!(ignores(&world), Some(5));
    world.handle(Input::Configure(inventory(6, &[1])));
    world.run_to_rest();
    assert_eq!(ignores(&world), None);
}
