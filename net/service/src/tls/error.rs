//! Errors of the configured TLS files.

use std::io;
use std::path::{Path, PathBuf};

use tandem_core::Fault;

use super::keys::KEYS;
use super::settings::CA;

/// A problem of one file. The listener stays closed until it is fixed.
#[derive(Debug, thiserror::Error)]
#[error("{section}.{role} {}: {problem}", file.display())]
pub struct TlsError {
    /// The section of the configuration that names the file, by default `tls`.
    pub section: &'static str,
    /// The key that names the file, such as `certificate`.
    pub role: &'static str,
    /// The file as configured.
    pub file: PathBuf,
    /// The problem.
    pub problem: Problem,
}

impl TlsError {
    pub(super) fn new(role: &'static str, file: &Path, problem: Problem) -> Self {
        Self {
            section: "tls",
            role,
            file: file.to_owned(),
            problem,
        }
    }

    /// The same error, for a section that names its own CAs; the certificate is that of `[tls]`.
    #[must_use]
    pub fn with_ca_of(self, section: &'static str) -> Self {
        if self.role == CA {
            Self { section, ..self }
        } else {
            self
        }
    }

    /// The fault: the environment, because an operator wrote the files, or a bug where rustls cannot be set up.
    pub fn fault(&self) -> Fault {
        match self.problem {
            Problem::Internal(_) => Fault::OurBug,
            _ => Fault::Environment,
        }
    }
}

/// A problem of a file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// It contains no PEM block of the expected kind.
    #[error("holds no PEM block \"{kind}\"{hint}")]
    NoPem {
        /// The kind.
        kind: &'static str,
        /// What it holds instead, if that is known.
        hint: String,
    },
    /// A PEM block is truncated or not base64.
    #[error("is damaged PEM: {0}")]
    BadPem(String),
    /// The n-th certificate (from 1) is not X.509.
    #[error("certificate {0} in it is not X.509")]
    BadCertificate(usize),
    /// A CA certificate that cannot serve as a trust anchor.
    #[error("certificate {number} in it cannot be used as a CA: {why}")]
    BadAuthority {
        /// Counted from 1.
        number: usize,
        /// The error of rustls.
        why: String,
    },
    /// The private key has a passphrase.
    #[error("the private key is encrypted; write it without a passphrase (openssl pkey) and mode 0600")]
    EncryptedKey,
    /// The crypto provider does not support this kind of key.
    #[error("the private key cannot be used ({KEYS} can): {0}")]
    BadKey(String),
    /// It is well-formed, but cannot serve now, or not for this purpose; nothing good is replaced by it.
    #[error("{0}")]
    Unfit(String),
    /// The key does not belong to the first certificate of the file.
    #[error("the private key does not belong to the first certificate in {}{}", certificate.display(), hint(*.position))]
    KeyMismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The certificate in that file that the key belongs to, counted from 1.
        position: Option<usize>,
    },
    /// A version 1 list, as `openssl ca -gencrl` writes without `-crlexts`.
    #[error(
        "holds a version 1 CRL; make a version 2 one: openssl ca -gencrl -crlexts crl_ext, with authorityKeyIdentifier=keyid:always in [crl_ext]"
    )]
    CrlVersion1,
    /// The n-th CRL (from 1) cannot be read.
    #[error("CRL {number} in it cannot be used: {why}")]
    BadCrl {
        /// Counted from 1.
        number: usize,
        /// The reason.
        why: String,
    },
    /// A CRL that parses, but has a feature that webpki does not support.
    #[error("a CRL in it cannot be used: {0}")]
    RefusedCrl(String),
    /// Not caused by a file.
    #[error("rustls refuses its configuration: {0}")]
    Internal(String),
}

fn hint(position: Option<usize>) -> String {
    match position {
        Some(position) => format!(" but to certificate {position}; the agent's own must come first, its CA after it"),
        None => String::new(),
    }
}
