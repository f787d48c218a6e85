//! A vRouter: a consumer of routes. It dials up to two control nodes, subscribes to the given networks, and keeps the
//! routes that it receives; it publishes nothing, and requests no configuration.
//!
//! Routes go into a [`Fabric`], as in an agent. The rest is its own: routes of a lost control node stay until another
//! session has completed that network, and after failed dials it tries the other control nodes in turn. With control
//! nodes of another version no network is ever complete, so the routes of a lost one stay. Streams are in the clear.

mod slot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;

pub use tandem_core::agent::uplinks::What as Event;
use tandem_core::agent::{Fabric, ReceivedPath};
use tandem_core::bounds::{CONTROL_NODES, DIAL, DIALS_BEFORE_ANOTHER};
use tandem_core::evpn::{InstanceName, Key, Path};
use tandem_core::xmpp::Stanza;
use tandem_core::xmpp::stream::{self, Role, Stream, StreamOptions};
use tandem_core::{CloseReason, CloseWhy, ConnId, Deadline, Mac, Machine, Time, Uuid};

use crate::socket::{DialFailure, Input, Output};
pub use slot::Why;
use slot::{Session, Slot, State};

/// The options of a vRouter.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// The control nodes, the preferred first.
    pub control_nodes: Vec<SocketAddrV4>,
}

/// A command to a vRouter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// It has hosts in these networks from now on, and in no others.
    Subscribe(BTreeMap<InstanceName, Uuid>),
}

/// A vRouter: its sessions, and the table that they fill.
#[derive(Clone, Debug)]
pub struct VRouter {
    name: String,
    slots: Vec<Slot>,
    /// Control nodes that it does not dial at present.
    spare: VecDeque<SocketAddrV4>,
    dials: u64,
    networks: BTreeMap<InstanceName, Uuid>,
    fabric: Fabric,
    now: Time,
    outputs: VecDeque<Output<Event>>,
}

impl VRouter {
    /// A program that has just been started, and knows no network yet. The seed spreads its dials.
    pub fn new(seed: u64, options: Options) -> Self {
        let mut spare: VecDeque<_> = options.control_nodes.into();
        let first: Vec<_> = spare.drain(..spare.len().min(CONTROL_NODES)).collect();
        let slots = first.into_iter().zip(seed..).map(|(to, seed)| Slot::new(to, seed));
        Self {
            name: options.name,
            slots: slots.collect(),
            spare,
            dials: 0,
            networks: BTreeMap::new(),
            fabric: Fabric::default(),
            now: Time::ORIGIN,
            outputs: VecDeque::new(),
        }
    }

    /// The routes of all control nodes.
    pub fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    /// The names of the control nodes that it has sessions with, by its own word.
    pub fn uplinks(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().filter_map(|slot| slot.session()?.peer())
    }

    /// Whether it subscribes to a network.
    pub fn is_in(&self, network: Uuid) -> bool {
        self.networks.values().any(|it| *it == network)
    }

    /// Whether the routes of a network are complete.
    pub fn is_complete(&self, network: Uuid) -> bool {
        let mut sessions = self.slots.iter().filter_map(Slot::session);
        sessions.any(|session| {
            session
                .complete()
                .any(|instance| self.networks.get(instance) == Some(&network))
        })
    }

    fn dial(&mut self) {
        for slot in &mut self.slots {
            if matches!(slot.state, State::Waiting { until } if until <= self.now) {
                self.dials += 1;
                let (conn, to) = (ConnId(self.dials), slot.to);
                let overdue = self.now + DIAL;
                slot.state = State::Dialling { conn, overdue };
                self.outputs.push_back(Output::Dial { conn, to });
            }
        }
    }

    fn dialled(&mut self, conn: ConnId) {
        let options = StreamOptions::new(Role::Client, &self.name, false);
        if let Some(number) = self.slot_of(conn)
            && let Some(slot) = self.slots.get_mut(number)
        {
            slot.state = State::Up(Box::new(Session::new(conn, Stream::new(self.now, options))));
            self.carry_out(number);
        }
    }

