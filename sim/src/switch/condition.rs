//! `where`: RFC 7047 section 5.1, `<condition>`, and the booleans that Open vSwitch adds.

use serde_json::Value;
use tandem_core::Uuid;

use super::error::OpError;
use super::names::Names;
use super::row::Row;
use super::schema::{Base, TableSchema, Type, UNLIMITED};
use super::value::Datum;

/// A list of clauses.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition(Vec<Clause>);

#[derive(Clone, Debug)]
enum Clause {
    Constant(bool),
    Test {
        column: &'static str,
        ty: Type,
        function: Function,
        argument: Datum,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Function {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
    Includes,
    Excludes,
}

impl Condition {
    /// Reads a condition; without `names`, named uuids are refused.
    pub(super) fn parse(
        table: &TableSchema,
        clauses: &[Value],
        mut names: Option<&mut Names<'_>>,
    ) -> Result<Self, OpError> {
        let clauses = clauses
            .iter()
            .map(|json| Clause::parse(table, json, names.as_deref_mut()));
        clauses.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the row meets every clause, as in an operation.
    pub(super) fn all(&self, row: &Row) -> bool {
        self.0.iter().all(|clause| clause.holds(row))
    }

    /// Whether the row meets any clause, or there is none, as in a monitor.
    pub(super) fn any(&self, row: &Row) -> bool {
        self.0.is_empty() || self.0.iter().any(|clause| clause.holds(row))
    }

    /// The columns that decide; a constant counts as a test of `_uuid`, as in the server.
    pub(super) fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|clause| match clause {
            Clause::Constant(_) => "_uuid",
            Clause::Test { column, .. } => column,
        })
    }

    /// The one row that can match, if a clause names it by its uuid.
    pub(super) fn only_uuid(&self) -> Option<Uuid> {
        self.0.iter().find_map(|clause| match clause {
            Clause::Test {
                column: "_uuid",
                function: Function::Equal,
                argument,
                ..
            } => argument.only()?.as_uuid(),
            Clause::Constant(_) | Clause::Test { .. } => None,
        })
    }
}

impl Clause {
    fn parse(table: &TableSchema, json: &Value, names: Option<&mut Names<'_>>) -> Result<Self, OpError> {
        if let Some(constant) = json.as_bool() {
            return Ok(Self::Constant(constant));
        }
        let (Some(name), Some(word), Some(argument)) = triple(json) else {
            return Err(OpError::syntax(json, "Parse error in condition."));
        };
        let column = table.columns.get(name).ok_or_else(|| {
            OpError::new("unknown column", format!("No column {name} in table {}.", table.name)).at(json)
        })?;
        let function = Function::parse(word)
            .ok_or_else(|| OpError::new("unknown function", format!("No function named {word}.")))?;
        let ty = &column.ty;
        let mut accepted = ty.clone();
        if function.orders() {
            let orderly = (ty.is_scalar() || ty.is_optional_scalar()) && matches!(ty.key, Base::Integer { .. });
            if !orderly {
                return Err(type_mismatch(json, word, column.name, ty));
            }
            accepted.min = 1;
        } else if function == Function::Excludes && !ty.is_scalar() {
            (accepted.min, accepted.max) = (0, UNLIMITED);
        } else if function == Function::Includes && !ty.is_scalar() {
            accepted.min = 0;
        }
        Ok(Self::Test {
            column: column.name,
            ty: ty.clone(),
            function,
            argument: Datum::parse(&accepted, argument, names)?,
        })
    }

    fn holds(&self, row: &Row) -> bool {
        match self {
            Self::Constant(constant) => *constant,
            Self::Test {
                column,
                ty,
                function,
                argument,
            } => row
                .datum(column)
                .is_some_and(|datum| function.holds(datum, argument, ty)),
        }
    }
}

impl Function {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            ">=" => Self::GreaterOrEqual,
            ">" => Self::Greater,
            "includes" => Self::Includes,
            "excludes" => Self::Excludes,
            _ => return None,
        })
    }

    fn orders(self) -> bool {
        matches!(
            self,
            Self::Less | Self::LessOrEqual | Self::GreaterOrEqual | Self::Greater
        )
    }

    fn holds(self, datum: &Datum, argument: &Datum, ty: &Type) -> bool {
        let plain = ty.is_scalar() || ty.is_optional_scalar();
        if let (true, Some(value), Some(argument)) = (plain, datum.only(), argument.only()) {
            return match self {
                Self::Less => value < argument,
                Self::LessOrEqual => value <= argument,
                Self::Equal | Self::Includes => value == argument,
                Self::NotEqual | Self::Excludes => value != argument,
                Self::GreaterOrEqual => value >= argument,
                Self::Greater => value > argument,
            };
        }
        match self {
            Self::Equal => datum == argument,
            Self::NotEqual => datum != argument,
            Self::Includes => argument.is_within(datum),
            Self::Excludes => argument.is_apart_from(datum),
            // Nothing is less or greater than an absent value.
            Self::Less | Self::LessOrEqual | Self::GreaterOrEqual | Self::Greater => false,
        }
    }
}

/// The two texts and the argument of a clause or a mutation.
pub(super) fn triple(json: &Value) -> (Option<&str>, Option<&str>, Option<&Value>) {
    match json.as_array().map(Vec::as_slice) {
        Some([column, function, argument]) => (column.as_str(), function.as_str(), Some(argument)),
        _ => (None, None, None),
    }
}

/// The operator does not fit the column.
pub(super) fn type_mismatch(json: &Value, operator: &str, column: &str, ty: &Type) -> OpError {
    let english = ty.to_english();
    OpError::syntax(
        json,
        format!("Type mismatch: \"{operator}\" operator may not be applied to column {column} of type {english}."),
    )
}

#[cfg(test)]
mod tests {
    use super::super::schema::{Schema, SchemaVersion};
    use super::super::value::Atom;
    use super::*;
    use serde_json::json;

    fn holds(json: Value) -> Result<bool, String> {
        let schema = Schema::of(SchemaVersion::V1_7_0);
        let table = &schema.tables["Logical_Switch"];
        let mut row = Row::new(table);
        row.set("name", Datum::one(Atom::String("blue".into())));
        let condition = Condition::parse(table, &[json], None).map_err(|error| error.details)?;
        Ok(condition.all(&row))
    }

    #[test]
    fn an_absent_number_is_neither_less_nor_greater_but_different() {
        for function in ["<", "<=", ">", ">=", "==", "includes"] {
            assert_eq!(holds(json!(["tunnel_key", function, 7])), Ok(false), "{function}");
        }
        for function in ["!=", "excludes"] {
            assert_eq!(holds(json!(["tunnel_key", function, 7])), Ok(true), "{function}");
        }
        assert_eq!(holds(json!(["tunnel_key", "==", ["set", []]])), Ok(true));
    }

    #[test]
    fn texts_and_maps_have_no_order() {
        let error = holds(json!(["other_config", "<", ["map", []]])).expect_err("an error");
        assert!(
            error.ends_with("column other_config of type map of (string, string) pairs."),
            "{error}"
        );
        assert_eq!(holds(json!(["name", "==", "blue"])), Ok(true));
        assert!(holds(json!(["name", "<", "blue"])).is_err());
    }
}
