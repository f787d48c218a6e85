//! Logical switches: created with their broadcast row, given their VNI when it is free, deleted last.

use std::collections::BTreeSet;

use super::{Step, View};
use crate::ids::{Uuid, Vni};
use crate::ovsdb::limits::Limited;
use crate::ovsdb::transaction::{MacTable, Transaction};
use crate::session::reconciler::Wait;
use crate::session::replica::mcast::Mcast;
use crate::session::replica::ucast::Ucast;

/// Creates, changes or deletes the logical switch of a network.
pub(super) fn logical_switch(view: &View, network: Uuid, deleting: bool, transaction: &mut Transaction) -> Step {
    let row = view.replica.logical_switches.of_network(network);
    let vni = view.desired.network(network).map(|network| network.vni);
    match (vni, row) {
        (None, None) => Step::Right,
        (Some(vni), None) => create(view, network, vni, transaction),
        (Some(vni), Some(row)) => change(view, network, row, vni, transaction),
        (None, Some(_)) if !view.desired.is_configuration_complete() => Step::Wait(Wait::Incomplete),
        (None, Some(_)) if view.withholds(network) => Step::Wait(Wait::Withheld),
        (None, Some(_)) if !deleting => Step::Delete,
        (None, Some(row)) => delete(view, network, row, transaction),
    }
}

fn create(view: &View, network: Uuid, vni: Vni, transaction: &mut Transaction) -> Step {
    if let Some(on) = vni_taken(view, vni, None, transaction) {
        return Step::Wait(on);
    }
    if let Err(on) = view.room(Limited::LogicalSwitch, transaction) {
        return Step::Wait(on);
    }
    let options = view.desired.options();
    // Where there is no room for both, the broadcast row follows when the logical switch is there.
    let with_broadcast = view.rows_left(transaction) > 1 && view.room(Limited::Broadcast, transaction).is_ok();
    if with_broadcast && let Err(on) = view.locator(options.tsn, transaction) {
        return Step::Wait(on);
    }
    let name = options.logical_switch(network);
    let row = transaction.insert_logical_switch(name.as_str(), vni, view.replication_mode);
    if with_broadcast && let Ok(set) = view.broadcast_set(transaction) {
        transaction.insert_broadcast(row, set);
    }
    Step::WRITE
}

fn change(view: &View, network: Uuid, row: Uuid, vni: Vni, transaction: &mut Transaction) -> Step {
    let table = &view.replica.logical_switches;
    let found = table.row(row).and_then(|entry| entry.tunnel_key);
    let renumber = found != Some(i64::from(vni.value()));
    let replicate = table.is_source_node(row);
    if !renumber && !replicate {
        return Step::Right;
    }
    let mut step = Step::WRITE;
    if renumber {
        match vni_taken(view, vni, Some(row), transaction) {
            None => transaction.update_tunnel_key(row, Some(vni)),
            // Two networks that swap their VNIs would wait for each other forever: one steps aside.
            Some(_) if found.is_some() && steps_aside(view, network) => {
                transaction.update_tunnel_key(row, None);
                step = Step::WRITE_PART;
            }
            Some(on) if !replicate => return Step::Wait(on),
            Some(_) => step = Step::WRITE_PART,
        }
    }
    if replicate {
        transaction.update_replication_mode(row);
    }
    step
}

/// Some switches cannot hold two logical switches with one VNI, not even for a moment.
fn vni_taken(view: &View, vni: Vni, except: Option<Uuid>, transaction: &Transaction) -> Option<Wait> {
    let tunnel_key = i64::from(vni.value());
    if let Some(holder) = view.replica.logical_switches.holder(tunnel_key, except) {
        return Some(Wait::Vni { tunnel_key, holder });
    }
    let in_flight = view.underway.gives(vni) || transaction.given_vnis().any(|given| given == vni);
    in_flight.then_some(Wait::VniInFlight(vni))
}

/// Whether a network stands in a circle of networks that wait for each other, as the first of them.
fn steps_aside(view: &View, network: Uuid) -> bool {
    if planted!(view.desired, VniSwapDeadlock) {
        return false;
    }
    let mut circle = BTreeSet::from([network]);
    let mut at = network;
    while let Some(next) = awaited_by(view, at) {
        if next == network {
            return circle.first() == Some(&network);
        }
        if !circle.insert(next) {
            return false;
        }
        at = next;
    }
    false
}

/// The network of ours that holds the VNI that another one desires, and desires another itself.
fn awaited_by(view: &View, network: Uuid) -> Option<Uuid> {
    let table = &view.replica.logical_switches;
    let desired = i64::from(view.desired.network(network)?.vni.value());
    let holder = table.network(table.holder(desired, table.of_network(network))?)?;
    let moves = i64::from(view.desired.network(holder)?.vni.value()) != desired;
    Some(holder).filter(|_| moves)
}

/// Deletes a logical switch and what stands in it. The switch's own rows go with it only if it did not take them back
/// in time. If something else refers to it, our rows in it go first, because it may have to stay.
fn delete(view: &View, network: Uuid, row: Uuid, transaction: &mut Transaction) -> Step {
    let replica = view.replica;
    if replica.ports.binds(row) {
        return Step::Wait(Wait::Bound);
    }
    let learned = replica.ucast_local.any_of(row) || replica.mcast_local.rows_of(row).next().is_some();
    if learned {
        let grace = view.desired.options().local_macs_grace;
        let until = view.underway.retires(network).unwrap_or(view.now + grace);
        if view.now < until {
            return Step::Wait(Wait::LocalMacs { until });
        }
    }
    if !view.desired.takes_any_number_of_rows() {
        return delete_bit_by_bit(view, row, transaction);
    }
    if view.underway.is_referred(network) && has_rows_of_ours(view, row) {
        for table in MacTable::ALL.into_iter().filter(|table| !table.is_local()) {
            transaction.delete_macs_of(table, row);
        }
        return Step::WRITE_PART;
    }
    for table in MacTable::ALL.into_iter().filter(|table| learned || !table.is_local()) {
        transaction.delete_macs_of(table, row);
    }
    transaction.delete_logical_switch(row);
    Step::WRITE
}

