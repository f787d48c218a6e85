//! Walks table updates row by row: the reply to `monitor`, `update` (RFC 7047 section 4.1.6) and the
//! `update2` of Open vSwitch.

use std::ops::Range;

use serde::de::{Deserialize, Deserializer, IgnoredAny};

use crate::ids::Uuid;

/// The change of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<R> {
    /// It is there, with all of its columns; those that are left out have their defaults.
    Full(R),
    /// Some of its columns have new values (`update2` only).
    Modified(R),
    /// It is gone.
    Deleted,
}

impl<R> Change<R> {
    /// The same change of other columns.
    pub(crate) fn map<S>(self, read: impl FnOnce(R) -> S) -> Change<S> {
        match self {
            Self::Full(row) => Change::Full(read(row)),
            Self::Modified(row) => Change::Modified(read(row)),
            Self::Deleted => Change::Deleted,
        }
    }
}

/// Reads one row's change. The error describes the fault in the text.
pub fn change<'de, R: Deserialize<'de>>(json: &'de [u8]) -> Result<Change<R>, String> {
    let row: RowUpdate<R> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let full = row.new.or(row.initial).or(row.insert);
    match (full, row.modify, row.old || row.delete) {
        (Some(full), _, _) => Ok(Change::Full(full)),
        (None, Some(modified), _) => Ok(Change::Modified(modified)),
        (None, None, true) => Ok(Change::Deleted),
        (None, None, false) => Err("an empty row update".into()),
    }
}

#[derive(serde::Deserialize)]
#[serde(bound = "R: Deserialize<'de>")]
struct RowUpdate<R> {
    #[serde(default = "none")]
    new: Option<R>,
    #[serde(default, deserialize_with = "present")]
    old: bool,
    #[serde(default = "none")]
    initial: Option<R>,
    #[serde(default = "none")]
    insert: Option<R>,
    #[serde(default = "none")]
    modify: Option<R>,
    #[serde(default, deserialize_with = "present")]
    delete: bool,
}

fn none<R>() -> Option<R> {
    None
}

/// `update2` says `"delete": null`: only the presence of the member counts.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A place in the text of table updates, `{"Table": {"uuid": {...}, ...}, ...}`.
///
/// It advances a row at a time, so that a caller can stop anywhere and go on later. The text was framed
/// before, so its brackets are known to match.
#[derive(Clone, Debug)]
pub struct Cursor {
    at: usize,
    end: usize,
    table: Range<usize>,
    in_table: bool,
    begun: bool,
}

/// One row of the updates; the ranges point into the text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// The table's name.
    pub table: Range<usize>,
    /// Which row.
    pub uuid: Uuid,
    /// The parts that [`change`] reads.
    pub change: Range<usize>,
}

