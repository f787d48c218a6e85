//! Which proxies ask, and what each was fetched last: a drain waits until all of them know.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use tandem_core::Time;
use tandem_core::bounds::UNDO_DRAIN;
use tandem_core::health::{Grade, Undo};

/// A proxy that has not asked for this long asks no more.
const POLLS: Duration = Duration::from_secs(60);

/// The proxies, by address: each asks from a new port every time.
#[derive(Clone, Debug, Default)]
pub(super) struct Announcements {
    proxies: BTreeMap<Ipv4Addr, Proxy>,
    /// The grade that every proxy is to fetch, and since when. The agent itself ends a wait that takes too long.
    awaited: Option<(Time, Grade)>,
}

#[derive(Clone, Copy, Debug)]
struct Proxy {
    polled: Time,
    fetched: Option<Grade>,
    undo: Undo,
}

impl Announcements {
    /// A proxy asks.
    pub(super) fn polled(&mut self, now: Time, from: Ipv4Addr) {
        self.proxy(now, from);
    }

    /// A proxy asks, and fetches the answer of this grade.
    pub(super) fn fetch(&mut self, now: Time, from: Ipv4Addr, grade: Grade) -> &'static str {
        let proxy = self.proxy(now, from);
        proxy.fetched = Some(grade);
        let text = proxy.undo.agent_check_text(now, grade);
        proxy.undo.fetched(now, grade, UNDO_DRAIN);
        text
    }

    fn proxy(&mut self, now: Time, from: Ipv4Addr) -> &mut Proxy {
        let fresh = Proxy {
            polled: now,
            fetched: None,
            undo: Undo::default(),
        };
        let proxy = self.proxies.entry(from).or_insert(fresh);
        proxy.polled = now;
        proxy
    }

    /// From now on, waits until every proxy has fetched this grade.
    pub(super) fn begin(&mut self, now: Time, grade: Grade) {
        self.awaited = Some((now, grade));
    }

    /// Whether every proxy has fetched it; true once.
    pub(super) fn take_announced(&mut self) -> bool {
        let Some((since, grade)) = self.awaited else {
            return false;
        };
        let polls = |proxy: &Proxy| since.since(proxy.polled) <= POLLS;
        let knows = |proxy: &Proxy| proxy.fetched == Some(grade);
        let announced = self.proxies.values().all(|proxy| knows(proxy) || !polls(proxy));
        if announced {
            self.awaited = None;
        }
        announced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn second(n: u64) -> Time {
        Time::ORIGIN + Duration::from_secs(n)
    }

    #[test]
    fn every_proxy_that_polled_in_the_last_minute_must_fetch_the_grade() {
        let mut announcements = Announcements::default();
        for proxy in [ONE, OTHER] {
            announcements.fetch(second(0), proxy, Grade::Fit);
        }
        announcements.begin(second(60), Grade::Draining);
        announcements.fetch(second(61), ONE, Grade::Draining);
        assert!(!announcements.take_announced(), "the other does not know");
        announcements.fetch(second(62), OTHER, Grade::Draining);
        assert!(announcements.take_announced());
        assert!(!announcements.take_announced(), "once");
    }

    #[test]
    fn a_drain_waits_for_a_proxy_that_polls_unseen_and_not_for_one_that_is_gone() {
        let mut announcements = Announcements::default();
        announcements.fetch(second(0), ONE, Grade::Fit);
        let mut gone = announcements.clone();
        gone.begin(second(61), Grade::Draining);
        assert!(gone.take_announced());
        announcements.polled(second(61), ONE);
        announcements.begin(second(61), Grade::Draining);
        assert!(!announcements.take_announced());
    }
}
