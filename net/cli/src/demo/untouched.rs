//! Rows that a takeover must leave alone.

use serde_json::Value;

use tandem_lab::snapshot::{Difference, Row};

/// The tables of the rows that a takeover should have left alone and changed.
pub(super) fn rewritten(differences: &[Difference], services_nodes: [&str; 2]) -> Vec<String> {
    let expected = |difference: &&Difference| {
        let rows = [&difference.before, &difference.after].into_iter().flatten();
        match difference.table.as_str() {
            "Mcast_Macs_Remote" | "Physical_Locator_Set" => true,
            "Physical_Locator" => rows
                .map(|row| row.get("dst_ip").and_then(Value::as_str))
                .all(|ip| ip.is_some_and(|ip| services_nodes.contains(&ip))),
            "Manager" => match (&difference.before, &difference.after) {
                (Some(before), Some(after)) => configured(before) == configured(after),
                _ => false,
            },
            _ => false,
        }
    };
    let others = differences.iter().filter(|difference| !expected(difference));
    others.map(|difference| difference.table.clone()).collect()
}

/// A `Manager` row without what the server itself writes when a manager comes or goes.
fn configured(row: &Row) -> Row {
    let mut row = row.clone();
    row.retain(|column, _| !["_version", "is_connected", "status"].contains(&column.as_str()));
    row
}
