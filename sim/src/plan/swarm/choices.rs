//! What can be drawn.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::plan::Span;

/// A source of choices, the same ones for the same seed.
pub(super) struct Choices(pub(super) ChaCha8Rng);

impl Choices {
    /// The choices of a seed, from one of its streams.
    pub(super) fn of(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// Any of `least` to `most`, both included, with the same chance.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        let width = u128::from(most.saturating_sub(least)) + 1;
        // The high half of a product: no division, and no bias that could matter.
        let offset = (u128::from(self.0.next_u64()) * width) >> 64;
        least + u64::try_from(offset).unwrap_or(0)
    }

    /// As `between`, for counts.
    pub(super) fn count(&mut self, least: usize, most: usize) -> usize {
        usize::try_from(self.between(least as u64, most as u64)).unwrap_or(least)
    }

    /// True this often in a hundred.
    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.between(1, 100) <= chance
    }

    /// One of them, with the same chance. There must be one.
    pub(super) fn one<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let index = self.count(0, of.len().saturating_sub(1));
        of.get(index).copied()
    }

    /// One item of a list that gives the weight of each, in any unit.
    pub(super) fn weighted<T: Copy, const N: usize>(&mut self, of: [(u64, T); N]) -> T {
        const { assert!(N > 0) };
        let all: u64 = of.iter().map(|(weight, _)| weight).sum();
        let mut left = self.between(1, all);
        for (weight, what) in of {
            if left <= weight {
                return what;
            }
            left -= weight;
        }
        of[0].1
    }

    /// As `between`, but each doubling has the same chance: few most often, many at times.
    pub(super) fn scale(&mut self, least: u64, most: u64) -> u64 {
        let least = least.max(1);
        let doublings = (most / least).max(1).ilog2();
        let low = least << self.between(0, u64::from(doublings));
        self.between(low, most.min(low * 2 - 1).max(low))
    }

    /// A span by scale, with two or three digits, so that it is easy to read.
    pub(super) fn span(&mut self, least: Span, most: Span) -> Span {
        let micros = self.scale(least.as_micros(), most.as_micros());
        let unit = 10_u64.pow(micros.max(1).ilog10().saturating_sub(2));
        Span::micros(micros / unit * unit)
    }

    /// The same, in another order.
    pub(super) fn shuffled<T>(&mut self, mut of: Vec<T>) -> Vec<T> {
        for index in (1..of.len()).rev() {
            let other = self.count(0, index);
            of.swap(index, other);
        }
        of
    }
}
