//! The bounds of the core, as a table for the book.

use tandem_core::bounds::{self, Bound, Value};

/// One row for each bound: its value and its meaning.
pub(crate) fn table() -> String {
    let mut table = String::from("| bound | value | what it bounds |\n|---|---|---|\n");
    for Bound { name, value, meaning } in bounds::ALL {
        table += &format!("| `{name}` | {} | {} |\n", shown(name, *value), meaning.trim());
    }
    table
}

fn shown(name: &str, value: Value) -> String {
    match value {
        Value::Time(time) if time.as_millis() % 1000 == 0 => format!("{} s", time.as_secs()),
        Value::Time(time) => format!("{} ms", time.as_millis()),
        Value::Count(bytes) if name.contains("BYTES") && bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        Value::Count(bytes) if name.contains("BYTES") && bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
        Value::Count(number) => number.to_string(),
    }
}
