//! A control node that lost its routes must not empty a switch before an operator confirms it.

use std::time::Duration;

use tandem_core::ConnId;
use tandem_core::alarm::AlarmKind;
use tandem_core::brake::Brake;
use tandem_core::configuration::Configuration;
use tandem_core::event::{Loss, What};
use tandem_core::session::Command;

use crate::contents::found;
use crate::wire::SECOND;
use crate::world::{TUNNEL_IP, Wanted, World, learn, leave_behind, mac, name, network, vtep};

/// Networks 1 and 2, whose MACs come by routes.
fn routed() -> Configuration {
    let mut wanted = Wanted::new().network(1, 5001).network(2, 5002);
    wanted.0.session.routed = true;
    wanted.0.session.brake = Some(Brake::DEFAULT);
    wanted.0
}

/// MAC `n` of network 1; network 2 has others.
fn import(world: &mut World, conn: ConnId, net: u32, macs: std::ops::Range<u32>, at: Option<u8>) {
    let macs = macs.map(|n| (mac(net * 1000 + n), at.map(vtep))).collect();
    let network = network(net);
    world.command(conn, Command::Import { network, macs });
    world.run();
}

fn complete(world: &mut World, conn: ConnId, complete: bool) {
    for network in [network(1), network(2)] {
        world.command(conn, Command::RoutesComplete { network, complete });
    }
    world.run();
}

/// A switch with so many MACs of each network.
fn with_macs(macs: [u32; 2]) -> (World, ConnId) {
    let mut world = World::new();
    let conn = world.manage(&routed());
    import(&mut world, conn, 1, 0..macs[0], Some(1));
    import(&mut world, conn, 2, 0..macs[1], Some(1));
    complete(&mut world, conn, true);
    assert_eq!(rows(&world), (macs[0] + macs[1]) as usize);
    (world, conn)
}

fn rows(world: &World) -> usize {
    found(&world.switch).remote.len()
}

fn withheld(world: &World, conn: ConnId) -> Option<usize> {
    let mut alarms = world.status(conn).alarms.into_iter();
    let withheld = alarms.find(|alarm| alarm.kind == AlarmKind::DeletionsWithheld);
    withheld.map(|alarm| alarm.objects)
}

#[test]
fn routes_that_are_withdrawn_together_stay_until_the_operator_confirms() {
    let (mut world, conn) = with_macs([100, 0]);
    import(&mut world, conn, 1, 0..80, None);
    assert_eq!((rows(&world), withheld(&world, conn)), (100, Some(80)));
    let reported = |what: &What| {
        matches!(
            what,
            What::DeletionsWithheld {
                loss: Loss::Routes,
                deletions: 80,
                of: 100,
                ..
            }
        )
    };
    assert!(world.happened(reported), "{:?}", world.words());
    world.pass(600 * SECOND);
    assert_eq!(rows(&world), 100, "however long it takes");
    world.command(conn, Command::Confirm);
    world.run();
    assert_eq!((rows(&world), withheld(&world, conn)), (20, None));
    assert!(world.happened(|what| matches!(what, What::DeletionsConfirmed { deletions: 80 })));
}

#[test]
fn routes_that_are_withdrawn_one_by_one_go_up_to_the_bound_only() {
    let (mut world, conn) = with_macs([100, 0]);
    for n in 0..90 {
        import(&mut world, conn, 1, n..n + 1, None);
        world.pass(Duration::from_millis(100));
    }
    assert_eq!((rows(&world), withheld(&world, conn)), (70, Some(60)));
}

#[test]
fn hosts_that_moved_are_repointed_at_once_while_deletions_are_withheld() {
    let (mut world, conn) = with_macs([100, 0]);
    import(&mut world, conn, 1, 0..80, None);
    import(&mut world, conn, 1, 0..10, Some(2));
    let moved = found(&world.switch).remote.into_values();
    let moved = moved.filter(|places| places.contains(&vtep(2).to_string()));
    assert_eq!((moved.count(), withheld(&world, conn)), (10, Some(70)));
    // These are at the switch itself now.
    (10..20).for_each(|n| learn(&mut world, &name(1), mac(1000 + n), TUNNEL_IP));
    let macs = (10..20).map(|n| (mac(1000 + n), Some(TUNNEL_IP))).collect();
    let network = network(1);
    world.command(conn, Command::Import { network, macs });
    world.run();
    assert_eq!((rows(&world), withheld(&world, conn)), (90, Some(60)));
}

