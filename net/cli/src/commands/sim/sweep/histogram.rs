//! Many times in little room, to ask for percentiles.

use std::collections::BTreeMap;

/// Counts of values, exact below 128 and to 1.6 % above; the greatest is exact.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// By the greatest value that falls into each.
    buckets: BTreeMap<u64, u64>,
    count: u64,
    max: u64,
}

/// Bits of a value that are kept.
const BITS: u32 = 6;

impl Histogram {
    pub(super) fn add(&mut self, value: u64) {
        *self.buckets.entry(bucket(value)).or_default() += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// The value that so many of a hundred do not exceed; 0 of none.
    pub(super) fn percentile(&self, percent: u64) -> u64 {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let reached = self.buckets.iter().find(|(_, number)| {
            seen += **number;
            seen >= rank
        });
        reached.map_or(0, |(greatest, _)| *greatest).min(self.max)
    }
}

fn bucket(value: u64) -> u64 {
    let dropped = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    value | ((1 << dropped) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_of_few_values_are_those_values() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50), 0);
        (1..=100).rev().for_each(|value| histogram.add(value));
        assert_eq!(
            [50, 99, 100].map(|percent| histogram.percentile(percent)),
            [50, 99, 100]
        );
        histogram.add(1_000_003);
        assert_eq!((histogram.max(), histogram.percentile(100)), (1_000_003, 1_000_003));
    }

    proptest! {
        #[test]
        fn a_percentile_is_near_the_true_one(mut values in prop::collection::vec(0_u64..10_000_000_000, 1..300), percent in 1_u64..=100) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.add(*value));
            values.sort_unstable();
            let rank = (values.len() * percent as usize).div_ceil(100).max(1);
            let (right, answered) = (values[rank - 1], histogram.percentile(percent));
            prop_assert!(right <= answered && answered <= right + right / 64, "{answered} for {right}");
        }
    }
}
