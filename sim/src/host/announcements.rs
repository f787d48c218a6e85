//! Which proxies ask, and what each was fetched last: a drain waits until all of them know.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use tandem_core::Time;
use tandem_core::health::Grade;

/// A proxy that has not asked for this long asks no more.
const POLLS: Duration = Duration::from_secs(60);

/// The proxies, by address: each asks from a new port every time.
#[derive(Clone, Debug, Default)]
pub(super) struct Announcements {
    proxies: BTreeMap<Ipv4Addr, Proxy>,
    /// What everybody is to know, and since when. The agent itself ends a wait that takes too long.
    awaited: Option<(Time, Grade)>,
}

#[derive(Clone, Copy, Debug)]
struct Proxy {
    polled: Time,
    fetched: Option<Grade>,
}

impl Announcements {
    /// A proxy asks.
    pub(super) fn polled(&mut self, now: Time, from: Ipv4Addr) {
        let fresh = Proxy {
            polled: now,
            fetched: None,
        };
        self.proxies.entry(from).or_insert(fresh).polled = now;
    }

    /// A proxy has asked, and was fetched this.
    pub(super) fn fetched(&mut self, now: Time, from: Ipv4Addr, grade: Grade) {
        let fetched = Some(grade);
        self.proxies.insert(from, Proxy { polled: now, fetched });
    }

    /// From now on everybody is to know this.
    pub(super) fn begin(&mut self, now: Time, grade: Grade) {
        self.awaited = Some((now, grade));
    }

    /// Whether everybody knows; answers so once.
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
    fn everybody_who_polled_in_the_last_minute_has_to_be_told() {
        let mut announcements = Announcements::default();
        for proxy in [ONE, OTHER] {
            announcements.fetched(second(0), proxy, Grade::Fit);
        }
        announcements.begin(second(60), Grade::Draining);
        announcements.fetched(second(61), ONE, Grade::Draining);
        assert!(!announcements.take_announced(), "the other does not know");
        announcements.fetched(second(62), OTHER, Grade::Draining);
        assert!(announcements.take_announced());
        assert!(!announcements.take_announced(), "once");
    }

    #[test]
    fn nobody_waits_for_a_proxy_that_is_gone_but_for_one_that_polls_unseen() {
        let mut announcements = Announcements::default();
        announcements.fetched(second(0), ONE, Grade::Fit);
        let mut gone = announcements.clone();
        gone.begin(second(61), Grade::Draining);
        assert!(gone.take_announced());
        announcements.polled(second(61), ONE);
        announcements.begin(second(61), Grade::Draining);
        assert!(!announcements.take_announced());
    }
}
