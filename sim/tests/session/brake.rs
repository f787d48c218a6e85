//! A configuration that lost a part must not empty a switch before an operator confirms it.

use std::sync::Arc;

use tandem_core::ConnId;
use tandem_core::alarm::AlarmKind;
use tandem_core::brake::Brake;
use tandem_core::configuration::Configuration;
use tandem_core::event::What;
use tandem_core::session::Command;

use crate::contents::{assert_as_wanted, found, ours};
use crate::wire::SECOND;
use crate::world::{
    TUNNEL_IP, Wanted, World, find_logical_switch, find_remote, learn, leave_behind, mac, name, network, ops, vtep,
};

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
                macs: 90,
                ..
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
    let changed = braked(Wanted::new().network(1, 5001).macs(1, 100).network(3, 5003).macs(3, 15));
    world.configure(conn, &changed);
    assert_eq!(found(&world.switch).remote.len(), 205);
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
fn a_confirmation_that_was_carried_out_covers_no_later_loss_that_is_smaller() {
    let mut world = World::new();
    let conn = world.manage(&with(&[(1, 100), (2, 90), (3, 80)]));
    world.configure(conn, &with(&[(1, 100)]));
    world.command(conn, Command::Confirm);
    world.run();
    let left = with(&[(1, 100)]);
    assert_as_wanted(&world, &left);
    world.configure(conn, &with(&[(1, 10)]));
    assert_eq!(withheld(&world, conn), Some(90));
    assert_as_wanted(&world, &left);
}

#[test]
fn rows_that_are_not_ours_do_not_make_a_loss_smaller() {
    let mut world = World::new();
    let theirs: Vec<_> = (0..900).map(|n| (mac(n).to_string(), vtep(1))).collect();
    leave_behind(&mut world, "theirs", 7001, vtep(2), &theirs);
    let conn = world.manage(&whole());
    world.configure(conn, &braked(Wanted::new()));
    assert_eq!(withheld(&world, conn), Some(194));
    assert_eq!(ours(&found(&world.switch)).remote.len(), 190);
}

#[test]
fn networks_that_were_made_anew_with_the_same_vnis_take_no_port_off_the_old_ones_before_they_are_confirmed() {
    let with = |first: u32| {
        let networks = (0..12).fold(Wanted::new(), |wanted, n| {
            let vlan = u16::try_from(n).expect("small") + 10;
            wanted
                .unbound(first + n, 5000 + n)
                .macs(first + n, 3)
                .bind("eth1", vlan, first + n)
        });
        braked(networks)
    };
    let mut world = World::new();
    let conn = world.manage(&with(100));
    world.configure(conn, &with(200));
    assert_as_wanted(&world, &with(100));
    assert_eq!(withheld(&world, conn), Some(48));
    world.command(conn, Command::Confirm);
    world.run();
    assert_as_wanted(&world, &with(200));
}

#[test]
fn the_alarm_ends_when_what_was_withheld_is_gone() {
    let mut world = World::new();
    let conn = world.manage(&whole());
    world.configure(conn, &without_the_second());
    assert_eq!(withheld(&world, conn), Some(92));
    let lost = find_logical_switch(&world, &name(2)).expect("a logical switch");
    let eth1 = crate::world::find_port(&world, "eth1").expect("a port");
    let of = |table: &str| serde_json::json!({"op": "delete", "table": table, "where": [["logical_switch", "==", ops::uuid(lost)]]});
    let unbind = serde_json::json!({"op": "mutate", "table": "Physical_Port", "where": [["_uuid", "==", ops::uuid(eth1)]],
        "mutations": [["vlan_bindings", "delete", ["set", [2]]]]});
    world.edit(serde_json::json!([
        unbind,
        of("Ucast_Macs_Remote"),
        of("Mcast_Macs_Remote"),
        ops::delete("Logical_Switch", lost)
    ]));
    world.run();
    assert_as_wanted(&world, &without_the_second());
    assert_eq!(withheld(&world, conn), None);
    // A small loss is none that waits.
    let few = braked(Wanted::new().network(1, 5001).macs(1, 100));
    world.configure(conn, &few);
    assert_as_wanted(&world, &few);
}

