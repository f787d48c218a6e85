//! Moves the bytes of one session between its socket and its machine.

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
    let mut unsent: Vec<u8> = Vec::new();
    loop {
        let over = carry_out(&mut session, &mut unsent, &agent).await;
        if over {
            let flush = async {
                let _ = writer.write_all(&unsent).await;
                let _ = writer.shutdown().await;
            };
            tokio::select! {
                () = flush => {}
                () = env.sleep_until(env.now() + FLUSH) => {}
            }
            return;
        }
        let wake = session.poll_timeout().map(|deadline| deadline.at);
        // Orders are few and come first: a pulse that draws lots with endless work looks like a wedged worker.
        let next = match orders.try_recv() {
            Ok(order) => Next::Order(Some(order)),
            Err(_) => tokio::select! {
                got = reader.read(&mut read) => Next::Input(match got {
                    Ok(0) => Input::Closed(CloseWhy::orderly("the switch closed the connection")),
                    Ok(length) => Input::Bytes(read[..length].to_vec()),
                    Err(error) => broke(&error),
                }),
                sent = writer.write(&unsent), if !unsent.is_empty() => Next::Input(match sent {
                    Ok(length) => {
                        unsent.drain(..length);
                        if unsent.is_empty() {
                            let _ = writer.flush().await;
                        }
                        Input::Sent { queued_bytes: unsent.len() }
                    }
                    Err(error) => broke(&error),
                }),
                order = orders.recv() => Next::Order(order),
                () = sleep(&env, wake) => Next::Input(Input::Timeout),
            },
        };
        let input = match next {
            Next::Input(input) => input,
            Next::Order(Some(Order::Command(command))) => Input::Command(command),
            Next::Order(Some(Order::Status(answer))) => {
                let _ = answer.send(session.status(env.now()));
                continue;
            }
            Next::Order(Some(Order::Pulse(answer))) => {
                let _ = answer.send(());
                continue;
            }
            Next::Order(None) => Input::Command(Command::Close(CloseWhy::orderly("the agent is gone"))),
        };
        session.handle(env.now(), input);
    }
}

/// What a session's task goes on with.
enum Next {
    Order(Option<Order>),
    Input(Input),
}

fn broke(error: &std::io::Error) -> Input {
    let what = format!("the connection broke: {error}");
    Input::Closed(CloseWhy::fault(Fault::Environment, what))
}

/// Drains the outputs. Answers whether the session is over.
async fn carry_out(session: &mut Session, unsent: &mut Vec<u8>, agent: &mpsc::Sender<Message>) -> bool {
    let mut over = false;
    while let Some(output) = session.poll_output() {
        match output {
            Output::Send(bytes) => unsent.extend_from_slice(&bytes),
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

async fn sleep<E: Env>(env: &E, at: Option<Time>) {
    match at {
        Some(at) => env.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use tandem_core::configuration::{Configuration, SessionOptions};
    use tandem_core::session::Opening;
    use tandem_core::{ConnId, Generation, Peer};
    use tokio::io::{ReadBuf, Repeat, Sink};

    use super::super::env::TokioEnv;
    use super::*;

    /// A switch that never stops talking; at every hundredth read somebody asks whether the session lives.
    struct Endless {
        blanks: Repeat,
        sink: Sink,
        reads: usize,
        orders: mpsc::UnboundedSender<Order>,
        asked: Option<oneshot::Receiver<()>>,
        /// How many reads each answer took.
        took: mpsc::UnboundedSender<usize>,
    }

    const ASK: usize = 100;

    impl AsyncRead for Endless {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            let this = &mut *self;
            if this.asked.as_mut().is_some_and(|asked| asked.try_recv().is_ok()) {
                let _ = this.took.send(this.reads % ASK);
                this.asked = None;
            }
            let mut few = into.take(16);
            let polled = Pin::new(&mut this.blanks).poll_read(cx, &mut few);
            let length = few.filled().len();
            if polled.is_ready() {
                into.advance(length);
                this.reads += 1;
                if this.reads.is_multiple_of(ASK) {
                    let (answer, answered) = oneshot::channel();
                    this.asked = this.orders.send(Order::Pulse(answer)).ok().map(|()| answered);
                }
            }
            polled
        }
    }

    impl AsyncWrite for Endless {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
            Pin::new(&mut self.sink).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.sink).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.sink).poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn a_pulse_is_answered_before_more_is_read_however_much_there_is() {
        let env = TokioEnv::begin();
        let opening = Opening {
            conn: ConnId(1),
            generation: Generation(1),
            peer: Peer {
                address: (Ipv4Addr::LOCALHOST, 1).into(),
                proxied: None,
                certificate: None,
            },
            accepted_at: Time::ORIGIN,
            configuration: Arc::new(Configuration {
                session: SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST),
                networks: Default::default(),
                switches: Default::default(),
            }),
            complete: true,
            fit: true,
        };
        let session = Box::new(Session::new(env.now(), opening));
        let (orders, inbox) = mpsc::unbounded_channel();
        let (took, mut answers) = mpsc::unbounded_channel();
        let (agent, _events) = mpsc::channel(16);
        let switch = Endless {
            blanks: tokio::io::repeat(b' '),
            sink: tokio::io::sink(),
            reads: 0,
            orders,
            asked: None,
            took,
        };
        let running = tokio::spawn(run(env, session, switch, inbox, agent));
        let mut reads = Vec::new();
        for _ in 0..20 {
            reads.push(answers.recv().await);
        }
        running.abort();
        assert_eq!(reads, [Some(0); 20]);
    }
}
