//! The dates of the certificates of a process: as metrics, and as lines of the log.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::driver::log;
use crate::event::ServiceEvent;
use crate::metrics::Counters;
use crate::tls::{Acceptor, Finding};

/// After this time a fault that persists is logged again.
const AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// The names of an acceptor's certificates in metrics: its own chain, and the CAs of its peers.
#[derive(Clone, Copy)]
pub(super) struct Names {
    pub(super) own: &'static str,
    pub(super) authorities: &'static str,
}

/// Of the port for switches.
pub(super) const AGENT: Names = Names {
    own: "agent",
    authorities: "switch_ca",
};
/// Of the link to the other agent of the pair.
pub(super) const PEER: Names = Names {
    own: "peer",
    authorities: "peer_ca",
};
/// Of a control node.
pub(super) const CONTROL: Names = Names {
    own: "control",
    authorities: "client_ca",
};
/// The CAs of control nodes, at an agent.
pub(super) const CONTROL_CA: &str = "control_ca";

/// Records when the certificates of an acceptor end.
pub(super) fn measure(counters: &Counters, names: Names, acceptor: &Acceptor) {
    counters.certificate(names.own, acceptor.not_after());
    counters.certificate(names.authorities, acceptor.authorities_not_after());
}

/// Logs faults of certificates: each when it begins, when its text changes, and once a day.
#[derive(Debug, Default)]
pub(super) struct Watch {
    logged: BTreeSet<String>,
    /// What others refuse about the names of own certificates.
    misnamed: BTreeSet<String>,
    since: Option<Instant>,
}

impl Watch {
    /// These are all faults at this time.
    pub(super) fn look(&mut self, findings: impl IntoIterator<Item = Finding>, now: Instant) {
        for event in self.due(findings, now) {
            log::event(&event);
        }
    }

    /// The own certificates that lack the own name, at this time: each is logged once, because a list of others may admit it.
    pub(super) fn look_at_names(&mut self, misnamed: impl IntoIterator<Item = String>) {
        for event in self.misnamed(misnamed.into_iter().collect()) {
            log::event(&event);
        }
    }

    fn misnamed(&mut self, misnamed: BTreeSet<String>) -> Vec<ServiceEvent> {
        let before = std::mem::replace(&mut self.misnamed, misnamed);
        let new = self.misnamed.difference(&before).cloned();
        new.map(|what| ServiceEvent::CertificateMisnamed { what }).collect()
    }

    fn due(&mut self, findings: impl IntoIterator<Item = Finding>, now: Instant) -> Vec<ServiceEvent> {
        if self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= AGAIN)
        {
            (self.since, self.logged) = (Some(now), BTreeSet::new());
        }
        let before = std::mem::take(&mut self.logged);
        let mut due = Vec::new();
        for finding in findings {
            let what = finding.to_string();
            let is_new = !before.contains(&what) && !self.logged.contains(&what);
            self.logged.insert(what.clone());
            match (is_new, finding.is_bad) {
                (false, _) => {}
                (true, true) => due.push(ServiceEvent::CertificateUnfit { what }),
                (true, false) => due.push(ServiceEvent::CertificateEnding { what }),
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(what: &str, is_bad: bool) -> Finding {
        Finding {
            section: "tls",
            role: "certificate",
            file: "agent.pem".into(),
            what: what.into(),
            is_bad,
        }
    }

    #[test]
    fn a_certificate_without_the_own_name_is_logged_once_and_again_when_another_one_lacks_it() {
        let mut watch = Watch::default();
        let mut logged = |what: &[&str]| watch.misnamed(what.iter().map(|it| (*it).to_owned()).collect()).len();
        assert_eq!((logged(&["a"]), logged(&["a"]), logged(&["b"])), (1, 0, 1));
        assert_eq!((logged(&[]), logged(&["b"])), (0, 1), "it was right in between");
    }

    #[test]
    fn a_fault_of_a_certificate_is_logged_when_it_begins_or_changes_and_once_a_day() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let mut words = |findings: &[Finding], seconds| -> Vec<String> {
            let due = watch.due(findings.to_vec(), start + Duration::from_secs(seconds));
            due.iter().map(|event| format!("{event:?}")).collect()
        };
        let soon = [finding("ends in 2 days", false)];
        let ended = [finding("has ended", true)];
        assert_eq!(words(&[], 0), [""; 0]);
        let first = words(&[soon[0].clone(), soon[0].clone()], 5);
        assert_eq!(
            first,
            [r#"CertificateEnding { what: "tls.certificate agent.pem: ends in 2 days" }"#]
        );
        assert_eq!(words(&soon, 10), [""; 0]);
        let next = words(&ended, 15);
        assert_eq!(
            next,
            [r#"CertificateUnfit { what: "tls.certificate agent.pem: has ended" }"#]
        );
        assert_eq!(words(&ended, 24 * 60 * 60 - 1), [""; 0]);
        assert_eq!(words(&ended, 24 * 60 * 60), next);
    }
}
