//! Deletions of the last minute, for the brake.

use std::collections::VecDeque;
use std::time::Duration;

use crate::bounds::BRAKE_WINDOW;
use crate::time::Time;

/// Deletions within [`BRAKE_WINDOW`], by the end of their second.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    by_second: VecDeque<(Time, usize)>,
    count: usize,
}

impl Recent {
    const BUCKET: Duration = Duration::from_secs(1);

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn add(&mut self, now: Time, deletions: usize) {
        self.count += deletions;
        match self.by_second.back_mut() {
            Some((end, count)) if now < *end => *count += deletions,
            _ => self.by_second.push_back((now + Self::BUCKET, deletions)),
        }
    }

    pub(super) fn forget(&mut self, now: Time) {
        while let Some((_, count)) = self.by_second.pop_front_if(|(end, _)| *end + BRAKE_WINDOW <= now) {
            self.count -= count;
        }
    }

    /// When the first of them are forgotten.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.by_second.front().map(|(end, _)| *end + BRAKE_WINDOW)
    }
}
