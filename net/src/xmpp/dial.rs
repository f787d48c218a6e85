//! How an agent reaches a control node.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{no_tls, prepare};
use crate::driver::stream::Secure;
use crate::driver::uplink::Dialer;
use crate::tls::{Connector, Settings, TlsError};

/// Dials by TCP. With TLS, the files are read for each handshake: new certificates need no word.
#[derive(Clone, Debug)]
pub struct TcpDialer {
    tls: Option<Settings>,
}

impl TcpDialer {
    /// Without TLS.
    pub fn in_clear() -> Self {
        Self { tls: None }
    }

    /// With TLS, if there are settings. An error names the first file that cannot be used.
    pub fn new(tls: Option<Settings>) -> Result<Self, TlsError> {
        tls.as_ref().map(Connector::load).transpose()?;
        Ok(Self { tls })
    }
}

impl Secure<TcpStream> for TcpDialer {
    type Secured = TlsStream<TcpStream>;

    fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    async fn secure(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let settings = self.tls.as_ref().ok_or_else(no_tls)?;
        let connector = Connector::load(settings).map_err(io::Error::other)?;
        connector.connect(socket).await
    }
}

impl Dialer for TcpDialer {
    type Socket = TcpStream;

    async fn dial(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(to).await?;
        prepare(&stream)?;
        Ok(stream)
    }
}
