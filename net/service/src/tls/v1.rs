//! X.509 v1 client certificates, as written by the `ovs-pki` of Open vSwitch 2.10 and older.
//!
//! webpki supports v3 only. A v1 certificate has no extensions, so nothing marks it as not a CA: it is accepted only if a
//! configured CA issued it directly, never through an intermediate.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;

use super::crl::Crls;
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
    let mut issuers = authorities
        .iter()
        .filter_map(|der| x509::parse(der))
        .filter(|authority| authority.subject().as_raw() == issuer.as_raw())
        .peekable();
    if issuers.peek().is_none() {
        return Err((
            Cause::UnknownCa,
            format!(
                "is issued by \"{issuer}\", which is not in tls.ca; a version 1 certificate must be issued by a configured CA directly"
            ),
        ));
    }
    // RFC 5280 4.1.1.2: the signed and the unsigned algorithm must be the same.
    if certificate.signature_algorithm != certificate.tbs_certificate.signature
        || !issuers.any(|a| x509::is_signed_by(der, a.public_key(), algorithms))
    {
        return Err((
            Cause::BadCertificate,
            format!(
                "has no valid signature by \"{issuer}\" (MD5 and SHA-1 do not count; such a certificate must be pinned)"
            ),
        ));
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
