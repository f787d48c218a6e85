//! Remote MACs: one row each, at the tunnel end where the MAC is.

use std::net::Ipv4Addr;

use super::{Step, View};
use crate::ids::{Mac, Uuid};
use crate::ovsdb::limits::Limited;
use crate::ovsdb::transaction::{MacTable, Transaction};
use crate::session::desired::Desired;
use crate::session::reconciler::Wait;
use crate::session::replica::Replica;

/// Whether the rows of a MAC are anything but the one that is desired.
pub(in crate::session) fn differs(replica: &Replica, desired: &Desired, network: Uuid, mac: Mac) -> bool {
    let Some(row) = replica.logical_switches.of_network(network) else {
        return false;
    };
    let found = rows_of(replica, row, mac);
    match (desired.vtep(network, mac), found.as_slice()) {
        (None, []) => false,
        (Some(vtep), [(_, found)]) => *found != Some(vtep),
        (Some(vtep), rows) if planted!(desired, DuplicatesNotFolded) && !rows.is_empty() => {
            rows.iter().all(|(_, found)| *found != Some(vtep))
        }
        (None | Some(_), _) => desired.network(network).is_some(),
    }
}

/// Inserts the row, moves it in place, or deletes its duplicates; what is not desired goes last.
pub(super) fn unicast(view: &View, network: Uuid, mac: Mac, deleting: bool, transaction: &mut Transaction) -> Step {
    let View { replica, desired, .. } = view;
    let Some(row) = replica.logical_switches.of_network(network) else {
        return Step::Right;
    };
    if !view.tables_read || !differs(replica, desired, network, mac) {
        return Step::Right;
    }
    let mut rows = rows_of(replica, row, mac);
    let Some(vtep) = desired.vtep(network, mac) else {
        return match (desired.is_complete(network), deleting) {
            (false, _) => Step::Wait(Wait::Incomplete),
            (true, _) if view.withholds(network) && !desired.options().routed => Step::Wait(Wait::Withheld),
            (true, _) if view.withholds_mac(network, mac) => Step::Wait(Wait::Withheld),
            (true, false) => Step::Delete,
            (true, true) => delete(view, &rows, transaction),
        };
    };
    let canonical = |row: Uuid| replica.ucast_remote.row(row).is_some_and(|entry| entry.canonical);
    rows.sort_by_key(|(row, found)| (*found != Some(vtep), !canonical(*row), *row));
    match rows.split_first() {
        Some(((_, found), duplicates)) if *found == Some(vtep) => delete(view, duplicates, transaction),
        None if let Err(on) = view.room(Limited::Unicast, transaction) => Step::Wait(on),
        kept => match (view.locator(vtep, transaction), kept) {
            (Err(on), _) => Step::Wait(on),
            (Ok(locator), None) => {
                transaction.insert_ucast(mac, row, locator);
                Step::WRITE
            }
            (Ok(locator), Some(((kept, _), duplicates))) => {
                transaction.update_ucast(*kept, locator);
                delete(view, duplicates, transaction)
            }
        },
    }
}

/// Rows in our logical switch that nothing can explain: text that is no MAC, a multicast group.
pub(super) fn strays(view: &View, network: Uuid, transaction: &mut Transaction) -> Step {
    let Some(row) = view.replica.logical_switches.of_network(network) else {
        return Step::Right;
    };
    if !view.tables_read || view.desired.network(network).is_none() {
        return Step::Right;
    }
    let unicast = view.replica.ucast_remote.strays_of(row);
    let groups = view.replica.mcast_remote.rows_of(row);
    let groups = groups.filter(|(_, entry)| !entry.mac.is_broadcast());
    let unicast = unicast.map(|row| (MacTable::UcastRemote, row));
    let strays: Vec<(MacTable, Uuid)> = unicast
        .chain(groups.map(|(row, _)| (MacTable::McastRemote, row)))
        .collect();
    if strays.is_empty() {
        return Step::Right;
    }
    if !view.desired.is_complete(network) {
        return Step::Wait(Wait::Incomplete);
    }
    let room = view.deletions_left(transaction);
    for (table, row) in strays.iter().take(room) {
        transaction.delete_mac(*table, *row);
    }
    if strays.len() > room {
        Step::WRITE_PART
    } else {
        Step::WRITE
    }
}

