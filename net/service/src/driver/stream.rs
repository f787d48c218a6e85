//! Moves the bytes of one XMPP stream between its socket and its machine, and stanzas between the machine and its owner:
//! the task of an agent, or that of a control node.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tandem_core::machine::Certificate;
use tandem_core::xmpp::Stanza;
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

    /// The handshake, as the end that we are, and the certificate that the other end presented. Has no deadline of its own.
    fn secure(&self, socket: S) -> impl Future<Output = io::Result<(Self::Secured, Certificate)>> + Send;
}

/// A notice of a stream's task to its owner.
#[derive(Debug)]
pub enum StreamNotice {
    /// Both ends are open; the other calls itself this, and presented this certificate.
    Opened {
        peer: Box<str>,
        ours: bool,
        certificate: Option<Certificate>,
    },
    /// A stanza arrived.
    Received(Stanza),
    /// The queue of stanzas to send has changed; its owner knows how long it is.
    Sent,
    /// The stream is over. Nothing follows.
    Ended(CloseWhy),
}

/// A command of the owner of a stream to its task.
#[derive(Debug)]
enum Command {
    Send(Stanza),
    Close(CloseWhy),
}

/// The owner's end of a stream. Dropping it closes the stream.
#[derive(Debug)]
pub(super) struct Outbox {
    commands: mpsc::UnboundedSender<Command>,
    queue: Arc<Queue>,
}

/// The task's end of it.
pub(super) struct Inbox {
    commands: mpsc::UnboundedReceiver<Command>,
    queue: Arc<Queue>,
}

/// Stanzas that have not left yet.
#[derive(Debug, Default)]
struct Queue {
    /// Stanzas that the task has not taken.
    stanzas: AtomicUsize,
    /// Bytes of those that it took, and that the network has not.
    bytes: AtomicUsize,
    /// What a stanza counts before it is encoded.
    stanza_bytes: usize,
}

/// Stanzas that go out together at most.
const PACKED_STANZAS: usize = 256;

/// The longest time that streams may take to end in order.
const GOODBYE: Duration = Duration::from_secs(2);

/// The longest time that the last bytes may take to leave.
const FLUSH: Duration = Duration::from_secs(1);

/// Both ends of the queue to a stream's task, for stanzas of about so many bytes.
pub(super) fn queue(stanza_bytes: usize) -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let queue = Arc::new(Queue {
        stanza_bytes,
        ..Queue::default()
    });
    let outbox = Outbox {
        commands: sender,
        queue: Arc::clone(&queue),
    };
    let inbox = Inbox {
        commands: receiver,
        queue,
    };
    (outbox, inbox)
}

impl Outbox {
    /// Sends a stanza; never waits. An owner that has many looks at [`Self::queued_bytes`] first.
    pub(super) fn send(&self, stanza: Stanza) {
        self.queue.stanzas.fetch_add(1, Ordering::Relaxed);
        let _ = self.commands.send(Command::Send(stanza));
    }

    /// Ends the stream in order, and closes.
    pub(super) fn close(&self, why: CloseWhy) {
        let _ = self.commands.send(Command::Close(why));
    }

    /// Waits until the stream's task is over.
    pub(super) async fn gone(&self) {
        self.commands.closed().await;
    }

    /// Bytes that have not left yet; an estimate for stanzas that are not encoded yet.
    pub(super) fn queued_bytes(&self) -> usize {
        let stanzas = self.queue.stanzas.load(Ordering::Relaxed);
        self.queue.bytes.load(Ordering::Relaxed) + stanzas * self.queue.stanza_bytes
    }
}

impl Inbox {
    /// Waits until the owner gives up a stream that is not there yet.
    pub(super) async fn given_up(&mut self) -> CloseWhy {
        loop {
            match self.commands.recv().await {
                Some(Command::Send(_)) => {}
                Some(Command::Close(why)) => return why,
                None => return abandoned(),
            }
        }
    }
}

