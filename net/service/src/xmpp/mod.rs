//! The sockets of XMPP: an agent dials, a control node accepts, and TLS starts on the same connection if configured.

mod dial;
mod listen;

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

pub use dial::TcpDialer;
pub use listen::{TcpAcceptor, accept, open};

/// The silence after which the kernel probes a connection, and the interval of its probes.
const TCP_KEEPALIVE: Duration = Duration::from_secs(5);

/// The longest time that the peer's kernel may be silent: a dead host is detected that soon, and not only by the hold time.
const TCP_SILENCE: Duration = Duration::from_secs(15);

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(TCP_KEEPALIVE)
        .with_interval(TCP_KEEPALIVE)
        .with_retries(2);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(TCP_SILENCE))
}

fn no_tls() -> io::Error {
    io::Error::other("TLS is not configured here")
}
