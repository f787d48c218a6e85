//! `mutations`: RFC 7047 section 5.1, `<mutation>`.

use serde_json::Value;

use super::condition::{triple, type_mismatch};
use super::error::OpError;
use super::names::Names;
use super::row::Row;
use super::schema::{Base, TableSchema, Type, UNLIMITED};
use super::value::{Atom, Datum};

/// One change to one column.
#[derive(Clone, Debug)]
pub(super) struct Mutation {
    column: &'static str,
    ty: Type,
    mutator: Mutator,
    argument: Datum,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mutator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Insert,
    Delete,
}

impl Mutation {
    pub(super) fn parse(table: &TableSchema, json: &Value, names: &mut Names<'_>) -> Result<Self, OpError> {
        let (Some(name), Some(word), Some(argument)) = triple(json) else {
            return Err(OpError::syntax(json, "Parse error in mutation."));
        };
        let column = table.columns.get(name).ok_or_else(|| {
            OpError::new("unknown column", format!("No column {name} in table {}.", table.name)).at(json)
        })?;
        if !column.mutable {
            let details = format!("Cannot mutate immutable column {name} in table {}.", table.name);
            return Err(OpError::new("constraint violation", details).at(json));
        }
        let mutator =
            Mutator::parse(word).ok_or_else(|| OpError::new("unknown mutator", format!("No mutator named {word}.")))?;
        let ty = column.ty.clone();
        let is_number = ty.value.is_none() && matches!(ty.key, Base::Integer { .. });
        let fits = if mutator.is_arithmetic() {
            is_number
        } else {
            !ty.is_scalar()
        };
        if !fits {
            return Err(type_mismatch(json, word, name, &ty));
        }
        let mut accepted = ty.clone();
        if mutator.is_arithmetic() {
            accepted = Type {
                key: Base::INTEGER,
                value: None,
                min: 1,
                max: 1,
            };
        } else {
            accepted.min = 0;
        }
        if mutator == Mutator::Delete {
            accepted.max = UNLIMITED;
        }
        let mut argument_read = Datum::parse(&accepted, argument, Some(names));
        if argument_read.is_err() && mutator == Mutator::Delete && ty.value.is_some() {
            // Pairs of a map may be deleted by their keys alone.
            accepted.value = None;
            argument_read = Datum::parse(&accepted, argument, Some(names));
        }
        Ok(Self {
            column: column.name,
            ty,
            mutator,
            argument: argument_read?,
        })
    }

    pub(super) fn apply(&self, row: &mut Row) -> Result<(), OpError> {
        let Some(datum) = row.datum_mut(self.column) else {
            return Ok(());
        };
        match self.mutator {
            Mutator::Insert => datum.union(&self.argument),
            Mutator::Delete => datum.subtract(&self.argument),
            Mutator::Add | Mutator::Subtract | Mutator::Multiply | Mutator::Divide | Mutator::Modulo => {
                let operand = self.argument.only().and_then(Atom::as_integer).unwrap_or(0);
                let changed = datum.map_integers(|value| self.mutator.compute(value, operand))?;
                let changed = changed.ok_or_else(|| {
                    let word = self.mutator.word();
                    let details = format!("Result of \"{word}\" operation contains duplicates.");
                    OpError::new("constraint violation", details)
                })?;
                changed.check(&self.ty)?;
                *datum = changed;
            }
        }
        if datum.len() < self.ty.min || datum.len() > self.ty.max {
            let details = format!(
                "Attempted to store {} elements in {}.",
                datum.len(),
                self.ty.to_english()
            );
            return Err(OpError::new("constraint violation", details));
        }
        Ok(())
    }
}

