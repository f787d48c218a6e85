//! How a line is written: as text for people, or as one JSON object.

use std::fmt::Write;

use serde_json::{Map, Value};
use tracing::Level;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::line::{Line, Shown};
use crate::config::LogFormat;

/// The form of all lines of a process.
#[derive(Clone, Debug, Default)]
pub(super) struct Format {
    pub(super) kind: LogFormat,
    pub(super) colour: bool,
    /// Each line begins with its priority, as the journal of systemd expects it (`sd-daemon(3)`).
    pub(super) priorities: bool,
    /// A field of every JSON object: what this process is, and its name.
    pub(super) process: Option<(&'static str, String)>,
}

impl Format {
    /// The line with its line feed; nothing in it can begin a second line.
    pub(super) fn line(&self, line: &Line) -> String {
        let mut text = match self.priorities {
            true => format!("<{}>", priority(line.level)),
            false => String::new(),
        };
        match self.kind {
            LogFormat::Text => self.text(line, &mut text),
            LogFormat::Json => text.push_str(&Value::Object(self.object(line)).to_string()),
        }
        text.push('\n');
        text
    }

    fn text(&self, line: &Line, text: &mut String) {
        let (dim, colour, plain) = match self.colour {
            true => ("\x1b[2m", colour(line.level), "\x1b[0m"),
            false => ("", "", ""),
        };
        let (time, level, target) = (now(), line.level, &line.target);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{dim}{time}{plain} {colour}{level:>5}{plain} {dim}{target}:{plain} "
        );
        push_on_one_line(text, &line.message);
        for (name, value) in &line.fields {
            let _ = write!(text, " {name}=");
            push_on_one_line(text, &value.to_string());
        }
    }

    fn object(&self, line: &Line) -> Map<String, Value> {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.into(), value);
        put("timestamp", now().into());
        put("level", line.level.as_str().into());
        put("target", line.target.as_str().into());
        if let Some(word) = &line.word {
            put("word", word.as_str().into());
        }
        if let Some((kind, name)) = &self.process {
            put(kind, name.as_str().into());
        }
        put("message", line.message.as_str().into());
        for (name, value) in &line.fields {
            put(name, value.json());
        }
        for (name, value) in line.details.iter().filter(|(name, _)| *name != "word") {
            match object.contains_key(name) {
                false => object.insert(name.clone(), value.clone()),
                // The agent that an event is about is another one than the agent that writes.
                true if object.get(name) != Some(value) => object.insert(format!("event_{name}"), value.clone()),
                true => None,
            };
        }
        object
    }
}

impl Shown {
    fn json(&self) -> Value {
        match self {
            Self::Quoted(text) => text.as_str().into(),
            Self::Plain(value) => value.clone(),
        }
    }
}

/// As `syslog(3)` numbers them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

fn now() -> String {
    let mut text = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// Some of the text comes from peers.
fn push_on_one_line(line: &mut String, text: &str) {
    for char in text.chars() {
        match char.is_control() {
            true => line.extend(char.escape_debug()),
            false => line.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed() -> Line {
        let mut line = Line::new(
            Level::WARN,
            "tandem",
            Some("Claimed"),
            "Claimed: 3 rows\nrepointed".into(),
        );
        line.fields.push(("switch", Shown::Quoted("tor1".into())));
        line.fields.push(("conn", Shown::Plain(7.into())));
        line.details = serde_json::from_str(r#"{"word":"claimed","rows":3,"conn":7,"agent":"agent-b"}"#).expect("JSON");
        line
    }

    #[test]
    fn a_line_of_text_is_one_line_with_the_fields_behind_the_message() {
        let line = Format::default().line(&claimed());
        assert!(
            line.ends_with("  WARN tandem: Claimed: 3 rows\\nrepointed switch=\"tor1\" conn=7\n"),
            "{line}"
        );
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn an_object_has_word_switch_agent_and_numbers_as_fields() {
        let format = Format {
            kind: LogFormat::Json,
            process: Some(("agent", "agent-a".into())),
            ..Format::default()
        };
        let object: Value = serde_json::from_str(&format.line(&claimed())).expect("one JSON object");
        assert_eq!(object["level"], "WARN");
        assert_eq!(object["word"], "Claimed");
        assert_eq!(object["switch"], "tor1");
        assert_eq!(object["agent"], "agent-a");
        assert_eq!(object["event_agent"], "agent-b");
        assert_eq!((&object["conn"], &object["rows"]), (&7.into(), &3.into()));
        assert_eq!(object.get("event_conn"), None, "it is the same number");
    }

    #[test]
    fn the_journal_receives_the_priority_of_each_line() {
        let format = Format {
            priorities: true,
            ..Format::default()
        };
        let line = |level| format.line(&Line::new(level, "tandem", None, "x".into()));
        for (level, begin) in [
            (Level::ERROR, "<3>"),
            (Level::WARN, "<4>"),
            (Level::INFO, "<6>"),
            (Level::DEBUG, "<7>"),
        ] {
            assert!(line(level).starts_with(begin), "{}", line(level));
        }
    }
}
