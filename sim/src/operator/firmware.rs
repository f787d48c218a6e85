//! What the switch itself does to its database: it learns MACs, forgets them, and announces its own flood routes.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use rand::RngExt;
use rand::seq::IteratorRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tandem_core::{Mac, Uuid};

use super::draft::{Draft, reference};
use super::view;
use crate::switch::{Row, Switch};

/// How many hosts there are, behind all switches together: few enough that they meet again.
pub const HOSTS: u8 = 64;

/// A host sends its first frame in a network that a port is bound to.
pub fn learn(switch: &Switch, random: &mut ChaCha8Rng) -> Option<Value> {
    let tunnel_end = view::own_tunnel_end(switch)?;
    let learned = learned(switch);
    let networks = live(switch).map(|(network, _)| network);
    let network = networks
        .filter(|network| silent(&learned, *network).next().is_some())
        .choose(random)?;
    let silent = silent(&learned, network).choose(random)?;
    let mut draft = Draft::on(switch);
    appear(&mut draft, network, silent, tunnel_end, random);
    draft.finish()
}

/// A MAC ages out.
pub fn forget(switch: &Switch, random: &mut ChaCha8Rng) -> Option<Value> {
    let (row, _, _) = ours(switch).choose(random)?;
    let mut draft = Draft::on(switch);
    draft.delete("Ucast_Macs_Local", row);
    draft.finish()
}

/// Every MAC ages out.
pub fn forget_all(switch: &Switch) -> Option<Value> {
    let mut draft = Draft::on(switch);
    ours(switch).for_each(|(row, ..)| draft.delete("Ucast_Macs_Local", row));
    draft.finish()
}

/// A MAC shows up in another network, or with another IP address.
pub fn roam(switch: &Switch, random: &mut ChaCha8Rng) -> Option<Value> {
    let tunnel_end = view::own_tunnel_end(switch)?;
    let (row, from, chosen) = ours(switch).choose(random)?;
    let mac = view::mac(chosen)?;
    let mut draft = Draft::on(switch);
    let learned = learned_in(switch, chosen.text("MAC")?);
    let is_host = hosts().any(|host| host == mac);
    let elsewhere = live(switch)
        .filter(|(network, row)| *network != from && !view::is_foreign(row))
        .filter(|(network, _)| is_host && !learned.contains(network))
        .choose(random);
    match elsewhere.filter(|_| random.random_bool(0.7)) {
        Some((network, _)) => {
            draft.delete("Ucast_Macs_Local", row);
            appear(&mut draft, network, mac, tunnel_end, random);
        }
        None => draft.update("Ucast_Macs_Local", row, "ipaddr", &json!(address(random))),
    }
    draft.finish()
}

/// Drops its own rows of MACs that went elsewhere.
pub fn drop_moved(switch: &Switch, moved: &BTreeSet<(Uuid, Mac)>) -> Option<Value> {
    if moved.is_empty() {
        return None;
    }
    let mut draft = Draft::default();
    for (uuid, row) in switch.rows("Ucast_Macs_Local") {
        let key = row.reference("logical_switch").zip(view::mac(row));
        if key.is_some_and(|key| moved.contains(&key)) {
            draft.delete("Ucast_Macs_Local", uuid);
        }
    }
    draft.finish()
}

/// Takes back what was learned in networks that no port is bound to any more.
pub fn unlearn(switch: &Switch) -> Option<Value> {
    let bound = view::bound(switch);
    let mut draft = Draft::default();
    for table in ["Ucast_Macs_Local", "Mcast_Macs_Local"] {
        for (uuid, row) in switch.rows(table) {
            if row
                .reference("logical_switch")
                .is_some_and(|network| !bound.contains(&network))
            {
                draft.delete(table, uuid);
            }
        }
    }
    draft.finish()
}

/// Announces for each bound network that its broadcast is to be sent here.
pub fn announce(switch: &Switch) -> Option<Value> {
    let tunnel_end = view::own_tunnel_end(switch)?;
    let announced = |network| view::rows_of(switch, "Mcast_Macs_Local", network).next().is_some();
    let mut unannounced = live(switch).filter(|(network, _)| !announced(*network)).peekable();
    unannounced.peek()?;
    let mut draft = Draft::on(switch);
    for (network, _) in unannounced {
        draft.multicast("Mcast_Macs_Local", &reference(network), "unknown-dst", tunnel_end);
    }
    draft.finish()
}

/// The logical switches that forward: a port is bound to them, and they have a VNI.
fn live(switch: &Switch) -> impl Iterator<Item = (Uuid, &Row)> {
    let bound = view::bound(switch);
    let rows = switch.rows("Logical_Switch");
    rows.filter(move |(network, row)| bound.contains(network) && row.integer("tunnel_key").is_some())
}

/// The MACs that the switch has learned, and in which network.
fn learned(switch: &Switch) -> BTreeSet<(Uuid, Mac)> {
    let rows = switch.rows("Ucast_Macs_Local");
    rows.filter_map(|(_, row)| Some((row.reference("logical_switch")?, view::mac(row)?)))
        .collect()
}

/// The networks in which it has learned a MAC, as a switch writes it: in either case.
fn learned_in(switch: &Switch, mac: &str) -> BTreeSet<Uuid> {
    let rows = switch.rows("Ucast_Macs_Local");
    let same = rows.filter(|(_, row)| row.text("MAC").is_some_and(|it| it.eq_ignore_ascii_case(mac)));
    same.filter_map(|(_, row)| row.reference("logical_switch")).collect()
}

fn hosts() -> impl Iterator<Item = Mac> {
    (0..HOSTS).map(|host| Mac([0x02, 0, 0x0a, 0, 0, host]))
}

