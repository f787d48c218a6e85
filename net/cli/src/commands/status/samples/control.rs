//! Made-up states of control nodes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use tandem_core::CloseCounts;
use tandem_core::control::{
    ClientName, ClientStatus, ControlStatus, NetworkStatus, PathStatus, Refusal, RouteStatus, Source,
    SubscriptionStatus, SwitchStatus,
};
use tandem_core::evpn::Key;
use tandem_core::ids::{ConnId, Mac, Uuid, Vni};

const BLUE: &str = "default-domain:default-project:blue:blue";
const RED: &str = "d:p:red:red";

/// Three switches: one that is owned, one without an owner, one with two owners in one of its networks. One agent of
/// the two that serve them is there, and one services node.
pub(crate) fn busy() -> ControlStatus {
    let vni = Vni::new(5001).expect("a VNI");
    let mac = |last| Key::of_mac(vni, Mac([2, 0, 0, 0, 0, last]));
    let backup = path("agent-b", 1, 0, Some("local preference 1 < 100"));
    let routes = vec![
        route(mac(1), vec![path("agent-a", 100, 3, None), backup]),
        route(mac(2), vec![static_path()]),
    ];
    let broadcast = PathStatus {
        replicator: Some(Ipv4Addr::new(10, 0, 0, 11)),
        ..path("agent-a", 100, 0, None)
    };
    let blue = NetworkStatus {
        network: Some(Uuid(1)),
        subscribers: 2,
        routes_total: 502,
        routes,
        broadcasts: vec![route(Key::of_broadcast(vni, [10, 0, 1, 1].into()), vec![broadcast])],
    };
    let red = NetworkStatus {
        network: Some(Uuid(2)),
        subscribers: 1,
        routes_total: 0,
        routes: Vec::new(),
        broadcasts: Vec::new(),
    };
    let waiting = NetworkStatus {
        network: None,
        ..red.clone()
    };
    let switches = [
        ("tor1", switch(1, &[(10, 1)], &[(1, &["agent-a"])])),
        ("tor2", switch(2, &[(0, 1)], &[(1, &[])])),
        (
            "tor3",
            switch(
                3,
                &[(10, 1), (20, 2)],
                &[(1, &["agent-a"]), (2, &["agent-a", "agent-b"])],
            ),
        ),
        ("tor4", switch(4, &[], &[])),
    ];
    ControlStatus {
        revision: 7,
        clients: BTreeMap::from([("agent-a".into(), agent()), ("tsn-a".into(), services_node())]),
        networks: BTreeMap::from([
            (BLUE.into(), blue),
            (RED.into(), red),
            ("d:p:green:green".into(), waiting),
        ]),
        switches: switches.map(|(name, switch)| (name.into(), switch)).into(),
        closed: CloseCounts::default(),
    }
}

/// A control node that was never configured.
pub(crate) fn idle() -> ControlStatus {
    ControlStatus {
        revision: 0,
        clients: BTreeMap::new(),
        networks: BTreeMap::new(),
        switches: BTreeMap::new(),
        closed: CloseCounts::default(),
    }
}

fn agent() -> ClientStatus {
    let subscription = |published, complete| SubscriptionStatus {
        instance_id: 5001,
        no_ribout: false,
        complete,
        published,
    };
    ClientStatus {
        conn: ConnId(1),
        address: ([10, 0, 0, 11], 40001).into(),
        queued_bytes: 0,
        routes: 502,
        refused: BTreeMap::from([(Refusal::NoMac, 3), (Refusal::ForeignNextHop, 1)]),
        foreign_next_hops: [[10, 0, 9, 9].into()].into(),
        identities: vec!["agent-a".into()],
        configured: Some(true),
        ignores_for: None,
        subscriptions: BTreeMap::from([
            (BLUE.into(), subscription(502, true)),
            (RED.into(), subscription(0, false)),
        ]),
        subscriptions_total: 102,
    }
}

fn services_node() -> ClientStatus {
    ClientStatus {
        conn: ConnId(2),
        address: ([10, 0, 0, 21], 40002).into(),
        queued_bytes: 1234,
        routes: 0,
        refused: BTreeMap::new(),
        foreign_next_hops: [].into(),
        identities: vec!["tsn-a".into()],
        configured: None,
        ignores_for: None,
        subscriptions: BTreeMap::from([(
            BLUE.into(),
            SubscriptionStatus {
                instance_id: 1,
                no_ribout: true,
                complete: false,
                published: 0,
            },
        )]),
        subscriptions_total: 1,
    }
}

fn switch(number: u8, vlans: &[(u16, u128)], owners: &[(u128, &[&str])]) -> SwitchStatus {
    let clients = |names: &[&str]| names.iter().map(|name| ClientName::from(*name)).collect();
    let vlans: BTreeMap<_, _> = vlans.iter().map(|(vlan, network)| (*vlan, Uuid(*network))).collect();
    SwitchStatus {
        vtep: Some([10, 0, 1, number].into()),
        agents: clients(&["agent-a", "agent-b"]),
        tsns: clients(&["tsn-a"]),
        ports: BTreeMap::from([("eth1".into(), vlans)]),
        fingerprint: format!("812d249470fb7c9{number}"),
        elsewhere: BTreeMap::new(),
        owners: owners
            .iter()
            .map(|(network, names)| (Uuid(*network), clients(names)))
            .collect(),
    }
}

fn route(route: Key, paths: Vec<PathStatus>) -> RouteStatus {
    RouteStatus { route, paths }
}

fn path(from: &str, local_preference: u32, sequence: u32, why_not: Option<&str>) -> PathStatus {
    PathStatus {
        source: Source::Client(from.into()),
        next_hops: vec![[10, 0, 1, 1].into()],
        local_preference,
        sequence,
        sticky: false,
        replicator: None,
        why_not: why_not.map(str::to_owned),
    }
}

fn static_path() -> PathStatus {
    PathStatus {
        source: Source::Static,
        next_hops: vec![[10, 0, 9, 1].into()],
        sticky: true,
        ..path("", 100, 0, None)
    }
}
