//! What another client wrote: the found state of an object, for people.

use super::replica::Replica;
use crate::event::Object;
use crate::text::{count, short};

/// The rows of an object as the switch has them.
pub(super) fn found(replica: &Replica, object: &Object) -> String {
    let row = |network| replica.logical_switches.of_network(network);
    match object {
        Object::Broadcast(network) => row(*network).map_or_else(String::new, |row| {
            let rows = replica.mcast_remote.rows_of(row);
            let rows = rows.filter(|(_, entry)| entry.mac.is_broadcast());
            listed(rows.map(|(_, entry)| {
                let set = entry.locator_set;
                let vteps = set.into_iter().flat_map(|set| replica.locators.vteps(set));
                format!("at {}", listed(vteps.map(|vtep| vtep.to_string())))
            }))
        }),
        Object::Unicast(network, mac) => row(*network).map_or_else(String::new, |row| {
            let table = &replica.ucast_remote;
            let rows = table.rows_of(row, *mac).iter().filter_map(|row| table.row(*row));
            listed(rows.map(|entry| {
                let vtep = entry.locator.and_then(|locator| replica.locators.vtep(locator));
                vtep.map_or_else(|| "at an unknown locator".into(), |vtep| format!("at {vtep}"))
            }))
        }),
        Object::LogicalSwitch(network) => {
            let entry = row(*network).and_then(|row| replica.logical_switches.row(row));
            listed(entry.into_iter().map(|entry| match entry.tunnel_key {
                Some(vni) => format!("with VNI {vni}"),
                None => "without a VNI".into(),
            }))
        }
        Object::Port(switch, port) => {
            let bindings = replica.ports.find(switch, port).map(|(_, port)| &port.bindings);
            listed(bindings.into_iter().flatten().map(|(vlan, row)| {
                let name = replica.logical_switches.row(*row).map(|entry| entry.name.to_string());
                format!(
                    "VLAN {vlan} bound to {}",
                    short(&name.unwrap_or_else(|| row.to_string()))
                )
            }))
        }
        Object::Strays(network) => {
            let rows = row(*network).map_or(0, |row| replica.ucast_remote.strays_of(row).count());
            count(rows, "unicast row", "unicast rows")
        }
        Object::Manager => String::new(),
    }
}

/// The first few, or `absent`.
fn listed(items: impl Iterator<Item = String>) -> String {
    const NAMED: usize = 3;
    let mut items = items.peekable();
    if items.peek().is_none() {
        return "absent".into();
    }
    let named: Vec<String> = items.by_ref().take(NAMED).collect();
    let more = items.count();
    let named = named.join(", ");
    if more == 0 {
        named
    } else {
        format!("{named} and {more} more")
    }
}
