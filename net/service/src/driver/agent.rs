//! Runs the agent's machine, and a task for each session that it opens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tandem_core::agent::uplinks::{self, UplinkId};
use tandem_core::agent::{Agent, Answer, Input, OrderId, Output, PeerReport};
use tandem_core::configuration::Configuration;
use tandem_core::event::{Event, What};
use tandem_core::health::Grade;
use tandem_core::machine::{CloseReason, CloseWhy, Fingerprint};
use tandem_core::session::{Notice, Session};
use tandem_core::status::AgentStatus;
use tandem_core::{ConnId, Generation, Machine, Peer, Time};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};

use super::env::Env;
use super::line::sleep;
use super::log::{self, DriverEvent};
use super::message::{Message, SessionMessage};
use super::panic_guard::PanicGuard;
use super::session;
use super::steps::{Pace, Steps};
use super::stream::{self, Outbox, StreamNotice};
use super::timings::Timings;
use super::uplink::{self, Dialer};
use crate::memory::Keeper;

/// A connection that is ready for bytes.
#[derive(Debug)]
pub struct Arrived<S> {
    /// The verified stream.
    pub stream: S,
    /// The peer.
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
    /// For the other agent of the pair, which needs the newest only.
    reports: watch::Sender<Option<PeerReport>>,
    steps: Steps<E>,
    timings: Timings,
    sessions: BTreeMap<ConnId, mpsc::UnboundedSender<SessionMessage>>,
    uplinks: BTreeMap<UplinkId, Outbox>,
    /// Those to which a stanza was just sent.
    sent_to: BTreeSet<UplinkId>,
    arriving: Option<(ConnId, S)>,
    next_conn: u64,
    /// Orders that await their answers.
    orders: BTreeMap<OrderId, oneshot::Sender<Answer>>,
    orders_so_far: u64,
    /// Keeps the configuration from control nodes on disk.
    keeper: Keeper,
    /// The certificates that switches of a configuration pin.
    pins: watch::Sender<BTreeSet<Fingerprint>>,
    /// The one that they are of.
    pinned: Arc<Configuration>,
}

/// Messages that may wait for the agent.
const MESSAGES: usize = 1024;

