//! Servers that are not alone: a lock belongs to one server, and in a cluster and behind a relay it fences nothing. A standby
//! is read-only until it is promoted.

use tandem_core::alarm::AlarmKind;
use tandem_core::event::What;
use tandem_core::status::{Ownership, Phase, ServerModel};
use tandem_sim::switch::{Options, SchemaVersion};

use crate::contents::assert_as_wanted;
use crate::wire::SECOND;
use crate::world::{TUNNEL_IP, Wanted, World, learn, leave_behind, mac, name};

fn wanted() -> Wanted {
    Wanted::new().network(1, 5001).macs(1, 20)
}

fn world(model: Option<ServerModel>) -> World {
    let options = Options {
        model,
        ..Options::new(SchemaVersion::V1_7_0)
    };
    World::with(options)
}

#[test]
fn a_cluster_and_a_relay_are_read_and_not_written_and_the_lock_is_given_back() {
    for model in [ServerModel::Clustered, ServerModel::Relay] {
        let mut world = world(Some(model));
        leave_behind(&mut world, &name(1), 5001, TUNNEL_IP, &[]);
        let conn = world.manage(&wanted().0);
        learn(&mut world, &name(1), mac(77), TUNNEL_IP);
        world.run();
        assert!(world.happened(|what| *what == What::Unfenced { model }));
        assert!(!world.happened(|what| matches!(what, What::Locked | What::Stolen)));
        let status = world.status(conn);
        assert_eq!((status.ownership, status.phase), (Ownership::Barred, Phase::Synced));
        assert_eq!((status.rows_local, world.sessions[&conn].exported()), (1, 0));
        let kinds: Vec<AlarmKind> = status.alarms.iter().map(|alarm| alarm.kind).collect();
        assert_eq!(kinds, [AlarmKind::Unfenced]);
        assert!(world.transactions(conn).is_empty());
        assert_eq!(world.switch.lock_holder("tandem"), None);
    }
}

#[test]
fn a_server_that_does_not_name_its_kind_is_standalone() {
    for model in [Some(ServerModel::Standalone), None] {
        let mut world = world(model);
        let conn = world.manage(&wanted().0);
        assert_eq!(world.sessions[&conn].ownership(), Ownership::Held);
        assert_as_wanted(&world, &wanted().0);
    }
}

#[test]
fn to_know_the_kind_of_the_server_costs_no_round_trip() {
    let mut world = world(Some(ServerModel::Standalone));
    let conn = world.connect(&wanted().0);
    world.deliver_to_switch(conn, usize::MAX);
    world.deliver_to_session(conn, usize::MAX);
    assert!(!world.transactions(conn).is_empty(), "the claim is on its way");
}

#[test]
fn a_read_only_standby_is_read_and_reported_once_and_taken_when_it_is_promoted() {
    let mut world = World::with(Options {
        standby: true,
        ..Options::new(SchemaVersion::V1_7_0)
    });
    let conn = world.manage(&wanted().0);
    world.pass(10 * SECOND);
    let refused = world.words().into_iter().filter(|word| *word == "LockRefused");
    assert_eq!(refused.count(), 1);
    let status = world.status(conn);
    assert_eq!((status.ownership, status.phase), (Ownership::Waiting, Phase::Synced));
    assert!(world.transactions(conn).is_empty());
    world.switch.promote();
    world.pass(SECOND);
    assert_eq!(world.sessions[&conn].ownership(), Ownership::Held);
    assert_as_wanted(&world, &wanted().0);
}

#[test]
fn a_standby_that_names_no_switch_of_ours_is_asked_for_the_lock_once() {
    let mut world = World::with(Options {
        standby: true,
        ..Options::new(SchemaVersion::V1_7_0)
    });
    let mut configuration = wanted().0;
    configuration.switches.clear();
    let conn = world.manage(&configuration);
    world.pass(10 * SECOND);
    let asked = world.methods(conn).into_iter().filter(|method| method == "lock");
    assert_eq!(asked.count(), 1);
}
