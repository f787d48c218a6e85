//! The next messages to a client: its configuration first, then retracts of ended subscriptions, then the routes of one
//! instance, and at last the end-of-RIB of the session.

use std::collections::{BTreeMap, BTreeSet};

use super::best_path::Source;
use super::client::{Client, Subscription, Walk};
use super::client_name::ClientName;
use super::event::Event;
use super::instance::Instance;
use super::inventory::Inventory;
use super::rib::Rib;
use super::table::Delta;
use crate::bounds::ITEMS_PER_MESSAGE;
use crate::evpn::{InstanceName, Key, Path};
use crate::time::Time;
use crate::xmpp::Stanza;

/// The messages of a client's turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) stanzas: Vec<Stanza>,
    pub(super) event: Option<Event>,
    /// Its cost: the number of objects looked at.
    pub(super) looks: usize,
    /// The client has received every change of this instance. It may have been the last.
    pub(super) caught_up: Option<InstanceName>,
}

/// The state that turns read.
pub(super) struct View<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) rib: &'a Rib,
    /// Graceful restart: what is not known yet may still be published.
    pub(super) is_restarting: bool,
}

/// The next turn of a client.
pub(super) fn next_turn(now: Time, client: &mut Client, view: &View<'_>) -> Turn {
    let mut turn = Turn {
        looks: 1,
        ..Turn::default()
    };
    if client.configuration.as_ref().is_some_and(|feed| feed.has_unsent()) {
        send_configuration(client, view.inventory, &mut turn);
    } else if !client.unsubscribing.is_empty() {
        retract_unsubscribed(client, &mut turn);
    } else if let Some(name) = client.pending.first().cloned() {
        send_routes(client, name, view, &mut turn);
    } else if client.is_end_of_rib_due(now) {
        client.owes_end_of_rib = false;
        turn.stanzas.push(Stanza::EndOfRib);
        let client = client.name.clone();
        turn.event = Some(Event::EndOfRib { client });
    }
    client.queue.bytes += turn.stanzas.iter().map(estimate).sum::<usize>();
    turn
}

fn send_configuration(client: &mut Client, inventory: &Inventory, turn: &mut Turn) {
    let Some(feed) = &mut client.configuration else { return };
    turn.stanzas.push(Stanza::Configuration(feed.next_message()));
    turn.event = (!feed.has_unsent()).then(|| Event::ConfigurationSent {
        client: client.name.clone(),
        revision: inventory.revision,
        serves_any: inventory.served_by(client.name.as_str()).next().is_some(),
    });
}

/// Some of what a client holds of subscriptions that are over.
fn retract_unsubscribed(client: &mut Client, turn: &mut Turn) {
    let Some(mut held) = client.unsubscribing.first_entry() else {
        return;
    };
    turn.looks += ITEMS_PER_MESSAGE;
    let name = held.key().clone();
    let keys = take_first(held.get_mut(), ITEMS_PER_MESSAGE);
    if held.get().is_empty() {
        held.remove();
    }
    push_routes(&name, &[], &keys, &mut turn.stanzas);
}

/// Some of what changed in an instance since the client was sent something of it last.
fn send_routes(client: &mut Client, name: InstanceName, view: &View<'_>, turn: &mut Turn) {
    let subscription = client.subscriptions.get_mut(&name).filter(|it| !it.no_ribout);
    let Some((subscription, instance)) = subscription.zip(view.rib.get(&name)) else {
        return client.pending.unmark(&name);
    };
    turn.looks += send_broadcasts(&name, &client.name, subscription, instance, &mut turn.stanzas);
    let is_done = send_unicast(&name, subscription, instance, &mut turn.stanzas);
    turn.looks += ITEMS_PER_MESSAGE;
    if !is_done {
        return;
    }
    if !view.is_restarting && instance.network.is_some() && subscription.walk != Walk::Complete {
        subscription.walk = Walk::Complete;
        turn.stanzas.extend(end_of_rib(&name, subscription));
    }
    client.pending.unmark(&name);
    turn.caught_up = Some(name).filter(|_| instance.table.gone() > 0);
}

