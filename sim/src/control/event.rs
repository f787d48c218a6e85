//! The events of a control host.

use std::fmt;

use serde::Serialize;
use tandem_core::event::{Level, LogEvent};
use tandem_core::{CloseWhy, ConnId, control, log_words};

/// Something that happened in a control host.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Something happened in the control node.
    Node(control::Event),
    /// A stream is over, or never opened.
    StreamEnded { conn: ConnId, why: CloseWhy },
}

impl LogEvent for Event {
    log_words!(StreamEnded; Node);

    fn level(&self) -> Level {
        match self {
            Self::Node(event) => event.level(),
            Self::StreamEnded { why, .. } => Level::of_close(why),
        }
    }
}

impl fmt::Display for Event {
    /// The text after the word in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(event) => event.fmt(f),
            Self::StreamEnded { why, .. } => write!(f, "{why}"),
        }
    }
}
