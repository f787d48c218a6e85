//! Runs the agent's machine, and a task for each session that it opens.

use std::collections::{BTreeMap, BTreeSet};

use tandem_core::agent::{Agent, Input, Output};
use tandem_core::event::{Event, What};
use tandem_core::health::Grade;
use tandem_core::machine::{CloseWhy, Fault};
use tandem_core::status::AgentStatus;
use tandem_core::{ConnId, Generation, Machine, Peer, Time};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};

use super::env::Env;
use super::log;
use super::message::{Message, Order};
use super::session;

/// A connection that is ready for bytes.
#[derive(Debug)]
pub struct Arrived<S> {
    /// The verified stream.
    pub stream: S,
    /// Who is at the other end.
    pub peer: Peer,
    /// When it was accepted, before the handshake.
    pub accepted_at: Time,
}

/// The agent's task.
pub struct Driver<E: Env, S> {
    env: E,
    agent: Agent,
    messages: mpsc::Receiver<Message>,
    back: mpsc::Sender<Message>,
    grade: watch::Sender<Grade>,
    sessions: BTreeMap<ConnId, mpsc::UnboundedSender<Order>>,
    arriving: Option<(ConnId, S)>,
    next_conn: u64,
}

/// Messages that may wait for the agent.
const MESSAGES: usize = 1024;

impl<E: Env, S: AsyncRead + AsyncWrite + Send + 'static> Driver<E, S> {
    /// A driver, where to send it messages, and what the health port is to say.
    pub fn new(env: E, agent: Agent) -> (Self, mpsc::Sender<Message>, watch::Receiver<Grade>) {
        let (back, messages) = mpsc::channel(MESSAGES);
        let (grade, graded) = watch::channel(agent.grade());
        let driver = Self {
            env,
            agent,
            messages,
            back: back.clone(),
            grade,
            sessions: BTreeMap::new(),
            arriving: None,
            next_conn: 1,
        };
        (driver, back, graded)
    }

    /// Runs until the agent is drained.
    pub async fn run(mut self, mut arrivals: mpsc::Receiver<Arrived<S>>) {
        // When nobody can arrive any more, there is nothing to wait for but the end.
        let mut open = true;
        loop {
            let wake = self.agent.poll_timeout().map(|deadline| deadline.at);
            let env = self.env.clone();
            let input = tokio::select! {
                arrived = arrivals.recv(), if open => match arrived {
                    Some(arrived) => self.arrived(arrived),
                    None => {
                        open = false;
                        Input::Drain
                    }
                },
                message = self.messages.recv() => match message {
                    Some(message) => match self.heard(message) {
                        Some(input) => input,
                        None => continue,
                    },
                    None => return,
                },
                () = async {
                    match wake {
                        Some(at) => env.sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                } => Input::Timeout,
            };
            self.agent.handle(self.env.now(), input);
            if self.carry_out() {
                return;
            }
        }
    }

    fn arrived(&mut self, arrived: Arrived<S>) -> Input {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.arriving = Some((conn, arrived.stream));
        Input::Connected {
            conn,
            peer: arrived.peer,
            accepted_at: arrived.accepted_at,
        }
    }

    fn heard(&mut self, message: Message) -> Option<Input> {
        Some(match message {
            Message::Heard(event) => {
                if matches!(event.what, What::Closed { .. }) {
                    self.sessions.remove(&event.conn);
                }
                Input::Heard(event)
            }
            Message::Configure(configuration) => Input::Configure {
                configuration,
                complete: true,
            },
            Message::Drain => Input::Drain,
            Message::Announced => Input::Announced,
            Message::Status(answer) => {
                self.gather(answer);
                return None;
            }
            Message::Gathered(sessions, answer) => {
                let _ = answer.send(self.agent.status(sessions));
                return None;
            }
            Message::Pulse(answer) => {
                let grade = self.agent.grade();
                let alive = self.ask_all(Order::Pulse);
                self.env.spawn(async move {
                    alive.await;
                    let _ = answer.send(grade);
                });
                return None;
            }
        })
    }

    /// Gathers the status in a task of its own: a session that does not answer must not hold up the agent.
    fn gather(&self, answer: oneshot::Sender<AgentStatus>) {
        let gathered = self.ask_all(Order::Status);
        let back = self.back.clone();
        self.env.spawn(async move {
            let _ = back.send(Message::Gathered(gathered.await, answer)).await;
        });
    }

    /// Asks every session. One that ends meanwhile has no answer any more; one that is wedged never answers.
    fn ask_all<T: Send + 'static>(
        &self,
        question: fn(oneshot::Sender<T>) -> Order,
    ) -> impl Future<Output = Vec<T>> + Send + use<T, E, S> {
        let ask = |session: &mpsc::UnboundedSender<Order>| {
            let (answer, answered) = oneshot::channel();
            session.send(question(answer)).ok().map(|()| answered)
        };
        let asked: Vec<_> = self.sessions.values().filter_map(ask).collect();
        async move {
            let mut answers = Vec::new();
            for answered in asked {
                answers.extend(answered.await.ok());
            }
            answers
        }
    }

    /// Drains the outputs. Answers whether everything is over.
    fn carry_out(&mut self) -> bool {
        let mut over = false;
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Open { conn, session } => {
                    let Some((_, stream)) = self.arriving.take().filter(|(arriving, _)| *arriving == conn) else {
                        continue;
                    };
                    let (orders, inbox) = mpsc::unbounded_channel();
                    self.sessions.insert(conn, orders);
                    let (env, back) = (self.env.clone(), self.back.clone());
                    let mourner = Mourner {
                        env: env.clone(),
                        agent: back.clone(),
                        conn,
                        generation: session.generation(),
                    };
                    self.env.spawn(async move {
                        let _mourner = mourner;
                        session::run(env, session, stream, inbox, back).await;
                    });
                }
                Output::Refuse { conn, why } => {
                    log::refused(conn, &why);
                    self.arriving = None;
                }
                Output::Tell { conn, command } => {
                    if let Some(session) = self.sessions.get(&conn) {
                        let _ = session.send(Order::Command(command));
                    }
                }
                Output::Graded(grade) => {
                    log::graded(grade);
                    self.grade.send_replace(grade);
                }
                Output::Drained => over = true,
                // Without control nodes an agent asks for none of these.
                Output::TellPeer(_) | Output::Disagreed { .. } => {}
                Output::Dial { .. } | Output::Say { .. } | Output::HangUp { .. } | Output::Event(_) => {}
            }
        }
        over
    }
}

