//! One client: what it subscribed and published, and how far it has been sent routes and configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::access::NextHops;
use super::client_name::ClientName;
use super::feed::Feed;
use super::publications::{Publications, Refusal};
use crate::bounds::{
    BROADCASTS_PER_TUNNEL_END, CLIENT_QUEUE_BYTES, DEFERRED_ROUTES, END_OF_RIB_QUIET, ROUTES_PER_CLIENT, SLOW_CLIENT,
};
use crate::dirty_set::DirtySet;
use crate::evpn::{InstanceName, Key, Path};
use crate::ids::Mac;
use crate::machine::Certificate;
use crate::time::Time;

/// A client whose stream is open.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) name: ClientName,
    pub(super) address: SocketAddr,
    /// `None` without TLS.
    pub(super) certificate: Option<Certificate>,
    /// The tunnel ends that it may publish. Publications with others wait until the inventory gives these to it.
    pub(super) next_hops: NextHops,
    /// An inventory of this session named it as the agent of a switch.
    pub(super) was_agent: bool,
    /// The first tunnel ends that it published although they are not its own.
    pub(super) foreign_next_hops: BTreeSet<Ipv4Addr>,
    pub(super) subscriptions: BTreeMap<InstanceName, Subscription>,
    /// Publications, in all subscriptions together.
    pub(super) routes: usize,
    pub(super) publications: Publications,
    pub(super) refused: BTreeMap<Refusal, u64>,
    /// The feed of its configuration, if it subscribed to it.
    pub(super) configuration: Option<Feed>,
    /// The revision that was in force at the client when it subscribed to its configuration.
    pub(super) in_force: Option<u64>,
    /// Subscribed instances in which routes may be left to send.
    pub(super) pending: DirtySet<InstanceName>,
    /// Routes that it holds of subscriptions that it ended. They are retracted before any other route is sent, for it may
    /// have subscribed to these instances again. So there are no more instances here than it may subscribe to at once.
    pub(super) unsubscribing: BTreeMap<InstanceName, BTreeSet<Key>>,
    /// It has subscribed to something since the last end-of-RIB of its session.
    pub(super) owes_end_of_rib: bool,
    /// Before that it may subscribe to more.
    pub(super) quiet_at: Time,
    pub(super) queue: Queue,
    /// When it has to be looked at again, as [`Fanout`](super::fanout::Fanout) has noted it.
    pub(super) alarm: Option<Time>,
}

/// A client's part in an instance.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) instance_id: u32,
    pub(super) no_ribout: bool,
    /// Its publications, also while the instance is not configured: then they are deferred.
    pub(super) published: BTreeMap<Key, Arc<Path>>,
    /// Of those, the broadcast routes.
    pub(super) broadcasts: BTreeSet<Key>,
    /// The version of the table up to which everything has been sent.
    pub(super) sent: u64,
    pub(super) walk: Walk,
    /// The client's number of it, until the end-of-RIB that names it is sent. A client of another make gives none.
    pub(super) owes_end: Option<u64>,
    /// Its own broadcast routes as they were sent to it.
    pub(super) sent_broadcasts: BTreeMap<Key, Path>,
    /// They may have to be sent again.
    pub(super) broadcasts_changed: bool,
}

/// Whether a subscriber has been sent every route that was there when it subscribed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Walk {
    /// The instance is not configured, so it is not known what belongs there.
    Unconfigured,
    Walking,
    Complete,
}

/// The bytes that the driver has not sent to a client yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Queue {
    /// As the driver reported last, and an estimate of what was added since.
    pub(super) bytes: usize,
    /// The queue is full, and this is when the client last took something.
    full_since: Option<Time>,
}

impl Client {
    pub(super) fn new(now: Time, name: ClientName, address: SocketAddr) -> Self {
        Self {
            name,
            address,
            certificate: None,
            next_hops: NextHops::default(),
            was_agent: false,
            foreign_next_hops: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
            routes: 0,
            publications: Publications::default(),
            refused: BTreeMap::new(),
            configuration: None,
            in_force: None,
            pending: DirtySet::default(),
            unsubscribing: BTreeMap::new(),
            owes_end_of_rib: false,
            quiet_at: now,
            queue: Queue::default(),
            alarm: None,
        }
    }

