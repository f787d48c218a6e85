//! Edits of other writers in the database of the switch: each is one transaction.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use serde_json::{Value, json};
use tandem_core::Uuid;

use crate::world::{TUNNEL_IP, World, find_locator, find_port, mac, name, ops, vtep};

/// An edit, with numbers that pick a row.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    DeleteRemote(u8),
    InsertRemote(u8, u32, u8),
    MoveRemote(u8, u8),
    DoubleBroadcast(u8, bool),
    DeleteBroadcast(u8),
    Bind(bool, u8, u8),
    Unbind(bool),
    Foreign(u8),
    DeleteLogicalSwitch(u8),
    Renumber(u8, u32),
    Learn(u8, u32),
    Unlearn(u8),
    ReplacePort(bool),
    RenamePort,
    RenameSwitch,
    Adopt(u8, u8),
    Group(u8),
    Gibberish(u8),
    LearnBroadcast(u8),
    UnlearnBroadcast(u8),
}

/// Any of them.
pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        any::<u8>().prop_map(Edit::DeleteRemote),
        (any::<u8>(), 0..5u32, 1..4u8).prop_map(|(ls, mac, end)| Edit::InsertRemote(ls, mac, end)),
        (any::<u8>(), 1..4u8).prop_map(|(row, end)| Edit::MoveRemote(row, end)),
        (any::<u8>(), any::<bool>()).prop_map(|(ls, old)| Edit::DoubleBroadcast(ls, old)),
        any::<u8>().prop_map(Edit::DeleteBroadcast),
        (any::<bool>(), any::<u8>(), 0..40u8).prop_map(|(port, ls, vlan)| Edit::Bind(port, ls, vlan)),
        any::<bool>().prop_map(Edit::Unbind),
        any::<u8>().prop_map(Edit::Foreign),
        any::<u8>().prop_map(Edit::DeleteLogicalSwitch),
        (any::<u8>(), 5000..5005u32).prop_map(|(ls, vni)| Edit::Renumber(ls, vni)),
        (any::<u8>(), 0..5u32).prop_map(|(ls, mac)| Edit::Learn(ls, mac)),
        any::<u8>().prop_map(Edit::Unlearn),
        any::<bool>().prop_map(Edit::ReplacePort),
        Just(Edit::RenamePort),
        Just(Edit::RenameSwitch),
        (any::<u8>(), 1..5u8).prop_map(|(ls, n)| Edit::Adopt(ls, n)),
        any::<u8>().prop_map(Edit::Group),
        any::<u8>().prop_map(Edit::Gibberish),
        any::<u8>().prop_map(Edit::LearnBroadcast),
        any::<u8>().prop_map(Edit::UnlearnBroadcast),
    ]
}

impl Edit {
    /// The operations of the transaction; `None` if there is no such row.
    pub(crate) fn operations(&self, world: &World) -> Option<Vec<Value>> {
        let ls = |number: &u8| pick(world, "Logical_Switch", *number);
        let port = |first: &bool| find_port(world, port_name(*first));
        match self {
            Self::InsertRemote(number, address, end) => {
                let address = mac(*address).to_string();
                Some(unicast(world, "Ucast_Macs_Remote", &address, ls(number)?, vtep(*end)))
            }
            Self::Gibberish(number) => Some(unicast(world, "Ucast_Macs_Remote", "gibberish", ls(number)?, vtep(2))),
            Self::MoveRemote(row, end) => move_remote(world, *row, vtep(*end)),
            Self::DeleteRemote(row) => delete(world, "Ucast_Macs_Remote", *row),
            Self::Learn(number, address) => {
                let address = mac(100 + address).to_string();
                Some(unicast(world, "Ucast_Macs_Local", &address, ls(number)?, TUNNEL_IP))
            }
            Self::Unlearn(row) => delete(world, "Ucast_Macs_Local", *row),
            Self::DoubleBroadcast(number, old) => {
                let mac = if *old { "ff:ff:ff:ff:ff:ff" } else { "unknown-dst" };
                Some(multicast(world, "Mcast_Macs_Remote", mac, ls(number)?, vtep(3)))
            }
            Self::Group(number) => {
                let mac = "01:00:5e:00:00:01";
                Some(multicast(world, "Mcast_Macs_Remote", mac, ls(number)?, vtep(3)))
            }
            Self::DeleteBroadcast(row) => delete(world, "Mcast_Macs_Remote", *row),
            Self::LearnBroadcast(number) => {
                let mac = "unknown-dst";
                Some(multicast(world, "Mcast_Macs_Local", mac, ls(number)?, TUNNEL_IP))
            }
            Self::UnlearnBroadcast(row) => delete(world, "Mcast_Macs_Local", *row),
            Self::Foreign(n) => Some(vec![foreign(n % 3)]),
            Self::DeleteLogicalSwitch(number) => ls(number).map(delete_logical_switch),
            Self::Renumber(number, vni) => {
                let ls = ls(number).filter(|ls| is_ours(world, *ls))?;
                Some(vec![update("Logical_Switch", ls, &json!({"tunnel_key": vni}))])
            }
            Self::Adopt(number, n) => {
                let ls = ls(number).filter(|ls| !is_ours(world, *ls))?;
                Some(vec![update("Logical_Switch", ls, &json!({"name": name((*n).into())}))])
            }
            Self::Bind(first, number, vlan) => Some(vec![bind(port(first)?, ls(number)?, *vlan)]),
            Self::Unbind(first) => {
                let columns = json!({"vlan_bindings": ["map", []]});
                Some(vec![update("Physical_Port", port(first)?, &columns)])
            }
            Self::ReplacePort(first) => Some(replace_port(world, port(first)?, port_name(*first))),
            Self::RenamePort => Some(vec![rename_port(port(&true).is_some())]),
            Self::RenameSwitch => Some(vec![rename_switch(world)]),
        }
    }
}

