//! Atoms: RFC 7047 section 3.1.

use serde_json::{Value, json};
use tandem_core::Uuid;

use super::columns::Base;
use super::error::OpError;
use super::members::is_id;
use super::names::Names;

/// One value that is not made of others. The schema has no reals.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Atom {
    Integer(i64),
    Boolean(bool),
    String(Box<str>),
    Uuid(Uuid),
}

impl Atom {
    pub(super) fn default_of(base: Base) -> Self {
        match base {
            Base::Integer { .. } => Self::Integer(0),
            Base::Boolean => Self::Boolean(false),
            Base::String | Base::Enum(_) => Self::String("".into()),
            Base::Uuid | Base::Ref(_) => Self::Uuid(Uuid(0)),
        }
    }

    pub(super) fn parse(base: Base, json: &Value, names: Option<&mut Names<'_>>) -> Result<Self, OpError> {
        let atom = match base {
            Base::Integer { .. } => json.as_i64().map(Self::Integer),
            Base::Boolean => json.as_bool().map(Self::Boolean),
            Base::String | Base::Enum(_) => json.as_str().map(|text| Self::String(text.into())),
            Base::Uuid | Base::Ref(_) => return parse_uuid(json, names).map(Self::Uuid),
        };
        let atom = atom.ok_or_else(|| OpError::syntax(json, format!("expected {}", base.name())))?;
        atom.check(base)?;
        Ok(atom)
    }

    /// The constraints of the type, except that a reference must lead somewhere, which commit checks.
    pub(super) fn check(&self, base: Base) -> Result<(), OpError> {
        let details = match (self, base) {
            (Self::String(text), Base::Enum(words)) if !words.contains(&text.as_ref()) => {
                format!(
                    "{} is not one of the allowed values ([{}])",
                    self.to_text(),
                    words.join(", ")
                )
            }
            (Self::Integer(value), Base::Integer { min, max }) if *value < min || *value > max => {
                if max == i64::MAX {
                    format!("{value} is less than minimum allowed value {min}")
                } else if min == i64::MIN {
                    format!("{value} is greater than maximum allowed value {max}")
                } else {
                    format!("{value} is not in the valid range {min} to {max} (inclusive)")
                }
            }
            (Self::Integer(_) | Self::Boolean(_) | Self::String(_) | Self::Uuid(_), _) => {
                return Ok(());
            }
        };
        Err(OpError::new("constraint violation", details))
    }

    /// As JSON; a uuid is `["uuid", text]`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Integer(value) => json!(value),
            Self::Boolean(value) => json!(value),
            Self::String(text) => json!(text),
            Self::Uuid(uuid) => Value::Array(vec!["uuid".into(), uuid.to_string().into()]),
        }
    }

    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Integer(value) => value.to_string(),
            Self::Boolean(value) => value.to_string(),
            Self::String(text) if needs_quotes(text) => json!(text).to_string(),
            Self::String(text) => text.to_string(),
            Self::Uuid(uuid) => uuid.to_string(),
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The number, if it is one.
    pub fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(value) = self {
            Some(*value)
        } else {
            None
        }
    }

    /// The row's identity, if it is one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        if let Self::Uuid(uuid) = self { Some(*uuid) } else { None }
    }
}

fn parse_uuid(json: &Value, names: Option<&mut Names<'_>>) -> Result<Uuid, OpError> {
    if let Some(text) = unwrap(json, "uuid").and_then(Value::as_str) {
        return text
            .parse()
            .map_err(|_| OpError::syntax(json, format!("\"{text}\" is not a valid UUID")));
    }
    match (unwrap(json, "named-uuid").and_then(Value::as_str), names) {
        (Some(name), Some(names)) if is_id(name) => Ok(names.refer(name)),
        (Some(_), Some(_)) => Err(OpError::syntax(json, "named-uuid string is not a valid <id>")),
        (_, _) => Err(OpError::syntax(json, "expected [\"uuid\", <string>]")),
    }
}

fn needs_quotes(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        || !text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        || matches!(text, "true" | "false")
        || text.parse::<Uuid>().is_ok()
}

/// The second element of `[word, ...]`.
pub(super) fn unwrap<'a>(json: &'a Value, word: &str) -> Option<&'a Value> {
    match json.as_array()?.as_slice() {
        [first, second] if first == word => Some(second),
        _ => None,
    }
}
