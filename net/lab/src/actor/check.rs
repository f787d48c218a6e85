//! A health check, again and again, until there is news.

use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::ServerName;
use tandem_sim::socket::{Check, CheckKind, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use tandem_net::driver::env::Env;

const ECHO: &[u8] = br#"{"method":"echo","params":[],"id":"h"}"#;

/// A part of the answer to an echo, as HAProxy's `tcp-check expect string` looks for it.
const RESULT: &[u8] = b"result";

/// The first byte of a record that a handshake is in.
const HANDSHAKE: u8 = 22;

/// An answer longer than this is the wrong one.
const ANSWER_BYTES_MAX: usize = 4096;

/// Checks until the outcome is not `unless`, and answers it.
pub(super) async fn news(env: &impl Env, check: Check) -> Outcome {
    let mut next = env.now() + check.first;
    loop {
        env.sleep_until(next).await;
        next = env.now() + check.every;
        let outcome = ask(&check).await.unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Outcome::Refused,
            io::ErrorKind::TimedOut => Outcome::TimedOut,
            _ => Outcome::Wrong,
        });
        if check.unless.as_ref() != Some(&outcome) {
            return outcome;
        }
    }
}

/// One check. Connecting and answering have each their own limit.
async fn ask(check: &Check) -> io::Result<Outcome> {
    let stream = timeout(check.connect_timeout, TcpStream::connect(check.to)).await??;
    timeout(check.timeout, answer(check, stream)).await?
}

async fn answer(check: &Check, mut stream: TcpStream) -> io::Result<Outcome> {
    let passed = |passes| if passes { Outcome::Passed } else { Outcome::Wrong };
    match check.kind {
        CheckKind::Connect => Ok(Outcome::Passed),
        CheckKind::Echo => {
            stream.write_all(ECHO).await?;
            let is_there = |answer: &[u8]| answer.windows(RESULT.len()).any(|window| window == RESULT);
            let answer = read_until(&mut stream, is_there).await?;
            Ok(passed(is_there(&answer)))
        }
        CheckKind::Tls => {
            stream.write_all(&client_hello(check)?).await?;
            let answer = read_until(&mut stream, |answer| !answer.is_empty()).await?;
            Ok(passed(answer.first() == Some(&HANDSHAKE)))
        }
        CheckKind::Agent => {
            let answer = read_until(&mut stream, |answer| answer.contains(&b'\n')).await?;
            let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
            Ok(if line.is_empty() {
                Outcome::Wrong
            } else {
                Outcome::AgentCheck(String::from_utf8_lossy(line).trim_end().to_owned())
            })
        }
    }
}

/// Reads until this is enough, or the end.
async fn read_until(stream: &mut TcpStream, enough: impl Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    while !enough(&answer) && answer.len() < ANSWER_BYTES_MAX && stream.read_buf(&mut answer).await? > 0 {}
    Ok(answer)
}

/// The first flight of a client without trusted CAs: the check ends before certificates are verified.
fn client_hello(check: &Check) -> io::Result<Vec<u8>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::IpAddress(std::net::IpAddr::from(*check.to.ip()).into());
    let mut client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut hello = Vec::new();
    client.write_tls(&mut hello)?;
    Ok(hello)
}
