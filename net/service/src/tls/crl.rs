//! Certificate revocation lists, read at load. The listener stays closed if one cannot be used.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::asn1_rs::FromDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::X509Version;

use super::error::{Problem, TlsError};
use super::files::{self, Files};
use super::settings::{CRL, Settings};
use super::x509;
use crate::event::CRL_OUTDATED;

/// The revocation lists of one file.
#[derive(Debug, Default)]
pub(super) struct Crls {
    /// For webpki, which checks ordinary chains.
    pub(super) ders: Vec<CertificateRevocationListDer<'static>>,
    lists: Vec<List>,
}

/// One issuer's list, for certificates that webpki does not check: v1 and pinned ones.
#[derive(Debug)]
struct List {
    issuer: Vec<u8>,
    /// Serial numbers in DER.
    revoked: Vec<Vec<u8>>,
}

impl Crls {
    /// Empty without a configured file. A list whose issuer is among `authorities` must have its signature.
    pub(super) fn load(
        settings: &Settings,
        files: &Files,
        authorities: &[CertificateDer<'_>],
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<Self, TlsError> {
        let (Some(path), Some(pem)) = (&settings.crl, &files.crl) else {
            return Ok(Self::default());
        };
        let fail = |problem| TlsError::new(CRL, path, problem);
        let ders = CertificateRevocationListDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| fail(Problem::BadPem(files::describe(&e))))?;
        if ders.is_empty() {
            return Err(fail(files::no_pem("X509 CRL", pem)));
        }
        let mut lists = Vec::with_capacity(ders.len());
        for (index, der) in ders.iter().enumerate() {
            let number = index + 1;
            let list = List::parse(der, authorities, algorithms);
            lists.push(list.map_err(|bad| {
                fail(match bad {
                    Bad::Version1 => Problem::CrlVersion1,
                    Bad::Other(why) => Problem::BadCrl { number, why },
                })
            })?);
        }
        Ok(Self { ders, lists })
    }

    /// Whether a list of this certificate's issuer contains its serial number.
    pub(super) fn revokes(&self, certificate: &X509Certificate<'_>) -> bool {
        self.of_issuer(certificate)
            .any(|list| list.revoked.iter().any(|s| s == certificate.raw_serial()))
    }

    /// Whether lists are configured, but none of this certificate's issuer.
    pub(super) fn is_silent_on(&self, certificate: &X509Certificate<'_>) -> bool {
        !self.lists.is_empty() && self.of_issuer(certificate).next().is_none()
    }

    fn of_issuer(&self, certificate: &X509Certificate<'_>) -> impl Iterator<Item = &List> {
        let issuer = certificate.issuer().as_raw();
        self.lists.iter().filter(move |list| list.issuer == issuer)
    }
}

enum Bad {
    Version1,
    Other(String),
}

impl List {
    fn parse(
        der: &[u8],
        authorities: &[CertificateDer<'_>],
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<Self, Bad> {
        let Ok(([], list)) = CertificateRevocationList::from_der(der) else {
            return Err(Bad::Other("it is not a DER encoded X.509 CRL".to_owned()));
        };
        // RFC 5280 5.1.2.1: only version 2 lists contain the version.
        if list.version() != Some(X509Version::V2) {
            return Err(Bad::Version1);
        }
        let issuer = list.issuer().as_raw();
        let mut issuers = authorities
            .iter()
            .filter_map(|der| x509::parse(der))
            .filter(|authority| authority.subject().as_raw() == issuer)
            .peekable();
        if issuers.peek().is_some() && !issuers.any(|a| x509::is_signed_by(der, a.public_key(), algorithms)) {
            let name = list.issuer();
            return Err(Bad::Other(format!("its signature is not by {name}")));
        }
        warn_when_outdated(&list);
        Ok(Self {
            issuer: issuer.to_vec(),
            revoked: list
                .iter_revoked_certificates()
                .map(|revoked| revoked.raw_serial().to_vec())
                .collect(),
        })
    }
}

/// An outdated list still applies: refusing all switches because a file was not renewed is the worse failure.
fn warn_when_outdated(list: &CertificateRevocationList<'_>) {
    let now = rustls_pki_types::UnixTime::now().as_secs();
    let next = list.next_update().map(|t| t.timestamp());
    if next.is_some_and(|next| next < now.cast_signed()) {
        tracing::warn!(
            target: "tandem::tls",
            issuer = %list.issuer(),
            "{CRL_OUTDATED}: the CRL is past its next update; it still applies, but newer revocations are missing"
        );
    }
}
