//! Looks that are taken once in a while, though nothing may have happened.

use std::time::Duration;

use tandem_core::Time;

/// From one look to the next.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// When to look next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tick {
    next: Time,
}

impl Tick {
    /// Whether it is time to look.
    pub(super) fn take(&mut self, now: Time) -> bool {
        self.take_every(EVERY, now)
    }

    /// The same, with another pause until the next look.
    pub(super) fn take_every(&mut self, pause: Duration, now: Time) -> bool {
        let due = self.next <= now;
        if due {
            self.next = now + pause;
        }
        due
    }

    pub(super) fn due(&self) -> Option<Time> {
        Some(self.next)
    }
}
