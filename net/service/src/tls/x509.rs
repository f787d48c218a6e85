//! Names, dates and signatures of X.509 in DER.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{CommonState, SignatureScheme};
use rustls_pki_types::{SignatureVerificationAlgorithm, UnixTime};
use sha2::{Digest, Sha256};
use tandem_core::machine::{Certificate, Fingerprint};
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::time::ASN1Time;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Parses one certificate; `None` if it is not X.509 in DER, or if bytes follow it.
pub(super) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Some(certificate),
        Ok(_) | Err(_) => None,
    }
}

/// SHA-256 over the DER encoding, as `openssl x509 -fingerprint -sha256` prints it.
pub(super) fn fingerprint(der: &[u8]) -> Fingerprint {
    Fingerprint(Sha256::digest(der).into())
}

/// The facts of a certificate that a session keeps.
pub(super) fn facts(der: &[u8], parsed: &X509Certificate<'_>) -> Certificate {
    Certificate {
        fingerprint: fingerprint(der),
        names: names(parsed),
        identities: identities(parsed),
        not_after_unix_s: parsed.validity().not_after.timestamp(),
        pinned_only: false,
    }
}

/// The facts of the certificate that the other end of a TLS connection presented.
pub(super) fn peer_facts(connection: &CommonState) -> Option<Certificate> {
    let der = connection.peer_certificates()?.first()?;
    Some(facts(der, &parse(der)?))
}

/// The first name of a certificate, its subject, fingerprint and end, for messages.
pub(super) fn describe(der: &[u8], parsed: &X509Certificate<'_>) -> String {
    let (fingerprint, subject) = (fingerprint(der), parsed.subject());
    let ends = parsed.validity().not_after;
    match names(parsed).first() {
        Some(name) => format!("the certificate \"{name}\" (subject {subject}, {fingerprint}, ends {ends})"),
        None => format!("a certificate without a name (subject \"{subject}\", {fingerprint}, ends {ends})"),
    }
}

/// The end of a sentence about a certificate that is expired or not valid yet.
pub(super) fn outside_validity(certificate: &X509Certificate<'_>, now: UnixTime) -> Option<String> {
    let (from, until) = (certificate.validity().not_before, certificate.validity().not_after);
    let now = now.as_secs().cast_signed();
    if now > until.timestamp() {
        Some(format!("expired on {until}; {}", clocks(now)))
    } else if now < from.timestamp() {
        Some(format!("is not valid before {from}; {}", clocks(now)))
    } else {
        None
    }
}

/// Either clock may be the wrong one.
fn clocks(now: i64) -> String {
    match ASN1Time::from_timestamp(now) {
        Ok(now) => format!("compare the clocks: ours shows {now}"),
        Err(_) => "compare the clocks".to_owned(),
    }
}

/// Whether `der` (a certificate or a CRL) has a valid signature by this key. MD5 and SHA-1 are not accepted.
pub(super) fn is_signed_by(der: &[u8], key: &SubjectPublicKeyInfo<'_>, algorithms: &WebPkiSupportedAlgorithms) -> bool {
    let (Some(signed), Some(key_algorithm)) = (Signed::parse(der), key_algorithm(key)) else {
        return false;
    };
    algorithms
        .all
        .iter()
        .filter(|a| a.signature_alg_id().as_ref() == signed.algorithm)
        .any(|a| verifies(*a, key_algorithm, key, signed.body, signed.signature))
}

/// Whether a message of the TLS 1.2 handshake has a valid signature by this key. In TLS 1.2, a scheme does not fix the
/// curve.
pub(super) fn is_message_signed_by(
    message: &[u8],
    scheme: SignatureScheme,
    signature: &[u8],
    key: &SubjectPublicKeyInfo<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let Some(key_algorithm) = key_algorithm(key) else {
        return false;
    };
    algorithms
        .mapping
        .iter()
        .filter(|(known, _)| *known == scheme)
        .flat_map(|(_, algorithms)| algorithms.iter())
        .any(|a| verifies(*a, key_algorithm, key, message, signature))
}

/// The outer SEQUENCE of signed X.509 objects (RFC 5280 4.1 and 5.1).
struct Signed<'a> {
    body: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    fn parse(der: &'a [u8]) -> Option<Self> {
        let (_, outer) = Any::from_der(der).ok()?;
        let (rest, _) = Any::from_der(outer.data).ok()?;
        let body = outer.data.get(..outer.data.len() - rest.len())?;
        let (rest, algorithm) = Any::from_der(rest).ok()?;
        let (_, signature) = Any::from_der(rest).ok()?;
        match signature.data.split_first() {
            Some((0, signature)) => Some(Self {
                body,
                algorithm: algorithm.data,
                signature,
            }),
            _ => None,
        }
    }
}

/// The contents of the algorithm identifier of a key, in the form of `rustls_pki_types::AlgorithmIdentifier`.
fn key_algorithm<'a>(key: &SubjectPublicKeyInfo<'a>) -> Option<&'a [u8]> {
    let (_, outer) = Any::from_der(key.raw).ok()?;
    let (_, algorithm) = Any::from_der(outer.data).ok()?;
    Some(algorithm.data)
}

fn verifies(
    algorithm: &dyn SignatureVerificationAlgorithm,
    key_algorithm: &[u8],
    key: &SubjectPublicKeyInfo<'_>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    algorithm.public_key_alg_id().as_ref() == key_algorithm
        && algorithm
            .verify_signature(&key.subject_public_key.data, message, signature)
            .is_ok()
}

/// The common name, then every DNS name, each once.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names = common_names(certificate);
    for name in dns_names(certificate) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The names that the holder of a certificate may bear: the DNS names or, if there are none, the common name.
fn identities(certificate: &X509Certificate<'_>) -> Vec<String> {
    match dns_names(certificate) {
        names if names.is_empty() => common_names(certificate),
        names => names,
    }
}

fn common_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let common = certificate.subject().iter_common_name();
    common
        .filter_map(|name| name.as_str().ok().map(str::to_owned))
        .collect()
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = alternative.value.general_names.iter();
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    names.collect()
}
