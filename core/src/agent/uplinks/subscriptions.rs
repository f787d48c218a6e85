//! The instances that one control node sends us routes of, and of which it has sent all routes.
//!
//! A Tandem control node sends an end-of-RIB for each subscription, which it names by its number. Of another make, an
//! end-of-RIB for the whole session or silence has to do.

use std::collections::BTreeMap;
use std::time::Duration;

use super::instances::Instances;
use crate::bounds::{NEVER_QUIET, QUIET};
use crate::evpn::InstanceName;
use crate::ids::Uuid;
use crate::time::Time;

/// The time after a subscription in which an end-of-RIB may arrive that was written before the subscription was read.
const END_OF_EARLIER: Duration = Duration::from_secs(5);

/// The subscriptions of one session with a control node.
#[derive(Clone, Debug)]
pub(super) struct Subscriptions {
    /// The control node sends an end-of-RIB for each subscription, however long that takes.
    marks_ends: bool,
    current: BTreeMap<InstanceName, Subscription>,
    /// The number of subscriptions of this session: the last number.
    made: u64,
}

#[derive(Clone, Copy, Debug)]
struct Subscription {
    network: Uuid,
    /// Among all subscriptions of this session.
    number: u64,
    since: Time,
    /// When a stanza of it arrived last.
    received_at: Time,
    /// All routes that the control node had have arrived.
    complete: bool,
}

impl Subscription {
    /// When it counts as complete without an end: it has been quiet, or has lasted longer than all routes can take.
    fn complete_at(&self) -> Time {
        (self.received_at + QUIET).min(self.since + NEVER_QUIET)
    }
}

/// A subscription that is to be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Added {
    pub(super) instance: InstanceName,
    pub(super) instance_id: u32,
    /// Among all subscriptions of this session.
    pub(super) number: u64,
}

impl Subscriptions {
    /// None yet.
    pub(super) fn new(marks_ends: bool) -> Self {
        Self {
            marks_ends,
            current: BTreeMap::new(),
            made: 0,
        }
    }

    /// Drops the subscriptions that are not desired any more. Returns their instances.
    pub(super) fn drop_undesired(&mut self, desired: &Instances) -> Vec<InstanceName> {
        // Another network of the same name is another instance.
        let is_desired = |instance: &InstanceName, it: &Subscription| {
            let network = desired.of_instance(instance).map(|(network, _)| network);
            network == Some(it.network)
        };
        let dropped = self.current.extract_if(.., |instance, it| !is_desired(instance, it));
        dropped.map(|(instance, _)| instance).collect()
    }

    /// Adds the subscriptions that are desired and missing. Returns them.
    pub(super) fn add_missing(&mut self, now: Time, desired: &Instances) -> Vec<Added> {
        let mut added = Vec::new();
        for (instance, network, instance_id) in desired.subscribed() {
            if self.current.contains_key(instance) {
                continue;
            }
            self.made += 1;
            let number = self.made;
            let subscription = Subscription {
                network,
                number,
                since: now,
                received_at: now,
                complete: false,
            };
            self.current.insert(instance.clone(), subscription);
            let instance = instance.clone();
            added.push(Added {
                instance,
                instance_id,
                number,
            });
        }
        added
    }

    /// A stanza of an instance arrived. Returns its network, if it is subscribed.
    pub(super) fn on_routes(&mut self, now: Time, instance: &InstanceName) -> Option<Uuid> {
        let subscription = self.current.get_mut(instance)?;
        subscription.received_at = now;
        Some(subscription.network)
    }

    /// The end-of-RIB of the subscription with this number arrived. Returns whether the instance is complete now, and was
    /// not before: an earlier subscription of the same instance has another number.
    pub(super) fn on_instance_end_of_rib(&mut self, now: Time, instance: &InstanceName, number: u64) -> bool {
        let Some(subscription) = self.current.get_mut(instance) else {
            return false;
        };
        subscription.received_at = now;
        let is_present = self.marks_ends && subscription.number == number;
        is_present && !std::mem::replace(&mut subscription.complete, true)
    }

    /// The end-of-RIB of the whole session arrived. It holds for the instances that the control node knew of when it
    /// wrote it. A Tandem control node sends one for each subscription instead.
    pub(super) fn on_end_of_rib(&mut self, now: Time) {
        if self.marks_ends {
            return;
        }
        for subscription in self.current.values_mut() {
            subscription.complete |= now.since(subscription.since) >= END_OF_EARLIER;
        }
    }

    /// Takes an instance that has been quiet for long enough for complete, or that is never quiet, unless the control node
    /// marks ends. Returns whether any is complete now that was not before.
    pub(super) fn on_timeout(&mut self, now: Time) -> bool {
        if self.marks_ends {
            return false;
        }
        let open = self.current.values_mut().filter(|it| !it.complete);
        let mut any = false;
        for subscription in open.filter(|it| it.complete_at() <= now) {
            subscription.complete = true;
            any = true;
        }
        any
    }

    /// When an instance will have been quiet, or subscribed, for long enough.
    pub(super) fn quiet_at(&self) -> Option<Time> {
        if self.marks_ends {
            return None;
        }
        let open = self.current.values().filter(|it| !it.complete);
        open.map(Subscription::complete_at).min()
    }

    /// The networks that are subscribed, and whether the routes of each are complete.
    pub(super) fn networks(&self) -> impl Iterator<Item = (Uuid, bool)> {
        self.current.values().map(|it| (it.network, it.complete))
    }

