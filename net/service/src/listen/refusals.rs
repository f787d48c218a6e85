//! Refused connections, counted by cause.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

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

    pub(crate) fn count_accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_refused(&self, cause: Cause) {
        self.of(cause).fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, cause: Cause) -> &AtomicU64 {
        // In range by construction: one entry for each cause.
        &self.refused[cause as usize]
    }
}

const CAUSES: usize = Cause::ALL.len();

/// Counts refusals, and logs them.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    pub(super) counters: Arc<Counters>,
    /// Handshakes that failed for a reason that may be ours. Several at one time may be received as one.
    pub(super) failed: watch::Sender<u64>,
}

impl Refusals {
    /// Logs one line, `warn` with a fault and `debug` for a probe.
    pub(super) fn note(&self, address: SocketAddr, refusal: &Refusal) {
        let (word, cause, what) = (HANDSHAKE_REFUSED, refusal.cause, &refusal.what);
        self.counters.count_refused(cause);
        if cause.may_be_ours() {
            self.failed.send_modify(|failed| *failed += 1);
        }
        match cause.fault() {
            None => tracing::debug!(
                target: "tandem::tls", word, peer = %address, cause = cause.label(), "{word}: connection refused: {what}"
            ),
            Some(fault) => tracing::warn!(
                target: "tandem::tls", word, peer = %address, cause = cause.label(), %fault, "{word}: connection refused: {what}"
            ),
        }
    }
}
