//! Why a peer's certificate is refused, as the end of a sentence that begins with the certificate.

use rustls::{CertificateError, Error};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;

use super::keys::{self, KEYS};
use super::peers::Peers;
use super::refusal::Cause;
use super::x509;

/// Certificates that one chain is followed through; a longer one is not examined further.
const CHAIN: usize = 8;

/// A version 1 certificate where no setting accepts it, or such an intermediate CA.
pub(super) const VERSION_1: &str = "is X.509 version 1, or a CA above it is; issue it with an extension such as basicConstraints = CA:FALSE, which makes it version 3";

/// What the verifier judged.
pub(super) struct Judged<'a> {
    pub(super) certificate: &'a X509Certificate<'a>,
    /// Sent by the peer after its own.
    pub(super) intermediates: &'a [CertificateDer<'a>],
    /// The configured CAs.
    pub(super) authorities: &'a [CertificateDer<'a>],
    /// The key of the configuration that names their file, such as `tls.ca`.
    pub(super) ca: &'a str,
    /// The clients of a port; `None` if we dialled.
    pub(super) peers: Option<Peers>,
    pub(super) now: UnixTime,
}

impl Judged<'_> {
    fn or_pin(&self) -> &'static str {
        self.peers.map_or("", Peers::or_pin)
    }
}

/// A certificate whose key cannot be verified proves nothing, whatever else is right with it.
pub(super) fn own_key(certificate: &X509Certificate<'_>) -> Result<(), (Cause, String)> {
    match keys::unusable_key(certificate.public_key()) {
        Some(kind) => Err((
            Cause::BadCertificate,
            format!("has a key that cannot be used: {kind}; issue one with {KEYS}"),
        )),
        None => Ok(()),
    }
}

/// The error of webpki.
pub(super) fn explain(error: &Error, judged: &Judged<'_>) -> (Cause, String) {
    let Judged { certificate, ca, .. } = judged;
    let or_pin = judged.or_pin();
    let issuer = certificate.issuer();
    let Error::InvalidCertificate(error) = error else {
        return (Cause::BadCertificate, format!("is refused: {error}"));
    };
    if let Some(what) = unverifiable(error, judged) {
        return (Cause::BadCertificate, what);
    }
    match error {
        CertificateError::UnknownIssuer if certificate.issuer() == certificate.subject() => (
            Cause::UnknownCa,
            format!("is self-signed, and not in {ca}; issue one by a CA in {ca}{or_pin}"),
        ),
        CertificateError::UnknownIssuer => (
            Cause::UnknownCa,
            format!(
                "is issued by \"{issuer}\", which does not lead to a CA in {ca}{}",
                judged.peers.map_or("", Peers::origin_of_ca)
            ),
        ),
        // webpki tries each CA of that name.
        CertificateError::BadSignature => (
            Cause::UnknownCa,
            format!("is issued by a different \"{issuer}\" than the CA of that name in {ca}"),
        ),
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => (Cause::Expired, dates(judged)),
        CertificateError::Revoked => (Cause::Revoked, "is revoked, or an intermediate CA is".to_owned()),
        CertificateError::UnknownRevocationStatus => (
            Cause::Revoked,
            format!("cannot be checked: no CRL of \"{issuer}\" is in tls.crl"),
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
            Cause::BadCertificate,
            "is for another purpose: its extended key usage must have clientAuth for an end that dials, and serverAuth for an end that listens, or be absent".to_owned(),
        ),
        CertificateError::Other(other) if certificate.is_ca() && other.0.to_string().contains("CaUsedAsEndEntity") => (
            Cause::BadCertificate,
            match certificate.issuer() == certificate.subject() {
                true => format!("is self-signed and a CA (CA:TRUE), which no peer may present; issue one by a CA in {ca}{or_pin}"),
                false => format!("is a CA (CA:TRUE), which no peer may present; issue one with CA:FALSE{or_pin}"),
            },
        ),
        CertificateError::Other(other) => (Cause::BadCertificate, malformed(&other.0.to_string(), judged)),
        error => (Cause::BadCertificate, format!("is refused: {error}")),
    }
}