    /// The higher revision in force at the client, for which it ignores this one.
    pub(super) fn ignores(&self, revision: u64) -> Option<u64> {
        self.in_force.filter(|in_force| *in_force > revision)
    }

    /// Its alarm went off. Answers whether it has taken nothing of a full queue for too long.
    pub(super) fn on_alarm(&mut self, now: Time) -> bool {
        self.alarm = None;
        self.queue.overdue_at().is_some_and(|at| at <= now)
    }

    /// It is not subscribed to this instance yet.
    pub(super) fn subscribe(&mut self, now: Time, instance: InstanceName, subscription: Subscription) {
        self.owes_end_of_rib = true;
        self.quiet_at = now + END_OF_RIB_QUIET;
        if !subscription.no_ribout {
            self.pending.mark(instance.clone());
        }
        self.subscriptions.insert(instance, subscription);
    }

    /// The instance of a subscription is configured now: its routes are to be sent.
    pub(super) fn on_instance_configured(&mut self, now: Time, instance: &InstanceName) {
        let subscription = self.subscriptions.get_mut(instance).filter(|it| !it.no_ribout);
        if let Some(subscription) = subscription {
            subscription.walk = Walk::Walking;
            self.owes_end_of_rib = true;
            self.quiet_at = now + END_OF_RIB_QUIET;
            self.pending.mark(instance.clone());
        }
    }

    /// The instance of a subscription is not configured any more.
    pub(super) fn on_instance_removed(&mut self, instance: &InstanceName) {
        let subscription = self.subscriptions.get_mut(instance).filter(|it| !it.no_ribout);
        if let Some(subscription) = subscription {
            subscription.walk = Walk::Unconfigured;
        }
    }

    /// Ends a subscription. The client may hold these routes of it, besides its own broadcast routes.
    pub(super) fn unsubscribe(
        &mut self,
        instance: &InstanceName,
        held: impl FnOnce(&Subscription) -> Vec<Key>,
    ) -> Option<Subscription> {
        let subscription = self.subscriptions.remove(instance)?;
        self.routes -= subscription.published.len();
        let held = held(&subscription).into_iter();
        let held: BTreeSet<Key> = subscription.sent_broadcasts.keys().copied().chain(held).collect();
        if !held.is_empty() {
            // Nothing was sent since, if routes of an earlier subscription are left to be retracted.
            self.unsubscribing.entry(instance.clone()).or_default().extend(held);
        }
        self.pending.unmark(instance);
        Some(subscription)
    }

