//! The files of TLS, each read once, so that the hash covers the same bytes that are parsed.

use std::fs;
use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{Error as PemError, PemObject};
use sha2::{Digest, Sha256};

use super::error::{Problem, TlsError};
use super::settings::{CA, CERTIFICATE, CRL, PRIVATE_KEY, Settings};
use super::x509;

/// The bytes of every configured file.
pub(super) struct Files {
    pub(super) certificate: Vec<u8>,
    pub(super) private_key: Vec<u8>,
    pub(super) ca: Vec<u8>,
    pub(super) crl: Option<Vec<u8>>,
}

impl Files {
    /// Reads all files. Fails at the first one that cannot be read.
    pub(super) fn read(settings: &Settings) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(CERTIFICATE, &settings.certificate)?,
            private_key: read(PRIVATE_KEY, &settings.private_key)?,
            ca: read(CA, &settings.ca)?,
            crl: match &settings.crl {
                Some(path) => Some(read(CRL, path)?),
                None => None,
            },
        })
    }

    /// A hash over all files: equal only if nothing has changed.
    pub(super) fn digest(settings: &Settings) -> [u8; 32] {
        match Self::read(settings) {
            Ok(files) => files.own_digest(),
            Err(error) => Sha256::digest(error.to_string()).into(),
        }
    }

    /// See [`Self::digest`].
    pub(super) fn own_digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let crl = self.crl.as_deref().unwrap_or_default();
        for file in [&*self.certificate, &self.private_key, &self.ca, crl] {
            hash.update(Sha256::digest(file));
        }
        hash.finalize().into()
    }
}

/// All certificates of a PEM file in their order: at least one, each valid X.509.
pub(super) fn certificates(
    role: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |problem| TlsError::new(role, path, problem);
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| fail(Problem::BadPem(describe(&e))))?;
    if certificates.is_empty() {
        return Err(fail(no_pem("CERTIFICATE", pem)));
    }
    match certificates.iter().position(|der| x509::parse(der).is_none()) {
        Some(index) => Err(fail(Problem::BadCertificate(index + 1))),
        None => Ok(certificates),
    }
}

/// No PEM block of this kind, and what the file holds instead.
pub(super) fn no_pem(kind: &'static str, bytes: &[u8]) -> Problem {
    let text = String::from_utf8_lossy(bytes);
    let first = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    let hint = match (bytes, first) {
        ([], _) => "; it is empty".to_owned(),
        (_, Some(other)) => format!("; it holds \"{other}\""),
        // A SEQUENCE of DER.
        ([0x30, 0x80..=0x84, ..], _) => {
            "; it is DER or PKCS#12; convert it to PEM (openssl x509, pkey or pkcs12)".to_owned()
        }
        _ => String::new(),
    };
    Problem::NoPem { kind, hint }
}

/// Describes an error of PEM.
pub(super) fn describe(error: &PemError) -> String {
    match error {
        PemError::MissingSectionEnd { .. } => "a block has no END line".to_owned(),
        PemError::IllegalSectionStart { .. } => "a BEGIN line is damaged".to_owned(),
        PemError::Base64Decode(why) => format!("not base64: {why}"),
        other => format!("{other:?}"),
    }
}

/// The bytes of a file.
pub(super) fn read(role: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let fail = |problem| TlsError::new(role, path, problem);
    let bytes = fs::read(path).map_err(|e| fail(Problem::Unreadable(e)))?;
    match bytes.as_slice() {
        // Hidden first lines would make the second certificate the first.
        [0xef, 0xbb, 0xbf, ..] => Err(fail(Problem::BadPem(
            "it begins with a byte order mark (BOM), which hides its first line; write it without one".to_owned(),
        ))),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            Err(fail(Problem::BadPem("it is UTF-16 text; write it as ASCII".to_owned())))
        }
        _ => Ok(bytes),
    }
}