/// The name of an error of webpki in words.
fn malformed(error: &str, judged: &Judged<'_>) -> String {
    let ca = judged.ca;
    match error {
        "EndEntityUsedAsCa" => {
            let of = issuers(judged).into_iter().find(|issuer| !issuer.certificate.is_ca());
            let name = of.map_or_else(String::new, |issuer| format!(" \"{}\"", issuer.certificate.subject()));
            format!("is issued by a certificate{name} that is not one of a CA (it lacks CA:TRUE); issue it by a CA in {ca}")
        }
        "PathLenConstraintViolated" => {
            format!("has more CAs between itself and {ca} than one of them allows (pathlen); issue it by a higher CA")
        }
        "NameConstraintViolation" => {
            "has a name that a CA above it must not certify (nameConstraints); issue one with another name, or by another CA".to_owned()
        }
        "UnsupportedCriticalExtension" => {
            "has a critical extension that is not supported, or a CA above it has; issue it without, or not critical".to_owned()
        }
        "UnsupportedCertVersion" => VERSION_1.to_owned(),
        other => format!("is refused as malformed ({other}); issue it again{}", judged.or_pin()),
    }
}

/// The certificate of the chain whose key or signature is of a kind that cannot be verified.
fn unverifiable(error: &CertificateError, judged: &Judged<'_>) -> Option<String> {
    let may_be_the_kind = matches!(
        error,
        CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
    );
    if !may_be_the_kind {
        return None;
    }
    if let Some(what) = keys::unusable_signature(judged.certificate) {
        return Some(format!("{what}; renew it{}", judged.or_pin()));
    }
    issuers(judged).into_iter().find_map(|issuer| {
        let name = issuer.certificate.subject();
        if let Some(kind) = keys::unusable_key(issuer.certificate.public_key()) {
            return Some(format!(
                "is issued by \"{name}\", whose key cannot be used: {kind}; make that CA with {KEYS}{}",
                judged.or_pin()
            ));
        }
        // The signature of a trusted CA itself is not checked.
        let what = (!issuer.is_trusted).then(|| keys::unusable_signature(&issuer.certificate))??;
        Some(format!("is issued by \"{name}\", which {what}"))
    })
}

/// Which certificate of the chain is outside its dates.
fn dates(judged: &Judged<'_>) -> String {
    if let Some(what) = x509::outside_validity(judged.certificate, judged.now) {
        return what;
    }
    let of_issuer = issuers(judged).into_iter().find_map(|issuer| {
        let what = x509::outside_validity(&issuer.certificate, judged.now)?;
        Some(format!(
            "is issued by \"{}\", which {what}",
            issuer.certificate.subject()
        ))
    });
    of_issuer.unwrap_or_else(|| "is issued by a CA certificate outside its dates".to_owned())
}

struct Issuer<'a> {
    certificate: X509Certificate<'a>,
    is_trusted: bool,
}

/// The chain above the certificate, by names.
fn issuers<'a>(judged: &Judged<'a>) -> Vec<Issuer<'a>> {
    let trusted = judged.authorities.iter().map(|der| (der, true));
    let known = trusted.chain(judged.intermediates.iter().map(|der| (der, false)));
    let known: Vec<_> = known
        .filter_map(|(der, is_trusted)| {
            let certificate = x509::parse(der)?;
            Some(Issuer {
                certificate,
                is_trusted,
            })
        })
        .collect();
    let mut chain: Vec<usize> = Vec::new();
    let mut wanted = judged.certificate.issuer().as_raw();
    while chain.len() < CHAIN {
        let next = known
            .iter()
            .position(|issuer| issuer.certificate.subject().as_raw() == wanted);
        let Some((index, issuer)) = next.and_then(|index| Some((index, known.get(index)?))) else {
            break;
        };
        if chain.contains(&index) {
            break;
        }
        chain.push(index);
        wanted = issuer.certificate.issuer().as_raw();
    }
    let of = |(index, issuer)| chain.contains(&index).then_some(issuer);
    known.into_iter().enumerate().filter_map(of).collect()
}
