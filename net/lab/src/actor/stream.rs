//! A byte stream with a TCP connection under it.

use tandem_net::tls::{Acceptor, Connector, Dialled};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server;

/// Plain, or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// The connection under it.
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for Dialled {
    fn tcp(&self) -> &TcpStream {
        Self::tcp(self)
    }
}

impl Stream for server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A connection that is ready for bytes, and its place among those that there may be.
pub(super) struct Arrived {
    pub(super) stream: Box<dyn Stream>,
    pub(super) place: OwnedSemaphorePermit,
}

/// What a switch shows and trusts, in both directions.
#[derive(Debug)]
pub struct Tls {
    /// For peers that dial us.
    pub acceptor: Acceptor,
    /// For peers that we dial.
    pub connector: Connector,
}
