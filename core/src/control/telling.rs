//! How clients are told what changed: in turns, a message at a time, and no more than they take.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::best::Source;
use super::client::{ClientName, Subscription, Walk};
use super::event::Event;
use super::routes::Instance;
use super::table::News;
use super::{ControlNode, Output};
use crate::bounds::{CLIENT_QUEUE_BYTES, ITEMS_PER_MESSAGE, LOOKS_PER_STEP, SLOW_CLIENT, UNTOLD_RETRACTS};
use crate::evpn::{InstanceName, Key, Path};
use crate::ids::{ConnId, Mac};
use crate::machine::{CloseWhy, Fault};
use crate::time::Time;
use crate::xmpp::stanza::Stanza;

impl ControlNode {
    /// One step of work. What is left goes on at once.
    pub(super) fn work(&mut self, now: Time) {
        if self.resume.is_none_or(|resume| now < resume) {
            return;
        }
        self.sweep();
        self.spread(now);
        let mut looks = 0;
        while looks < LOOKS_PER_STEP {
            let Some(conn) = self.next_turn() else { break };
            looks += self.tell(now, conn);
        }
        self.worked_at = Some(now);
        let left = !self.leaving.is_empty() || !self.changed.is_empty() || !self.ready.is_empty();
        self.resume = left.then_some(now);
    }

    /// Has clients looked at for whom the time has come.
    pub(super) fn look_at_alarms(&mut self, now: Time) {
        while let Some((at, conn)) = self.alarms.first().copied().filter(|(at, _)| *at <= now) {
            self.alarms.remove(&(at, conn));
            let Some(client) = self.clients.get_mut(&conn) else {
                continue;
            };
            client.alarm = None;
            if client.stuck_since.is_some_and(|since| since + SLOW_CLIENT <= now) {
                let what = format!("it took nothing of a full queue for {} s", SLOW_CLIENT.as_secs());
                self.close(conn, CloseWhy::fault(Fault::PeerMisbehaved, what));
            } else {
                self.refresh(now, conn);
            }
        }
    }

    /// Something about a client changed: whether it is its turn some time, and when to look at it again.
    pub(super) fn refresh(&mut self, now: Time, conn: ConnId) {
        let any_stuck = || self.clients.values().any(|client| client.stuck_since.is_some());
        let held_up = planted!(self, SlowClientDelaysAll) && any_stuck();
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        let full = client.queued_bytes >= CLIENT_QUEUE_BYTES;
        client.stuck_since = client.stuck_since.or(Some(now)).filter(|_| full);
        if !full && !held_up && client.has_news(now) {
            self.ready.insert(conn);
        } else {
            self.ready.remove(&conn);
        }
        let slow = client.stuck_since.map(|since| since + SLOW_CLIENT);
        let quiet = Some(client.quiet_at).filter(|at| client.owes_end_of_rib && now < *at);
        let alarm = [slow, quiet].into_iter().flatten().min();
        if client.alarm != alarm {
            if let Some(at) = client.alarm {
                self.alarms.remove(&(at, conn));
            }
            self.alarms.extend(alarm.map(|at| (at, conn)));
            client.alarm = alarm;
        }
    }

    /// Makes subscribers aware of changes, and forgets what all of them know.
    fn spread(&mut self, now: Time) {
        let mut looks = 0;
        while looks < LOOKS_PER_STEP {
            let Some(name) = self.changed.pop_first() else { return };
            let Some(instance) = self.instances.get_mut(&name) else {
                continue;
            };
            if instance.network.is_none() && instance.subscribers.is_empty() {
                self.instances.remove(&name);
                continue;
            }
            looks += 1 + instance.subscribers.len();
            let members_changed = std::mem::take(&mut instance.members_changed);
            let version = instance.table.version();
            let mut told = BTreeMap::new();
            for conn in &instance.subscribers {
                let Some(client) = self.clients.get_mut(conn) else {
                    continue;
                };
                let Some(subscription) = client.subscriptions.get_mut(&name).filter(|it| !it.no_ribout) else {
                    continue;
                };
                subscription.broadcasts_changed |= members_changed && subscription.has_broadcasts();
                told.insert(*conn, subscription.told);
                if subscription.broadcasts_changed || subscription.told < version {
                    client.pending.insert(name.clone());
                }
            }
            let oldest = told.values().copied().min().unwrap_or(version);
            instance.table.forget(oldest);
            let cut_off = instance.table.gone() > UNTOLD_RETRACTS;
            for (conn, told) in told {
                if cut_off && told == oldest {
                    let what = format!("more than {UNTOLD_RETRACTS} retracts in {name} wait for it");
                    self.close(conn, CloseWhy::fault(Fault::PeerMisbehaved, what));
                } else {
                    self.refresh(now, conn);
                }
            }
        }
    }

