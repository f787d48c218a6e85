//! The cost for the server of a client that watches the table that it writes: the reason for a decision of the book.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use serde_json::{Value, json};
use tandem_benches::raw::Client;
use tandem_benches::{Result, median, server};
use tandem_lab::Scratch;

const ROWS: u32 = 20_000;
const ROUNDS: usize = 7;

fn main() -> Result<()> {
    let initial = json!({ "initial": true, "insert": false, "delete": false, "modify": false });
    let unmodified = json!({ "initial": true, "insert": true, "delete": true, "modify": false });
    let all = ["MAC", "logical_switch", "locator"];
    let ways = [
        ("no monitor at all", None),
        ("initial rows only", Some(json!({ "columns": all, "select": initial }))),
        (
            "one column, no modify",
            Some(json!({ "columns": ["MAC"], "select": unmodified })),
        ),
        (
            "three columns, no modify",
            Some(json!({ "columns": all, "select": unmodified })),
        ),
        ("three columns, all changes", Some(json!({ "columns": all }))),
    ];
    let scratch = Scratch::new()?;
    let mut costs = vec![Vec::new(); ways.len()];
    let mut received = vec![0; ways.len()];
    for _ in 0..ROUNDS {
        for ((way, costs), received) in ways.iter().zip(&mut costs).zip(&mut received) {
            let (cost, bytes) = measure(&scratch, way.1.as_ref())?;
            costs.push(cost);
            *received = bytes;
        }
    }
    let base = costs.first().map_or(f64::NAN, |costs| median(costs));
    println!("{ROWS} rows in transactions of 100, {ROUNDS} rounds in turn; processor time of the server");
    println!(
        "{:28} {:>10} {:>10} {:>16}",
        "watched", "us/row", "ratio", "bytes/row back"
    );
    for (((name, _), costs), received) in ways.iter().zip(&costs).zip(&received) {
        let (cost, bytes) = (median(costs), *received as f64 / f64::from(ROWS));
        println!("{name:28} {cost:10.2} {:10.2} {bytes:16.0}", cost / base);
    }
    Ok(())
}

/// Microseconds of the server's processor for a row, and the bytes that came back.
fn measure(scratch: &Scratch, watch: Option<&Value>) -> Result<(f64, usize)> {
    let switch = server::start(scratch, "watching")?;
    let (requests, count) = server::inserts(&switch, ROWS)?;
    let mut client = Client::connect(&switch.socket())?;
    if let Some(watch) = watch {
        let params = json!(["hardware_vtep", "remote", { "Ucast_Macs_Remote": watch }]);
        let request = json!({ "id": "monitor", "method": "monitor_cond", "params": params });
        client.push(request.to_string().as_bytes(), 1)?;
    }
    let before = server::cpu(&switch)?;
    let bytes = client.push(&requests, count)?;
    let cost = server::cpu(&switch)?.saturating_sub(before);
    assert_eq!(server::count(&switch, "Ucast_Macs_Remote")?, ROWS as usize);
    Ok((cost.as_secs_f64() * 1e6 / f64::from(ROWS), bytes))
}
