//! Loopback addresses that belong to one lab, so that fixed ports never collide.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;

use super::{Error, Result};

/// A `/24` of 127.0.0.0/8 that no other lab on this machine has.
pub struct Loopback {
    network: [u8; 3],
    shift: u16,
    _claim: UdpSocket,
}

/// It carries no traffic: binding it claims the network, and the kernel releases it with the process.
const CLAIM: u16 = 6640;

/// No part has this address.
const PROBE: u8 = 254;

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
                Some((network, claim))
            })
            .ok_or_else(|| Error::failed("find a free loopback network", "all are in use"))
            .and_then(|(network, claim)| {
                let shift = SHIFTS.into_iter().find(|shift| free(network, *shift));
                let taken = || Error::failed("find free ports", format!("{PORTS:?} and {SHIFTS:?} above are in use"));
                Ok(Self {
                    network,
                    shift: shift.ok_or_else(taken)?,
                    _claim: claim,
                })
            })
    }

    /// The address of a part.
    pub fn address(&self, part: u8) -> Ipv4Addr {
        host(self.network, part)
    }

    /// The port that stands for a usual one, 6640 to 6659: another where a program of this machine listens on all
    /// addresses, as an `ovsdb-server` with `ptcp:6640` does.
    pub fn port(&self, usual: u16) -> u16 {
        usual + self.shift
    }
}

/// The usual ports of the parts.
const PORTS: Range<u16> = 6640..6660;

/// What is added to them, below the ports that the kernel gives away.
const SHIFTS: [u16; 3] = [0, 10_000, 20_000];

fn free(network: [u8; 3], shift: u16) -> bool {
    PORTS
        .into_iter()
        .all(|port| TcpListener::bind((host(network, PROBE), port + shift)).is_ok())
}

/// A TCP port of this address without a listener at the moment.
pub fn free_port(address: IpAddr) -> Result<u16> {
    TcpListener::bind((address, 0))
        .and_then(|listener| listener.local_addr())
        .map(|bound: SocketAddr| bound.port())
        .map_err(Error::io(format!("find a free port of {address}")))
}

fn host([a, b, c]: [u8; 3], part: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, part)
}
