//! Bytes become messages; complete messages wait for their turn, and one is read row by row.

use std::collections::VecDeque;
use std::ops::Range;

use crate::bounds::{BACKLOG_BYTES, MESSAGE_BYTES, OPENING_MESSAGE_BYTES, SCHEMA_BYTES};
use crate::ids::Uuid;
use crate::machine::{CloseReason, CloseWhy};
use crate::ovsdb::monitor::Monitor;
use crate::ovsdb::rpc::Message;
use crate::ovsdb::updates::Cursor;
use crate::ovsdb::{Frame, Framer};
use crate::text::short;

/// The messages that were received and not yet processed.
#[derive(Clone, Debug)]
pub(super) struct Backlog {
    framer: Framer,
    messages: VecDeque<(Frame, Message)>,
    messages_bytes: usize,
    reading: Option<Reading>,
}

/// Table updates that are being read.
#[derive(Clone, Debug)]
pub(in crate::session) struct Reading {
    frame: Frame,
    monitor: Monitor,
    cursor: Cursor,
    /// It is the answer to `monitor`: when it ends, the tables are known.
    initial: bool,
}

/// The next piece of work.
#[derive(Clone, Debug)]
pub(in crate::session) enum Work {
    /// Rows of table updates.
    Rows(Reading),
    /// A message.
    Message(Frame, Message),
}

/// One row of table updates: the table, the row and what `updates::change` reads.
#[derive(Clone, Copy, Debug)]
pub(in crate::session) struct Row<'a> {
    pub(in crate::session) monitor: Monitor,
    pub(in crate::session) table: &'a [u8],
    pub(in crate::session) uuid: Uuid,
    pub(in crate::session) change: &'a [u8],
}

impl Backlog {
    pub(super) fn new() -> Self {
        Self {
            framer: Framer::new(SCHEMA_BYTES),
            messages: VecDeque::new(),
            messages_bytes: 0,
            reading: None,
        }
    }

    /// Messages may be as large as a dump of the small tables from now on.
    pub(super) fn accept_small_dumps(&mut self) {
        self.framer.set_limit_bytes(OPENING_MESSAGE_BYTES);
    }

    /// Messages may be as large as a dump of the unicast tables from now on.
    pub(super) fn accept_dumps(&mut self) {
        self.framer.set_limit_bytes(MESSAGE_BYTES);
    }

    /// Takes bytes in.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.framer.push(bytes);
    }

    /// The next complete message that was taken in. The error is one sentence about the peer.
    pub(super) fn next_frame(&mut self) -> Result<Option<(Frame, Message)>, String> {
        let Some(frame) = self.framer.next_frame().map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let message = Message::read(&frame).map_err(|error| error.to_string())?;
        Ok(Some((frame, message)))
    }

    /// A message waits for its turn. The error is one sentence about the peer.
    pub(super) fn wait(&mut self, frame: Frame, message: Message) -> Result<(), String> {
        self.messages_bytes += held_bytes(&frame);
        self.messages.push_back((frame, message));
        if self.messages_bytes > BACKLOG_BYTES {
            return Err(format!("more than {BACKLOG_BYTES} bytes of messages at once"));
        }
        Ok(())
    }

    /// Table updates are to be read.
    pub(super) fn read(&mut self, reading: Reading) {
        self.reading = Some(reading);
    }

    /// Takes the next piece of work: what is being read goes before what waits.
    pub(super) fn next(&mut self) -> Option<Work> {
        if let Some(reading) = self.reading.take() {
            return Some(Work::Rows(reading));
        }
        let (frame, message) = self.messages.pop_front()?;
        self.messages_bytes -= held_bytes(&frame);
        Some(Work::Message(frame, message))
    }

    /// Whether there is work without any new byte.
    pub(super) fn has_work(&self) -> bool {
        self.reading.is_some() || !self.messages.is_empty()
    }
}

