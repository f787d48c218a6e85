//! The clock of a node.

use tandem_core::Time;

/// A clock that may go wrong by some millionths, and never goes backwards.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    ppm: i32,
    /// The last change, in the world's time and in the clock's own.
    world: Time,
    own: Time,
}

impl Clock {
    /// From now on it goes wrong by this much.
    pub(super) fn drift(&mut self, now: Time, ppm: i32) {
        *self = Self {
            ppm,
            world: now,
            own: self.read(now),
        };
    }

    /// What it shows.
    pub(super) fn read(&self, now: Time) -> Time {
        let passed = now.since(self.world).as_micros();
        self.own + micros(passed, 1_000_000, self.ppm)
    }

    /// When it will show at least this.
    pub(super) fn when(&self, shown: Time) -> Time {
        if self.ppm == 0 {
            return self.world + shown.since(self.own);
        }
        let left = shown.since(self.own).as_micros();
        let rate = u128::try_from(1_000_000 + i64::from(self.ppm)).unwrap_or(1).max(1);
        let passed = (left * 1_000_000).div_ceil(rate);
        self.world + std::time::Duration::from_micros(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

fn micros(passed: u128, million: i64, ppm: i32) -> std::time::Duration {
    let rate = u128::try_from(million + i64::from(ppm)).unwrap_or(1);
    std::time::Duration::from_micros(u64::try_from(passed * rate / 1_000_000).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_when_the_clock_shows_it_and_not_earlier() {
        for ppm in [0, 200, -200, 100_000, -100_000] {
            let mut clock = Clock::default();
            clock.drift(Time::from_micros(1_000_003), ppm);
            for shown in [1_000_004, 1_500_000, 77_777_777, 3_600_000_000] {
                let at = clock.when(Time::from_micros(shown));
                assert!(clock.read(at).micros() >= shown, "{ppm} {shown}");
                let before = Time::from_micros(at.micros() - 1);
                assert!(clock.read(before).micros() < shown, "{ppm} {shown}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_right_does_not_jump() {
        let mut clock = Clock::default();
        clock.drift(Time::ORIGIN, 500);
        let before = clock.read(Time::from_micros(2_000_000));
        clock.drift(Time::from_micros(2_000_000), 0);
        assert_eq!(clock.read(Time::from_micros(2_000_000)), before);
        assert_eq!(before.micros(), 2_001_000);
    }
}
