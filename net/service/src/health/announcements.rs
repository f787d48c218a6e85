//! The proxies that poll, and the last grade that each received.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tandem_core::health::Grade;
use tokio::sync::Notify;

/// The last grade that each proxy received. A proxy is identified by its address: it polls from a new port each time.
#[derive(Debug, Default)]
pub struct Announcements {
    proxies: Mutex<BTreeMap<IpAddr, Proxy>>,
    changed: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Proxy {
    polled: Instant,
    received: Option<Grade>,
}

/// A proxy that has not polled for this long has gone.
const POLLS: Duration = Duration::from_secs(60);

/// Proxies that are remembered; beyond that, the one that polled least recently is forgotten.
const PROXIES_MAX: usize = 256;

impl Announcements {
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

    /// A proxy polls.
    pub(super) fn polled(&self, address: IpAddr, now: Instant) {
        let mut proxies = self.proxies();
        let received = proxies.get(&address).and_then(|proxy| proxy.received);
        proxies.insert(address, Proxy { polled: now, received });
        if proxies.len() > PROXIES_MAX {
            let oldest = proxies
                .iter()
                .min_by_key(|(_, proxy)| proxy.polled)
                .map(|(address, _)| *address);
            oldest.and_then(|oldest| proxies.remove(&oldest));
        }
    }

    /// It has fetched the answer.
    pub(super) fn fetched(&self, address: IpAddr, grade: Grade, now: Instant) {
        if let Some(proxy) = self.proxies().get_mut(&address) {
            *proxy = Proxy {
                polled: now,
                received: Some(grade),
            };
        }
        self.changed.notify_waiters();
    }

    fn proxies(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Proxy>> {
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
