//! What is wrong, or soon will be, with the configured certificates themselves.

use std::fmt;
use std::path::PathBuf;

use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::time::ASN1Time;

use super::error::{Problem, TlsError};
use super::keys::{self, KEYS};
use super::peers::Uses;
use super::settings::CA;
use super::x509;

/// A certificate that ends within this time is a warning: a month leaves time to renew it.
const SOON_S: i64 = 30 * 24 * 60 * 60;

/// A fault of a configured certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// The section of the configuration that names the file, by default `tls`.
    pub section: &'static str,
    /// The key that names the file.
    pub role: &'static str,
    /// The file.
    pub file: PathBuf,
    /// Which certificate, and what is wrong with it.
    pub what: String,
    /// Whether the file cannot serve its purpose now.
    pub is_bad: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            section,
            role,
            file,
            what,
            ..
        } = self;
        write!(f, "{section}.{role} {}: {what}", file.display())
    }
}

impl Finding {
    /// The same finding, for a section that names its own CAs; the certificate is that of `[tls]`.
    #[must_use]
    pub fn with_ca_of(self, section: &'static str) -> Self {
        if self.role == CA {
            Self { section, ..self }
        } else {
            self
        }
    }

    pub(super) fn into_error(self) -> TlsError {
        TlsError::new(self.role, &self.file, Problem::Unfit(self.what))
    }
}

/// The certificates of one file, in order.
#[derive(Clone, Debug)]
pub(super) struct Dated {
    role: &'static str,
    file: PathBuf,
    certificates: Vec<One>,
}

#[derive(Clone, Debug)]
struct One {
    /// Name, subject, fingerprint and end.
    who: String,
    from: ASN1Time,
    until: ASN1Time,
    /// A fault that no date changes.
    fault: Option<String>,
}

impl Dated {
    /// The own chain, the own certificate first.
    pub(super) fn chain(role: &'static str, file: PathBuf, ders: &[CertificateDer<'_>], uses: Uses) -> Self {
        let mut dated = Self::new(role, file, ders, |_| None);
        let own = ders.first().and_then(|der| x509::parse(der));
        if let (Some(first), Some(own)) = (dated.certificates.first_mut(), own) {
            first.fault = wrong_purpose(&own, uses);
        }
        dated
    }

    /// CAs that sign peers.
    pub(super) fn authorities(role: &'static str, file: PathBuf, ders: &[CertificateDer<'_>]) -> Self {
        Self::new(role, file, ders, |authority| {
            let kind = keys::unusable_key(authority.public_key())?;
            Some(format!(
                "has a key that cannot be used: {kind}; every certificate that it issued is refused; make the CA with {KEYS}"
            ))
        })
    }

    fn new(
        role: &'static str,
        file: PathBuf,
        ders: &[CertificateDer<'_>],
        fault: impl Fn(&X509Certificate<'_>) -> Option<String>,
    ) -> Self {
        let one = |der: &CertificateDer<'_>| {
            let parsed = x509::parse(der)?;
            Some(One {
                who: x509::describe(der, &parsed),
                from: parsed.validity().not_before,
                until: parsed.validity().not_after,
                fault: fault(&parsed),
            })
        };
        let certificates = ders.iter().filter_map(one).collect();
        Self {
            role,
            file,
            certificates,
        }
    }

    /// The own certificate.
    pub(super) fn own(&self) -> &str {
        self.certificates.first().map_or("no certificate", |one| &one.who)
    }

    /// The end of the certificate that ends first, in seconds since 1970.
    pub(super) fn earliest_end(&self) -> i64 {
        let ends = self.certificates.iter().map(|one| one.until.timestamp());
        ends.min().unwrap_or(i64::MAX)
    }

    /// When the next certificate that is not valid yet becomes valid, in seconds since 1970.
    pub(super) fn next_beginning(&self, now: UnixTime) -> Option<i64> {
        let begins = self.certificates.iter().map(|one| one.from.timestamp());
        begins.filter(|from| *from > seconds(now)).min()
    }

    /// What is wrong. A chain is as good as its worst certificate, a file of CAs as its best.
    pub(super) fn findings(&self, now: UnixTime) -> Vec<Finding> {
        let judge = |one: &One| one.judge(seconds(now));
        let mut findings: Vec<(String, bool)> = self.certificates.iter().filter_map(judge).collect();
        let bad = findings.iter().filter(|(_, is_bad)| *is_bad).count();
        if self.role == CA && bad < self.certificates.len() {
            findings.iter_mut().for_each(|(_, is_bad)| *is_bad = false);
        }
        let finding = |(what, is_bad)| Finding {
            section: "tls",
            role: self.role,
            file: self.file.clone(),
            what,
            is_bad,
        };
        findings.into_iter().map(finding).collect()
    }
}

impl One {
    /// What is wrong, and whether that makes it unusable now.
    fn judge(&self, now: i64) -> Option<(String, bool)> {
        let Self {
            who,
            from,
            until,
            fault,
        } = self;
        if now > until.timestamp() {
            return Some((
                format!("{who} has ended (expired); renew it, or compare the clocks"),
                true,
            ));
        }
        if now < from.timestamp() {
            return Some((format!("{who} is not valid before {from}; compare the clocks"), true));
        }
        if let Some(fault) = fault {
            return Some((format!("{who} {fault}"), true));
        }
        let left = until.timestamp() - now;
        (left < SOON_S).then(|| (format!("{who} ends in {}; renew it", days(left)), false))
    }
}

fn days(seconds: i64) -> String {
    match seconds / (24 * 60 * 60) {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// Peers that dial check the own certificate as that of a server, peers that we dial as that of a client.
fn wrong_purpose(own: &X509Certificate<'_>, uses: Uses) -> Option<String> {
    let purposes = own.extended_key_usage().ok().flatten()?.value;
    let (serves, dials) = (
        purposes.server_auth || purposes.any,
        purposes.client_auth || purposes.any,
    );
    let (for_whom, lacks, peers) = match (uses.serves && !serves, uses.dials && !dials) {
        (true, _) => ("servers", "serverAuth", "peers that dial"),
        (false, true) => ("clients", "clientAuth", "peers that we dial"),
        (false, false) => return None,
    };
    Some(format!(
        "is not for {for_whom}: its extended key usage lacks {lacks}, so {peers} refuse it; issue one with serverAuth and clientAuth"
    ))
}

fn seconds(now: UnixTime) -> i64 {
    now.as_secs().cast_signed()
}
