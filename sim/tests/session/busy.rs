//! A switch that is always busy: something is due at every moment.

use serde_json::Value;
use tandem_core::Mac;
use tandem_core::bounds::WORK_BYTES_PER_STEP;
use tandem_core::event::What;
use tandem_core::session::{Command, Input};

use crate::contents::assert_as_wanted;
use crate::wire::SECOND;
use crate::world::{Wanted, World, find_locator, find_logical_switch, mac, name, network, ops, vtep};

#[test]
fn a_takeover_ends_when_what_it_found_is_written_whatever_is_due_since() {
    let mut wanted = Wanted::new().network(1, 5001).macs(1, 500);
    wanted.0.session.routed = true;
    let mut world = World::new();
    let conn = world.connect(&wanted.0);
    world.command(
        conn,
        Command::RoutesComplete {
            network: network(1),
            complete: true,
        },
    );
    // With every step of the wire, another route arrives: at no time is nothing due.
    for n in 0..400 {
        let macs: Vec<(Mac, _)> = vec![(mac(10_000 + n), Some(vtep(1)))];
        let network = network(1);
        world.session_input(conn, Input::Command(Command::Import { network, macs }));
        world.deliver_to_switch(conn, usize::MAX);
        let macs: Vec<(Mac, _)> = vec![(mac(20_000 + n), Some(vtep(1)))];
        world.session_input(conn, Input::Command(Command::Import { network, macs }));
        world.deliver_to_session(conn, usize::MAX);
        assert!(
            !world.happened(|what| matches!(what, What::Audited { .. })) || n > 1,
            "not before anything was read"
        );
    }
    assert!(world.happened(|what| matches!(what, What::Audited { left: 0, .. })));
}

#[test]
fn a_waiting_session_that_gets_the_lock_is_audited_when_what_differs_is_written() {
    let wanted = Wanted::new().network(1, 5001).macs(1, 300);
    let mut world = World::new();
    let owner = world.manage(&Wanted::new().network(1, 5001).macs(1, 10).0);
    world.manage(&wanted.0);
    world.disconnect(owner);
    world.run();
    let audited = |what: &What| matches!(what, What::Audited { rows_written, .. } if *rows_written >= 290);
    assert!(world.happened(audited), "{:?}", world.words());
    world.pass(SECOND);
    assert_as_wanted(&world, &wanted.0);
}

#[test]
fn a_change_that_takes_several_steps_to_read_is_read_to_its_end() {
    let wanted = Wanted::new().network(1, 5001).macs(1, 5);
    let mut world = World::new();
    let conn = world.manage(&wanted.0);
    let ls = ops::uuid(find_logical_switch(&world, &name(1)).expect("there"));
    let locator = ops::uuid(find_locator(&world, vtep(1)).expect("there"));
    let strays = (1000..3000).map(|n| ops::ucast("Ucast_Macs_Remote", &mac(n).to_string(), &ls, &locator));
    world.edit(strays.collect::<Vec<Value>>().into());
    assert!(world.to_session[&conn].len() > 2 * WORK_BYTES_PER_STEP, "one update");
    world.run();
    assert_as_wanted(&world, &wanted.0);
}
