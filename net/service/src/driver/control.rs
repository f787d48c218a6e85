//! Runs a control node's machine, and a task for each stream.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::bounds::{HALF_OPEN_STREAMS, PACKED_BYTES};
use tandem_core::control::{ClientName, ControlNode, ControlStatus, Input, Inventory, Output};
use tandem_core::xmpp::stream::{Role, Stream, StreamOptions};
use tandem_core::{CloseReason, CloseWhy, ConnId, Machine, Time};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use super::env::Env;
use super::line::sleep;
use super::log::{self, DriverEvent};
use super::panic_guard::PanicGuard;
use super::stream::{self, Outbox, Owner, Secure, StreamNotice};
use crate::admission::{Admission, Number, Places, Verdict};

/// A connection, perhaps of an agent.
#[derive(Debug)]
pub struct Arrived<S> {
    /// Nothing was read from it.
    pub socket: S,
    /// The address that it comes from.
    pub from: SocketAddr,
}

/// A message to the control node's task.
#[derive(Debug)]
pub enum Message {
    /// Something happened on a stream.
    Stream(ConnId, StreamNotice),
    /// The configuration from now on.
    Configure(Arc<Inventory>),
    /// A request for the status.
    Status(oneshot::Sender<ControlStatus>),
    /// End every stream in order, and then the task.
    Stop,
}

/// The control node's task.
pub struct Driver<E: Env, T> {
    env: E,
    name: Box<str>,
    tls: Arc<T>,
    node: ControlNode,
    messages: mpsc::Receiver<Message>,
    back: mpsc::Sender<Message>,
    clients: BTreeMap<ConnId, Client>,
    /// Those that have not opened their stream.
    admission: Admission,
    /// Those to which a stanza was just sent.
    sent_to: BTreeSet<ConnId>,
    next_conn: u64,
}

struct Client {
    from: SocketAddr,
    outbox: Outbox,
    number: Number,
    /// Its stream is open: the control node has an entry for it.
    open: bool,
}

/// For how long a stream may be opened when there are so many that one has to be closed for a new one.
const OPENING: Duration = Duration::from_secs(1);

/// Messages that may wait for the control node.
const MESSAGES: usize = 1024;

