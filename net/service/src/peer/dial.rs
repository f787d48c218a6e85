//! Our own words, on their way to the other agent.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tandem_core::agent::pair::PeerReport;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, BufReader, split};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Hello, OPENING, SENDING, line};
use crate::config::Peer;
use crate::driver::log::{self, DriverEvent, PeerLink};
use crate::tls::Connector;

/// The pause after a dial that failed: the first, and the longest. A word counts for three seconds.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Dials, and says every word there, until nobody says any more. `own` is what this agent is called.
pub async fn dial(peer: Peer, own: String, mut words: watch::Receiver<Option<PeerReport>>) {
    let mut pause = PAUSE.0;
    // Of failures that repeat themselves the log needs one.
    let mut last = None;
    loop {
        let why = match timeout(OPENING, open(&peer, &own)).await {
            Ok(Ok((agent, stream))) => {
                let address = peer.connect;
                log::event(&DriverEvent::PeerLink(PeerLink::Dialled { address, agent }));
                (pause, last) = (PAUSE.0, None);
                match say(stream, &mut words).await {
                    Some(why) => why,
                    None => return,
                }
            }
            Ok(Err(why)) => why,
            Err(_) => format!("it did not open the link within {} s", OPENING.as_secs()),
        };
        let is_news = last.as_ref() != Some(&why);
        last = Some(why.clone());
        let lost = PeerLink::Lost {
            address: peer.connect,
            why,
            is_news,
        };
        log::event(&DriverEvent::PeerLink(lost));
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(PAUSE.1),
            () = forgotten(&mut words) => return,
        }
    }
}

/// Opens a link. Answers what the other end is called, and the stream.
pub(super) async fn open(
    peer: &Peer,
    own: &str,
) -> Result<(String, impl AsyncRead + AsyncWrite + Unpin + use<>), String> {
    let connector = Connector::load(&peer.tls).map_err(|error| error.with_ca_of("peer").to_string())?;
    let stream = connect(peer.connect).await.map_err(|error| error.to_string())?;
    let stream = connector.connect(stream).await;
    let stream = stream.map_err(|error| format!("the TLS handshake failed: {error}"))?;
    let mut stream = BufReader::new(stream);
    line::write(&mut stream, &Hello::of(own)).await?;
    match line::read::<Hello>(&mut stream).await? {
        Some(hello) => Ok((hello.admit(own)?, stream)),
        None => Err("it hung up without a word: the log over there says why".into()),
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // What lies in the kernel for longer would arrive as news.
    SockRef::from(&stream).set_tcp_user_timeout(Some(SENDING))?;
    Ok(stream)
}

/// Says words until the link breaks; answers why. `None`: nobody has anything to say any more.
async fn say(stream: impl AsyncRead + AsyncWrite, words: &mut watch::Receiver<Option<PeerReport>>) -> Option<String> {
    let (mut reader, mut writer) = split(stream);
    // What was said before the link was open may be old.
    words.mark_unchanged();
    loop {
        tokio::select! {
            changed = words.changed() => changed.ok()?,
            read = reader.read_u8() => return Some(match read {
                Ok(_) => "it talks where it should listen".into(),
                Err(_) => "it closed the connection".into(),
            }),
        }
        let word = words.borrow_and_update().clone();
        let said = timeout(SENDING, line::write(&mut writer, &word)).await;
        match said {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return Some(why),
            Err(_) => return Some(format!("it took nothing for {} s", SENDING.as_secs())),
        }
    }
}

/// Waits until nobody can say anything any more.
async fn forgotten(words: &mut watch::Receiver<Option<PeerReport>>) {
    while words.changed().await.is_ok() {}
}