    /// Keeps what it published. Answers whether it is subscribed to the instance, as it has to be.
    pub(super) fn publish(&mut self, instance: &InstanceName, key: Key, path: Arc<Path>) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(instance) else {
            return false;
        };
        let is_new = subscription.published.insert(key, path).is_none();
        self.routes += usize::from(is_new);
        if key.mac == Mac::BROADCAST {
            subscription.broadcasts.insert(key);
        }
        true
    }

    /// Drops what it published of a route.
    pub(super) fn withdraw(&mut self, instance: &InstanceName, key: Key) -> Option<Arc<Path>> {
        let subscription = self.subscriptions.get_mut(instance)?;
        let path = subscription.published.remove(&key)?;
        self.routes -= 1;
        subscription.broadcasts.remove(&key);
        Some(path)
    }

    /// Whether it may publish this route, which may be one more.
    pub(super) fn room(
        &self,
        instance: &InstanceName,
        is_configured: bool,
        key: Key,
        path: &Path,
    ) -> Result<(), Refusal> {
        let Some(subscription) = self.subscriptions.get(instance) else {
            return Ok(());
        };
        if key.mac == Mac::BROADCAST && subscription.broadcasts_at(key, path) >= BROADCASTS_PER_TUNNEL_END {
            return Err(Refusal::Broadcasts);
        }
        if subscription.published.contains_key(&key) {
            Ok(())
        } else if self.routes >= ROUTES_PER_CLIENT {
            Err(Refusal::Routes)
        } else if !is_configured && subscription.published.len() >= DEFERRED_ROUTES {
            Err(Refusal::DeferredRoutes)
        } else {
            Ok(())
        }
    }

    /// The table of an instance, or its list of members, has changed. Answers the version that the client was sent, if it
    /// receives routes.
    pub(super) fn notify(&mut self, instance: &InstanceName, version: u64, members_changed: bool) -> Option<u64> {
        let subscription = self.subscriptions.get_mut(instance).filter(|it| !it.no_ribout)?;
        subscription.broadcasts_changed |= members_changed && subscription.has_broadcasts();
        if subscription.broadcasts_changed || subscription.sent < version {
            self.pending.mark(instance.clone());
        }
        Some(subscription.sent)
    }

    /// Graceful restart is over: the routes of each instance may be complete now.
    pub(super) fn mark_walking(&mut self) {
        let walking = self.subscriptions.iter().filter(|(_, it)| it.walk == Walk::Walking);
        self.pending.extend(walking.map(|(name, _)| name.clone()));
    }

    /// Whether the end-of-RIB of the session is due: everything has been sent.
    pub(super) fn is_end_of_rib_due(&self, now: Time) -> bool {
        let complete = || self.subscriptions.values().all(|it| it.walk == Walk::Complete);
        let all_sent = self.unsubscribing.is_empty() && self.pending.is_empty();
        self.owes_end_of_rib && self.quiet_at <= now && all_sent && complete()
    }

    /// Whether something is to be sent now.
    pub(super) fn has_unsent(&self, now: Time) -> bool {
        let configuration = self.configuration.as_ref();
        let any_routes = !self.unsubscribing.is_empty() || !self.pending.is_empty();
        configuration.is_some_and(Feed::has_unsent) || any_routes || self.is_end_of_rib_due(now)
    }

    /// When it has to be looked at again, though nothing happens.
    pub(super) fn alarm_due(&self, now: Time) -> Option<Time> {
        let quiet = Some(self.quiet_at).filter(|at| self.owes_end_of_rib && now < *at);
        [self.queue.overdue_at(), quiet].into_iter().flatten().min()
    }
}

impl Subscription {
    /// The number is the client's; a client that receives no routes awaits no end of them.
    pub(super) fn new(instance_id: u32, no_ribout: bool, number: Option<u64>) -> Self {
        Self {
            instance_id,
            no_ribout,
            published: BTreeMap::new(),
            broadcasts: BTreeSet::new(),
            sent: 0,
            walk: Walk::Unconfigured,
            owes_end: number.filter(|_| !no_ribout),
            sent_broadcasts: BTreeMap::new(),
            broadcasts_changed: false,
        }
    }

    /// The other broadcast routes that lead where this one does. Each is sent back with all members, and to each member.
    fn broadcasts_at(&self, key: Key, path: &Path) -> usize {
        let end = |path: &Path| path.next_hops.first().map(|hop| hop.address);
        let others = self.broadcasts.iter().filter(|other| **other != key);
        let others = others.filter_map(|other| self.published.get(other));
        others.filter(|other| end(other) == end(path)).count()
    }

    /// Whether its own broadcast routes may have to be sent: only their owner receives them.
    pub(super) fn has_broadcasts(&self) -> bool {
        !self.broadcasts.is_empty() || !self.sent_broadcasts.is_empty()
    }
}