#[test]
fn routes_to_the_switch_itself_delete_only_what_it_has_learned() {
    let (mut world, conn) = with_macs([100, 0]);
    let macs = (0..80).map(|n| (mac(1000 + n), Some(TUNNEL_IP))).collect();
    let network = network(1);
    world.command(conn, Command::Import { network, macs });
    world.run();
    assert_eq!((rows(&world), withheld(&world, conn)), (100, Some(80)));
    (0..10).for_each(|n| learn(&mut world, &name(1), mac(1000 + n), TUNNEL_IP));
    assert_eq!((rows(&world), withheld(&world, conn)), (90, Some(70)));
    import(&mut world, conn, 1, 10..80, Some(1));
    assert_eq!((rows(&world), withheld(&world, conn)), (90, None));
}

#[test]
fn a_switch_that_takes_a_foreign_tunnel_end_for_its_own_is_not_emptied() {
    let (mut world, conn) = with_macs([100, 0]);
    let ends = serde_json::json!(["set", [TUNNEL_IP.to_string(), vtep(1).to_string()]]);
    world.edit(serde_json::json!([
        {"op": "update", "table": "Physical_Switch", "where": [], "row": {"tunnel_ips": ends}}
    ]));
    world.run();
    assert_eq!((rows(&world), withheld(&world, conn)), (100, Some(100)));
}

#[test]
fn routes_that_return_end_the_alarm_and_nothing_was_written() {
    let (mut world, conn) = with_macs([100, 0]);
    world.commits();
    import(&mut world, conn, 1, 0..80, None);
    for n in 0..80 {
        import(&mut world, conn, 1, n..n + 1, Some(1));
    }
    assert_eq!((rows(&world), withheld(&world, conn)), (100, None));
    assert_eq!(world.commits(), []);
    assert!(world.happened(|what| matches!(what, What::DeletionsReleased { loss: Loss::Routes })));
}

#[test]
fn those_that_do_not_return_go_a_window_later_if_they_are_few() {
    let (mut world, conn) = with_macs([100, 0]);
    import(&mut world, conn, 1, 0..80, None);
    import(&mut world, conn, 1, 0..75, Some(1));
    world.pass(59 * SECOND);
    assert_eq!((rows(&world), withheld(&world, conn)), (100, Some(5)));
    world.pass(2 * SECOND);
    assert_eq!((rows(&world), withheld(&world, conn)), (95, None));
}

#[test]
fn macs_that_age_out_over_time_are_deleted_at_once() {
    let (mut world, conn) = with_macs([100, 0]);
    for n in 0..90 {
        import(&mut world, conn, 1, n..n + 1, None);
        assert_eq!(rows(&world), 99 - n as usize);
        world.pass(4 * SECOND);
    }
    assert!(!world.words().contains(&"DeletionsWithheld"));
}

#[test]
fn most_of_a_small_network_is_withheld_in_a_switch_with_many_rows_and_others_go_on() {
    let (mut world, conn) = with_macs([200, 40]);
    import(&mut world, conn, 2, 0..30, None);
    assert_eq!((rows(&world), withheld(&world, conn)), (240, Some(30)));
    import(&mut world, conn, 1, 0..20, None);
    assert_eq!((rows(&world), withheld(&world, conn)), (220, Some(30)));
}

#[test]
fn small_losses_of_many_networks_are_withheld_together() {
    let (mut world, conn) = with_macs([20, 20]);
    import(&mut world, conn, 1, 0..20, None);
    assert_eq!(rows(&world), 20, "too few");
    import(&mut world, conn, 2, 0..1, None);
    assert_eq!((rows(&world), withheld(&world, conn)), (20, Some(1)));
}

#[test]
fn a_takeover_by_an_agent_without_routes_withholds_what_it_finds() {
    let mut world = World::new();
    let macs: Vec<_> = (0..50).map(|n| (mac(n).to_string(), vtep(1))).collect();
    leave_behind(&mut world, &name(1), 5001, vtep(9), &macs);
    let conn = world.manage(&routed());
    assert_eq!(withheld(&world, conn), None, "routes may be on their way");
    complete(&mut world, conn, true);
    assert_eq!((rows(&world), withheld(&world, conn)), (50, Some(50)));
    assert!(world.words().contains(&"Audited"));
}