/// The client's own broadcast routes, with the list of members that each is to copy to. Answers how much was looked at.
fn send_broadcasts(
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
    let own = subscription.broadcasts.iter();
    let reflected = |key: &Key| Some((*key, instance.members.reflected(*key, &source)?));
    let sent: BTreeMap<Key, Path> = own.filter_map(reflected).collect();
    let before = std::mem::replace(&mut subscription.sent_broadcasts, sent);
    let sent = &subscription.sent_broadcasts;
    let changed = sent.iter().filter(|(key, path)| before.get(*key) != Some(*path));
    let items: Vec<_> = changed.map(|(key, path)| (*key, path.clone())).collect();
    let keys: Vec<_> = before.into_keys().filter(|key| !sent.contains_key(key)).collect();
    push_routes(name, &items, &keys, stanzas);
    1 + subscription.broadcasts.len() * instance.members.len()
}

/// Unicast routes that changed. Answers whether these are all.
fn send_unicast(
    name: &InstanceName,
    subscription: &mut Subscription,
    instance: &Instance,
    stanzas: &mut Vec<Stanza>,
) -> bool {
    let (mut items, mut keys) = (Vec::new(), Vec::new());
    let mut sent = subscription.sent;
    let mut count = 0;
    for (version, key, delta) in instance.table.since(sent).take(ITEMS_PER_MESSAGE) {
        (sent, count) = (version, count + 1);
        match delta {
            Delta::Item(path) => items.push((key, path)),
            Delta::Retract => keys.push(key),
            Delta::Nothing => {}
        }
    }
    let is_done = count < ITEMS_PER_MESSAGE;
    subscription.sent = if is_done { instance.table.version() } else { sent };
    push_routes(name, &items, &keys, stanzas);
    is_done
}

/// Every route of this instance has been sent. An agent of ours has numbered its subscription, and receives the number
/// once: it need not guess which of its subscriptions is meant, as it must with the end-of-RIB of the whole session, which
/// may have crossed its latest subscription.
fn end_of_rib(instance: &InstanceName, subscription: &mut Subscription) -> Option<Stanza> {
    let subscription = subscription.owes_end.take()?;
    let instance = instance.clone();
    Some(Stanza::InstanceEndOfRib { instance, subscription })
}

fn take_first(keys: &mut BTreeSet<Key>, at_most: usize) -> Vec<Key> {
    std::iter::from_fn(|| keys.pop_first()).take(at_most).collect()
}

fn push_routes(instance: &InstanceName, items: &[(Key, Path)], keys: &[Key], stanzas: &mut Vec<Stanza>) {
    stanzas.extend(items.chunks(ITEMS_PER_MESSAGE).map(|items| Stanza::Items {
        instance: instance.clone(),
        items: items.to_vec(),
    }));
    stanzas.extend(keys.chunks(ITEMS_PER_MESSAGE).map(|keys| Stanza::Retracts {
        instance: instance.clone(),
        keys: keys.to_vec(),
    }));
}

