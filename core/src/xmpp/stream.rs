//! The machine of one XMPP stream, at either end, from its opening tag to its end.
//!
//! ```text
//! client: Opening -> [Features -> Proceed -> Handshake -> Opening] -> Established -> Ended
//! server: Opening -> [StartTls -> Handshake -> Opening]            -> Established -> Ended
//! ```
//!
//! The steps in brackets happen with TLS, which both ends want or neither. There is no login, and no stanza has an answer.

use std::collections::VecDeque;
use std::time::Duration;

use crate::bounds::{NEGOTIATION, STREAM_BYTES_PER_STEP};
use crate::machine::{CloseReason, CloseWhy, Machine};
use crate::text::short;
use crate::time::{Deadline, Time};
use crate::xmpp::frame::{Frame, StreamOpen};
use crate::xmpp::framer::Framer;
use crate::xmpp::markup::escape;
use crate::xmpp::read::read;
use crate::xmpp::stanza::Stanza;
use crate::xmpp::write::Writer;
use crate::xmpp::{CONTROL_NODE, OURS, STREAM_ID, STREAMS, TLS};

/// Without a byte from the peer for so long, it is dead.
pub const HOLD: Duration = Duration::from_secs(90);

/// When nothing was sent for so long, a keepalive goes out.
pub const KEEPALIVE: Duration = Duration::from_secs(30);

/// A keepalive: the two bytes of U+0200.
pub const KEEPALIVE_BYTES: [u8; 2] = [0xC8, 0x80];

/// The approximate size of a stanza with one route, in bytes.
const STANZA_BYTES: usize = 1 << 10;

/// The namespace of the conditions with which an end closes a stream.
const ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";

/// The condition of a stream that another one with the same name replaces, or keeps out.
const CONFLICT: &str = "conflict";

/// Which end of a stream this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// An agent, which dials.
    Client,
    /// A control node, which is dialled.
    Server,
}

/// The options of a stream.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// Which end of the stream this is.
    pub role: Role,
    /// Of an agent, its name; of a control node, that of its host.
    pub name: Box<str>,
    /// TLS is required. Without it, TLS is refused.
    pub tls: bool,
    /// Without a byte from the peer for so long, the stream ends.
    pub hold: Duration,
    /// When nothing was sent for so long, a keepalive goes out.
    pub keepalive: Duration,
    /// A planted bug.
    #[cfg(feature = "mutants")]
    pub mutant: Option<crate::mutant::Mutant>,
}

impl StreamOptions {
    /// With Contrail's times.
    pub fn new(role: Role, name: &str, tls: bool) -> Self {
        Self {
            role,
            name: name.into(),
            tls,
            hold: HOLD,
            keepalive: KEEPALIVE,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    #[cfg(feature = "mutants")]
    fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.mutant
    }
}

/// An input of a stream.
#[derive(Clone, Debug)]
pub enum Input {
    /// Bytes from the peer, in order; once TLS is up, what it carries.
    Bytes(Vec<u8>),
    /// The driver has so many bytes left that the network did not take yet.
    Sent {
        /// Bytes that the driver still holds.
        queued_bytes: usize,
    },
    /// The handshake that [`Output::StartTls`] asked for is over.
    TlsUp,
    /// To be sent to the peer. Before the stream is open, and after it has ended, nothing is sent. Several before the
    /// outputs are drained go out together.
    Send(Stanza),
    /// End the stream and close the connection.
    Close(CloseWhy),
    /// The connection is gone.
    Closed(CloseWhy),
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// An output of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send these bytes to the peer.
    Send(Vec<u8>),
    /// Once everything is sent, begin a TLS handshake, as the end that we are.
    StartTls,
    /// Once everything is sent, close the connection. Only an event follows.
    Close(CloseWhy),
    /// Something happened.
    Event(Event),
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Both ends are open: from now on stanzas are exchanged.
    Opened {
        /// The name that the other end gives.
        peer: Box<str>,
        /// It is a control node of ours, of this version.
        ours: bool,
    },
    /// The peer sent this.
    Received(Stanza),
    /// Nothing follows.
    Ended {
        /// Why it ended.
        why: CloseWhy,
    },
}

/// Why a stream wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// It stopped in the middle, to let others have their turn.
    MoreWork,
    /// Nothing was sent for a while: a keepalive is due.
    KeepaliveDue,
    /// Nothing came for too long.
    HoldExpired,
    /// The stream is not open yet.
    NegotiationOverdue,
}

