//! The shape that every machine has, and the few types that they all share.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use crate::close::{CloseReason, CloseWhy, Fault};
use crate::time::{Deadline, Time};

/// A state machine without IO: two enums and three methods.
///
/// The caller mutates, drains, and mutates again: after each [`handle`](Self::handle) it calls
/// [`poll_output`](Self::poll_output) until that answers `None`, and then [`poll_timeout`](Self::poll_timeout) to learn
/// when to come back. `handle` asserts in debug builds that the outputs were drained.
///
/// A machine that reports a line of bytes when it is complete, and gives up after a second without one:
///
/// ```
/// use std::time::Duration;
/// use tandem_core::{Deadline, Machine, Time};
///
/// #[derive(Default)]
/// struct Lines { held: Vec<u8>, begun: Option<Time>, output: Option<Line> }
///
/// enum Input { Bytes(Vec<u8>), Timeout }
///
/// #[derive(Debug, PartialEq)]
/// enum Line { Complete(String), Overdue }
///
/// #[derive(Debug, PartialEq)]
/// enum Why { LineOverdue }
///
/// impl Machine for Lines {
///     type Input = Input;
///     type Output = Line;
///     type Why = Why;
///
///     fn handle(&mut self, now: Time, input: Input) {
///         debug_assert!(self.output.is_none(), "drain the outputs first");
///         match input {
///             Input::Bytes(bytes) => {
///                 self.begun.get_or_insert(now);
///                 self.held.extend(bytes);
///                 if self.held.ends_with(b"\n") {
///                     self.begun = None;
///                     let line = std::mem::take(&mut self.held);
///                     self.output = Some(Line::Complete(String::from_utf8_lossy(&line).trim_end().into()));
///                 }
///             }
///             // The driver may call too early: only the time decides.
///             Input::Timeout => {
///                 if self.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
///                     *self = Self { output: Some(Line::Overdue), ..Self::default() };
///                 }
///             }
///         }
///     }
///
///     fn poll_output(&mut self) -> Option<Line> {
///         self.output.take()
///     }
///
///     fn poll_timeout(&self) -> Option<Deadline<Why>> {
///         Some(Deadline { at: self.begun? + Duration::from_secs(1), why: Why::LineOverdue })
///     }
/// }
///
/// let (mut lines, mut now) = (Lines::default(), Time::ORIGIN);
/// lines.handle(now, Input::Bytes(b"hel".to_vec()));
/// assert_eq!(lines.poll_output(), None);
/// lines.handle(now, Input::Bytes(b"lo\n".to_vec()));
/// assert_eq!(lines.poll_output(), Some(Line::Complete("hello".into())));
/// assert_eq!(lines.poll_timeout(), None, "only an input changes anything");
///
/// lines.handle(now, Input::Bytes(b"and".to_vec()));
/// let deadline = lines.poll_timeout().expect("half a line");
/// assert_eq!(deadline.why, Why::LineOverdue);
/// now = deadline.at;
/// lines.handle(now, Input::Timeout);
/// assert_eq!(lines.poll_output(), Some(Line::Overdue));
/// ```
pub trait Machine {
    /// The facts that may arrive.
    type Input;
    /// The outputs of the machine.
    type Output;
    /// Why it may want to be woken.
    type Why;

    /// One fact arrives. Does a bounded amount of work; what is left continues through a deadline.
    fn handle(&mut self, now: Time, input: Self::Input);

    /// The next thing to do, in order; `None` when nothing is left.
    fn poll_output(&mut self) -> Option<Self::Output>;

    /// When to call `handle` with a time-out, and why; `None` when only an input can change anything.
    fn poll_timeout(&self) -> Option<Deadline<Self::Why>>;
}

/// The driver's knowledge of the other end of a connection.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// The address of the socket's other end: behind a proxy, the proxy.
    pub address: SocketAddr,
    /// The address in a trusted PROXY header.
    pub proxied: Option<SocketAddr>,
    /// The facts of its certificate; `None` without TLS.
    pub certificate: Option<Certificate>,
}

impl Peer {
    /// The best known address of the switch itself.
    pub fn origin(&self) -> SocketAddr {
        self.proxied.unwrap_or(self.address)
    }
}

/// The facts of a certificate that was verified in the handshake.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// SHA-256 over the DER encoding.
    pub fingerprint: Fingerprint,
    /// The subject's common name and every DNS name of the subject's alternative names.
    pub names: Vec<String>,
    /// The names that its holder may bear: the DNS names or, if there are none, the common name.
    #[serde(default)]
    pub identities: Vec<String>,
    /// Seconds since 1970 at which it ends.
    pub not_after_unix_s: i64,
    /// No CA vouches for it: the handshake accepted it for its pin. Its holder may have written any name into it.
    #[serde(default)]
    pub pinned_only: bool,
}

/// SHA-256 over a certificate in DER, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Takes upper and lower case, and colons between the bytes as `openssl x509 -fingerprint` prints them.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits = text.strip_prefix("sha256:").ok_or(FingerprintError)?;
        let mut nibbles = digits
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
        let mut bytes = [0; 32];
        for byte in &mut bytes {
            match (nibbles.next(), nibbles.next()) {
                (Some(Some(high)), Some(Some(low))) => *byte = high << 4 | low,
                _ => return Err(FingerprintError),
            }
        }
        match nibbles.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(FingerprintError),
        }
    }
}

crate::ids::serde_as_text!(Fingerprint);

/// The text is not a fingerprint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a fingerprint is `sha256:` and 64 hexadecimal digits")]
pub struct FingerprintError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_what_openssl_prints() {
        let plain = format!("sha256:{}", "ab".repeat(32));
        let openssl = format!("sha256:{}", vec!["AB"; 32].join(":"));
        let read: Fingerprint = openssl.parse().expect("a fingerprint");
        assert_eq!(read.to_string(), plain);
        for bad in ["ab", "sha256:ab", &format!("{plain}0"), "sha1:00"] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(FingerprintError), "{bad}");
        }
    }
}
