//! Moves the bytes of one XMPP stream between its socket and its machine, and what is said between that and its owner:
//! the task of an agent, or that of a control node.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tandem_core::xmpp::stanza::Stanza;
use tandem_core::xmpp::stream::{Event, Input, Output, Stream};
use tandem_core::{CloseReason, CloseWhy, Machine};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::env::Env;
use super::line::{Happening, Line, sleep};

/// How a socket becomes one with TLS, where it is configured.
pub trait Secure<S>: Send + Sync + 'static {
    /// The plaintext inside.
    type Secured: AsyncRead + AsyncWrite + Send + Unpin;

    /// Whether streams begin with TLS.
    fn is_secure(&self) -> bool;

    /// The handshake, as the end that we are. Has no deadline of its own.
    fn secure(&self, socket: S) -> impl Future<Output = io::Result<Self::Secured>> + Send;
}

/// What a stream's task tells its owner.
#[derive(Debug)]
pub enum News {
    /// Both ends are open; the other calls itself this.
    Opened { peer: Box<str>, ours: bool },
    /// The other end said something.
    Heard(Stanza),
    /// The queue of what was said has changed; its owner knows how long it is.
    Sent,
    /// Nothing follows.
    Ended(CloseWhy),
}

/// What the owner of a stream tells its task.
#[derive(Debug)]
enum Order {
    Say(Stanza),
    Close(CloseWhy),
}

/// The owner's end of a stream. Dropping it closes the stream.
#[derive(Debug)]
pub(super) struct Mouth {
    orders: mpsc::UnboundedSender<Order>,
    queue: Arc<Queue>,
}

/// The task's end of it.
pub(super) struct Ear {
    orders: mpsc::UnboundedReceiver<Order>,
    queue: Arc<Queue>,
}

/// What was said and has not left yet.
#[derive(Debug, Default)]
struct Queue {
    /// Stanzas that the task has not taken.
    stanzas: AtomicUsize,
    /// Bytes of those that it took, and that the network has not.
    bytes: AtomicUsize,
    /// What a stanza counts that is not bytes yet.
    stanza_bytes: usize,
}

/// Stanzas that go out together at most.
const PACKED_STANZAS: usize = 256;

/// How long goodbyes may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long the last bytes may take to leave.
const FLUSH: Duration = Duration::from_secs(1);

/// Both ends of what is said to a stream's task, in stanzas of about so many bytes.
pub(super) fn mouth(stanza_bytes: usize) -> (Mouth, Ear) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let queue = Arc::new(Queue {
        stanza_bytes,
        ..Queue::default()
    });
    let mouth = Mouth {
        orders: sender,
        queue: Arc::clone(&queue),
    };
    let ear = Ear {
        orders: receiver,
        queue,
    };
    (mouth, ear)
}

impl Mouth {
    /// Says this; never waits. Whoever says much looks at [`Self::queued_bytes`] first.
    pub(super) fn say(&self, stanza: Stanza) {
        self.queue.stanzas.fetch_add(1, Ordering::Relaxed);
        let _ = self.orders.send(Order::Say(stanza));
    }

    /// Says goodbye, and closes.
    pub(super) fn close(&self, why: CloseWhy) {
        let _ = self.orders.send(Order::Close(why));
    }

    /// Waits until the stream's task is over.
    pub(super) async fn gone(&self) {
        self.orders.closed().await;
    }

    /// What was said and has not left yet; an estimate as long as some of it is not bytes yet.
    pub(super) fn queued_bytes(&self) -> usize {
        let stanzas = self.queue.stanzas.load(Ordering::Relaxed);
        self.queue.bytes.load(Ordering::Relaxed) + stanzas * self.queue.stanza_bytes
    }
}

impl Ear {
    /// Before there is a stream, the only order is to give it up.
    pub(super) async fn given_up(&mut self) -> CloseWhy {
        loop {
            match self.orders.recv().await {
                Some(Order::Say(_)) => {}
                Some(Order::Close(why)) => return why,
                None => return abandoned(),
            }
        }
    }
}

