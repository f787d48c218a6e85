//! The broadcast row: exactly one in each logical switch, and it names our services node.

use super::{Step, View};
use crate::ids::Uuid;
use crate::ovsdb::limits::Limited;
use crate::ovsdb::rows::MacText;
use crate::ovsdb::transaction::{MacTable, Ref, Transaction};

/// Repoints the row in place, deletes duplicates, and writes `unknown-dst` for `ff:ff:ff:ff:ff:ff`.
///
/// A logical switch that is not there yet gets its row in the transaction that creates it.
pub(super) fn broadcast(view: &View, network: Uuid, transaction: &mut Transaction) -> Step {
    let Some(row) = view.replica.logical_switches.of_network(network) else {
        return Step::Right;
    };
    if view.desired.network(network).is_none() {
        return Step::Right;
    }
    let rows = broadcast_rows(view, row);
    if let [(_, true)] = rows.as_slice() {
        return Step::Right;
    }
    // The locator is needed even where only duplicates go: a row that refers to it might be among them.
    if let Err(on) = view.locator(view.desired.options().tsn, transaction) {
        return Step::Wait(on);
    }
    let Some(((kept, right), duplicates)) = rows.split_first() else {
        if let Err(on) = view.room(Limited::Broadcast, transaction) {
            return Step::Wait(on);
        }
        return match view.broadcast_set(transaction) {
            Ok(set) => {
                transaction.insert_broadcast(Ref::Row(row), set);
                Step::WRITE
            }
            Err(on) => Step::Wait(on),
        };
    };
    if !right {
        match view.broadcast_set(transaction) {
            Ok(set) => transaction.update_broadcast(*kept, set),
            Err(on) => return Step::Wait(on),
        }
    }
    let room = view.rows_left(transaction);
    for (row, _) in duplicates.iter().take(room) {
        transaction.delete_mac(MacTable::McastRemote, *row);
    }
    if duplicates.len() > room {
        Step::WRITE_PART
    } else {
        Step::WRITE
    }
}

/// The broadcast rows of a logical switch, and whether each is right; the best to keep comes first.
fn broadcast_rows(view: &View, logical_switch: Uuid) -> Vec<(Uuid, bool)> {
    let tsn = view.desired.options().tsn;
    let rows = view.replica.mcast_remote.rows_of(logical_switch);
    let mut rows: Vec<(Uuid, bool)> = rows
        .filter(|(_, entry)| entry.mac.is_broadcast())
        .map(|(row, entry)| {
            let locators = &view.replica.locators;
            let vtep = entry.locator_set.and_then(|set| {
                if planted!(view.desired, FirstLocatorCounts) {
                    return locators.vteps(set).next();
                }
                locators.sole_vtep(set)
            });
            let unchecked = planted!(view.desired, BroadcastNotChecked);
            (row, unchecked || entry.mac == MacText::UnknownDst && vtep == Some(tsn))
        })
        .collect();
    rows.sort_by_key(|(row, right)| (!right, *row));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::plan::testing::{OTHER_VTEP, Scene, TSN};

    #[test]
    fn a_row_that_points_elsewhere_is_repointed_in_place() {
        let mut scene = Scene::with_logical_switch();
        scene.broadcast_row(1, "unknown-dst", OTHER_VTEP);
        let (step, text) = scene.plan(|view, transaction| broadcast(view, Scene::NETWORK, transaction));
        assert_eq!(step, Step::WRITE);
        assert!(text.contains(r#""op":"update","table":"Mcast_Macs_Remote""#), "{text}");
        assert!(!text.contains("delete"), "{text}");
    }

    #[test]
    fn the_right_row_is_kept_and_its_duplicates_go() {
        let mut scene = Scene::with_logical_switch();
        scene.broadcast_row(1, "ff:ff:ff:ff:ff:ff", TSN);
        scene.broadcast_row(2, "unknown-dst", TSN);
        let (step, text) = scene.plan(|view, transaction| broadcast(view, Scene::NETWORK, transaction));
        assert_eq!(step, Step::WRITE);
        assert_eq!(text.matches(r#""op":"delete""#).count(), 1, "{text}");
        assert!(
            text.contains(&Uuid(1).to_string()) && !text.contains("update"),
            "{text}"
        );
    }

    #[test]
    fn a_row_that_is_right_needs_nothing() {
        let mut scene = Scene::with_logical_switch();
        scene.broadcast_row(1, "unknown-dst", TSN);
        let (step, _) = scene.plan(|view, transaction| broadcast(view, Scene::NETWORK, transaction));
        assert_eq!(step, Step::Right);
    }

    #[test]
    fn a_switch_that_takes_few_rows_gets_the_rest_later() {
        let mut scene = Scene::with_logical_switch();
        scene.limit_rows(2);
        (1..=5).for_each(|row| scene.broadcast_row(row, "unknown-dst", TSN));
        let (step, text) = scene.plan(|view, transaction| broadcast(view, Scene::NETWORK, transaction));
        assert_eq!(step, Step::WRITE_PART);
        assert_eq!(text.matches(r#""op":"delete""#).count(), 2, "{text}");
    }
}
