//! The own certificate and key.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{Error as PemError, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tandem_core::machine::Certificate;
use x509_parser::certificate::X509Certificate;

use super::dates::Dated;
use super::error::{Problem, TlsError};
use super::files::{self, Files};
use super::keys;
use super::peers::Uses;
use super::settings::{CERTIFICATE, PRIVATE_KEY, Settings};
use super::x509;

/// One certificate chain, sent to each peer exactly as in its file, including the root: a switch that runs with
/// `--bootstrap-ca-cert` takes the root from it.
///
/// `with_single_cert` of rustls refuses X.509 v1, so this type resolves the certificate.
#[derive(Debug)]
pub(super) struct Identity {
    key: Arc<CertifiedKey>,
    /// Of the first certificate.
    pub(super) facts: Certificate,
    /// Of the whole chain.
    pub(super) dates: Dated,
}

impl Identity {
    pub(super) fn load(
        settings: &Settings,
        files: &Files,
        provider: &CryptoProvider,
        uses: Uses,
    ) -> Result<Self, TlsError> {
        let chain = files::certificates(CERTIFICATE, &settings.certificate, &files.certificate)?;
        let fail = |problem| TlsError::new(PRIVATE_KEY, &settings.private_key, problem);
        let der = private_key(&files.private_key).map_err(fail)?;
        let key = provider
            .key_provider
            .load_private_key(der)
            .map_err(|e| fail(Problem::BadKey(unusable(&chain).unwrap_or_else(|| e.to_string()))))?;

        let public = key.public_key();
        let public = public.as_ref().map(AsRef::<[u8]>::as_ref);
        let belongs = |certificate: X509Certificate<'_>| Some(certificate.public_key().raw) == public;
        let position = chain.iter().position(|der| x509::parse(der).is_some_and(belongs));
        if position != Some(0) {
            return Err(fail(Problem::KeyMismatch {
                certificate: settings.certificate.clone(),
                position: position.map(|index| index + 1),
            }));
        }
        let first = chain.first().and_then(|der| Some((der, x509::parse(der)?)));
        let Some(facts) = first.map(|(der, parsed)| x509::facts(der, &parsed)) else {
            let problem = Problem::BadCertificate(1);
            return Err(TlsError::new(CERTIFICATE, &settings.certificate, problem));
        };
        Ok(Self {
            dates: Dated::chain(CERTIFICATE, settings.certificate.clone(), &chain, uses),
            key: Arc::new(CertifiedKey::new(chain, key)),
            facts,
        })
    }
}

impl Identity {
    /// The state of the chain, for the log line of a peer that refused it: what is wrong with it, or its end.
    pub(super) fn state(&self, now: UnixTime) -> String {
        match self.dates.findings(now).into_iter().find(|finding| finding.is_bad) {
            Some(bad) => format!("here: {}", bad.what),
            None => format!("here: {}, valid by our clock", self.dates.own()),
        }
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.key))
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.key))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The kind of the own key, as the certificate has it, if that kind cannot be used.
fn unusable(chain: &[CertificateDer<'_>]) -> Option<String> {
    let own = x509::parse(chain.first()?)?;
    Some(format!("it is {}", keys::unusable_key(own.public_key())?))
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Problem> {
    let text = String::from_utf8_lossy(pem);
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(Problem::EncryptedKey);
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        PemError::NoItemsFound => files::no_pem("PRIVATE KEY", pem),
        error => Problem::BadPem(files::describe(&error)),
    })
}
