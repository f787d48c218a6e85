//! Takes connections at one address, shakes hands, and passes them on.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::message::{Message, Note};
use super::stream::{Arrived, Stream, Tls};

/// One address that connections are taken at.
pub(super) struct Listener<C> {
    pub(super) at: SocketAddrV4,
    /// `Some(None)`: TLS is wanted, and there are no certificates.
    pub(super) tls: Option<Option<Arc<Tls>>>,
    pub(super) places: Arc<Semaphore>,
    pub(super) back: mpsc::Sender<Message<C>>,
}

/// A listener that was just closed may hold its address for a moment.
const BIND_TRIES: usize = 20;
const BIND_PAUSE: Duration = Duration::from_millis(50);

/// The longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The pause after a failed accept, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl<C: Send + 'static> Listener<C> {
    pub(super) async fn run(self, stopped: oneshot::Receiver<()>) {
        tokio::select! {
            () = self.serve() => {}
            _ = stopped => {}
        }
    }

    async fn serve(&self) {
        let at = self.at;
        let bound = bind(at).await.and_then(|listener| {
            let address = listener.local_addr()?;
            Ok((listener, address))
        });
        let listener = match bound {
            Ok((listener, address)) => {
                let bound = v4(address).unwrap_or(at);
                self.note(Note::Bound { at, bound }).await;
                listener
            }
            Err(error) => {
                let why = error.to_string();
                return self.note(Note::CannotListen { at, why }).await;
            }
        };
        while let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, SocketAddr::V4(from))) => self.welcome(stream, from, place),
                Ok((_, SocketAddr::V6(_))) => {}
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    /// Shakes hands in a task of its own: a slow client delays no other.
    fn welcome(&self, stream: TcpStream, from: SocketAddrV4, place: OwnedSemaphorePermit) {
        let (at, tls, back) = (self.at, self.tls.clone(), self.back.clone());
        tokio::spawn(async move {
            let shaken = tokio::time::timeout(HANDSHAKE, shake(stream, tls)).await;
            let shaken = shaken.unwrap_or_else(|_| Err("the handshake took too long".to_owned()));
            let message = match shaken {
                Ok(stream) => Message::Accepted {
                    at,
                    from,
                    arrived: Arrived { stream, place },
                },
                Err(why) => Message::Note(Note::ConnectionFailed { peer: from, why }),
            };
            let _ = back.send(message).await;
        });
    }

    async fn note(&self, note: Note) {
        let _ = self.back.send(Message::Note(note)).await;
    }
}

async fn shake(stream: TcpStream, tls: Option<Option<Arc<Tls>>>) -> Result<Box<dyn Stream>, String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    match tls {
        None => Ok(Box::new(stream)),
        Some(None) => Err("there is no certificate to show".to_owned()),
        Some(Some(tls)) => match tls.acceptor.accept(stream).await {
            Ok((stream, _)) => Ok(Box::new(stream)),
            Err(refusal) => Err(refusal.what),
        },
    }
}

async fn bind(at: SocketAddrV4) -> io::Result<TcpListener> {
    let mut tries = 1;
    loop {
        match TcpListener::bind(at).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < BIND_TRIES => {
                tries += 1;
                tokio::time::sleep(BIND_PAUSE).await;
            }
            bound => return bound,
        }
    }
}

fn v4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    }
}
