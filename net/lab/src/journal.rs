//! The log of a database, which is its file: each transaction with its writer and its time.
//!
//! Read from the file itself (`ovsdb(5)`): what `ovsdb-tool -mm show-log` prints of it cannot be taken apart safely,
//! for a comment may contain anything. A server that compacts its file forgets what went before.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Error, Result};

/// One committed transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// Its `comment` operations.
    pub comments: Vec<String>,
    /// The rows that it touched.
    pub changes: Vec<Change>,
}

/// What a transaction did to a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The table.
    pub table: String,
    /// The row's `_uuid`.
    pub row: String,
    /// The outcome.
    pub kind: ChangeKind,
    /// The columns that were written; of sets and maps that existed before, only the difference.
    pub columns: Map<String, Value>,
}

/// The outcome of a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeKind {
    /// It is new.
    Inserted,
    /// It was there before, and still is.
    Modified,
    /// It is gone.
    Deleted,
}

/// Every transaction in the file, the oldest first; a last one that is being written at this moment is left out.
pub(crate) fn read(database: &Path) -> Result<Vec<Transaction>> {
    let what = || format!("read {}", database.display());
    let bytes = fs::read(database).map_err(Error::io(what()))?;
    let mut rest = bytes.as_slice();
    let mut known = BTreeSet::new();
    let mut transactions = Vec::new();
    let mut first = true;
    while let Some((record, after)) = record(rest) {
        rest = after;
        // The first record is the schema.
        if !std::mem::take(&mut first) {
            let record = serde_json::from_slice(record).map_err(|error| Error::failed(what(), error))?;
            transactions.push(transaction(&record, &mut known));
        }
    }
    Ok(transactions)
}

/// The next record and what follows it: a line `OVSDB JSON <bytes> <sha1>`, then the bytes, then a line feed.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let header = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let length = header.strip_prefix("OVSDB JSON ")?.split(' ').next()?.parse().ok()?;
    let body = bytes.get(end + 1..)?;
    Some((body.get(..length)?, body.get(length..)?)).map(|(record, after)| (record, after.trim_ascii_start()))
}

fn transaction(record: &Map<String, Value>, known: &mut BTreeSet<String>) -> Transaction {
    let text = |name| record.get(name).and_then(Value::as_str).unwrap_or_default();
    Transaction {
        unix_ms: record.get("_date").and_then(Value::as_u64).unwrap_or_default(),
        comments: text("_comment").lines().map(Into::into).collect(),
        changes: record
            .iter()
            .filter(|(table, _)| !table.starts_with('_'))
            .flat_map(|(table, rows)| {
                rows.as_object()
                    .into_iter()
                    .flatten()
                    .map(move |(row, new)| (table, row, new))
            })
            .map(|(table, row, new)| Change {
                table: table.clone(),
                row: row.clone(),
                kind: match (known.insert(row.clone()), new) {
                    (_, Value::Null) => ChangeKind::Deleted,
                    (true, _) => ChangeKind::Inserted,
                    (false, _) => ChangeKind::Modified,
                },
                columns: new.as_object().cloned().unwrap_or_default(),
            })
            .collect(),
    }
}
