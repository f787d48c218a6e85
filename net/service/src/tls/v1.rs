//! X.509 v1 client certificates, as written by the `ovs-pki` of Open vSwitch 2.10 and older.
//!
//! webpki supports v3 only. A v1 certificate has no extensions, so nothing marks it as not a CA: it is accepted only if a
//! configured CA issued it directly, never through an intermediate.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;

use super::crl::Crls;
use super::keys::{self, KEYS};
use super::refusal::Cause;
use super::x509;

/// Checks issuer, signature and dates, and that a CRL of the issuer exists if any are configured; the caller checks the
/// CRL itself. The error is the end of a sentence.
pub(super) fn verify(
    der: &[u8],
    certificate: &X509Certificate<'_>,
    authorities: &[CertificateDer<'_>],
    crls: &Crls,
    algorithms: &WebPkiSupportedAlgorithms,
    now: UnixTime,
) -> Result<(), (Cause, String)> {
    let issuer = certificate.issuer();
    let issuers = authorities.iter().filter_map(|der| x509::parse(der));
    let issuers: Vec<_> = issuers
        .filter(|authority| authority.subject().as_raw() == issuer.as_raw())
        .collect();
    if issuers.is_empty() {
        return Err((
            Cause::UnknownCa,
            format!(
                "is issued by \"{issuer}\", which is not in tls.ca; a version 1 certificate must be issued by a configured CA directly"
            ),
        ));
    }
    if let Some(what) = keys::unusable_signature(certificate) {
        return Err((Cause::BadCertificate, format!("{what}; renew it, or pin this one")));
    }
    // RFC 5280 4.1.1.2: the signed and the unsigned algorithm must be the same.
    if certificate.signature_algorithm != certificate.tbs_certificate.signature
        || !issuers
            .iter()
            .any(|a| x509::is_signed_by(der, a.public_key(), algorithms))
    {
        let unusable = issuers.iter().find_map(|a| keys::unusable_key(a.public_key()));
        return Err(match unusable {
            Some(kind) => (
                Cause::BadCertificate,
                format!("is issued by \"{issuer}\", whose key cannot be used: {kind}; make that CA with {KEYS}"),
            ),
            None => (
                Cause::UnknownCa,
                format!("is issued by a different \"{issuer}\" than the CA of that name in tls.ca"),
            ),
        });
    }
    if let Some(what) = x509::outside_validity(certificate, now) {
        return Err((Cause::Expired, what));
    }
    match crls.is_silent_on(certificate) {
        true => Err((
            Cause::Revoked,
            format!("cannot be checked: no CRL of \"{issuer}\" is in tls.crl"),
        )),
        false => Ok(()),
    }
}
