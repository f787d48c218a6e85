//! The errors that stand inside a reply: RFC 7047 section 3.1, `<error>`.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// An error as the server writes it. It blames the client that sent the request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct OpError {
    /// `constraint violation` and so on.
    pub(super) error: Cow<'static, str>,
    /// One sentence for a person.
    pub(super) details: String,
    /// The JSON that was wrong, an addition of Open vSwitch.
    pub(super) syntax: Option<String>,
}

impl OpError {
    /// An error of the given kind.
    pub(super) fn new(error: impl Into<Cow<'static, str>>, details: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            details: details.into(),
            syntax: None,
        }
    }

    /// A `syntax error` in `json`.
    pub(super) fn syntax(json: &Value, details: impl Into<String>) -> Self {
        Self::new("syntax error", details).at(json)
    }

    /// The same error, showing the JSON that caused it.
    pub(super) fn at(self, json: &Value) -> Self {
        Self {
            syntax: Some(json.to_string()),
            ..self
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("error".into(), self.error.as_ref().into());
        json.insert("details".into(), self.details.as_str().into());
        if let Some(syntax) = &self.syntax {
            json.insert("syntax".into(), syntax.as_str().into());
        }
        json.into()
    }
}