impl Queue {
    /// The driver has so many bytes left.
    pub(super) fn on_sent(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.full_since = None;
        }
        self.bytes = bytes;
    }

    /// Notes since when the queue is full. Answers whether it is.
    pub(super) fn check(&mut self, now: Time) -> bool {
        let is_full = self.bytes >= CLIENT_QUEUE_BYTES;
        self.full_since = self.full_since.or(Some(now)).filter(|_| is_full);
        is_full
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.full_since.is_some()
    }

    /// When the client will have taken nothing of a full queue for too long.
    pub(super) fn overdue_at(&self) -> Option<Time> {
        self.full_since.map(|since| since + SLOW_CLIENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Vni;

    fn client() -> Client {
        Client::new(Time::ORIGIN, "agent-a".into(), (Ipv4Addr::LOCALHOST, 1).into())
    }

    fn key(last: u8) -> Key {
        Key::of_mac(Vni::new(101).expect("a VNI"), Mac([2, 0, 0, 0, 0, last]))
    }

    fn blue() -> InstanceName {
        "blue".into()
    }

    #[test]
    fn publications_are_counted_while_their_subscription_lasts() {
        let mut client = client();
        let path = || Arc::new(Path::default());
        assert!(!client.publish(&blue(), key(1), path()), "it is not subscribed");
        client.subscribe(Time::ORIGIN, blue(), Subscription::new(1, false, Some(1)));
        for last in [1, 2, 2] {
            assert!(client.publish(&blue(), key(last), path()));
        }
        assert_eq!(client.routes, 2);
        assert!(client.withdraw(&blue(), key(1)).is_some());
        assert!(client.withdraw(&blue(), key(1)).is_none());
        assert_eq!(client.routes, 1);
        client.unsubscribe(&blue(), |_| Vec::new()).expect("a subscription");
        assert_eq!((client.routes, client.unsubscribing.len()), (0, 0));
    }

    #[test]
    fn what_it_holds_of_an_ended_subscription_is_left_to_retract() {
        let mut client = client();
        for number in [1, 2] {
            client.subscribe(Time::ORIGIN, blue(), Subscription::new(1, false, Some(number)));
            client.unsubscribe(&blue(), |_| vec![key(1)]).expect("a subscription");
        }
        assert_eq!(client.unsubscribing, [(blue(), [key(1)].into())].into());
        assert!(client.pending.is_empty() && client.has_unsent(Time::ORIGIN));
        assert!(!client.is_end_of_rib_due(Time::ORIGIN + END_OF_RIB_QUIET));
        client.unsubscribing.clear();
        assert!(client.is_end_of_rib_due(Time::ORIGIN + END_OF_RIB_QUIET));
    }

    #[test]
    fn a_client_may_publish_so_much_and_less_before_its_instance_is_configured() {
        let mut client = client();
        let many = |number: usize| Key {
            ethernet_tag: u32::try_from(number).expect("few"),
            ..key(1)
        };
        client.subscribe(Time::ORIGIN, blue(), Subscription::new(1, false, None));
        for number in 0..DEFERRED_ROUTES {
            client.publish(&blue(), many(number), Arc::new(Path::default()));
        }
        let next = many(DEFERRED_ROUTES);
        assert_eq!(
            client.room(&blue(), false, next, &Path::default()),
            Err(Refusal::DeferredRoutes)
        );
        assert_eq!(
            client.room(&blue(), false, many(0), &Path::default()),
            Ok(()),
            "it has that already"
        );
        assert_eq!(client.room(&blue(), true, next, &Path::default()), Ok(()));
        client.routes = ROUTES_PER_CLIENT;
        assert_eq!(client.room(&blue(), true, next, &Path::default()), Err(Refusal::Routes));
    }

    #[test]
    fn a_full_queue_is_overdue_unless_the_client_takes_something() {
        let mut queue = Queue::default();
        let at = |seconds| Time::ORIGIN + std::time::Duration::from_secs(seconds);
        queue.on_sent(2 * CLIENT_QUEUE_BYTES);
        assert!(queue.check(at(0)) && queue.check(at(5)));
        assert_eq!(queue.overdue_at(), Some(at(0) + SLOW_CLIENT));
        queue.on_sent(2 * CLIENT_QUEUE_BYTES - 1);
        assert!(queue.check(at(6)) && queue.is_stuck());
        assert_eq!(queue.overdue_at(), Some(at(6) + SLOW_CLIENT));
        queue.on_sent(0);
        assert!(!queue.check(at(7)) && !queue.is_stuck());
    }
}
