//! The control node against a model that keeps only what clients sent, and computes everything anew.

use proptest::prelude::*;

use super::*;
use crate::bounds::CLIENT_QUEUE_BYTES;
use crate::evpn::PREFERENCE;

/// Acts of clients; an act of an absent client, or one that is done already, has no effect.
#[derive(Clone, Debug)]
enum Act {
    Open(u8),
    Close(u8),
    Subscribe(u8, u8),
    Unsubscribe(u8, u8),
    Publish(u8, u8, Key, Path),
    Withdraw(u8, u8, Key),
    Configure(BTreeSet<u8>),
    Stall(u8),
    Resume(u8),
    Step,
}

/// A client's subscriptions, with its publications in each.
type Session = BTreeMap<u8, BTreeMap<Key, Path>>;

#[derive(Default)]
struct Model {
    configured: BTreeSet<u8>,
    sessions: BTreeMap<u8, (u64, Session)>,
}

impl Model {
    /// The session of a client, and its publications in an instance to which it is subscribed.
    fn published(&mut self, client: u8, number: u8) -> Option<(u64, &mut BTreeMap<Key, Path>)> {
        let (conn, session) = self.sessions.get_mut(&client)?;
        Some((*conn, session.get_mut(&number)?))
    }

    /// The routes that a client should hold.
    fn holds(&self, client: u8) -> BTreeMap<(InstanceName, Key), Path> {
        let (_, session) = &self.sessions[&client];
        let mut holds = BTreeMap::new();
        for number in session.keys().filter(|number| self.configured.contains(number)) {
            let published = self.sessions.iter();
            let published = published.filter_map(|(name, (_, it))| Some((*name, it.get(number)?)));
            let all: Vec<(Key, u8, &Path)> = published
                .flat_map(|(name, paths)| paths.iter().map(move |(key, path)| (*key, name, path)))
                .collect();
            let keys: BTreeSet<Key> = all.iter().map(|(key, ..)| *key).collect();
            for key in keys {
                let sent = match key.mac {
                    Mac::BROADCAST => broadcast(&all, key, client),
                    _ => best(&all, key),
                };
                if let Some(mut path) = sent {
                    path.virtual_network = virtual_network(name(*number));
                    holds.insert((named(*number), key), path);
                }
            }
        }
        holds
    }
}

fn best(all: &[(Key, u8, &Path)], key: Key) -> Option<Path> {
    let rank = |path: &Path| (path.local_preference, !path.etree_leaf, path.sticky, path.sequence);
    let paths: Vec<_> = all.iter().filter(|it| it.0 == key).collect();
    let highest = paths.iter().map(|it| rank(it.2)).max()?;
    let mut equals: Vec<_> = paths.into_iter().filter(|it| rank(it.2) == highest).collect();
    equals.sort_by_key(|it| (it.2.next_hops[0].address, it.1));
    let mut best = equals.first()?.2.clone();
    best.next_hops = equals.iter().flat_map(|it| it.2.next_hops.clone()).collect();
    best.next_hops.dedup();
    Some(finished(best))
}

fn broadcast(all: &[(Key, u8, &Path)], key: Key, client: u8) -> Option<Path> {
    let own = all.iter().find(|it| (it.0, it.1) == (key, client))?.2;
    let others = || {
        all.iter()
            .filter(|it| it.0.mac == Mac::BROADCAST && (it.0, it.1) != (key, client))
    };
    let hop = |it: &(Key, u8, &Path)| it.2.next_hops[0].clone();
    let hops = |set: BTreeSet<NextHop>| set.into_iter().collect::<Vec<_>>();
    let either = |it: &&(Key, u8, &Path)| own.edge_replication_not_supported || it.2.edge_replication_not_supported;
    let olist = hops(
        others()
            .filter(|it| it.2.replicator.is_none())
            .filter(either)
            .map(hop)
            .collect(),
    );
    let mine = |it: &&(Key, u8, &Path)| it.2.replicator == Some(own.next_hops[0].address);
    let leaf_olist = match own.assisted_replication_supported {
        true => hops(others().filter(mine).map(hop).collect()),
        false => Vec::new(),
    };
    if own.replicator.is_some() || (olist.is_empty() && leaf_olist.is_empty()) {
        return None;
    }
    Some(finished(Path {
        next_hops: Vec::new(),
        olist,
        leaf_olist,
        ..own.clone()
    }))
}

fn finished(mut path: Path) -> Path {
    path.med = if path.local_preference == PREFERENCE {
        200
    } else {
        u32::MAX - path.local_preference
    };
    path
}

/// The model and the control node, side by side.
#[derive(Default)]
struct Both {
    model: Model,
    world: World,
    next: u64,
    revision: u64,
    /// The number of each subscription, by session and instance: of the present ones, and of all.
    present: BTreeMap<(u64, u8), u64>,
    all: BTreeMap<(u64, u8), Vec<u64>>,
}

