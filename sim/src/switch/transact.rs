//! The operations of a transaction: RFC 7047 section 5.2.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_core::Uuid;

use super::commit::RowChange;
use super::condition::Condition;
use super::database::Database;
use super::error::OpError;
use super::members::{Members, id};
use super::mutation::Mutation;
use super::names::{Names, UuidSource};
use super::row::Row;
use super::schema::{Schema, TableSchema};

/// What the operations may know of the world around them.
pub(super) struct Context<'a> {
    /// The locks that the client holds.
    pub(super) locks: BTreeSet<String>,
    /// Whether an insert may choose its uuid (Open vSwitch 2.13 and later).
    pub(super) client_uuids: bool,
    /// The name of the database, if it is read-only.
    pub(super) reserved: Option<&'static str>,
    /// How long the transaction has waited; `None` if it must not.
    pub(super) waited: Option<Duration>,
    /// An error that the first operation which writes runs into.
    pub(super) refusal: &'a mut Option<OpError>,
}

/// The outcome of a transaction.
pub(super) enum Outcome {
    /// It is over.
    Done {
        /// One element per operation, and one more if the commit failed.
        results: Value,
        /// What was committed; `None` if nothing was, or nothing had changed.
        committed: Option<Committed>,
    },
    /// A `wait` is not satisfied yet.
    Waiting {
        /// The time-out of that `wait`, from the beginning.
        timeout: Option<Duration>,
    },
}

/// A transaction that changed something.
pub(super) struct Committed {
    pub(super) comments: Vec<String>,
    pub(super) changes: Vec<RowChange>,
}

/// The error of an `assert` of a lock that others hold (RFC 7047 section 5.2.10).
pub(super) const NOT_OWNER: &str = "not owner";

/// Runs the operations, and commits them if each succeeds.
pub(super) fn run(
    database: &mut Database,
    uuids: &mut UuidSource,
    operations: &[Value],
    context: Context<'_>,
) -> Outcome {
    let schema = Arc::clone(&database.schema);
    let mut transaction = Transaction {
        schema: &schema,
        database,
        names: Names::new(uuids),
        context,
        comments: Vec::new(),
        timeout: None,
    };
    let mut results = Vec::with_capacity(operations.len());
    for (number, operation) in operations.iter().enumerate() {
        let what = format!("ovsdb operation {} of {}", number + 1, operations.len());
        match transaction.execute(operation, what) {
            Ok(result) => results.push(result),
            Err(Stop::Waiting) if transaction.context.waited.is_some() => {
                let timeout = transaction.timeout;
                database.rollback();
                return Outcome::Waiting { timeout };
            }
            Err(stop) => {
                results.push(stop.into_error().to_json());
                results.resize(operations.len(), Value::Null);
                database.rollback();
                return Outcome::Done {
                    results: results.into(),
                    committed: None,
                };
            }
        }
    }
    let comments = transaction.comments;
    commit(database, uuids, results, comments)
}

/// Every operation succeeded; the commit may still fail, by an index or a reference.
fn commit(database: &mut Database, uuids: &mut UuidSource, mut results: Vec<Value>, comments: Vec<String>) -> Outcome {
    let committed = match database.commit(uuids) {
        Ok(changes) => Some(changes)
            .filter(|changes| !changes.is_empty())
            .map(|changes| Committed { comments, changes }),
        Err(error) => {
            results.push(error.to_json());
            None
        }
    };
    Outcome::Done {
        results: results.into(),
        committed,
    }
}

/// Why a transaction goes no further.
enum Stop {
    Error(OpError),
    Waiting,
}

impl Stop {
    fn into_error(self) -> OpError {
        match self {
            Self::Error(error) => error,
            Self::Waiting => OpError::new("not supported", "triggers not supported"),
        }
    }
}

impl From<OpError> for Stop {
    fn from(error: OpError) -> Self {
        Self::Error(error)
    }
}

