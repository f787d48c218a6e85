//! Which proxies ask, and what each was told last.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tandem_core::health::Grade;
use tokio::sync::Notify;

/// What each proxy was told last. A proxy is known by its address: it asks from a new port each time.
#[derive(Debug, Default)]
pub struct Announcements {
    proxies: Mutex<BTreeMap<IpAddr, Proxy>>,
    news: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Proxy {
    polled: Instant,
    told: Option<Grade>,
}

/// A proxy that has not asked for this long asks no more.
const POLLS: Duration = Duration::from_secs(60);

/// Proxies that are remembered; beyond, the one that has not asked for longest is forgotten.
const PROXIES_MAX: usize = 256;

impl Announcements {
    /// Waits until every proxy that polled in the last minute was told this grade.
    ///
    /// # Errors
    /// The proxies that were not told within `limit`.
    pub async fn everyone_told(&self, grade: Grade, limit: Duration) -> Result<(), Vec<IpAddr>> {
        let started = Instant::now();
        let wait = async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                // Registered before looking, so that news between the two are not missed.
                news.as_mut().enable();
                if self.untold(grade, started).is_empty() {
                    return;
                }
                news.await;
            }
        };
        match tokio::time::timeout(limit, wait).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.untold(grade, started)),
        }
    }

    /// The proxies that polled in the minute before `now`, or later, and were last told something else.
    pub fn untold(&self, grade: Grade, now: Instant) -> Vec<IpAddr> {
        let polls = |proxy: &Proxy| now.saturating_duration_since(proxy.polled) <= POLLS;
        self.proxies()
            .iter()
            .filter(|(_, proxy)| polls(proxy) && proxy.told != Some(grade))
            .map(|(address, _)| *address)
            .collect()
    }

    /// A proxy asks.
    pub(super) fn polled(&self, address: IpAddr, now: Instant) {
        let mut proxies = self.proxies();
        let told = proxies.get(&address).and_then(|proxy| proxy.told);
        proxies.insert(address, Proxy { polled: now, told });
        if proxies.len() > PROXIES_MAX {
            let oldest = proxies
                .iter()
                .min_by_key(|(_, proxy)| proxy.polled)
                .map(|(address, _)| *address);
            oldest.and_then(|oldest| proxies.remove(&oldest));
        }
    }

    /// It has fetched the answer.
    pub(super) fn told(&self, address: IpAddr, grade: Grade, now: Instant) {
        if let Some(proxy) = self.proxies().get_mut(&address) {
            *proxy = Proxy {
                polled: now,
                told: Some(grade),
            };
        }
        self.news.notify_waiters();
    }

    fn proxies(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Proxy>> {
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
