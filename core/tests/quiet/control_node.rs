//! The control node: random histories of clients and of the inventory.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tandem_core::configuration::{Network, Switch};
use tandem_core::contrail_schema::{instance, virtual_network};
use tandem_core::control::{self, Access, ControlNode, Inventory, ServedSwitch};
use tandem_core::evpn::{Key, NextHop, Path};
use tandem_core::xmpp::Stanza;
use tandem_core::{CloseReason, CloseWhy, ConnId, Mac, Machine, Time, Uuid};

use crate::{BLUE, LONG, SLACK, VTEPS, lines, macs, more, vni};

/// What clients of a control node do, named by their numbers; routes are named by their group.
#[derive(Clone, Copy, Debug)]
enum Act {
    Open {
        client: u64,
    },
    Close {
        client: u64,
    },
    Subscribe {
        client: u64,
        network: usize,
    },
    Unsubscribe {
        client: u64,
        network: usize,
    },
    Publish {
        client: u64,
        network: usize,
        group: u8,
        vtep: usize,
    },
    Withdraw {
        client: u64,
        network: usize,
        group: u8,
    },
    Half {
        client: u64,
        group: u8,
    },
    Stuck {
        client: u64,
    },
    Configure {
        networks: usize,
    },
    Pass {
        seconds: u64,
    },
}

fn act() -> impl Strategy<Value = Act> {
    use Act::*;
    let (client, network, group) = (0..3u64, 0..3usize, 0..6u8);
    prop_oneof![
        3 => client.clone().prop_map(|client| Open { client }),
        1 => client.clone().prop_map(|client| Close { client }),
        4 => (client.clone(), network.clone()).prop_map(|(client, network)| Subscribe { client, network }),
        1 => (client.clone(), network.clone()).prop_map(|(client, network)| Unsubscribe { client, network }),
        6 => (client.clone(), network.clone(), group.clone(), 0..3usize)
            .prop_map(|(client, network, group, vtep)| Publish { client, network, group, vtep }),
        2 => (client.clone(), network, group.clone())
            .prop_map(|(client, network, group)| Withdraw { client, network, group }),
        1 => (client.clone(), group).prop_map(|(client, group)| Half { client, group }),
        1 => client.prop_map(|client| Stuck { client }),
        1 => (0..3usize).prop_map(|networks| Configure { networks }),
        2 => (0..60u64).prop_map(|seconds| Pass { seconds }),
    ]
}

const NAMES: [&str; 3] = ["blue", "red", "green"];

/// A control node, and its open connections.
struct Node {
    node: ControlNode,
    now: Time,
    conns: BTreeMap<u64, ConnId>,
    opened: u64,
    revision: u64,
}

impl Node {
    fn new() -> Self {
        let mut node = Self {
            node: ControlNode::new(),
            now: Time::ORIGIN,
            conns: BTreeMap::new(),
            opened: 0,
            revision: 0,
        };
        node.configure(2);
        node
    }

    fn handle(&mut self, input: control::Input) {
        self.node.handle(self.now, input);
        while let Some(output) = self.node.poll_output() {
            if let control::Output::Close { conn, .. } = output {
                self.conns.retain(|_, open| *open != conn);
            }
        }
    }

    /// The first of the networks are configured, and a switch that two clients serve.
    fn configure(&mut self, networks: usize) {
        self.revision += 1;
        let network = |name: &str| Network {
            name: name.into(),
            vni: vni(),
            remote_macs: BTreeMap::new(),
        };
        let named = (1..).map(Uuid).zip(NAMES).take(networks);
        let switch = Switch {
            vtep: Some(VTEPS[0]),
            ports: [("eth1".into(), [(10, BLUE)].into())].into(),
            ..Switch::default()
        };
        let served = ServedSwitch {
            switch,
            agents: vec!["client-0".into(), "client-1".into()],
            tsns: Vec::new(),
        };
        self.handle(control::Input::Configure(Arc::new(Inventory {
            revision: self.revision,
            networks: named.map(|(uuid, name)| (uuid, network(name))).collect(),
            switches: [("tor0".into(), served)].into(),
            access: Access::default(),
        })));
    }