    /// Of those who have something to hear, the next after the last.
    fn next_turn(&mut self) -> Option<ConnId> {
        let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.ready.range((after, Bound::Unbounded)).next();
        self.turn = next.or_else(|| self.ready.first()).copied();
        self.turn
    }

    /// Tells a client one thing. Answers how much was looked at.
    fn tell(&mut self, now: Time, conn: ConnId) -> usize {
        let Some(client) = self.clients.get_mut(&conn) else {
            self.ready.remove(&conn);
            return 1;
        };
        let learning = self.learning.is_going_on();
        let mut looks = 1;
        let mut stanzas = Vec::new();
        let mut event = None;
        if let Some(telling) = client.configuration.as_mut().filter(|it| it.has_news()) {
            stanzas.push(Stanza::Configuration(telling.next()));
            event = (!telling.has_news()).then(|| Event::ConfigurationSent {
                client: client.name.clone(),
                revision: self.inventory.revision,
                serves_any: self.inventory.served_by(client.name.as_str()).next().is_some(),
            });
        } else if let Some(mut parting) = client.parting.first_entry() {
            looks += ITEMS_PER_MESSAGE;
            let name = parting.key().clone();
            if tell_parting(&name, parting.get_mut(), &mut stanzas) {
                parting.remove();
            }
        } else if let Some(name) = client.pending.first().cloned() {
            let subscription = client.subscriptions.get_mut(&name).filter(|it| !it.no_ribout);
            if let Some((subscription, instance)) = subscription.zip(self.instances.get(&name)) {
                looks += tell_broadcasts(&name, &client.name, subscription, instance, &mut stanzas);
                let done = tell_routes(&name, subscription, instance, &mut stanzas);
                if done && !learning && instance.network.is_some() && subscription.walk != Walk::Done {
                    subscription.walk = Walk::Done;
                    stanzas.extend(end_of_rib(&name, subscription));
                }
                looks += ITEMS_PER_MESSAGE;
                if done {
                    client.pending.remove(&name);
                }
                // Perhaps it was the last who did not know of these.
                if done && instance.table.gone() > 0 {
                    self.changed.insert(name);
                }
            } else {
                client.pending.remove(&name);
            }
        } else if client.is_end_of_rib_due(now) {
            client.owes_end_of_rib = false;
            stanzas.push(Stanza::EndOfRib);
            let client = client.name.clone();
            event = Some(Event::EndOfRib { client });
        }
        client.queued_bytes += stanzas.iter().map(estimate).sum::<usize>();
        let said = stanzas.into_iter().map(|stanza| Output::Say { conn, stanza });
        self.outputs.extend(said);
        self.outputs.extend(event.map(Output::Event));
        self.refresh(now, conn);
        looks
    }
}

/// Takes back some of what a client was told of subscriptions that are over. Answers whether that is all.
fn tell_parting(name: &InstanceName, parting: &mut BTreeSet<Key>, stanzas: &mut Vec<Stanza>) -> bool {
    let keys = std::iter::from_fn(|| parting.pop_first());
    let keys: Vec<Key> = keys.take(ITEMS_PER_MESSAGE).collect();
    say(name, &[], &keys, stanzas);
    parting.is_empty()
}

