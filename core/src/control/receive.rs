//! Stanzas of clients: each touches the client itself, the routes, or both.

use std::sync::Arc;

use super::ControlNode;
use super::best_path::Source;
use super::client::{Subscription, Walk};
use super::event::Event;
use super::feed::Feed;
use super::graph::{Form, subscribed_client};
use super::publications::{Refusal, check};
use crate::bounds::{INSTANCE_NAME_BYTES, SUBSCRIPTIONS_PER_CLIENT};
use crate::close::{CloseReason, CloseWhy};
use crate::contrail_schema::network_of;
use crate::evpn::{InstanceName, Key, Path};
use crate::ids::ConnId;
use crate::text::short;
use crate::time::Time;
use crate::xmpp::Stanza;

impl ControlNode {
    pub(super) fn on_stanza(&mut self, now: Time, conn: ConnId, stanza: Stanza) {
        if self.clients.get(conn).is_none() {
            return;
        }
        match stanza {
            Stanza::Subscribe {
                instance,
                instance_id,
                no_ribout,
                number,
            } => self.on_subscribe(now, conn, instance, Subscription::new(instance_id, no_ribout, number)),
            Stanza::Unsubscribe { instance } => self.on_unsubscribe(conn, &instance),
            Stanza::Publish { node, route } => self.on_publish(conn, node, route),
            Stanza::Collection {
                instance,
                associate,
                node,
            } => self.on_collection(conn, instance, associate, &node),
            Stanza::SubscribeConfiguration {
                kind,
                name,
                compact,
                in_force,
            } => {
                let form = if compact { Form::Compact } else { Form::Full };
                self.on_subscribe_configuration(conn, &kind, &name, form);
                self.note_in_force(conn, in_force);
            }
            // No routes wait to be swept here, so the end-of-RIB of a client changes nothing.
            Stanza::EndOfRib => {}
            Stanza::Unreadable { what } => self.refuse(conn, Refusal::Unreadable, what),
            Stanza::Items { .. }
            | Stanza::Retracts { .. }
            | Stanza::InstanceEndOfRib { .. }
            | Stanza::Configuration(_) => {
                self.violation(conn, "a client sent what only a control node sends");
            }
        }
        self.graceful_restart.on_activity(now);
        self.schedule(now, conn);
    }

    fn on_subscribe(&mut self, now: Time, conn: ConnId, instance: InstanceName, mut subscription: Subscription) {
        let Some(client) = self.clients.get_mut(conn) else {
            return;
        };
        if client.subscriptions.contains_key(&instance) {
            return self.violation(conn, format!("{} is subscribed already", short(instance.as_str())));
        }
        if client.subscriptions.len() >= SUBSCRIPTIONS_PER_CLIENT {
            let what = format!("more than {SUBSCRIPTIONS_PER_CLIENT} subscriptions");
            return self.reject(conn, CloseReason::BoundExceeded, what);
        }
        if instance.as_str().len() > INSTANCE_NAME_BYTES {
            let what = format!("the name of an instance has more than {INSTANCE_NAME_BYTES} bytes");
            return self.reject(conn, CloseReason::BoundExceeded, what);
        }
        let known = self.rib.subscribe(&instance, conn);
        subscription.walk = match (known, subscription.no_ribout) {
            (_, true) => Walk::Complete,
            (true, false) => Walk::Walking,
            (false, false) => Walk::Unconfigured,
        };
        client.subscribe(now, instance.clone(), subscription);
        let client = client.name.clone();
        self.outputs.event(Event::Subscribed {
            client,
            instance,
            known,
        });
    }

    fn on_unsubscribe(&mut self, conn: ConnId, instance: &InstanceName) {
        let Some(client) = self.clients.get_mut(conn) else {
            return;
        };
        let rib = &self.rib;
        let held = |subscription: &Subscription| rib.held(instance, subscription.sent);
        let Some(subscription) = client.unsubscribe(instance, held) else {
            return self.violation(conn, format!("{} was not subscribed", short(instance.as_str())));
        };
        let client = client.name.clone();
        self.end_subscription(conn, &client, instance, subscription);
        let instance = instance.clone();
        self.outputs.event(Event::Unsubscribed { client, instance });
    }

    /// A subscription is over: what was published in it goes.
    pub(super) fn end_subscription(
        &mut self,
        conn: ConnId,
        client: &super::ClientName,
        instance: &InstanceName,
        subscription: Subscription,
    ) {
        self.rib.unsubscribe(instance, conn);
        if planted!(self, LostClientKept) {
            return;
        }
        let source = Source::Client(client.clone());
        let Subscription {
            published, broadcasts, ..
        } = subscription;
        self.rib.remove_later(&source, instance, published, &broadcasts);
    }

    fn on_publish(&mut self, conn: ConnId, node: Box<str>, route: Box<(Key, Path)>) {
        let client = self.clients.get_mut(conn);
        if let Some(unpaired) = client.and_then(|client| client.publications.park(node, route)) {
            self.refuse(conn, Refusal::Unpaired, short(&unpaired));
        }
    }

