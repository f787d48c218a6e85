//! The agent-check port: HAProxy connects, reads one line, and follows it.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tracing::trace;

use super::{Announcements, LIMITS, Pulse, grade};
use crate::ports;

/// Bytes that a peer may send (`agent-send`); they are discarded.
const AGENT_SEND_BYTES_MAX: u64 = 4096;

/// Answers agent checks while it is polled, and records in `announcements` what each proxy received.
pub async fn serve_agent_check(listener: TcpListener, pulse: Arc<impl Pulse>, announcements: Arc<Announcements>) {
    let handle = |stream: TcpStream, peer: SocketAddr| {
        let (pulse, announcements) = (Arc::clone(&pulse), Arc::clone(&announcements));
        async move {
            if let Err(error) = answer(stream, peer.ip(), &*pulse, &announcements).await {
                trace!(%peer, %error, "an agent check ended early");
            }
        }
    };
    ports::serve("agent_check", listener, LIMITS, handle).await;
}

async fn answer(
    mut stream: TcpStream,
    peer: IpAddr,
    pulse: &impl Pulse,
    announcements: &Announcements,
) -> std::io::Result<()> {
    let grade = grade(pulse);
    let line = format!("{}\n", announcements.polled(peer, grade, Instant::now()));
    stream.write_all(line.as_bytes()).await?;
    stream.shutdown().await?;
    // The peer closes once it has read the line: only then has it received the grade. Its own bytes must be read, because
    // a close with unread bytes resets the connection, and the line may be lost.
    let (mut unread, _) = stream.split();
    match tokio::io::copy(&mut (&mut unread).take(AGENT_SEND_BYTES_MAX), &mut tokio::io::sink()).await {
        // HAProxy ends its checks with a reset.
        Err(error) if error.kind() != ErrorKind::ConnectionReset => return Err(error),
        Ok(_) | Err(_) => {}
    }
    announcements.fetched(peer, grade, Instant::now());
    Ok(())
}