/// Tells the agent of a session that panicked: it can no longer say itself that it is over, and its routes would stay.
struct Mourner<E: Env> {
    env: E,
    agent: mpsc::Sender<Message>,
    conn: ConnId,
    generation: Generation,
}

impl<E: Env> Drop for Mourner<E> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let event = Event {
            conn: self.conn,
            generation: self.generation,
            what: What::Closed {
                why: CloseWhy::fault(Fault::OurBug, "the session panicked"),
            },
        };
        log::event(&event, &BTreeSet::new());
        let agent = self.agent.clone();
        self.env.spawn(async move {
            let _ = agent.send(Message::Heard(event)).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::Ipv4Addr;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tandem_core::configuration::{Configuration, SessionOptions};
    use tokio::io::ReadBuf;

    use super::super::env::TokioEnv;
    use super::*;

    /// Stands for a bug that a peer can reach.
    struct Bug;

    impl AsyncRead for Bug {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            panic!("on purpose");
        }
    }

    impl AsyncWrite for Bug {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_session_that_panics_is_over_and_a_drain_does_not_wait_for_it() {
        let configuration = Arc::new(Configuration {
            session: SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST),
            networks: BTreeMap::new(),
            switches: BTreeMap::new(),
        });
        let agent = Agent::new(Arc::clone(&configuration), Generation(0));
        let (driver, messages, _grade) = Driver::new(TokioEnv::begin(), agent);
        let (arrivals, arriving) = mpsc::channel(1);
        let running = tokio::spawn(driver.run(arriving));
        let peer = Peer {
            address: (Ipv4Addr::LOCALHOST, 1).into(),
            proxied: None,
            certificate: None,
        };
        let arrived = Arrived {
            stream: Bug,
            peer,
            accepted_at: Time::ORIGIN,
        };
        assert!(arrivals.send(arrived).await.is_ok());
        while arrivals.capacity() == 0 {
            tokio::task::yield_now().await;
        }
        for message in [Message::Configure(configuration), Message::Drain, Message::Announced] {
            assert!(messages.send(message).await.is_ok());
        }
        let ended = tokio::time::timeout(Duration::from_secs(60), running).await;
        assert!(matches!(ended, Ok(Ok(()))), "{ended:?}");
    }
}
