//! The way from one host to another, one direction: how long it takes, and whether anything gets through.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tandem_core::Time;

/// One direction between two hosts. Faults overlap, so each is counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    cuts: u32,
    jams: u32,
    slow: Vec<u32>,
    /// When the last arrives that went while it was slow.
    late: Time,
}

/// What a path suffers from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// What is sent is lost. TCP sends it again, ever more rarely.
    Cut,
    /// What is sent waits, and arrives when the trouble is over.
    Jam,
    /// Everything takes this many times as long.
    Slow(u32),
}

impl Path {
    pub(super) fn begin(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Cut => self.cuts += 1,
            Trouble::Jam => self.jams += 1,
            Trouble::Slow(times) => self.slow.push(times),
        }
    }

    pub(super) fn end(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Cut => self.cuts = self.cuts.saturating_sub(1),
            Trouble::Jam => self.jams = self.jams.saturating_sub(1),
            Trouble::Slow(times) => {
                if let Some(index) = self.slow.iter().position(|slow| *slow == times) {
                    self.slow.remove(index);
                }
            }
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.cuts == 0 && self.jams == 0
    }

    pub(super) fn is_calm(&self) -> bool {
        self.is_open() && self.slow.is_empty()
    }

    /// Whether nothing is in the way, and nothing that was slow is still on it.
    pub(super) fn is_clear(&self, now: Time) -> bool {
        self.is_calm() && self.late <= now
    }

    /// When the next piece arrives that goes now.
    pub(super) fn arrival(&mut self, now: Time, [least, most]: [Duration; 2], random: &mut ChaCha8Rng) -> Time {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let (least, most) = (micros(least), micros(most).max(micros(least)));
        let drawn = Duration::from_micros(random.random_range(least..=most));
        let at = now + drawn * self.slow.iter().copied().max().unwrap_or(1).max(1);
        if !self.slow.is_empty() {
            self.late = self.late.max(at);
        }
        at
    }
}