struct Transaction<'a> {
    schema: &'a Schema,
    database: &'a mut Database,
    names: Names<'a>,
    context: Context<'a>,
    comments: Vec<String>,
    timeout: Option<Duration>,
}

impl<'a> Transaction<'a> {
    fn execute(&mut self, operation: &'a Value, what: String) -> Result<Value, Stop> {
        let mut members = Members::new(operation, what);
        let result = match members.required("op", id) {
            Some("insert") => self.insert(&mut members),
            Some("select") => self.select(&mut members),
            Some("update") => self.update(&mut members, operation),
            Some("mutate") => self.mutate(&mut members),
            Some("delete") => self.delete(&mut members),
            Some("wait") => self.wait(&mut members),
            Some("commit") => {
                members.required("durable", Value::as_bool);
                Ok(json!({}))
            }
            Some("abort") => Err(OpError::new("aborted", "aborted by request").into()),
            Some("comment") => {
                let comment = members.required("comment", Value::as_str);
                self.comments.extend(comment.map(str::to_owned));
                Ok(json!({}))
            }
            Some("assert") => self.assert(&mut members),
            Some(other) => {
                members.complain(&format!("No operation \"{other}\""));
                Ok(json!({}))
            }
            None => Ok(json!({})),
        };
        // A complaint about the request comes before any other error.
        members.finish()?;
        let result = result?;
        let word = operation.get("op").and_then(Value::as_str).unwrap_or_default();
        match self.context.reserved {
            Some(database) if ["insert", "update", "mutate", "delete", "commit"].contains(&word) => {
                let details = format!("{word} operation not allowed on table in reserved database {database}");
                Err(OpError::new("not allowed", details).into())
            }
            Some(_) | None => Ok(result),
        }
    }

