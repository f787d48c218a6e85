//! The columns of a table that a monitor watches, and the updates about its rows: `<row-update>` (RFC 7047 section
//! 4.1.6) and `<row-update2>` (Open vSwitch, ovsdb-server(7)).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::condition::Condition;
use super::error::OpError;
use super::members::Members;
use super::row::Row;
use super::schema::{Column, TableSchema};

/// The format of updates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flavour {
    Update,
    Update2,
    Update3,
}

/// What of a table is watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    columns: Vec<(Column, Select)>,
    select: Select,
    condition: Condition,
    /// The requested condition, until the client has been notified of what it changes.
    next_condition: Option<Condition>,
    /// The columns of every condition that there was; the server goes on looking at them.
    condition_columns: BTreeSet<&'static str>,
}

/// The kinds of change that are sent.
#[derive(Clone, Copy, Debug, Default)]
struct Select(u8);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Initial = 1,
    Insert = 2,
    Delete = 4,
    Modify = 8,
}

impl Select {
    const ALL: Self = Self(15);

    fn has(self, kind: Kind) -> bool {
        self.0 & kind as u8 != 0
    }
}

impl Watch {
    /// Reads the `<monitor-request>`s for a table: one, or an array of them.
    pub(super) fn read(table: &TableSchema, request: &Value, flavour: Flavour) -> Result<Self, OpError> {
        let mut watch = Self::default();
        match request.as_array() {
            Some(requests) => requests
                .iter()
                .try_for_each(|request| watch.add(table, request, flavour))?,
            None => watch.add(table, request, flavour)?,
        }
        Ok(watch)
    }

    /// The update about a row that was `old` and is `new`; `initial` if it is in the reply to the request.
    pub(super) fn row_update(
        &self,
        flavour: Flavour,
        old: Option<&Row>,
        new: Option<&Row>,
        initial: bool,
    ) -> Option<Value> {
        let kind = self.kind(old, new, initial).filter(|kind| self.select.has(*kind))?;
        if let (Kind::Modify, Some(old), Some(new)) = (kind, old, new) {
            let mut deciding = self.deciding_columns();
            // Something may have changed, and changed back.
            deciding.find(|name| old.datum(name) != new.datum(name))?;
        }
        Some(match flavour {
            Flavour::Update => self.update(kind, old, new),
            Flavour::Update2 | Flavour::Update3 => self.update2(kind, old, new),
        })
    }

    /// Whether another condition was asked for.
    pub(super) fn is_asked(&self) -> bool {
        self.next_condition.is_some()
    }

    /// Puts the requested condition in force.
    pub(super) fn commit(&mut self) {
        if let Some(condition) = self.next_condition.take() {
            self.condition = condition;
        }
    }

    /// Adds one `<monitor-request>`.
    fn add(&mut self, table: &TableSchema, request: &Value, flavour: Flavour) -> Result<(), OpError> {
        let mut members = Members::new(request, format!("table {}", table.name));
        let condition = if flavour == Flavour::Update {
            None
        } else {
            members.optional("where", Value::as_array)
        };
        let columns = members.optional("columns", |json| json.as_array().map(|_| json));
        let select = members.optional("select", |json| json.as_object().map(|_| json));
        members.finish()?;
        let select = select.map_or(Ok(Select::ALL), |json| read_select(table, json))?;
        self.select.0 |= select.0;
        match columns {
            None => {
                for column in table.columns.values().filter(|column| column.name != "_uuid") {
                    self.watch(column, select, &Value::Null)?;
                }
            }
            Some(json) => {
                for name in json.as_array().into_iter().flatten() {
                    let name = name
                        .as_str()
                        .ok_or_else(|| OpError::syntax(json, "array of column names expected"))?;
                    let column = table
                        .columns
                        .get(name)
                        .ok_or_else(|| OpError::syntax(json, format!("{name} is not a valid column name")))?;
                    self.watch(column, select, json)?;
                }
            }
        }
        if let Some(clauses) = condition {
            self.condition = Condition::parse(table, clauses, None)?;
            self.condition_columns.extend(self.condition.columns());
        }
        Ok(())
    }

    /// Reads one `<monitor-cond-change-request>`.
    pub(super) fn ask(&mut self, table: &TableSchema, request: &Value, flavour: Flavour) -> Result<(), OpError> {
        let mut members = Members::new(request, format!("table {}", table.name));
        let columns = members.optional("columns", Value::as_array);
        let clauses = members.optional("where", Value::as_array);
        members.finish()?;
        if columns.is_some() {
            return Err(OpError::syntax(request, "changing columns is unsupported"));
        }
        if flavour == Flavour::Update {
            return Ok(());
        }
        let clauses = clauses.map(Vec::as_slice).unwrap_or_default();
        let condition = Condition::parse(table, clauses, None)?;
        self.condition_columns.extend(condition.columns());
        self.next_condition = Some(condition);
        Ok(())
    }

