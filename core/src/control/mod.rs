//! The control node: what agents publish, it reflects to every subscriber; what is configured, it sends to the clients that
//! it concerns.
//!
//! It exchanges stanzas. The driver runs the streams, reports which clients are connected and what they send, and delivers
//! what is sent to them. Publications go into tables, one for each instance; changes are gathered for a moment and then
//! sent in turns, so much to each client as it takes. A client that takes nothing costs the others nothing.
//!
//! ```text
//! Stanza -> receive -> Clients (one Client each) --+
//!                          |                       v
//!                          +-> Rib (Instance: Table, Members; SwitchOwners) -> Fanout: whose turn -> messages -> Send
//! Configure -> Inventory --+-> Feed of each client --------------------------^
//! ```
//!
//! Each part has methods of its own. The functions that join parts stand here, and in `receive.rs` for what clients send.

mod access;
mod admission;
mod best_path;
mod broadcast;
mod client;
mod client_name;
mod clients;
mod event;
mod fanout;
mod feed;
mod graceful_restart;
mod graph;
mod instance;
mod inventory;
mod messages;
mod outputs;
mod publications;
mod receive;
mod rib;
mod size;
mod status;
mod switch_owners;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

pub use access::{Access, ListedClient, Prefix, PrefixError, UnknownClients};
pub use best_path::Source;
pub use client_name::ClientName;
pub use event::Event;
pub use inventory::{Inventory, ServedSwitch};
pub use outputs::Output;
pub use publications::Refusal;
pub use size::Size;
pub use status::{
    ClientStatus, ControlStatus, NetworkStatus, PathStatus, RouteStatus, SubscriptionStatus, SwitchStatus,
};

use crate::bounds::{LOOKS_PER_STEP, SLOW_CLIENT, UNSENT_RETRACTS};
use crate::close::{CloseCounts, CloseReason, CloseWhy};
use crate::evpn::InstanceName;
use crate::ids::ConnId;
use crate::machine::{Certificate, Machine};
use crate::time::{Deadline, Time};
use crate::xmpp::Stanza;
use clients::Clients;
use fanout::Fanout;
use graceful_restart::GracefulRestart;
use messages::View;
use outputs::Outputs;
use rib::Rib;

/// An input of a control node.
#[derive(Clone, Debug)]
pub enum Input {
    /// The stream of a client is open.
    Opened {
        /// The number of the connection; never used again.
        conn: ConnId,
        /// The name that the client gave.
        name: ClientName,
        /// The address that it dialled from.
        address: SocketAddr,
        /// The certificate that it presented; `None` without TLS.
        certificate: Option<Certificate>,
    },
    /// A client sent this.
    Stanza {
        /// The connection of the client.
        conn: ConnId,
        /// The stanza that it sent.
        stanza: Stanza,
    },
    /// The number of bytes for a client that have not left yet. The driver reports whenever it becomes less, and
    /// at the latest when nothing is left.
    Sent {
        /// The connection of the client.
        conn: ConnId,
        /// Bytes that the driver still holds.
        queued_bytes: usize,
    },
    /// A client's stream is over.
    Closed {
        /// The connection of the client.
        conn: ConnId,
        /// Why it ended.
        why: CloseWhy,
    },
    /// The configuration from now on.
    Configure(Arc<Inventory>),
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// Why a control node wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// Something is left to do, or to send.
    MoreWork,
    /// An end-of-RIB of a session may be due, or a client has taken nothing for too long.
    ClientDue,
    /// Graceful restart may be over.
    GracefulRestartDue,
}

/// A control node.
#[derive(Clone, Debug, Default)]
pub struct ControlNode {
    inventory: Arc<Inventory>,
    /// The inventory was configured, and is not the empty one of a start.
    is_configured: bool,
    clients: Clients,
    rib: Rib,
    fanout: Fanout,
    graceful_restart: GracefulRestart,
    /// The sessions that were refused, or ended.
    closed: CloseCounts,
    outputs: Outputs,
    #[cfg(feature = "mutants")]
    mutant: Option<crate::mutant::Mutant>,
}

