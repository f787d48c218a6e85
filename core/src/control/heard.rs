//! What clients say.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ControlNode;
use super::client::{Client, Refusal, Subscription, Walk};
use super::event::Event;
use super::graph::{Telling, subscribed};
use crate::bounds::{DEFERRED_ROUTES, END_OF_RIB_QUIET, ROUTES_PER_CLIENT, SUBSCRIPTIONS_PER_CLIENT};
use crate::evpn::{InstanceName, Key, Path};
use crate::ids::{ConnId, Mac};
use crate::machine::{CloseWhy, Fault};
use crate::text::short;
use crate::time::Time;
use crate::xmpp::stanza::Stanza;

impl ControlNode {
    pub(super) fn heard(&mut self, now: Time, conn: ConnId, stanza: Stanza) {
        if !self.clients.contains_key(&conn) {
            return;
        }
        match stanza {
            Stanza::Subscribe {
                instance,
                instance_id,
                no_ribout,
                number,
            } => {
                let number = number.filter(|_| !no_ribout);
                self.subscribe(now, conn, instance, Subscription::new(instance_id, no_ribout, number));
            }
            Stanza::Unsubscribe { instance } => self.unsubscribe(conn, instance),
            Stanza::Publish { node, route } => self.park(conn, node, route),
            Stanza::Collection {
                instance,
                associate,
                node,
            } => self.collect(conn, instance, associate, &node),
            Stanza::SubscribeConfiguration { kind, name } => self.subscribe_configuration(conn, &kind, &name),
            // Nothing is swept here, so it does not matter when everything has been said.
            Stanza::EndOfRib => {}
            Stanza::Refused { what } => self.refuse(conn, Refusal::Unreadable, what),
            Stanza::Items { .. }
            | Stanza::Retracts { .. }
            | Stanza::InstanceEndOfRib { .. }
            | Stanza::Configuration(_) => {
                self.violation(conn, "a client said what only a control node says");
            }
        }
        self.learn_from(now, None);
        self.refresh(now, conn);
    }

