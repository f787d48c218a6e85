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
        return Err(fail(Problem::NoPem("CERTIFICATE")));
    }
    match certificates.iter().position(|der| x509::parse(der).is_none()) {
        Some(index) => Err(fail(Problem::BadCertificate(index + 1))),
        None => Ok(certificates),
    }
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

fn read(role: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|e| TlsError::new(role, path, Problem::Unreadable(e)))
}
