//! The agent's connections to control nodes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tandem_core::machine::Certificate;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::{no_tls, prepare};
use crate::driver::stream::Secure;
use crate::driver::uplink::Dialer;
use crate::tls::{Connector, Current, Dialled, Settings, TlsError};

/// Dials by TCP. With TLS, each handshake reads the files that are configured at that time, so new certificates need no
/// reload; files that are worse than those of the last handshake are ignored.
#[derive(Clone, Debug)]
pub struct TcpDialer {
    tls: Option<watch::Receiver<Settings>>,
    current: Arc<Current>,
}

impl TcpDialer {
    /// Without TLS.
    pub fn in_clear() -> Self {
        let current = Arc::new(Current::new("control"));
        Self { tls: None, current }
    }

    /// With TLS, if there are settings. The error names the first file that cannot be used.
    pub fn new(tls: Option<watch::Receiver<Settings>>) -> Result<Self, TlsError> {
        let current = Arc::new(Current::new("control"));
        if let Some(settings) = &tls {
            current.load(&settings.borrow())?;
        }
        Ok(Self { tls, current })
    }

    /// Reads the files, if TLS is configured.
    pub fn refresh(&self) -> Option<Arc<Connector>> {
        self.current.load(&self.tls.as_ref()?.borrow()).ok()
    }
}

impl Secure<TcpStream> for TcpDialer {
    type Secured = Dialled;

    fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    async fn secure(&self, socket: TcpStream) -> io::Result<(Dialled, Certificate)> {
        let settings = self.tls.as_ref().ok_or_else(no_tls)?;
        let connector = self.current.load(&settings.borrow()).map_err(io::Error::other)?;
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
