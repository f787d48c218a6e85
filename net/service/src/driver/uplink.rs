//! Dials a control node, and runs the stream to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tandem_core::agent::uplinks::UplinkId;
use tandem_core::bounds::DIAL;
use tandem_core::xmpp::stream::{Role, Stream, StreamOptions};
use tandem_core::{CloseReason, CloseWhy};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::env::Env;
use super::message::Message;
use super::panic_guard::PanicGuard;
use super::stream::{self, Outbox, Owner, Secure, StreamNotice};

/// How control nodes are reached.
pub trait Dialer: Secure<Self::Socket> {
    /// A connection.
    type Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Connects. Has no deadline of its own.
    fn dial(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Socket>> + Send;
}

/// Bytes of a stanza that agents send, roughly: a route.
const STANZA_BYTES: usize = 1 << 10;

/// Starts a task that dials and runs the stream. It notifies the agent.
pub(super) fn dial<E: Env, D: Dialer>(
    env: &E,
    dialer: &Arc<D>,
    (id, to): (UplinkId, SocketAddr),
    name: &str,
    agent: &mpsc::Sender<Message>,
) -> Outbox {
    let (outbox, mut inbox) = stream::queue(STANZA_BYTES);
    let options = StreamOptions::new(Role::Client, name, dialer.is_secure());
    let (task, dialer, agent) = (env.clone(), Arc::clone(dialer), agent.clone());
    env.spawn(async move {
        let wrap = move |notice| Message::Uplink(id, notice);
        let last_message = move || {
            let why = CloseWhy::new(CloseReason::Bug, "the stream panicked");
            wrap(StreamNotice::Ended(why))
        };
        let _guard = PanicGuard::new(task.clone(), agent.clone(), last_message);
        let dialled = tokio::select! {
            dialled = dialer.dial(to) => dialled.map_err(|error| CloseWhy::new(CloseReason::DialFailed, error.to_string())),
            () = task.sleep_until(task.now() + DIAL) => {
                let what = format!("the connection was not accepted within {} s", DIAL.as_secs());
                Err(CloseWhy::new(CloseReason::DialFailed, what))
            }
            why = inbox.given_up() => Err(why),
        };
        match dialled {
            Ok(socket) => {
                let stream = Stream::new(task.now(), options);
                let peer = (socket, "the control node");
                stream::run(task, stream, peer, &*dialer, inbox, Owner::new(agent, wrap)).await;
            }
            Err(why) => drop(agent.send(wrap(StreamNotice::Ended(why))).await),
        }
    });
    outbox
}
