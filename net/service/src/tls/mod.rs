//! Mutual TLS 1.2 and 1.3: from files to an acceptor, from an accepted connection to a verified byte stream.
//!
//! Each handshake verifies the peer's certificate: there is no session resumption, so a reload of CA, CRL or pins applies
//! to the next connection. Names are not checked here, as in Open vSwitch: the database has the name of the switch, and a
//! rule of the configuration binds it to a certificate.

mod authority;
mod connector;
mod crl;
mod dates;
mod dialled;
mod error;
mod explain;
mod files;
mod identity;
mod keys;
mod peers;
mod refusal;
mod settings;
mod v1;
mod verifier;
mod x509;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls_pki_types::UnixTime;
use tandem_core::machine::{Certificate, Fingerprint};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use authority::vouches_for;
pub use connector::{Connector, Current};
pub use dates::Finding;
pub use dialled::Dialled;
pub use error::{Problem, TlsError};
pub use peers::Peers;
pub use refusal::{Cause, Refusal};
pub use settings::Settings;

use files::Files;
use identity::Identity;
use peers::Uses;
use verifier::{LaterPins, Verifier, Witness};

/// The TLS server. It can load new certificates while it runs.
#[derive(Debug)]
pub struct Acceptor {
    peers: Peers,
    current: ArcSwap<Loaded>,
    later_pins: Arc<LaterPins>,
    /// The last attempt to load the files; see [`Self::changed`].
    tried: Mutex<Tried>,
}

#[derive(Debug, Default)]
struct Tried {
    /// The state of the files then.
    digest: [u8; 32],
    /// When a certificate that was not valid yet becomes valid, in seconds since 1970: then they are tried again.
    again_unix_s: Option<i64>,
}

impl Acceptor {
    /// Reads all files. An error names the first file that cannot be used; without an acceptor there is no
    /// listener.
    pub fn load(settings: &Settings) -> Result<Self, TlsError> {
        Self::load_for(Peers::Switches, settings)
    }

    /// As [`Self::load`], for these peers.
    pub fn load_for(peers: Peers, settings: &Settings) -> Result<Self, TlsError> {
        let named = |error: TlsError| error.with_ca_of(peers.section());
        let files = Files::read(settings).map_err(named)?;
        let later_pins = Arc::default();
        let loaded = Loaded::new(peers, settings, &files, &later_pins);
        Ok(Self {
            peers,
            later_pins,
            tried: Mutex::new(Tried {
                digest: files.own_digest(),
                again_unix_s: None,
            }),
            current: ArcSwap::from_pointee(loaded.map_err(named)?),
        })
    }

    /// Whether the files have changed since the last attempt to load them, so that invalid files are tried once. Reads the
    /// files (some kilobytes).
    pub fn changed(&self) -> bool {
        let digest = Files::digest(&self.current.load().settings);
        let tried = self.tried();
        let begins = |at| UnixTime::now().as_secs().cast_signed() >= at;
        digest != tried.digest || tried.again_unix_s.is_some_and(begins)
    }

