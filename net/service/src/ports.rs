//! The accept loop of the small ports: bounded in connections and in the time that each may take.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tracing::debug;

use crate::admission::{Admission, Number, Places, Verdict};
use crate::driver::env::{Env, TokioEnv};
use crate::driver::log;
use crate::event::ServiceEvent;

/// The limits of the connections of one port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at a time. One more closes the oldest, so that silent clients cannot lock a health check out.
    pub(crate) connections: usize,
    /// The longest time that a connection may last.
    pub(crate) time: Duration,
}

/// The pause after a failed accept: its usual cause, too many open files, persists.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Passes each connection to `handle` while the future is polled; dropping it closes all connections.
pub(crate) async fn serve<F>(
    port: &'static str,
    listener: TcpListener,
    limits: Limits,
    handle: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let env = TokioEnv::begin();
    let mut connections = JoinSet::new();
    let mut by_number: BTreeMap<Number, AbortHandle> = BTreeMap::new();
    // No connection of these ports takes long: an old one is closed at once for a new one.
    let mut admission = Admission::new(Places {
        reserved: 0,
        of_one_address: limits.connections,
        ..Places::new(limits.connections, Duration::ZERO, Duration::ZERO)
    });
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    // With places for which nothing is kept, nothing ever waits.
                    let Verdict::Admitted { number, instead_of } = admission.arrive(env.now(), peer.ip()) else {
                        continue;
                    };
                    if let Some((_, oldest)) = instead_of.and_then(|old| by_number.remove_entry(&old)) {
                        debug!(port, "too many connections: the oldest is closed");
                        oldest.abort();
                    }
                    let handled = tokio::time::timeout(limits.time, handle(stream, peer));
                    by_number.insert(number, connections.spawn(async move {
                        if handled.await.is_err() {
                            debug!(port, %peer, "the connection took too long and is closed");
                        }
                    }));
                }
                Err(error) => {
                    let problem = error.to_string();
                    log::event(&ServiceEvent::AcceptFailed { port, problem });
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => by_number.retain(|number, connection| {
                let is_open = !connection.is_finished();
                if !is_open {
                    admission.leave(*number);
                }
                is_open
            }),
        }
    }
}