    fn on_collection(&mut self, conn: ConnId, instance: InstanceName, associate: bool, node: &str) {
        let Some(client) = self.clients.get_mut(conn) else {
            return;
        };
        let Some((key, path)) = client.publications.pair(node) else {
            return self.refuse(conn, Refusal::Unpaired, short(node));
        };
        if !client.subscriptions.contains_key(&instance) {
            let what = format!("{key} was published into {}, which", short(instance.as_str()));
            return self.violation(conn, format!("{what} is not subscribed"));
        }
        if !associate {
            return self.withdraw(conn, &instance, key);
        }
        let room = || client.room(&instance, self.rib.is_configured(&instance), key, &path);
        if let Err(refusal) = check(key, &path).and_then(|()| room()) {
            // The client does not publish any more what it published of this route before.
            self.withdraw(conn, &instance, key);
            return self.refuse(conn, refusal, key.to_string());
        }
        self.publish(conn, instance, key, path);
    }

    fn publish(&mut self, conn: ConnId, instance: InstanceName, key: Key, mut path: Path) {
        let Some(client) = self.clients.get_mut(conn) else {
            return;
        };
        network_of(&instance).clone_into(&mut path.virtual_network);
        // The control node itself decides who receives a broadcast.
        (path.olist, path.leaf_olist) = (Vec::new(), Vec::new());
        let path = Arc::new(path);
        if client.next_hops.foreign(&key, &path).is_some() {
            self.withdraw(conn, &instance, key);
        }
        let Some(client) = self.clients.get_mut(conn) else {
            return;
        };
        if !client.publish(&instance, key, Arc::clone(&path)) {
            return;
        }
        let client = client.name.clone();
        if self.refuse_foreign(conn, key, &path) {
            return;
        }
        if self.rib.is_configured(&instance) {
            let source = Source::Client(client);
            return self.rib.insert(&instance, key, source, path, &mut self.outputs);
        }
        self.outputs.event(Event::Deferred {
            client,
            instance,
            route: key,
        });
    }

    fn withdraw(&mut self, conn: ConnId, instance: &InstanceName, key: Key) {
        let Some(client) = self.clients.get_mut(conn) else {
            return;
        };
        let Some(path) = client.withdraw(instance, key) else {
            return;
        };
        let source = Source::Client(client.name.clone());
        self.rib.remove(instance, key, &source, &path, &mut self.outputs);
        if planted!(self, RetractionTakesAll) {
            let all = self.rib.get(instance).map(|it| it.paths()).unwrap_or_default();
            for (key, source, path) in all.into_iter().filter(|(it, ..)| *it == key) {
                self.rib.remove(instance, key, &source, &path, &mut self.outputs);
            }
        }
    }

    fn on_subscribe_configuration(&mut self, conn: ConnId, kind: &str, name: &str, form: Form) {
        let Some(client) = self.clients.get_mut(conn) else {
            return;
        };
        match subscribed_client(kind, name) {
            Some(of) if of == client.name.as_str() && client.configuration.is_none() => {
                let mut feed = Feed::new(of, form);
                // Before there is a configuration nothing is sent: a client that received none would delete what it has.
                if self.is_configured {
                    feed.set(&self.inventory);
                }
                client.configuration = Some(feed);
            }
            Some(_) | None => self.refuse(conn, Refusal::Configuration, short(&format!("{kind} {name}"))),
        }
    }

    /// A client has this revision in force: it ignores a lower one.
    fn note_in_force(&mut self, conn: ConnId, in_force: Option<u64>) {
        let Some(client) = self.clients.get_mut(conn) else {
            return;
        };
        client.in_force = in_force;
        let revision = self.inventory.revision;
        if self.is_configured
            && let Some(in_force) = client.ignores(revision)
        {
            let client = client.name.clone();
            self.outputs.event(Event::RevisionIgnored {
                client,
                revision,
                in_force,
            });
        }
    }

    pub(super) fn refuse(&mut self, conn: ConnId, refusal: Refusal, what: String) {
        if let Some(client) = self.clients.get_mut(conn) {
            *client.refused.entry(refusal).or_default() += 1;
            let client = client.name.clone();
            self.outputs.event(Event::RouteRefused { client, refusal, what });
        }
    }

    /// A client broke the protocol: the session ends.
    fn violation(&mut self, conn: ConnId, what: impl Into<String>) {
        self.reject(conn, CloseReason::ProtocolError, what);
    }

    fn reject(&mut self, conn: ConnId, reason: CloseReason, what: impl Into<String>) {
        let name = self.clients.get(conn).map(|client| short(client.name.as_str()));
        let what = format!("{}: {}", name.unwrap_or_default(), what.into());
        self.close(conn, CloseWhy::new(reason, what));
    }
}