fn has_rows_of_ours(view: &View, row: Uuid) -> bool {
    view.replica.ucast_remote.any_of(row) || view.replica.mcast_remote.rows_of(row).next().is_some()
}

/// As much as the switch takes in one transaction; the rest follows when it is applied.
fn delete_bit_by_bit(view: &View, row: Uuid, transaction: &mut Transaction) -> Step {
    let replica = view.replica;
    let room = view.deletions_left(transaction);
    let unicast = |table, rows: &Ucast| rows.rows_in(row).map(|row| (table, row)).take(room).collect::<Vec<_>>();
    let multicast = |table, rows: &Mcast| rows.rows_of(row).map(|(row, _)| (table, row)).collect::<Vec<_>>();
    let mut rows = unicast(MacTable::UcastRemote, &replica.ucast_remote);
    rows.extend(multicast(MacTable::McastRemote, &replica.mcast_remote));
    rows.extend(unicast(MacTable::UcastLocal, &replica.ucast_local));
    rows.extend(multicast(MacTable::McastLocal, &replica.mcast_local));
    for (table, row) in rows.iter().take(room) {
        transaction.delete_mac(*table, *row);
    }
    if rows.len() < room {
        transaction.delete_logical_switch(row);
        Step::WRITE
    } else {
        Step::WRITE_PART
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::plan::testing::{Scene, TSN, mac};

    fn plan(scene: &Scene, network: Uuid, deleting: bool) -> (Step, String) {
        scene.plan(|view, transaction| logical_switch(view, network, deleting, transaction))
    }

    #[test]
    fn it_is_created_with_its_broadcast_row_in_one_transaction() {
        let scene = Scene::new();
        let (step, text) = plan(&scene, Scene::NETWORK, false);
        assert_eq!(step, Step::WRITE);
        for table in ["Logical_Switch", "Mcast_Macs_Remote"] {
            let insert = format!(r#""op":"insert","table":"{table}""#);
            assert!(text.contains(&insert), "{text}");
        }
        assert!(
            text.contains(&Uuid(30).to_string()),
            "the locator of the services node: {text}"
        );
    }

    #[test]
    fn a_vni_that_another_logical_switch_has_is_waited_for() {
        let mut scene = Scene::new();
        scene.foreign_logical_switch(70, "theirs");
        scene.tunnel_key(70, "theirs", Scene::VNI);
        let holder = Uuid(70);
        let tunnel_key = Scene::VNI.into();
        let on = Wait::Vni { tunnel_key, holder };
        assert_eq!(plan(&scene, Scene::NETWORK, false).0, Step::Wait(on));
    }

    #[test]
    fn of_two_networks_that_swap_their_vnis_the_first_steps_aside() {
        let mut scene = Scene::with_logical_switch();
        scene.add_network(Uuid(2), Scene::VNI + 1);
        scene.own_logical_switch(Scene::ROW, Scene::NETWORK, Scene::VNI + 1);
        scene.own_logical_switch(Uuid(200), Uuid(2), Scene::VNI);
        let (step, text) = plan(&scene, Scene::NETWORK, false);
        assert_eq!(step, Step::WRITE_PART);
        assert!(text.contains(r#""tunnel_key":["set",[]]"#), "{text}");
        assert!(matches!(
            plan(&scene, Uuid(2), false).0,
            Step::Wait(Wait::Vni { holder: Scene::ROW, .. })
        ));
    }

    #[test]
    fn it_is_deleted_last_and_not_before_the_switch_had_time_for_its_own_macs() {
        let mut scene = Scene::with_logical_switch();
        scene.configure(|configuration| {
            configuration.networks.clear();
        });
        assert_eq!(plan(&scene, Scene::NETWORK, false).0, Step::Delete);
        scene.local_row(1, mac(1));
        let until = scene.now + Duration::from_secs(15);
        let on = Wait::LocalMacs { until };
        assert_eq!(plan(&scene, Scene::NETWORK, true).0, Step::Wait(on));
        scene.retire(Scene::NETWORK, scene.now);
        let (step, text) = plan(&scene, Scene::NETWORK, true);
        assert_eq!(step, Step::WRITE);
        assert!(text.contains("Ucast_Macs_Local"), "{text}");
    }

    #[test]
    fn while_ports_are_bound_to_it_it_stays() {
        let mut scene = Scene::with_logical_switch();
        scene.configure(|configuration| {
            configuration.networks.clear();
        });
        scene.bindings(&[(10, Scene::ROW.0)]);
        assert_eq!(plan(&scene, Scene::NETWORK, true).0, Step::Wait(Wait::Bound));
    }

    #[test]
    fn a_switch_that_takes_few_rows_loses_it_bit_by_bit() {
        let mut scene = Scene::with_logical_switch();
        scene.limit_rows(2);
        scene.configure(|configuration| {
            configuration.networks.clear();
        });
        (1..=3).for_each(|row| scene.unicast_row(u128::from(row), mac(row), TSN));
        let (step, text) = plan(&scene, Scene::NETWORK, true);
        assert_eq!(step, Step::WRITE_PART);
        assert_eq!(text.matches(r#""op":"delete""#).count(), 2, "{text}");
        assert!(!text.contains(r#""table":"Logical_Switch""#), "{text}");
    }
}
