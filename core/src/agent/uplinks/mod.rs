//! What an agent has with its control nodes: configuration from one of them, routes to and from all.
//!
//! Up to two of a list are dialled at a time. Each gets every route that our switches' sessions export, and tells
//! every route of the networks that our switches take part in; both end in the [`fabric`](super::fabric) table.
//! The configuration (`source.rs`) comes from one of them, and from the other as soon as that one is lost.
//!
//! What was told is not forgotten with whoever told it: it goes when everything was told again by someone else.

mod event;
mod publish;
mod settle;
mod source;
mod uplink;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::adverts::{Advert, Adverts};
use super::fabric::{Fabric, Heard, Unusable};
use super::hold::{Hold, Served};
use crate::bounds::{CONTROL_NODES, DIALS_BEFORE_ANOTHER, ROUTES_PER_STEP};
use crate::configuration::{Configuration, SessionOptions};
use crate::event::Route;
use crate::evpn::{InstanceName, Key, Path};
use crate::ids::{Mac, Uuid, Vni};
use crate::machine::{CloseWhy, Machine};
use crate::status::UplinkStatus;
use crate::time::{Deadline, Time};
use crate::xmpp::backoff::Backoff;
use crate::xmpp::stanza::Stanza;
use crate::xmpp::stream::KEEPALIVE;
pub use event::What;
use source::Source;
use uplink::{State, Uplink};

/// One dial of a control node, and the session that follows. Never used again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UplinkId(pub u64);

/// With whom, and as whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// The control nodes, the preferred first.
    pub nodes: Vec<SocketAddr>,
    /// How sessions behave; the configuration that is told says nothing of it.
    pub session: SessionOptions,
    /// How long a copy of a route is held while nobody knows it at first hand; `None` holds none.
    pub stale_hold: Option<Duration>,
    /// For the jitter of the back-off.
    pub seed: u64,
}

/// What may arrive.
#[derive(Clone, Debug)]
pub enum Input {
    /// Both streams are open; the control node calls itself this, and is one of ours or not.
    Opened { id: UplinkId, name: String, ours: bool },
    /// It said something.
    Heard { id: UplinkId, stanza: Stanza },
    /// The driver has so many bytes left that the control node did not take yet.
    Sent { id: UplinkId, queued_bytes: usize },
    /// The dial failed, or the session is over.
    Closed { id: UplinkId, why: CloseWhy },
    /// This is in force now.
    Configured(Arc<Configuration>),
    /// Our sessions' word on a route changed; they say now that its MAC is behind these tunnel ends.
    Exported {
        route: Route,
        change: Change,
        vteps: Vec<Ipv4Addr>,
    },
    /// How the switches that are configured are served, by us or by the other agent of the pair.
    Served(BTreeMap<Ipv4Addr, Served>),
    /// Our sessions are about to end. By whom our switches are served until then.
    LetGo(BTreeMap<Ipv4Addr, Served>),
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// What became of a route of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// The switch learned it just now.
    Learned,
    /// The switch had learned it when our session came to write: nobody knows when.
    Inherited,
    /// The switch took it back.
    Withdrawn,
    /// Nobody says anything of it any more: the session is over.
    SessionOver,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Dial this control node, and open a stream.
    Dial { id: UplinkId, to: SocketAddr },
    /// Say this in the session.
    Say { id: UplinkId, stanza: Stanza },
    /// Close the session.
    Close { id: UplinkId, why: CloseWhy },
    /// A MAC lives elsewhere now, or nowhere.
    Imported {
        network: Uuid,
        mac: Mac,
        vtep: Option<Ipv4Addr>,
    },
    /// Whether everything that can be told of a network has been told.
    Settled { network: Uuid, settled: bool },
    /// This is to be in force; and whether it is all.
    Configure {
        configuration: Arc<Configuration>,
        complete: bool,
    },
    /// Something happened.
    Event(What),
}

