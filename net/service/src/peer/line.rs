//! Lines of JSON, bounded.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::LINE_BYTES;
use crate::tls::Refusal;

/// The next line; `None` at the end. A line of another form is an error.
pub(super) async fn read<T: DeserializeOwned>(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<T>, String> {
    let mut line = Vec::new();
    let most = LINE_BYTES as u64 + 1;
    let read = reader.take(most).read_until(b'\n', &mut line).await;
    read.map_err(|error| broke(&error))?;
    match line.strip_suffix(b"\n") {
        Some(line) => serde_json::from_slice(line)
            .map(Some)
            .map_err(|error| format!("it sent a line that does not belong to this protocol: {error}")),
        None if line.len() > LINE_BYTES => Err(format!("it sent a line of more than {LINE_BYTES} bytes")),
        None if line.is_empty() => Ok(None),
        None => Err("it closed the connection in the middle of a line".into()),
    }
}

/// Sends a line.
pub(super) async fn write(writer: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> Result<(), String> {
    let mut line = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    if line.len() >= LINE_BYTES {
        return Err(format!("our report is longer than {LINE_BYTES} bytes"));
    }
    line.push(b'\n');
    let written = async {
        writer.write_all(&line).await?;
        writer.flush().await
    };
    written.await.map_err(|error: io::Error| broke(&error))
}

fn broke(error: &io::Error) -> String {
    if let Some(refusal) = Refusal::of(error) {
        return format!("the TLS handshake failed: {refusal}");
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it dropped the connection".into(),
        _ => format!("the connection broke: {error}"),
    }
}
