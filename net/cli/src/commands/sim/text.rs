//! What a terminal shows: lines of bounded length, and simulated time.

use std::io::{self, Write};

use tandem_core::Time;

/// Columns of a line.
pub(super) const COLUMNS: usize = 100;

/// A text in lines that begin like this and, where their words are short enough, have at most a hundred columns.
pub(super) fn wrapped(out: &mut dyn Write, indent: &str, text: &str) -> io::Result<()> {
    for line in lines(text, COLUMNS.saturating_sub(indent.len())) {
        writeln!(out, "{indent}{line}")?;
    }
    Ok(())
}

/// Simulated time in seconds, to the millisecond.
pub(super) fn time(at: Time) -> String {
    seconds(at.micros())
}

/// Microseconds as seconds, to the millisecond.
pub(super) fn seconds(micros: u64) -> String {
    format!("{}.{:03} s", micros / 1_000_000, micros / 1000 % 1000)
}

/// A text in lines of at most so many columns, where its words are short enough.
pub(super) fn lines(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_kept_whole() {
        assert_eq!(lines("a bb ccc dddddddd e", 4), ["a bb", "ccc", "dddddddd", "e"]);
        assert_eq!(lines("", 4), Vec::<String>::new());
    }
}
