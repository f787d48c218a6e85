//! The kinds of keys and signatures that can be verified, in words.

use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::Oid;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// The kinds of keys that can be used, for messages.
pub(super) const KEYS: &str = "RSA of 2048 to 8192 bits, ECDSA P-256 or P-384, or Ed25519";

/// The signatures that can be verified, for messages.
const SIGNATURES: &str =
    "RSA with SHA-256, SHA-384 or SHA-512, ECDSA P-256 or P-384 with SHA-256 or SHA-384, and Ed25519 can";

const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The kind of a key that cannot be verified, such as `RSA of 1024 bits`.
pub(super) fn unusable_key(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    match text(&key.algorithm.algorithm).as_str() {
        "1.2.840.113549.1.1.1" => rsa_bits(key)
            .filter(|bits| !RSA_BITS.contains(bits))
            .map(|bits| format!("RSA of {bits} bits")),
        "1.2.840.113549.1.1.10" => Some("RSA-PSS (a plain RSA key can be used)".to_owned()),
        "1.2.840.10045.2.1" => unusable_curve(&key.algorithm),
        "1.3.101.112" => None,
        "1.3.101.113" => Some("Ed448".to_owned()),
        "1.2.840.10040.4.1" => Some("DSA".to_owned()),
        other => Some(format!("of the algorithm {other}")),
    }
}

/// The signature of a certificate, if its algorithm cannot be verified, as the end of a sentence.
pub(super) fn unusable_signature(certificate: &X509Certificate<'_>) -> Option<String> {
    let algorithm = text(&certificate.signature_algorithm.algorithm);
    let name = match algorithm.as_str() {
        // RSA with SHA-2, RSA-PSS, ECDSA with SHA-256 and SHA-384, Ed25519.
        "1.2.840.113549.1.1.10"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.113549.1.1.12"
        | "1.2.840.113549.1.1.13"
        | "1.2.840.10045.4.3.2"
        | "1.2.840.10045.4.3.3"
        | "1.3.101.112" => return None,
        "1.2.840.113549.1.1.2" => "RSA with MD2",
        "1.2.840.113549.1.1.4" => "RSA with MD5",
        "1.2.840.113549.1.1.5" => "RSA with SHA-1",
        "1.2.840.113549.1.1.14" => "RSA with SHA-224",
        "1.2.840.10045.4.1" => "ECDSA with SHA-1",
        "1.2.840.10045.4.3.1" => "ECDSA with SHA-224",
        "1.2.840.10045.4.3.4" => "ECDSA with SHA-512",
        "1.3.101.113" => "Ed448",
        "1.2.840.10040.4.3" => "DSA with SHA-1",
        other => other,
    };
    Some(format!("is signed by {name}, which cannot be verified ({SIGNATURES})"))
}

fn unusable_curve(algorithm: &AlgorithmIdentifier<'_>) -> Option<String> {
    let Some(curve) = algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()) else {
        return Some("ECDSA with explicit parameters".to_owned());
    };
    let name = match text(&curve).as_str() {
        "1.2.840.10045.3.1.7" | "1.3.132.0.34" => return None,
        "1.3.132.0.35" => "P-521".to_owned(),
        "1.3.132.0.33" => "P-224".to_owned(),
        "1.2.840.10045.3.1.1" => "P-192".to_owned(),
        "1.3.132.0.10" => "secp256k1".to_owned(),
        other if other.starts_with("1.3.36.3.3.2.8.1.1.") => "a Brainpool curve".to_owned(),
        other => format!("the curve {other}"),
    };
    Some(format!("ECDSA {name}"))
}

fn rsa_bits(key: &SubjectPublicKeyInfo<'_>) -> Option<usize> {
    let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
        return None;
    };
    let zeros = rsa.modulus.iter().take_while(|byte| **byte == 0).count();
    let digits = rsa.modulus.get(zeros..)?;
    let unused = digits.first()?.leading_zeros() as usize;
    Some(digits.len() * 8 - unused)
}

fn text(oid: &Oid<'_>) -> String {
    oid.to_id_string()
}
