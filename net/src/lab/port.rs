//! Loopback addresses that belong to one lab, so that fixed ports never collide.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use super::{Error, Result};

/// A `/24` of 127.0.0.0/8 that no other lab on this machine has.
pub struct Loopback {
    network: [u8; 3],
    _claim: UdpSocket,
}

/// Nobody talks to it: that it is bound says whose the network is, and the kernel forgets it with the process.
const CLAIM: u16 = 6640;

impl Loopback {
    /// Takes a free network.
    pub fn claim() -> Result<Self> {
        // Labs of one moment start at different places, which spares them most collisions.
        let start = std::process::id();
        (0..=u16::MAX)
            .map(|step| {
                let [_, _, b, c] = start.wrapping_add(step.into()).to_be_bytes();
                [127, b.max(1), c]
            })
            .find_map(|network| {
                let claim = UdpSocket::bind((host(network, 0), CLAIM)).ok()?;
                Some(Self { network, _claim: claim })
            })
            .ok_or_else(|| Error::failed("find a free loopback network", "all are in use"))
    }

    /// The address of a part.
    pub fn address(&self, part: u8) -> Ipv4Addr {
        host(self.network, part)
    }
}

/// A TCP port of this address that nobody listens on at the moment.
pub fn free_port(address: IpAddr) -> Result<u16> {
    TcpListener::bind((address, 0))
        .and_then(|listener| listener.local_addr())
        .map(|bound: SocketAddr| bound.port())
        .map_err(Error::io(format!("find a free port of {address}")))
}

fn host([a, b, c]: [u8; 3], part: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, part)
}
