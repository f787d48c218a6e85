//! One late look at the worker is not a hang: only two in a row at the same step are, or a step that lasts very long.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{HANG, STEP};

/// What the last looks found.
#[derive(Debug, Default)]
pub struct Looks(Mutex<Option<Late>>);

/// A step that was late at a look.
#[derive(Clone, Copy, Debug)]
struct Late {
    /// When it began.
    begun: Instant,
    /// The first look that found it late.
    seen: Instant,
}

/// Two looks compute the beginning of the same step that exactly.
const SAME: Duration = Duration::from_millis(20);

impl Looks {
    /// Whether the worker hangs, whose longest step has taken so long at this look. Looks of several proxies at one time
    /// count as one.
    pub fn find_hang(&self, now: Instant, step: Duration) -> bool {
        let mut late = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = now.checked_sub(step).unwrap_or(now);
        let is_same = |late: &Late| begun.max(late.begun) - begun.min(late.begun) <= SAME;
        match *late {
            _ if step < STEP => {
                *late = None;
                false
            }
            _ if step >= HANG => true,
            Some(before) if is_same(&before) => now.duration_since(before.seen) >= STEP,
            Some(_) | None => {
                *late = Some(Late { begun, seen: now });
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What looks find of a step that began at some time, at these times, in milliseconds.
    fn found(looks: &Looks, origin: Instant, begun: u64, at: &[u64]) -> Vec<bool> {
        let after = Duration::from_millis;
        let look = |at: &u64| looks.find_hang(origin + after(*at), after(at - begun));
        at.iter().map(look).collect()
    }

    #[test]
    fn one_late_look_is_no_hang_and_two_in_a_row_are() {
        let (looks, origin) = (Looks::default(), Instant::now());
        let at = [0, 200, 400, 401, 600, 800];
        let hangs = [false, false, false, false, false, true];
        assert_eq!(found(&looks, origin, 0, &at), hangs, "a proxy that looks every 200 ms");
        assert_eq!(
            found(&looks, origin, 900, &[1000, 1300]),
            [false, false],
            "another step"
        );
    }

    #[test]
    fn steps_that_are_late_one_after_the_other_are_no_hang() {
        let (looks, origin) = (Looks::default(), Instant::now());
        for begun in (0..10_000).step_by(400) {
            assert_eq!(found(&looks, origin, begun, &[begun + 300]), [false]);
        }
    }

    #[test]
    fn a_step_that_lasts_very_long_is_a_hang_at_the_first_look() {
        let (looks, origin) = (Looks::default(), Instant::now());
        assert_eq!(found(&looks, origin, 0, &[1000]), [true]);
    }
}