impl Both {
    /// The numbers of the ends that a session has received of an instance.
    fn ends(&self, conn: u64, number: u8) -> Vec<u64> {
        let sent = self.world.stanzas.get(&ConnId(conn)).into_iter().flatten();
        sent.filter_map(|stanza| end_of(number, stanza)).collect()
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Open(client) => {
                // A client that is there already comes back, and its older session ends.
                self.next += 1;
                self.world.open(self.next, &format!("client-{client}"));
                self.model.sessions.insert(client, (self.next, Session::new()));
            }
            Act::Close(client) => {
                if let Some((conn, _)) = self.model.sessions.remove(&client) {
                    self.world.close(conn);
                }
            }
            Act::Subscribe(client, number) => self.subscribe(client, number),
            Act::Unsubscribe(client, number) => self.unsubscribe(client, number),
            Act::Publish(client, number, key, path) => {
                if let Some((conn, published)) = self.model.published(client, number) {
                    published.insert(key, path.clone());
                    self.world.publish(conn, number, key, path);
                }
            }
            Act::Withdraw(client, number, key) => {
                if let Some((conn, published)) = self.model.published(client, number) {
                    published.remove(&key);
                    self.world.withdraw(conn, number, key);
                }
            }
            Act::Configure(numbers) => {
                self.revision += 1;
                let list: Vec<u8> = numbers.iter().copied().collect();
                self.world.handle(Input::Configure(inventory(self.revision, &list)));
                self.model.configured = numbers;
            }
            Act::Stall(client) => self.queue(client, CLIENT_QUEUE_BYTES),
            Act::Resume(client) => self.queue(client, 0),
            Act::Step => {
                if let Some(deadline) = self.world.node.poll_timeout().filter(|it| it.why == Why::MoreWork) {
                    self.world.now = self.world.now.max(deadline.at);
                    self.world.handle(Input::Timeout);
                }
            }
        }
    }

    fn subscribe(&mut self, client: u8, number: u8) {
        if let Some((conn, session)) = self.model.sessions.get_mut(&client)
            && !session.contains_key(&number)
        {
            session.insert(number, BTreeMap::new());
            let subscription = self.world.subscribe(*conn, number);
            self.present.insert((*conn, number), subscription);
            self.all.entry((*conn, number)).or_default().push(subscription);
        }
    }

    fn unsubscribe(&mut self, client: u8, number: u8) {
        if let Some((conn, session)) = self.model.sessions.get_mut(&client)
            && session.remove(&number).is_some()
        {
            self.world.unsubscribe(*conn, number);
            self.present.remove(&(*conn, number));
        }
    }

    /// The number of bytes that wait for a client changed.
    fn queue(&mut self, client: u8, bytes: usize) {
        if let Some((conn, _)) = self.model.sessions.get(&client) {
            self.world.sent(*conn, bytes);
        }
    }
}

fn end_of(number: u8, stanza: &Stanza) -> Option<u64> {
    let Stanza::InstanceEndOfRib { instance, subscription } = stanza else {
        return None;
    };
    (*instance == named(number)).then_some(*subscription)
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let client = 0..4u8;
    let number = 1..4u8;
    let at = (client.clone(), number.clone());
    let key = prop_oneof![
        3 => (1..5u8).prop_map(mac),
        1 => Just(Key::of_broadcast(vni(), Ipv4Addr::UNSPECIFIED)),
        1 => Just(Key::of_broadcast(vni(), address(1))),
    ];
    let preference = prop_oneof![Just(PREFERENCE), Just(1)];
    let replicator = prop_oneof![2 => Just(None), 1 => (1..3u8).prop_map(|it| Some(address(it)))];
    let flags: (_, _, _, _) = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let published = (1..4u8, preference, 0..3u32, replicator, flags);
    let published = published.prop_map(|(hop, local_preference, sequence, replicator, flags)| Path {
        local_preference,
        sequence,
        replicator,
        sticky: flags.0 && flags.1,
        etree_leaf: flags.1 && flags.2,
        assisted_replication_supported: flags.2,
        edge_replication_not_supported: flags.3,
        ..path(hop)
    });
    let act = prop_oneof![
        2 => client.clone().prop_map(Act::Open),
        1 => client.clone().prop_map(Act::Close),
        4 => at.clone().prop_map(|(client, number)| Act::Subscribe(client, number)),
        1 => at.clone().prop_map(|(client, number)| Act::Unsubscribe(client, number)),
        12 => (at.clone(), key.clone(), published)
            .prop_map(|((client, number), key, path)| Act::Publish(client, number, key, path)),
        4 => (at, key).prop_map(|((client, number), key)| Act::Withdraw(client, number, key)),
        1 => prop::collection::btree_set(number, 0..4).prop_map(Act::Configure),
        1 => client.clone().prop_map(Act::Stall),
        1 => client.prop_map(Act::Resume),
        6 => Just(Act::Step),
    ];
    prop::collection::vec(act, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn at_rest_every_subscriber_holds_the_routes_of_the_model(acts in acts()) {
        let mut both = Both::default();
        both.act(Act::Configure(BTreeSet::from([1, 2])));
        (0..4).for_each(|client| both.act(Act::Open(client)));
        acts.into_iter().for_each(|act| both.act(act));
        (0..4).for_each(|client| both.act(Act::Resume(client)));
        both.world.run_to_rest();
        for (client, (conn, session)) in &both.model.sessions {
            let held = both.world.held.get(&ConnId(*conn)).cloned().unwrap_or_default();
            prop_assert_eq!(held, both.model.holds(*client), "client {} at {}", client, conn);
            for number in 1..4 {
                let ends = both.ends(*conn, number);
                prop_assert!(ends.is_sorted_by(|one, next| one < next), "no subscription has two ends: {:?}", ends);
                let all = both.all.get(&(*conn, number)).cloned().unwrap_or_default();
                prop_assert!(ends.iter().all(|it| all.contains(it)), "{:?} of {:?}", ends, all);
                let present = both.present.get(&(*conn, number)).filter(|_| both.model.configured.contains(&number));
                prop_assert!(
                    present.is_none_or(|present| ends.last() == Some(present)),
                    "client {} waits for the end of {}", client, number
                );
            }
            let last = both.world.stanzas.get(&ConnId(*conn)).and_then(|received| received.iter().rposition(is_end_of_rib));
            let known = session.keys().all(|number| both.model.configured.contains(number));
            prop_assert!(last.is_some() || !known || session.is_empty(), "client {} waits for the end", client);
        }
    }
}

fn is_end_of_rib(stanza: &Stanza) -> bool {
    *stanza == Stanza::EndOfRib
}
