//! The stream of a connection that we dialled.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls_pki_types::UnixTime;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::identity::Identity;
use super::refusal;

/// The client end of TLS.
///
/// In TLS 1.3 our handshake is over before the other end has examined our certificate. If it refuses the certificate, its
/// alert comes in place of the first bytes: that error of a read is a [`Refusal`](super::Refusal), which names the cause.
#[derive(Debug)]
pub struct Dialled {
    stream: TlsStream<TcpStream>,
    /// Until the other end has sent something.
    identity: Option<Arc<Identity>>,
}

impl Dialled {
    pub(super) fn new(stream: TlsStream<TcpStream>, identity: Arc<Identity>) -> Self {
        let identity = Some(identity);
        Self { stream, identity }
    }

    /// The connection under it.
    pub fn tcp(&self) -> &TcpStream {
        self.stream.get_ref().0
    }
}

impl AsyncRead for Dialled {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let Some(identity) = &this.identity else {
            return read;
        };
        if buffer.filled().len() > before {
            this.identity = None;
            return read;
        }
        read.map_err(|error| match refusal::alert(&error) {
            Some(_) => {
                let refusal = refusal::explain(&error, || identity.state(UnixTime::now()));
                io::Error::new(error.kind(), refusal)
            }
            None => error,
        })
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