impl Mutator {
    const ALL: [Self; 7] = [
        Self::Add,
        Self::Subtract,
        Self::Multiply,
        Self::Divide,
        Self::Modulo,
        Self::Insert,
        Self::Delete,
    ];

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutator| mutator.word() == word)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Add => "+=",
            Self::Subtract => "-=",
            Self::Multiply => "*=",
            Self::Divide => "/=",
            Self::Modulo => "%=",
            Self::Insert => "insert",
            Self::Delete => "delete",
        }
    }

    fn is_arithmetic(self) -> bool {
        !matches!(self, Self::Insert | Self::Delete)
    }

    fn compute(self, value: i64, operand: i64) -> Result<i64, OpError> {
        let divides = matches!(self, Self::Divide | Self::Modulo);
        if divides && operand == 0 {
            return Err(OpError::new("domain error", "Division by zero."));
        }
        let result = match self {
            Self::Add => value.checked_add(operand),
            Self::Subtract => value.checked_sub(operand),
            Self::Multiply => multiply(value, operand),
            Self::Divide => value.checked_div(operand),
            Self::Modulo => value.checked_rem(operand),
            Self::Insert | Self::Delete => Some(value),
        };
        result.ok_or_else(|| {
            let details = format!("Result of \"{}\" operation is out of range.", self.word());
            OpError::new("range error", details)
        })
    }
}

/// As the server does it, which gives up a little early where both are positive, and checks the wrong number where both
/// are negative.
fn multiply(value: i64, operand: i64) -> Option<i64> {
    if value > 0 && operand > 0 {
        return (value < i64::MAX / operand).then(|| value * operand);
    }
    if value < 0 && operand < 0 {
        return (operand >= i64::MAX / operand).then(|| value.wrapping_mul(operand));
    }
    value.checked_mul(operand)
}

#[cfg(test)]
mod tests {
    use super::super::names::UuidSource;
    use super::super::schema::{Schema, SchemaVersion};
    use super::*;
    use serde_json::json;

    /// Applies mutations to `Logical_Switch` with these `other_config` and `tunnel_key`.
    fn mutate(json: &[Value]) -> Result<Value, OpError> {
        let schema = Schema::of(SchemaVersion::V1_7_0);
        let table = &schema.tables["Logical_Switch"];
        let mut uuids = UuidSource::new(0);
        let mut names = Names::new(&mut uuids);
        let mut row = Row::new(table);
        for setup in [
            json!(["other_config", "insert", ["map", [["a", "1"], ["b", "2"]]]]),
            json!(["tunnel_key", "insert", 100]),
        ] {
            Mutation::parse(table, &setup, &mut names)?.apply(&mut row)?;
        }
        for json in json {
            Mutation::parse(table, json, &mut names)?.apply(&mut row)?;
        }
        Ok(row.to_json(table, &["other_config", "tunnel_key"]))
    }

    #[test]
    fn a_key_is_replaced_by_delete_and_insert_not_by_insert_alone() {
        let insert = json!(["other_config", "insert", ["map", [["a", "9"]]]]);
        let delete = json!(["other_config", "delete", ["set", ["a"]]]);
        let kept = mutate(std::slice::from_ref(&insert)).expect("a row");
        assert_eq!(kept["other_config"], json!(["map", [["a", "1"], ["b", "2"]]]));
        let replaced = mutate(&[delete, insert]).expect("a row");
        assert_eq!(replaced["other_config"], json!(["map", [["a", "9"], ["b", "2"]]]));
    }

    #[test]
    fn a_pair_is_deleted_only_with_its_value() {
        let delete = |value: &str| json!(["other_config", "delete", ["map", [["a", value]]]]);
        let both = json!(["map", [["a", "1"], ["b", "2"]]]);
        assert_eq!(mutate(&[delete("9")]).expect("a row")["other_config"], both);
        assert_eq!(
            mutate(&[delete("1")]).expect("a row")["other_config"],
            json!(["map", [["b", "2"]]])
        );
    }

    #[test]
    fn arithmetic_refuses_overflow_and_division_by_zero() {
        let error = |mutator: &str, operand: i64| {
            let mutation = json!(["tunnel_key", mutator, operand]);
            mutate(&[mutation]).map_err(|error| error.error.into_owned())
        };
        assert_eq!(error("+=", i64::MAX), Err("range error".into()));
        assert_eq!(error("/=", 0), Err("domain error".into()));
        assert_eq!(error("-=", 1).expect("a row")["tunnel_key"], 99);
    }

    #[test]
    fn an_optional_takes_one_value_at_most() {
        let error = mutate(&[json!(["tunnel_key", "insert", 7])]).expect_err("an error");
        assert_eq!(
            error.details,
            "Attempted to store 2 elements in set of up to 1 integers."
        );
    }
}
