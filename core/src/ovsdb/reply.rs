//! The outcome of a transaction.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::text::reason;

/// The kinds of failure that are distinguished, because each is handled in its own way.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    /// A unique index, a range, an immutable column: for a locator it means that another row won.
    Constraint,
    /// A row that was referred to is gone, or one that was deleted is still in use.
    Referential,
    /// The lock is not ours.
    NotOwner,
    /// The server has no room, or its disk failed.
    Resource,
    /// The server does not allow it.
    Permission,
    /// The server takes no writes at all, as a standby does until it is promoted.
    ReadOnly,
    /// Something else.
    Other,
}

/// Why a transaction was not applied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    /// The kind.
    pub failure: Failure,
    /// The server's own words, on one line and not too many.
    pub text: String,
}

impl Refusal {
    fn new(error: &str, details: Option<&str>) -> Self {
        let failure = match error {
            "resources exhausted" | "I/O error" | "no room" => Failure::Resource,
            _ if details.is_some_and(is_about_room) => Failure::Resource,
            _ if is_read_only(error) || details.is_some_and(is_read_only) => Failure::ReadOnly,
            "constraint violation" | "range error" | "domain error" => Failure::Constraint,
            "referential integrity violation" => Failure::Referential,
            "not owner" => Failure::NotOwner,
            "permission error" | "not allowed" => Failure::Permission,
            _ => Failure::Other,
        };
        let text = match details {
            Some(details) => format!("{error}: {details}"),
            None => error.into(),
        };
        let text = reason(&text);
        Self { failure, text }
    }
}

/// Whether the details of an error are about the server and not about a row: a full disk, or a table at its limit.
fn is_about_room(details: &str) -> bool {
    ["No space left", "no room", "schema-defined limit", "more rows than"]
        .iter()
        .any(|words| details.contains(words))
}

/// Whether an error is about a server that takes no writes; `ovsdb-server` has `not allowed` for it, and others have other
/// words.
fn is_read_only(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["read only", "read-only"].iter().any(|words| text.contains(words))
}

/// Reads the result of a `transact`: the first error in it, if there is one.
///
/// An operation that fails has an error in its place and nulls after it; a commit that fails has an error
/// in an extra element at the end.
pub(crate) fn transacted(json: &[u8]) -> Result<Result<(), Refusal>, String> {
    #[derive(Deserialize)]
    struct Operation {
        #[serde(default)]
        error: Option<String>,
        #[serde(default)]
        details: Option<String>,
    }
    let result: Vec<Option<Operation>> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let failed = result.into_iter().flatten().find_map(|operation| {
        let error = operation.error?;
        Some(Refusal::new(&error, operation.details.as_deref()))
    });
    Ok(failed.map_or(Ok(()), Err))
}

/// Reads the error of a reply that carries no result: a string, or an object with `error` and `details`.
pub(crate) fn refused(json: &[u8]) -> Refusal {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shape {
        Text(String),
        Object {
            error: String,
            #[serde(default)]
            details: Option<String>,
        },
        Other(IgnoredAny),
    }
    match serde_json::from_slice(json) {
        Ok(Shape::Text(error)) => Refusal::new(&error, None),
        Ok(Shape::Object { error, details }) => Refusal::new(&error, details.as_deref()),
        Ok(Shape::Other(_)) | Err(_) => Refusal::new(&String::from_utf8_lossy(json), None),
    }
}

/// Reads the reply to `lock`: whether the lock is ours already.
pub(crate) fn locked(json: &[u8]) -> Result<bool, String> {
    #[derive(Deserialize)]
    struct Locked {
        locked: bool,
    }
    let reply: Locked = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    Ok(reply.locked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(json: &str) -> Option<Failure> {
        transacted(json.as_bytes())
            .expect("a result")
            .err()
            .map(|refusal| refusal.failure)
    }

    #[test]
    fn an_error_is_found_wherever_the_server_puts_it() {
        assert_eq!(failure(r#"[{},{"uuid":["uuid","x"]},{"count":1}]"#), None);
        assert_eq!(
            failure(r#"[{"details":"d","error":"not owner"},null,null]"#),
            Some(Failure::NotOwner)
        );
        assert_eq!(
            failure(r#"[{},{},{"details":"d","error":"constraint violation"}]"#),
            Some(Failure::Constraint)
        );
        assert_eq!(
            failure(r#"[{},{"error":"referential integrity violation"}]"#),
            Some(Failure::Referential)
        );
        assert_eq!(failure(r#"[{"error":"resources exhausted"}]"#), Some(Failure::Resource));
        assert_eq!(failure(r#"[{"error":"something new"}]"#), Some(Failure::Other));
        for details in [
            "tor1.db: write failed (No space left on device)",
            r#"transaction causes \"Ucast_Macs_Remote\" table to contain 9 rows, greater than the schema-defined limit of 8 row(s)"#,
        ] {
            let json = format!(r#"[{{"error":"constraint violation","details":"{details}"}}]"#);
            assert_eq!(failure(&json), Some(Failure::Resource), "{details}");
        }
        for error in [
            r#"{"error":"not allowed","details":"insert operation not allowed when database server is in read only mode"}"#,
            r#"{"error":"permission error","details":"the database is Read-Only"}"#,
            r#"{"error":"read only"}"#,
        ] {
            assert_eq!(failure(&format!("[{error}]")), Some(Failure::ReadOnly), "{error}");
        }
        assert!(transacted(b"{}").is_err());
    }

    #[test]
    fn an_error_instead_of_a_result_keeps_the_servers_words() {
        assert_eq!(refused(br#""unknown method""#).text, "unknown method");
        let text = refused(br#"{"details":"no database named x","error":"unknown database","syntax":"[]"}"#).text;
        assert_eq!(text, "unknown database: no database named x");
        assert_eq!(refused(b"7").text, "7");
    }

    #[test]
    fn the_row_that_an_index_refuses_is_not_cut_off() {
        let row = "6f1c0d0e-0000-4000-8000-000000000009";
        let details = format!(
            "Transaction causes multiple rows in \\\"Logical_Switch\\\" table to have identical values (5001) for index on \
             column \\\"tunnel_key\\\".  First row, with UUID 6f1c0d0e-0000-4000-8000-000000000001, existed in the database \
             before this transaction and was not modified by the transaction.  Second row, with UUID {row}, was inserted."
        );
        let text = refused(format!(r#"{{"error":"constraint violation","details":"{details}"}}"#).as_bytes()).text;
        assert!(text.contains(row), "{text}");
    }
}