impl ControlNode {
    /// A control node that was never configured: it accepts clients, and what they publish waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with a planted bug.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn with_mutant(mut self, mutant: Option<crate::mutant::Mutant>) -> Self {
        self.mutant = mutant;
        self.rib.plant(mutant);
        self
    }

    #[cfg(feature = "mutants")]
    fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.mutant
    }

    fn on_sent(&mut self, now: Time, conn: ConnId, queued_bytes: usize) {
        if let Some(client) = self.clients.get_mut(conn) {
            client.queue.on_sent(queued_bytes);
            self.schedule(now, conn);
        }
    }

    /// We end a session.
    fn close(&mut self, conn: ConnId, why: CloseWhy) {
        self.outputs.close(conn, why.clone());
        self.on_closed(conn, why);
    }

    /// A session is over: what the client published goes.
    fn on_closed(&mut self, conn: ConnId, why: CloseWhy) {
        let Some(client) = self.clients.remove(conn) else {
            return;
        };
        self.closed.count(why.reason);
        if self.graceful_restart.is_on() && self.inventory.has_agent(&client.name) {
            self.graceful_restart.on_disconnected(client.name.clone());
        }
        self.fanout.forget(conn, &client);
        for (instance, subscription) in client.subscriptions {
            self.end_subscription(conn, &client.name, &instance, subscription);
        }
        self.outputs.event(Event::ClientDown {
            client: client.name,
            routes: client.routes,
            why,
        });
    }

    fn on_configure(&mut self, now: Time, inventory: Arc<Inventory>) {
        let (offered, revision) = (inventory.revision, self.inventory.revision);
        if offered < revision {
            return self.outputs.event(Event::InventoryOutdated { offered, revision });
        }
        let before = std::mem::replace(&mut self.inventory, inventory);
        let inventory = Arc::clone(&self.inventory);
        let is_first = !std::mem::replace(&mut self.is_configured, true);
        self.outputs.event(Event::Configured {
            revision: offered,
            networks: inventory.networks.len(),
            switches: inventory.switches.len(),
            is_raised: is_first || offered > revision || inventory == before,
        });
        self.configure_access(is_first);
        self.configure_instances(now, &before, &inventory);
        let is_connected = |name: &ClientName| self.clients.has(name);
        self.graceful_restart.expect(now, &inventory, is_connected);
        let is_only_revised = !is_first && inventory.differs_in_revision_only(&before);
        if !is_only_revised {
            self.rib.configure_switches(&inventory, &mut self.outputs);
        }
        for conn in self.clients.conns() {
            let client = self.clients.get_mut(conn);
            match client.and_then(|client| client.configuration.as_mut()) {
                Some(feed) if is_only_revised => feed.set_revision(&inventory),
                Some(feed) => feed.set(&inventory),
                None => {}
            }
            self.schedule(now, conn);
        }
    }

    /// The inventory names other networks, or other routes, than the one before.
    fn configure_instances(&mut self, now: Time, before: &Inventory, inventory: &Inventory) {
        let configured = inventory.instances();
        for name in self.rib.unconfigured(&configured) {
            for conn in self.subscribers(&name) {
                if let Some(client) = self.clients.get_mut(conn) {
                    client.on_instance_removed(&name);
                }
            }
            self.rib.unconfigure_instance(&name, &mut self.outputs);
        }
        for (name, uuid) in configured {
            let network_before = self.rib.configure_instance(&name, uuid);
            if network_before.is_none() {
                self.publish_deferred(now, &name);
            }
            let network = inventory.networks.get(&uuid);
            if let Some(network) = network
                && network_before.and_then(|uuid| before.networks.get(&uuid)) != Some(network)
            {
                self.rib.configure_statics(&name, network, &mut self.outputs);
            }
        }
    }

    /// An instance is configured now: what was published into it before counts.
    fn publish_deferred(&mut self, now: Time, name: &InstanceName) {
        let mut published = Vec::new();
        for conn in self.subscribers(name) {
            if let Some((client, subscription)) = self.clients.subscriber(conn, name) {
                let source = Source::Client(client.name.clone());
                let paths = subscription.published.iter();
                let given = paths.filter(|(key, path)| client.next_hops.foreign(key, path).is_none());
                published.extend(given.map(|(key, path)| (*key, source.clone(), Arc::clone(path))));
            }
            if let Some(client) = self.clients.get_mut(conn) {
                client.on_instance_configured(now, name);
            }
        }
        if planted!(self, DeferredLost) {
            return;
        }
        for (key, source, path) in published {
            self.rib.insert(name, key, source, path, &mut self.outputs);
        }
    }

    fn subscribers(&self, name: &InstanceName) -> Vec<ConnId> {
        let instance = self.rib.get(name).into_iter();
        instance.flat_map(|it| it.subscribers.iter().copied()).collect()
    }

    /// A client changed: it may have a turn now, or none any more.
    fn schedule(&mut self, now: Time, conn: ConnId) {
        let any_stuck = || self.clients.iter().any(|(_, client)| client.queue.is_stuck());
        let is_held_up = planted!(self, SlowClientDelaysAll) && any_stuck();
        if let Some(client) = self.clients.get_mut(conn) {
            self.fanout.schedule(now, conn, client, is_held_up);
        }
    }

    /// Closes clients that have taken nothing for too long, and looks again at others whose time has come.
    fn check_alarms(&mut self, now: Time) {
        while let Some(conn) = self.fanout.next_alarm(now) {
            let Some(client) = self.clients.get_mut(conn) else {
                continue;
            };
            if client.on_alarm(now) {
                let what = format!("it took nothing of a full queue for {} s", SLOW_CLIENT.as_secs());
                self.close(conn, CloseWhy::new(CloseReason::SlowPeer, what));
            } else {
                self.schedule(now, conn);
            }
        }
    }

    /// Once graceful restart is over, every client receives its ends-of-RIB.
    fn check_graceful_restart(&mut self, now: Time) {
        if !self.graceful_restart.end_if_due(now) {
            return;
        }
        for conn in self.clients.conns() {
            if let Some(client) = self.clients.get_mut(conn) {
                client.mark_walking();
                self.schedule(now, conn);
            }
        }
    }

    /// One step of work. What is left goes on at once.
    fn work(&mut self, now: Time) {
        if !self.fanout.is_due(now) {
            return;
        }
        self.rib.sweep(&mut self.outputs);
        self.notify_subscribers(now);
        let mut looks = 0;
        while looks < LOOKS_PER_STEP {
            let Some(conn) = self.fanout.next_turn() else { break };
            looks += self.serve(now, conn);
        }
        self.fanout.on_worked(now, self.rib.has_work());
    }

    /// Marks changed instances with their subscribers, and forgets what all of them have been sent.
    fn notify_subscribers(&mut self, now: Time) {
        let mut looks = 0;
        while looks < LOOKS_PER_STEP {
            let Some((name, instance)) = self.rib.next_changed() else {
                return;
            };
            looks += 1 + instance.subscribers.len();
            let members_changed = instance.take_members_changed();
            let version = instance.table.version();
            let mut sent = BTreeMap::new();
            for conn in &instance.subscribers {
                let client = self.clients.get_mut(*conn);
                let subscriber = client.and_then(|client| client.notify(&name, version, members_changed));
                sent.extend(subscriber.map(|version| (*conn, version)));
            }
            let oldest = sent.values().copied().min().unwrap_or(version);
            let forgotten = instance.table.forget(oldest, LOOKS_PER_STEP);
            looks += forgotten;
            let is_cut_off = instance.table.gone() > UNSENT_RETRACTS && forgotten < LOOKS_PER_STEP;
            if forgotten == LOOKS_PER_STEP {
                self.rib.mark(name.clone());
            }
            for (conn, version) in sent {
                if is_cut_off && version == oldest {
                    let what = format!("more than {UNSENT_RETRACTS} retracts in {name} wait for it");
                    self.close(conn, CloseWhy::new(CloseReason::SlowPeer, what));
                } else {
                    self.schedule(now, conn);
                }
            }
        }
    }

    /// Sends a client one message. Answers how much was looked at.
    fn serve(&mut self, now: Time, conn: ConnId) -> usize {
        let Some(client) = self.clients.get_mut(conn) else {
            self.fanout.skip(conn);
            return 1;
        };
        let view = View {
            inventory: &self.inventory,
            rib: &self.rib,
            is_restarting: self.graceful_restart.is_on(),
        };
        let turn = messages::next_turn(now, client, &view);
        if let Some(instance) = turn.caught_up {
            self.rib.mark(instance);
        }
        self.outputs.send(conn, turn.stanzas);
        if let Some(event) = turn.event {
            self.outputs.event(event);
        }
        self.schedule(now, conn);
        turn.looks
    }
}

