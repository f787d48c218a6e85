//! Runs the agent's machine, and a task for each session that it opens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tandem_core::agent::pair::PeerReport;
use tandem_core::agent::uplinks::{self, UplinkId};
use tandem_core::agent::{Agent, Input, Output};
use tandem_core::event::{Event, What};
use tandem_core::health::Grade;
use tandem_core::machine::{CloseReason, CloseWhy};
use tandem_core::session::Notice;
use tandem_core::status::AgentStatus;
use tandem_core::{ConnId, Machine, Peer, Time};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};

use super::env::Env;
use super::log::{self, DriverEvent};
use super::message::{Message, Order};
use super::mourner::Mourner;
use super::session;
use super::steps::{Pace, Steps};
use super::stream::{self, Mouth, News};
use super::uplink::{self, Dialer};

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
pub struct Driver<E: Env, S, D> {
    env: E,
    agent: Agent,
    dialer: Arc<D>,
    messages: mpsc::Receiver<Message>,
    back: mpsc::Sender<Message>,
    grade: watch::Sender<Grade>,
    /// What the other agent of the pair is to hear: the newest alone counts.
    words: watch::Sender<Option<PeerReport>>,
    steps: Steps<E>,
    sessions: BTreeMap<ConnId, mpsc::UnboundedSender<Order>>,
    uplinks: BTreeMap<UplinkId, Mouth>,
    /// Those that something was just said to.
    spoken: BTreeSet<UplinkId>,
    arriving: Option<(ConnId, S)>,
    next_conn: u64,
}

/// Messages that may wait for the agent.
const MESSAGES: usize = 1024;

