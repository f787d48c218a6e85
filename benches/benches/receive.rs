//! The speed of reading a dump: framed, walked and parsed into rows, beside a JSON tree of the same bytes.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use serde_json::Value;
use tandem_benches::Turns;
use tandem_core::Uuid;
use tandem_core::bounds::MESSAGE_BYTES;
use tandem_core::ovsdb::Framer;
use tandem_core::ovsdb::rows::UcastRow;
use tandem_core::ovsdb::rpc::Message;
use tandem_core::ovsdb::updates::{self, Change, Cursor};
use tandem_lab::switch::remote_mac;

const ROWS: u32 = 100_000;

/// The bytes that the driver reads at once.
const READ_BYTES: usize = 64 << 10;

criterion_group!(benches, receive);
criterion_main!(benches);

/// In each iteration both take turns.
fn receive(criterion: &mut Criterion) {
    let dump = dump();
    let turns = Turns::default();
    let mut group = criterion.benchmark_group("receive");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.throughput(Throughput::Bytes(dump.len() as u64));
    group.bench_function("rows", |bencher| {
        bencher.iter_custom(|iterations| {
            let turn = |_| {
                let (tree, rows) = (time(|| tree(&dump)), time(|| rows(&dump)));
                turns.note(tree, rows);
                rows
            };
            (0..iterations).map(turn).sum()
        });
    });
    group.finish();
    let megabytes = dump.len() as f64 / 1e6;
    println!("{ROWS} rows, {megabytes:.1} MB");
    println!(
        "{}",
        turns.report(["serde_json::Value", "framer and rows"], megabytes, "MB/s")
    );
}

fn time(mut what: impl FnMut() -> u32) -> Duration {
    let began = Instant::now();
    assert_eq!(black_box(what()), ROWS);
    began.elapsed()
}

/// As the session does it. Answers the rows.
fn rows(dump: &[u8]) -> u32 {
    let mut framer = Framer::new(MESSAGE_BYTES);
    let mut count = 0;
    for piece in dump.chunks(READ_BYTES) {
        framer.push(piece);
        while let Some(frame) = framer.next_frame().expect("a frame") {
            let Ok(Message::Reply {
                outcome: Ok(result), ..
            }) = Message::read(&frame)
            else {
                panic!("a reply");
            };
            let mut cursor = Cursor::new(result);
            while let Some(row) = cursor.next_row(frame.bytes()).expect("updates") {
                let change = updates::change::<UcastRow>(&frame.bytes()[row.change]).expect("a row");
                assert!(matches!(black_box(change), Change::Full(UcastRow { mac: Some(_), .. })));
                count += 1;
            }
        }
    }
    count
}

/// A tree, without looking into it.
fn tree(dump: &[u8]) -> u32 {
    let value: Value = serde_json::from_slice(dump).expect("JSON");
    let rows = value["result"]["Ucast_Macs_Remote"]
        .as_object()
        .map_or(0, serde_json::Map::len);
    u32::try_from(rows).expect("rows")
}

/// The answer to `monitor_cond`, as `ovsdb-server` writes it.
fn dump() -> Vec<u8> {
    let mut text = String::from(r#"{"id":7,"result":{"Ucast_Macs_Remote":{"#);
    for row in 0..ROWS {
        let comma = if row > 0 { "," } else { "" };
        let uuid = Uuid(u128::from(row).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let (mac, locator) = (remote_mac(row), Uuid(u128::from(row % 16) << 64));
        write!(
            text,
            r#"{comma}"{uuid}":{{"initial":{{"logical_switch":["uuid","{}"],"MAC":"{mac}","locator":["uuid","{locator}"]}}}}"#,
            Uuid(77)
        )
        .expect("text");
    }
    text.push_str(r#"}},"error":null}"#);
    text.into_bytes()
}
