//! The listener for switches: TLS, bounded in number and in time, as the listener of `net` does it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use tandem_core::{CloseReason, CloseWhy, ConnId, Deadline, Fault, Peer, Time, agent};

use super::Why;
use crate::plan::TlsFault;
use crate::socket::Outcome;
use crate::tls::{Shown, Tls, TlsError, certificate};

/// From accept to the end of TLS.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Connections between accept and session. Above it, the newest is closed at once.
pub const HALF_OPEN_MAX: usize = 256;

/// Every handshake that is under way.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    /// What TLS does to connections that are accepted from now on.
    pub(super) fault: Option<TlsFault>,
    work: Duration,
    handshakes: BTreeMap<ConnId, Handshake>,
}

#[derive(Clone, Debug)]
struct Handshake {
    tls: Tls,
    from: SocketAddrV4,
    accepted_at: Time,
    received: bool,
}

/// What to do about a handshake.
#[derive(Debug)]
pub(super) struct Reaction {
    /// To be sent first.
    pub(super) flights: Vec<Vec<u8>>,
    pub(super) step: Step,
}

/// How a handshake goes on.
#[derive(Debug)]
pub(super) enum Step {
    /// It waits for the peer, or for the processor.
    Wait,
    /// It is over; this is for the agent, and plaintext came along.
    Open { connected: agent::Input, early: Vec<u8> },
    /// It is of no use any more; to be closed.
    Failed(CloseWhy),
}

impl Listener {
    /// A listener without handshakes. `work` is the processor time of a flight.
    pub(super) fn new(work: Duration) -> Self {
        Self {
            fault: None,
            work,
            handshakes: BTreeMap::new(),
        }
    }

    /// Accepts a connection.
    pub(super) fn accept(&mut self, now: Time, conn: ConnId, from: SocketAddrV4) -> Reaction {
        if self.handshakes.len() >= HALF_OPEN_MAX {
            let what = format!("{HALF_OPEN_MAX} handshakes are under way already; the newest is closed");
            return Reaction {
                flights: Vec::new(),
                step: Step::Failed(CloseWhy::new(CloseReason::TooMany, what)),
            };
        }
        let handshake = Handshake {
            tls: Tls::server(self.work, self.fault),
            from,
            accepted_at: now,
            received: false,
        };
        self.handshakes.insert(conn, handshake);
        self.react(conn, Ok(Vec::new()))
    }

    /// Bytes arrive; `None` if this is no handshake of ours.
    pub(super) fn bytes(&mut self, now: Time, conn: ConnId, data: &[u8]) -> Option<Reaction> {
        let handshake = self.handshakes.get_mut(&conn)?;
        handshake.received = true;
        let plaintext = handshake.tls.receive(now, data.to_vec());
        Some(self.react(conn, plaintext.map_err(failed)))
    }

    /// The deadline has come; `None` if this is no handshake of ours.
    pub(super) fn wake(&mut self, now: Time, conn: ConnId) -> Option<Reaction> {
        let handshake = self.handshakes.get_mut(&conn)?;
        handshake.tls.wake(now);
        let going = if handshake.due().at <= now {
            let what = format!("the handshake took longer than {HANDSHAKE_DEADLINE:?}; waited for TLS");
            Err(CloseWhy::new(CloseReason::HandshakeFailed, what).with_fault(Fault::PeerMisbehaved))
        } else {
            Ok(Vec::new())
        };
        Some(self.react(conn, going))
    }

    /// The other end sends no more; returns what that means for a handshake.
    pub(super) fn ended(&mut self, conn: ConnId) -> Option<CloseWhy> {
        let handshake = self.handshakes.remove(&conn)?;
        Some(if handshake.received {
            let what = "the peer closed in the middle of the TLS handshake";
            CloseWhy::new(CloseReason::HandshakeFailed, what).with_fault(Fault::PeerMisbehaved)
        } else {
            CloseWhy::new(CloseReason::PeerClosed, "the peer closed before it sent anything")
        })
    }

    /// When to wake a handshake.
    pub(super) fn deadline(&self, conn: ConnId) -> Option<Deadline<Why>> {
        let handshake = self.handshakes.get(&conn)?;
        let flight = handshake.tls.poll_timeout().map(|at| Deadline { at, why: Why::Flight });
        Deadline::earliest([flight, Some(handshake.due())])
    }

    /// Handshakes under way.
    pub(super) fn half_open(&self) -> usize {
        self.handshakes.len()
    }

    /// What a health check finds that waits for the server's first flight.
    pub(super) fn checked(&self) -> Outcome {
        match self.fault {
            None => Outcome::Passed,
            Some(TlsFault::Refused) => Outcome::Wrong,
            // No health check waits for seconds.
            Some(TlsFault::Stalled | TlsFault::Slow) => Outcome::TimedOut,
        }
    }

    /// Sends what is ready; a handshake that has ended, well or not, leaves the listener.
    fn react(&mut self, conn: ConnId, plaintext: Result<Vec<u8>, CloseWhy>) -> Reaction {
        let mut flights = Vec::new();
        let Some(handshake) = self.handshakes.get_mut(&conn) else {
            return Reaction {
                flights,
                step: Step::Wait,
            };
        };
        while let Some(flight) = handshake.tls.poll_send() {
            flights.push(flight);
        }
        let step = match plaintext {
            Err(why) => Step::Failed(why),
            Ok(early) if handshake.tls.is_open() => Step::Open {
                connected: handshake.connected(conn),
                early,
            },
            Ok(_) => {
                return Reaction {
                    flights,
                    step: Step::Wait,
                };
            }
        };
        self.handshakes.remove(&conn);
        Reaction { flights, step }
    }
}

impl Handshake {
    fn due(&self) -> Deadline<Why> {
        Deadline {
            at: self.accepted_at + HANDSHAKE_DEADLINE,
            why: Why::HandshakeOverdue,
        }
    }

    fn connected(&self, conn: ConnId) -> agent::Input {
        agent::Input::Connected {
            conn,
            peer: Peer {
                address: SocketAddr::V4(self.from),
                proxied: None,
                certificate: match self.tls.shown() {
                    Shown::Named(name) => Some(certificate(&[name])),
                    Shown::Any | Shown::Ended => None,
                },
            },
            accepted_at: self.accepted_at,
        }
    }
}

fn failed(error: TlsError) -> CloseWhy {
    let fault = match error {
        TlsError::Refused | TlsError::Ended => Fault::Environment,
        TlsError::NotTls => Fault::PeerMisbehaved,
    };
    CloseWhy::new(CloseReason::HandshakeFailed, error.to_string()).with_fault(fault)
}