/// Runs a stream until it ends; the last news is that it has. `peer` is who is at the other end.
pub(super) async fn run<E: Env, S, T, M, F>(
    env: E,
    mut stream: Stream,
    (socket, peer): (S, &'static str),
    tls: &T,
    mut ear: Ear,
    owner: Owner<M, F>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    T: Secure<S>,
    F: Fn(News) -> M,
{
    let mut line = Line::new(socket, peer);
    match talk(&env, &mut stream, &mut line, &mut ear, &owner).await {
        Pause::Over => return finish(&env, line).await,
        Pause::StartTls => {}
    }
    let wake = stream.poll_timeout().map(|deadline| deadline.at);
    let secured = tokio::select! {
        secured = secure(line, tls) => secured.map_err(Input::Closed),
        why = ear.given_up() => Err(Input::Close(why)),
        () = sleep(&env, wake) => Err(Input::Timeout),
    };
    match secured {
        Ok(secured) => {
            stream.handle(env.now(), Input::TlsUp);
            let mut line = Line::new(secured, peer);
            talk(&env, &mut stream, &mut line, &mut ear, &owner).await;
            finish(&env, line).await;
        }
        // Whatever it was, nothing can be sent any more.
        Err(input) => {
            stream.handle(env.now(), input);
            while let Some(output) = stream.poll_output() {
                if let Output::Event(event) = output {
                    owner.tell(event.into()).await;
                }
            }
        }
    }
}

/// Why a conversation pauses.
enum Pause {
    StartTls,
    Over,
}

async fn talk<E: Env, S: AsyncRead + AsyncWrite, M, F: Fn(News) -> M>(
    env: &E,
    stream: &mut Stream,
    line: &mut Line<S>,
    ear: &mut Ear,
    owner: &Owner<M, F>,
) -> Pause {
    let mut orders = Vec::new();
    loop {
        if let Some(pause) = carry_out(stream, line, owner).await {
            return pause;
        }
        let wake = stream.poll_timeout().map(|deadline| deadline.at);
        tokio::select! {
            _ = ear.orders.recv_many(&mut orders, PACKED_STANZAS) => obey(env, stream, &mut orders, &ear.queue),
            happened = line.next(env, wake) => {
                let sent = matches!(happened, Happening::Sent { .. });
                stream.handle(env.now(), happened.into());
                if sent {
                    ear.queue.bytes.store(stream.queued_bytes(), Ordering::Relaxed);
                    owner.tell(News::Sent).await;
                }
            }
        }
    }
}

/// What is said at once goes out together. No orders at all mean that nobody can give any more.
fn obey<E: Env>(env: &E, stream: &mut Stream, orders: &mut Vec<Order>, queue: &Queue) {
    if orders.is_empty() {
        return stream.handle(env.now(), Input::Close(abandoned()));
    }
    let mut said = 0;
    for order in orders.drain(..) {
        match order {
            Order::Say(stanza) => {
                stream.handle(env.now(), Input::Send(stanza));
                said += 1;
            }
            // Nothing can be said after that.
            Order::Close(why) => {
                stream.handle(env.now(), Input::Close(why));
                break;
            }
        }
    }
    queue.bytes.store(stream.queued_bytes(), Ordering::Relaxed);
    queue.stanzas.fetch_sub(said, Ordering::Relaxed);
}

/// Drains the outputs. Answers whether bytes in clear are to go on.
async fn carry_out<S: AsyncRead + AsyncWrite, M, F: Fn(News) -> M>(
    stream: &mut Stream,
    line: &mut Line<S>,
    owner: &Owner<M, F>,
) -> Option<Pause> {
    let mut pause = None;
    while let Some(output) = stream.poll_output() {
        match output {
            Output::Send(bytes) => line.send(bytes),
            Output::StartTls => pause = Some(Pause::StartTls),
            Output::Close(_) => pause = Some(Pause::Over),
            Output::Event(event) => {
                if matches!(event, Event::Ended { .. }) {
                    pause = Some(Pause::Over);
                }
                owner.tell(event.into()).await;
            }
        }
    }
    pause
}

async fn secure<S: AsyncRead + AsyncWrite + Unpin, T: Secure<S>>(
    line: Line<S>,
    tls: &T,
) -> Result<T::Secured, CloseWhy> {
    let failed = |error: io::Error| {
        CloseWhy::new(
            CloseReason::HandshakeFailed,
            format!("the TLS handshake failed: {error}"),
        )
    };
    let socket = line.release().await.map_err(failed)?;
    tls.secure(socket).await.map_err(failed)
}

async fn finish<E: Env, S: AsyncRead + AsyncWrite>(env: &E, line: Line<S>) {
    tokio::select! {
        () = line.finish() => {}
        () = env.sleep_until(env.now() + FLUSH) => {}
    }
}

/// Ends streams: whoever is at the other end is told, and each task has ended or had its time when this is over.
pub(super) async fn goodbye<E: Env, M>(env: &E, mouths: &[&Mouth], mut inbox: mpsc::Receiver<M>, why: &str) {
    for mouth in mouths {
        mouth.close(CloseWhy::new(CloseReason::Stopped, why));
    }
    let gone = async {
        for mouth in mouths {
            mouth.gone().await;
        }
    };
    // Whoever has something to tell must not wait for us.
    let deaf = async { while inbox.recv().await.is_some() {} };
    tokio::select! {
        () = gone => {}
        () = deaf => {}
        () = env.sleep_until(env.now() + GOODBYE) => {}
    }
}

fn abandoned() -> CloseWhy {
    CloseWhy::new(CloseReason::Stopped, "nobody listens any more")
}

/// Whom a stream's task reports to.
pub(super) struct Owner<M, F> {
    /// Where it hears.
    pub(super) inbox: mpsc::Sender<M>,
    /// How it wants to hear.
    pub(super) wrap: F,
}

impl<M, F: Fn(News) -> M> Owner<M, F> {
    async fn tell(&self, news: News) {
        let _ = self.inbox.send((self.wrap)(news)).await;
    }
}

impl From<Event> for News {
    fn from(event: Event) -> Self {
        match event {
            Event::Opened { peer, ours } => Self::Opened { peer, ours },
            Event::Received(stanza) => Self::Heard(stanza),
            Event::Ended { why } => Self::Ended(why),
        }
    }
}
