//! The client end of TLS: a switch or an agent that dials.

use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{Problem, TlsError};
use super::files::{self, Files};
use super::identity::Identity;
use super::settings::{CA, CERTIFICATE, Settings};

/// The TLS client: shows the certificate of the settings, and trusts their CA. It does not compare names.
///
/// `crl`, `pins` and `allow_x509_v1` are for servers, and have no effect here.
#[derive(Debug)]
pub struct Connector(Arc<ClientConfig>);

impl Connector {
    /// Reads all files. An error names the first file that cannot be used.
    pub fn load(settings: &Settings) -> Result<Self, TlsError> {
        let files = Files::read(settings)?;
        let provider = Arc::new(ring::default_provider());
        let identity = Identity::load(settings, &files, &provider)?;
        let refused = |problem| TlsError::new(CA, &settings.ca, problem);
        let mut roots = RootCertStore::empty();
        for (index, authority) in files::certificates(CA, &settings.ca, &files.ca)?
            .into_iter()
            .enumerate()
        {
            roots.add(authority).map_err(|e| {
                let (number, why) = (index + 1, e.to_string());
                refused(Problem::BadAuthority { number, why })
            })?;
        }
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|e| refused(Problem::Internal(e.to_string())))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| TlsError::new(CERTIFICATE, &settings.certificate, Problem::Internal(e.to_string())))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyName(webpki)))
            .with_client_cert_resolver(Arc::new(identity));
        Ok(Self(Arc::new(config)))
    }

    /// The handshake. Has no deadline of its own.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::IpAddress(stream.peer_addr()?.ip().into());
        TlsConnector::from(Arc::clone(&self.0)).connect(name, stream).await
    }
}

/// Verifies as webpki does, but without names: as in Open vSwitch, a switch knows its manager by the CA.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

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
            .0
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match judged {
            // webpki checks the name last: everything else is valid.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
