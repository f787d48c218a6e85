//! Refused connections: all are counted, and logged at a bounded rate.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::HANDSHAKE_REFUSED;
use crate::tls::{Cause, Refusal};

/// Connections by outcome, since the listener was opened.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    refused: [AtomicU64; CAUSES],
}

impl Counters {
    /// Successful handshakes.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections refused for this cause. `Cause::Accept` counts failures to accept at all.
    pub fn refused(&self, cause: Cause) -> u64 {
        self.of(cause).load(Ordering::Relaxed)
    }

    /// Counters with this many successful handshakes, and refusals for one cause.
    #[cfg(test)]
    pub(crate) fn sample(accepted: u64, cause: Cause, refused: u64) -> Arc<Self> {
        let counters = Self::default();
        counters.accepted.store(accepted, Ordering::Relaxed);
        counters.of(cause).store(refused, Ordering::Relaxed);
        Arc::new(counters)
    }

    pub(super) fn count_accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, cause: Cause) -> &AtomicU64 {
        // In range by construction: one entry for each cause.
        &self.refused[cause as usize]
    }
}

/// Counts refusals, and logs a bounded number of them.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    pub(super) counters: Arc<Counters>,
    windows: [Mutex<Window>; CAUSES],
}

impl Refusals {
    /// Logs one line, `warn` with a fault and `debug` for a probe; at most [`LINES_PER_MINUTE`] per cause.
    pub(super) fn note(&self, address: SocketAddr, refusal: &Refusal) {
        let cause = refusal.cause;
        self.counters.of(cause).fetch_add(1, Ordering::Relaxed);
        let window = self.windows.get(cause as usize);
        let lines = window.map(|w| w.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(suppressed) = lines.and_then(|mut window| window.admit(Instant::now())) else {
            return;
        };
        let what = &refusal.what;
        match cause.fault() {
            None => tracing::debug!(
                target: "tandem::tls", peer = %address, cause = cause.label(), suppressed,
                "{HANDSHAKE_REFUSED}: connection refused: {what}"
            ),
            Some(fault) => tracing::warn!(
                target: "tandem::tls", peer = %address, cause = cause.label(), %fault, suppressed,
                "{HANDSHAKE_REFUSED}: connection refused: {what}"
            ),
        }
    }
}

/// Lines per cause. Further refusals are counted, and the next line has their number.
const LINES_PER_MINUTE: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
const CAUSES: usize = Cause::ALL.len();

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl Window {
    /// `Some(number suppressed before)` if a line may be logged.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.began.is_none_or(|began| now.duration_since(began) >= MINUTE) {
            self.began = Some(now);
            self.lines = 0;
        }
        if self.lines == LINES_PER_MINUTE {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_logs_ten_lines_a_minute_and_the_number_of_suppressed_ones() {
        let mut window = Window::default();
        let start = Instant::now();
        let written = (0..1000).filter_map(|_| window.admit(start)).count();
        assert_eq!(written, 10);
        assert_eq!(window.admit(start + MINUTE), Some(990));
        assert_eq!(window.admit(start + MINUTE), Some(0));
    }

    #[test]
    fn one_cause_does_not_suppress_another() {
        let refusals = Refusals::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        for _ in 0..100 {
            refusals.note(address, &Refusal::new(Cause::NotTls, "garbage"));
        }
        refusals.note(address, &Refusal::new(Cause::Expired, "late"));
        assert_eq!(refusals.counters.refused(Cause::NotTls), 100);
        assert_eq!(refusals.counters.refused(Cause::Expired), 1);
        let window = refusals.windows[Cause::Expired as usize].lock().expect("unpoisoned");
        assert_eq!(window.lines, 1);
    }
}