/// Hosts that the switch has not learned in a network.
fn silent(learned: &BTreeSet<(Uuid, Mac)>, network: Uuid) -> impl Iterator<Item = Mac> {
    hosts().filter(move |mac| !learned.contains(&(network, *mac)))
}

/// The learned MACs that may go: those of networks that are not foreign.
fn ours(switch: &Switch) -> impl Iterator<Item = (Uuid, Uuid, &Row)> {
    let networks: BTreeSet<_> = switch
        .rows("Logical_Switch")
        .filter(|(_, row)| !view::is_foreign(row))
        .map(|(network, _)| network)
        .collect();
    let rows = switch.rows("Ucast_Macs_Local");
    rows.filter_map(move |(uuid, row)| {
        let network = row
            .reference("logical_switch")
            .filter(|network| networks.contains(network))?;
        Some((uuid, network, row))
    })
}

fn appear(draft: &mut Draft, network: Uuid, mac: Mac, tunnel_end: Ipv4Addr, random: &mut ChaCha8Rng) {
    // Switches write MACs in either case.
    let text = if random.random_ratio(1, 8) {
        mac.to_string().to_uppercase()
    } else {
        mac.to_string()
    };
    let address = address(random);
    draft.unicast("Ucast_Macs_Local", &reference(network), &text, tunnel_end, &address);
}

/// The IP address of a host, which most switches do not know.
fn address(random: &mut ChaCha8Rng) -> String {
    if random.random_bool(0.5) {
        return String::new();
    }
    Ipv4Addr::new(192, 168, 0, random.random_range(1..=254)).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, act, apply, random};
    use super::*;
    use crate::switch::SchemaVersion;

    fn macs(switch: &Switch) -> Vec<(Uuid, Mac)> {
        let rows = switch.rows("Ucast_Macs_Local");
        rows.map(|(_, row)| (row.reference("logical_switch").unwrap(), view::mac(row).unwrap()))
            .collect()
    }

    #[test]
    fn nothing_is_learned_where_no_port_is_bound_or_the_vni_is_missing() {
        let mut switch = testing::switch(SchemaVersion::V1_7_0);
        let mut draft = Draft::on(&switch);
        draft.insert("Logical_Switch", json!({"name": "unbound", "tunnel_key": 7}));
        let keyless = draft.insert("Logical_Switch", json!({"name": "keyless"}));
        draft.bind("eth1", 7, &keyless);
        apply(&mut switch, draft.finish());
        assert_eq!(learn(&switch, &mut random(1)), None);
        assert_eq!(announce(&switch), None);
    }

    #[test]
    fn every_host_is_learned_once_in_each_network_at_the_switchs_own_tunnel_end() {
        let mut switch = testing::programmed(2);
        let mut random = random(1);
        let mut learned = 0;
        while let Some(transaction) = learn(&switch, &mut random) {
            apply(&mut switch, Some(transaction));
            learned += 1;
        }
        assert_eq!(learned, 2 * usize::from(HOSTS));
        assert_eq!(BTreeSet::from_iter(macs(&switch)).len(), learned);
        let own = view::locators(&switch).find(|(_, end)| Some(*end) == view::own_tunnel_end(&switch));
        let (own, _) = own.expect("a locator");
        let everywhere = switch
            .rows("Ucast_Macs_Local")
            .all(|(_, row)| row.reference("locator") == Some(own));
        assert!(everywhere);
        let spellings: BTreeSet<_> = switch
            .rows("Ucast_Macs_Local")
            .map(|(_, row)| row.text("MAC").is_some_and(|mac| mac.contains('A')))
            .collect();
        assert_eq!(spellings.len(), 2, "in either case");
    }

    #[test]
    fn a_host_roams_without_being_in_two_places_and_is_forgotten() {
        let mut switch = testing::programmed(2);
        let mut random = random(2);
        act(&mut switch, |switch| learn(switch, &mut random));
        let (start, mac) = macs(&switch)[0];
        let mut seen = BTreeSet::from([start]);
        for _ in 0..20 {
            act(&mut switch, |switch| roam(switch, &mut random));
            let [(place, same)] = macs(&switch)[..] else {
                panic!("in two places: {:?}", macs(&switch));
            };
            assert_eq!(same, mac);
            seen.insert(place);
        }
        assert_eq!(seen.len(), 2, "it has been in both networks");
        act(&mut switch, |switch| forget(switch, &mut random));
        assert_eq!(macs(&switch), []);
        assert_eq!(forget(&switch, &mut random), None);
        assert_eq!(roam(&switch, &mut random), None);
    }

    #[test]
    fn broadcast_is_announced_once_and_taken_back_with_the_binding() {
        let mut switch = testing::programmed(2);
        let mut random = random(3);
        for _ in 0..10 {
            act(&mut switch, |switch| learn(switch, &mut random));
        }
        act(&mut switch, announce);
        assert_eq!(switch.rows("Mcast_Macs_Local").count(), 2);
        assert_eq!(announce(&switch), None);
        assert_eq!(unlearn(&switch), None);

        let (port, vlan, gone) = view::bindings(&switch).next().expect("a binding");
        let mut draft = Draft::on(&switch);
        draft.unbind(port, &[vlan]);
        apply(&mut switch, draft.finish());
        act(&mut switch, unlearn);
        assert_eq!(switch.rows("Mcast_Macs_Local").count(), 1);
        assert!(!macs(&switch).is_empty());
        assert!(macs(&switch).iter().all(|(network, _)| *network != gone));
        assert_eq!(unlearn(&switch), None);
    }
}
