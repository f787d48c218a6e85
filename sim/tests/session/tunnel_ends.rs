//! A switch whose own tunnel ends are not the configured one is managed, and that is reported.

use std::fmt::Display;
use std::net::Ipv4Addr;

use serde_json::json;
use tandem_core::ConnId;
use tandem_core::alarm::AlarmKind;
use tandem_core::bounds::TUNNEL_IPS;
use tandem_core::event::{LogEvent, What};
use tandem_core::session::Notice;

use crate::contents::found;
use crate::world::{TUNNEL_IP, Wanted, World, mac, vtep};

fn world() -> (World, ConnId) {
    let mut world = World::new();
    let conn = world.manage(
        &Wanted::new()
            .network(1, 5001)
            .mac(1, mac(1), vtep(1))
            .mac(1, mac(2), vtep(2))
            .0,
    );
    (world, conn)
}

/// The switch has another tunnel end from now on. Answers the words about it.
fn moved(world: &mut World, to: impl Display) -> Vec<&'static str> {
    world.events.clear();
    let row = json!({"tunnel_ips": to.to_string()});
    world.edit(json!([{"op": "update", "table": "Physical_Switch", "where": [], "row": row}]));
    world.run();
    let words = world.events.iter().map(|event| event.what.word());
    words.filter(|word| word.starts_with("TunnelEnd")).collect()
}

fn alarms(world: &World, conn: ConnId) -> Vec<AlarmKind> {
    world.status(conn).alarms.iter().map(|alarm| alarm.kind).collect()
}

#[test]
fn a_switch_that_moves_away_from_its_configured_tunnel_end_and_back_is_reported_each_time() {
    let (mut world, conn) = world();
    assert!(!world.happened(|what| matches!(what, What::TunnelEndWrong { .. })));
    assert_eq!(moved(&mut world, vtep(3)), ["TunnelEndWrong"]);
    assert_eq!(alarms(&world, conn), [AlarmKind::WrongTunnelEnd]);
    assert_eq!(moved(&mut world, TUNNEL_IP), ["TunnelEndRight"]);
    assert_eq!(alarms(&world, conn), []);
}

#[test]
fn a_switch_whose_only_tunnel_end_is_an_ipv6_address_is_reported() {
    let (mut world, conn) = world();
    assert_eq!(moved(&mut world, "2001:db8::1"), ["TunnelEndWrong"]);
    let alarms = world.status(conn).alarms;
    assert!(alarms[0].detail.contains("no IPv4 address in tunnel_ips"), "{alarms:?}");
    assert_eq!(moved(&mut world, TUNNEL_IP), ["TunnelEndRight"]);
}

#[test]
fn of_endless_tunnel_ends_a_few_are_kept() {
    let (mut world, conn) = world();
    let ends: Vec<String> = (0..2000_u32)
        .map(|n| Ipv4Addr::from_bits((10 << 24) + n).to_string())
        .collect();
    let row = json!({"tunnel_ips": ["set", ends]});
    world.edit(json!([{"op": "update", "table": "Physical_Switch", "where": [], "row": row}]));
    world.run();
    assert!(world.is_open(conn));
    let identified = world.notices.iter().rev().find_map(|(_, _, notice)| match notice {
        Notice::Identified { switches } => Some(switches),
        _ => None,
    });
    let kept = identified.into_iter().flatten().map(|(_, row)| row.tunnel_ips.len());
    assert_eq!(kept.collect::<Vec<_>>(), [TUNNEL_IPS]);
}

#[test]
fn macs_behind_the_new_tunnel_end_of_a_switch_are_removed_from_it() {
    let (mut world, _) = world();
    assert_eq!(found(&world.switch).remote.len(), 2);
    moved(&mut world, vtep(1));
    assert_eq!(
        found(&world.switch).remote.len(),
        1,
        "the switch would send them into a tunnel to itself"
    );
}
