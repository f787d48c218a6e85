//! Time as the machines know it: a number that the driver hands in.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Microseconds since an origin that the driver chose.
///
/// It never comes from a clock in this crate, and it never goes backwards between two calls of one machine.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The driver's origin.
    pub const ORIGIN: Self = Self(0);

    /// The time that lies `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The time since `earlier`; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Saturates at the end of time, some 584,000 years after the origin.
    fn add(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    /// Saturates at the origin.
    fn sub(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// When a machine wants to be called again, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deadline<W> {
    /// Call `handle(now, Timeout)` once `now` has reached this.
    pub at: Time,
    /// The reason: for traces, never for decisions of the driver.
    pub why: W,
}

impl<W> Deadline<W> {
    /// The earlier of two deadlines; the first, if they are equal.
    pub fn earlier(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    /// The earliest of some optional deadlines; the first of equals.
    pub fn earliest(all: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        all.into_iter().flatten().reduce(Self::earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_saturates_instead_of_wrapping() {
        let end = Time::from_micros(u64::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(Time::ORIGIN - Duration::from_secs(1), Time::ORIGIN);
        assert_eq!(Time::ORIGIN.since(end), Duration::ZERO);
    }

    #[test]
    fn the_earliest_deadline_wins_and_the_first_of_equals() {
        let at = |seconds, why| {
            Some(Deadline {
                at: Time::ORIGIN + Duration::from_secs(seconds),
                why,
            })
        };
        let first = Deadline::earliest([at(2, "a"), None, at(1, "b"), at(1, "c")]);
        assert_eq!(first.map(|deadline| deadline.why), Some("b"));
    }
}