    fn subscribe(&mut self, now: Time, conn: ConnId, name: InstanceName, mut subscription: Subscription) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        if client.subscriptions.contains_key(&name) {
            return self.violation(conn, format!("{} is subscribed already", short(name.as_str())));
        }
        if client.subscriptions.len() >= SUBSCRIPTIONS_PER_CLIENT {
            return self.violation(conn, format!("more than {SUBSCRIPTIONS_PER_CLIENT} subscriptions"));
        }
        let instance = self.instances.entry(name.clone()).or_default();
        instance.subscribers.insert(conn);
        let known = instance.network.is_some();
        let no_ribout = subscription.no_ribout;
        subscription.walk = match (known, no_ribout) {
            (_, true) => Walk::Done,
            (true, false) => Walk::Walking,
            (false, false) => Walk::Unknown,
        };
        client.subscriptions.insert(name.clone(), subscription);
        client.owes_end_of_rib = true;
        client.quiet_at = now + END_OF_RIB_QUIET;
        if !no_ribout {
            client.pending.insert(name.clone());
        }
        let client = client.name.clone();
        self.event(Event::Subscribed {
            client,
            instance: name,
            known,
        });
    }

    fn unsubscribe(&mut self, conn: ConnId, instance: InstanceName) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        let Some(subscription) = client.subscriptions.remove(&instance) else {
            return self.violation(conn, format!("{} was not subscribed", short(instance.as_str())));
        };
        client.routes -= subscription.published.len();
        let instance_told = self.instances.get(&instance).filter(|_| subscription.told > 0);
        let routes = instance_told
            .into_iter()
            .flat_map(|it| it.table.held(subscription.told));
        let told: BTreeSet<Key> = subscription.told_broadcasts.keys().copied().chain(routes).collect();
        if !told.is_empty() {
            // Nothing was told since, if something of an earlier subscription is left to be taken back.
            client.parting.entry(instance.clone()).or_default().extend(told);
        }
        client.pending.remove(&instance);
        let client = client.name.clone();
        self.leave(conn, &client, &instance, subscription);
        self.event(Event::Unsubscribed { client, instance });
    }

    /// A publication counts when its collection follows. One whose collection never came is dropped.
    fn park(&mut self, conn: ConnId, node: Box<str>, route: Box<(Key, Path)>) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        if let Some(earlier) = client.parked.replace((node, route)) {
            self.refuse(conn, Refusal::Unpaired, short(&earlier.0));
        }
    }

    fn collect(&mut self, conn: ConnId, instance: InstanceName, associate: bool, node: &str) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        let parked = client.parked.take();
        let Some((_, route)) = parked.filter(|(parked, _)| **parked == *node) else {
            return self.refuse(conn, Refusal::Unpaired, short(node));
        };
        let (key, path) = *route;
        if !client.subscriptions.contains_key(&instance) {
            let what = format!("{key} was published into {}, which", short(instance.as_str()));
            return self.violation(conn, format!("{what} is not subscribed"));
        }
        if !associate {
            return self.withdraw(conn, &instance, key);
        }
        if let Err(refusal) = check(key, &path).and_then(|()| self.room(conn, &instance, key)) {
            // What it said of this route before is not what it says now.
            self.withdraw(conn, &instance, key);
            return self.refuse(conn, refusal, key.to_string());
        }
        self.publish(conn, instance, key, Arc::new(path));
    }

    /// Whether the client may have one route more.
    fn room(&self, conn: ConnId, instance: &InstanceName, key: Key) -> Result<(), Refusal> {
        let client = self.clients.get(&conn);
        let Some((client, subscription)) = client.and_then(|it| Some((it, it.subscriptions.get(instance)?))) else {
            return Ok(());
        };
        let known = self.instances.get(instance).is_some_and(|it| it.network.is_some());
        if subscription.published.contains_key(&key) {
            Ok(())
        } else if client.routes >= ROUTES_PER_CLIENT {
            Err(Refusal::Routes)
        } else if !known && subscription.published.len() >= DEFERRED_ROUTES {
            Err(Refusal::DeferredRoutes)
        } else {
            Ok(())
        }
    }

    fn subscribe_configuration(&mut self, conn: ConnId, kind: &str, name: &str) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        match subscribed(kind, name) {
            Some(of) if client.configuration.is_none() => {
                let mut telling = Telling::new(of);
                // Before that nobody knows anything, and who is told of nothing deletes what it has.
                if self.is_configured {
                    telling.aim(&self.inventory);
                }
                client.configuration = Some(telling);
            }
            Some(_) | None => self.refuse(conn, Refusal::Configuration, short(&format!("{kind} {name}"))),
        }
    }

    fn refuse(&mut self, conn: ConnId, refusal: Refusal, what: String) {
        if let Some(client) = self.clients.get_mut(&conn) {
            *client.refused.entry(refusal).or_default() += 1;
            let client = client.name.clone();
            self.event(Event::RouteRefused { client, refusal, what });
        }
    }

    /// A client broke the protocol: the session ends.
    fn violation(&mut self, conn: ConnId, what: impl Into<String>) {
        let name = self.clients.get(&conn).map(|Client { name, .. }| short(name.as_str()));
        let what = format!("{}: {}", name.unwrap_or_default(), what.into());
        self.close(conn, CloseWhy::fault(Fault::PeerMisbehaved, what));
    }
}

fn check(key: Key, path: &Path) -> Result<(), Refusal> {
    match path.next_hops.as_slice() {
        _ if key.mac == Mac([0; 6]) => Err(Refusal::NoMac),
        [hop] if hop.address.is_unspecified() => Err(Refusal::UnspecifiedNextHop),
        [_] => Ok(()),
        _ => Err(Refusal::NextHops),
    }
}
