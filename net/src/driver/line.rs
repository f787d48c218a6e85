//! The stream to a switch: what comes in, what waits to go out, and what to do next.

use std::collections::VecDeque;
use std::io;

use tandem_core::Time;
use tandem_core::machine::{CloseWhy, Fault};
use tandem_core::session::Input;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::env::Env;

/// A stream, and the bytes that it has not taken yet.
pub(super) struct Line<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    read: Vec<u8>,
    unsent: VecDeque<u8>,
    /// The stream itself holds bytes that have to leave.
    held: bool,
}

/// Bytes that are read at once: no more than the machine works off in one step.
const READ_BYTES: usize = 64 << 10;

impl<S: AsyncRead + AsyncWrite> Line<S> {
    /// A line with nothing on it.
    pub(super) fn new(stream: S) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            read: vec![0; READ_BYTES],
            unsent: VecDeque::new(),
            held: false,
        }
    }

    /// These bytes go out, after those that are waiting.
    pub(super) fn send(&mut self, bytes: Vec<u8>) {
        self.unsent.extend(bytes);
    }

    /// The next thing that happens: bytes, room for bytes, or the time.
    pub(super) async fn next<E: Env>(&mut self, env: &E, wake: Option<Time>) -> Input {
        let sends = self.held || !self.unsent.is_empty();
        tokio::select! {
            got = self.reader.read(&mut self.read) => arrived(got, &self.read),
            sent = send(&mut self.writer, &self.unsent), if sends => match sent {
                Ok(length) => {
                    self.held = !self.unsent.is_empty();
                    self.unsent.drain(..length);
                    Input::Sent { queued_bytes: self.unsent.len() }
                }
                Err(error) => broke(&error),
            },
            () = sleep(env, wake) => Input::Timeout,
        }
    }

    /// What has arrived and was not read yet. Silence counts only when there is nothing to hear.
    pub(super) async fn unread(&mut self) -> Option<Input> {
        tokio::select! {
            biased;
            got = self.reader.read(&mut self.read) => Some(arrived(got, &self.read)),
            () = std::future::ready(()) => None,
        }
    }

    /// The last bytes leave, and the stream ends.
    pub(super) async fn finish(mut self) {
        let _ = self.writer.write_all(self.unsent.make_contiguous()).await;
        let _ = self.writer.shutdown().await;
    }
}

fn arrived(got: io::Result<usize>, read: &[u8]) -> Input {
    match got {
        Ok(0) => Input::Closed(CloseWhy::orderly("the switch closed the connection")),
        Ok(length) => Input::Bytes(read.get(..length).unwrap_or_default().to_vec()),
        Err(error) => broke(&error),
    }
}

fn broke(error: &io::Error) -> Input {
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the switch, or a proxy, dropped the connection".into(),
        _ => format!("the connection broke: {error}"),
    };
    Input::Closed(CloseWhy::fault(Fault::Environment, what))
}

/// Gives the stream what it takes, and once it has taken everything, sees that it keeps nothing back.
pub(super) async fn send(writer: &mut (impl AsyncWrite + Unpin), unsent: &VecDeque<u8>) -> io::Result<usize> {
    match unsent.as_slices().0 {
        [] => writer.flush().await.map(|()| 0),
        first => match writer.write(first).await {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            sent => sent,
        },
    }
}

async fn sleep<E: Env>(env: &E, at: Option<Time>) {
    match at {
        Some(at) => env.sleep_until(at).await,
        None => std::future::pending().await,
    }
}