impl Machine for ControlNode {
    type Input = Input;
    type Output = Output;
    type Why = Why;

    /// Bounded but for `Configure`, which looks at everything that is configured, and for a client that unsubscribes an
    /// instance, whose routes are looked at once.
    fn handle(&mut self, now: Time, input: Input) {
        debug_assert!(self.outputs.is_empty(), "drain the outputs first");
        match input {
            Input::Opened {
                conn,
                name,
                address,
                certificate,
            } => self.on_opened(now, conn, name, address, certificate),
            Input::Stanza { conn, stanza } => self.on_stanza(now, conn, stanza),
            Input::Sent { conn, queued_bytes } => self.on_sent(now, conn, queued_bytes),
            Input::Closed { conn, why } => self.on_closed(conn, why),
            Input::Configure(inventory) => self.on_configure(now, inventory),
            Input::Timeout => {
                self.check_alarms(now);
                self.check_graceful_restart(now);
                self.work(now);
            }
        }
        self.fanout.plan(now, self.rib.has_work());
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        let deadline = |why| move |at| Deadline { at, why };
        let restart = self.graceful_restart.due();
        Deadline::earliest([
            self.fanout.resumes_at().map(deadline(Why::MoreWork)),
            self.fanout.alarm_at().map(deadline(Why::ClientDue)),
            restart.map(deadline(Why::GracefulRestartDue)),
        ])
    }
}
