//! One line of the log before it is written: its parts, whatever the format.

use std::fmt::{self, Debug};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// The field with the word of an event, which its message begins with.
const WORD: &str = "word";

/// The field with an event as a JSON object.
const DETAILS: &str = "details";

/// A value as text shows it, and as JSON does.
#[derive(Debug)]
pub(super) enum Shown {
    /// In quotes.
    Quoted(String),
    /// As it is: a number, an address.
    Plain(Value),
}

/// The parts of a line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) target: String,
    /// The word of an event. Lines of libraries have none.
    pub(super) word: Option<String>,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, Shown)>,
    /// The event itself, with its numbers.
    pub(super) details: Map<String, Value>,
}

impl Line {
    /// A line without fields.
    pub(super) fn new(level: Level, target: &str, word: Option<&str>, message: String) -> Self {
        Self {
            level,
            target: target.into(),
            word: word.map(Into::into),
            message,
            fields: Vec::new(),
            details: Map::new(),
        }
    }

    /// The line of an event of a subscriber.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut line = Self::new(*metadata.level(), metadata.target(), None, String::new());
        event.record(&mut line);
        line
    }

    /// The text of a field, or of the details, under the first of these names that has one.
    pub(super) fn text(&self, names: &[&str]) -> Option<&str> {
        let of = |name: &&str| {
            let field = self.fields.iter().find(|(known, _)| known == name);
            match field {
                Some((_, Shown::Quoted(text) | Shown::Plain(Value::String(text)))) => Some(text.as_str()),
                Some((_, Shown::Plain(_))) | None => self.details.get(*name).and_then(Value::as_str),
            }
        };
        names.iter().find_map(of)
    }

    fn plain(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.push((field.name(), Shown::Plain(value.into())));
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            WORD => self.word = Some(value.into()),
            "message" => value.clone_into(&mut self.message),
            name => self.fields.push((name, Shown::Quoted(value.into()))),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            DETAILS => self.details = serde_json::from_str(&text).unwrap_or_default(),
            _ => self.plain(field, text),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quoted(text) => write!(f, "{text:?}"),
            Self::Plain(Value::String(text)) => f.write_str(text),
            Self::Plain(value) => write!(f, "{value}"),
        }
    }
}
