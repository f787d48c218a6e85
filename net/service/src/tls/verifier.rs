//! Verification of client certificates.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use tandem_core::machine::Fingerprint;
use x509_parser::certificate::X509Certificate;
use x509_parser::x509::X509Version;

use super::crl::Crls;
use super::dates::Dated;
use super::error::{Problem, TlsError};
use super::explain::{self, Judged};
use super::files::{self, Files};
use super::peers::Peers;
use super::refusal::{Cause, Refusal};
use super::settings::{CA, CRL, Settings};
use super::{v1, x509};

/// Verifies client certificates, in this order: revoked, pinned, v1, and all others by webpki.
#[derive(Debug)]
pub(super) struct Verifier {
    webpki: Arc<dyn ClientCertVerifier>,
    authorities: Vec<CertificateDer<'static>>,
    crls: Crls,
    allow_x509_v1: bool,
    pins: Vec<Fingerprint>,
    /// Those of a configuration that came later.
    later_pins: Arc<LaterPins>,
    algorithms: WebPkiSupportedAlgorithms,
    peers: Peers,
    /// Of the authorities.
    pub(super) dates: Dated,
}

/// Pins that can change without a reload.
pub(super) type LaterPins = ArcSwap<BTreeSet<Fingerprint>>;

impl Verifier {
    pub(super) fn load(
        peers: Peers,
        settings: &Settings,
        files: &Files,
        (provider, later_pins): (&Arc<CryptoProvider>, &Arc<LaterPins>),
    ) -> Result<Self, TlsError> {
        let authorities = files::certificates(CA, &settings.ca, &files.ca)?;
        let algorithms = provider.signature_verification_algorithms;
        let crls = Crls::load(settings, files, &authorities, &algorithms)?;
        let mut roots = RootCertStore::empty();
        for (index, authority) in authorities.iter().enumerate() {
            roots.add(authority.clone()).map_err(|e| {
                let (number, why) = (index + 1, e.to_string());
                TlsError::new(CA, &settings.ca, Problem::BadAuthority { number, why })
            })?;
        }
        let webpki = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .with_crls(crls.ders.iter().cloned())
            .build()
            .map_err(|e| match &settings.crl {
                Some(path) => TlsError::new(CRL, path, Problem::RefusedCrl(e.to_string())),
                None => TlsError::new(CA, &settings.ca, Problem::Internal(e.to_string())),
            })?;
        Ok(Self {
            webpki,
            peers,
            dates: Dated::authorities(CA, settings.ca.clone(), &authorities),
            authorities,
            crls,
            allow_x509_v1: settings.allow_x509_v1,
            pins: settings.pins.clone(),
            later_pins: Arc::clone(later_pins),
            algorithms,
        })
    }

    fn judge(
        &self,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let Some(certificate) = x509::parse(der) else {
            let what = "the peer's certificate is not X.509".to_owned();
            return Err(Refusal::new(Cause::BadCertificate, what));
        };
        self.judge_parsed(der, &certificate, intermediates, now)
            .map_err(|(cause, what)| Refusal::new(cause, format!("{} {what}", x509::describe(der, &certificate))))
    }

    fn judge_parsed(
        &self,
        der: &CertificateDer<'_>,
        certificate: &X509Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), (Cause, String)> {
        if self.crls.revokes(certificate) {
            return Err((Cause::Revoked, "is revoked".to_owned()));
        }
        explain::own_key(certificate)?;
        // A pin names one certificate, and replaces the checks of issuer, signature and dates.
        if self.is_pinned(der) {
            return Ok(());
        }
        self.judge_chain(der, certificate, intermediates, now)
    }

    fn is_pinned(&self, der: &CertificateDer<'_>) -> bool {
        let shown = x509::fingerprint(der);
        self.pins.contains(&shown) || self.later_pins.load().contains(&shown)
    }

    fn has_pins(&self) -> bool {
        !self.pins.is_empty() || !self.later_pins.load().is_empty()
    }

    /// Whether a certificate that was accepted owes that to its pin: no CA vouches for its names.
    pub(super) fn relies_on_pin(&self, der: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> bool {
        let vouched = |certificate| self.judge_chain(der, &certificate, intermediates, UnixTime::now());
        self.is_pinned(der) && x509::parse(der).map(vouched).is_none_or(|judged| judged.is_err())
    }

    fn judge_chain(
        &self,
        der: &CertificateDer<'_>,
        certificate: &X509Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), (Cause, String)> {
        match (certificate.version() == X509Version::V1, self.allow_x509_v1) {
            (true, false) => Err((
                Cause::BadCertificate,
                match self.peers {
                    Peers::Switches => "is X.509 version 1; renew it with the ovs-pki of Open vSwitch 2.11 or later, pin it, or set tls.allow_x509_v1 = true".to_owned(),
                    Peers::LedSwitches => "is X.509 version 1; renew it with the ovs-pki of Open vSwitch 2.11 or later, or set tls.allow_x509_v1 = true".to_owned(),
                    Peers::Clients | Peers::Pair => explain::VERSION_1.to_owned(),
                },
            )),
            (true, true) => v1::verify(
                der,
                certificate,
                &self.authorities,
                &self.crls,
                &self.algorithms,
                now,
            ),
            (false, _) => self
                .webpki
                .verify_client_cert(der, intermediates, now)
                .map(|_| ())
                .map_err(|error| {
                    let judged = Judged {
                        certificate,
                        intermediates,
                        authorities: &self.authorities,
                        ca: &format!("{}.{CA}", self.peers.section()),
                        peers: Some(self.peers),
                        now,
                    };
                    explain::explain(&error, &judged)
                }),
        }
    }
}

/// The verifier of one handshake. It records the reason of a refusal as text, which the error of rustls cannot carry.
#[derive(Debug)]
pub(super) struct Witness {
    pub(super) verifier: Arc<Verifier>,
    pub(super) refusal: OnceLock<Refusal>,
}

impl Witness {
    fn bad_signature(&self) -> Error {
        CertificateError::BadSignature.into()
    }
}

impl ClientCertVerifier for Witness {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Empty if certificates are pinned: a client sends no certificate if its CA is not in the list.
        match self.verifier.has_pins() {
            false => self.verifier.webpki.root_hint_subjects(),
            true => &[],
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.verifier.judge(end_entity, intermediates, now) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(refusal) => {
                let error = alert(refusal.cause);
                let _first = self.refusal.set(refusal);
                Err(error.into())
            }
        }
    }

    // The helpers of rustls parse the certificate with webpki, which refuses v1; hence the bare key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = x509::parse(cert).ok_or_else(|| self.bad_signature())?;
        let key = certificate.public_key();
        let algorithms = &self.verifier.algorithms;
        match x509::is_message_signed_by(message, dss.scheme, dss.signature(), key, algorithms) {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(self.bad_signature()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = x509::parse(cert).ok_or_else(|| self.bad_signature())?;
        let key = SubjectPublicKeyInfoDer::from(certificate.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.verifier.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.algorithms.supported_schemes()
    }
}

/// The error whose alert the peer receives.
fn alert(cause: Cause) -> CertificateError {
    match cause {
        Cause::Expired => CertificateError::Expired,
        Cause::Revoked => CertificateError::Revoked,
        Cause::UnknownCa => CertificateError::UnknownIssuer,
        _ => CertificateError::BadEncoding,
    }
}
