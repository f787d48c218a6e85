//! A real `ovsdb-server` with one logical switch and a few tunnel ends, and the rows to be written there.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_lab::switch::{PhysicalSwitch, remote_mac};
use tandem_lab::{Scratch, Switch, SwitchOptions};

use crate::Result;

/// The transactions that `ovsdb-server` commits fastest.
pub const ROWS_PER_TRANSACTION: u32 = 100;

/// Tunnel ends that the rows are spread over.
const VTEPS: u8 = 16;

/// A fresh server: `tor1` with the port `eth1`, and nothing else.
pub fn start(scratch: &Scratch, name: &str) -> Result<Switch> {
    let tor1 = PhysicalSwitch {
        name: "tor1".into(),
        tunnel_ip: "10.0.1.1".into(),
        ports: vec!["eth1".into()],
    };
    let options = SwitchOptions {
        physical_switches: vec![tor1],
        ..SwitchOptions::default()
    };
    Ok(Switch::start(scratch, name, options)?)
}

/// The tunnel end of a row.
pub fn vtep(row: u32) -> Ipv4Addr {
    let [.., low] = (row % u32::from(VTEPS)).to_be_bytes();
    Ipv4Addr::new(10, 0, 9, low + 1)
}

/// Creates a logical switch and the tunnel ends, and renders transactions that insert so many rows, with the requests'
/// numbers from 0; returns the bytes, and how many requests they are.
pub fn inserts(switch: &Switch, rows: u32) -> Result<(Vec<u8>, usize)> {
    let insert = |table: &str, row: Value| json!({ "op": "insert", "table": table, "row": row });
    let mut operations = vec![insert("Logical_Switch", json!({ "name": "blue", "tunnel_key": 5001 }))];
    operations.extend((0..u32::from(VTEPS)).map(|row| {
        let row = json!({ "dst_ip": vtep(row), "encapsulation_type": "vxlan_over_ipv4" });
        insert("Physical_Locator", row)
    }));
    // A locator lives as long as a row refers to it.
    let refer = |number: u32| json!(["named-uuid", format!("l{number}")]);
    for (number, operation) in (0..).zip(operations.iter_mut().skip(1)) {
        operation["uuid-name"] = format!("l{number}").into();
    }
    if let Some(logical_switch) = operations.first_mut() {
        logical_switch["uuid-name"] = "blue".into();
    }
    operations.extend((0..u32::from(VTEPS)).map(|number| {
        let mac = format!("02:ff:00:00:00:{number:02x}");
        let row = json!({ "MAC": mac, "logical_switch": ["named-uuid", "blue"], "locator": refer(number) });
        insert("Ucast_Macs_Local", row)
    }));
    let results = switch.transact(&Value::Array(operations))?;
    let uuids: Vec<&Value> = results
        .as_array()
        .into_iter()
        .flatten()
        .map(|result| &result["uuid"])
        .collect();
    let Some((blue, locators)) = uuids.split_first() else {
        return Err("the database is not set up".into());
    };
    let mut requests = Vec::new();
    let mut count = 0;
    for first in (0..rows).step_by(ROWS_PER_TRANSACTION as usize) {
        let mut params = vec![json!("hardware_vtep")];
        params.extend((first..rows.min(first + ROWS_PER_TRANSACTION)).map(|row| {
            let locator = locators.get((row % u32::from(VTEPS)) as usize);
            let row = json!({ "MAC": remote_mac(row), "logical_switch": blue, "locator": locator });
            insert("Ucast_Macs_Remote", row)
        }));
        let request = json!({ "id": count, "method": "transact", "params": params });
        requests.extend(request.to_string().into_bytes());
        count += 1;
    }
    Ok((requests, count))
}

/// Rows of a table.
pub fn count(switch: &Switch, table: &str) -> Result<usize> {
    Ok(switch.dump(table, &["_uuid"])?.len())
}

/// The processor time that the server has taken since it was started.
pub fn cpu(switch: &Switch) -> Result<Duration> {
    let file = format!("/proc/{}/schedstat", switch.process.pid());
    let text = fs::read_to_string(&file)?;
    let nanoseconds = text.split(' ').next().and_then(|text| text.parse().ok());
    let nanoseconds = nanoseconds.ok_or_else(|| format!("{file} has no number of nanoseconds: {text}"))?;
    Ok(Duration::from_nanos(nanoseconds))
}
