//! The listener of a control node.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::machine::Certificate;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use super::{no_tls, prepare};
use crate::driver::control::Arrived;
use crate::driver::log;
use crate::driver::stream::Secure;
use crate::event::ServiceEvent;
use crate::listen::Counters;
use crate::tls::{Acceptor, Cause};

/// Connections that may wait in the kernel: all agents may connect at once.
const BACKLOG_CONNECTIONS: u32 = 1024;

/// The pause after a failed accept: its usual cause, too many open files, persists.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the port. The error names the address.
pub fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG_CONNECTIONS)
    };
    listen().map_err(|error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

/// Passes each connection to the control node, until that is gone. Connections count when they are accepted, or with TLS
/// after the handshake.
pub async fn accept(listener: TcpListener, arrivals: mpsc::Sender<Arrived<TcpStream>>, acceptor: TcpAcceptor) {
    loop {
        let accepted = match listener.accept().await {
            Ok((socket, from)) => prepare(&socket).map(|()| Arrived { socket, from }),
            Err(error) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                Err(error)
            }
        };
        match accepted {
            Ok(arrived) => {
                if !acceptor.is_secure() {
                    acceptor.counters.count_accepted();
                }
                if arrivals.send(arrived).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                acceptor.counters.count_refused(Cause::Accept);
                log::event(&ServiceEvent::AcceptFailed {
                    port: "listen",
                    problem: error.to_string(),
                });
            }
        }
    }
}

/// The server end of TLS on accepted connections, if configured.
#[derive(Clone, Debug)]
pub struct TcpAcceptor {
    acceptor: Option<Arc<Acceptor>>,
    counters: Arc<Counters>,
}

impl TcpAcceptor {
    /// Counts every connection from now on.
    pub fn new(acceptor: Option<Arc<Acceptor>>) -> Self {
        let counters = Arc::default();
        Self { acceptor, counters }
    }

    /// Counters of accepted and refused connections.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

impl Secure<TcpStream> for TcpAcceptor {
    type Secured = TlsStream<TcpStream>;

    fn is_secure(&self) -> bool {
        self.acceptor.is_some()
    }

    async fn secure(&self, socket: TcpStream) -> io::Result<(TlsStream<TcpStream>, Certificate)> {
        let acceptor = self.acceptor.as_ref().ok_or_else(no_tls)?;
        match acceptor.accept(socket).await {
            Ok(secured) => {
                self.counters.count_accepted();
                Ok(secured)
            }
            Err(refusal) => {
                self.counters.count_refused(refusal.cause);
                Err(io::Error::other(refusal.what))
            }
        }
    }
}