    fn pass(&mut self, until: Time) {
        while let Some(due) = self.node.poll_timeout().filter(|due| due.at <= until) {
            self.now = self.now.max(due.at);
            self.handle(control::Input::Timeout);
        }
        self.now = until;
    }

    fn send(&mut self, client: u64, stanza: Stanza) {
        if let Some(conn) = self.conns.get(&client).copied() {
            self.handle(control::Input::Stanza { conn, stanza });
        }
    }

    fn publish(&mut self, client: u64, network: usize, (group, vtep): (u8, usize), associate: bool) {
        let broadcast = Key::of_broadcast(vni(), VTEPS[vtep]);
        for key in macs(group).map(|mac| Key::of_mac(vni(), mac)).chain([broadcast]) {
            let path = Path {
                next_hops: vec![NextHop::vxlan(VTEPS[vtep], vni())],
                ..Path::default()
            };
            let (node, route) = (key.node(), Box::new((key, path)));
            self.send(
                client,
                Stanza::Publish {
                    node: node.clone(),
                    route,
                },
            );
            let instance = instance(&virtual_network(NAMES[network]));
            self.send(
                client,
                Stanza::Collection {
                    instance,
                    associate,
                    node,
                },
            );
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Open { client } => {
                self.opened += 1;
                let conn = ConnId(self.opened);
                self.conns.insert(client, conn);
                self.handle(control::Input::Opened {
                    conn,
                    name: format!("client-{client}").as_str().into(),
                    address: (Ipv4Addr::LOCALHOST, 1).into(),
                    certificate: None,
                });
            }
            Act::Close { client } => {
                if let Some(conn) = self.conns.remove(&client) {
                    let why = CloseWhy::new(CloseReason::PeerClosed, "it is over");
                    self.handle(control::Input::Closed { conn, why });
                }
            }
            Act::Subscribe { client, network } => self.send(
                client,
                Stanza::Subscribe {
                    instance: instance(&virtual_network(NAMES[network])),
                    instance_id: 1,
                    no_ribout: false,
                    number: Some(1),
                },
            ),
            Act::Unsubscribe { client, network } => self.send(
                client,
                Stanza::Unsubscribe {
                    instance: instance(&virtual_network(NAMES[network])),
                },
            ),
            Act::Publish {
                client,
                network,
                group,
                vtep,
            } => self.publish(client, network, (group, vtep), true),
            Act::Withdraw { client, network, group } => self.publish(client, network, (group, 0), false),
            Act::Half { client, group } => {
                let key = Key::of_mac(vni(), Mac([2, 0, 0, 0, 9, group]));
                let (node, route) = (key.node(), Box::new((key, Path::default())));
                self.send(client, Stanza::Publish { node, route });
            }
            Act::Stuck { client } => {
                if let Some(conn) = self.conns.get(&client).copied() {
                    let queued_bytes = usize::MAX / 2;
                    self.handle(control::Input::Sent { conn, queued_bytes });
                }
            }
            Act::Configure { networks } => self.configure(networks),
            Act::Pass { seconds } => self.pass(self.now + Duration::from_secs(seconds)),
        }
    }

    /// Every client was here, and is gone.
    fn end_every_session(&mut self) {
        self.configure(2);
        for client in 0..3 {
            self.act(Act::Open { client });
            self.act(Act::Subscribe { client, network: 0 });
            self.pass(self.now + LONG);
            self.act(Act::Close { client });
        }
        self.pass(self.now + LONG);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_quiet_control_node_returns_to_its_size(acts in proptest::collection::vec(act(), 1..60)) {
        let [mut used, mut fresh] = [Node::new(), Node::new()];
        for act in acts {
            used.act(act);
        }
        used.end_every_session();
        fresh.end_every_session();
        let sizes = [lines(&used.node), lines(&fresh.node)];
        prop_assert!(sizes[0] <= sizes[1] + SLACK, "{sizes:?}\n{}", more(&used.node, &fresh.node));
    }
}