    fn dial_failed(&mut self, conn: ConnId, why: DialFailure) {
        let what = match why {
            DialFailure::Refused => "connection refused",
            DialFailure::TimedOut => "timed out",
        };
        if let Some(number) = self.slot_of(conn) {
            self.over(number, CloseWhy::new(CloseReason::DialFailed, what));
        }
    }

    fn ended(&mut self, conn: ConnId, lost: bool) {
        if let Some(number) = self.slot_of(conn) {
            let gone = CloseWhy::new(CloseReason::ConnectionLost, "the connection to the control node ended");
            self.feed(number, stream::Input::Closed(gone));
            if !lost {
                self.outputs.push_back(Output::Close { conn });
            }
        }
    }

    fn feed_connection(&mut self, conn: ConnId, input: stream::Input) {
        if let Some(number) = self.slot_of(conn) {
            self.feed(number, input);
        }
    }

    fn feed(&mut self, number: usize, input: stream::Input) {
        if let Some(session) = self.slots.get_mut(number).and_then(Slot::session_mut) {
            session.stream.handle(self.now, input);
            self.carry_out(number);
        }
    }

    /// Carries out the outputs of a stream.
    fn carry_out(&mut self, number: usize) {
        while let Some(session) = self.slots.get_mut(number).and_then(Slot::session_mut) {
            let conn = session.conn;
            match session.stream.poll_output() {
                Some(stream::Output::Send(bytes)) => self.outputs.push_back(Output::Send { conn, bytes }),
                Some(stream::Output::StartTls) => {}
                Some(stream::Output::Close(_)) => self.outputs.push_back(Output::Close { conn }),
                Some(stream::Output::Event(stream::Event::Opened { peer, ours })) => self.opened(number, &peer, ours),
                Some(stream::Output::Event(stream::Event::Received(stanza))) => self.on_stanza(number, stanza),
                Some(stream::Output::Event(stream::Event::Ended { why })) => self.over(number, why),
                // Stanzas that are queued now go out in the same loop.
                None if session.subscribe(self.now, &self.networks) => {}
                None => return,
            }
        }
    }

    fn opened(&mut self, number: usize, peer: &str, ours: bool) {
        if let Some(slot) = self.slots.get_mut(number) {
            slot.failures = 0;
            let (address, name) = (slot.to.into(), peer.to_owned());
            if let Some(session) = slot.session_mut() {
                session.opened(self.now, peer, ours);
            }
            self.report(Event::UplinkUp { address, name });
        }
    }

    fn on_stanza(&mut self, number: usize, stanza: Stanza) {
        match stanza {
            Stanza::InstanceEndOfRib { instance, subscription } => {
                if let Some(session) = self.slots.get_mut(number).and_then(Slot::session_mut) {
                    session.on_end_of_rib(&instance, subscription);
                }
                self.sweep();
            }
            Stanza::Items { instance, items } => {
                if let Some(network) = self.networks.get(&instance).copied() {
                    for (key, path) in items {
                        self.import(number, network, key, &path);
                    }
                }
            }
            Stanza::Retracts { instance, keys } => {
                if let Some(network) = self.networks.get(&instance).copied() {
                    for key in keys {
                        self.change(network, key.mac, |fabric| fabric.remove(number, network, key));
                    }
                }
            }
            Stanza::Unreadable { what } => self.report(Event::Unreadable { what }),
            // Each instance has its own end; a configuration was not asked for.
            Stanza::EndOfRib | Stanza::Configuration(_) => {}
            // An agent sends these to a control node, never the other way.
            Stanza::Subscribe { .. } | Stanza::Unsubscribe { .. } | Stanza::SubscribeConfiguration { .. } => {}
            Stanza::Publish { .. } | Stanza::Collection { .. } => {}
        }
    }

    fn import(&mut self, number: usize, network: Uuid, key: Key, path: &Path) {
        if key.mac == Mac::BROADCAST {
            return;
        }
        let mac = key.mac;
        let imported = self.change(network, mac, |fabric| {
            let imported = ReceivedPath::of(mac, path).and_then(|path| fabric.insert(number, network, key, path));
            imported.inspect_err(|_| fabric.remove(number, network, key))
        });
        if let Err(why) = imported {
            let why = why.to_string();
            self.report(Event::Unusable { network, mac, why });
        }
    }

