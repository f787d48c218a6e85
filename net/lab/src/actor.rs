//! Puts a model of the simulator on real sockets: one task owns the actor, and one moves the bytes of each connection.
//!
//! The way in is bounded: a connection is read only as fast as the actor takes its bytes. The way out is bounded by what the actor
//! makes of [`Input::Sent`], and at [`UNSENT_BYTES_MAX`] by a reset. The virtual IP's outputs are not supported.

mod check;
mod connection;
mod listener;
mod message;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::Arc;

use tandem_core::{ConnId, Time};
use tandem_sim::socket::{ACCEPTED, Actor, Check, Input, Output};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use message::{Note, UNSENT_BYTES_MAX};
pub use stream::Tls;

use connection::Order;
use message::Message;
use tandem_net::driver::env::Env;

/// Connections that peers may have to us.
const CONNECTIONS_MAX: usize = 1024;

/// Messages that may wait for the actor.
const MESSAGES: usize = 256;

/// Receives events and notes, and answers what a driver cannot know.
pub trait Audience<A: Actor>: Send + 'static {
    /// An event of the actor.
    fn happened(&mut self, now: Time, event: A::Event);

    /// A note of the sockets, for which the actor has no input.
    fn noted(&mut self, now: Time, note: Note);

    /// Whether a connection that the actor dials is TLS.
    fn dials_tls(&self, actor: &A, conn: ConnId) -> bool;

    /// Whether peers that dial this address use TLS.
    fn takes_tls(&self, actor: &A, at: SocketAddrV4) -> bool;
}

/// The actor's task.
pub struct Driver<E: Env, A: Actor, L> {
    env: E,
    actor: A,
    audience: L,
    tls: Option<Arc<Tls>>,
    messages: mpsc::Receiver<Message<A::Command>>,
    back: mpsc::Sender<Message<A::Command>>,
    connections: BTreeMap<ConnId, mpsc::UnboundedSender<Order>>,
    /// Each ends when its other half is dropped.
    listeners: BTreeMap<SocketAddrV4, oneshot::Sender<()>>,
    checks: BTreeMap<u64, (u64, oneshot::Sender<()>)>,
    places: Arc<Semaphore>,
    accepted: u64,
    runs: u64,
}

