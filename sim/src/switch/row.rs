//! One row of a table.

use serde_json::{Map, Value};
use tandem_core::Uuid;

use super::columns::TableSchema;
use super::value::{Atom, Datum};

/// One row: every column of its table in the schema's order, `_uuid` and `_version` included. So few are looked
/// through faster than they are searched.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row(Vec<(&'static str, Datum)>);

impl Row {
    /// A row of default values.
    pub(super) fn new(table: &TableSchema) -> Self {
        let columns = table.columns.values();
        Self(
            columns
                .map(|column| (column.name, Datum::default_of(&column.ty)))
                .collect(),
        )
    }

    /// What a column holds; `None` if the table has no such column.
    pub fn datum(&self, column: &str) -> Option<&Datum> {
        let mut columns = self.0.iter();
        columns.find(|(name, _)| *name == column).map(|(_, datum)| datum)
    }

    /// The names of its columns.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().map(|(name, _)| *name)
    }

    /// The text of a column that holds exactly one.
    pub fn text(&self, column: &str) -> Option<&str> {
        self.datum(column)?.only()?.as_str()
    }

    /// The number of a column that holds exactly one.
    pub fn integer(&self, column: &str) -> Option<i64> {
        self.datum(column)?.only()?.as_integer()
    }

    /// The row that a column refers to, if exactly one.
    pub fn reference(&self, column: &str) -> Option<Uuid> {
        self.datum(column)?.only()?.as_uuid()
    }

    /// The rows that a column refers to.
    pub fn references(&self, column: &str) -> impl Iterator<Item = Uuid> {
        self.datum(column).into_iter().flat_map(Datum::uuids)
    }

    /// Whether both rows hold the same in these columns.
    pub(super) fn agrees<'a>(&self, other: &Self, mut columns: impl Iterator<Item = &'a &'static str>) -> bool {
        columns.all(|column| self.datum(column) == other.datum(column))
    }

    /// What the named columns hold, in that order.
    pub(super) fn project(&self, columns: &[&'static str]) -> Vec<Datum> {
        columns
            .iter()
            .filter_map(|column| self.datum(column))
            .cloned()
            .collect()
    }

    pub(super) fn set(&mut self, column: &'static str, datum: Datum) {
        if let Some(held) = self.datum_mut(column) {
            *held = datum;
        }
    }

    pub(super) fn datum_mut(&mut self, column: &str) -> Option<&mut Datum> {
        let mut columns = self.0.iter_mut();
        columns.find(|(name, _)| *name == column).map(|(_, datum)| datum)
    }

    pub(super) fn set_version(&mut self, version: Uuid) {
        self.set("_version", Datum::one(Atom::Uuid(version)));
    }

    /// The named columns as a JSON object.
    pub(super) fn to_json<'a>(
        &self,
        table: &TableSchema,
        columns: impl IntoIterator<Item = &'a &'static str>,
    ) -> Value {
        let columns = columns.into_iter().filter_map(|column| table.columns.get(column));
        let members: Map<_, _> = columns
            .filter_map(|column| Some((column.name.into(), self.datum(column.name)?.to_json(&column.ty))))
            .collect();
        members.into()
    }
}
