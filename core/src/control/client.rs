//! What the control node knows of one client.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::graph::Telling;
use crate::evpn::{InstanceName, Key, Path};
use crate::time::Time;

/// What a client calls itself when it opens its stream, such as `tor-agent-1`: the only thing it is known by.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ClientName(Arc<str>);

impl ClientName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for ClientName {
    fn from(name: T) -> Self {
        Self(name.into())
    }
}

impl FromStr for ClientName {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Infallible> {
        Ok(name.into())
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::ids::serde_as_text!(ClientName);

/// A publication, and the node that its collection must name.
pub(super) type Parked = (Box<str>, Box<(Key, Path)>);

/// Why something that a client said was not taken.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// A publication has exactly one next hop.
    NextHops,
    /// A next hop has an address.
    UnspecifiedNextHop,
    /// Its MAC is zero, as in routes to IP prefixes, which are none of ours.
    NoMac,
    /// The client has as many routes as it may have.
    Routes,
    /// As many as there may be wait for the configuration of their instance.
    DeferredRoutes,
    /// The collection is about another route than the publication before it, or has none before it.
    Unpaired,
    /// It breaks a rule of its own kind of route.
    Unreadable,
    /// It asked for configuration a second time, or for that of something that is no virtual router.
    Configuration,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NextHops => "a publication has exactly one next hop",
            Self::UnspecifiedNextHop => "the next hop has no address",
            Self::NoMac => "routes to IP prefixes are not served",
            Self::Routes => "the client has too many routes",
            Self::DeferredRoutes => "too many routes wait for the configuration of this instance",
            Self::Unpaired => "publication and collection do not belong together",
            Self::Unreadable => "it cannot be read",
            Self::Configuration => "configuration is told once, and to virtual routers",
        })
    }
}

/// A client whose stream is open.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) name: ClientName,
    pub(super) address: SocketAddr,
    pub(super) subscriptions: BTreeMap<InstanceName, Subscription>,
    /// Publications, in all subscriptions together.
    pub(super) routes: usize,
    /// A publication whose collection has not come yet.
    pub(super) parked: Option<Parked>,
    pub(super) refused: BTreeMap<Refusal, u64>,
    /// How far it has been told its configuration, if it wants to know it.
    pub(super) configuration: Option<Telling>,
    /// Where something may be left to tell.
    pub(super) pending: BTreeSet<InstanceName>,
    /// Routes that it holds of subscriptions that it ended. They are retracted before any other route is sent, for it may
    /// have subscribed these instances again. So there are no more instances here than it may subscribe at once.
    pub(super) parting: BTreeMap<InstanceName, BTreeSet<Key>>,
    /// It has subscribed something since it was last told that everything is told.
    pub(super) owes_end_of_rib: bool,
    /// Before that it may subscribe more.
    pub(super) quiet_at: Time,
    /// Bytes on their way to it, as the driver said last, and an estimate of those said since.
    pub(super) queued_bytes: usize,
    /// Its queue is full, and this is when it last took something.
    pub(super) stuck_since: Option<Time>,
    /// When it has to be looked at again.
    pub(super) alarm: Option<Time>,
}

/// A client's part in an instance.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) instance_id: u32,
    pub(super) no_ribout: bool,
    /// What it published, also while the configuration does not know the instance: then it is deferred.
    pub(super) published: BTreeMap<Key, Arc<Path>>,
    /// Of those, how many are broadcast routes.
    pub(super) broadcasts: usize,
    /// The version of the table up to which it has been told everything.
    pub(super) told: u64,
    pub(super) walk: Walk,
    /// The client's number of it, until the end-of-RIB that names it is sent. A client of another make gives none.
    pub(super) owes_end: Option<u64>,
    /// What of its own broadcast routes it has been told.
    pub(super) told_broadcasts: BTreeMap<Key, Path>,
    /// They may have to be told anew.
    pub(super) broadcasts_changed: bool,
}

/// Whether a subscriber has been told everything that was there when it subscribed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Walk {
    /// The configuration does not know the instance, so nobody knows what belongs there.
    Unknown,
    /// Not yet.
    Walking,
    Done,
}

impl Client {
    pub(super) fn new(now: Time, name: ClientName, address: SocketAddr) -> Self {
        Self {
            name,
            address,
            subscriptions: BTreeMap::new(),
            routes: 0,
            parked: None,
            refused: BTreeMap::new(),
            configuration: None,
            pending: BTreeSet::new(),
            parting: BTreeMap::new(),
            owes_end_of_rib: false,
            quiet_at: now,
            queued_bytes: 0,
            stuck_since: None,
            alarm: None,
        }
    }

    /// Whether everything has been told, and it does not know yet.
    pub(super) fn is_end_of_rib_due(&self, now: Time) -> bool {
        let walked = || self.subscriptions.values().all(|it| it.walk == Walk::Done);
        let all_sent = self.parting.is_empty() && self.pending.is_empty();
        self.owes_end_of_rib && self.quiet_at <= now && all_sent && walked()
    }

    pub(super) fn has_news(&self, now: Time) -> bool {
        let configuration = self.configuration.as_ref();
        let any_routes = !self.parting.is_empty() || !self.pending.is_empty();
        configuration.is_some_and(Telling::has_news) || any_routes || self.is_end_of_rib_due(now)
    }
}

impl Subscription {
    pub(super) fn new(instance_id: u32, no_ribout: bool, number: Option<u64>) -> Self {
        Self {
            instance_id,
            no_ribout,
            published: BTreeMap::new(),
            broadcasts: 0,
            told: 0,
            walk: Walk::Unknown,
            owes_end: number,
            told_broadcasts: BTreeMap::new(),
            broadcasts_changed: false,
        }
    }

    /// Whether there is anything to tell of broadcast routes, which are told only to whose they are.
    pub(super) fn has_broadcasts(&self) -> bool {
        self.broadcasts > 0 || !self.told_broadcasts.is_empty()
    }
}
