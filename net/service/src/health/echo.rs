//! The health port: an OVSDB echo (RFC 7047, section 4.1.11) in plain text, answered through the worker.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tracing::trace;

use super::{LIMITS, Pulse, grade};
use crate::ports;

/// Bytes that one connection may send; a check needs about forty.
const REQUEST_BYTES_MAX: usize = 4096;

/// Answers health checks while it is polled.
///
/// A request `{"method":"echo","params":[],"id":"h"}` gets `{"id":"h","result":[],"error":null}` if the
/// worker reports in time that the agent passes. In all other cases the connection is closed without an answer.
pub async fn serve_echo(listener: TcpListener, pulse: Arc<impl Pulse>) {
    let handle = |mut stream: TcpStream, peer| {
        let pulse = Arc::clone(&pulse);
        async move {
            if let Err(error) = answer(&mut stream, &*pulse).await {
                trace!(%peer, %error, "a health check ended early");
            }
        }
    };
    ports::serve("health", listener, LIMITS, handle).await;
}

#[derive(Deserialize)]
struct Request<'a> {
    method: &'a str,
    #[serde(borrow)]
    params: &'a RawValue,
    #[serde(borrow)]
    id: &'a RawValue,
}

async fn answer(stream: &mut TcpStream, pulse: &impl Pulse) -> std::io::Result<()> {
    let mut unread = Vec::new();
    let mut left = REQUEST_BYTES_MAX;
    loop {
        let count = stream.read_buf(&mut unread).await?;
        left = left.saturating_sub(count);
        if count == 0 || left == 0 {
            return Ok(());
        }
        while let Some((reply, used)) = reply(&unread)? {
            if !grade(pulse).passes() {
                return Ok(());
            }
            stream.write_all(reply.as_bytes()).await?;
            unread.drain(..used);
        }
    }
}

/// The reply to the first request, and the length of the request in bytes; `None` while it is incomplete.
fn reply(unread: &[u8]) -> std::io::Result<Option<(String, usize)>> {
    let mut requests = serde_json::Deserializer::from_slice(unread).into_iter::<Request<'_>>();
    match requests.next() {
        None => Ok(None),
        Some(Err(error)) if error.is_eof() => Ok(None),
        Some(Ok(Request {
            method: "echo",
            params,
            id,
        })) => {
            let reply = format!(r#"{{"id":{id},"result":{params},"error":null}}"#);
            Ok(Some((reply, requests.byte_offset())))
        }
        Some(Ok(_)) | Some(Err(_)) => Err(std::io::Error::other("the peer did not send an echo")),
    }
}