impl<E, A, L> Driver<E, A, L>
where
    E: Env,
    A: Actor + Send,
    A::Command: Send + 'static,
    L: Audience<A>,
{
    /// A driver. Without `tls`, every connection is in clear.
    pub fn new(env: E, actor: A, audience: L, tls: Option<Tls>) -> Self {
        let (back, messages) = mpsc::channel(MESSAGES);
        Self {
            env,
            actor,
            audience,
            tls: tls.map(Arc::new),
            messages,
            back,
            connections: BTreeMap::new(),
            listeners: BTreeMap::new(),
            checks: BTreeMap::new(),
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            accepted: 0,
            runs: 0,
        }
    }

    /// Runs until the sender of commands is dropped. Connections close then.
    pub async fn run(mut self, mut commands: mpsc::Receiver<A::Command>) {
        self.carry_out();
        loop {
            let wake = self.actor.poll_timeout().map(|deadline| deadline.at);
            let env = self.env.clone();
            let input = tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => Input::Command(command),
                    None => return,
                },
                Some(message) = self.messages.recv() => match self.on_message(message) {
                    Some(input) => input,
                    None => continue,
                },
                () = async {
                    match wake {
                        Some(at) => env.sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                } => {
                    self.receive_rest().await;
                    Input::Timeout
                }
            };
            self.handle(input);
        }
    }

    /// Hands in what arrived before the deadline: silence counts only when nothing waits.
    async fn receive_rest(&mut self) {
        tokio::task::yield_now().await;
        for _ in 0..self.messages.len() {
            let message = self.messages.try_recv().ok();
            if let Some(input) = message.and_then(|message| self.on_message(message)) {
                self.handle(input);
            }
        }
    }

    fn handle(&mut self, input: Input<A::Command>) {
        self.actor.handle(self.env.now(), input);
        self.carry_out();
    }

    fn on_message(&mut self, message: Message<A::Command>) -> Option<Input<A::Command>> {
        match message {
            Message::Accepted { at, from, arrived } => {
                let conn = ConnId(ACCEPTED + self.accepted);
                self.accepted += 1;
                let orders = self.connect(conn);
                let back = self.back.clone();
                self.env.spawn(connection::accepted(conn, arrived, orders, back));
                Some(Input::Accepted { conn, at, from })
            }
            Message::Checked { check, run, outcome } => {
                self.checks.get(&check).filter(|(latest, _)| *latest == run)?;
                self.checks.remove(&check);
                Some(Input::Checked { check, outcome })
            }
            Message::Input(input) => match input {
                Input::Connected { conn }
                | Input::Bytes { conn, .. }
                | Input::Sent { conn, .. }
                | Input::Finished { conn } => self.connections.contains_key(&conn).then_some(input),
                Input::DialFailed { conn, .. } | Input::Lost { conn } => self.connections.remove(&conn).map(|_| input),
                Input::Accepted { .. }
                | Input::Checked { .. }
                | Input::Datagram { .. }
                | Input::Timeout
                | Input::Command(_) => Some(input),
            },
            Message::Note(note) => {
                self.audience.noted(self.env.now(), note);
                None
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.actor.poll_output() {
            match output {
                Output::Listen { at } => self.listen(at),
                Output::Unlisten { at } => drop(self.listeners.remove(&at)),
                Output::Dial { conn, to } => self.dial(conn, to),
                Output::Send { conn, bytes } => self.order(conn, Order::Send(bytes)),
                Output::Read { conn, on } => self.order(conn, Order::Read(on)),
                Output::Finish { conn } => self.order(conn, Order::Finish),
                Output::Close { conn } => self.part(conn, Order::Close),
                Output::Reset { conn } => self.part(conn, Order::Reset),
                Output::Check { check, what } => self.check(check, what),
                Output::Uncheck { check } => drop(self.checks.remove(&check)),
                Output::Multicast { .. } => self.unsupported("Multicast"),
                Output::Hold { .. } => self.unsupported("Hold"),
                Output::Release { .. } => self.unsupported("Release"),
                Output::Event(event) => self.audience.happened(self.env.now(), event),
            }
        }
    }

    fn listen(&mut self, at: SocketAddrV4) {
        // An actor that starts again listens again; the socket never went away.
        if self.listeners.contains_key(&at) {
            return;
        }
        let (stop, stopped) = oneshot::channel();
        self.listeners.insert(at, stop);
        let speaks_tls = self.audience.takes_tls(&self.actor, at);
        let listener = listener::Listener {
            at,
            tls: speaks_tls.then(|| self.tls.clone()),
            places: Arc::clone(&self.places),
            back: self.back.clone(),
        };
        self.env.spawn(listener.run(stopped));
    }

    fn dial(&mut self, conn: ConnId, to: SocketAddrV4) {
        let speaks_tls = self.audience.dials_tls(&self.actor, conn);
        let tls = speaks_tls.then(|| self.tls.clone());
        let orders = self.connect(conn);
        let back = self.back.clone();
        self.env.spawn(connection::dialled(conn, to, tls, orders, back));
    }

    fn connect(&mut self, conn: ConnId) -> mpsc::UnboundedReceiver<Order> {
        let (orders, inbox) = mpsc::unbounded_channel();
        self.connections.insert(conn, orders);
        inbox
    }

    fn check(&mut self, check: u64, what: Check) {
        let (stop, stopped) = oneshot::channel();
        self.runs += 1;
        let run = self.runs;
        self.checks.insert(check, (run, stop));
        let (env, back) = (self.env.clone(), self.back.clone());
        self.env.spawn(async move {
            tokio::select! {
                outcome = check::news(&env, what) => {
                    let _ = back.send(Message::Checked { check, run, outcome }).await;
                }
                _ = stopped => {}
            }
        });
    }

    fn order(&self, conn: ConnId, order: Order) {
        if let Some(orders) = self.connections.get(&conn) {
            let _ = orders.send(order);
        }
    }

    fn part(&mut self, conn: ConnId, order: Order) {
        self.order(conn, order);
        self.connections.remove(&conn);
    }

    fn unsupported(&mut self, what: &'static str) {
        self.audience.noted(self.env.now(), Note::Unsupported { what });
    }
}