    /// Loads the files again, for new handshakes; sessions stay. Returns whether anything has changed. After an error, the
    /// old certificates stay in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let settings = self.current.load().settings.clone();
        self.replace(&settings)
    }

    /// As [`Self::reload`], with other settings. Certificates that cannot serve now never replace those that can.
    pub fn replace(&self, settings: &Settings) -> Result<bool, TlsError> {
        self.try_replace(settings)
            .map_err(|error| error.with_ca_of(self.peers.section()))
    }

    fn try_replace(&self, settings: &Settings) -> Result<bool, TlsError> {
        // Held for the whole reload, so that two reloads cannot interleave.
        let mut tried = self.tried();
        *tried = Tried::default();
        let files = Files::read(settings).inspect_err(|_| tried.digest = Files::digest(settings))?;
        tried.digest = files.own_digest();
        let current = self.current.load();
        if current.digest == tried.digest && current.settings == *settings {
            return Ok(false);
        }
        let new = Loaded::new(self.peers, settings, &files, &self.later_pins)?;
        let now = UnixTime::now();
        if let Some(worse) = worse(&current.findings(now), new.findings(now)) {
            tried.again_unix_s = new.identity.dates.next_beginning(now);
            return Err(worse.into_error());
        }
        self.current.store(Arc::new(new));
        Ok(true)
    }

    /// From now on handshakes admit these certificates, too, whatever CA they have: switches of the configuration pin them.
    pub fn pin(&self, pins: BTreeSet<Fingerprint>) {
        self.later_pins.store(Arc::new(pins));
    }

    /// What is wrong, or soon will be, with the own chain and with the CAs of the peers.
    pub fn findings(&self) -> Vec<Finding> {
        let findings = self.current.load().findings(UnixTime::now());
        let of = |finding: Finding| finding.with_ca_of(self.peers.section());
        findings.into_iter().map(of).collect()
    }

    /// When the first certificate of the own chain ends, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.current.load().identity.dates.earliest_end()
    }

    /// When the first CA of the peers ends, in seconds since 1970.
    pub fn authorities_not_after(&self) -> i64 {
        self.current.load().verifier.dates.earliest_end()
    }

    /// The facts of the own certificate.
    pub fn certificate(&self) -> Certificate {
        self.current.load().identity.facts.clone()
    }

    /// The handshake on a connection whose next bytes are TLS: the caller has read a PROXY header before, and sets the
    /// deadline. Returns the stream and the facts of the peer's certificate.
    pub async fn accept(&self, stream: TcpStream) -> Result<(TlsStream<TcpStream>, Certificate), Refusal> {
        let mut head = [0; 64];
        let seen = match stream.peek(&mut head).await {
            Ok(seen) => head.get(..seen).unwrap_or_default(),
            Err(_) => &[],
        };
        if seen.is_empty() {
            return Err(Refusal::new(
                Cause::Probe,
                "the peer closed the connection without sending anything",
            ));
        }
        if let Some(refusal) = refusal::first_look(seen) {
            if refusal.cause == Cause::OldTls {
                send_protocol_version(&stream);
            }
            return Err(refusal);
        }
        let loaded = self.current.load_full();
        let (config, witness) = loaded.server()?;
        let stream = TlsAcceptor::from(config).accept(stream).await;
        let stream = stream.map_err(|error| {
            let refused = witness.refusal.get().cloned();
            refused.unwrap_or_else(|| refusal::explain(&error, || loaded.identity.state(UnixTime::now())))
        })?;
        let presented = stream.get_ref().1.peer_certificates().and_then(<[_]>::split_first);
        let relies_on_pin = presented.is_some_and(|(der, rest)| loaded.verifier.relies_on_pin(der, rest));
        match x509::peer_facts(stream.get_ref().1) {
            Some(mut facts) => {
                facts.pinned_only = relies_on_pin;
                Ok((stream, facts))
            }
            // The verifier has parsed the same bytes.
            None => Err(Refusal::new(Cause::NoCertificate, "the peer sent no certificate")),
        }
    }

    fn tried(&self) -> std::sync::MutexGuard<'_, Tried> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The finding that keeps new files from replacing the current ones: they are bad, and the current ones are not.
fn worse(current: &[Finding], new: Vec<Finding>) -> Option<Finding> {
    new.into_iter().find(|finding| {
        let as_bad = |other: &Finding| other.is_bad && other.role == finding.role;
        finding.is_bad && !current.iter().any(as_bad)
    })
}

/// Sends an old peer the alert `protocol_version`, if that does not block; rustls would send `handshake_failure`.
fn send_protocol_version(stream: &TcpStream) {
    const ALERT: [u8; 7] = [0x15, 3, 1, 0, 2, 2, 70];
    // Unread bytes would turn the close into a reset, which overtakes the alert.
    let mut hello = [0; 4096];
    let _best_effort = stream.try_read(&mut hello);
    let _best_effort = stream.try_write(&ALERT);
}

/// One state of the files.
#[derive(Debug)]
struct Loaded {
    settings: Settings,
    digest: [u8; 32],
    provider: Arc<CryptoProvider>,
    identity: Arc<Identity>,
    verifier: Arc<Verifier>,
}

impl Loaded {
    fn new(peers: Peers, settings: &Settings, files: &Files, later_pins: &Arc<LaterPins>) -> Result<Self, TlsError> {
        // By name: if another crate enables the second provider of rustls, the default panics.
        let provider = Arc::new(ring::default_provider());
        let loaded = Self {
            settings: settings.clone(),
            digest: files.own_digest(),
            identity: Arc::new(Identity::load(settings, files, &provider, Uses::of(peers))?),
            verifier: Arc::new(Verifier::load(peers, settings, files, (&provider, later_pins))?),
            provider,
        };
        loaded.server().map_err(|refusal| {
            let problem = Problem::Internal(refusal.what);
            TlsError::new(settings::CERTIFICATE, &settings.certificate, problem)
        })?;
        Ok(loaded)
    }

    fn findings(&self, now: UnixTime) -> Vec<Finding> {
        let mut findings = self.identity.dates.findings(now);
        findings.extend(self.verifier.dates.findings(now));
        findings
    }

    /// One configuration per handshake, so that its verifier can record the reason of a refusal. The default of rustls
    /// stores no sessions and issues no tickets.
    fn server(&self) -> Result<(Arc<ServerConfig>, Arc<Witness>), Refusal> {
        let witness = Arc::new(Witness {
            verifier: Arc::clone(&self.verifier),
            refusal: OnceLock::new(),
        });
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| Refusal::new(Cause::Handshake, e.to_string()))?
            .with_client_cert_verifier(Arc::<Witness>::clone(&witness))
            .with_cert_resolver(Arc::<Identity>::clone(&self.identity));
        Ok((Arc::new(config), witness))
    }
}