/// Why it wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// There is more to tell.
    MoreWork,
    /// A control node is to be dialled.
    DialDue,
    /// An instance may have been quiet for long enough.
    QuietDue,
    /// The configuration may have been quiet for long enough.
    ConfigurationDue,
    /// A copy has been held for long enough.
    HoldDue,
}

/// All of an agent's control nodes.
#[derive(Clone, Debug)]
pub struct Uplinks {
    options: Options,
    slots: Vec<Slot>,
    /// Control nodes that nobody dials at present.
    spare: VecDeque<SocketAddr>,
    dials: u64,
    source: Source,
    configuration: Arc<Configuration>,
    networks: BTreeMap<Uuid, (InstanceName, Vni)>,
    instances: BTreeMap<InstanceName, (Uuid, u32)>,
    settled: BTreeSet<Uuid>,
    fabric: Fabric,
    adverts: Adverts,
    hold: Option<Hold>,
    /// The switches' own broadcast routes.
    broadcasts: BTreeSet<(Uuid, Ipv4Addr)>,
    now: Time,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Debug)]
struct Slot {
    uplink: Uplink,
    backoff: Backoff,
}

impl Uplinks {
    /// Nothing was dialled yet.
    pub fn new(options: Options) -> Self {
        let mut spare: VecDeque<_> = options.nodes.iter().copied().collect();
        let first = spare.drain(..spare.len().min(CONTROL_NODES)).collect::<Vec<_>>();
        let slots = first.into_iter().zip(options.seed..).map(|(address, seed)| Slot {
            uplink: Uplink::new(address),
            backoff: Backoff::new(seed, KEEPALIVE),
        });
        let configuration = Configuration {
            session: options.session.clone(),
            networks: BTreeMap::new(),
            switches: BTreeMap::new(),
        };
        Self {
            slots: slots.collect(),
            spare,
            dials: 0,
            source: Source::default(),
            configuration: Arc::new(configuration),
            networks: BTreeMap::new(),
            instances: BTreeMap::new(),
            settled: BTreeSet::new(),
            fabric: Fabric::default(),
            adverts: Adverts::default(),
            hold: options.stale_hold.map(Hold::new),
            broadcasts: BTreeSet::new(),
            now: Time::ORIGIN,
            outputs: VecDeque::new(),
            options,
        }
    }

    /// Everything that control nodes told.
    pub fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    /// Whether copies of routes are held.
    pub fn holds(&self) -> bool {
        self.hold.is_some()
    }

    /// Whether somebody else is still to vouch for what we let go, and somebody is there to hear of it.
    pub fn lingers(&self) -> bool {
        self.any_up() && self.hold.as_ref().is_some_and(Hold::awaits)
    }

    /// The routes of which copies are held.
    pub fn held(&self) -> impl Iterator<Item = &Route> {
        self.hold.iter().flat_map(Hold::routes)
    }

    /// What is advertised of a MAC.
    pub fn advert(&self, network: Uuid, mac: Mac) -> Option<Advert> {
        self.adverts.of(network, mac)
    }

    /// Whether a session with any control node is open.
    pub fn any_up(&self) -> bool {
        self.slots.iter().any(|slot| slot.uplink.id().is_some())
    }

    /// Whether some control node has heard everything that we have to say of routes.
    pub fn has_told_all(&self, now: Time) -> bool {
        self.slots.iter().any(|slot| slot.uplink.has_told_all(now))
    }

    /// Networks of which everything that can be told has been told.
    pub fn is_settled(&self, network: Uuid) -> bool {
        self.settled.contains(&network)
    }

    /// Where a MAC is to be found, as far as control nodes know.
    pub fn vtep(&self, network: Uuid, mac: Mac) -> Option<Ipv4Addr> {
        self.fabric.best(network, mac).map(|best| best.vtep)
    }

    /// The control nodes that a session is open with, by the name that each gave.
    pub fn peers(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().filter_map(|slot| slot.uplink.peer())
    }

    /// What an operator may want to know.
    pub fn status(&self) -> Vec<UplinkStatus> {
        let slots = self.slots.iter().map(|slot| &slot.uplink);
        slots.map(|uplink| uplink.status(&self.source)).collect()
    }

