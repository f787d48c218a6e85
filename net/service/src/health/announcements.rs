//! The proxies that poll, and the last grade that each received.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tandem_core::Time;
use tandem_core::bounds::UNDO_DRAIN;
use tandem_core::health::{Grade, Undo};
use tokio::sync::Notify;

/// The last grade that each proxy received. A proxy is identified by its address: it polls from a new port each time.
#[derive(Debug)]
pub struct Announcements {
    /// The origin of the times of [`Undo`].
    started: Instant,
    undo_drain: Duration,
    proxies: Mutex<BTreeMap<IpAddr, Proxy>>,
    changed: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Proxy {
    polled: Instant,
    received: Option<Grade>,
    undo: Undo,
}

/// A proxy that has not polled for this long has gone.
const POLLS: Duration = Duration::from_secs(60);

/// Proxies that are remembered; beyond that, the one that polled least recently is forgotten.
const PROXIES_MAX: usize = 256;

impl Default for Announcements {
    fn default() -> Self {
        Self::undoing_for(UNDO_DRAIN)
    }
}

impl Announcements {
    /// Of an agent that undoes drains for this long after the first answer that a proxy fetched.
    pub fn undoing_for(undo_drain: Duration) -> Self {
        Self {
            started: Instant::now(),
            undo_drain,
            proxies: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Waits until each proxy that polled in the last minute has received this grade.
    ///
    /// # Errors
    /// The proxies that have not received it within `limit`.
    pub async fn wait_for(&self, grade: Grade, limit: Duration) -> Result<(), Vec<IpAddr>> {
        let started = Instant::now();
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                // Registered before the check, so that no change between the two is missed.
                changed.as_mut().enable();
                if self.pending(grade, started).is_empty() {
                    return;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(limit, wait).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.pending(grade, started)),
        }
    }

    /// The proxies that polled in the minute before `now`, or later, and last received another grade.
    pub fn pending(&self, grade: Grade, now: Instant) -> Vec<IpAddr> {
        let polls = |proxy: &Proxy| now.saturating_duration_since(proxy.polled) <= POLLS;
        self.proxies()
            .iter()
            .filter(|(_, proxy)| polls(proxy) && proxy.received != Some(grade))
            .map(|(address, _)| *address)
            .collect()
    }

    /// A proxy polls: returns the line for it.
    pub(super) fn polled(&self, address: IpAddr, grade: Grade, now: Instant) -> &'static str {
        let mut proxies = self.proxies();
        let fresh = Proxy {
            polled: now,
            received: None,
            undo: Undo::default(),
        };
        let proxy = proxies.entry(address).or_insert(fresh);
        proxy.polled = now;
        let text = proxy.undo.agent_check_text(self.time(now), grade);
        if proxies.len() > PROXIES_MAX {
            let oldest = proxies
                .iter()
                .min_by_key(|(_, proxy)| proxy.polled)
                .map(|(address, _)| *address);
            oldest.and_then(|oldest| proxies.remove(&oldest));
        }
        text
    }

    /// It has fetched the answer.
    pub(super) fn fetched(&self, address: IpAddr, grade: Grade, now: Instant) {
        if let Some(proxy) = self.proxies().get_mut(&address) {
            (proxy.polled, proxy.received) = (now, Some(grade));
            proxy.undo.fetched(self.time(now), grade, self.undo_drain);
        }
        self.changed.notify_waiters();
    }

    fn time(&self, now: Instant) -> Time {
        Time::ORIGIN + now.saturating_duration_since(self.started)
    }

    fn proxies(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Proxy>> {
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
