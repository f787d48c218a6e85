//! Reads an input as a list of small choices. Every input is a valid one, and one of letters and digits can be
//! written by hand.

use std::time::Duration;

/// The rest of an input.
pub(crate) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A digit is its value; at the end of the input, 0.
    pub(crate) fn number(&mut self) -> u8 {
        self.byte().unwrap_or(b'0') & 0x3f ^ 0x30
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.number()) % of.len()]
    }

    /// From nothing at all to more than any deadline.
    pub(crate) fn span(&mut self) -> Duration {
        let ms = [1, 10, 100, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000, 180_000, 0];
        Duration::from_millis(self.pick(&ms))
    }

    /// Bytes up to the end of the line.
    pub(crate) fn line(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == b'\n').unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        line
    }
}