    #[cfg(feature = "mutants")]
    fn mutant(&self) -> Option<crate::mutant::Mutant> {
        self.options.session.mutant
    }

    fn slot_of(&self, id: UplinkId) -> Option<usize> {
        self.slots.iter().position(|slot| slot.uplink.is(id))
    }

    fn dial(&mut self, now: Time) {
        for slot in &mut self.slots {
            if matches!(slot.uplink.state, State::Waiting { until } if until <= now) {
                self.dials += 1;
                let id = UplinkId(self.dials);
                slot.uplink.state = State::Dialling { id };
                let to = slot.uplink.address;
                self.outputs.push_back(Output::Dial { id, to });
            }
        }
    }

    fn opened(&mut self, now: Time, id: UplinkId, name: String, ours: bool) {
        let Some(slot) = self.slot_of(id).and_then(|slot| self.slots.get_mut(slot)) else {
            return;
        };
        let address = slot.uplink.address;
        slot.uplink.state = State::Up {
            id,
            name: name.clone(),
            ours,
            since: now,
        };
        slot.uplink.failures = 0;
        self.event(What::UplinkUp { address, name });
        self.choose_source(now);
        self.subscribe(now);
    }

    fn closed(&mut self, now: Time, id: UplinkId, why: CloseWhy) {
        let Some(number) = self.slot_of(id) else { return };
        let Some(slot) = self.slots.get_mut(number) else { return };
        let address = slot.uplink.address;
        let mut up = Duration::ZERO;
        if let State::Up { since, .. } = slot.uplink.state {
            up = now.since(since);
        }
        slot.uplink.lost(now + slot.backoff.pause(up));
        // After some vain attempts it is another's turn.
        if slot.uplink.failures >= DIALS_BEFORE_ANOTHER
            && let Some(next) = self.spare.pop_front()
        {
            self.spare.push_back(address);
            slot.uplink = Uplink::new(next);
        }
        self.event(What::UplinkDown { address, why });
        self.fabric.distrust(number);
        self.copy_all();
        self.source.lost(id);
        self.choose_source(now);
        self.resettle();
        self.sweep_all();
    }

    fn heard(&mut self, now: Time, id: UplinkId, stanza: Stanza) {
        let Some(number) = self.slot_of(id) else { return };
        match stanza {
            Stanza::Items { instance, items } => self.items(now, number, &instance, items),
            Stanza::Retracts { instance, keys } => self.retracts(now, number, &instance, &keys),
            Stanza::InstanceEndOfRib { instance, subscription } => {
                let slot = self.slots.get_mut(number);
                if slot.is_some_and(|slot| slot.uplink.on_end_of_rib(now, &instance, subscription)) {
                    self.resettle();
                }
            }
            Stanza::EndOfRib => {
                self.each_uplink(number, |uplink| uplink.all_completed(now));
                self.resettle();
            }
            Stanza::Configuration(changes) => self.graph_told(now, id, changes),
            Stanza::Refused { what } => self.event(What::Unreadable { what }),
            // What agents say to control nodes means nothing the other way.
            Stanza::Subscribe { .. } | Stanza::Unsubscribe { .. } | Stanza::SubscribeConfiguration { .. } => {}
            Stanza::Publish { .. } | Stanza::Collection { .. } => {}
        }
    }

    /// Routes of an instance arrive.
    fn items(&mut self, now: Time, number: usize, instance: &InstanceName, items: Vec<(Key, Path)>) {
        let Some(slot) = self.slots.get_mut(number) else { return };
        let Some(network) = slot.uplink.heard(now, instance) else {
            return slot.uplink.not_asked(items.len());
        };
        for (key, path) in items.into_iter().filter(|(key, _)| !key.mac.is_broadcast()) {
            let before = self.fabric.best(network, key.mac);
            let heard = Heard::of(key.mac, &path);
            match heard.and_then(|heard| self.fabric.learn(number, network, key, heard)) {
                Ok(()) if self.settled.contains(&network) => self.fabric.sweep(network, key.mac),
                Ok(()) => {}
                Err(why) => {
                    self.fabric.unlearn(number, network, key);
                    self.is_unusable(number, network, key.mac, why);
                }
            }
            self.imported(network, key.mac, before);
        }
    }