    /// The number of subscribed instances, and of those that are complete.
    pub(super) fn counts(&self) -> (usize, usize) {
        let complete = self.networks().filter(|(_, complete)| *complete);
        (self.current.len(), complete.count())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::configuration::{Configuration, Network, SessionOptions, Switch};
    use crate::ids::Vni;

    const BLUE: &str = "default-domain:default-project:blue:blue";

    /// The network `blue` with this UUID, or none.
    fn desired(blue: Option<u128>) -> Instances {
        let network = |uuid: u32| Network {
            name: "blue".into(),
            vni: Vni::new(5000 + uuid).expect("a VNI"),
            remote_macs: BTreeMap::new(),
        };
        let mut switch = Switch::default();
        let ports = blue.map(|uuid| ("eth1".into(), [(1, Uuid(uuid))].into()));
        switch.ports.extend(ports);
        let configuration = Configuration {
            session: SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST),
            networks: (1..3).map(|uuid| (Uuid(uuid.into()), network(uuid))).collect(),
            switches: [("tor1".into(), switch)].into(),
        };
        Instances::of(&configuration)
    }

    /// Subscribes to what is desired. Returns how many instances were dropped, and the numbers of those that were added.
    fn subscribe(subscriptions: &mut Subscriptions, blue: Option<u128>) -> (usize, Vec<u64>) {
        let desired = desired(blue);
        let dropped = subscriptions.drop_undesired(&desired).len();
        let added = subscriptions.add_missing(Time::ORIGIN, &desired);
        (dropped, added.into_iter().map(|added| added.number).collect())
    }

    fn is_complete(subscriptions: &Subscriptions) -> bool {
        subscriptions.counts() == (1, 1)
    }

    #[test]
    fn an_instance_that_is_left_and_comes_back_has_another_number_and_awaits_another_end() {
        let mut ours = Subscriptions::new(true);
        assert_eq!(subscribe(&mut ours, Some(1)), (0, vec![1]));
        assert_eq!(subscribe(&mut ours, Some(1)), (0, vec![]));
        assert_eq!(subscribe(&mut ours, None), (1, vec![]));
        assert_eq!(subscribe(&mut ours, Some(1)), (0, vec![2]));
        let mut end = |number| ours.on_instance_end_of_rib(Time::ORIGIN, &BLUE.into(), number);
        assert_eq!([1, 2, 2].map(&mut end), [false, true, false]);
        assert!(is_complete(&ours));
    }

    #[test]
    fn another_network_of_the_same_name_is_another_subscription() {
        let mut ours = Subscriptions::new(true);
        subscribe(&mut ours, Some(1));
        assert_eq!(subscribe(&mut ours, Some(2)), (1, vec![2]));
        assert_eq!(ours.on_routes(Time::ORIGIN, &BLUE.into()), Some(Uuid(2)));
    }

    #[test]
    fn a_foreign_instance_is_complete_when_it_has_been_quiet() {
        let mut foreign = Subscriptions::new(false);
        subscribe(&mut foreign, Some(1));
        foreign.on_routes(Time::ORIGIN + END_OF_EARLIER, &BLUE.into());
        let quiet_at = foreign.quiet_at().expect("it is not complete");
        assert_eq!(quiet_at, Time::ORIGIN + END_OF_EARLIER + QUIET);
        assert!(!foreign.on_timeout(Time::ORIGIN + QUIET));
        assert!(foreign.on_timeout(quiet_at) && is_complete(&foreign));
        assert_eq!(foreign.quiet_at(), None);
    }

    #[test]
    fn a_foreign_instance_that_is_never_quiet_is_complete_after_a_bounded_time() {
        let mut foreign = Subscriptions::new(false);
        subscribe(&mut foreign, Some(1));
        let mut now = Time::ORIGIN;
        while now.since(Time::ORIGIN) < NEVER_QUIET - QUIET {
            now = now + QUIET / 2;
            foreign.on_routes(now, &BLUE.into());
            assert!(!foreign.on_timeout(now), "at {now:?}");
        }
        let complete_at = foreign.quiet_at().expect("it is not complete");
        assert_eq!(complete_at, Time::ORIGIN + NEVER_QUIET);
        assert!(foreign.on_timeout(complete_at) && is_complete(&foreign));
    }

    #[test]
    fn the_end_of_rib_of_a_foreign_session_is_too_early_for_a_young_subscription() {
        let mut foreign = Subscriptions::new(false);
        subscribe(&mut foreign, Some(1));
        foreign.on_end_of_rib(Time::ORIGIN);
        assert!(!is_complete(&foreign));
        foreign.on_end_of_rib(Time::ORIGIN + END_OF_EARLIER);
        assert!(is_complete(&foreign));
    }

    #[test]
    fn the_end_of_rib_of_a_foreign_session_counts_right_after_routes() {
        let mut foreign = Subscriptions::new(false);
        subscribe(&mut foreign, Some(1));
        foreign.on_routes(Time::ORIGIN + END_OF_EARLIER, &BLUE.into());
        foreign.on_end_of_rib(Time::ORIGIN + END_OF_EARLIER);
        assert!(is_complete(&foreign));
    }

    #[test]
    fn silence_and_the_end_of_the_session_mean_nothing_of_a_tandem_control_node() {
        let mut ours = Subscriptions::new(true);
        subscribe(&mut ours, Some(1));
        ours.on_end_of_rib(Time::ORIGIN + END_OF_EARLIER);
        assert!(!ours.on_timeout(Time::ORIGIN + QUIET));
        assert_eq!((ours.quiet_at(), ours.counts()), (None, (1, 0)));
    }
}
