//! Moves the bytes of one session between its socket and its machine.

use std::time::Duration;

use tandem_core::Machine;
use tandem_core::machine::{CloseReason, CloseWhy};
use tandem_core::session::{Command, Input, Notice, Output, Session};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::env::Env;
use super::line::Line;
use super::log;
use super::message::{Message, SessionMessage};
use super::notices::Notices;
use super::timings::Timings;

/// Notices that may wait for the agent's task. With more of them, a session reads no bytes and follows no timer until the
/// agent's task has received some. It still obeys commands and sends, and each of those steps may export the MACs that are
/// marked already: so the bound of all notices is the number of MACs that the replica holds.
pub const NOTICES: usize = 256;

/// The longest time that the last bytes may take to leave.
const FLUSH: Duration = Duration::from_secs(1);

/// Runs a session until it ends.
///
/// The agent's task never waits for a session: its messages come by a channel without a bound. A session's task waits
/// for the agent's, and still receives messages meanwhile. So the two cannot wait for each other.
pub async fn run<E: Env, S: AsyncRead + AsyncWrite>(
    env: E,
    mut session: Box<Session>,
    stream: S,
    mut messages: mpsc::UnboundedReceiver<SessionMessage>,
    agent: mpsc::Sender<Message>,
    timings: Timings,
) {
    let mut line = Line::new(stream, "the switch");
    let mut notices = Notices::new(agent);
    while !carry_out(&mut session, &mut line, &mut notices) {
        timings.add(&session.take_measures());
        let wake = session.poll_timeout().map(|deadline| deadline.at);
        let may_read = notices.waiting() < NOTICES;
        let input = tokio::select! {
            // Messages of the agent are few and come first: a request for the status must not wait for endless work.
            biased;
            message = messages.recv() => match command(message, &env, &session) {
                Some(command) => Input::Command(command),
                None => continue,
            },
            () = notices.send_some() => continue,
            happened = async {
                match may_read {
                    true => line.next(&env, wake).await,
                    false => line.send_only().await,
                }
            } => happened.into(),
        };
        session.handle(env.now(), input);
        // Then it is another's turn, however much there is.
        tokio::task::yield_now().await;
    }
    timings.add(&session.take_measures());
    let flushed = async {
        tokio::select! {
            () = line.finish() => {}
            () = env.sleep_until(env.now() + FLUSH) => {}
        }
    };
    tokio::join!(notices.send_all(), flushed);
}

/// What a message commands the machine; a request for the status is answered here.
fn command<E: Env>(message: Option<SessionMessage>, env: &E, session: &Session) -> Option<Command> {
    match message {
        Some(SessionMessage::Command(command)) => return Some(command),
        Some(SessionMessage::Status(answer)) => {
            let _ = answer.send(session.status(env.now()));
        }
        None => return Some(Command::Close(CloseWhy::new(CloseReason::Stopped, "the agent is gone"))),
    }
    None
}

/// Drains the outputs. Answers whether the session is over.
fn carry_out<S: AsyncRead + AsyncWrite>(session: &mut Session, line: &mut Line<S>, notices: &mut Notices) -> bool {
    let mut over = false;
    while let Some(output) = session.poll_output() {
        match output {
            Output::Send(bytes) => line.send(bytes),
            Output::Close(_) => over = true,
            Output::Notify(notice) => {
                over |= matches!(notice, Notice::Closed(_));
                notices.push(Message::Session {
                    conn: session.conn(),
                    generation: session.generation(),
                    notice,
                });
            }
            Output::Event(event) => log::session(&event, session.served()),
        }
    }
    over
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use tandem_core::configuration::{Configuration, SessionOptions};
    use tandem_core::session::Opening;
    use tandem_core::status::SessionStatus;
    use tandem_core::{ConnId, Generation, Peer, Time};
    use tokio::io::{ReadBuf, Repeat, Sink};
    use tokio::sync::oneshot;

    use super::super::env::TokioEnv;
    use super::*;

    /// A switch that never stops talking; at every hundredth read its status is requested.
    struct Endless {
        blanks: Repeat,
        sink: Sink,
        reads: usize,
        messages: mpsc::UnboundedSender<SessionMessage>,
        asked: Option<oneshot::Receiver<SessionStatus>>,
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
                    this.asked = this
                        .messages
                        .send(SessionMessage::Status(answer))
                        .ok()
                        .map(|()| answered);
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
    async fn a_question_is_answered_before_more_is_read_however_much_there_is() {
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
        let (messages, inbox) = mpsc::unbounded_channel();
        let (took, mut answers) = mpsc::unbounded_channel();
        let (agent, _events) = mpsc::channel(16);
        let switch = Endless {
            blanks: tokio::io::repeat(b' '),
            sink: tokio::io::sink(),
            reads: 0,
            messages,
            asked: None,
            took,
        };
        let running = tokio::spawn(run(env, session, switch, inbox, agent, Timings::default()));
        let mut reads = Vec::new();
        for _ in 0..20 {
            reads.push(answers.recv().await);
        }
        running.abort();
        assert_eq!(reads, [Some(0); 20]);
    }
}