/// The step that the stream waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// The peer's opening tag.
    Opening,
    /// Client: the offer of TLS.
    Features,
    /// Client: the server's consent to TLS.
    Proceed,
    /// Server: the client's request for TLS.
    StartTls,
    /// The driver's report that TLS is up.
    Handshake,
    /// Stanzas.
    Established,
    /// Nothing.
    Ended,
}

/// One end of an XMPP stream.
#[derive(Clone, Debug)]
pub struct Stream {
    options: StreamOptions,
    now: Time,
    phase: Phase,
    secure: bool,
    framer: Framer,
    /// There may be more in the framer than was looked at.
    more: bool,
    writer: Option<Writer>,
    /// Stanzas that no [`Output::Send`] has taken yet.
    unsent: String,
    /// The bytes left in the driver, as it reported last.
    queued_bytes: usize,
    /// When the stream must be open.
    due: Time,
    last_received: Time,
    last_sent: Time,
    outputs: VecDeque<Output>,
}

impl Stream {
    /// The connection is up. A client opens its stream at once.
    pub fn new(now: Time, options: StreamOptions) -> Self {
        let mut stream = Self {
            now,
            phase: Phase::Opening,
            secure: false,
            framer: Framer::new(),
            more: false,
            writer: None,
            unsent: String::new(),
            queued_bytes: 0,
            due: now + NEGOTIATION,
            last_received: now,
            last_sent: now,
            outputs: VecDeque::new(),
            options,
        };
        if stream.options.role == Role::Client {
            stream.open(CONTROL_NODE);
        }
        stream
    }