impl Reading {
    /// Begins with the first row. The range is where the updates stand in the frame.
    pub(in crate::session) fn new(frame: Frame, monitor: Monitor, range: Range<usize>, initial: bool) -> Self {
        Self {
            frame,
            monitor,
            cursor: Cursor::new(range),
            initial,
        }
    }

    /// The monitor whose tables are known when this ends.
    pub(in crate::session) fn completes(&self) -> Option<Monitor> {
        self.initial.then_some(self.monitor)
    }

    /// Hands over rows for as many bytes as the budget has, and takes those from it. Answers whether it is at its end.
    pub(in crate::session) fn rows(
        &mut self,
        budget: &mut usize,
        mut record: impl FnMut(Row) -> Result<(), CloseWhy>,
    ) -> Result<bool, CloseWhy> {
        let before = self.cursor.remaining_bytes();
        let text = self.frame.bytes();
        let done = loop {
            if before - self.cursor.remaining_bytes() >= *budget {
                break Ok(false);
            }
            match self.cursor.next_row(text) {
                Ok(None) => break Ok(true),
                Err(error) => break Err(protocol_error(error.to_string())),
                Ok(Some(row)) => {
                    let slice = |range: Range<usize>| text.get(range).unwrap_or_default();
                    let recorded = record(Row {
                        monitor: self.monitor,
                        table: slice(row.table),
                        uuid: row.uuid,
                        change: slice(row.change),
                    });
                    if let Err(why) = recorded {
                        break Err(why);
                    }
                }
            }
        };
        *budget = budget.saturating_sub(before - self.cursor.remaining_bytes() + 1);
        done
    }
}

/// The peer broke the protocol.
pub(in crate::session) fn protocol_error(what: impl AsRef<str>) -> CloseWhy {
    CloseWhy::new(CloseReason::ProtocolError, short(what.as_ref()))
}

/// The peer sent more than a bound allows.
pub(in crate::session) fn bound_exceeded(what: impl AsRef<str>) -> CloseWhy {
    CloseWhy::new(CloseReason::BoundExceeded, short(what.as_ref()))
}

/// The memory of a message while it waits: of a small one, mostly our own structures.
fn held_bytes(frame: &Frame) -> usize {
    frame.bytes().len() + size_of::<(Frame, Message)>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(backlog: &mut Backlog, text: &str) -> (Frame, Message) {
        backlog.push(text.as_bytes());
        backlog.next_frame().expect("JSON-RPC").expect("a whole message")
    }

    #[test]
    fn rows_are_read_in_portions_and_before_what_waits() {
        let mut backlog = Backlog::new();
        let text = r#"{"method":"update","params":[],"x":{"t":{"00000000-0000-0000-0000-000000000001":{},"00000000-0000-0000-0000-000000000002":{}}}}"#;
        let (frame, _) = message(&mut backlog, text);
        let range = frame.member_range("x").expect("the updates");
        let (later, wait) = message(&mut backlog, r#"{"method":"locked","params":["tandem"]}"#);
        backlog.wait(later, wait).expect("room");
        backlog.read(Reading::new(frame, Monitor::Local, range, true));
        let mut portions = Vec::new();
        while let Some(Work::Rows(mut reading)) = backlog.next() {
            let (mut budget, mut rows) = (1, Vec::new());
            let done = reading.rows(&mut budget, |row| {
                rows.push(row.uuid);
                Ok(())
            });
            assert_eq!(budget, 0);
            portions.push(rows);
            assert_eq!(reading.completes(), Some(Monitor::Local));
            if done == Ok(false) {
                backlog.read(reading);
            } else {
                break;
            }
        }
        assert_eq!(portions, [vec![Uuid(1)], vec![Uuid(2)], vec![]]);
        assert!(matches!(backlog.next(), Some(Work::Message(..))));
        assert!(!backlog.has_work() && backlog.messages_bytes == 0);
    }
}
