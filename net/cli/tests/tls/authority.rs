//! Certificates of every kind, and a client that shows them.

use std::fs;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ResolvesClientCert};
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tandem_core::machine::Certificate;
use tandem_net::tls::{Acceptor, Refusal, Settings};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A deadline that only a hang reaches.
pub(crate) async fn patiently<T>(future: impl Future<Output = T>) -> T {
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, future).await.expect("within a minute")
}

/// A folder with an agent's CA and certificate, and a CA for switches.
pub(crate) struct Folder {
    pub(crate) dir: TempDir,
    pub(crate) agents: Ca,
    pub(crate) switches: Ca,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self {
            dir: TempDir::new().expect("a scratch folder"),
            agents: Ca::new("agents"),
            switches: Ca::new("switches"),
        };
        folder.write("switch-ca.pem", &folder.switches.0.pem());
        folder.show(&folder.agents.issue("agent", |_| {}));
        folder
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("writes");
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes this the agent's certificate, with its root behind it.
    pub(crate) fn show(&self, agent: &Identity) {
        self.write("agent-cert.pem", &format!("{}{}", agent.pem, self.agents.0.pem()));
        self.write("agent-key.pem", &agent.key);
    }

    pub(crate) fn settings(&self) -> Settings {
        settings(self.dir.path(), "agent-cert.pem", "agent-key.pem", "switch-ca.pem")
    }

    pub(crate) fn acceptor(&self) -> Arc<Acceptor> {
        Arc::new(Acceptor::load(&self.settings()).expect("loads"))
    }

    /// A switch as it should be.
    pub(crate) fn switch(&self) -> Identity {
        self.switches.issue("tor1", |_| {})
    }
}

pub(crate) fn settings(dir: &Path, certificate: &str, key: &str, ca: &str) -> Settings {
    Settings {
        certificate: dir.join(certificate),
        private_key: dir.join(key),
        ca: dir.join(ca),
        crl: None,
        allow_x509_v1: false,
        pins: Vec::new(),
    }
}

pub(crate) struct Ca(pub(crate) CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    pub(crate) fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a CA"))
    }

    pub(crate) fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new([format!("{name}.example")]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        Identity {
            pem: params.signed_by(&key, &self.0).expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }

    /// A version 2 CRL with these serial numbers in it.
    pub(crate) fn revoke(&self, serials: &[u64]) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).expect("a CRL").pem().expect("PEM")
    }
}

/// A certificate and its key, both PEM.
pub(crate) struct Identity {
    pub(crate) pem: String,
    pub(crate) key: String,
}

impl Identity {
    pub(crate) fn read(dir: &Path, name: &str) -> Self {
        let read = |file: String| fs::read_to_string(dir.join(file)).expect("reads");
        Self {
            pem: read(format!("{name}-cert.pem")),
            key: read(format!("{name}-key.pem")),
        }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("a certificate")
    }

    fn certified(&self) -> Arc<CertifiedKey> {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        let provider = ring::default_provider();
        let key = provider.key_provider.load_private_key(key).expect("a usable key");
        let chain = CertificateDer::pem_slice_iter(self.pem.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("certificates");
        Arc::new(CertifiedKey::new(chain, key))
    }
}

/// A TLS client that trusts every server, and shows the given certificate.
pub(crate) struct Client {
    shows: Option<Arc<CertifiedKey>>,
    versions: &'static [&'static SupportedProtocolVersion],
    refuses: Option<rustls::CertificateError>,
}

impl Client {
    pub(crate) fn new(identity: &Identity) -> Self {
        Self {
            shows: Some(identity.certified()),
            versions: rustls::ALL_VERSIONS,
            refuses: None,
        }
    }

    pub(crate) fn without_certificate() -> Self {
        Self {
            shows: None,
            versions: rustls::ALL_VERSIONS,
            refuses: None,
        }
    }

    pub(crate) fn with_tls12_only(mut self) -> Self {
        const TLS_1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
        self.versions = TLS_1_2;
        self
    }

    /// Refuses the certificate of every server with this error.
    pub(crate) fn refusing(mut self, error: rustls::CertificateError) -> Self {
        self.refuses = Some(error);
        self
    }

    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        self.over(TcpStream::connect(address).await?).await
    }

    pub(crate) async fn over(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(self.versions)
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Gullible(self.refuses.clone())))
            .with_client_cert_resolver(Arc::new(Shows(self.shows.clone())));
        let name = ServerName::try_from("agent").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

/// One handshake between the two, as the acceptor judges it.
pub(crate) async fn meet(acceptor: &Acceptor, client: &Client) -> Result<Certificate, Refusal> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let serve = async {
        let (stream, _) = listener.accept().await.expect("accepts");
        acceptor.accept(stream).await.map(|(_, facts)| facts)
    };
    let (_client, served) = patiently(async { tokio::join!(client.connect(address), serve) }).await;
    served
}

#[derive(Debug)]
struct Shows(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

#[derive(Debug)]
struct Gullible(Option<rustls::CertificateError>);

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.0 {
            Some(error) => Err(error.clone().into()),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