    fn table(&self, members: &mut Members<'a>) -> Option<&'a TableSchema> {
        let name = members.required("table", id)?;
        let table = self.schema.tables.get(name);
        if table.is_none() {
            members.complain(&format!("No table named {name}."));
        }
        table
    }

    /// Runs into the error that the test asked for.
    fn write(&mut self) -> Result<(), Stop> {
        self.context.refusal.take().map_or(Ok(()), |error| Err(error.into()))
    }

    fn insert(&mut self, members: &mut Members<'a>) -> Result<Value, Stop> {
        let table = self.table(members);
        let chosen = if self.context.client_uuids {
            members.optional("uuid", |json| json.as_str().map(|_| json))
        } else {
            None
        };
        let name = members.optional("uuid-name", id);
        let row = members.required("row", |json| json.as_object().map(|_| json));
        members.check()?;
        let (Some(table), Some(json)) = (table, row) else {
            return Ok(json!({}));
        };
        let chosen = chosen.map(|json| self.chosen_uuid(table, json)).transpose()?;
        let uuid = match (name, chosen) {
            (Some(name), chosen) => self.names.insert(name, chosen)?,
            (None, Some(chosen)) => chosen,
            (None, None) => self.names.uuids.next(),
        };
        let (mut row, _) = self.row(table, json)?;
        for column in table.columns.values() {
            // A default may violate the constraints of its own column.
            if let Some(datum) = row.datum(column.name).filter(|datum| datum.len() == 1) {
                datum.check(&column.ty)?;
            }
        }
        self.write()?;
        row.set_version(self.names.uuids.next());
        self.database.insert((table.name, uuid), row);
        Ok(json!({"uuid": ["uuid", uuid]}))
    }

    fn chosen_uuid(&self, table: &TableSchema, json: &Value) -> Result<Uuid, OpError> {
        let uuid = json.as_str().and_then(|text| text.parse().ok());
        let uuid = uuid.ok_or_else(|| OpError::syntax(json, "bad uuid"))?;
        if self.database.may_insert((table.name, uuid)) {
            return Ok(uuid);
        }
        let details =
            "This UUID would duplicate a UUID already present within the table or deleted within the same transaction.";
        Err(OpError::new("duplicate uuid", details).at(json))
    }

    fn select(&mut self, members: &mut Members<'a>) -> Result<Value, Stop> {
        let table = self.table(members);
        let clauses = members.required("where", Value::as_array);
        let columns = members.optional("columns", array);
        let sort = members.optional("sort", array);
        members.check()?;
        let (Some(table), Some(clauses)) = (table, clauses) else {
            return Ok(json!({}));
        };
        let condition = Condition::parse(table, clauses, Some(&mut self.names))?;
        let columns = column_names(table, columns)?;
        let sort = sort.map(|sort| column_names(table, Some(sort))).transpose()?;
        let mut rows: Vec<&Row> = self
            .database
            .query(table.name, &condition)
            .into_iter()
            .filter_map(|uuid| self.database.row((table.name, uuid)))
            .collect();
        if !columns.contains(&"_uuid") {
            let mut seen = BTreeSet::new();
            rows.retain(|row| seen.insert(row.project(&columns)));
        }
        if let Some(sort) = sort {
            rows.sort_by_cached_key(|row| row.project(&sort));
        }
        let rows: Vec<_> = rows.into_iter().map(|row| row.to_json(table, &columns)).collect();
        Ok(json!({"rows": rows}))
    }

    fn update(&mut self, members: &mut Members<'a>, operation: &Value) -> Result<Value, Stop> {
        let table = self.table(members);
        let clauses = members.required("where", Value::as_array);
        let row = members.required("row", |json| json.as_object().map(|_| json));
        members.check()?;
        let (Some(table), Some(clauses), Some(json)) = (table, clauses, row) else {
            return Ok(json!({}));
        };
        let (row, named) = self.row(table, json)?;
        let is_immutable = |name: &&&str| table.columns.get(**name).is_some_and(|column| !column.mutable);
        if let Some(column) = named.iter().find(is_immutable) {
            let details = format!("Cannot update immutable column {column} in table {}.", table.name);
            return Err(OpError::new("constraint violation", details).at(operation).into());
        }
        let condition = Condition::parse(table, clauses, Some(&mut self.names))?;
        self.write()?;
        let matching = self.database.query(table.name, &condition);
        for uuid in &matching {
            let key = (table.name, *uuid);
            if self.database.row(key).is_some_and(|old| old.agrees(&row, named.iter())) {
                continue;
            }
            let Some(old) = self.database.modify(key) else {
                continue;
            };
            for column in &named {
                if let Some(datum) = row.datum(column) {
                    old.set(column, datum.clone());
                }
            }
        }
        Ok(json!({"count": matching.len()}))
    }

    fn mutate(&mut self, members: &mut Members<'a>) -> Result<Value, Stop> {
        let table = self.table(members);
        let clauses = members.required("where", Value::as_array);
        let mutations = members.required("mutations", Value::as_array);
        members.check()?;
        let (Some(table), Some(clauses), Some(mutations)) = (table, clauses, mutations) else {
            return Ok(json!({}));
        };
        let mutations = mutations
            .iter()
            .map(|json| Mutation::parse(table, json, &mut self.names))
            .collect::<Result<Vec<_>, _>>()?;
        let condition = Condition::parse(table, clauses, Some(&mut self.names))?;
        self.write()?;
        let matching = self.database.query(table.name, &condition);
        for uuid in &matching {
            let Some(row) = self.database.modify((table.name, *uuid)) else {
                continue;
            };
            for mutation in &mutations {
                mutation.apply(row)?;
            }
        }
        Ok(json!({"count": matching.len()}))
    }

    fn delete(&mut self, members: &mut Members<'a>) -> Result<Value, Stop> {
        let clauses = members.required("where", Value::as_array);
        let table = self.table(members);
        members.check()?;
        let (Some(table), Some(clauses)) = (table, clauses) else {
            return Ok(json!({}));
        };
        let condition = Condition::parse(table, clauses, Some(&mut self.names))?;
        self.write()?;
        let matching = self.database.query(table.name, &condition);
        for uuid in &matching {
            self.database.delete((table.name, *uuid));
        }
        Ok(json!({"count": matching.len()}))
    }

    fn wait(&mut self, members: &mut Members<'a>) -> Result<Value, Stop> {
        let timeout = members.optional("timeout", |json| json.as_i64().map(|_| json));
        let clauses = members.required("where", Value::as_array);
        let columns = members.optional("columns", array);
        let until = members.required("until", |json| json.as_str().map(|_| json));
        let rows = members.required("rows", Value::as_array);
        let table = self.table(members);
        members.check()?;
        let (Some(table), Some(clauses), Some(until), Some(rows)) = (table, clauses, until, rows) else {
            return Ok(json!({}));
        };
        let condition = Condition::parse(table, clauses, Some(&mut self.names))?;
        let columns = column_names(table, columns)?;
        let timeout = timeout.map(milliseconds).transpose()?;
        let equal_wanted = match until.as_str() {
            Some("==") => true,
            Some("!=") => false,
            _ => return Err(OpError::syntax(until, "\"until\" must be \"==\" or \"!=\"").into()),
        };
        let mut expected = BTreeSet::new();
        for json in rows {
            expected.insert(self.row(table, json)?.0.project(&columns));
        }
        let matching = self.database.query(table.name, &condition).into_iter();
        let actual: BTreeSet<_> = matching
            .filter_map(|uuid| self.database.row((table.name, uuid)))
            .map(|row| row.project(&columns))
            .collect();
        if (actual == expected) == equal_wanted {
            return Ok(json!({}));
        }
        let waited = self.context.waited.unwrap_or_default();
        if timeout.is_none_or(|timeout| waited < timeout) {
            self.timeout = timeout;
            return Err(Stop::Waiting);
        }
        let details = if waited.is_zero() {
            "\"where\" clause test failed".into()
        } else {
            format!("\"wait\" timed out after {} ms", waited.as_millis())
        };
        Err(OpError::new("timed out", details).into())
    }

    fn assert(&mut self, members: &mut Members<'a>) -> Result<Value, Stop> {
        let Some(lock) = members.required("lock", id) else {
            return Ok(json!({}));
        };
        if self.context.locks.contains(lock) {
            return Ok(json!({}));
        }
        Err(OpError::new(NOT_OWNER, format!("Asserted lock {lock} not held.")).into())
    }

    /// A row of defaults but for the columns that `json` names, and these columns.
    fn row(&mut self, table: &TableSchema, json: &Value) -> Result<(Row, Vec<&'static str>), OpError> {
        let object = json
            .as_object()
            .ok_or_else(|| OpError::syntax(json, "row must be JSON object"))?;
        let mut row = Row::new(table);
        let mut named = Vec::new();
        for (name, value) in object {
            let column = table.columns.get(name.as_str()).ok_or_else(|| {
                OpError::new("unknown column", format!("No column {name} in table {}.", table.name)).at(json)
            })?;
            row.set(
                column.name,
                super::value::Datum::parse(&column.ty, value, Some(&mut self.names))?,
            );
            named.push(column.name);
        }
        Ok((row, named))
    }
}

fn array(json: &Value) -> Option<&Value> {
    json.as_array().map(|_| json)
}

fn milliseconds(json: &Value) -> Result<Duration, OpError> {
    let timeout = json.as_u64().map(Duration::from_millis);
    timeout.ok_or_else(|| OpError::syntax(json, "timeout must be nonnegative"))
}

/// The columns that `json` names, or all of them.
fn column_names(table: &TableSchema, json: Option<&Value>) -> Result<Vec<&'static str>, OpError> {
    let Some(json) = json else {
        return Ok(table.columns.keys().copied().collect());
    };
    let distinct = || OpError::syntax(json, "array of distinct column names expected");
    let mut names = Vec::new();
    for name in json.as_array().into_iter().flatten() {
        let name = name.as_str().ok_or_else(distinct)?;
        let column = table
            .columns
            .get(name)
            .ok_or_else(|| OpError::syntax(json, format!("{name} is not a valid column name")))?;
        if names.contains(&column.name) {
            return Err(distinct());
        }
        names.push(column.name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::super::{Options, SchemaVersion};
    use super::*;

    fn bench() -> Bench {
        let mut bench = Bench::new(SchemaVersion::V1_7_0);
        bench.connect(1);
        bench
    }

    fn insert(name: &str) -> Value {
        json!({"op": "insert", "table": "Logical_Switch", "row": {"name": name}})
    }

    #[test]
    fn operations_after_a_failure_are_null_and_nothing_is_changed() {
        let mut bench = bench();
        let results = bench.transact(
            1,
            json!([insert("blue"), {"op": "abort"}, insert("red"), insert("green")]),
        );
        let aborted = json!({"error": "aborted", "details": "aborted by request"});
        assert!(results[0]["uuid"].is_array());
        assert_eq!(
            (&results[1], &results[2], &results[3]),
            (&aborted, &Value::Null, &Value::Null)
        );
        assert_eq!(bench.switch.rows("Logical_Switch").count(), 0);
    }

    #[test]
    fn a_write_without_the_asserted_lock_is_not_applied() {
        let mut bench = bench();
        let guarded = json!([{"op": "assert", "lock": "tandem"}, insert("blue")]);
        let not_owner = json!({"error": "not owner", "details": "Asserted lock tandem not held."});
        assert_eq!(bench.transact(1, guarded.clone()), json!([not_owner, null]));
        bench.ask(1, "lock", json!(["tandem"]));
        assert!(bench.transact(1, guarded)[1]["uuid"].is_array());
    }

    #[test]
    fn what_an_old_schema_lacks_is_unknown() {
        let mut bench = Bench::new(SchemaVersion::V1_3_0);
        bench.connect(1);
        let row = json!({"name": "blue", "replication_mode": "service_node"});
        let column = bench.transact(1, json!([{"op": "insert", "table": "Logical_Switch", "row": row}]));
        assert_eq!(column[0]["error"], "unknown column");
        assert_eq!(
            column[0]["details"],
            "No column replication_mode in table Logical_Switch."
        );
        let table = bench.transact(1, json!([{"op": "insert", "table": "ACL", "row": {}}]));
        assert_eq!(
            table[0]["details"],
            "Parsing ovsdb operation 1 of 1 failed: No table named ACL."
        );
    }

    #[test]
    fn a_uuid_may_be_chosen_only_where_the_server_is_new_enough() {
        let uuid = "6f1c0d0e-0000-4000-8000-000000000001";
        let insert = json!([{"op": "insert", "table": "Logical_Switch", "row": {"name": "blue"}, "uuid": uuid}]);
        let refused = bench().transact(1, insert.clone());
        assert_eq!(refused[0]["error"], "syntax error");
        let mut bench = Bench::with_options(Options {
            client_uuids: true,
            ..Options::new(SchemaVersion::V1_7_0)
        });
        bench.connect(1);
        assert_eq!(bench.transact(1, insert.clone()), json!([{"uuid": ["uuid", uuid]}]));
        assert_eq!(bench.transact(1, insert)[0]["error"], "duplicate uuid");
    }

    #[test]
    fn a_select_without_uuids_drops_duplicates_and_sorts_on_demand() {
        let mut bench = bench();
        bench.transact(1, json!([insert("red"), insert("green"), insert("blue")]));
        let select = |columns: Value| json!([{"op": "select", "table": "Logical_Switch", "where": [], "columns": columns, "sort": columns}]);
        let names = bench.transact(1, select(json!(["name"])));
        assert_eq!(
            names[0]["rows"],
            json!([{"name": "blue"}, {"name": "green"}, {"name": "red"}])
        );
        let keys = bench.transact(1, select(json!(["tunnel_key"])));
        assert_eq!(keys[0]["rows"], json!([{"tunnel_key": ["set", []]}]));
    }
}