/// Runs a stream until it ends; the last notice is that it has. `peer` names the other end.
pub(super) async fn run<E: Env, S, T, M, F>(
    env: E,
    mut stream: Stream,
    (socket, peer): (S, &'static str),
    tls: &T,
    mut inbox: Inbox,
    mut owner: Owner<M, F>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    T: Secure<S>,
    F: Fn(StreamNotice) -> M,
{
    let mut line = Line::new(socket, peer);
    match talk(&env, &mut stream, &mut line, &mut inbox, &owner).await {
        Pause::Over => return finish(&env, line).await,
        Pause::StartTls => {}
    }
    let wake = stream.poll_timeout().map(|deadline| deadline.at);
    let secured = tokio::select! {
        secured = secure(line, tls) => secured.map_err(Input::Closed),
        why = inbox.given_up() => Err(Input::Close(why)),
        () = sleep(&env, wake) => Err(Input::Timeout),
    };
    match secured {
        Ok((secured, certificate)) => {
            owner.certificate = Some(certificate);
            stream.handle(env.now(), Input::TlsUp);
            let mut line = Line::new(secured, peer);
            talk(&env, &mut stream, &mut line, &mut inbox, &owner).await;
            finish(&env, line).await;
        }
        // Whatever it was, nothing can be sent any more.
        Err(input) => {
            stream.handle(env.now(), input);
            while let Some(output) = stream.poll_output() {
                if let Output::Event(event) = output {
                    owner.report(event).await;
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

async fn talk<E: Env, S: AsyncRead + AsyncWrite, M, F: Fn(StreamNotice) -> M>(
    env: &E,
    stream: &mut Stream,
    line: &mut Line<S>,
    inbox: &mut Inbox,
    owner: &Owner<M, F>,
) -> Pause {
    let mut commands = Vec::new();
    loop {
        if let Some(pause) = carry_out(stream, line, owner).await {
            return pause;
        }
        let wake = stream.poll_timeout().map(|deadline| deadline.at);
        tokio::select! {
            _ = inbox.commands.recv_many(&mut commands, PACKED_STANZAS) => apply(env, stream, &mut commands, &inbox.queue),
            happened = line.next(env, wake) => {
                let sent = matches!(happened, Happening::Sent { .. });
                stream.handle(env.now(), happened.into());
                if sent {
                    inbox.queue.bytes.store(stream.queued_bytes(), Ordering::Relaxed);
                    owner.notify(StreamNotice::Sent).await;
                }
            }
        }
    }
}

/// Stanzas that wait together go out together. No commands at all mean that the owner is gone.
fn apply<E: Env>(env: &E, stream: &mut Stream, commands: &mut Vec<Command>, queue: &Queue) {
    if commands.is_empty() {
        return stream.handle(env.now(), Input::Close(abandoned()));
    }
    let mut taken = 0;
    for command in commands.drain(..) {
        match command {
            Command::Send(stanza) => {
                stream.handle(env.now(), Input::Send(stanza));
                taken += 1;
            }
            // Nothing can be sent after that.
            Command::Close(why) => {
                stream.handle(env.now(), Input::Close(why));
                break;
            }
        }
    }
    queue.bytes.store(stream.queued_bytes(), Ordering::Relaxed);
    queue.stanzas.fetch_sub(taken, Ordering::Relaxed);
}

/// Drains the outputs. Answers whether bytes in clear are to go on.
async fn carry_out<S: AsyncRead + AsyncWrite, M, F: Fn(StreamNotice) -> M>(
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
                owner.report(event).await;
            }
        }
    }
    pause
}

async fn secure<S: AsyncRead + AsyncWrite + Unpin, T: Secure<S>>(
    line: Line<S>,
    tls: &T,
) -> Result<(T::Secured, Certificate), CloseWhy> {
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

/// Ends streams in order: afterwards each task has ended, or had its time.
pub(super) async fn close_all<E: Env, M>(env: &E, outboxes: &[&Outbox], mut messages: mpsc::Receiver<M>, why: &str) {
    for outbox in outboxes {
        outbox.close(CloseWhy::new(CloseReason::Stopped, why));
    }
    let gone = async {
        for outbox in outboxes {
            outbox.gone().await;
        }
    };
    // A task that still notifies its owner must not wait for room.
    let discarded = async { while messages.recv().await.is_some() {} };
    tokio::select! {
        () = gone => {}
        () = discarded => {}
        () = env.sleep_until(env.now() + GOODBYE) => {}
    }
}

fn abandoned() -> CloseWhy {
    CloseWhy::new(CloseReason::Stopped, "the owner of the stream is gone")
}

/// Receives the notices of a stream's task.
pub(super) struct Owner<M, F> {
    /// How messages reach it.
    sender: mpsc::Sender<M>,
    /// Makes one of its messages of a notice.
    wrap: F,
    /// The certificate that the other end presented, once TLS is up.
    certificate: Option<Certificate>,
}

impl<M, F: Fn(StreamNotice) -> M> Owner<M, F> {
    pub(super) fn new(sender: mpsc::Sender<M>, wrap: F) -> Self {
        Self {
            sender,
            wrap,
            certificate: None,
        }
    }

    async fn report(&self, event: Event) {
        self.notify(match event {
            Event::Opened { peer, ours } => StreamNotice::Opened {
                peer,
                ours,
                certificate: self.certificate.clone(),
            },
            Event::Received(stanza) => StreamNotice::Received(stanza),
            Event::Ended { why } => StreamNotice::Ended(why),
        })
        .await;
    }

    async fn notify(&self, notice: StreamNotice) {
        let _ = self.sender.send((self.wrap)(notice)).await;
    }
}