    fn is_unusable(&mut self, number: usize, network: Uuid, mac: Mac, why: Unusable) {
        let slot = self.slots.get_mut(number);
        if slot.is_some_and(|slot| slot.uplink.is_unusable(why)) {
            let why = why.to_string();
            self.event(What::Unusable { network, mac, why });
        }
    }

    fn retracts(&mut self, now: Time, number: usize, instance: &InstanceName, keys: &[Key]) {
        let Some(slot) = self.slots.get_mut(number) else { return };
        let Some(network) = slot.uplink.heard(now, instance) else {
            return;
        };
        for key in keys {
            let before = self.fabric.best(network, key.mac);
            self.fabric.unlearn(number, network, *key);
            self.imported(network, key.mac, before);
        }
    }

    /// The paths of a MAC changed: its best one may be another.
    fn imported(&mut self, network: Uuid, mac: Mac, before: Option<Heard>) {
        let best = self.fabric.best(network, mac);
        self.compare_sequence(network, mac, before, best);
        self.copy(network, mac);
        let [before, vtep] = [before, best].map(|heard| heard.map(|heard| heard.vtep));
        if before != vtep {
            self.outputs.push_back(Output::Imported { network, mac, vtep });
            self.event(What::Imported { network, mac, vtep });
        }
    }

    fn each_uplink(&mut self, number: usize, act: impl FnOnce(&mut Uplink)) {
        if let Some(slot) = self.slots.get_mut(number) {
            act(&mut slot.uplink);
        }
    }

    fn event(&mut self, what: What) {
        self.outputs.push_back(Output::Event(what));
    }
}

impl Machine for Uplinks {
    type Input = Input;
    type Output = Output;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Input) {
        debug_assert!(self.outputs.is_empty(), "drain the outputs first");
        self.now = now;
        match input {
            Input::Opened { id, name, ours } => self.opened(now, id, name, ours),
            Input::Heard { id, stanza } => self.heard(now, id, stanza),
            Input::Sent { id, queued_bytes } => {
                if let Some(number) = self.slot_of(id) {
                    self.each_uplink(number, |uplink| uplink.sent(queued_bytes));
                }
            }
            Input::Closed { id, why } => self.closed(now, id, why),
            Input::Configured(configuration) => self.configured(now, configuration),
            Input::Exported { route, change, vteps } => self.exported(now, route, change, &vteps),
            Input::Served(served) => self.served(now, served),
            Input::LetGo(served) => self.let_go(now, served),
            Input::Timeout => {
                self.check_quiet(now);
                self.check_graph(now);
                self.adverts.forget(now);
                self.check_hold(now);
            }
        }
        self.dial(now);
        self.publish(ROUTES_PER_STEP);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        let uplinks = || self.slots.iter().map(|slot| &slot.uplink);
        let deadline = |why| move |at| Deadline { at, why };
        let more = uplinks().any(Uplink::has_news).then_some(self.now);
        let dial = uplinks().filter_map(|uplink| match uplink.state {
            State::Waiting { until } => Some(until),
            State::Dialling { .. } | State::Up { .. } => None,
        });
        let quiet = uplinks().filter_map(Uplink::quiet_at);
        let deadlines = [
            more.map(deadline(Why::MoreWork)),
            dial.min().map(deadline(Why::DialDue)),
            quiet.min().map(deadline(Why::QuietDue)),
            self.source.due().map(deadline(Why::ConfigurationDue)),
            self.hold.as_ref().and_then(Hold::due).map(deadline(Why::HoldDue)),
        ];
        deadlines.into_iter().flatten().min_by_key(|deadline| deadline.at)
    }
}
