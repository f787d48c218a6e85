//! One of the agent's places for a control node: whom it dials, how that goes, and what was said there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use super::source::Source;
use super::{Output, UplinkId};
use crate::agent::fabric::Unusable;
use crate::bounds::{DOUBT, QUIET, SEND_QUEUE_BYTES, UNUSABLE_NAMED};
use crate::evpn::{InstanceName, Key, Path};
use crate::ids::Uuid;
use crate::status::UplinkStatus;
use crate::time::Time;
use crate::xmpp::stanza::Stanza;

/// How long after subscribing an end-of-RIB may still come that was written before the subscription was read.
const END_OF_EARLIER: std::time::Duration = std::time::Duration::from_secs(5);

/// A place for one control node.
#[derive(Clone, Debug)]
pub(super) struct Uplink {
    pub(super) address: SocketAddr,
    pub(super) state: State,
    /// Dials and sessions that failed since the last that lived.
    pub(super) failures: u32,
    /// The subscriptions of this session.
    pub(super) subscriptions: BTreeMap<InstanceName, Subscription>,
    /// How many subscriptions this session has made: the next number.
    subscribed: u64,
    /// What this session was told by us, so that it can be taken back.
    told: BTreeMap<(InstanceName, Key), Path>,
    /// What may have to be told anew.
    dirty: BTreeSet<(InstanceName, Key)>,
    /// What is to be taken back once everything else was told.
    unwanted: BTreeSet<(InstanceName, Key)>,
    queued_bytes: usize,
    /// What this session told that is of no use.
    unusable: BTreeMap<Unusable, u64>,
}

/// How it stands with a control node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// It is dialled then.
    Waiting {
        until: Time,
    },
    Dialling {
        id: UplinkId,
    },
    /// Both streams are open.
    Up {
        id: UplinkId,
        name: String,
        /// It says itself when everything was told.
        ours: bool,
        since: Time,
    },
}

/// An instance of which we hear.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscription {
    pub(super) network: Uuid,
    /// Among all subscriptions of this session. A control node of ours names it in the end.
    number: u64,
    since: Time,
    /// When something of it was heard last.
    heard: Time,
    /// Everything that was there has been told. One of ours has said so, once and for this subscription.
    pub(super) complete: bool,
}

