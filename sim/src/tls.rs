//! The cost and the failures of TLS, without cryptography.
//!
//! Three flights, as in TLS 1.3: hello, the server's answer, finished; then plaintext, as it is. A flight costs its
//! sender processor time. A peer that sends anything else is refused. A client may have a certificate with a name, which
//! stands in its last flight; one that has ended is refused.

use std::collections::VecDeque;
use std::time::Duration;

use tandem_core::Time;
use tandem_core::machine::{Certificate, Fingerprint};

use crate::plan::TlsFault;

const HELLO: &[u8] = b"[client hello]";
const ANSWER: &[u8] = b"[server hello, certificate, finished]";
const FINISHED: &[u8] = b"[certificate, finished]";
const NAMED: &[u8] = b"[certificate of ";
const FINISH: &[u8] = b", finished]";
const ENDED: &[u8] = b"[ended certificate, finished]";
const ALERT: &[u8] = b"[alert]";

/// How much longer a slow handshake takes at the server.
const SLOW: Duration = Duration::from_secs(3);

/// One end of a connection.
#[derive(Clone, Debug)]
pub struct Tls {
    step: Step,
    work: Duration,
    fault: Option<TlsFault>,
    partial: Vec<u8>,
    ready_at: Option<Time>,
    send: VecDeque<Vec<u8>>,
    shown: Shown,
}

/// The certificate of a client.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Shown {
    /// Any, of which nothing matters.
    #[default]
    Any,
    /// One with this name.
    Named(String),
    /// One that has ended.
    Ended,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    AwaitHello,
    AwaitAnswer,
    AwaitFinished,
    Open,
}

/// The other end does not speak TLS, or refused the handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsError {
    /// The server sent an alert.
    #[error("the handshake was refused")]
    Refused,
    /// The certificate of the client has ended.
    #[error("the certificate has ended")]
    Ended,
    /// Something else came.
    #[error("the peer does not speak TLS")]
    NotTls,
}

impl Tls {
    /// The end that dialled. It has its first flight to send.
    pub fn client(work: Duration) -> Self {
        Self {
            send: VecDeque::from([HELLO.to_vec()]),
            ..Self::server(work, None).at(Step::AwaitAnswer)
        }
    }

    /// The end that listens, and what is wrong with it.
    pub fn server(work: Duration, fault: Option<TlsFault>) -> Self {
        Self {
            step: Step::AwaitHello,
            work: work
                + if fault == Some(TlsFault::Slow) {
                    SLOW
                } else {
                    Duration::ZERO
                },
            fault,
            partial: Vec::new(),
            ready_at: None,
            send: VecDeque::new(),
            shown: Shown::Any,
        }
    }

    /// A client with this certificate.
    #[must_use]
    pub fn showing(mut self, shown: Shown) -> Self {
        self.shown = shown;
        self
    }

    /// The certificate of the client.
    pub fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Whether plaintext may flow.
    pub fn is_open(&self) -> bool {
        self.step == Step::Open
    }

    /// Bytes arrive; answers the plaintext in them, which is empty until the handshake is over.
    ///
    /// # Errors
    ///
    /// The connection is of no use any more. What [`poll_send`](Self::poll_send) still has is to be sent before it is
    /// closed.
    pub fn receive(&mut self, now: Time, data: Vec<u8>) -> Result<Vec<u8>, TlsError> {
        if self.step == Step::Open {
            return Ok(data);
        }
        self.partial.extend(data);
        if self.partial.starts_with(ALERT) {
            return Err(TlsError::Refused);
        }
        let expected = match self.step {
            Step::AwaitHello => HELLO,
            Step::AwaitAnswer => ANSWER,
            Step::AwaitFinished | Step::Open => return self.finish(),
        };
        if !self.partial.starts_with(expected) {
            let so_far = expected.starts_with(&self.partial) || ALERT.starts_with(&self.partial);
            return if so_far { Ok(Vec::new()) } else { Err(TlsError::NotTls) };
        }
        self.partial.drain(..expected.len());
        match self.step {
            Step::AwaitHello if self.fault == Some(TlsFault::Refused) => {
                self.send.push_back(ALERT.to_vec());
                return Err(TlsError::Refused);
            }
            Step::AwaitHello if self.fault == Some(TlsFault::Stalled) => {}
            Step::AwaitHello | Step::AwaitAnswer => self.ready_at = Some(now + self.work),
            Step::AwaitFinished | Step::Open => {}
        }
        Ok(Vec::new())
    }

    /// The last flight of a client arrives, and its certificate with it.
    fn finish(&mut self) -> Result<Vec<u8>, TlsError> {
        let Some(end) = self.partial.iter().position(|byte| *byte == b']') else {
            let begins = |flight: &[u8]| flight.starts_with(&self.partial);
            let so_far = [FINISHED, ENDED, NAMED].into_iter().any(begins) || self.partial.starts_with(NAMED);
            return if so_far { Ok(Vec::new()) } else { Err(TlsError::NotTls) };
        };
        let flight: Vec<u8> = self.partial.drain(..=end).collect();
        self.shown = match &*flight {
            FINISHED => Shown::Any,
            ENDED => {
                self.send.push_back(ALERT.to_vec());
                return Err(TlsError::Ended);
            }
            flight => {
                let name = flight.strip_prefix(NAMED).and_then(|rest| rest.strip_suffix(FINISH));
                Shown::Named(String::from_utf8_lossy(name.ok_or(TlsError::NotTls)?).into_owned())
            }
        };
        self.step = Step::Open;
        // Plaintext may follow at once.
        Ok(std::mem::take(&mut self.partial))
    }

