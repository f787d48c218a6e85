//! A control node that was just started, and agents that connect again one after the other.

use super::*;
use crate::bounds::{GRACEFUL_RESTART, GRACEFUL_RESTART_QUIET};

/// Whether a client has received the end-of-RIB of `blue`, and that of its session.
fn ends(world: &World, conn: u64) -> (bool, bool) {
    let received = world.stanzas.get(&ConnId(conn)).map(Vec::as_slice).unwrap_or_default();
    let end = |stanza: &&Stanza| matches!(stanza, Stanza::InstanceEndOfRib { .. });
    (received.iter().any(|it| end(&it)), received.contains(&Stanza::EndOfRib))
}

/// Lets time pass up to `until`.
fn pass(world: &mut World, until: Time) {
    while let Some(Deadline { at, .. }) = world.node.poll_timeout().filter(|deadline| deadline.at <= until) {
        world.now = world.now.max(at);
        world.handle(Input::Timeout);
    }
    world.now = until;
}

#[test]
fn no_end_of_rib_is_sent_before_every_agent_has_published() {
    let mut world = World::with(&[1]);
    world.open(1, "agent-a");
    world.subscribe(1, 1);
    pass(&mut world, Time::ORIGIN + GRACEFUL_RESTART / 2);
    assert_eq!(ends(&world, 1), (false, false), "agent-b may have routes");

    world.open(2, "agent-b");
    world.subscribe(2, 1);
    for number in 0..10 {
        let now = world.now;
        pass(&mut world, now + GRACEFUL_RESTART_QUIET / 2);
        world.publish(2, 1, mac(number), path(12));
    }
    world.work();
    assert_eq!(ends(&world, 1), (false, false), "agent-b still publishes");
    let now = world.now;
    pass(&mut world, now + GRACEFUL_RESTART_QUIET * 2);
    assert_eq!([1, 2].map(|conn| ends(&world, conn)), [(true, true); 2]);
    let received = &world.stanzas[&ConnId(1)];
    let place = |is_it: &dyn Fn(&Stanza) -> bool| received.iter().rposition(is_it);
    let last_route = place(&|it| matches!(it, Stanza::Items { .. }));
    assert!(last_route < place(&|it| matches!(it, Stanza::InstanceEndOfRib { .. })));

    world.open(3, "vrouter-1");
    world.subscribe(3, 1);
    world.run_to_rest();
    assert_eq!(ends(&world, 3), (true, true), "graceful restart does not begin again");
}

#[test]
fn an_agent_that_does_not_connect_prolongs_graceful_restart_no_further_than_its_bound() {
    let mut world = World::with(&[1]);
    world.open(1, "agent-a");
    world.subscribe(1, 1);
    pass(&mut world, Time::ORIGIN + GRACEFUL_RESTART);
    assert_eq!(ends(&world, 1), (true, true));
}

#[test]
fn agents_of_busy_switches_prolong_graceful_restart_no_further_than_its_bound() {
    let mut world = World::with(&[1]);
    for (conn, name) in [(1, "agent-a"), (2, "agent-b")] {
        world.open(conn, name);
        world.subscribe(conn, 1);
    }
    let mut number = 0;
    while world.now < Time::ORIGIN + GRACEFUL_RESTART {
        assert_eq!(ends(&world, 1), (false, false), "agent-b still publishes");
        number += 1;
        world.publish(2, 1, mac(number % 3), path(10 + number % 7));
        let now = world.now;
        pass(&mut world, now + GRACEFUL_RESTART_QUIET / 2);
    }
    assert_eq!(ends(&world, 1), (true, true));
}
