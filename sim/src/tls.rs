//! The cost and the failures of TLS, without cryptography.
//!
//! Three flights, as in TLS 1.3: hello, the server's answer, finished; then plaintext, as it is. A flight costs its
//! sender processor time. A peer that sends anything else is refused.

use std::collections::VecDeque;
use std::time::Duration;

use tandem_core::Time;

use crate::plan::TlsFault;

const HELLO: &[u8] = b"[client hello]";
const ANSWER: &[u8] = b"[server hello, certificate, finished]";
const FINISHED: &[u8] = b"[certificate, finished]";
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
    send: VecDeque<&'static [u8]>,
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
    /// Something else came.
    #[error("the peer does not speak TLS")]
    NotTls,
}

impl Tls {
    /// The end that dialled. It has its first flight to send.
    pub fn client(work: Duration) -> Self {
        Self {
            send: VecDeque::from([HELLO]),
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
        }
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
        let expected = match self.step {
            Step::AwaitHello => HELLO,
            Step::AwaitAnswer => ANSWER,
            Step::AwaitFinished => FINISHED,
            Step::Open => &[],
        };
        if self.partial.starts_with(ALERT) {
            return Err(TlsError::Refused);
        }
        if !self.partial.starts_with(expected) {
            let so_far = expected.starts_with(&self.partial) || ALERT.starts_with(&self.partial);
            return if so_far { Ok(Vec::new()) } else { Err(TlsError::NotTls) };
        }
        self.partial.drain(..expected.len());
        match self.step {
            Step::AwaitHello if self.fault == Some(TlsFault::Refused) => {
                self.send.push_back(ALERT);
                return Err(TlsError::Refused);
            }
            Step::AwaitHello if self.fault == Some(TlsFault::Stalled) => {}
            Step::AwaitHello | Step::AwaitAnswer => self.ready_at = Some(now + self.work),
            Step::AwaitFinished | Step::Open => self.step = Step::Open,
        }
        // Plaintext may follow at once.
        Ok(if self.is_open() {
            std::mem::take(&mut self.partial)
        } else {
            Vec::new()
        })
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn wake(&mut self, now: Time) {
        if self.ready_at.is_some_and(|at| at <= now) {
            self.ready_at = None;
            let (flight, next) = match self.step {
                Step::AwaitAnswer => (FINISHED, Step::Open),
                Step::AwaitHello | Step::AwaitFinished | Step::Open => (ANSWER, Step::AwaitFinished),
            };
            self.send.push_back(flight);
            self.step = next;
        }
    }

    /// The next flight to send.
    pub fn poll_send(&mut self) -> Option<Vec<u8>> {
        self.send.pop_front().map(<[u8]>::to_vec)
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
