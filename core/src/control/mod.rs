//! The control node: what agents publish, it reflects to every subscriber; what is configured, it tells those whom it
//! concerns.
//!
//! It speaks in stanzas. The driver runs the streams, says who is there and what they say, and carries what is said to
//! them. Publications go into tables, one for each instance; changes are gathered for a moment and then told in turns,
//! so much to each client as it takes. A client that takes nothing costs the others nothing.

mod best;
mod broadcast;
mod client;
mod event;
mod graph;
mod heard;
mod inventory;
mod learning;
mod mastership;
mod routes;
mod status;
mod table;
mod telling;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

pub use best::Source;
pub use client::{ClientName, Refusal};
pub use event::Event;
pub use inventory::{Inventory, ServedSwitch};
pub use status::{
    ClientStatus, ControlStatus, NetworkStatus, PathStatus, RouteStatus, SubscriptionStatus, SwitchStatus,
};

use crate::bounds::{CLIENTS, GATHER};
use crate::evpn::InstanceName;
use crate::ids::ConnId;
use crate::machine::{CloseWhy, Fault, Machine};
use crate::time::{Deadline, Time};
use crate::xmpp::stanza::Stanza;
use client::Client;
use learning::Learning;
use mastership::Mastership;
use routes::{Instance, Leaving};

/// What may arrive at a control node.
#[derive(Clone, Debug)]
pub enum Input {
    /// The stream of a client is open.
    Opened {
        conn: ConnId,
        name: ClientName,
        address: SocketAddr,
    },
    /// A client says something.
    Heard { conn: ConnId, stanza: Stanza },
    /// So many bytes of what was said to a client have not left yet. The driver tells whenever it becomes less, and at the
    /// latest when nothing is left.
    Sent { conn: ConnId, queued_bytes: usize },
    /// A client's stream is over.
    Closed { conn: ConnId, why: CloseWhy },
    /// What is configured from now on.
    Configure(Arc<Inventory>),
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// What a control node wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Say this to a client.
    Say { conn: ConnId, stanza: Stanza },
    /// Close a client's stream: for the control node it is over already.
    Close { conn: ConnId, why: CloseWhy },
    /// Something happened.
    Event(Event),
}

/// Why a control node wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// Something is left to do, or to tell.
    MoreWork,
    /// A client may have heard everything, or has taken nothing for too long.
    ClientDue,
    /// After a start, everything may be known now.
    Learned,
}

/// A control node.
#[derive(Clone, Debug, Default)]
pub struct ControlNode {
    inventory: Arc<Inventory>,
    /// That inventory is one that somebody gave us.
    is_configured: bool,
    clients: BTreeMap<ConnId, Client>,
    names: BTreeMap<ClientName, ConnId>,
    /// Every instance that is configured or subscribed.
    instances: BTreeMap<InstanceName, Instance>,
    mastership: Mastership,
    learning: Learning,
    /// What clients left behind that are gone, or are done with an instance.
    leaving: VecDeque<Leaving>,
    /// The instances in which something changed that their subscribers were not made aware of.
    changed: BTreeSet<InstanceName>,
    /// The clients that have something to hear, and can take it.
    ready: BTreeSet<ConnId>,
    /// Who was told something last: the next one is next.
    turn: Option<ConnId>,
    /// When clients have to be looked at again.
    alarms: BTreeSet<(Time, ConnId)>,
    /// When to go on working.
    resume: Option<Time>,
    /// When work was done last.
    worked_at: Option<Time>,
    #[cfg(feature = "mutants")]
    mutant: Option<crate::mutant::Mutant>,
    outputs: VecDeque<Output>,
}

