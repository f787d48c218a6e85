//! A vRouter's slot for one control node: its address, and the session with it.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::Duration;

use tandem_core::evpn::InstanceName;
use tandem_core::xmpp::stream::{self, KEEPALIVE, Stream};
use tandem_core::xmpp::{Backoff, Stanza};
use tandem_core::{ConnId, Deadline, Machine, Time, Uuid};

/// Why a vRouter wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// A control node is to be dialled.
    DialDue,
    /// A dial was not answered.
    DialOverdue,
    /// A stream has its reason.
    Stream(stream::Why),
}

/// A place for one control node.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) to: SocketAddrV4,
    pub(super) state: State,
    /// Dials and sessions that failed since the last that opened.
    pub(super) failures: u32,
    backoff: Backoff,
}

/// The state of a slot.
#[derive(Clone, Debug)]
pub(super) enum State {
    Waiting { until: Time },
    Dialling { conn: ConnId, overdue: Time },
    Up(Box<Session>),
}

/// A connection, open or about to open.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) conn: ConnId,
    pub(super) stream: Stream,
    /// Once both ends are open.
    open: Option<Open>,
    subscriptions: BTreeMap<InstanceName, Subscription>,
    /// How many subscriptions this session has made.
    subscribed: u64,
}

/// A control node that has opened its stream.
#[derive(Clone, Debug)]
struct Open {
    since: Time,
    name: String,
    /// It receives the numbers of subscriptions, and sends them back in their ends.
    ours: bool,
}

/// An instance whose routes were asked for.
#[derive(Clone, Copy, Debug)]
struct Subscription {
    /// Among all of the session. A control node of ours names it in the end-of-RIB; others were given none.
    number: Option<u64>,
    /// Every route has been received.
    complete: bool,
}

impl Slot {
    /// Nothing was tried yet.
    pub(super) fn new(to: SocketAddrV4, seed: u64) -> Self {
        Self {
            to,
            state: State::Waiting { until: Time::ORIGIN },
            failures: 0,
            backoff: Backoff::new(seed, KEEPALIVE),
        }
    }

    pub(super) fn conn(&self) -> Option<ConnId> {
        match &self.state {
            State::Waiting { .. } => None,
            State::Dialling { conn, .. } => Some(*conn),
            State::Up(session) => Some(session.conn),
        }
    }

    pub(super) fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Up(session) => Some(session),
            State::Waiting { .. } | State::Dialling { .. } => None,
        }
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Up(session) => Some(session),
            State::Waiting { .. } | State::Dialling { .. } => None,
        }
    }

    /// The dial or the session is over.
    pub(super) fn wait(&mut self, now: Time) {
        let open = self.session().and_then(|session| session.open.as_ref());
        let up = open.map_or(Duration::ZERO, |open| now.since(open.since));
        let until = now + self.backoff.pause(up);
        self.state = State::Waiting { until };
        self.failures += 1;
    }

    /// Turns to another control node.
    pub(super) fn turn_to(&mut self, next: SocketAddrV4) {
        (self.to, self.failures) = (next, 0);
        self.state = State::Waiting { until: Time::ORIGIN };
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline<Why>> {
        match &self.state {
            State::Waiting { until } => Some(Deadline {
                at: *until,
                why: Why::DialDue,
            }),
            State::Dialling { overdue, .. } => Some(Deadline {
                at: *overdue,
                why: Why::DialOverdue,
            }),
            State::Up(session) => session.stream.poll_timeout().map(|Deadline { at, why }| Deadline {
                at,
                why: Why::Stream(why),
            }),
        }
    }
}

impl Session {
    /// The connection is there.
    pub(super) fn new(conn: ConnId, stream: Stream) -> Self {
        Self {
            conn,
            stream,
            open: None,
            subscriptions: BTreeMap::new(),
            subscribed: 0,
        }
    }

    /// Both ends are open.
    pub(super) fn opened(&mut self, now: Time, peer: &str, ours: bool) {
        self.open = Some(Open {
            since: now,
            name: peer.to_owned(),
            ours,
        });
    }

    /// How the control node calls itself, once both ends are open.
    pub(super) fn peer(&self) -> Option<&str> {
        self.open.as_ref().map(|open| open.name.as_str())
    }

    /// Every route has been received in the subscription with this number: the present one of its instance, or an
    /// earlier one.
    pub(super) fn on_end_of_rib(&mut self, instance: &InstanceName, number: u64) {
        if let Some(subscription) = self.subscriptions.get_mut(instance) {
            subscription.complete |= subscription.number == Some(number);
        }
    }

    /// The instances of which every route has been received.
    pub(super) fn complete(&self) -> impl Iterator<Item = &InstanceName> {
        let complete = self.subscriptions.iter().filter(|(_, it)| it.complete);
        complete.map(|(instance, _)| instance)
    }

    /// Subscribes to these instances, and unsubscribes from all others. Returns whether it sent anything.
    pub(super) fn subscribe(&mut self, now: Time, wanted: &BTreeMap<InstanceName, Uuid>) -> bool {
        let Some(ours) = self.open.as_ref().map(|open| open.ours) else {
            return false;
        };
        let gone = self
            .subscriptions
            .keys()
            .filter(|instance| !wanted.contains_key(*instance));
        let gone: Vec<_> = gone.cloned().collect();
        let new = wanted
            .keys()
            .filter(|instance| !self.subscriptions.contains_key(*instance));
        let new: Vec<_> = new.cloned().collect();
        let any = !(gone.is_empty() && new.is_empty());
        for instance in gone {
            self.subscriptions.remove(&instance);
            self.send(now, Stanza::Unsubscribe { instance });
        }
        for instance in new {
            self.subscribed += 1;
            let number = ours.then_some(self.subscribed);
            let subscription = Subscription {
                number,
                complete: false,
            };
            self.subscriptions.insert(instance.clone(), subscription);
            let stanza = Stanza::Subscribe {
                instance,
                instance_id: u32::try_from(self.subscribed).unwrap_or(u32::MAX),
                no_ribout: false,
                number,
            };
            self.send(now, stanza);
        }
        any
    }

    fn send(&mut self, now: Time, stanza: Stanza) {
        self.stream.handle(now, stream::Input::Send(stanza));
    }
}
