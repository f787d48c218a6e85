//! The TLS settings of the configuration.

use std::path::PathBuf;

use tandem_core::machine::Fingerprint;

/// The TLS settings of the configuration; all files are PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// The own certificate, then its chain including the root, sent in this order.
    pub certificate: PathBuf,
    /// The key of the first certificate, without a passphrase.
    pub private_key: PathBuf,
    /// The CAs that sign switches.
    pub ca: PathBuf,
    /// Version 2 CRLs. If set, a certificate is refused unless a list of its issuer exists and does not contain it.
    pub crl: Option<PathBuf>,
    /// Whether to accept X.509 v1 certificates that a CA in `ca` issued directly.
    pub allow_x509_v1: bool,
    /// Certificates that are accepted regardless of issuer and dates, unless a list in `crl` revokes them.
    pub pins: Vec<Fingerprint>,
}

/// The key of each file in the configuration.
pub(super) const CERTIFICATE: &str = "certificate";
pub(super) const PRIVATE_KEY: &str = "private_key";
pub(super) const CA: &str = "ca";
pub(super) const CRL: &str = "crl";
