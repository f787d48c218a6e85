//! Why an acceptor cannot be made of the files that it was given.

use std::io;
use std::path::{Path, PathBuf};

use tandem_core::Fault;

use super::files::CA;

/// One file, and what is wrong with it. The listener stays shut until it is mended.
#[derive(Debug, thiserror::Error)]
#[error("{section}.{role} {}: {problem}", file.display())]
pub struct TlsError {
    /// The section of the configuration that names the file: `tls`, unless it was said otherwise.
    pub section: &'static str,
    /// What the file is for, as the configuration names it: `certificate` and so on.
    pub role: &'static str,
    /// The file as configured.
    pub file: PathBuf,
    /// What is wrong with it.
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

    /// The same where this section names the authorities; the certificate that is shown is that of `[tls]`.
    #[must_use]
    pub fn with_ca_of(self, section: &'static str) -> Self {
        if self.role == CA {
            Self { section, ..self }
        } else {
            self
        }
    }

    /// Whose fault it is: whoever put the files there, except for what rustls itself refuses to be built of.
    pub fn fault(&self) -> Fault {
        match self.problem {
            Problem::Internal(_) => Fault::OurBug,
            _ => Fault::Environment,
        }
    }
}

/// What can be wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// No PEM block of the wanted kind is in it.
    #[error("holds no PEM block \"{0}\"")]
    NoPem(&'static str),
    /// A PEM block is cut or not base64.
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
        /// What rustls says.
        why: String,
    },
    /// The private key is protected by a passphrase.
    #[error("the private key is encrypted; write it without a passphrase (openssl pkey) and mode 0600")]
    EncryptedKey,
    /// A kind of key that the crypto provider does not sign with.
    #[error("the private key cannot be used (RSA of 2048 to 8192 bits, ECDSA P-256 or P-384, or Ed25519 can): {0}")]
    BadKey(String),
    /// The key belongs to no certificate of the file, or not to its first.
    #[error("the private key does not belong to the first certificate in {}{}", certificate.display(), hint(*.position))]
    KeyMismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// Counted from 1: the certificate in that file that the key does belong to.
        position: Option<usize>,
    },
    /// What `openssl ca -gencrl` makes without `-crlexts`.
    #[error(
        "holds a version 1 CRL; make a version 2 one: openssl ca -gencrl -crlexts crl_ext, with authorityKeyIdentifier=keyid:always in [crl_ext]"
    )]
    CrlVersion1,
    /// The n-th CRL (from 1) cannot be read.
    #[error("CRL {number} in it cannot be used: {why}")]
    BadCrl {
        /// Counted from 1.
        number: usize,
        /// What is wrong.
        why: String,
    },
    /// A CRL that parses, but has something that webpki does not take.
    #[error("a CRL in it cannot be used: {0}")]
    RefusedCrl(String),
    /// Not the fault of a file.
    #[error("rustls refuses its configuration: {0}")]
    Internal(String),
}

fn hint(position: Option<usize>) -> String {
    match position {
        Some(position) => format!(" but to certificate {position}; the agent's own must come first, its CA after it"),
        None => String::new(),
    }
}
