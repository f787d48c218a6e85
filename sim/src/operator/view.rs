//! What a person at the switch, or its firmware, reads out of the database.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use tandem_core::{LogicalSwitchName, Mac, Uuid};

use super::PREFIX;
use crate::switch::{Row, Switch};

/// The switch's own tunnel end.
pub(super) fn own_tunnel_end(switch: &Switch) -> Option<Ipv4Addr> {
    let mut addresses = switch
        .rows("Physical_Switch")
        .flat_map(|(_, row)| row.datum("tunnel_ips"))
        .flat_map(|addresses| addresses.atoms());
    addresses.find_map(|address| address.as_str()?.parse().ok())
}

/// The locators that MACs may refer to: those without a tunnel key of their own.
pub(super) fn locators(switch: &Switch) -> impl Iterator<Item = (Uuid, Ipv4Addr)> {
    let keyless = |row: &Row| row.integer("tunnel_key").is_none();
    let rows = switch.rows("Physical_Locator").filter(move |(_, row)| keyless(row));
    rows.filter_map(|(uuid, row)| Some((uuid, row.text("dst_ip")?.parse().ok()?)))
}

/// Every binding: port, VLAN, logical switch.
pub(super) fn bindings(switch: &Switch) -> impl Iterator<Item = (&str, i64, Uuid)> {
    switch.rows("Physical_Port").flat_map(|(_, row)| {
        let port = row.text("name").unwrap_or_default();
        let pairs = row
            .datum("vlan_bindings")
            .into_iter()
            .flat_map(|bindings| bindings.pairs());
        pairs.filter_map(move |(vlan, network)| Some((port, vlan.as_integer()?, network.as_uuid()?)))
    })
}

/// The logical switches that some port is bound to.
pub(super) fn bound(switch: &Switch) -> BTreeSet<Uuid> {
    bindings(switch).map(|(_, _, network)| network).collect()
}

/// The rows of a table of MACs that belong to a logical switch.
pub(super) fn rows_of<'a>(
    switch: &'a Switch,
    table: &str,
    logical_switch: Uuid,
) -> impl Iterator<Item = (Uuid, &'a Row)> {
    let rows = switch.rows(table);
    rows.filter(move |(_, row)| row.reference("logical_switch") == Some(logical_switch))
}

/// The MAC of a row, whichever way it is written; `None` for `unknown-dst` and the like.
pub(super) fn mac(row: &Row) -> Option<Mac> {
    row.text("MAC")?.parse().ok()
}

/// Whether a logical switch is none that an agent would have made.
pub(super) fn is_foreign(logical_switch: &Row) -> bool {
    let name = logical_switch.text("name").unwrap_or_default();
    LogicalSwitchName::network_in(name, PREFIX).is_none()
}
