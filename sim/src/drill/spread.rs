//! The spread of the times of many runs.

use std::time::Duration;

use serde::Serialize;

/// In microseconds: half of the runs took no longer, 99 of a hundred, and all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Spread {
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

impl Spread {
    /// Of these times; zeros of none.
    pub fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        let percentile = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times.get(rank - 1).copied().unwrap_or_default()
        };
        Self {
            p50: percentile(50),
            p99: percentile(99),
            max: percentile(100),
        }
    }
}

/// A time in microseconds.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_time_that_so_many_of_a_hundred_do_not_exceed() {
        let (p50, p99, max) = (100, 198, 200);
        assert_eq!(Spread::of((1..=200).rev().collect()), Spread { p50, p99, max });
        assert_eq!(Spread::of(vec![7]), Spread { p50: 7, p99: 7, max: 7 });
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }
}