impl<E: Env, S: AsyncRead + AsyncWrite + Send + 'static, D: Dialer> Driver<E, S, D> {
    /// A driver, where to send it messages, and the grade that the health port announces.
    pub fn new(env: E, agent: Agent, dialer: D) -> (Self, mpsc::Sender<Message>, watch::Receiver<Grade>) {
        let (back, messages) = mpsc::channel(MESSAGES);
        let (grade, graded) = watch::channel(agent.grade());
        let driver = Self {
            pinned: Arc::clone(agent.shared_configuration()),
            pins: watch::channel(agent.configuration().pins()).0,
            agent,
            dialer: Arc::new(dialer),
            messages,
            back: back.clone(),
            grade,
            reports: watch::channel(None).0,
            steps: Steps::new(env.clone()),
            timings: Timings::default(),
            sessions: BTreeMap::new(),
            uplinks: BTreeMap::new(),
            sent_to: BTreeSet::new(),
            arriving: None,
            next_conn: 1,
            orders: BTreeMap::new(),
            orders_so_far: 0,
            keeper: Keeper::default(),
            env,
        };
        (driver, back, graded)
    }

    /// The same, with a place for the configuration from control nodes.
    #[must_use]
    pub fn with_keeper(mut self, keeper: Keeper) -> Self {
        self.keeper = keeper;
        self
    }

    /// The reports for the other agent of the pair.
    pub fn reports(&self) -> watch::Receiver<Option<PeerReport>> {
        self.reports.subscribe()
    }

    /// The certificates that switches of the configuration in force pin.
    pub fn pins(&self) -> watch::Receiver<BTreeSet<Fingerprint>> {
        self.pins.subscribe()
    }

    /// How long steps of the sessions take.
    pub fn timings(&self) -> Timings {
        self.timings.clone()
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
        // When no connection can arrive any more, the agent drains.
        let mut open = true;
        // A connection that has arrived, and has to wait.
        let mut held = None;
        loop {
            pace.step();
            let room = held.as_ref().and_then(|_| self.agent.full_until(self.env.now()));
            if room.is_none()
                && let Some(arrived) = held.take()
            {
                let connected = self.on_arrival(arrived);
                if self.handle(connected) {
                    return self.close_uplinks().await;
                }
            }
            let wake = self.agent.poll_timeout().map(|deadline| deadline.at);
            let env = self.env.clone();
            let input = tokio::select! {
                arrived = arrivals.recv(), if open && held.is_none() => match arrived {
                    Some(arrived) => {
                        held = Some(arrived);
                        continue;
                    }
                    None => {
                        open = false;
                        Input::Drain
                    }
                },
                message = self.messages.recv() => match message {
                    Some(message) => match self.on_message(message) {
                        Some(input) => input,
                        None => continue,
                    },
                    None => return,
                },
                () = sleep(&env, room), if room.is_some() => continue,
                () = sleep(&env, wake) => Input::Timeout,
            };
            if self.handle(input) {
                return self.close_uplinks().await;
            }
        }
    }

    /// Hands the machine its input, and carries out what it wants. Answers whether the agent is drained.
    fn handle(&mut self, input: Input) -> bool {
        self.agent.handle(self.env.now(), input);
        self.follow_pins();
        if self.carry_out() {
            return true;
        }
        // Stanzas that were just sent are in no socket yet, and count as queued all the same.
        for id in std::mem::take(&mut self.sent_to) {
            let sent = self.on_stream(id, StreamNotice::Sent);
            self.agent.handle(self.env.now(), sent);
            if self.carry_out() {
                return true;
            }
        }
        false
    }

    fn follow_pins(&mut self) {
        let in_force = self.agent.shared_configuration();
        if !Arc::ptr_eq(in_force, &self.pinned) {
            self.pinned = Arc::clone(in_force);
            self.pins.send_replace(self.pinned.pins());
        }
    }

    /// Ends the streams to the control nodes in order.
    async fn close_uplinks(self) {
        let outboxes: Vec<_> = self.uplinks.values().collect();
        stream::close_all(&self.env, &outboxes, self.messages, "the agent has drained").await;
    }

    fn on_arrival(&mut self, arrived: Arrived<S>) -> Input {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.arriving = Some((conn, arrived.stream));
        Input::Connected {
            conn,
            peer: arrived.peer,
            accepted_at: arrived.accepted_at,
        }
    }

    fn on_message(&mut self, message: Message) -> Option<Input> {
        Some(match message {
            Message::Session {
                conn,
                generation,
                notice,
            } => {
                if matches!(notice, Notice::Closed(_)) {
                    self.sessions.remove(&conn);
                }
                Input::Session {
                    conn,
                    generation,
                    notice,
                }
            }
            Message::Uplink(id, notice) => self.on_stream(id, notice),
            Message::Peer(word) => Input::Peer(word),
            Message::Tsn { alive } => Input::Tsn { alive },
            Message::HandshakeFailed => Input::HandshakeFailed,
            Message::Configure(configuration) => Input::Configure {
                configuration,
                complete: true,
            },
            Message::Remembered(configuration, revision) => {
                Input::Uplink(uplinks::Input::Remembered(configuration, revision))
            }
            Message::Drain => Input::Drain,
            Message::Announced => Input::Announced,
            Message::Order(order, answer) => {
                let id = OrderId(self.orders_so_far);
                self.orders_so_far += 1;
                self.orders.insert(id, answer);
                Input::Order { id, order }
            }
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

    fn on_stream(&mut self, id: UplinkId, notice: StreamNotice) -> Input {
        Input::Uplink(match notice {
            StreamNotice::Opened {
                peer,
                ours,
                certificate,
            } => uplinks::Input::Opened {
                id,
                name: peer.into(),
                ours,
                certificate,
            },
            StreamNotice::Received(stanza) => uplinks::Input::Received { id, stanza },
            StreamNotice::Sent => {
                let queued_bytes = self.uplinks.get(&id).map_or(0, Outbox::queued_bytes);
                uplinks::Input::Sent { id, queued_bytes }
            }
            StreamNotice::Ended(why) => {
                self.uplinks.remove(&id);
                uplinks::Input::Closed { id, why }
            }
        })
    }

    /// Gathers the status in a task of its own: a session that does not answer must not hold up the agent.
    fn gather(&self, answer: oneshot::Sender<AgentStatus>) {
        // One that ends meanwhile has no answer any more; one that is wedged never answers.
        let ask = |session: &mpsc::UnboundedSender<SessionMessage>| {
            let (answer, answered) = oneshot::channel();
            session.send(SessionMessage::Status(answer)).ok().map(|()| answered)
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

    /// Drains the outputs. Answers whether the agent is drained.
    fn carry_out(&mut self) -> bool {
        let mut drained = false;
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Open { conn, session } => self.open(conn, session),
                Output::Refuse { conn, why } => {
                    log::event(&DriverEvent::ConnectionRefused { conn, why });
                    self.arriving = None;
                }
                Output::Command { conn, command } => {
                    if let Some(session) = self.sessions.get(&conn) {
                        let _ = session.send(SessionMessage::Command(command));
                    }
                }
                Output::Dial { id, to } => {
                    let name = &self.agent.configuration().session.agent;
                    let outbox = uplink::dial(&self.env, &self.dialer, (id, to), name, &self.back);
                    self.uplinks.insert(id, outbox);
                }
                Output::SendStanza { id, stanza } => {
                    if let Some(outbox) = self.uplinks.get(&id) {
                        outbox.send(stanza);
                        self.sent_to.insert(id);
                    }
                }
                Output::CloseUplink { id, why } => {
                    if let Some(outbox) = self.uplinks.get(&id) {
                        outbox.close(why);
                    }
                }
                Output::Graded { grade, isolation } => {
                    log::event(&DriverEvent::Graded { grade, isolation });
                    self.grade.send_replace(grade);
                }
                Output::Remember {
                    configuration,
                    revision,
                } => self.keeper.hand_over(configuration, revision),
                Output::SendPeer(report) => drop(self.reports.send_replace(Some(report))),
                Output::Event(what) => log::event(&what),
                Output::Pair(what) => log::event(&what),
                Output::Ordered { id, answer } => {
                    // An operator who has gone needs no answer.
                    let _ = self.orders.remove(&id).map(|awaits| awaits.send(answer));
                }
                Output::Drained => drained = true,
            }
        }
        drained
    }

    /// Runs a session in a task of its own, on the connection that has just arrived.
    fn open(&mut self, conn: ConnId, session: Box<Session>) {
        let Some((_, stream)) = self.arriving.take().filter(|(arriving, _)| *arriving == conn) else {
            return;
        };
        let (sender, messages) = mpsc::unbounded_channel();
        self.sessions.insert(conn, sender);
        let (env, back, steps, timings) = (self.env.clone(), self.back.clone(), self.steps(), self.timings());
        let generation = session.generation();
        let guard = PanicGuard::new(env.clone(), back.clone(), move || panicked(conn, generation));
        self.env.spawn(async move {
            let _guard = guard;
            steps
                .of(|_| session::run(env, session, stream, messages, back, timings))
                .await;
        });
    }
}

/// The last message of a session whose task panicked; the log line that the session cannot write any more comes with it.
fn panicked(conn: ConnId, generation: Generation) -> Message {
    let why = CloseWhy::new(CloseReason::Bug, "the session panicked");
    let notice = Notice::Closed(why.reason);
    let what = What::Closed { why };
    let event = Event { conn, generation, what };
    log::session(&event, &BTreeSet::new());
    Message::Session {
        conn,
        generation,
        notice,
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
