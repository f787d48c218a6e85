//! MACs that went elsewhere: a client wrote the remote row of a MAC that the switch may have learned itself.

use std::collections::BTreeSet;

use tandem_core::{Mac, Uuid};

use crate::switch::{Commit, Row, RowChange};

/// The MACs whose remote row is newer than their local one, and the rows of their logical switches.
pub type Moved = BTreeSet<(Uuid, Mac)>;

/// Follows a transaction: of the two rows of a MAC the newer counts.
pub(super) fn follow(moved: &mut Moved, commit: &Commit) {
    for change in &commit.changes {
        let Some(mac) = change.new.as_deref().filter(|_| is_placed(change)).and_then(key) else {
            continue;
        };
        match change.table {
            "Ucast_Macs_Remote" => drop(moved.insert(mac)),
            "Ucast_Macs_Local" => drop(moved.remove(&mac)),
            _ => {}
        }
    }
}

/// Whether the row is new, or leads elsewhere than before.
fn is_placed(change: &RowChange) -> bool {
    let [old, new] = [&change.old, &change.new].map(|row| row.as_deref().and_then(|row| row.reference("locator")));
    old != new
}

fn key(row: &Row) -> Option<(Uuid, Mac)> {
    Some((row.reference("logical_switch")?, row.text("MAC")?.parse().ok()?))
}
