//! Authorities that vouch for several roles.

use std::path::Path;

use rustls::crypto::ring;
use x509_parser::certificate::X509Certificate;

use super::error::TlsError;
use super::files;
use super::settings::{CA, CERTIFICATE};
use super::x509;

/// Whether an authority of `ca` vouches for a certificate of `file`: it issued it, or is the same authority. Then a peer that
/// trusts `ca` accepts what belongs to the other role, too.
///
/// # Errors
/// A file cannot be used.
pub fn vouches_for(ca: &Path, file: &Path) -> Result<bool, TlsError> {
    let authorities = files::certificates(CA, ca, &files::read(CA, ca)?)?;
    let others = files::certificates(CERTIFICATE, file, &files::read(CERTIFICATE, file)?)?;
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let is_of = |der: &[u8], authority: &X509Certificate<'_>| {
        let key = authority.public_key();
        let is_same = x509::parse(der).is_some_and(|other| other.public_key().raw == key.raw);
        is_same || x509::is_signed_by(der, key, &algorithms)
    };
    let mut authorities = authorities.iter().filter_map(|der| x509::parse(der));
    Ok(authorities.any(|authority| others.iter().any(|der| is_of(der, &authority))))
}