/// Tells a client what became of its own broadcast routes. Answers how much was looked at.
fn tell_broadcasts(
    name: &InstanceName,
    client: &ClientName,
    subscription: &mut Subscription,
    instance: &Instance,
    stanzas: &mut Vec<Stanza>,
) -> usize {
    if !std::mem::take(&mut subscription.broadcasts_changed) {
        return 0;
    }
    let source = Source::Client(client.clone());
    let own = subscription.published.keys().filter(|key| key.mac == Mac::BROADCAST);
    let reflected = |key: &Key| Some((*key, instance.members.reflected(*key, &source)?));
    let told: BTreeMap<Key, Path> = own.filter_map(reflected).collect();
    let before = std::mem::replace(&mut subscription.told_broadcasts, told);
    let told = &subscription.told_broadcasts;
    let changed = told.iter().filter(|(key, path)| before.get(*key) != Some(*path));
    let items: Vec<_> = changed.map(|(key, path)| (*key, path.clone())).collect();
    let keys: Vec<_> = before.into_keys().filter(|key| !told.contains_key(key)).collect();
    say(name, &items, &keys, stanzas);
    1 + subscription.broadcasts * instance.members.len() + subscription.published.len() / ITEMS_PER_MESSAGE
}

/// Tells a client some of what changed since it was told last. Answers whether that is all.
fn tell_routes(
    name: &InstanceName,
    subscription: &mut Subscription,
    instance: &Instance,
    stanzas: &mut Vec<Stanza>,
) -> bool {
    let (mut items, mut keys) = (Vec::new(), Vec::new());
    let mut told = subscription.told;
    let mut count = 0;
    for (version, key, news) in instance.table.since(told).take(ITEMS_PER_MESSAGE) {
        (told, count) = (version, count + 1);
        match news {
            News::Item(path) => items.push((key, path)),
            News::Retract => keys.push(key),
            News::Nothing => {}
        }
    }
    let done = count < ITEMS_PER_MESSAGE;
    subscription.told = if done { instance.table.version() } else { told };
    say(name, &items, &keys, stanzas);
    done
}

/// Every route of this instance has been sent. An agent of ours has numbered its subscription, and receives the number
/// once: it need not guess which of its subscriptions is meant, as it must with the end-of-RIB of the whole session, which
/// may have crossed its latest subscription.
fn end_of_rib(instance: &InstanceName, subscription: &mut Subscription) -> Option<Stanza> {
    let subscription = subscription.owes_end.take()?;
    let instance = instance.clone();
    Some(Stanza::InstanceEndOfRib { instance, subscription })
}

fn say(instance: &InstanceName, items: &[(Key, Path)], keys: &[Key], stanzas: &mut Vec<Stanza>) {
    stanzas.extend(items.chunks(ITEMS_PER_MESSAGE).map(|items| Stanza::Items {
        instance: instance.clone(),
        items: items.to_vec(),
    }));
    stanzas.extend(keys.chunks(ITEMS_PER_MESSAGE).map(|keys| Stanza::Retracts {
        instance: instance.clone(),
        keys: keys.to_vec(),
    }));
}

/// Bytes of a stanza on the wire, roughly: the driver says soon how many they are.
fn estimate(stanza: &Stanza) -> usize {
    const HEAD: usize = 200;
    const ENTRY: usize = 1000;
    const NEXT_HOP: usize = 250;
    const RETRACT: usize = 80;
    const OBJECT: usize = 500;
    let hops = |path: &Path| path.next_hops.len() + path.olist.len() + path.leaf_olist.len();
    HEAD + match stanza {
        Stanza::Items { items, .. } => items.iter().map(|(_, path)| ENTRY + NEXT_HOP * hops(path)).sum(),
        Stanza::Retracts { keys, .. } => keys.len() * RETRACT,
        Stanza::Configuration(changes) => changes.len() * OBJECT,
        Stanza::InstanceEndOfRib { .. } => 0,
        Stanza::Subscribe { .. } | Stanza::Unsubscribe { .. } | Stanza::Publish { .. } => 0,
        Stanza::Collection { .. } | Stanza::SubscribeConfiguration { .. } | Stanza::EndOfRib => 0,
        Stanza::Refused { .. } => 0,
    }
}