    /// Bytes that the peer has not taken yet: of those that the driver has, and of those that it has not got yet.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes + self.unsent.len()
    }

    /// Whether stanzas can be sent.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Established
    }

    fn open(&mut self, to: &str) {
        let mut tag = "<?xml version=\"1.0\"?><stream:stream".to_owned();
        let (id, ours) = match self.options.role {
            Role::Client => ("", ""),
            Role::Server => (STREAM_ID, OURS),
        };
        let from = self.options.name.clone();
        for (name, value) in [
            ("from", &*from),
            ("to", to),
            ("id", id),
            ("version", "1.0"),
            ("xml:lang", "en"),
            ("xmlns", "jabber:client"),
            ("xmlns:tandem", ours),
            // Others find the end of the tag by this attribute.
            ("xmlns:stream", STREAMS),
        ] {
            if !value.is_empty() || name == "to" {
                tag.push_str(&format!(" {name}=\""));
                escape(&mut tag, value);
                tag.push('"');
            }
        }
        tag.push_str(" >");
        self.send(tag);
    }

    fn send(&mut self, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.last_sent = self.now;
        self.queued_bytes += bytes.len();
        self.outputs.push_back(Output::Send(bytes));
    }

    fn flush(&mut self) {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.send(unsent);
        }
    }

    /// Looks at what came, as much of it as came just now and a step's worth more.
    fn advance(&mut self, fresh_bytes: usize) {
        let held = self.framer.held_bytes();
        let budget = fresh_bytes + STREAM_BYTES_PER_STEP;
        self.more = false;
        loop {
            // Not before TLS is up, and not after the end.
            if matches!(self.phase, Phase::Handshake | Phase::Ended) {
                return;
            }
            if held.saturating_sub(self.framer.held_bytes()) >= budget {
                self.more = true;
                return;
            }
            if let Err(why) = self.next() {
                match why {
                    None => return,
                    Some(why) => return self.end(why),
                }
            }
        }
    }

    /// Takes one frame. No reason at all means that none is there.
    fn next(&mut self) -> Result<(), Option<CloseWhy>> {
        let frame = self.framer.next_frame();
        let frame = frame.map_err(|error| misbehaved(format!("{error}{}", self.phase.place())))?;
        let Some(frame) = frame else {
            return Err(None);
        };
        match (self.phase, frame) {
            (Phase::Opening, Frame::Open(tag)) => self.on_peer_opened(&tag)?,
            (Phase::Features, Frame::Features { starttls: true }) => {
                self.phase = Phase::Proceed;
                self.send(format!("<starttls xmlns='{TLS}'/>"));
            }
            (Phase::Features, Frame::Features { .. } | Frame::Stanza(_)) => {
                return Err(Some(incompatible("we require TLS, and the peer does not offer it")));
            }
            (Phase::StartTls, Frame::Stanza(_)) => {
                return Err(Some(incompatible("we require TLS, and the peer goes on without")));
            }
            (Phase::StartTls, Frame::StartTls) => {
                self.handshake()?;
                self.send(format!("<proceed xmlns='{TLS}'/>"));
                self.outputs.push_back(Output::StartTls);
            }
            (Phase::Proceed, Frame::Proceed) => {
                self.handshake()?;
                self.outputs.push_back(Output::StartTls);
            }
            (Phase::Established, Frame::Stanza(bytes)) => {
                let stanzas = read(bytes).map_err(|error| misbehaved(error.to_string()))?;
                let received = stanzas.into_iter();
                self.outputs
                    .extend(received.map(|stanza| Output::Event(Event::Received(stanza))));
            }
            (Phase::Established, Frame::Features { starttls: true } | Frame::StartTls) if !self.secure => {
                return Err(Some(incompatible(
                    "the peer requires TLS, which is not configured here",
                )));
            }
            (_, Frame::Error(condition)) => {
                let why = match &*condition {
                    CONFLICT => "another client with the same name is connected",
                    other => other,
                };
                let why = format!("the peer ended the stream: {why}");
                return Err(Some(CloseWhy::new(CloseReason::PeerClosed, why)));
            }
            (_, Frame::End) => {
                return Err(Some(CloseWhy::new(
                    CloseReason::PeerClosed,
                    "the peer ended the stream",
                )));
            }
            (phase, frame) => {
                return Err(Some(misbehaved(format!("{}{}", frame_name(&frame), phase.place()))));
            }
        }
        Ok(())
    }

    /// The peer's tag is here.
    fn on_peer_opened(&mut self, tag: &StreamOpen) -> Result<(), CloseWhy> {
        let peer = &tag.from;
        if peer.is_empty() {
            return Err(misbehaved("a stream without a name"));
        }
        if self.options.role == Role::Server {
            // Its name becomes a part of addresses, in which this word marks stanzas about routes.
            if peer.contains("bgp-peer") {
                return Err(incompatible(&format!("`{}` is no name for an agent", short(peer))));
            }
            self.open(peer);
        }
        if self.options.tls && !self.secure {
            self.due = self.now + NEGOTIATION;
            self.phase = match self.options.role {
                Role::Client => Phase::Features,
                Role::Server => Phase::StartTls,
            };
            if self.options.role == Role::Server {
                self.send(format!(
                    "<stream:features><starttls xmlns='{TLS}'><required/></starttls></stream:features>"
                ));
            }
            return Ok(());
        }
        self.phase = Phase::Established;
        self.writer = Some(match self.options.role {
            Role::Client => Writer::of_agent(&self.options.name),
            Role::Server => Writer::of_control_node(peer),
        });
        if self.options.role == Role::Client {
            self.send(KEEPALIVE_BYTES);
        }
        let peer = peer.clone();
        let ours = tag.ours;
        self.outputs.push_back(Output::Event(Event::Opened { peer, ours }));
        Ok(())
    }

    /// Nothing may precede TLS: bytes that came in clear would be taken for what TLS carries.
    fn handshake(&mut self) -> Result<(), CloseWhy> {
        if self.framer.held_bytes() > 0 {
            return Err(misbehaved("bytes in clear where TLS was to begin"));
        }
        self.phase = Phase::Handshake;
        Ok(())
    }

    fn on_tls_up(&mut self) {
        if self.phase == Phase::Handshake {
            self.secure = true;
            self.framer = Framer::new();
            self.phase = Phase::Opening;
            self.due = self.now + NEGOTIATION;
            if self.options.role == Role::Client {
                self.open(CONTROL_NODE);
            }
        }
    }

    fn write(&mut self, stanza: &Stanza) {
        if self.phase == Phase::Established
            && let Some(writer) = &mut self.writer
        {
            self.unsent.reserve(STANZA_BYTES);
            writer.write(stanza, &mut self.unsent);
        }
    }

    fn on_timeout(&mut self) {
        for Deadline { at, why } in self.deadlines().into_iter().flatten() {
            if at > self.now || self.phase == Phase::Ended {
                continue;
            }
            match why {
                Why::MoreWork => self.advance(0),
                Why::KeepaliveDue => self.send(KEEPALIVE_BYTES),
                Why::HoldExpired => {
                    let silent = self.now.since(self.last_received).as_secs();
                    self.end(CloseWhy::new(CloseReason::Silent, format!("silent for {silent} s")));
                }
                Why::NegotiationOverdue if self.phase == Phase::Features => {
                    self.end(incompatible("we require TLS, and the peer does not offer it"));
                }
                Why::NegotiationOverdue => {
                    let what = format!("the peer took too long{}", self.phase.place());
                    self.end(CloseWhy::new(CloseReason::HandshakeFailed, what));
                }
            }
        }
    }

    fn deadlines(&self) -> [Option<Deadline<Why>>; 3] {
        let deadline = |at, why| Some(Deadline { at, why });
        let last_sent = if self.unsent.is_empty() {
            self.last_sent
        } else {
            self.now
        };
        match self.phase {
            Phase::Ended => [None; 3],
            Phase::Established => [
                self.more.then_some(Deadline {
                    at: self.now,
                    why: Why::MoreWork,
                }),
                deadline(self.last_received + self.options.hold, Why::HoldExpired),
                deadline(last_sent + self.options.keepalive, Why::KeepaliveDue)
                    .filter(|_| !planted!(self.options, KeepaliveForgotten)),
            ],
            Phase::Opening | Phase::Features | Phase::Proceed | Phase::StartTls | Phase::Handshake => {
                [deadline(self.due, Why::NegotiationOverdue), None, None]
            }
        }
    }

    /// Ends the stream, if it is open, and closes the connection.
    fn end(&mut self, why: CloseWhy) {
        if self.phase == Phase::Ended {
            return;
        }
        self.flush();
        if self.phase == Phase::Established {
            // The only reason that a client cannot find out by itself.
            if matches!(why.reason, CloseReason::Replaced | CloseReason::NameTaken) {
                self.send(format!("<stream:error><{CONFLICT} xmlns='{ERRORS}'/></stream:error>"));
            }
            self.send(*b"</stream:stream>");
        }
        self.outputs.push_back(Output::Close(why.clone()));
        self.ended(why);
    }

    fn ended(&mut self, why: CloseWhy) {
        if self.phase != Phase::Ended {
            self.phase = Phase::Ended;
            self.framer = Framer::new();
            self.unsent.clear();
            self.outputs.push_back(Output::Event(Event::Ended { why }));
        }
    }
}

