//! Moves the bytes of one session between its socket and its machine.

use std::collections::VecDeque;

use tandem_core::bounds::UNSENT_BYTES;
use tandem_core::machine::{CloseWhy, Fault};
use tandem_core::session::{Command, Input, Output, Session};
use tandem_core::status::SessionStatus;
use tandem_core::{Machine, Time};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::agent::Message;
use super::env::Env;
use super::log;

/// What the agent's task may tell a session's.
#[derive(Debug)]
pub enum Order {
    /// For the machine.
    Command(Command),
    /// For an operator.
    Status(oneshot::Sender<SessionStatus>),
    /// For the health check: that it is answered shows that the session is not wedged.
    Pulse(oneshot::Sender<()>),
}

/// Bytes that are read at once: no more than the machine works off in one step.
const READ_BYTES: usize = 64 << 10;

/// How long the last bytes may take to leave.
const FLUSH: std::time::Duration = std::time::Duration::from_secs(1);

/// Runs a session until it ends.
pub async fn run<E: Env, S: AsyncRead + AsyncWrite>(
    env: E,
    mut session: Box<Session>,
    stream: S,
    mut orders: mpsc::UnboundedReceiver<Order>,
    agent: mpsc::Sender<Message>,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut read = vec![0; READ_BYTES];
    let mut unsent = VecDeque::new();
    let mut full = false;
    // The stream itself holds bytes that have to leave.
    let mut held = false;
    loop {
        let over = carry_out(&mut session, &mut unsent, &agent).await;
        if over {
            let flush = async {
                let _ = writer.write_all(unsent.make_contiguous()).await;
                let _ = writer.shutdown().await;
            };
            tokio::select! {
                () = flush => {}
                () = env.sleep_until(env.now() + FLUSH) => {}
            }
            return;
        }
        if full != (unsent.len() > UNSENT_BYTES) {
            full = !full;
            session.handle(
                env.now(),
                Input::Sent {
                    queued_bytes: unsent.len(),
                },
            );
            continue;
        }
        let wake = session.poll_timeout().map(|deadline| deadline.at);
        let input = tokio::select! {
            got = reader.read(&mut read), if !full => match got {
                Ok(0) => Input::Closed(CloseWhy::orderly("the switch closed the connection")),
                Ok(length) => Input::Bytes(read[..length].to_vec()),
                Err(error) => Input::Closed(CloseWhy::fault(Fault::Environment, format!("the connection broke: {error}"))),
            },
            sent = send(&mut writer, &unsent), if held || !unsent.is_empty() => match sent {
                Ok(length) => {
                    held = !unsent.is_empty();
                    unsent.drain(..length);
                    Input::Sent { queued_bytes: unsent.len() }
                }
                Err(error) => Input::Closed(CloseWhy::fault(Fault::Environment, format!("the connection broke: {error}"))),
            },
            order = orders.recv() => match order {
                Some(Order::Command(command)) => Input::Command(command),
                Some(Order::Status(answer)) => {
                    let _ = answer.send(session.status(env.now()));
                    continue;
                }
                Some(Order::Pulse(answer)) => {
                    let _ = answer.send(());
                    continue;
                }
                None => Input::Command(Command::Close(CloseWhy::orderly("the agent is gone"))),
            },
            () = sleep(&env, wake) => Input::Timeout,
        };
        session.handle(env.now(), input);
    }
}

/// Drains the outputs. Answers whether the session is over.
async fn carry_out(session: &mut Session, unsent: &mut VecDeque<u8>, agent: &mpsc::Sender<Message>) -> bool {
    let mut over = false;
    while let Some(output) = session.poll_output() {
        match output {
            Output::Send(bytes) => unsent.extend(bytes),
            Output::Close(_) => over = true,
            Output::Event(event) => {
                log::event(&event, session.served());
                over |= matches!(event.what, tandem_core::event::What::Closed { .. });
                let _ = agent.send(Message::Heard(event)).await;
            }
        }
    }
    over
}

/// Gives the stream what it takes, and once it has taken everything, sees that it keeps nothing back.
async fn send(writer: &mut (impl AsyncWrite + Unpin), unsent: &VecDeque<u8>) -> std::io::Result<usize> {
    match unsent.as_slices().0 {
        [] => writer.flush().await.map(|()| 0),
        first => match writer.write(first).await {
            Ok(0) => Err(std::io::ErrorKind::WriteZero.into()),
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