/// Bytes of a stanza on the wire, roughly: the driver reports soon how many they are.
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
        Stanza::InstanceEndOfRib { .. } | Stanza::EndOfRib => 0,
        Stanza::Subscribe { .. } | Stanza::Unsubscribe { .. } | Stanza::Publish { .. } => 0,
        Stanza::Collection { .. } | Stanza::SubscribeConfiguration { .. } => 0,
        Stanza::Unreadable { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use super::*;
    use crate::configuration::Network;
    use crate::control::outputs::Outputs;
    use crate::evpn::NextHop;
    use crate::ids::{ConnId, Mac, Uuid, Vni};

    const CONN: ConnId = ConnId(1);

    fn vni() -> Vni {
        Vni::new(101).expect("a VNI")
    }

    fn key(number: usize) -> Key {
        let number = u8::try_from(number).expect("few");
        Key::of_mac(vni(), Mac([2, 0, 0, 0, 0, number]))
    }

    /// A client that has subscribed to `blue`, in which there are so many routes.
    fn subscribed(routes: usize) -> (Client, Rib) {
        let hop = Ipv4Addr::new(192, 0, 2, 1);
        let network = Network {
            name: "blue".into(),
            vni: vni(),
            remote_macs: (1..=routes).map(|number| (key(number).mac, hop)).collect(),
        };
        let mut rib = Rib::default();
        rib.configure_instance(&blue(), Uuid(1));
        rib.configure_statics(&blue(), &network, &mut Outputs::default());
        rib.subscribe(&blue(), CONN);
        let mut client = Client::new(Time::ORIGIN, "agent-a".into(), (Ipv4Addr::LOCALHOST, 1).into());
        client.subscribe(Time::ORIGIN, blue(), Subscription::new(1, false, Some(7)));
        (client, rib)
    }

    fn blue() -> InstanceName {
        "d:p:blue:blue".into()
    }

    fn turn(client: &mut Client, rib: &Rib, is_restarting: bool) -> Vec<Stanza> {
        let inventory = Inventory::default();
        let view = View {
            inventory: &inventory,
            rib,
            is_restarting,
        };
        next_turn(Time::ORIGIN + crate::bounds::END_OF_RIB_QUIET, client, &view).stanzas
    }

    #[test]
    fn routes_come_a_message_a_turn_then_the_end_of_the_instance_then_that_of_the_session() {
        let (mut client, rib) = subscribed(ITEMS_PER_MESSAGE + 1);
        let turns: Vec<_> = (0..4).map(|_| turn(&mut client, &rib, false)).collect();
        assert!(matches!(&turns[0][..], [Stanza::Items { items, .. }] if items.len() == ITEMS_PER_MESSAGE));
        let end = Stanza::InstanceEndOfRib {
            instance: blue(),
            subscription: 7,
        };
        assert!(matches!(&turns[1][..], [Stanza::Items { items, .. }, last] if items.len() == 1 && *last == end));
        assert_eq!(turns[2], [Stanza::EndOfRib]);
        assert_eq!(turns[3], []);
        assert!(
            client.queue.bytes > 33 * 1000,
            "what is sent counts until the driver reports"
        );
    }

    #[test]
    fn no_end_is_sent_during_graceful_restart_or_before_the_instance_is_configured() {
        let (mut client, rib) = subscribed(0);
        assert_eq!(turn(&mut client, &rib, true), []);
        client.mark_walking();
        assert_eq!(
            turn(&mut client, &rib, true),
            [],
            "the instance was not configured when it subscribed"
        );
        client.on_instance_configured(Time::ORIGIN, &blue());
        turn(&mut client, &rib, true);
        client.mark_walking();
        let [Stanza::InstanceEndOfRib { .. }] = turn(&mut client, &rib, false)[..] else {
            panic!("graceful restart is over");
        };
    }

    #[test]
    fn retracts_of_an_ended_subscription_come_first() {
        let (mut client, rib) = subscribed(1);
        client.unsubscribing.insert("d:p:red:red".into(), [key(1)].into());
        let stanzas = turn(&mut client, &rib, false);
        assert!(matches!(&stanzas[..], [Stanza::Retracts { .. }]), "{stanzas:?}");
        assert!(client.unsubscribing.is_empty());
        assert!(matches!(turn(&mut client, &rib, false)[..], [Stanza::Items { .. }, _]));
    }

    #[test]
    fn a_route_of_its_own_broadcast_is_sent_when_the_members_changed() {
        let (mut client, mut rib) = subscribed(0);
        let own = Key::of_broadcast(vni(), Ipv4Addr::UNSPECIFIED);
        let member = |last, edge| {
            Arc::new(Path {
                next_hops: vec![NextHop::vxlan(Ipv4Addr::new(192, 0, 2, last), vni())],
                edge_replication_not_supported: edge,
                ..Path::default()
            })
        };
        for (name, path) in [("agent-a", member(1, true)), ("agent-b", member(2, false))] {
            rib.insert(&blue(), own, Source::Client(name.into()), path, &mut Outputs::default());
        }
        client.publish(&blue(), own, member(1, true));
        turn(&mut client, &rib, false);
        let subscription = client.subscriptions.get_mut(&blue()).expect("subscribed");
        subscription.broadcasts_changed = true;
        client.pending.mark(blue());
        let stanzas = turn(&mut client, &rib, false);
        let [Stanza::Items { items, .. }] = &stanzas[..] else {
            panic!("{stanzas:?}");
        };
        assert_eq!(items[0].1.olist.len(), 1);
    }
}