    fn watch(&mut self, column: &Column, select: Select, json: &Value) -> Result<(), OpError> {
        if self.columns.iter().any(|(known, _)| known.name == column.name) {
            let details = format!("column {} mentioned more than once", column.name);
            return Err(if json.is_null() {
                OpError::new("syntax error", details)
            } else {
                OpError::syntax(json, details)
            });
        }
        self.columns.push((column.clone(), select));
        Ok(())
    }

    /// The columns whose change causes an update, those of the conditions included.
    fn deciding_columns(&self) -> impl Iterator<Item = &'static str> {
        let watched = self.columns.iter().map(|(column, _)| column.name);
        watched.chain(self.condition_columns.iter().copied())
    }

    /// The kind of a change, as a client sees it that sees only rows that meet the condition.
    fn kind(&self, old: Option<&Row>, new: Option<&Row>, initial: bool) -> Option<Kind> {
        let next = self.next_condition.as_ref().unwrap_or(&self.condition);
        let is_seen = |row: Option<&Row>, condition: &Condition| row.is_some_and(|row| condition.any(row));
        match (is_seen(old, &self.condition), is_seen(new, next)) {
            (false, false) => None,
            (false, true) if initial => Some(Kind::Initial),
            (false, true) => Some(Kind::Insert),
            (true, false) => Some(Kind::Delete),
            (true, true) => Some(Kind::Modify),
        }
    }

    fn columns(&self, kind: Kind) -> impl Iterator<Item = &Column> {
        let wanted = self.columns.iter().filter(move |(_, select)| select.has(kind));
        wanted.map(|(column, _)| column)
    }

    /// `<row-update>`: `old` has what changed or is gone, `new` has everything.
    fn update(&self, kind: Kind, old: Option<&Row>, new: Option<&Row>) -> Value {
        let mut update = Map::new();
        if let (Kind::Delete | Kind::Modify, Some(old)) = (kind, old) {
            let changed = |column: &&Column| {
                kind == Kind::Delete || new.is_none_or(|new| new.datum(column.name) != old.datum(column.name))
            };
            update.insert("old".into(), columns_of(old, self.columns(kind).filter(changed)));
        }
        if let (Kind::Initial | Kind::Insert | Kind::Modify, Some(new)) = (kind, new) {
            update.insert("new".into(), columns_of(new, self.columns(kind)));
        }
        update.into()
    }

    /// `<row-update2>`: defaults are left out, and a modification is sent as its differences.
    fn update2(&self, kind: Kind, old: Option<&Row>, new: Option<&Row>) -> Value {
        let insert = |word: &str| {
            let is_notified = |row: &Row, column: &&Column| {
                let datum = row.datum(column.name);
                datum.is_some_and(|datum| !datum.is_default(&column.ty))
            };
            let columns = new.map(|row| columns_of(row, self.columns(kind).filter(|column| is_notified(row, column))));
            json!({word: columns})
        };
        match kind {
            Kind::Initial => insert("initial"),
            Kind::Insert => insert("insert"),
            Kind::Delete => json!({"delete": null}),
            Kind::Modify => {
                let differences: Map<_, _> = self
                    .columns(kind)
                    .filter_map(|column| {
                        let (old, new) = (old?.datum(column.name)?, new?.datum(column.name)?);
                        let difference = || old.difference(new, &column.ty).to_json(&column.ty);
                        (old != new).then(|| (column.name.to_owned(), difference()))
                    })
                    .collect();
                json!({"modify": differences})
            }
        }
    }
}

fn columns_of<'a>(row: &Row, columns: impl Iterator<Item = &'a Column>) -> Value {
    let members: Map<_, _> = columns
        .filter_map(|column| Some((column.name.into(), row.datum(column.name)?.to_json(&column.ty))))
        .collect();
    members.into()
}

fn read_select(table: &TableSchema, json: &Value) -> Result<Select, OpError> {
    let mut members = Members::new(json, format!("table {} select", table.name));
    let mut select = Select::default();
    for (name, kind) in [
        ("initial", Kind::Initial),
        ("insert", Kind::Insert),
        ("delete", Kind::Delete),
        ("modify", Kind::Modify),
    ] {
        if members.optional(name, Value::as_bool).unwrap_or(true) {
            select.0 |= kind as u8;
        }
    }
    members.finish()?;
    Ok(select)
}
