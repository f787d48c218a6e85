//! A row of a local MAC and its locator are of different monitors, and the server sends them in any order.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tandem_core::event::What;
use tandem_core::session::Notice;

use crate::world::{TUNNEL_IP, Wanted, World, find_logical_switch, mac, name, ops};

#[test]
fn a_local_mac_that_comes_before_its_locator_is_exported_when_that_comes() {
    for reversed in [false, true] {
        let mut world = World::new();
        let conn = world.manage(&Wanted::new().network(1, 5001).0);
        let blue = ops::uuid(find_logical_switch(&world, &name(1)).expect("a logical switch"));
        world.edit(json!([
            ops::locator("here", TUNNEL_IP),
            ops::ucast("Ucast_Macs_Local", &mac(7).to_string(), &blue, &ops::named("here")),
        ]));
        let bytes: Vec<u8> = world.to_session.insert(conn, VecDeque::new()).expect("bytes").into();
        let updates = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
        let mut updates: Vec<Value> = updates.collect::<Result<_, _>>().expect("messages");
        assert!(updates.len() > 1, "one of each monitor: {updates:?}");
        if reversed {
            updates.reverse();
        }
        let bytes = updates.iter().flat_map(|update| update.to_string().into_bytes());
        world.to_session.insert(conn, bytes.collect());
        world.run();
        assert!(
            world.happened(|what| matches!(what, What::Exported(route) if route.vtep == TUNNEL_IP)),
            "{updates:?}"
        );
        let just_now = |notice: &Notice| matches!(notice, Notice::Exported { just_learned: true, .. });
        assert!(
            world.notices.iter().any(|(_, _, notice)| just_now(notice)),
            "it came with the row"
        );
    }
}
