//! The two ends of a connection, and the pipe from each to the other.

use std::collections::VecDeque;
use std::net::SocketAddrV4;

use tandem_core::{ConnId, Time};

use super::transit::{Arrival, HostId};

/// One end of a connection.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) host: HostId,
    pub(super) conn: ConnId,
    pub(super) address: SocketAddrV4,
    /// The kernel knows the connection; otherwise it answers RST.
    pub(super) kernel: bool,
    /// The program has it.
    pub(super) app: bool,
    pub(super) connected: bool,
    pub(super) reading: bool,
    /// What has arrived and was not read.
    pub(super) inbox: VecDeque<Piece>,
}

/// What travels.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// The dialler's own notice that it is connected; never travels.
    Connected,
    /// The third step of the handshake.
    Established,
    Data(Vec<u8>),
    Fin,
    /// The last input that a program gets from the connection; never travels. A frozen program gets it when it goes on.
    Last(Arrival),
}

/// From one end to the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Pipe {
    /// What does not fit into the window yet.
    pub(super) backlog: VecDeque<Vec<u8>>,
    /// How much of the first of it is gone.
    pub(super) begun: usize,
    pub(super) backlog_bytes: usize,
    pub(super) reported_bytes: usize,
    /// FIN follows the backlog.
    pub(super) finish: bool,
    pub(super) finished: bool,
    /// Bytes in the window.
    pub(super) unread_bytes: usize,
    /// Bytes that were read, but whose acknowledgement is lost on the way to the sender.
    pub(super) owed_bytes: usize,
    pub(super) flying: VecDeque<Piece>,
    pub(super) epoch: u32,
    pub(super) last_arrival: Time,
    pub(super) stalled_since: Option<Time>,
    pub(super) unacknowledged_since: Option<Time>,
}

impl End {
    pub(super) fn new(host: HostId, conn: ConnId, address: SocketAddrV4) -> Self {
        Self {
            host,
            conn,
            address,
            kernel: true,
            app: true,
            connected: false,
            reading: true,
            inbox: VecDeque::new(),
        }
    }

    /// The end that a SYN will make.
    pub(super) fn unborn(address: SocketAddrV4) -> Self {
        Self {
            kernel: false,
            app: false,
            ..Self::new(HostId(usize::MAX), ConnId(0), address)
        }
    }
}

impl Pipe {
    /// The next that goes, as much as there is room for.
    pub(super) fn take(&mut self, room: usize) -> Option<Vec<u8>> {
        let rest = self.backlog.front()?.get(self.begun..)?;
        if self.begun == 0 && rest.len() <= room {
            return self.backlog.pop_front();
        }
        let part = rest.get(..room).unwrap_or(rest).to_vec();
        if part.len() < rest.len() {
            self.begun += part.len();
        } else {
            self.begun = 0;
            self.backlog.pop_front();
        }
        Some(part)
    }
}
