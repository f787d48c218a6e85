//! The log of a process: takes lines from every thread, leaves out floods, and passes the rest to the writer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::floods::{Floods, Key, Summary};
use super::format::Format;
use super::line::{Line, Shown};
use super::writer::{Batch, Queue};
use crate::event::{LOG_LINES_LOST, TARGET};

/// The longest time that the end of the process waits for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log of a process.
#[derive(Debug, Default)]
pub(super) struct Journal {
    format: Format,
    floods: Mutex<Floods>,
    left_out: AtomicU64,
    queue: Arc<Queue>,
}

/// Lines that were not written, since the process began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Summarised, because there were many of their kind.
    pub left_out: u64,
    /// Lost, because the reader of the log stalled, or its disk was full.
    pub dropped: u64,
}

impl Journal {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            ..Self::default()
        }
    }

    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            left_out: self.left_out.load(Ordering::Relaxed),
            dropped: self.queue.dropped_in_total(),
        }
    }

    /// Adds to a batch the summaries that are due, and the number of the lines that were dropped behind it.
    pub(super) fn complete(&self, batch: &mut Batch) {
        let due = self.floods().due(Instant::now(), batch.last);
        for summary in due {
            batch.bytes.extend(self.format.line(&summarise(&summary)).bytes());
        }
        if batch.dropped > 0 {
            let count = thousands(batch.dropped);
            let why = "the reader of the log stalled, or its disk was full";
            let message = format!("{LOG_LINES_LOST}: {count} lines were not written: {why}");
            let mut line = Line::new(Level::WARN, TARGET, Some(LOG_LINES_LOST), message);
            line.fields.push(("count", Shown::Plain(batch.dropped.into())));
            batch.bytes.extend(self.format.line(&line).bytes());
        }
    }

    /// The last lines are written, if the reader takes them.
    pub(super) fn close(&self) {
        self.queue.close(LAST_LINES);
    }

    fn write(&self, line: &Line) {
        // Who asks for details wants all of them.
        if line.level <= Level::INFO {
            let key = Key {
                word: line.word.as_ref().unwrap_or(&line.target).clone(),
                switch: line.text(&["switch"]).unwrap_or_default().to_owned(),
                reason: line.text(&["reason", "cause"]).unwrap_or_default().to_owned(),
            };
            if !self.floods().admit(Instant::now(), key, line.level, &line.message) {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.queue.push(&self.format.line(line), line.level <= Level::WARN);
    }

    fn floods(&self) -> MutexGuard<'_, Floods> {
        self.floods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layer of a subscriber.
#[derive(Clone, Debug)]
pub(super) struct Lines(pub(super) Arc<Journal>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.write(&Line::of(event));
    }
}

fn summarise(summary: &Summary) -> Line {
    let Summary {
        key,
        level,
        count,
        seconds,
    } = summary;
    let message = format!("{}: ... and {} more in {seconds} s", key.word, thousands(*count));
    let mut line = Line::new(*level, TARGET, Some(&key.word), message);
    for (name, text) in [("switch", &key.switch), ("reason", &key.reason)] {
        if !text.is_empty() {
            line.fields.push((name, Shown::Quoted(text.clone())));
        }
    }
    line.fields.push(("count", Shown::Plain((*count).into())));
    line
}

/// `1,999`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_one_line_with_its_word_switch_and_number() {
        let journal = Journal::default();
        let mut line = Line::new(Level::WARN, TARGET, Some("Repaired"), "Repaired: a row".into());
        line.fields.push(("switch", Shown::Quoted("tor1".into())));
        (0..2009).for_each(|_| journal.write(&line));
        let mut batch = journal.queue.take(Duration::ZERO);
        batch.last = true;
        journal.complete(&mut batch);
        let text = String::from_utf8(batch.bytes).expect("text");
        assert_eq!(text.lines().count(), 11, "{text}");
        let last = text.lines().last().unwrap_or_default();
        assert!(
            last.ends_with(" WARN tandem: Repaired: ... and 1,999 more in 1 s switch=\"tor1\" count=1999"),
            "{last}"
        );
        assert_eq!(journal.counts().left_out, 1999);
    }

    #[test]
    fn details_are_never_left_out() {
        let journal = Journal::default();
        let line = Line::new(Level::DEBUG, TARGET, Some("Exported"), "Exported: a route".into());
        (0..500).for_each(|_| journal.write(&line));
        let batch = journal.queue.take(Duration::ZERO);
        assert_eq!(String::from_utf8(batch.bytes).expect("text").lines().count(), 500);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(thousands),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
