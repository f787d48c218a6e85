//! Dials the peer, and sends it our reports.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tandem_core::agent::PeerReport;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, BufReader, split};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Hello, News, OPENING, SENDING, line};
use crate::config::Peer;
use crate::driver::log::{self, DriverEvent};
use crate::tls::Current;

/// The first and the longest pause after a failed dial. A report is valid for three seconds.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Dials, and sends each report, until the sender of `reports` is gone. `own` is the name of this agent.
pub async fn dial(peer: Peer, own: String, mut reports: watch::Receiver<Option<PeerReport>>) {
    let mut pause = PAUSE.0;
    let tls = Current::new("peer");
    let mut news = News::default();
    loop {
        let why = match timeout(OPENING, open(&peer, &tls, &own)).await {
            Ok(Ok((agent, stream))) => {
                let address = peer.connect;
                log::event(&DriverEvent::PeerLinkUp { address, agent });
                pause = PAUSE.0;
                news.forget();
                match send(stream, &mut reports).await {
                    Some(why) => why,
                    None => return,
                }
            }
            Ok(Err(why)) => why,
            Err(_) => format!("it did not open the link within {} s", OPENING.as_secs()),
        };
        let is_news = news.is_news(&why);
        log::event(&DriverEvent::PeerLinkDown {
            address: peer.connect,
            why,
            is_news,
        });
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(PAUSE.1),
            () = sender_gone(&mut reports) => return,
        }
    }
}

/// Opens a link. Returns the name of the peer, and the stream.
pub(super) async fn open(
    peer: &Peer,
    tls: &Current,
    own: &str,
) -> Result<(String, impl AsyncRead + AsyncWrite + Unpin + use<>), String> {
    let connector = tls.load(&peer.tls).map_err(|error| error.to_string())?;
    let stream = connect(peer.connect).await.map_err(|error| error.to_string())?;
    let stream = connector.connect(stream).await;
    let (stream, certificate) = stream.map_err(|error| format!("the TLS handshake failed: {error}"))?;
    let mut stream = BufReader::new(stream);
    line::write(&mut stream, &Hello::of(own)).await?;
    match line::read::<Hello>(&mut stream).await? {
        Some(hello) => Ok((hello.admit(own, &certificate, &peer.certificates)?, stream)),
        None => Err("it closed the connection during the handshake; see the log of the peer".into()),
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // A report that waits longer in the kernel would be outdated when it arrives.
    SockRef::from(&stream).set_tcp_user_timeout(Some(SENDING))?;
    Ok(stream)
}

/// Sends reports until the link breaks, and returns why. `None`: the sender of the reports is gone.
async fn send(
    stream: impl AsyncRead + AsyncWrite,
    reports: &mut watch::Receiver<Option<PeerReport>>,
) -> Option<String> {
    let (mut reader, mut writer) = split(stream);
    // A report from before the link was open may be outdated.
    reports.mark_unchanged();
    loop {
        tokio::select! {
            changed = reports.changed() => changed.ok()?,
            read = reader.read_u8() => return Some(match read {
                Ok(_) => "it sent data, but must only receive".into(),
                Err(_) => "it closed the connection".into(),
            }),
        }
        let report = reports.borrow_and_update().clone();
        let sent = timeout(SENDING, line::write(&mut writer, &report)).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return Some(why),
            Err(_) => return Some(format!("it accepted no bytes for {} s", SENDING.as_secs())),
        }
    }
}

/// Waits until the sender of the reports is gone.
async fn sender_gone(reports: &mut watch::Receiver<Option<PeerReport>>) {
    while reports.changed().await.is_ok() {}
}