    fn last_flight(&self) -> Vec<u8> {
        match &self.shown {
            Shown::Any => FINISHED.to_vec(),
            Shown::Named(name) => [NAMED, name.as_bytes(), FINISH].concat(),
            Shown::Ended => ENDED.to_vec(),
        }
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn wake(&mut self, now: Time) {
        if self.ready_at.is_some_and(|at| at <= now) {
            self.ready_at = None;
            let (flight, next) = match self.step {
                Step::AwaitAnswer => (self.last_flight(), Step::Open),
                Step::AwaitHello | Step::AwaitFinished | Step::Open => (ANSWER.to_vec(), Step::AwaitFinished),
            };
            self.send.push_back(flight);
            self.step = next;
        }
    }

    /// The next flight to send.
    pub fn poll_send(&mut self) -> Option<Vec<u8>> {
        self.send.pop_front()
    }

    /// When to come back.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.ready_at
    }

    fn at(mut self, step: Step) -> Self {
        self.step = step;
        self
    }
}

/// A certificate with these names, and no others with the same fingerprint.
pub fn certificate(names: &[&str]) -> Certificate {
    let mut fingerprint = [0; 32];
    let bytes = names.iter().flat_map(|name| name.bytes());
    fingerprint.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Certificate {
        fingerprint: Fingerprint(fingerprint),
        identities: names.clone(),
        names,
        not_after_unix_s: i64::MAX,
        pinned_only: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Duration = Duration::from_millis(4);

    /// Carries flights until nothing moves, a byte at a time; answers when each end was open.
    fn shake(client: &mut Tls, server: &mut Tls) -> Result<(Option<Time>, Option<Time>), TlsError> {
        let mut now = Time::ORIGIN;
        let mut open = (None, None);
        loop {
            let mut moved = false;
            while let Some(flight) = client.poll_send() {
                moved = true;
                for byte in flight {
                    server.receive(now, vec![byte])?;
                }
            }
            while let Some(flight) = server.poll_send() {
                moved = true;
                for byte in flight {
                    client.receive(now, vec![byte])?;
                }
            }
            open.0 = open.0.or_else(|| client.is_open().then_some(now));
            open.1 = open.1.or_else(|| server.is_open().then_some(now));
            let next = [client.poll_timeout(), server.poll_timeout()]
                .into_iter()
                .flatten()
                .min();
            match next {
                Some(at) => {
                    now = at;
                    client.wake(now);
                    server.wake(now);
                }
                None if moved => {}
                None => return Ok(open),
            }
        }
    }

    #[test]
    fn a_handshake_takes_both_ends_their_work_and_then_plaintext_flows() {
        let (mut client, mut server) = (Tls::client(WORK), Tls::server(WORK, None));
        let done = Time::ORIGIN + WORK * 2;
        assert_eq!(shake(&mut client, &mut server), Ok((Some(done), Some(done))));
        assert_eq!(server.receive(done, b"{}".to_vec()), Ok(b"{}".to_vec()));
    }

    #[test]
    fn plaintext_may_follow_the_last_flight_at_once() {
        let mut server = Tls::server(WORK, None);
        server.receive(Time::ORIGIN, HELLO.to_vec()).expect("a hello");
        server.wake(Time::ORIGIN + WORK);
        let data = [FINISHED, b"{}"].concat();
        assert_eq!(server.receive(Time::ORIGIN + WORK, data), Ok(b"{}".to_vec()));
    }

    #[test]
    fn the_server_receives_the_name_in_the_certificate_of_the_client() {
        let shown = Shown::Named("tor1".into());
        let mut server = Tls::server(WORK, None);
        shake(&mut Tls::client(WORK).showing(shown.clone()), &mut server).expect("an open connection");
        assert_eq!(server.shown(), &shown);
    }

    #[test]
    fn a_certificate_that_has_ended_is_refused() {
        let mut client = Tls::client(WORK).showing(Shown::Ended);
        assert_eq!(shake(&mut client, &mut Tls::server(WORK, None)), Err(TlsError::Ended));
    }

    #[test]
    fn each_fault_has_its_effect() {
        let shaken = |fault| shake(&mut Tls::client(WORK), &mut Tls::server(WORK, Some(fault)));
        assert_eq!(shaken(TlsFault::Refused), Err(TlsError::Refused));
        assert_eq!(shaken(TlsFault::Stalled), Ok((None, None)));
        let late = Time::ORIGIN + WORK * 2 + SLOW;
        assert_eq!(shaken(TlsFault::Slow), Ok((Some(late), Some(late))));
    }

    #[test]
    fn a_peer_without_tls_is_refused() {
        let mut server = Tls::server(WORK, None);
        assert_eq!(server.receive(Time::ORIGIN, b"GET /".to_vec()), Err(TlsError::NotTls));
    }
}