/// The text is no table updates. The peer's fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("table updates in which {0}")]
pub struct UpdatesError(&'static str);

impl Cursor {
    /// Starts at the beginning of `range`.
    pub fn new(range: Range<usize>) -> Self {
        Self {
            at: range.start,
            end: range.end,
            table: 0..0,
            in_table: false,
            begun: false,
        }
    }

    /// Bytes that were not walked yet.
    pub(crate) fn remaining_bytes(&self) -> usize {
        self.end - self.at
    }

    /// The next row; `None` at the end. `text` is the same at every call.
    pub fn next_row(&mut self, text: &[u8]) -> Result<Option<Row>, UpdatesError> {
        if !self.begun {
            self.expect(text, b'{')?;
            self.begun = true;
        }
        loop {
            match self.token(text)? {
                b'}' if self.in_table => self.in_table = false,
                b'}' => return Ok(None),
                b',' => {}
                b'"' if self.in_table => {
                    let name = self.string(text)?;
                    let uuid = text.get(name).and_then(|name| std::str::from_utf8(name).ok());
                    let uuid = uuid.and_then(|uuid| uuid.parse().ok());
                    let uuid = uuid.ok_or(UpdatesError("a row is not named by a UUID"))?;
                    self.expect(text, b':')?;
                    let change = self.object(text)?;
                    let table = self.table.clone();
                    return Ok(Some(Row { table, uuid, change }));
                }
                b'"' => {
                    self.table = self.string(text)?;
                    self.expect(text, b':')?;
                    self.expect(text, b'{')?;
                    self.in_table = true;
                }
                _ => return Err(UpdatesError("something else than a table or a row stands")),
            }
        }
    }

    /// The next byte that is no white space.
    fn token(&mut self, text: &[u8]) -> Result<u8, UpdatesError> {
        while self.at < self.end {
            let byte = text.get(self.at).copied().unwrap_or_default();
            self.at += 1;
            if !byte.is_ascii_whitespace() {
                return Ok(byte);
            }
        }
        Err(UpdatesError("the end comes too early"))
    }

    fn expect(&mut self, text: &[u8], wanted: u8) -> Result<(), UpdatesError> {
        match self.token(text)? == wanted {
            true => Ok(()),
            false => Err(UpdatesError("a table or a row is no object")),
        }
    }

    /// The string whose opening quote was just read, without its quotes.
    fn string(&mut self, text: &[u8]) -> Result<Range<usize>, UpdatesError> {
        let start = self.at;
        self.skip_string(text)?;
        Ok(start..self.at - 1)
    }

    /// A whole object, however deep.
    fn object(&mut self, text: &[u8]) -> Result<Range<usize>, UpdatesError> {
        self.expect(text, b'{')?;
        let start = self.at - 1;
        let mut depth = 1;
        while depth > 0 {
            match self.token(text)? {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b'"' => self.skip_string(text)?,
                _ => {}
            }
        }
        Ok(start..self.at)
    }

    /// Moves behind the string whose opening quote was just read: to where the framer sees its end, too.
    fn skip_string(&mut self, text: &[u8]) -> Result<(), UpdatesError> {
        loop {
            let rest = text.get(self.at..self.end).unwrap_or_default();
            let offset = memchr::memchr2(b'"', b'\\', rest).ok_or(UpdatesError("a string does not end"))?;
            let is_escape = rest.get(offset) == Some(&b'\\');
            self.at += offset + 1;
            if !is_escape {
                return Ok(());
            }
            if self.at == self.end {
                return Err(UpdatesError("a string does not end"));
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::ovsdb::rows::{MacText, UcastRow};

    fn walk(text: &str) -> Result<Vec<(String, Uuid, String)>, UpdatesError> {
        let mut cursor = Cursor::new(0..text.len());
        let mut rows = Vec::new();
        while let Some(row) = cursor.next_row(text.as_bytes())? {
            rows.push((text[row.table].into(), row.uuid, text[row.change].into()));
        }
        Ok(rows)
    }

    #[test]
    fn rows_come_one_by_one_with_their_table() {
        let [a, b] = [Uuid(1), Uuid(2)];
        let text = format!(
            r#"{{"T":{{"{a}":{{"new":{{"x":"}}\""}}}} , "{b}":{{}}}},"U":{{}},"V":{{"{a}":{{"delete":null}}}}}}"#
        );
        let rows = walk(&text).expect("rows");
        let expected = [
            ("T".into(), a, r#"{"new":{"x":"}\""}}"#.into()),
            ("T".into(), b, "{}".into()),
            ("V".into(), a, r#"{"delete":null}"#.into()),
        ];
        assert_eq!(rows, expected);
        assert_eq!(walk("{}"), Ok(vec![]));
    }

    /// Names and values that confuse a reader who knows no escapes.
    fn strings() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop::sample::select(vec!["a", "\"", "\\", "{", "}", ":", ",", "é"]),
            0..6,
        )
        .prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        /// Whatever a peer sends: the cursor stays within the text.
        #[test]
        fn no_text_makes_it_panic(parts in proptest::collection::vec(prop::sample::select(vec![
            "{", "}", "\"", "\\", ":", ",", "\"T\":", "\"00000000-0000-0000-0000-000000000001\":", "{}", "null", " ",
        ]), 0..24), cut in 0usize..24, in_row: bool) {
            // In a row, too, where it takes many parts to come.
            let row = ["", r#"{"T":{"00000000-0000-0000-0000-000000000001":{"#];
            let text = row[usize::from(in_row)].to_owned() + &parts.concat();
            let mut cursor = Cursor::new(0..text.len().saturating_sub(cut));
            while let Ok(Some(row)) = cursor.next_row(text.as_bytes()) {
                prop_assert!(row.change.end <= text.len());
            }
            prop_assert!(cursor.remaining_bytes() <= text.len());
        }

        /// The oracle is serde_json: the same tables and rows, whatever characters their names and values contain.
        #[test]
        fn a_json_reader_finds_the_same_rows(tables in proptest::collection::btree_map(
            strings(),
            proptest::collection::btree_map(any::<u128>(), strings(), 0..4),
            0..4,
        )) {
            let tables: serde_json::Map<String, Value> = tables
                .into_iter()
                .map(|(table, rows)| {
                    let rows = rows.into_iter().map(|(uuid, value)| (Uuid(uuid).to_string(), json!({"new": {"x": value}})));
                    (table, Value::Object(rows.collect()))
                })
                .collect();
            let text = Value::Object(tables.clone()).to_string();
            let found = walk(&text).expect("rows");
            let expected = tables.iter().flat_map(|(table, rows)| {
                let name = json!(table).to_string();
                let name = name[1..name.len() - 1].to_owned();
                let rows = rows.as_object().expect("rows");
                rows.iter().map(move |(uuid, row)| (name.clone(), uuid.parse().expect("a uuid"), row.to_string()))
            });
            prop_assert_eq!(found, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_name_that_ends_in_an_escaped_quote_is_read_to_its_end() {
        let text = r#"{"a\":{"00000000-0000-0000-0000-000000000001":{"}\]}"#;
        assert_eq!(walk(text), Err(UpdatesError("a table or a row is no object")));
        assert_eq!(walk(r#"{"a\"#), Err(UpdatesError("a string does not end")));
        assert_eq!(walk(r#"{"a\""#), Err(UpdatesError("a string does not end")));
        let text = r#"{"T":{"00000000-0000-0000-0000-000000000001":{"\"#;
        let mut cursor = Cursor::new(0..text.len());
        assert_eq!(
            cursor.next_row(text.as_bytes()),
            Err(UpdatesError("a string does not end"))
        );
        assert_eq!(cursor.remaining_bytes(), 0, "it stays within the text");
    }

    #[test]
    fn what_is_no_table_updates_is_refused() {
        for text in ["[]", "1", r#"{"T":1}"#, r#"{"T":{"x":{}}}"#, r#"{"T":{"#, r#"{1}"#] {
            assert!(walk(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_kind_of_change_is_told_apart() {
        let read = |text: &'static str| change::<UcastRow>(text.as_bytes());
        let full = |text| {
            matches!(
                read(text),
                Ok(Change::Full(UcastRow {
                    mac: Some(MacText::UnknownDst),
                    ..
                }))
            )
        };
        assert!(full(r#"{"new":{"MAC":"unknown-dst"},"old":{"MAC":"a"}}"#));
        assert!(full(r#"{"initial":{"MAC":"unknown-dst"}}"#));
        assert!(full(r#"{"insert":{"MAC":"unknown-dst"}}"#));
        assert!(matches!(read(r#"{"modify":{}}"#), Ok(Change::Modified(_))));
        assert!(matches!(read(r#"{"delete":null}"#), Ok(Change::Deleted)));
        assert!(matches!(read(r#"{"old":{}}"#), Ok(Change::Deleted)));
        assert!(read("{}").is_err());
        assert!(read(r#"{"new":{"MAC":1}}"#).is_err());
    }
}
