//! The reason why a connection was refused: a cause for metrics, and a sentence for people.

use std::fmt;
use std::io;

use rustls::{AlertDescription, Error, PeerIncompatible};
use tandem_core::{CloseReason, CloseWhy, Fault};

use super::keys::KEYS;
use crate::proxy_protocol;

/// Why a connection has no session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The cause, for metrics.
    pub cause: Cause,
    /// One sentence for people.
    pub what: String,
}

impl Refusal {
    pub(crate) fn new(cause: Cause, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { cause, what }
    }

    /// The refusal that an error of a stream is.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for CloseWhy {
    fn from(refusal: Refusal) -> Self {
        Self::new(CloseReason::HandshakeFailed, refusal.what).with_fault(refusal.cause.fault())
    }
}

macro_rules! causes {
    ($($(#[$doc:meta])* $cause:ident = $label:literal, $fault:expr;)*) => {
        /// The causes, each with its own count.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Cause { $($(#[$doc])* $cause,)* }

        impl Cause {
            /// All causes, in the order of `cause as usize`.
            pub const ALL: &[Self] = &[$(Self::$cause,)*];

            /// The label in metrics and logs.
            pub fn label(self) -> &'static str {
                match self { $(Self::$cause => $label,)* }
            }

            /// The fault; `None` if nothing is wrong.
            pub fn fault(self) -> Option<Fault> {
                match self { $(Self::$cause => $fault,)* }
            }
        }
    };
}

causes! {
    /// It closed without sending anything: a health check, a port scan.
    Probe = "probe", None;
    /// It did not send TLS.
    NotTls = "not_tls", Some(Fault::PeerMisbehaved);
    /// No PROXY v2 header where one is required, or a broken one.
    ProxyRequired = "proxy_required", Some(Fault::Environment);
    /// A PROXY header where none is configured.
    ProxyUnexpected = "proxy_unexpected", Some(Fault::Environment);
    /// No common TLS version or cipher.
    OldTls = "old_tls", Some(Fault::PeerIncompatible);
    /// The peer sent no certificate.
    NoCertificate = "no_certificate", Some(Fault::PeerIncompatible);
    /// A CA that is not configured signed the peer's certificate.
    UnknownCa = "unknown_ca", Some(Fault::PeerMisbehaved);
    /// The peer's certificate has expired, or is not yet valid.
    Expired = "expired", Some(Fault::PeerMisbehaved);
    /// The peer's certificate is revoked, or no list of its issuer is configured.
    Revoked = "revoked", Some(Fault::PeerMisbehaved);
    /// Another problem of the peer's certificate.
    BadCertificate = "bad_certificate", Some(Fault::PeerIncompatible);
    /// The peer refused our certificate.
    RefusedByPeer = "refused_by_peer", Some(Fault::Environment);
    /// The handshake took too long.
    Deadline = "deadline", Some(Fault::PeerMisbehaved);
    /// It closed in the middle of the handshake.
    Closed = "closed", Some(Fault::PeerMisbehaved);
    /// Too many handshakes at once.
    HalfOpen = "half_open", Some(Fault::Environment);
    /// The handshake failed in another way.
    Handshake = "handshake", Some(Fault::PeerMisbehaved);
    /// The system could not accept a connection.
    Accept = "accept", Some(Fault::Environment);
}

impl Cause {
    /// Whether the cause may be our certificate, our CAs, our clock or our settings. The others come from clients that are no
    /// switches, or from a network that delivers nothing.
    pub fn may_be_ours(self) -> bool {
        match self {
            Self::ProxyUnexpected
            | Self::OldTls
            | Self::UnknownCa
            | Self::Expired
            | Self::Revoked
            | Self::BadCertificate
            | Self::RefusedByPeer
            | Self::Closed
            | Self::Handshake => true,
            Self::Probe
            | Self::NotTls
            | Self::ProxyRequired
            | Self::NoCertificate
            | Self::Deadline
            | Self::HalfOpen
            | Self::Accept => false,
        }
    }
}

/// Checks the first bytes of a connection; `None` if they can be TLS.
///
/// `head` is the result of one peek at the socket, usually a whole ClientHello.
pub(super) fn first_look(head: &[u8]) -> Option<Refusal> {
    let refuse = |cause, what| Some(Refusal::new(cause, what));
    match head.first()? {
        // A handshake record (RFC 8446 5.1).
        0x16 => match offered_version(head) {
            Some(version) if version < TLS_1_2 => Some(old_tls(&name(version))),
            _ => None,
        },
        _ if head.starts_with(b"PROXY ") => refuse(
            Cause::ProxyUnexpected,
            "the peer sent a PROXY header of version 1, but this listener has proxy_protocol = false; remove send-proxy from the server line of the proxy, or write send-proxy-v2 instead and set proxy_protocol to true",
        ),
        _ if proxy_protocol::looks_like_v2(head) => refuse(
            Cause::ProxyUnexpected,
            "the peer sent a PROXY header, but this listener has proxy_protocol = false; set it to true, or remove send-proxy-v2 from the server line of the proxy",
        ),
        _ if HTTP.iter().any(|method| head.starts_with(method)) => {
            refuse(Cause::NotTls, "the peer speaks HTTP, not TLS")
        }
        b'{' => refuse(
            Cause::NotTls,
            "the peer speaks OVSDB without TLS; its Manager target must begin with ssl:, not tcp:",
        ),
        _ if is_ssl2_hello(head) => Some(old_tls("SSL 2 or 3")),
        _ => refuse(Cause::NotTls, "the peer does not speak TLS"),
    }
}

/// The alert of the other end, if that is the error.
pub(super) fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// Describes the failure of a handshake. `own` describes the state of the own certificate.
pub(super) fn explain(error: &io::Error, own: impl FnOnce() -> String) -> Refusal {
    let tls = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
    match (tls, error.kind()) {
        (Some(error), _) => explain_tls(error, own),
        (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            Refusal::new(Cause::Closed, "the peer closed the connection during the TLS handshake")
        }
        (None, _) => Refusal::new(
            Cause::Handshake,
            format!("the connection failed during the TLS handshake: {error}"),
        ),
    }
}

const TLS_1_2: u16 = 0x0303;
const HTTP: &[&[u8]] = &[b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTIONS ", b"CONNECT "];

fn explain_tls(error: &Error, own: impl FnOnce() -> String) -> Refusal {
    let of = |cause, what: String| Refusal::new(cause, what);
    match error {
        Error::NoCertificatesPresented => of(
            Cause::NoCertificate,
            format!(
                "the peer sent no certificate; a switch needs one signed by a CA in tls.ca, with a kind of key that can be verified ({KEYS}): a key of another kind may be the reason why none was sent"
            ),
        ),
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
        ) => old_tls("a version older than TLS 1.2"),
        Error::PeerIncompatible(
            why @ (PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon
            | PeerIncompatible::NoEcPointFormatsInCommon
            | PeerIncompatible::NamedGroupsExtensionRequired),
        ) => of(
            Cause::OldTls,
            format!(
                "the peer offers TLS 1.2 without any of its modern ciphers (ECDHE with AES-GCM or ChaCha20; {why:?}); terminate TLS in HAProxy in front of it"
            ),
        ),
        Error::AlertReceived(alert) => of(Cause::RefusedByPeer, refused_by_peer(*alert, own)),
        Error::InvalidCertificate(why) => of(
            Cause::BadCertificate,
            format!("the peer did not prove that it has the key of its certificate: {why}"),
        ),
        Error::InvalidMessage(why) => of(Cause::NotTls, format!("the peer violated the TLS protocol: {why:?}")),
        error => of(Cause::Handshake, format!("the TLS handshake failed: {error}")),
    }
}

/// The alerts of OpenSSL: it sends `bad_certificate` for one that is not valid yet, and for a key or a digest that its
/// security level excludes.
fn refused_by_peer(alert: AlertDescription, own: impl FnOnce() -> String) -> String {
    let clock = "compare the clock of the peer";
    let what = match alert {
        AlertDescription::UnknownCA => "the peer does not know the CA of our certificate; give it the root of tls.certificate (a switch: ovs-pki has it in controllerca/cacert.pem; a control node: its tls.ca; an agent, of its control node: [control] ca)".to_owned(),
        AlertDescription::BadCertificate => format!(
            "the peer refused our certificate as bad: it may find a date not yet valid ({clock}), a signature wrong (it has another CA of the same name), or a key or a digest such as SHA-1 too weak; the log of a Tandem node names it"
        ),
        AlertDescription::DecryptError => {
            "the peer finds a signature of our chain wrong: it has another CA of the same name, or cannot verify a kind of key or digest in the chain, such as P-521 or SHA-1".to_owned()
        }
        AlertDescription::CertificateExpired => format!(
            "the peer refused our certificate as expired: it or a CA above it has ended, or the clock is wrong ({clock})"
        ),
        AlertDescription::CertificateRevoked => {
            "the peer refused our certificate as revoked: a list of revoked certificates at the peer contains it or a CA above it, or the peer has no list of its issuer".to_owned()
        }
        AlertDescription::UnsupportedCertificate | AlertDescription::CertificateUnknown => format!(
            "the peer refused our certificate with the alert {alert:?}: its kind of key or its extended key usage (serverAuth for an end that listens, clientAuth for one that dials) does not suit the peer, or its dates do not ({clock})"
        ),
        AlertDescription::CertificateRequired => {
            "the peer requires a certificate with another kind of key than ours".to_owned()
        }
        alert => return format!("the peer refused the handshake with the alert {alert:?}"),
    };
    format!("{what}; {}", own())
}

fn old_tls(offered: &str) -> Refusal {
    Refusal::new(
        Cause::OldTls,
        format!(
            "the peer offers {offered} at most, and Tandem supports only TLS 1.2 and 1.3; upgrade the switch or terminate TLS in HAProxy in front of it"
        ),
    )
}

/// `legacy_version` of a ClientHello at the start of a stream (RFC 8446 4.1.2): the highest version offered
/// below 1.3, and 1.2 when 1.3 is offered too.
fn offered_version(head: &[u8]) -> Option<u16> {
    const CLIENT_HELLO: u8 = 1;
    match (head.get(5), head.get(9..11)) {
        (Some(&CLIENT_HELLO), Some(&[high, low])) => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

fn name(version: u16) -> String {
    match version {
        0x0302 => "TLS 1.1".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0x0300 => "SSL 3".to_owned(),
        other => format!("version {other:#06x}"),
    }
}

/// The hello of SSL 2, which old clients of SSL 3 and TLS 1.0 send too (RFC 5246 E.2).
fn is_ssl2_hello(head: &[u8]) -> bool {
    matches!(head, [length, _, 1, 0 | 2 | 3, ..] if length & 0x80 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(head: &[u8]) -> Option<Cause> {
        first_look(head).map(|refusal| refusal.cause)
    }

    #[test]
    fn the_first_bytes_show_the_protocol_of_the_peer() {
        let mut hello = vec![0x16, 3, 1, 0, 100, 1, 0, 0, 96, 3, 3, 0, 0];
        assert_eq!(cause(&hello), None, "TLS 1.2 and 1.3");
        assert_eq!(cause(&hello[..6]), None, "too short to decide");
        for (minor, version) in [(2, "TLS 1.1"), (1, "TLS 1.0"), (0, "SSL 3")] {
            hello[10] = minor;
            let refusal = first_look(&hello).expect("refused");
            assert_eq!(refusal.cause, Cause::OldTls);
            assert!(
                refusal.what.contains(version) && refusal.what.contains("HAProxy"),
                "{refusal:?}"
            );
        }
        assert_eq!(cause(b"\x80\x2e\x01\x03\x01"), Some(Cause::OldTls));
        assert_eq!(cause(b"GET / HTTP/1.0\r\n"), Some(Cause::NotTls));
        assert_eq!(cause(b"{\"method\":"), Some(Cause::NotTls));
        assert_eq!(cause(b"\0"), Some(Cause::NotTls));
        assert_eq!(cause(b"\r\n\r\n\0\r\nQUIT\n\x21"), Some(Cause::ProxyUnexpected));
        assert_eq!(
            cause(b"\r\n\r\n"),
            Some(Cause::ProxyUnexpected),
            "a part of the signature"
        );
        let version_1 = first_look(b"PROXY TCP4 192.0.2.1").expect("refused");
        assert_eq!(version_1.cause, Cause::ProxyUnexpected);
        assert!(version_1.what.contains("remove send-proxy from"), "{version_1:?}");
    }

    #[test]
    fn every_cause_has_its_own_label_and_index() {
        let mut labels: Vec<_> = Cause::ALL.iter().map(|cause| cause.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Cause::ALL.len());
        for (index, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, index);
        }
    }
}