impl<E: Env, S: AsyncRead + AsyncWrite + Send + 'static, D: Dialer> Driver<E, S, D> {
    /// A driver, where to send it messages, and what the health port is to say.
    pub fn new(env: E, agent: Agent, dialer: D) -> (Self, mpsc::Sender<Message>, watch::Receiver<Grade>) {
        let (back, messages) = mpsc::channel(MESSAGES);
        let (grade, graded) = watch::channel(agent.grade());
        let driver = Self {
            agent,
            dialer: Arc::new(dialer),
            messages,
            back: back.clone(),
            grade,
            words: watch::channel(None).0,
            steps: Steps::new(env.clone()),
            sessions: BTreeMap::new(),
            uplinks: BTreeMap::new(),
            spoken: BTreeSet::new(),
            arriving: None,
            next_conn: 1,
            env,
        };
        (driver, back, graded)
    }

    /// What the other agent of the pair is to hear.
    pub fn words(&self) -> watch::Receiver<Option<PeerReport>> {
        self.words.subscribe()
    }

    /// Whether the agent's task and those of its sessions give their threads back.
    pub fn steps(&self) -> Steps<E> {
        self.steps.clone()
    }

    /// Runs until the agent is drained.
    pub async fn run(self, arrivals: mpsc::Receiver<Arrived<S>>) {
        self.steps().of(|pace| self.work(pace, arrivals)).await;
    }

    async fn work(mut self, pace: Pace<E>, mut arrivals: mpsc::Receiver<Arrived<S>>) {
        // When nobody can arrive any more, there is nothing to wait for but the end.
        let mut open = true;
        loop {
            pace.step();
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
                return self.goodbye().await;
            }
            // What was said is in no socket yet, and counts all the same.
            for id in std::mem::take(&mut self.spoken) {
                let sent = self.uplink(id, News::Sent);
                self.agent.handle(self.env.now(), sent);
                if self.carry_out() {
                    return self.goodbye().await;
                }
            }
        }
    }

    /// Every control node is told.
    async fn goodbye(self) {
        let mouths: Vec<_> = self.uplinks.values().collect();
        stream::goodbye(&self.env, &mouths, self.messages, "the agent has drained").await;
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
            Message::Session {
                conn,
                generation,
                notice,
            } => {
                if notice == Notice::Closed {
                    self.sessions.remove(&conn);
                }
                Input::Session {
                    conn,
                    generation,
                    notice,
                }
            }
            Message::Uplink(id, news) => self.uplink(id, news),
            Message::Peer(word) => Input::Peer(word),
            Message::Tsn { alive } => Input::Tsn { alive },
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
        })
    }

    fn uplink(&mut self, id: UplinkId, news: News) -> Input {
        Input::Uplink(match news {
            News::Opened { peer, ours } => uplinks::Input::Opened {
                id,
                name: peer.into(),
                ours,
            },
            News::Heard(stanza) => uplinks::Input::Received { id, stanza },
            News::Sent => {
                let queued_bytes = self.uplinks.get(&id).map_or(0, Mouth::queued_bytes);
                uplinks::Input::Sent { id, queued_bytes }
            }
            News::Ended(why) => {
                self.uplinks.remove(&id);
                uplinks::Input::Closed { id, why }
            }
        })
    }

    /// Gathers the status in a task of its own: a session that does not answer must not hold up the agent.
    fn gather(&self, answer: oneshot::Sender<AgentStatus>) {
        // One that ends meanwhile has no answer any more; one that is wedged never answers.
        let ask = |session: &mpsc::UnboundedSender<Order>| {
            let (answer, answered) = oneshot::channel();
            session.send(Order::Status(answer)).ok().map(|()| answered)
        };
        let asked: Vec<_> = self.sessions.values().filter_map(ask).collect();
        let back = self.back.clone();
        self.env.spawn(async move {
            let mut gathered = Vec::new();
            for answered in asked {
                gathered.extend(answered.await.ok());
            }
            let _ = back.send(Message::Gathered(gathered, answer)).await;
        });
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
                    let (env, back, steps) = (self.env.clone(), self.back.clone(), self.steps());
                    let generation = session.generation();
                    let last_words = move || {
                        let why = CloseWhy::new(CloseReason::Bug, "the session panicked");
                        let what = What::Closed { why };
                        let event = Event { conn, generation, what };
                        log::session(&event, &BTreeSet::new());
                        let notice = Notice::Closed;
                        Message::Session {
                            conn,
                            generation,
                            notice,
                        }
                    };
                    let mourner = Mourner::new(env.clone(), back.clone(), last_words);
                    self.env.spawn(async move {
                        let _mourner = mourner;
                        steps.of(|_| session::run(env, session, stream, inbox, back)).await;
                    });
                }
                Output::Refuse { conn, why } => {
                    log::event(&DriverEvent::ConnectionRefused { conn, why });
                    self.arriving = None;
                }
                Output::Command { conn, command } => {
                    if let Some(session) = self.sessions.get(&conn) {
                        let _ = session.send(Order::Command(command));
                    }
                }
                Output::Graded { grade, isolation } => {
                    log::event(&DriverEvent::Graded(grade, isolation));
                    self.grade.send_replace(grade);
                }
                Output::Drained => over = true,
                Output::Dial { id, to } => {
                    let name = &self.agent.configuration().session.agent;
                    let mouth = uplink::dial(&self.env, &self.dialer, (id, to), name, &self.back);
                    self.uplinks.insert(id, mouth);
                }
                Output::SendStanza { id, stanza } => {
                    if let Some(mouth) = self.uplinks.get(&id) {
                        mouth.say(stanza);
                        self.spoken.insert(id);
                    }
                }
                Output::CloseUplink { id, why } => {
                    if let Some(mouth) = self.uplinks.get(&id) {
                        mouth.close(why);
                    }
                }
                Output::Event(what) => log::event(&what),
                Output::SendPeer(word) => drop(self.words.send_replace(Some(word))),
                Output::Pair(what) => log::event(&what),
            }
        }
        over
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

    use tandem_core::Generation;
    use tandem_core::configuration::{Configuration, SessionOptions};
    use tokio::io::ReadBuf;

    use super::super::env::TokioEnv;
    use super::*;
    use crate::xmpp::TcpDialer;

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
        let (driver, messages, _grade) = Driver::new(TokioEnv::begin(), agent, TcpDialer::in_clear());
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