    /// Changes the paths of a MAC, and reports it if the best path leads elsewhere now.
    fn change<T>(&mut self, network: Uuid, mac: Mac, how: impl FnOnce(&mut Fabric) -> T) -> T {
        let before = self.fabric.best(network, mac).map(|best| best.vtep);
        let how = how(&mut self.fabric);
        let vtep = self.fabric.best(network, mac).map(|best| best.vtep);
        if before != vtep {
            self.report(Event::Imported { network, mac, vtep });
        }
        how
    }

    /// Removes stale routes of networks that another session has completed.
    fn sweep(&mut self) {
        let complete = self.networks.values().filter(|network| self.is_complete(**network));
        for network in complete.copied().collect::<Vec<_>>() {
            for mac in self.fabric.stale_macs(network, Mac([0; 6]), usize::MAX).1 {
                self.change(network, mac, |fabric| fabric.sweep(network, mac));
            }
        }
    }

    /// A dial or a session is over.
    fn over(&mut self, number: usize, why: CloseWhy) {
        let Some(slot) = self.slots.get_mut(number) else { return };
        let address = slot.to.into();
        slot.wait(self.now);
        if slot.failures >= DIALS_BEFORE_ANOTHER
            && let Some(next) = self.spare.pop_front()
        {
            self.spare.push_back(slot.to);
            slot.turn_to(next);
        }
        self.report(Event::UplinkDown { address, why });
        self.fabric.mark_stale(number);
        self.sweep();
    }

    fn subscribe(&mut self, networks: BTreeMap<InstanceName, Uuid>) {
        let before = std::mem::replace(&mut self.networks, networks);
        for network in before
            .values()
            .filter(|network| !self.is_in(**network))
            .copied()
            .collect::<Vec<_>>()
        {
            self.fabric.leave_network(network);
            for (_, mac, _) in self.fabric.free_left(usize::MAX) {
                let vtep = None;
                self.report(Event::Imported { network, mac, vtep });
            }
        }
        for number in 0..self.slots.len() {
            self.carry_out(number);
        }
    }

    fn wake(&mut self) {
        for number in 0..self.slots.len() {
            let Some(slot) = self.slots.get(number) else { continue };
            let due = slot.poll_timeout().filter(|deadline| deadline.at <= self.now);
            match (&slot.state, due) {
                (_, None) | (State::Waiting { .. }, _) => {}
                (State::Dialling { conn, .. }, Some(_)) => {
                    let conn = *conn;
                    self.outputs.push_back(Output::Close { conn });
                    self.dial_failed(conn, DialFailure::TimedOut);
                }
                (State::Up(_), Some(_)) => self.feed(number, stream::Input::Timeout),
            }
        }
    }

    fn slot_of(&self, conn: ConnId) -> Option<usize> {
        self.slots.iter().position(|slot| slot.conn() == Some(conn))
    }

    fn report(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

impl Machine for VRouter {
    type Input = Input<Command>;
    type Output = Output<Event>;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Input<Command>) {
        debug_assert!(self.outputs.is_empty(), "drain the outputs first");
        self.now = now;
        match input {
            Input::Connected { conn } => self.dialled(conn),
            Input::DialFailed { conn, why } => self.dial_failed(conn, why),
            Input::Bytes { conn, data } => self.feed_connection(conn, stream::Input::Bytes(data)),
            Input::Sent { conn, queued_bytes } => self.feed_connection(conn, stream::Input::Sent { queued_bytes }),
            Input::Finished { conn } => self.ended(conn, false),
            Input::Lost { conn } => self.ended(conn, true),
            Input::Timeout => self.wake(),
            Input::Command(Command::Subscribe(networks)) => self.subscribe(networks),
            // A vRouter does not listen, checks no node, and has no part in the virtual IP.
            Input::Accepted { .. } | Input::Checked { .. } | Input::Datagram { .. } => {}
        }
        self.dial();
    }

    fn poll_output(&mut self) -> Option<Output<Event>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        self.slots
            .iter()
            .filter_map(Slot::poll_timeout)
            .min_by_key(|deadline| deadline.at)
    }
}

#[cfg(test)]
impl VRouter {
    /// Its table, for tests that spoil it.
    pub(crate) fn fabric_mut(&mut self) -> &mut Fabric {
        &mut self.fabric
    }
}