impl Uplink {
    /// Nothing was tried yet.
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            state: State::Waiting { until: Time::ORIGIN },
            failures: 0,
            subscriptions: BTreeMap::new(),
            subscribed: 0,
            told: BTreeMap::new(),
            dirty: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            queued_bytes: 0,
            unusable: BTreeMap::new(),
        }
    }

    /// The session, if one is open.
    pub(super) fn id(&self) -> Option<UplinkId> {
        match self.state {
            State::Up { id, .. } => Some(id),
            State::Waiting { .. } | State::Dialling { .. } => None,
        }
    }

    /// Whether the session is with a control node that says when everything was told, however long it takes.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.state, State::Up { ours: true, .. })
    }

    /// Whether this is the dial or the session with this number.
    pub(super) fn is(&self, it: UplinkId) -> bool {
        match self.state {
            State::Dialling { id } | State::Up { id, .. } => id == it,
            State::Waiting { .. } => false,
        }
    }

    /// The session is over: nobody remembers what was said.
    pub(super) fn lost(&mut self, until: Time) {
        *self = Self {
            state: State::Waiting { until },
            failures: self.failures + 1,
            ..Self::new(self.address)
        };
    }

    /// The driver has so many bytes that the control node did not take yet.
    pub(super) fn sent(&mut self, queued_bytes: usize) {
        self.queued_bytes = queued_bytes;
    }

    /// Hears of these instances from now on, and of no others.
    pub(super) fn subscribe(
        &mut self,
        now: Time,
        wanted: &BTreeMap<InstanceName, (Uuid, u32)>,
        outputs: &mut VecDeque<Output>,
    ) {
        let Some(id) = self.id() else { return };
        // Another network of the same name is another instance.
        let is_wanted = |instance: &InstanceName, it: &Subscription| {
            let network = wanted.get(instance).map(|(network, _)| *network);
            network == Some(it.network)
        };
        let gone = self
            .subscriptions
            .iter()
            .filter(|(instance, it)| !is_wanted(instance, it));
        let gone: Vec<_> = gone.map(|(instance, _)| instance.clone()).collect();
        for instance in gone {
            let told: Vec<_> = self.told.keys().filter(|(it, _)| *it == instance).cloned().collect();
            for route in told {
                self.say(id, route, None, outputs);
            }
            self.subscriptions.remove(&instance);
            for routes in [&mut self.dirty, &mut self.unwanted] {
                routes.retain(|(it, _)| *it != instance);
            }
            let stanza = Stanza::Unsubscribe { instance };
            outputs.push_back(Output::Say { id, stanza });
        }
        for (instance, (network, instance_id)) in wanted {
            if self.subscriptions.contains_key(instance) {
                continue;
            }
            self.subscribed += 1;
            let number = self.subscribed;
            let subscription = Subscription {
                network: *network,
                number,
                since: now,
                heard: now,
                complete: false,
            };
            self.subscriptions.insert(instance.clone(), subscription);
            let stanza = Stanza::Subscribe {
                instance: instance.clone(),
                instance_id: *instance_id,
                no_ribout: false,
                number: self.is_ours().then_some(number),
            };
            outputs.push_back(Output::Say { id, stanza });
        }
    }

    /// So many routes came of an instance that is not subscribed.
    pub(super) fn not_asked(&mut self, routes: usize) {
        *self.unusable.entry(Unusable::NotAsked).or_default() += routes as u64;
    }

    /// Counts a route that is of no use. Answers whether it is to be named.
    pub(super) fn is_unusable(&mut self, why: Unusable) -> bool {
        let count = self.unusable.entry(why).or_default();
        *count += 1;
        *count <= u64::from(UNUSABLE_NAMED)
    }

    /// Something of an instance was heard. Answers its network, if it is subscribed.
    pub(super) fn heard(&mut self, now: Time, instance: &InstanceName) -> Option<Uuid> {
        let subscription = self.subscriptions.get_mut(instance)?;
        subscription.heard = now;
        Some(subscription.network)
    }

    /// A control node of ours has sent every route in the subscription with this number. Answers whether that completes
    /// the present one: an earlier one of the same instance has another number.
    pub(super) fn on_end_of_rib(&mut self, now: Time, instance: &InstanceName, number: u64) -> bool {
        let is_ours = self.is_ours();
        let Some(subscription) = self.subscriptions.get_mut(instance) else {
            return false;
        };
        subscription.heard = now;
        let is_present = is_ours && subscription.number == number;
        is_present && !std::mem::replace(&mut subscription.complete, true)
    }

    /// Everything was told, of every instance that the control node had heard of when it said so. One of ours has told
    /// the end of each.
    pub(super) fn all_completed(&mut self, now: Time) {
        if self.is_ours() {
            return;
        }
        for subscription in self.subscriptions.values_mut() {
            subscription.complete |= now.since(subscription.since) >= END_OF_EARLIER;
        }
    }

    /// What has been quiet for long enough is complete, unless the control node would say so. Answers whether anything
    /// became so.
    pub(super) fn check_quiet(&mut self, now: Time) -> bool {
        if self.is_ours() {
            return false;
        }
        let open = self.subscriptions.values_mut().filter(|it| !it.complete);
        let mut any = false;
        for subscription in open.filter(|it| now.since(it.heard) >= QUIET) {
            subscription.complete = true;
            any = true;
        }
        any
    }

    /// When something will have been quiet for long enough.
    pub(super) fn quiet_at(&self) -> Option<Time> {
        if self.is_ours() {
            return None;
        }
        let open = self.subscriptions.values().filter(|it| !it.complete);
        open.map(|it| it.heard + QUIET).min()
    }

    /// A route may have to be told, told anew, or taken back.
    pub(super) fn mark(&mut self, instance: &InstanceName, key: Key) {
        if self.id().is_some() {
            self.dirty.insert((instance.clone(), key));
        }
    }

    /// Everything that was told of an instance may have to be told anew or taken back.
    pub(super) fn mark_told(&mut self, instance: &InstanceName) {
        let told = self.told.keys().filter(|(it, _)| it == instance);
        self.dirty.extend(told.cloned());
    }

    /// Whether something is to be told, and may be.
    pub(super) fn has_news(&self) -> bool {
        let news = !self.dirty.is_empty() || !self.unwanted.is_empty();
        self.id().is_some() && news && self.queued_bytes < SEND_QUEUE_BYTES
    }

    /// The name that the control node gave, while a session is open.
    pub(super) fn peer(&self) -> Option<&str> {
        match &self.state {
            State::Up { name, .. } => Some(name),
            State::Waiting { .. } | State::Dialling { .. } => None,
        }
    }

    /// Whether everything has been told, in a session that is as old as news may be late.
    pub(super) fn has_told_all(&self, now: Time) -> bool {
        let all = self.dirty.is_empty() && self.unwanted.is_empty();
        all && matches!(self.state, State::Up { since, .. } if now.since(since) >= DOUBT)
    }

    /// What an operator may want to know.
    pub(super) fn status(&self, source: &Source) -> UplinkStatus {
        let (revision, disagrees) = source.told(self.id());
        UplinkStatus {
            address: self.address,
            name: self.peer().map(str::to_owned),
            configures: source.is(self.id()),
            revision,
            disagrees,
            failures: self.failures,
            instances: self.subscriptions.len(),
            instances_complete: self.subscriptions.values().filter(|it| it.complete).count(),
            routes_told: self.told.len(),
            routes_untold: self.dirty.len() + self.unwanted.len(),
            routes_unusable: self.unusable.clone(),
        }
    }

    /// Brings one route into line with what is wanted of it. What is not wanted any more comes last, so that a MAC whose
    /// route has another key now is nowhere at no time.
    pub(super) fn tell(
        &mut self,
        wanted: impl Fn(&InstanceName, &Key) -> Option<Path>,
        outputs: &mut VecDeque<Output>,
    ) {
        let Some(id) = self.id() else { return };
        let next = self.dirty.pop_first();
        let is_last = next.is_none();
        let Some(route) = next.or_else(|| self.unwanted.pop_first()) else {
            return;
        };
        let wanted = wanted(&route.0, &route.1);
        if wanted.as_ref() == self.told.get(&route) {
            return;
        }
        if wanted.is_none() && !is_last {
            self.unwanted.insert(route);
        } else {
            self.say(id, route, wanted, outputs);
        }
    }

    /// Says a route, or takes it back: its key is all that counts then, but what it was is said once more.
    fn say(&mut self, id: UplinkId, route: (InstanceName, Key), path: Option<Path>, outputs: &mut VecDeque<Output>) {
        let (instance, key) = route.clone();
        let (associate, node) = (path.is_some(), key.node());
        let said = match path {
            Some(path) => {
                self.told.insert(route, path.clone());
                path
            }
            None => self.told.remove(&route).unwrap_or_default(),
        };
        let publish = Stanza::Publish {
            node: node.clone(),
            route: Box::new((key, said)),
        };
        let collection = Stanza::Collection {
            instance,
            associate,
            node,
        };
        outputs.extend([publish, collection].map(|stanza| Output::Say { id, stanza }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Mac, Vni};

    #[test]
    fn what_is_not_wanted_any_more_is_taken_back_last() {
        let mut uplink = Uplink::new((std::net::Ipv4Addr::LOCALHOST, 5269).into());
        uplink.state = State::Up {
            id: UplinkId(1),
            name: "control-1".into(),
            ours: true,
            since: Time::ORIGIN,
        };
        let instance = InstanceName::from("blue");
        let key = |vni: u32, last: u8| Key::of_mac(Vni::new(vni).expect("a VNI"), Mac([2, 0, 0, 0, 0, last]));
        let mut said = |vni: u32, marked: &[Key]| {
            marked.iter().for_each(|key| uplink.mark(&instance, *key));
            let mut outputs = VecDeque::new();
            while uplink.has_news() {
                let wanted = |_: &InstanceName, key: &Key| (key.ethernet_tag == vni).then(Path::default);
                uplink.tell(wanted, &mut outputs);
            }
            let mut collections = Vec::new();
            for output in outputs {
                if let Output::Say {
                    stanza: Stanza::Collection { associate, node, .. },
                    ..
                } = output
                {
                    collections.push((node, associate));
                }
            }
            collections
        };
        let (old, new) = ([key(5000, 1), key(5000, 2)], [key(6000, 1), key(6000, 2)]);
        assert_eq!(said(5000, &old), old.map(|key| (key.node(), true)));
        let expected = [new.map(|key| (key.node(), true)), old.map(|key| (key.node(), false))];
        assert_eq!(said(6000, &[old, new].concat()), expected.concat());
    }
}