impl Machine for Stream {
    type Input = Input;
    type Output = Output;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Input) {
        debug_assert!(self.outputs.is_empty(), "drain the outputs first");
        self.now = now;
        match input {
            Input::Bytes(bytes) if !bytes.is_empty() && self.phase != Phase::Ended => {
                self.last_received = now;
                if self.phase == Phase::Handshake {
                    return self.end(CloseWhy::new(CloseReason::Bug, "bytes before TLS was up"));
                }
                self.framer.push(&bytes);
                self.advance(bytes.len());
            }
            Input::Bytes(_) => {}
            Input::Sent { queued_bytes } => self.queued_bytes = queued_bytes,
            Input::TlsUp => self.on_tls_up(),
            Input::Send(stanza) => self.write(&stanza),
            Input::Close(why) => self.end(why),
            Input::Closed(why) => self.ended(why),
            Input::Timeout => self.on_timeout(),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.flush();
        }
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        Deadline::earliest(self.deadlines())
    }
}

impl Phase {
    /// The awaited step, as the end of a sentence.
    fn place(self) -> &'static str {
        match self {
            Self::Opening => ", where a stream was to be opened",
            Self::Features => ", where TLS was to be offered",
            Self::Proceed => ", where TLS was to be granted",
            Self::StartTls => ", where TLS was to be asked for",
            Self::Handshake => ", where a TLS handshake was to be done",
            Self::Established | Self::Ended => ", between stanzas",
        }
    }
}

fn frame_name(frame: &Frame<'_>) -> &'static str {
    match frame {
        Frame::Open(_) => "a stream is opened",
        Frame::Features { .. } => "features are offered",
        Frame::StartTls => "TLS is asked for",
        Frame::Proceed => "TLS is granted",
        Frame::Stanza(_) => "a stanza",
        Frame::Error(_) => "an error",
        Frame::End => "the end",
    }
}

fn misbehaved(what: impl Into<String>) -> CloseWhy {
    CloseWhy::new(CloseReason::ProtocolError, what)
}

fn incompatible(what: &str) -> CloseWhy {
    CloseWhy::new(CloseReason::Incompatible, what)
}