impl<E: Env, T: Send + Sync + 'static> Driver<E, T> {
    /// A driver of a control node of this name, and where to send it messages.
    pub fn new(env: E, name: &str, tls: T) -> (Self, mpsc::Sender<Message>) {
        let (back, messages) = mpsc::channel(MESSAGES);
        let driver = Self {
            env,
            name: name.into(),
            tls: Arc::new(tls),
            node: ControlNode::new(),
            messages,
            back: back.clone(),
            clients: BTreeMap::new(),
            admission: Admission::new(Places::new(HALF_OPEN_STREAMS, OPENING, OPENING)),
            sent_to: BTreeSet::new(),
            next_conn: 1,
        };
        (driver, back)
    }

    /// Runs until it receives [`Message::Stop`].
    pub async fn run<S>(mut self, mut arrivals: mpsc::Receiver<Arrived<S>>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        T: Secure<S>,
    {
        let mut held = None;
        loop {
            let wake = self.node.poll_timeout().map(|deadline| deadline.at);
            let room = held.as_ref().map(|(until, _)| *until);
            tokio::select! {
                Some(arrived) = arrivals.recv(), if held.is_none() => held = self.on_arrival(arrived),
                () = sleep(&self.env, room), if held.is_some() => {}
                message = self.messages.recv() => match message {
                    Some(Message::Stream(conn, notice)) => self.on_stream(conn, notice),
                    Some(Message::Configure(inventory)) => self.handle(Input::Configure(inventory)),
                    Some(Message::Status(answer)) => drop(answer.send(self.node.status())),
                    Some(Message::Stop) | None => return self.close_clients().await,
                },
                () = sleep(&self.env, wake) => self.handle(Input::Timeout),
            }
            held = held.and_then(|(_, arrived)| self.on_arrival(arrived));
            // Stanzas that were just sent are in no socket yet, and count as queued all the same.
            for conn in std::mem::take(&mut self.sent_to) {
                self.on_stream(conn, StreamNotice::Sent);
            }
        }
    }

    /// A connection arrives. Answers it, and how long it has to wait, if there is no place for it yet.
    fn on_arrival<S>(&mut self, arrived: Arrived<S>) -> Option<(Time, Arrived<S>)>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        T: Secure<S>,
    {
        let (number, instead_of) = match self.admission.arrive(self.env.now(), arrived.from.ip()) {
            Verdict::Admitted { number, instead_of } => (number, instead_of),
            Verdict::Wait { until } => return Some((until, arrived)),
        };
        if let Some(client) = instead_of.and_then(|old| self.clients.values().find(|it| it.number == old)) {
            let what =
                format!("{HALF_OPEN_STREAMS} streams are being opened; this one is closed for a newer connection");
            client.outbox.close(CloseWhy::new(CloseReason::TooMany, what));
        }
        self.open(arrived, number);
        None
    }

    fn open<S>(&mut self, Arrived { socket, from }: Arrived<S>, number: Number)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        T: Secure<S>,
    {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let (outbox, inbox) = stream::queue(PACKED_BYTES);
        let client = Client {
            from,
            outbox,
            number,
            open: false,
        };
        self.clients.insert(conn, client);
        let wrap = move |notice| Message::Stream(conn, notice);
        let last_message = move || {
            wrap(StreamNotice::Ended(CloseWhy::new(
                CloseReason::Bug,
                "the stream panicked",
            )))
        };
        let guard = PanicGuard::new(self.env.clone(), self.back.clone(), last_message);
        let options = StreamOptions::new(Role::Server, &self.name, self.tls.is_secure());
        let (env, tls, sender) = (self.env.clone(), Arc::clone(&self.tls), self.back.clone());
        self.env.spawn(async move {
            let _guard = guard;
            let stream = Stream::new(env.now(), options);
            stream::run(
                env,
                stream,
                (socket, "the client"),
                &*tls,
                inbox,
                Owner::new(sender, wrap),
            )
            .await;
        });
    }

    fn on_stream(&mut self, conn: ConnId, notice: StreamNotice) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        match notice {
            StreamNotice::Opened { peer, certificate, .. } => {
                client.open = true;
                let (number, address) = (client.number, client.from);
                let name = ClientName::from(peer);
                self.handle(Input::Opened {
                    conn,
                    name,
                    address,
                    certificate,
                });
                // A client that was refused has shown no right, and its address gets no places that are kept for others.
                match self.clients.contains_key(&conn) {
                    true => self.admission.prove(self.env.now(), number),
                    false => self.admission.leave(number),
                }
            }
            StreamNotice::Received(stanza) => self.handle(Input::Stanza { conn, stanza }),
            StreamNotice::Sent => {
                let queued_bytes = client.outbox.queued_bytes();
                self.handle(Input::Sent { conn, queued_bytes });
            }
            StreamNotice::Ended(why) => {
                let (from, open) = (client.from, client.open);
                self.admission.leave(client.number);
                self.clients.remove(&conn);
                if open {
                    self.handle(Input::Closed { conn, why });
                } else {
                    log::event(&DriverEvent::StreamEnded { from, why });
                }
            }
        }
    }

    fn handle(&mut self, input: Input) {
        self.node.handle(self.env.now(), input);
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Send { conn, stanza } => {
                    if let Some(client) = self.clients.get(&conn) {
                        client.outbox.send(stanza);
                        self.sent_to.insert(conn);
                    }
                }
                // For the control node it is over already.
                Output::Close { conn, why } => {
                    if let Some(client) = self.clients.remove(&conn) {
                        client.outbox.close(why);
                    }
                }
                Output::Event(event) => log::event(&event),
            }
        }
    }

    /// Ends the streams to the clients in order.
    async fn close_clients(self) {
        let outboxes: Vec<_> = self.clients.values().map(|client| &client.outbox).collect();
        stream::close_all(&self.env, &outboxes, self.messages, "the control node ends").await;
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::Ipv4Addr;

    use tandem_core::control::{Access, ListedClient};
    use tandem_core::machine::Certificate;
    use tandem_core::xmpp::stream::Output as Wanted;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::super::env::TokioEnv;
    use super::*;

    struct InClear;

    impl Secure<DuplexStream> for InClear {
        type Secured = DuplexStream;

        fn is_secure(&self) -> bool {
            false
        }

        async fn secure(&self, _: DuplexStream) -> io::Result<(DuplexStream, Certificate)> {
            Err(io::Error::other("it is in the clear"))
        }
    }

    struct Node {
        messages: mpsc::Sender<Message>,
        arrivals: mpsc::Sender<Arrived<DuplexStream>>,
    }

    impl Node {
        fn start() -> Self {
            let (driver, messages) = Driver::new(TokioEnv::begin(), "control-1", InClear);
            let (arrivals, arriving) = mpsc::channel(1);
            tokio::spawn(driver.run(arriving));
            Self { messages, arrivals }
        }

        async fn connect(&self) -> DuplexStream {
            let (near, socket) = tokio::io::duplex(64 << 10);
            let from = (Ipv4Addr::LOCALHOST, 1).into();
            assert!(self.arrivals.send(Arrived { socket, from }).await.is_ok());
            near
        }

        async fn clients(&self) -> Vec<String> {
            let (answer, answered) = oneshot::channel();
            assert!(self.messages.send(Message::Status(answer)).await.is_ok());
            let status = answered.await.expect("a status");
            status.clients.keys().map(ToString::to_string).collect()
        }
    }

    /// Opens a stream as a client does, and answers what the node sends.
    async fn open(socket: &mut DuplexStream, name: &str) -> Vec<u8> {
        let mut stream = Stream::new(TokioEnv::begin().now(), StreamOptions::new(Role::Client, name, false));
        while let Some(output) = stream.poll_output() {
            if let Wanted::Send(bytes) = output {
                socket.write_all(&bytes).await.expect("sent");
            }
        }
        let mut answer = vec![0; 4096];
        let length = socket.read(&mut answer).await.expect("an answer");
        answer.truncate(length);
        answer
    }

    #[tokio::test]
    async fn streams_end_in_order_when_the_control_node_ends() {
        let node = Node::start();
        let mut socket = node.connect().await;
        let answer = open(&mut socket, "agent-a").await;
        assert!(answer.windows(14).any(|it| it == b"<stream:stream"), "{answer:?}");
        assert_eq!(node.clients().await, ["agent-a"]);
        assert!(node.messages.send(Message::Stop).await.is_ok());
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.expect("the end");
        assert!(rest.ends_with(b"</stream:stream>"), "{rest:?}");
    }

    /// Of a client that is refused, nothing is kept: neither its place, nor its address among those of good sessions.
    #[tokio::test]
    async fn only_a_client_that_is_admitted_proves_its_address() {
        let (mut driver, _messages) = Driver::<_, InClear>::new(TokioEnv::begin(), "control-1", InClear);
        let inventory = |clients: &str| {
            let listed = ListedClient {
                name: clients.into(),
                certificates: Vec::new(),
                next_hops: Vec::new(),
            };
            let access = Access {
                listed: vec![listed],
                ..Access::default()
            };
            Input::Configure(Arc::new(Inventory {
                access,
                ..Inventory::default()
            }))
        };
        driver.handle(inventory("agent-*"));
        let mut ends = Vec::new();
        for (last, name) in [(1, "intruder"), (2, "agent-a")] {
            let (near, socket) = tokio::io::duplex(64 << 10);
            ends.push(near);
            let from: SocketAddr = (Ipv4Addr::new(192, 0, 2, last), 1).into();
            assert!(driver.on_arrival(Arrived { socket, from }).is_none());
            let opened = StreamNotice::Opened {
                peer: name.into(),
                ours: true,
                certificate: None,
            };
            driver.on_stream(ConnId(last.into()), opened);
        }
        let is_proven = |last| driver.admission.is_proven(Ipv4Addr::new(192, 0, 2, last).into());
        assert_eq!((is_proven(1), is_proven(2)), (false, true));
        assert_eq!(driver.admission.len(), 0, "no place is taken any more");
    }

    #[tokio::test]
    async fn connections_that_send_nothing_are_bounded_in_number_and_none_of_them_keeps_a_client_out() {
        let node = Node::start();
        let mut silent = Vec::new();
        for _ in 0..HALF_OPEN_STREAMS * 2 {
            silent.push(node.connect().await);
        }
        let mut agent = node.connect().await;
        assert!(
            !open(&mut agent, "agent-1").await.is_empty(),
            "it gets the place of another"
        );
        assert_eq!(node.clients().await, ["agent-1"]);
        // The oldest is closed: orderly, before its stream was open.
        let mut rest = Vec::new();
        silent[0].read_to_end(&mut rest).await.expect("the end");
    }
}
