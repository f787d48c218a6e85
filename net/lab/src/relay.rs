//! A TCP relay on loopback whose connections can be cut, or left half-open.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Error, Result};

/// Passes bytes between clients and one address. It ends when it is dropped, with its connections.
pub struct Relay {
    listens: SocketAddr,
    mode: Arc<AtomicU8>,
    accepts: Option<JoinHandle<()>>,
}

/// Bytes pass.
const PASSES: u8 = 0;
/// Every connection is closed, and new ones at once.
const CUT: u8 = 1;
/// Clients are cut off; the servers' connections stay open in silence.
const HALF_OPEN: u8 = 2;
/// The relay has ended.
const GONE: u8 = 3;

/// How often a connection without bytes checks the mode.
const LOOK: Duration = Duration::from_millis(20);

impl Relay {
    /// Listens at one address, and connects to the other for each connection.
    pub fn start(listens: SocketAddr, to: SocketAddr) -> Result<Self> {
        let open = || -> io::Result<TcpListener> {
            let listener = TcpListener::bind(listens)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = open().map_err(Error::io(format!("listen on {listens}")))?;
        let mode = Arc::new(AtomicU8::new(PASSES));
        let accepting = Arc::clone(&mode);
        let accepts = thread::spawn(move || accept(&listener, to, &accepting));
        Ok(Self {
            listens,
            mode,
            accepts: Some(accepts),
        })
    }

    /// The address that it listens at.
    pub fn address(&self) -> SocketAddr {
        self.listens
    }

    /// Closes every connection at both ends, and new ones at once.
    pub fn cut(&self) {
        self.mode.store(CUT, Ordering::SeqCst);
    }

    /// Closes every connection to clients, and refuses new ones. The servers' connections stay open: bytes from there are
    /// read, and never answered.
    pub fn half_open(&self) {
        self.mode.store(HALF_OPEN, Ordering::SeqCst);
    }

    /// New connections pass again; old ones stay cut.
    pub fn restore(&self) {
        self.mode.store(PASSES, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.mode.store(GONE, Ordering::SeqCst);
        // The port is free when this is over.
        let _ended = self.accepts.take().map(JoinHandle::join);
    }
}

fn accept(listener: &TcpListener, to: SocketAddr, mode: &Arc<AtomicU8>) {
    while mode.load(Ordering::SeqCst) != GONE {
        match listener.accept() {
            Ok((near, _)) if mode.load(Ordering::SeqCst) == PASSES => {
                // Without a server the client sees that the relay closes.
                let _ = pair(near, to, mode);
            }
            Ok(_cut) => {}
            Err(_) => thread::sleep(LOOK),
        }
    }
}

fn pair(near: TcpStream, to: SocketAddr, mode: &Arc<AtomicU8>) -> io::Result<()> {
    near.set_nonblocking(false)?;
    let far = TcpStream::connect(to)?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
    }
    let (from_near, from_far) = ((near.try_clone()?, far.try_clone()?), (far, near));
    for ((from, to), stays) in [(from_near, false), (from_far, true)] {
        let mode = Arc::clone(mode);
        thread::spawn(move || {
            let _ = carry(&from, &to, stays, &mode);
        });
    }
    Ok(())
}

/// Carries bytes one way until the end. What stays open in a half-open connection is the end that bytes come `from`.
fn carry(mut from: &TcpStream, mut to: &TcpStream, stays: bool, mode: &AtomicU8) -> io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut bytes);
        match mode.load(Ordering::SeqCst) {
            CUT | GONE => {
                let _ = to.shutdown(Shutdown::Both);
                return from.shutdown(Shutdown::Both);
            }
            HALF_OPEN if !stays => return from.shutdown(Shutdown::Both),
            HALF_OPEN => match read {
                Ok(0) => return Ok(()),
                Err(error) if !is_pause(&error) => return Err(error),
                Ok(_) | Err(_) => continue,
            },
            _ => {}
        }
        match read {
            Ok(0) => return to.shutdown(Shutdown::Write),
            Ok(length) => match to.write_all(bytes.get(..length).unwrap_or_default()) {
                // Its connection went half-open meanwhile.
                Err(_) if stays && mode.load(Ordering::SeqCst) == HALF_OPEN => {}
                written => written?,
            },
            Err(error) if is_pause(&error) => {}
            Err(error) => {
                let _ = to.shutdown(Shutdown::Both);
                return Err(error);
            }
        }
    }
}

/// Nothing came for a while.
fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loopback;

    /// A relay, what is at its ends, and the network that they live in.
    fn relayed() -> (Loopback, Relay, TcpStream, TcpStream) {
        let loopback = Loopback::claim().expect("a network");
        let far = TcpListener::bind((loopback.address(1), 0)).expect("a port");
        let listens = (loopback.address(2), loopback.port(6640)).into();
        let relay = Relay::start(listens, far.local_addr().expect("its address")).expect("a relay");
        let near = TcpStream::connect(relay.address()).expect("connected");
        let (far, _) = far.accept().expect("a connection");
        for end in [&near, &far] {
            end.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
        }
        (loopback, relay, near, far)
    }

    fn passes(from: &mut TcpStream, to: &mut TcpStream) {
        from.write_all(b"x").expect("written");
        to.read_exact(&mut [0]).expect("read");
    }

    #[test]
    fn bytes_pass_both_ways_until_the_relay_is_cut() {
        let (_loopback, relay, mut near, mut far) = relayed();
        passes(&mut near, &mut far);
        passes(&mut far, &mut near);
        relay.cut();
        for end in [&mut near, &mut far] {
            assert!(matches!(end.read(&mut [0]), Ok(0) | Err(_)));
        }
    }

    #[test]
    fn a_half_open_connection_is_over_at_one_end_only() {
        let (_loopback, relay, mut near, mut far) = relayed();
        passes(&mut near, &mut far);
        relay.half_open();
        assert!(matches!(near.read(&mut [0]), Ok(0) | Err(_)));
        far.write_all(&vec![0; 1 << 20]).expect("it is taken");
        far.set_read_timeout(Some(Duration::from_millis(200))).expect("set");
        let read = far.read(&mut [0]).map_err(|error| error.kind());
        assert!(
            matches!(read, Err(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)),
            "{read:?}"
        );
    }
}
