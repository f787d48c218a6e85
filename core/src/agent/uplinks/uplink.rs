//! A session with one control node: what it is subscribed to, and what it was sent.

use std::collections::{BTreeMap, VecDeque};

use super::instances::Instances;
use super::rib_out::RibOut;
use super::subscriptions::Subscriptions;
use super::{Output, UplinkId};
use crate::bounds::{SEND_QUEUE_BYTES, UNUSABLE_NAMED, WITHDRAWAL_SKEW};
use crate::evpn::{InstanceName, Key, Path, Unusable};
use crate::time::Time;
use crate::xmpp::Stanza;

/// A session whose streams are both open.
#[derive(Clone, Debug)]
pub(super) struct Uplink {
    id: UplinkId,
    name: String,
    /// It is a Tandem control node.
    ours: bool,
    since: Time,
    subscriptions: Subscriptions,
    rib_out: RibOut,
    /// Bytes that wait in the driver.
    queued_bytes: usize,
    /// Routes of this session that are of no use.
    unusable: BTreeMap<Unusable, u64>,
}

impl Uplink {
    /// A session that has just been opened.
    pub(super) fn new(now: Time, id: UplinkId, name: String, ours: bool) -> Self {
        Self {
            id,
            name,
            ours,
            since: now,
            subscriptions: Subscriptions::new(ours),
            rib_out: RibOut::default(),
            queued_bytes: 0,
            unusable: BTreeMap::new(),
        }
    }

    /// Which session it is.
    pub(super) fn id(&self) -> UplinkId {
        self.id
    }

    /// The name that the control node gave.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a Tandem control node.
    pub(super) fn is_ours(&self) -> bool {
        self.ours
    }

    /// When the session was opened.
    pub(super) fn since(&self) -> Time {
        self.since
    }

    /// The subscribed networks, and which of them are complete.
    pub(super) fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// The same, to record what arrives.
    pub(super) fn subscriptions_mut(&mut self) -> &mut Subscriptions {
        &mut self.subscriptions
    }

    /// The routes that the control node was sent.
    pub(super) fn rib_out(&self) -> &RibOut {
        &self.rib_out
    }

    /// The same, to mark what may have changed.
    pub(super) fn rib_out_mut(&mut self) -> &mut RibOut {
        &mut self.rib_out
    }

    /// The number of unusable routes, by reason.
    pub(super) fn unusable(&self) -> &BTreeMap<Unusable, u64> {
        &self.unusable
    }

    /// Brings the subscriptions into line with the instances that are desired. Returns the instances that are new.
    pub(super) fn subscribe(
        &mut self,
        now: Time,
        desired: &Instances,
        outputs: &mut VecDeque<Output>,
    ) -> Vec<InstanceName> {
        let id = self.id;
        for instance in self.subscriptions.drop_undesired(desired) {
            // The end of the subscription removes our routes at a Tandem control node, a bounded number in each of its steps.
            if !self.ours {
                self.rib_out.withdraw_instance(id, &instance, outputs);
            }
            self.rib_out.forget_instance(&instance);
            let stanza = Stanza::Unsubscribe { instance };
            outputs.push_back(Output::SendStanza { id, stanza });
        }
        let mut new = Vec::new();
        for added in self.subscriptions.add_missing(now, desired) {
            new.push(added.instance.clone());
            let stanza = Stanza::Subscribe {
                instance: added.instance,
                instance_id: added.instance_id,
                no_ribout: false,
                number: self.ours.then_some(added.number),
            };
            outputs.push_back(Output::SendStanza { id, stanza });
        }
        new
    }

    /// The number of bytes in the driver changed.
    pub(super) fn on_sent(&mut self, queued_bytes: usize) {
        self.queued_bytes = queued_bytes;
    }

    /// Routes of an instance that is not subscribed arrived.
    pub(super) fn on_unsubscribed_routes(&mut self, routes: usize) {
        *self.unusable.entry(Unusable::NotAsked).or_default() += routes as u64;
    }

    /// A route of no use arrived. Returns whether it is among the first of its kind, which are named.
    pub(super) fn on_unusable(&mut self, why: Unusable) -> bool {
        let count = self.unusable.entry(why).or_default();
        *count += 1;
        *count <= u64::from(UNUSABLE_NAMED)
    }

    /// Whether a route is marked, and may be sent.
    pub(super) fn can_publish(&self) -> bool {
        !self.rib_out.is_clean() && self.queued_bytes < SEND_QUEUE_BYTES
    }

    /// Sends a bounded number of the routes that are marked; `all_marked`: no more of them are about to be.
    pub(super) fn publish(
        &mut self,
        at_most: usize,
        all_marked: bool,
        desired: impl Fn(&InstanceName, &Key) -> Option<Path>,
        outputs: &mut VecDeque<Output>,
    ) {
        if self.can_publish() {
            self.rib_out.publish(self.id, (at_most, all_marked), desired, outputs);
        }
    }

    /// Whether everything has been sent, in a session that is older than the news of a route may be late.
    pub(super) fn has_sent_all(&self, now: Time) -> bool {
        self.rib_out.is_clean() && now.since(self.since) >= WITHDRAWAL_SKEW
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Mac, Vni};

    fn uplink() -> Uplink {
        Uplink::new(Time::ORIGIN, UplinkId(1), "control-1".into(), true)
    }

    fn mark(uplink: &mut Uplink, routes: u8) {
        for last in 0..routes {
            let key = Key::of_mac(Vni::new(5000).expect("a VNI"), Mac([2, 0, 0, 0, 0, last]));
            uplink.rib_out_mut().mark(&"blue".into(), key);
        }
    }

    /// Publishes, and returns how many routes were sent.
    fn publish(uplink: &mut Uplink, at_most: usize) -> usize {
        let mut outputs = VecDeque::new();
        uplink.publish(at_most, true, |_, _| Some(Path::default()), &mut outputs);
        outputs.len() / 2
    }

    #[test]
    fn a_step_sends_a_bounded_number_of_routes() {
        let mut uplink = uplink();
        mark(&mut uplink, 5);
        assert_eq!([2, 2, 2].map(|at_most| publish(&mut uplink, at_most)), [2, 2, 1]);
        assert!(!uplink.can_publish());
    }

    #[test]
    fn nothing_is_sent_while_the_driver_has_too_much() {
        let mut uplink = uplink();
        mark(&mut uplink, 1);
        uplink.on_sent(SEND_QUEUE_BYTES);
        assert_eq!(publish(&mut uplink, 1), 0);
        uplink.on_sent(SEND_QUEUE_BYTES - 1);
        assert_eq!(publish(&mut uplink, 1), 1);
    }

    #[test]
    fn a_young_session_has_not_sent_all() {
        let uplink = uplink();
        assert!(!uplink.has_sent_all(Time::ORIGIN));
        assert!(uplink.has_sent_all(Time::ORIGIN + WITHDRAWAL_SKEW));
    }

    #[test]
    fn of_the_routes_of_no_use_the_first_of_each_kind_are_named() {
        let mut uplink = uplink();
        let named = (0..UNUSABLE_NAMED + 5)
            .filter(|_| uplink.on_unusable(Unusable::Group))
            .count();
        assert_eq!(named, UNUSABLE_NAMED as usize);
        assert!(uplink.on_unusable(Unusable::NoVxlan));
        assert_eq!(uplink.unusable()[&Unusable::Group], u64::from(UNUSABLE_NAMED) + 5);
    }
}