fn port_name(first: bool) -> &'static str {
    if first { "eth1" } else { "eth2" }
}

/// The row of a table that a number picks.
fn pick(world: &World, table: &str, number: u8) -> Option<Uuid> {
    let rows: Vec<Uuid> = world.switch.rows(table).map(|(row, _)| row).collect();
    rows.get(usize::from(number) % rows.len().max(1)).copied()
}

fn delete(world: &World, table: &str, number: u8) -> Option<Vec<Value>> {
    pick(world, table, number).map(|row| vec![ops::delete(table, row)])
}

fn update(table: &str, row: Uuid, columns: &Value) -> Value {
    json!({"op": "update", "table": table, "where": [["_uuid", "==", ops::uuid(row)]], "row": columns})
}

fn mutate(table: &str, row: Uuid, column: &str, how: &str, what: &Value) -> Value {
    let of = json!([["_uuid", "==", ops::uuid(row)]]);
    json!({"op": "mutate", "table": table, "where": of, "mutations": [[column, how, what]]})
}

/// The operation that creates the locator of a tunnel end, if it is not there, and a reference to it.
fn locator(world: &World, end: Ipv4Addr) -> (Vec<Value>, Value) {
    match find_locator(world, end) {
        Some(row) => (Vec::new(), ops::uuid(row)),
        None => (vec![ops::locator("l", end)], ops::named("l")),
    }
}

fn unicast(world: &World, table: &str, mac: &str, ls: Uuid, end: Ipv4Addr) -> Vec<Value> {
    let (mut operations, locator) = locator(world, end);
    operations.push(ops::ucast(table, mac, &ops::uuid(ls), &locator));
    operations
}

fn multicast(world: &World, table: &str, mac: &str, ls: Uuid, end: Ipv4Addr) -> Vec<Value> {
    let (mut operations, locator) = locator(world, end);
    let row = json!({"locators": locator});
    operations.push(json!({"op": "insert", "table": "Physical_Locator_Set", "uuid-name": "s", "row": row}));
    operations.push(ops::mcast(table, mac, &ops::uuid(ls), "s"));
    operations
}

fn move_remote(world: &World, row: u8, end: Ipv4Addr) -> Option<Vec<Value>> {
    let row = pick(world, "Ucast_Macs_Remote", row)?;
    let (mut operations, locator) = locator(world, end);
    operations.push(update("Ucast_Macs_Remote", row, &json!({"locator": locator})));
    Some(operations)
}

fn foreign(n: u8) -> Value {
    ops::logical_switch(&format!("foreign-{n}"), 6000 + u32::from(n))
}

fn bind(port: Uuid, ls: Uuid, vlan: u8) -> Value {
    let map = json!(["map", [[vlan, ops::uuid(ls)]]]);
    mutate("Physical_Port", port, "vlan_bindings", "insert", &map)
}

/// The port goes, and one of the same name comes in the same transaction.
fn replace_port(world: &World, port: Uuid, name: &str) -> Vec<Value> {
    let switch = pick(world, "Physical_Switch", 0).expect("tor1");
    let change = |how: &str, what: &Value| mutate("Physical_Switch", switch, "ports", how, what);
    vec![
        change("delete", &ops::uuid(port)),
        json!({"op": "insert", "table": "Physical_Port", "uuid-name": "p", "row": {"name": name}}),
        change("insert", &ops::named("p")),
    ]
}

/// Renames `eth1`, or gives it its name back.
fn rename_port(is_there: bool) -> Value {
    let (from, to) = if is_there { ("eth1", "eth9") } else { ("eth9", "eth1") };
    json!({"op": "update", "table": "Physical_Port", "where": [["name", "==", from]], "row": {"name": to}})
}

/// Renames `tor1`, or gives it its name back.
fn rename_switch(world: &World) -> Value {
    let mut switches = world.switch.rows("Physical_Switch");
    let is_there = switches.any(|(_, row)| row.text("name") == Some("tor1"));
    let to = if is_there { "tor9" } else { "tor1" };
    json!({"op": "update", "table": "Physical_Switch", "where": [], "row": {"name": to}})
}

/// Deletes a logical switch and everything that refers to it; every binding goes.
fn delete_logical_switch(ls: Uuid) -> Vec<Value> {
    let of = json!([["logical_switch", "==", ops::uuid(ls)]]);
    let unbound = json!({"vlan_bindings": ["map", []]});
    let unbind = json!({"op": "update", "table": "Physical_Port", "where": [], "row": unbound});
    let tables = [
        "Ucast_Macs_Remote",
        "Mcast_Macs_Remote",
        "Ucast_Macs_Local",
        "Mcast_Macs_Local",
    ];
    let rows = tables.map(|table| json!({"op": "delete", "table": table, "where": of}));
    let whole = [unbind].into_iter().chain(rows);
    whole.chain([ops::delete("Logical_Switch", ls)]).collect()
}

fn is_ours(world: &World, logical_switch: Uuid) -> bool {
    let mut rows = world.switch.rows("Logical_Switch");
    rows.any(|(row, columns)| {
        row == logical_switch && columns.text("name").is_some_and(|name| name.starts_with("Contrail-"))
    })
}
