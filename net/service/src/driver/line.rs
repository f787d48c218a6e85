//! The byte stream to a peer: what comes in, what waits to go out, and what to do next.

use std::collections::VecDeque;
use std::io;

use tandem_core::{CloseReason, CloseWhy, Time, session, xmpp};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::env::Env;
use crate::tls::Refusal;

/// An event on a connection.
pub(super) enum Happening {
    /// These bytes arrived.
    Bytes(Vec<u8>),
    /// So many bytes are left that the stream did not take yet.
    Sent { queued_bytes: usize },
    /// It is over.
    Closed(CloseWhy),
    /// The time has come.
    Timeout,
}

/// A stream, and the bytes that it has not taken yet.
pub(super) struct Line<S> {
    /// The name of the other end, for the reason of a close.
    peer: &'static str,
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    read: Vec<u8>,
    unsent: VecDeque<u8>,
    /// The stream itself holds bytes that have to leave.
    held: bool,
    /// The time has come, but bytes came first.
    overdue: bool,
}

/// Bytes that are read at once: no more than the machine processes in one step.
const READ_BYTES: usize = 64 << 10;

impl<S: AsyncRead + AsyncWrite> Line<S> {
    /// A line with nothing on it.
    pub(super) fn new(stream: S, peer: &'static str) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            peer,
            reader,
            writer,
            read: vec![0; READ_BYTES],
            unsent: VecDeque::new(),
            held: false,
            overdue: false,
        }
    }

    /// These bytes go out, after those that are waiting.
    pub(super) fn send(&mut self, bytes: Vec<u8>) {
        self.unsent.extend(bytes);
    }

    /// The next thing that happens: bytes, room for bytes, or the time. Time passes only once the bytes that came before
    /// have been read.
    pub(super) async fn next<E: Env>(&mut self, env: &E, wake: Option<Time>) -> Happening {
        if std::mem::take(&mut self.overdue) {
            return Happening::Timeout;
        }
        let sends = self.held || !self.unsent.is_empty();
        let happened = tokio::select! {
            got = self.reader.read(&mut self.read) => arrived(got, &self.read, self.peer),
            sent = send(&mut self.writer, &self.unsent), if sends => self.sent(sent),
            () = sleep(env, wake) => Happening::Timeout,
        };
        match happened {
            Happening::Timeout => {
                let unread = self.unread().await;
                self.overdue = unread.is_some();
                unread.unwrap_or(Happening::Timeout)
            }
            other => other,
        }
    }

    /// The next thing that happens to what is sent, in a time in which nothing is read and no timer is followed.
    /// Never returns while there is nothing to send.
    pub(super) async fn send_only(&mut self) -> Happening {
        if !self.held && self.unsent.is_empty() {
            return std::future::pending().await;
        }
        let sent = send(&mut self.writer, &self.unsent).await;
        self.sent(sent)
    }

    fn sent(&mut self, sent: io::Result<usize>) -> Happening {
        match sent {
            Ok(length) => {
                self.held = !self.unsent.is_empty();
                self.unsent.drain(..length);
                Happening::Sent {
                    queued_bytes: self.unsent.len(),
                }
            }
            Err(error) => broke(&error, self.peer),
        }
    }

    /// What has arrived and was not read yet.
    async fn unread(&mut self) -> Option<Happening> {
        tokio::select! {
            biased;
            got = self.reader.read(&mut self.read) => Some(arrived(got, &self.read, self.peer)),
            () = std::future::ready(()) => None,
        }
    }

    /// Sends everything, and returns the stream: every byte that was read has been returned by `next`.
    pub(super) async fn release(mut self) -> io::Result<S>
    where
        S: Unpin,
    {
        self.writer.write_all(self.unsent.make_contiguous()).await?;
        self.writer.flush().await?;
        Ok(self.reader.unsplit(self.writer))
    }

    /// The last bytes leave, and the stream ends.
    pub(super) async fn finish(mut self) {
        let _ = self.writer.write_all(self.unsent.make_contiguous()).await;
        let _ = self.writer.shutdown().await;
    }
}

fn arrived(got: io::Result<usize>, read: &[u8], peer: &str) -> Happening {
    match got {
        Ok(0) => Happening::Closed(CloseWhy::new(
            CloseReason::PeerClosed,
            format!("{peer} closed the connection"),
        )),
        Ok(length) => Happening::Bytes(read.get(..length).unwrap_or_default().to_vec()),
        Err(error) => broke(&error, peer),
    }
}

fn broke(error: &io::Error, peer: &str) -> Happening {
    if let Some(refusal) = Refusal::of(error) {
        let what = format!("the TLS handshake failed: {refusal}");
        return Happening::Closed(CloseWhy::new(CloseReason::HandshakeFailed, what));
    }
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("{peer}, or a proxy, dropped the connection"),
        _ => format!("the connection broke: {error}"),
    };
    Happening::Closed(CloseWhy::new(CloseReason::ConnectionLost, what))
}

impl From<Happening> for session::Input {
    fn from(happening: Happening) -> Self {
        match happening {
            Happening::Bytes(bytes) => Self::Bytes(bytes),
            Happening::Sent { queued_bytes } => Self::Sent { queued_bytes },
            Happening::Closed(why) => Self::Closed(why),
            Happening::Timeout => Self::Timeout,
        }
    }
}

impl From<Happening> for xmpp::stream::Input {
    fn from(happening: Happening) -> Self {
        match happening {
            Happening::Bytes(bytes) => Self::Bytes(bytes),
            Happening::Sent { queued_bytes } => Self::Sent { queued_bytes },
            Happening::Closed(why) => Self::Closed(why),
            Happening::Timeout => Self::Timeout,
        }
    }
}

/// Gives the stream what it takes, and once it has taken everything, sees that it keeps nothing back.
pub async fn send(writer: &mut (impl AsyncWrite + Unpin), unsent: &VecDeque<u8>) -> io::Result<usize> {
    match unsent.as_slices().0 {
        [] => writer.flush().await.map(|()| 0),
        first => match writer.write(first).await {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            sent => sent,
        },
    }
}

/// Waits until then, or for ever.
pub(super) async fn sleep<E: Env>(env: &E, at: Option<Time>) {
    match at {
        Some(at) => env.sleep_until(at).await,
        None => std::future::pending().await,
    }
}
