//! The agent's connections to control nodes.

use std::io;
use std::net::SocketAddr;

use rustls::{CertificateError, Error};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::client::TlsStream;

use super::{no_tls, prepare};
use crate::driver::stream::Secure;
use crate::driver::uplink::Dialer;
use crate::tls::{Connector, Settings, TlsError};

/// Dials by TCP. With TLS, each handshake reads the files that are configured at that time, so new certificates need no
/// reload.
#[derive(Clone, Debug)]
pub struct TcpDialer {
    tls: Option<watch::Receiver<Settings>>,
}

impl TcpDialer {
    /// Without TLS.
    pub fn in_clear() -> Self {
        Self { tls: None }
    }

    /// With TLS, if there are settings. The error names the first file that cannot be used.
    pub fn new(tls: Option<watch::Receiver<Settings>>) -> Result<Self, TlsError> {
        if let Some(settings) = &tls {
            Connector::load(&settings.borrow()).map_err(|error| error.with_ca_of("control"))?;
        }
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
        let connector =
            Connector::load(&settings.borrow()).map_err(|error| io::Error::other(error.with_ca_of("control")))?;
        connector.connect(socket).await.map_err(explained)
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

/// A certificate signed by another CA may be a mistake of either end: the message names the local key.
fn explained(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|it| it.downcast_ref()) {
        // A CA of the same name with another key results in a bad signature.
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            io::Error::other("the certificate of the control node is not signed by a CA in control.ca")
        }
        _ => error,
    }
}
