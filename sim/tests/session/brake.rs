//! A configuration that lost a part must not empty a switch before an operator confirms it.

use tandem_core::ConnId;
use tandem_core::alarm::AlarmKind;
use tandem_core::brake::Brake;
use tandem_core::configuration::Configuration;
use tandem_core::event::What;
use tandem_core::session::Command;

use crate::contents::{assert_as_wanted, found};
use crate::world::{Wanted, World};

fn braked(mut wanted: Wanted) -> Configuration {
    wanted.0.session.brake = Some(Brake::DEFAULT);
    wanted.0
}

/// Two networks with MACs each, and one that lost its second.
fn whole() -> Configuration {
    braked(Wanted::new().network(1, 5001).macs(1, 100).network(2, 5002).macs(2, 90))
}

fn without_the_second() -> Configuration {
    braked(Wanted::new().network(1, 5001).macs(1, 100))
}

fn withheld(world: &World, conn: ConnId) -> Option<usize> {
    let alarms = world.status(conn).alarms.into_iter();
    let mut withheld = alarms.filter(|alarm| alarm.kind == AlarmKind::DeletionsWithheld);
    withheld.next().map(|alarm| alarm.objects)
}

#[test]
fn a_configuration_that_lost_a_network_deletes_nothing_until_it_is_confirmed() {
    let mut world = World::new();
    let conn = world.manage(&whole());
    world.configure(conn, &without_the_second());
    assert_as_wanted(&world, &whole());
    assert_eq!(withheld(&world, conn), Some(92));
    let lost = |what: &What| {
        matches!(
            what,
            What::Reconfigured {
                bindings: 1,
                logical_switches: 1,
                macs: 90
            }
        )
    };
    assert!(world.happened(lost), "{:?}", world.words());
    world.command(conn, Command::Confirm);
    world.run();
    assert_as_wanted(&world, &without_the_second());
    assert_eq!(withheld(&world, conn), None);
}

#[test]
fn everything_else_goes_ahead_and_a_configuration_that_is_whole_again_ends_the_alarm() {
    let mut world = World::new();
    let conn = world.manage(&whole());
    let changed = braked(Wanted::new().network(1, 5001).macs(1, 100).network(3, 5003).macs(3, 30));
    world.configure(conn, &changed);
    assert_eq!(found(&world.switch).remote.len(), 220);
    assert!(withheld(&world, conn).is_some());
    world.configure(conn, &whole());
    assert_eq!(withheld(&world, conn), None);
    assert_as_wanted(&world, &whole());
}

#[test]
fn macs_that_a_network_lost_are_withheld_and_a_few_are_not() {
    let mut world = World::new();
    let conn = world.manage(&whole());
    let few = braked(Wanted::new().network(1, 5001).macs(1, 90).network(2, 5002).macs(2, 85));
    world.configure(conn, &few);
    assert_as_wanted(&world, &few);
    let most = braked(Wanted::new().network(1, 5001).macs(1, 10).network(2, 5002).macs(2, 85));
    world.configure(conn, &most);
    assert_as_wanted(&world, &few);
    assert_eq!(withheld(&world, conn), Some(80));
}

#[test]
fn a_takeover_withholds_as_well_and_a_confirmation_does_not_cover_a_later_loss() {
    let mut world = World::new();
    let first = world.manage(&whole());
    world.disconnect(first);
    let conn = world.manage(&without_the_second());
    assert_eq!(withheld(&world, conn), Some(92));
    world.command(conn, Command::Confirm);
    world.run();
    assert_as_wanted(&world, &without_the_second());
    world.configure(conn, &braked(Wanted::new()));
    assert_eq!(withheld(&world, conn), Some(102));
    assert_as_wanted(&world, &without_the_second());
}

#[test]
fn ports_that_move_are_not_withheld() {
    let bound = |port: &str| {
        let networks = (1..=40).fold(Wanted::new(), |wanted, n| wanted.unbound(n, 5000 + n));
        let ports = (1..=40u32).fold(networks, |wanted, n| {
            wanted.bind(port, u16::try_from(n).expect("small"), n)
        });
        braked(ports)
    };
    let mut world = World::new();
    let conn = world.manage(&bound("eth1"));
    world.configure(conn, &bound("eth2"));
    assert_as_wanted(&world, &bound("eth2"));
    assert_eq!(withheld(&world, conn), None);
}
