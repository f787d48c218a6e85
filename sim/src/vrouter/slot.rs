//! A vRouter's place for one control node: whom it dials, and the session that comes of it.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::Duration;

use tandem_core::evpn::InstanceName;
use tandem_core::xmpp::backoff::Backoff;
use tandem_core::xmpp::ends::Ends;
use tandem_core::xmpp::stanza::Stanza;
use tandem_core::xmpp::stream::{self, KEEPALIVE, Stream};
use tandem_core::{ConnId, Deadline, Machine, Time, Uuid};

use super::Why;

/// A place for one control node.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) to: SocketAddrV4,
    pub(super) state: State,
    /// Dials and sessions that failed since the last that opened.
    pub(super) failures: u32,
    backoff: Backoff,
}

/// How it stands with a control node.
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
    /// Since when both ends are open, and how the other calls itself.
    open: Option<(Time, String)>,
    /// What it was asked for, and whether all of it was complete.
    subscribed: BTreeMap<InstanceName, bool>,
    /// What is yet to come of those that it asks for no more.
    ends: Ends,
    /// Numbers that were given to subscriptions.
    given: u32,
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
        let up = open.map_or(Duration::ZERO, |(since, _)| now.since(*since));
        let until = now + self.backoff.pause(up);
        self.state = State::Waiting { until };
        self.failures += 1;
    }

    /// It is another control node's turn.
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
            subscribed: BTreeMap::new(),
            ends: Ends::default(),
            given: 0,
        }
    }

    /// Both ends are open.
    pub(super) fn opened(&mut self, now: Time, peer: &str) {
        self.open = Some((now, peer.to_owned()));
    }

    /// How the control node calls itself, once both ends are open.
    pub(super) fn peer(&self) -> Option<&str> {
        self.open.as_ref().map(|(_, peer)| peer.as_str())
    }

    /// All of a subscription was complete: of the present one, or of one before.
    pub(super) fn on_end_of_rib(&mut self, instance: &InstanceName) {
        let is_present = self.ends.hear(instance);
        if let Some(complete) = self.subscribed.get_mut(instance) {
            *complete |= is_present;
        }
    }

    /// The instances of which all was complete.
    pub(super) fn complete(&self) -> impl Iterator<Item = &InstanceName> {
        self.subscribed
            .iter()
            .filter_map(|(instance, complete)| complete.then_some(instance))
    }

    /// Asks for these instances, and for no others any more. Answers whether anything was said.
    pub(super) fn subscribe(&mut self, now: Time, wanted: &BTreeMap<InstanceName, Uuid>) -> bool {
        if self.open.is_none() {
            return false;
        }
        let gone = self
            .subscribed
            .keys()
            .filter(|instance| !wanted.contains_key(*instance));
        let gone: Vec<_> = gone.cloned().collect();
        let new = wanted
            .keys()
            .filter(|instance| !self.subscribed.contains_key(*instance));
        let new: Vec<_> = new.cloned().collect();
        let any = !(gone.is_empty() && new.is_empty());
        for instance in gone {
            if self.subscribed.remove(&instance) == Some(false) {
                self.ends.owe(instance.clone());
            }
            self.send(now, Stanza::Unsubscribe { instance });
        }
        for instance in new {
            self.subscribed.insert(instance.clone(), false);
            self.given += 1;
            let instance_id = self.given;
            let no_ribout = false;
            self.send(
                now,
                Stanza::Subscribe {
                    instance,
                    instance_id,
                    no_ribout,
                },
            );
        }
        any
    }

    fn send(&mut self, now: Time, stanza: Stanza) {
        self.stream.handle(now, stream::Input::Say(stanza));
    }
}
