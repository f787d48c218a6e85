//! The client end of TLS: a switch or an agent that dials.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tandem_core::machine::Certificate;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::dates::{Dated, Finding};
use super::dialled::Dialled;
use super::error::{Problem, TlsError};
use super::explain::{self, Judged};
use super::files::{self, Files};
use super::identity::Identity;
use super::peers::Uses;
use super::settings::{CA, CERTIFICATE, Settings};
use super::{refusal, worse, x509};

/// The TLS client: shows the certificate of the settings, and trusts their CA. It does not compare names.
///
/// `crl`, `pins` and `allow_x509_v1` are for servers, and have no effect here.
#[derive(Debug)]
pub struct Connector {
    /// The section of the configuration that names the CAs.
    section: &'static str,
    provider: Arc<CryptoProvider>,
    identity: Arc<Identity>,
    webpki: Arc<WebPkiServerVerifier>,
    authorities: Arc<[CertificateDer<'static>]>,
    dates: Dated,
}

impl Connector {
    /// Reads all files. An error names the first file that cannot be used.
    pub fn load(settings: &Settings) -> Result<Self, TlsError> {
        Self::load_for("tls", settings)
    }

    /// As [`Self::load`]; this section of the configuration names the CAs.
    pub fn load_for(section: &'static str, settings: &Settings) -> Result<Self, TlsError> {
        Self::read(section, settings).map_err(|error| error.with_ca_of(section))
    }

    fn read(section: &'static str, settings: &Settings) -> Result<Self, TlsError> {
        let files = Files::read(settings)?;
        let provider = Arc::new(ring::default_provider());
        let identity = Identity::load(settings, &files, &provider, Uses::DIALS)?;
        let refused = |problem| TlsError::new(CA, &settings.ca, problem);
        let authorities = files::certificates(CA, &settings.ca, &files.ca)?;
        let mut roots = RootCertStore::empty();
        for (index, authority) in authorities.iter().enumerate() {
            roots.add(authority.clone()).map_err(|e| {
                let (number, why) = (index + 1, e.to_string());
                refused(Problem::BadAuthority { number, why })
            })?;
        }
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|e| refused(Problem::Internal(e.to_string())))?;
        let connector = Self {
            section,
            provider,
            identity: Arc::new(identity),
            webpki,
            dates: Dated::authorities(CA, settings.ca.clone(), &authorities),
            authorities: authorities.into(),
        };
        connector.client().map_err(|e| {
            let problem = Problem::Internal(e.to_string());
            TlsError::new(CERTIFICATE, &settings.certificate, problem)
        })?;
        Ok(connector)
    }

    /// What is wrong, or soon will be, with the own chain and with the CAs of the peers.
    pub fn findings(&self) -> Vec<Finding> {
        let now = UnixTime::now();
        let mut findings = self.identity.dates.findings(now);
        findings.extend(self.dates.findings(now));
        let of = |finding: Finding| finding.with_ca_of(self.section);
        findings.into_iter().map(of).collect()
    }

    /// When the first CA of the peers ends, in seconds since 1970.
    pub fn authorities_not_after(&self) -> i64 {
        self.dates.earliest_end()
    }

    /// The handshake. Has no deadline of its own. Returns the stream and the facts of the peer's certificate. An error is
    /// one sentence.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<(Dialled, Certificate)> {
        let name = ServerName::IpAddress(stream.peer_addr()?.ip().into());
        let (config, witness) = self.client().map_err(io::Error::other)?;
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let stream = connected.map_err(|error| match witness.refusal.get() {
            Some(what) => io::Error::new(error.kind(), what.clone()),
            None if error.get_ref().is_some() => {
                let what = refusal::explain(&error, || self.identity.state(UnixTime::now())).what;
                io::Error::new(error.kind(), what)
            }
            None => error,
        })?;
        match x509::peer_facts(stream.get_ref().1) {
            Some(certificate) => Ok((Dialled::new(stream, Arc::clone(&self.identity)), certificate)),
            // The verifier has parsed the same bytes.
            None => Err(io::Error::other("the peer sent no certificate")),
        }
    }

    /// One configuration per handshake, so that its verifier can record the reason of a refusal.
    fn client(&self) -> Result<(ClientConfig, Arc<AnyName>), Error> {
        let witness = Arc::new(AnyName {
            webpki: Arc::clone(&self.webpki),
            authorities: Arc::clone(&self.authorities),
            ca: format!("{}.{CA}", self.section),
            refusal: OnceLock::new(),
        });
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<AnyName>::clone(&witness))
            .with_client_cert_resolver(Arc::<Identity>::clone(&self.identity));
        Ok((config, witness))
    }
}

/// The connector whose files were good last: files that cannot be used, or cannot serve now, do not replace it.
#[derive(Debug)]
pub struct Current {
    section: &'static str,
    last: Mutex<Option<Arc<Connector>>>,
}

impl Current {
    /// This section of the configuration names the CAs.
    pub fn new(section: &'static str) -> Self {
        let last = Mutex::default();
        Self { section, last }
    }

    /// Reads the files of these settings.
    ///
    /// # Errors
    /// They cannot be used, and none were good before.
    pub fn load(&self, settings: &Settings) -> Result<Arc<Connector>, TlsError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match (Connector::load_for(self.section, settings), &*last) {
            (Err(error), None) => Err(error),
            (Err(_), Some(old)) => Ok(Arc::clone(old)),
            (Ok(new), Some(old)) if worse(&old.findings(), new.findings()).is_some() => Ok(Arc::clone(old)),
            (Ok(new), _) => Ok(Arc::clone(last.insert(Arc::new(new)))),
        }
    }
}

/// Verifies as webpki does, but without names: as in Open vSwitch, a switch knows its manager by the CA.
#[derive(Debug)]
struct AnyName {
    webpki: Arc<WebPkiServerVerifier>,
    authorities: Arc<[CertificateDer<'static>]>,
    /// The key that names the file of the authorities.
    ca: String,
    refusal: OnceLock<String>,
}

impl AnyName {
    /// Records why the certificate is refused.
    fn explain(&self, der: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>], now: UnixTime, error: &Error) {
        let Some(certificate) = x509::parse(der) else { return };
        let judged = Judged {
            certificate: &certificate,
            intermediates,
            authorities: &self.authorities,
            ca: &self.ca,
            peers: None,
            now,
        };
        let (_, what) = match explain::own_key(&certificate) {
            Ok(()) => explain::explain(error, &judged),
            Err(refused) => refused,
        };
        let _first = self
            .refusal
            .set(format!("{} {what}", x509::describe(der, &certificate)));
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = self
            .webpki
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match judged {
            // webpki checks the name last: everything else is valid.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other.inspect_err(|error| self.explain(end_entity, intermediates, now, error)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
