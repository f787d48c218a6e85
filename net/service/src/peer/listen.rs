//! Receives the reports of the peer.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tandem_core::agent::PeerReport;
use tandem_core::identity::IdentityRule;
use tandem_core::machine::Certificate;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::{CONNECTIONS, HANDSHAKES, Hello, News, OPENING, line};
use crate::driver::log::{self, DriverEvent};
use crate::driver::message::Message;
use crate::listen::{ListenOptions, Listener};
use crate::tls::Acceptor;

/// Our name, and the certificates that the peer may present.
#[derive(Clone, Debug)]
pub struct Identities {
    /// The name of this agent.
    pub own: String,
    /// None means those that contain the name of the peer.
    pub peer: Vec<IdentityRule>,
}

/// The longest time that the peer may be silent.
#[derive(Clone, Copy)]
pub(super) struct Silence {
    /// Before its first line.
    pub(super) opening: Duration,
    /// Before each report; it sends one every second.
    pub(super) report: Duration,
}

const SILENCE: Silence = Silence {
    opening: OPENING,
    report: Duration::from_secs(10),
};

/// Opens the port, and passes each report of an admitted peer to the agent, until the agent is gone. Returns the address.
///
/// # Errors
/// The port cannot be opened.
pub fn listen(
    address: SocketAddr,
    acceptor: Arc<Acceptor>,
    identities: Identities,
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
    tokio::spawn(accept(listener, identities, agent));
    Ok(address)
}

async fn accept(mut listener: Listener, identities: Identities, agent: mpsc::Sender<Message>) {
    let mut links = JoinSet::new();
    let mut by_age: VecDeque<Link> = VecDeque::new();
    // The peer dials again every two seconds: a reason that repeats is logged once.
    let news = Arc::new(Mutex::new(News::default()));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = links.join_next() => continue,
            () = agent.closed() => return,
        };
        let Some(accepted) = accepted else { return };
        by_age.retain(|link| !link.task.is_finished());
        for is_peer in [false, true] {
            close_oldest(&mut by_age, is_peer);
        }
        let (identities, agent, news) = (identities.clone(), agent.clone(), Arc::clone(&news));
        let is_peer = Arc::new(AtomicBool::new(false));
        let admitted = Arc::clone(&is_peer);
        let task = links.spawn(async move {
            let from = accepted.peer.address;
            let certificate = accepted.peer.certificate.as_ref();
            let of = (&identities, certificate, &*admitted);
            let received = receive(accepted.stream, SILENCE, of, &agent).await;
            let mut news = news.lock().unwrap_or_else(PoisonError::into_inner);
            match received {
                Ok(()) => news.forget(),
                Err(why) => {
                    let is_news = news.is_news(&why);
                    log::event(&DriverEvent::PeerIgnored { from, why, is_news });
                }
            }
        });
        by_age.push_back(Link { task, is_peer });
    }
}

/// A connection, and whether the other end has shown that it is the peer.
struct Link {
    task: AbortHandle,
    is_peer: Arc<AtomicBool>,
}

/// A peer that restarts connects again: the oldest of its connections is dead. One that has not shown that it is the peer
/// takes no place of one that has: any certificate of the CA may open it.
fn close_oldest(by_age: &mut VecDeque<Link>, is_peer: bool) {
    let is_kind = |link: &Link| link.is_peer.load(Ordering::Relaxed) == is_peer;
    if by_age.iter().filter(|link| is_kind(link)).count() < CONNECTIONS {
        return;
    }
    if let Some(oldest) = by_age.iter().position(is_kind).and_then(|at| by_age.remove(at)) {
        oldest.task.abort();
    }
}

/// Receives reports until the peer closes the connection. The error is a violation of the link's protocol.
pub(super) async fn receive(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    silence: Silence,
    (identities, certificate, admitted): (&Identities, Option<&Certificate>, &AtomicBool),
    agent: &mpsc::Sender<Message>,
) -> Result<(), String> {
    let mut stream = BufReader::new(stream);
    let opened = timeout(silence.opening, async {
        let Some(hello) = line::read::<Hello>(&mut stream).await? else {
            return Err("it closed the connection without sending anything".into());
        };
        let certificate = certificate.ok_or_else(|| "it presented no certificate".to_owned());
        let admitted = certificate.and_then(|it| hello.admit(&identities.own, it, &identities.peer));
        // Our name and protocol go out even if we refuse the peer, so that both logs have the reason.
        let why = admitted.as_ref().err().map(String::as_str);
        line::write(&mut stream, &Hello::of(&identities.own).refusing(why)).await?;
        admitted
    });
    let silent = |limit: Duration| format!("it was silent for {limit:?}");
    opened.await.map_err(|_| silent(silence.opening))??;
    admitted.store(true, Ordering::Relaxed);
    loop {
        let received = timeout(silence.report, line::read::<PeerReport>(&mut stream)).await;
        let Some(report) = received.map_err(|_| silent(silence.report))?? else {
            return Ok(());
        };
        if agent.send(Message::Peer(report)).await.is_err() {
            return Ok(());
        }
    }
}
