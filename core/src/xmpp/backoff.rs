//! When to dial again.

use std::time::Duration;

/// The pauses between attempts; the last is that of all further ones.
const PAUSES: [Duration; 7] = [
    Duration::from_millis(50),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(30),
];

/// Counts the attempts that came to nothing.
#[derive(Clone, Debug)]
pub struct Backoff {
    attempts: usize,
    /// The time that a session must have lasted for its end to count as a first failure.
    proven: Duration,
    random: SplitMix,
}

impl Backoff {
    /// For sessions whose keepalive is due in this interval. The seed makes that not all agents dial at one time.
    pub fn new(seed: u64, keepalive: Duration) -> Self {
        Self {
            attempts: 0,
            proven: keepalive * 3,
            random: SplitMix(seed),
        }
    }

    /// An attempt failed, or the session that it brought ended after `up`: how long to wait before the next.
    pub fn pause(&mut self, up: Duration) -> Duration {
        if up >= self.proven {
            self.attempts = 0;
        }
        let [.., last] = PAUSES;
        let pause = PAUSES.get(self.attempts).copied().unwrap_or(last);
        self.attempts = self.attempts.saturating_add(1);
        // From nine tenths to eleven, in thousandths.
        let share = 900 + u32::try_from(self.random.next() % 201).unwrap_or_default();
        pause * share / 1000
    }
}

/// A small deterministic generator: the one that Java calls `SplittableRandom`.
#[derive(Clone, Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEPALIVE: Duration = Duration::from_secs(30);

    #[test]
    fn pauses_grow_to_thirty_seconds_with_a_tenth_of_jitter() {
        for seed in 0..100 {
            let mut backoff = Backoff::new(seed, KEEPALIVE);
            for wanted in [50, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000] {
                let pause = backoff.pause(Duration::ZERO).as_millis();
                assert!(
                    (wanted * 9 / 10..=wanted * 11 / 10).contains(&pause),
                    "{pause} ms for {wanted}"
                );
            }
        }
    }

    #[test]
    fn agents_with_different_seeds_do_not_dial_together_and_with_equal_ones_they_do() {
        let pauses = |seed| {
            let mut backoff = Backoff::new(seed, KEEPALIVE);
            [(); 8].map(|()| backoff.pause(Duration::ZERO))
        };
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }

    #[test]
    fn only_a_session_that_lasted_three_keepalives_begins_anew() {
        let mut backoff = Backoff::new(7, KEEPALIVE);
        for _ in 0..4 {
            backoff.pause(Duration::ZERO);
        }
        assert!(backoff.pause(Duration::from_secs(89)) > Duration::from_secs(7));
        assert!(backoff.pause(Duration::from_secs(90)) < Duration::from_millis(56));
        assert!(backoff.pause(Duration::ZERO) < Duration::from_millis(1101));
    }
}
