//! The interface between an actor and its network: sockets, as a program sees them.
//!
//! Every actor (switch, proxy, agent host, virtual IP) is a machine with these inputs and outputs. The world connects
//! them through its own links; `net` puts the same actors on real sockets. Actors differ in their commands (`C`) and
//! events (`E`).

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_core::{ConnId, Machine};

/// A machine that lives behind sockets.
pub trait Actor: Machine<Input = Input<Self::Command>, Output = Output<Self::Event>> {
    /// Its commands.
    type Command;
    /// Its events.
    type Event;
}

impl<M, C, E> Actor for M
where
    M: Machine<Input = Input<C>, Output = Output<E>>,
{
    type Command = C;
    type Event = E;
}

/// The first number of an accepted connection. An actor numbers the connections that it dials itself, from 1 on; no
/// number is used twice. Decimal, so that a reader of the log sees the short number in it, and below 2^53, which every
/// reader of JSON takes without loss.
pub const ACCEPTED: u64 = 1_000_000_000_000_000;

/// An input of an actor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input<C> {
    /// A peer dialled an address that this actor listens on.
    Accepted {
        conn: ConnId,
        /// Which of our addresses.
        at: SocketAddrV4,
        from: SocketAddrV4,
    },
    /// A dial succeeded.
    Connected { conn: ConnId },
    /// A dial failed; the connection never was.
    DialFailed { conn: ConnId, why: DialFailure },
    /// Bytes arrived: any piece of the stream.
    Bytes { conn: ConnId, data: Vec<u8> },
    /// The network has not taken this many sent bytes yet. Reported only while there are some, and when the last were
    /// taken.
    Sent { conn: ConnId, queued_bytes: usize },
    /// The other end will send no more, and still reads (FIN).
    Finished { conn: ConnId },
    /// The connection is gone (RST, or the network gave up). Nothing more comes for it.
    Lost { conn: ConnId },
    /// What a health check found. See [`Output::Check`].
    Checked { check: u64, outcome: Outcome },
    /// A datagram of the virtual IP's protocol.
    Datagram { from: Ipv4Addr, data: Vec<u8> },
    /// The time that `poll_timeout` named has come.
    Timeout,
    /// A command from outside.
    Command(C),
}

/// Why a dial failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialFailure {
    /// The host is up, and no program listens (RST).
    Refused,
    /// No answer. The network gives up after two minutes; an actor that wants it sooner closes.
    TimedOut,
}

/// An output of an actor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output<E> {
    /// Take connections at this address.
    Listen { at: SocketAddrV4 },
    /// Take none any more; those that are there stay.
    Unlisten { at: SocketAddrV4 },
    /// Connect. `conn` is a new number of the actor's own, below [`ACCEPTED`].
    Dial { conn: ConnId, to: SocketAddrV4 },
    /// Send these bytes.
    Send { conn: ConnId, bytes: Vec<u8> },
    /// Whether to hand in bytes of this connection. Unread bytes fill the window, and the other end has to wait.
    Read { conn: ConnId, on: bool },
    /// Send no more, and go on reading (FIN after what was sent).
    Finish { conn: ConnId },
    /// FIN after what was sent, and what still arrives is refused. Also ends a dial. Nothing more comes for it.
    Close { conn: ConnId },
    /// RST now. Nothing more comes for it.
    Reset { conn: ConnId },
    /// Repeat a health check, and report the first outcome that differs from `unless`; then stop.
    ///
    /// A check is described, not sent, so that a world can skip the thousands that change nothing. A `check` of the
    /// same number replaces the previous one.
    Check { check: u64, what: Check },
    /// Stop this check.
    Uncheck { check: u64 },
    /// Send to every node on the segment that takes part in the virtual IP's protocol.
    Multicast { data: Vec<u8> },
    /// This address is here from now on (gratuitous ARP).
    Hold { address: Ipv4Addr },
    /// This address is not here any more.
    Release { address: Ipv4Addr },
    /// Something happened.
    Event(E),
}

/// A health check that repeats.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Check {
    /// The address to ask.
    pub to: SocketAddrV4,
    /// What to ask.
    pub kind: CheckKind,
    /// The longest time that connecting may take.
    pub connect_timeout: Duration,
    /// The longest time that the answer may take from then on.
    pub timeout: Duration,
    /// How long from now to the first.
    pub first: Duration,
    /// From the beginning of one to that of the next.
    pub every: Duration,
    /// The outcome that is not reported; with `None`, the first outcome is reported.
    pub unless: Option<Outcome>,
}

/// What a health check asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// Does the kernel take a connection?
    Connect,
    /// Does the program answer an OVSDB echo in plain text?
    Echo,
    /// Does the program answer the first flight of TLS? (`check-ssl`)
    Tls,
    /// Which state does the agent report? (`agent-check`)
    Agent,
}

/// What a health check finds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// Connection refused.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The wrong answer, or none before the end of the connection.
    Wrong,
    /// What `agent-check` reads, without the end of the line.
    AgentCheck(String),
}

impl<E> Output<E> {
    /// The same, with what happened in other words.
    pub fn map<F>(self, with: impl FnOnce(E) -> F) -> Output<F> {
        match self {
            Self::Listen { at } => Output::Listen { at },
            Self::Unlisten { at } => Output::Unlisten { at },
            Self::Dial { conn, to } => Output::Dial { conn, to },
            Self::Send { conn, bytes } => Output::Send { conn, bytes },
            Self::Read { conn, on } => Output::Read { conn, on },
            Self::Finish { conn } => Output::Finish { conn },
            Self::Close { conn } => Output::Close { conn },
            Self::Reset { conn } => Output::Reset { conn },
            Self::Check { check, what } => Output::Check { check, what },
            Self::Uncheck { check } => Output::Uncheck { check },
            Self::Multicast { data } => Output::Multicast { data },
            Self::Hold { address } => Output::Hold { address },
            Self::Release { address } => Output::Release { address },
            Self::Event(event) => Output::Event(with(event)),
        }
    }
}