#[test]
fn a_standby_that_takes_over_withholds_what_is_there_then() {
    let mut world = World::new();
    let owner = world.manage(&whole());
    let standby = world.manage(&Wanted(whole()).agent_b().0);
    for (conn, mut configuration) in [
        (owner, without_the_second()),
        (standby, Wanted(without_the_second()).agent_b().0),
    ] {
        configuration.session.brake = Some(Brake::DEFAULT);
        world.configure(conn, &configuration);
    }
    world.command(owner, Command::Confirm);
    world.run();
    assert!(find_remote(&world, &mac(89).to_string()).len() == 1);
    world.disconnect(owner);
    world.run();
    assert_eq!(withheld(&world, standby), None);
    let less = Wanted(braked(Wanted::new().network(1, 5001).macs(1, 95))).agent_b().0;
    world.configure(standby, &less);
    assert_as_wanted(&world, &less);
}

#[test]
fn a_small_network_is_withheld_in_a_switch_with_many_rows_and_others_lose_a_few() {
    let mut world = World::new();
    let both = |macs| Wanted::new().network(1, 5001).macs(1, macs).network(2, 5002);
    let conn = world.manage(&braked(both(200).macs(2, 40)));
    world.configure(conn, &braked(Wanted::new().network(1, 5001).macs(1, 190)));
    assert_as_wanted(&world, &braked(both(190).macs(2, 40)));
    assert_eq!(withheld(&world, conn), Some(42));
    let of_it = |what: &What| matches!(what, What::DeletionsWithheld { network: Some(lost), of: 42, .. } if *lost == network(2));
    assert!(world.happened(of_it), "{:?}", world.words());
    world.command(conn, Command::Confirm);
    world.run();
    assert_as_wanted(&world, &braked(Wanted::new().network(1, 5001).macs(1, 190)));
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

fn with(networks: &[(u32, u32)]) -> Configuration {
    let all = networks.iter();
    braked(all.fold(Wanted::new(), |wanted, (n, macs)| {
        wanted.network(*n, 5000 + n).macs(*n, *macs)
    }))
}

#[test]
fn a_confirmation_that_is_yet_to_be_carried_out_covers_no_other_network() {
    let mut world = World::new();
    let conn = world.manage(&with(&[(1, 50), (2, 50), (3, 50)]));
    // The switch has time to take this back, so that the network stays for a while.
    learn(&mut world, &name(1), mac(9), TUNNEL_IP);
    world.configure(conn, &with(&[(2, 50), (3, 50)]));
    assert_eq!(withheld(&world, conn), Some(52));
    world.command(conn, Command::Confirm);
    world.run();
    assert_eq!(found(&world.switch).remote.len(), 150, "it waits for the switch");
    world.configure(conn, &with(&[(1, 50), (3, 50)]));
    assert_eq!(
        withheld(&world, conn),
        Some(51),
        "of the other network, whose port moves"
    );
    world.pass(60 * SECOND);
    assert_eq!(found(&world.switch).remote.len(), 150);
}

#[test]
fn many_configurations_that_lose_a_little_each_are_withheld_together() {
    let mut world = World::new();
    let conn = world.manage(&with(&[(1, 100), (2, 100)]));
    for left in (0..100).rev().step_by(10) {
        // It is sent again at once, as another revision of the same.
        let configuration: Arc<_> = with(&[(1, left), (2, 100)]).into();
        for _ in 0..2 {
            let configuration = Arc::clone(&configuration);
            world.command(
                conn,
                Command::Configure {
                    configuration,
                    complete: true,
                },
            );
        }
        world.run();
        world.pass(SECOND);
    }
    let rows = found(&world.switch).remote.len();
    assert!((165..200).contains(&rows), "{rows} of 200");
    assert!(withheld(&world, conn).is_some());
    world.pass(120 * SECOND);
    assert_eq!(
        found(&world.switch).remote.len(),
        rows,
        "what is left is too much by itself"
    );
    world.command(conn, Command::Confirm);
    world.run();
    assert_eq!(found(&world.switch).remote.len(), 109);
}

#[test]
fn what_is_few_by_itself_goes_when_earlier_losses_are_a_minute_old() {
    let mut world = World::new();
    let conn = world.manage(&with(&[(1, 60), (2, 100)]));
    for left in [50, 45, 40] {
        world.configure(conn, &with(&[(1, left), (2, 100)]));
    }
    assert_eq!((found(&world.switch).remote.len(), withheld(&world, conn)), (140, None));
    world.configure(conn, &with(&[(1, 35), (2, 100)]));
    assert_eq!(
        (found(&world.switch).remote.len(), withheld(&world, conn)),
        (140, Some(5))
    );
    world.pass(62 * SECOND);
    assert_eq!((found(&world.switch).remote.len(), withheld(&world, conn)), (135, None));
    assert!(world.happened(|what| matches!(what, What::DeletionsReleased { .. })));
}