/// Deletes as many of these rows as the switch takes.
fn delete(view: &View, rows: &[(Uuid, Option<Ipv4Addr>)], transaction: &mut Transaction) -> Step {
    let room = view.rows_left(transaction);
    for (row, _) in rows.iter().take(room) {
        transaction.delete_mac(MacTable::UcastRemote, *row);
    }
    if rows.len() > room {
        Step::WRITE_PART
    } else {
        Step::WRITE
    }
}

/// The rows of a MAC, and where each points.
fn rows_of(replica: &Replica, logical_switch: Uuid, mac: Mac) -> SmallRows {
    let table = &replica.ucast_remote;
    let rows = table.rows_of(logical_switch, mac).iter();
    let place = |row: &Uuid| replica.locators.vtep(table.row(*row)?.locator?);
    rows.map(|row| (*row, place(row))).collect()
}

/// Nearly always one row.
type SmallRows = smallvec::SmallVec<[(Uuid, Option<Ipv4Addr>); 1]>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::plan::testing::{OTHER_VTEP, Scene, VTEP, mac};
    use proptest::prelude::*;

    fn plan(scene: &Scene, deleting: bool) -> (Step, String) {
        scene.plan(|view, transaction| unicast(view, Scene::NETWORK, mac(1), deleting, transaction))
    }

    #[test]
    fn a_desired_mac_is_inserted_moved_in_place_or_left_alone() {
        let mut scene = Scene::with_logical_switch();
        scene.import(mac(1), Some(VTEP));
        let (step, text) = plan(&scene, false);
        assert_eq!(step, Step::WRITE);
        assert!(text.contains(r#""op":"insert","table":"Ucast_Macs_Remote""#), "{text}");
        scene.unicast_row(1, mac(1), OTHER_VTEP);
        let (_, text) = plan(&scene, false);
        assert!(text.contains(r#""op":"update","table":"Ucast_Macs_Remote""#), "{text}");
        scene.unicast_row(1, mac(1), VTEP);
        assert_eq!(plan(&scene, false).0, Step::Right);
    }

    #[test]
    fn a_mac_that_is_not_desired_waits_for_completeness_and_goes_last() {
        let mut scene = Scene::with_logical_switch();
        scene.unicast_row(1, mac(1), VTEP);
        assert_eq!(plan(&scene, false).0, Step::Delete);
        let (step, text) = plan(&scene, true);
        assert_eq!(step, Step::WRITE);
        assert!(text.contains(r#""op":"delete","table":"Ucast_Macs_Remote""#), "{text}");
        scene.set_complete(false);
        assert_eq!(plan(&scene, true).0, Step::Wait(Wait::Incomplete));
    }

    #[test]
    fn one_transaction_creates_a_locator_and_others_wait_for_it() {
        let mut scene = Scene::with_logical_switch();
        scene.import(mac(1), Some(Ipv4Addr::new(10, 9, 9, 9)));
        let (_, text) = plan(&scene, false);
        assert!(text.contains("Physical_Locator"), "{text}");
        scene.creating(Ipv4Addr::new(10, 9, 9, 9));
        let on = Wait::Locator(Ipv4Addr::new(10, 9, 9, 9));
        assert_eq!(plan(&scene, false).0, Step::Wait(on));
    }

    proptest! {
        /// Applies each plan to the rows by hand: two steps at most are needed, and then nothing differs.
        #[test]
        fn whatever_rows_are_found_planning_ends_with_one_right_row_or_none(
            found in proptest::collection::vec(any::<bool>(), 0..4),
            desired in proptest::option::of(any::<bool>()),
        ) {
            let vtep = |first| if first { VTEP } else { OTHER_VTEP };
            let mut scene = Scene::with_logical_switch();
            scene.import(mac(1), desired.map(vtep));
            for (row, first) in found.iter().enumerate() {
                scene.unicast_row(row as u128 + 1, mac(1), vtep(*first));
            }
            let (step, text) = plan(&scene, true);
            let right = match desired {
                None => found.is_empty(),
                Some(desired) => found == [desired],
            };
            prop_assert_eq!(step == Step::Right, right);
            let count = |op: &str| text.matches(op).count();
            let rows = found.len() + count(r#""op":"insert","table":"Ucast"#) - count(r#""op":"delete""#);
            prop_assert_eq!(rows, usize::from(desired.is_some()));
            let kept_is_right = desired.is_none_or(|desired| found.contains(&desired));
            let writes = count(r#""op":"insert","table":"Ucast"#) + count(r#""op":"update""#);
            prop_assert_eq!(writes, usize::from(!kept_is_right));
        }
    }
}
