//! Takes an object of a request apart, and complains about it in the server's words.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::error::OpError;

/// The members of one object. The first error is kept; an unknown member is one.
pub(super) struct Members<'a> {
    what: String,
    json: &'a Value,
    object: Option<&'a Map<String, Value>>,
    used: BTreeSet<&'static str>,
    error: Option<OpError>,
}

impl<'a> Members<'a> {
    /// `what` names the object in complaints.
    pub(super) fn new(json: &'a Value, what: String) -> Self {
        let mut members = Self {
            what,
            json,
            object: json.as_object(),
            used: BTreeSet::new(),
            error: None,
        };
        if members.object.is_none() {
            members.complain("Object expected.");
        }
        members
    }

    /// A member that must be there and that `read` accepts.
    pub(super) fn required<T>(&mut self, name: &'static str, read: fn(&'a Value) -> Option<T>) -> Option<T> {
        if self.object?.get(name).is_none() {
            self.complain(&format!("Required '{name}' member is missing."));
        }
        self.optional(name, read)
    }

    /// A member that `read` accepts, if it is there.
    pub(super) fn optional<T>(&mut self, name: &'static str, read: fn(&'a Value) -> Option<T>) -> Option<T> {
        let value = read(self.object?.get(name)?);
        if value.is_some() {
            self.used.insert(name);
        } else {
            self.complain(&format!("Type mismatch for member '{name}'."));
        }
        value
    }

    /// Notes a complaint, unless there is one already.
    pub(super) fn complain(&mut self, message: &str) {
        if self.error.is_none() {
            let error = OpError::new("syntax error", format!("Parsing {} failed: {message}", self.what));
            self.error = Some(if self.object.is_some() {
                error.at(self.json)
            } else {
                error
            });
        }
    }

    /// The complaint so far.
    pub(super) fn check(&self) -> Result<(), OpError> {
        self.error.clone().map_or(Ok(()), Err)
    }

    /// The error, unknown members included.
    pub(super) fn finish(mut self) -> Result<(), OpError> {
        let mut unused = self
            .object
            .into_iter()
            .flat_map(Map::keys)
            .filter(|name| !self.used.contains(name.as_str()));
        if let Some(first) = unused.next() {
            let message = match unused.count() {
                0 => format!("Member '{first}' is present but not allowed here."),
                1 => {
                    format!("Member '{first}' and 1 other member are present but not allowed here.")
                }
                more => format!("Member '{first}' and {more} other members are present but not allowed here."),
            };
            self.complain(&message);
        }
        self.check()
    }
}

/// An `<id>` of RFC 7047 section 3.1: letters, digits and underscores, not beginning with a digit.
pub(super) fn id(json: &Value) -> Option<&str> {
    json.as_str().filter(|text| is_id(text))
}

/// Whether the text is an `<id>`.
pub(super) fn is_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unknown_member_is_refused() {
        let json = json!({"op": "comment", "comment": "x", "extra": 1});
        let mut members = Members::new(&json, "operation".into());
        assert_eq!(members.required("op", id), Some("comment"));
        members.required("comment", Value::as_str);
        let error = members.finish().expect_err("an error");
        assert_eq!(
            error.details,
            "Parsing operation failed: Member 'extra' is present but not allowed here."
        );
        assert_eq!(
            error.syntax.as_deref(),
            Some(r#"{"comment":"x","extra":1,"op":"comment"}"#)
        );
    }

    #[test]
    fn a_lock_name_with_a_hyphen_is_no_id() {
        assert!(is_id("tandem") && is_id("_x9"));
        assert!(!is_id("tor-agent") && !is_id("9x") && !is_id(""));
    }
}
