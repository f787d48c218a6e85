//! What is on its way between hosts, and what arrives at a program.

use std::net::{Ipv4Addr, SocketAddrV4};

use tandem_core::{ConnId, Time};

use crate::socket::{self, DialFailure};

/// A host, by the order in which it was added.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostId(pub usize);

/// An input for the program on a host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Arrival {
    Accepted {
        conn: ConnId,
        at: SocketAddrV4,
        from: SocketAddrV4,
    },
    Connected {
        conn: ConnId,
    },
    DialFailed {
        conn: ConnId,
        why: DialFailure,
    },
    Bytes {
        conn: ConnId,
        data: Vec<u8>,
    },
    Sent {
        conn: ConnId,
        queued_bytes: usize,
    },
    Finished {
        conn: ConnId,
    },
    Lost {
        conn: ConnId,
    },
    Datagram {
        from: Ipv4Addr,
        data: Vec<u8>,
    },
}

/// Something on its way. Give it back to `Links::arrive` when its time has come.
#[derive(Clone, Debug)]
pub struct Transit(pub(super) Step);

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The next try of a dial.
    Syn {
        key: Key,
        attempt: u32,
    },
    SynArrives {
        key: Key,
        host: HostId,
    },
    SynAck {
        key: Key,
    },
    Refusal {
        key: Key,
    },
    /// The first of what flies from this side arrives.
    Piece {
        key: Key,
        from: Side,
        epoch: u32,
    },
    /// The holder of the address has changed: the kernel asks for the address again.
    Ask {
        key: Key,
        from: Side,
    },
    /// TCP sends again what was lost.
    Retry {
        key: Key,
        from: Side,
    },
    /// TCP gives up.
    GiveUp {
        key: Key,
        side: Side,
        since: Time,
    },
    /// There is room in the window again.
    Window {
        key: Key,
        side: Side,
    },
    Reset {
        key: Key,
        side: Side,
    },
    Datagram {
        host: HostId,
        from: Ipv4Addr,
        data: Vec<u8>,
    },
    Announce {
        host: HostId,
        address: Ipv4Addr,
        holder: HostId,
    },
}

pub(super) type Key = u64;

/// Which end of a connection: 0 dialled.
pub(super) type Side = usize;

impl Arrival {
    /// The same, as an input of an actor.
    pub fn input<C>(self) -> socket::Input<C> {
        match self {
            Self::Accepted { conn, at, from } => socket::Input::Accepted { conn, at, from },
            Self::Connected { conn } => socket::Input::Connected { conn },
            Self::DialFailed { conn, why } => socket::Input::DialFailed { conn, why },
            Self::Bytes { conn, data } => socket::Input::Bytes { conn, data },
            Self::Sent { conn, queued_bytes } => socket::Input::Sent { conn, queued_bytes },
            Self::Finished { conn } => socket::Input::Finished { conn },
            Self::Lost { conn } => socket::Input::Lost { conn },
            Self::Datagram { from, data } => socket::Input::Datagram { from, data },
        }
    }
}
