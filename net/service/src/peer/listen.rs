//! The words of the other agent.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::agent::pair::PeerReport;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::{CONNECTIONS, HANDSHAKES, Hello, OPENING, line};
use crate::driver::log::{self, DriverEvent, PeerLink};
use crate::driver::message::Message;
use crate::listen::{ListenOptions, Listener};
use crate::tls::Acceptor;

/// How long the other agent may say nothing.
#[derive(Clone, Copy)]
pub(super) struct Silence {
    /// Before its first line.
    pub(super) opening: Duration,
    /// Before each word; it says one every second.
    pub(super) word: Duration,
}

const SILENCE: Silence = Silence {
    opening: OPENING,
    word: Duration::from_secs(10),
};

/// Opens the port, and tells the agent, which is called `own`, every word that is said there, until it is gone. Answers
/// the address.
///
/// # Errors
/// The port cannot be opened.
pub fn listen(
    address: SocketAddr,
    acceptor: Arc<Acceptor>,
    own: String,
    agent: mpsc::Sender<Message>,
) -> io::Result<SocketAddr> {
    let options = ListenOptions {
        handshake_deadline: OPENING,
        half_open_max: HANDSHAKES,
        ..ListenOptions::default()
    };
    let listener = Listener::bind(address, acceptor, options)
        .map_err(|error| io::Error::new(error.kind(), format!("[peer] listen: {error}")))?;
    let address = listener.local_addr();
    tokio::spawn(accept(listener, own, agent));
    Ok(address)
}

async fn accept(mut listener: Listener, own: String, agent: mpsc::Sender<Message>) {
    let mut links = JoinSet::new();
    let mut by_age: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = links.join_next() => continue,
            () = agent.closed() => return,
        };
        let Some(accepted) = accepted else { return };
        by_age.retain(|link| !link.is_finished());
        // Whoever starts again comes anew: what is old is dead, or nobody's.
        if by_age.len() >= CONNECTIONS
            && let Some(oldest) = by_age.pop_front()
        {
            oldest.abort();
        }
        let (own, agent) = (own.clone(), agent.clone());
        by_age.push_back(links.spawn(async move {
            let from = accepted.peer.address;
            if let Err(why) = hear(accepted.stream, SILENCE, &own, &agent).await {
                log::event(&DriverEvent::PeerLink(PeerLink::Ignored { from, why }));
            }
        }));
    }
}

/// Hears words until the other end hangs up. An error says what was wrong with it.
pub(super) async fn hear(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    silence: Silence,
    own: &str,
    agent: &mpsc::Sender<Message>,
) -> Result<(), String> {
    let mut stream = BufReader::new(stream);
    let opened = timeout(silence.opening, async {
        let Some(hello) = line::read::<Hello>(&mut stream).await? else {
            return Err("it hung up without a word".into());
        };
        // It is told who we are even if we refuse it: then both logs say why.
        line::write(&mut stream, &Hello::of(own)).await?;
        hello.admit(own)
    });
    let silent = |limit: Duration| format!("it said nothing for {limit:?}");
    opened.await.map_err(|_| silent(silence.opening))??;
    loop {
        let heard = timeout(silence.word, line::read::<PeerReport>(&mut stream)).await;
        let Some(word) = heard.map_err(|_| silent(silence.word))?? else {
            return Ok(());
        };
        if agent.send(Message::Peer(word)).await.is_err() {
            return Ok(());
        }
    }
}