impl ControlNode {
    /// A control node that was never configured: it takes clients, and what they publish waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with a planted bug.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn with_mutant(mut self, mutant: Option<crate::mutant::Mutant>) -> Self {
        self.mutant = mutant;
        self
    }

    #[cfg(feature = "mutants")]
    fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.mutant
    }

    /// A client is there.
    ///
    /// Two clients must not have one name. The address tells an agent that came back before its old connection was
    /// found dead from a second agent that was given the same name by mistake: of the former, the older connection is
    /// given up at once, for nobody who restarts should wait until a hold timer ends; of the latter, the newer is
    /// refused, so that a mistake disturbs nobody who works.
    fn opened(&mut self, now: Time, conn: ConnId, name: ClientName, address: SocketAddr) {
        let older = self.names.get(&name).copied();
        let elsewhere = older
            .and_then(|older| self.clients.get(&older))
            .filter(|older| older.address.ip() != address.ip());
        let refusal = if let Some(older) = elsewhere {
            let what = format!("a client of this name is here already, from {}", older.address);
            Some(CloseWhy::fault(Fault::PeerMisbehaved, what))
        } else if older.is_none() && self.clients.len() >= CLIENTS {
            let what = format!("there are {CLIENTS} clients already");
            Some(CloseWhy::fault(Fault::Environment, what))
        } else {
            None
        };
        if let Some(why) = refusal {
            self.outputs.push_back(Output::Close { conn, why: why.clone() });
            return self.event(Event::ClientRefused {
                client: name,
                address,
                why,
            });
        }
        if let Some(older) = older {
            let what = format!("the same client has connected again, from {address}");
            self.close(older, CloseWhy::fault(Fault::Environment, what));
        }
        self.learn_from(now, Some(&name));
        self.names.insert(name.clone(), conn);
        self.clients.insert(conn, Client::new(now, name.clone(), address));
        self.event(Event::ClientUp { client: name, address });
    }

    /// The driver's queue for a client is this long.
    fn sent(&mut self, now: Time, conn: ConnId, queued_bytes: usize) {
        if let Some(client) = self.clients.get_mut(&conn) {
            if queued_bytes < client.queued_bytes {
                client.stuck_since = None;
            }
            client.queued_bytes = queued_bytes;
            self.refresh(now, conn);
        }
    }

    /// We end a session.
    fn close(&mut self, conn: ConnId, why: CloseWhy) {
        self.outputs.push_back(Output::Close { conn, why: why.clone() });
        self.ended(conn, why);
    }

    /// A session is over: nothing of it stays.
    fn ended(&mut self, conn: ConnId, why: CloseWhy) {
        let Some(client) = self.clients.remove(&conn) else {
            return;
        };
        self.names.remove(&client.name);
        self.ready.remove(&conn);
        if let Some(alarm) = client.alarm {
            self.alarms.remove(&(alarm, conn));
        }
        for (instance, subscription) in client.subscriptions {
            self.leave(conn, &client.name, &instance, subscription);
        }
        self.event(Event::ClientDown {
            client: client.name,
            routes: client.routes,
            why,
        });
    }

    fn configure(&mut self, now: Time, inventory: Arc<Inventory>) {
        let (offered, revision) = (inventory.revision, self.inventory.revision);
        if offered < revision {
            return self.event(Event::InventoryOutdated { offered, revision });
        }
        let before = std::mem::replace(&mut self.inventory, inventory);
        let is_first = !std::mem::replace(&mut self.is_configured, true);
        self.event(Event::Configured {
            revision: offered,
            networks: self.inventory.networks.len(),
            switches: self.inventory.switches.len(),
            is_raised: is_first || offered > revision || self.inventory == before,
        });
        self.configure_instances(now, &before);
        let inventory = Arc::clone(&self.inventory);
        self.learn_of(now, &inventory);
        let only_revised = !is_first && inventory.is_told_as(&before);
        if !only_revised {
            self.mastership.configure(&inventory);
            let watched: Vec<_> = self.mastership.watched().cloned().collect();
            for (instance, key) in watched {
                self.look_at_mastership(&instance, key);
            }
        }
        let clients: Vec<ConnId> = self.clients.keys().copied().collect();
        for conn in clients {
            if let Some(client) = self.clients.get_mut(&conn)
                && let Some(telling) = &mut client.configuration
            {
                if only_revised {
                    telling.revise(&inventory);
                } else {
                    telling.aim(&inventory);
                }
            }
            self.refresh(now, conn);
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// If there is anything to do, when to do it: soon, but not for each change alone.
    fn plan_work(&mut self, now: Time) {
        let idle = self.ready.is_empty() && self.changed.is_empty() && self.leaving.is_empty();
        if idle {
            self.resume = None;
        } else if self.resume.is_none() {
            let gathered = self.worked_at.map_or(now, |at| at + GATHER);
            self.resume = Some(gathered.max(now));
        }
    }
}

impl Machine for ControlNode {
    type Input = Input;
    type Output = Output;
    type Why = Why;

    /// Bounded but for `Configure`, which looks at everything that is configured, and for who leaves an instance, whose
    /// routes are looked at once.
    fn handle(&mut self, now: Time, input: Input) {
        debug_assert!(self.outputs.is_empty(), "drain the outputs first");
        match input {
            Input::Opened { conn, name, address } => self.opened(now, conn, name, address),
            Input::Heard { conn, stanza } => self.heard(now, conn, stanza),
            Input::Sent { conn, queued_bytes } => self.sent(now, conn, queued_bytes),
            Input::Closed { conn, why } => self.ended(conn, why),
            Input::Configure(inventory) => self.configure(now, inventory),
            Input::Timeout => {
                self.look_at_alarms(now);
                self.look_at_learning(now);
                self.work(now);
            }
        }
        self.plan_work(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        let work = self.resume.map(|at| Deadline { at, why: Why::MoreWork });
        let alarm = self.alarms.first().map(|(at, _)| Deadline {
            at: *at,
            why: Why::ClientDue,
        });
        let learned = self.learned_at().map(|at| Deadline { at, why: Why::Learned });
        Deadline::earliest([work, alarm, learned])
    }
}
