//! A network that goes and comes back: what the control node said before it knew must not be taken for what it says now.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::agent::uplinks::{Input, Options, Output, UplinkId, Uplinks};
use tandem_core::bounds::INSTANCES_LEFT;
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::evpn::{InstanceName, Key, NextHop, Path};
use tandem_core::machine::{CloseReason, CloseWhy};
use tandem_core::xmpp::stanza::Stanza;
use tandem_core::{Mac, Machine, Time, Uuid, Vni};

const BLUE: Uuid = Uuid(1);
const ANOTHER_BLUE: Uuid = Uuid(2);
const VTEP: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
/// Longer than anything is thought to be on its way.
const LATE: Duration = Duration::from_secs(60);

/// An agent that has a session with a control node of ours.
struct Agent {
    uplinks: Uplinks,
    session: UplinkId,
    now: Time,
    said: Vec<Stanza>,
    closed: Vec<String>,
}

impl Agent {
    fn new() -> Self {
        let options = Options {
            nodes: vec![([10, 0, 0, 5], 5269).into()],
            session: options(),
            stale_hold: None,
            seed: 1,
        };
        let mut agent = Self {
            uplinks: Uplinks::new(options),
            session: UplinkId(0),
            now: Time::ORIGIN,
            said: Vec::new(),
            closed: Vec::new(),
        };
        agent.configure(&[BLUE]);
        agent.open(true);
        agent
    }

    fn open(&mut self, ours: bool) {
        self.hear(Input::Opened {
            id: self.session,
            name: "control-1".into(),
            ours,
        });
    }

    fn hear(&mut self, input: Input) {
        self.uplinks.handle(self.now, input);
        while let Some(output) = self.uplinks.poll_output() {
            match output {
                Output::Dial { id, .. } => self.session = id,
                Output::Say { stanza, .. } => self.said.push(stanza),
                Output::Close { why, .. } => self.closed.push(why.to_string()),
                _ => {}
            }
        }
    }

    /// The first networks are all called `blue`.
    fn configure(&mut self, networks: &[Uuid]) {
        let network = |network: &Uuid| Network {
            name: name(network),
            vni: vni(),
            remote_macs: BTreeMap::new(),
        };
        let mut switch = Switch::default();
        let ports = networks
            .iter()
            .map(|it| (format!("eth{}", it.0).into(), [(10, *it)].into()));
        switch.ports.extend(ports);
        let configuration = Configuration {
            session: options(),
            networks: networks.iter().map(|it| (*it, network(it))).collect(),
            switches: [("tor1".into(), switch)].into(),
        };
        self.hear(Input::Configured(Arc::new(configuration)));
    }

    /// Routes, and their end.
    fn told_of(&mut self, macs: &[Mac]) {
        let path = Path {
            next_hops: vec![NextHop::vxlan(VTEP, vni())],
            ..Path::default()
        };
        let items = macs.iter().map(|mac| (key(*mac), path.clone())).collect::<Vec<_>>();
        for items in [items, Vec::new()] {
            self.heard(Stanza::Items {
                instance: blue(),
                items,
            });
        }
    }

    fn heard(&mut self, stanza: Stanza) {
        let id = self.session;
        self.hear(Input::Heard { id, stanza });
    }

    fn passes(&mut self, span: Duration) {
        self.now = self.now + span;
        self.hear(Input::Timeout);
    }
}

fn name(network: &Uuid) -> String {
    match *network {
        BLUE | ANOTHER_BLUE => "blue".into(),
        Uuid(number) => format!("network-{number}"),
    }
}

fn options() -> SessionOptions {
    SessionOptions::new("agent-a", [10, 0, 0, 11].into())
}

fn blue() -> InstanceName {
    InstanceName::from("default-domain:default-project:blue:blue")
}

fn vni() -> Vni {
    Vni::new(5001).expect("a VNI")
}

fn key(mac: Mac) -> Key {
    Key::of_mac(vni(), mac)
}

#[test]
fn what_was_said_before_a_network_was_left_does_not_settle_it_however_late_it_comes() {
    let mut agent = Agent::new();
    agent.configure(&[]);
    agent.configure(&[BLUE]);
    agent.configure(&[]);
    agent.configure(&[BLUE]);
    for _ in 0..2 {
        agent.passes(LATE);
        agent.told_of(&[MAC]);
        agent.heard(Stanza::EndOfRib);
        assert!(!agent.uplinks.is_settled(BLUE), "this is of a subscription before");
        agent.heard(Stanza::Retracts {
            instance: blue(),
            keys: vec![key(MAC)],
        });
        assert!(!agent.uplinks.is_settled(BLUE), "nothing may be deleted for that");
    }
    agent.told_of(&[MAC]);
    assert!(agent.uplinks.is_settled(BLUE));
    assert_eq!(agent.uplinks.vtep(BLUE, MAC), Some(VTEP));
}

#[test]
fn the_end_of_a_network_that_was_left_is_heard_also_while_it_is_away() {
    let mut agent = Agent::new();
    agent.configure(&[]);
    agent.told_of(&[MAC]);
    agent.configure(&[BLUE]);
    assert!(!agent.uplinks.is_settled(BLUE));
    agent.told_of(&[MAC]);
    assert!(agent.uplinks.is_settled(BLUE));
}

#[test]
fn a_network_whose_end_was_heard_is_settled_by_the_next() {
    let mut agent = Agent::new();
    agent.told_of(&[MAC]);
    assert!(agent.uplinks.is_settled(BLUE));
    agent.configure(&[]);
    agent.configure(&[BLUE]);
    assert!(!agent.uplinks.is_settled(BLUE));
    agent.told_of(&[MAC]);
    assert!(agent.uplinks.is_settled(BLUE));
}

#[test]
fn a_new_session_owes_no_ends() {
    let mut agent = Agent::new();
    agent.configure(&[]);
    let why = CloseWhy::new(CloseReason::PeerClosed, "it is over");
    agent.hear(Input::Closed { id: agent.session, why });
    agent.configure(&[BLUE]);
    agent.passes(LATE);
    agent.open(true);
    agent.told_of(&[MAC]);
    assert!(agent.uplinks.is_settled(BLUE));
}

#[test]
fn another_network_of_the_same_name_is_subscribed_anew() {
    let mut agent = Agent::new();
    agent.told_of(&[MAC]);
    agent.said.clear();
    agent.configure(&[ANOTHER_BLUE]);
    let words = agent.said.iter().filter_map(|stanza| match stanza {
        Stanza::Unsubscribe { .. } => Some("unsubscribe"),
        Stanza::Subscribe { .. } => Some("subscribe"),
        _ => None,
    });
    assert_eq!(words.collect::<Vec<_>>(), ["unsubscribe", "subscribe"]);
    agent.told_of(&[MAC]);
    assert!(agent.uplinks.is_settled(ANOTHER_BLUE));
    assert_eq!(agent.uplinks.vtep(ANOTHER_BLUE, MAC), Some(VTEP));
    assert_eq!(agent.uplinks.vtep(BLUE, MAC), None);
}

#[test]
fn no_item_at_all_means_nothing_where_a_control_node_is_not_ours() {
    let mut agent = Agent::new();
    let why = CloseWhy::new(CloseReason::PeerClosed, "it is over");
    agent.hear(Input::Closed { id: agent.session, why });
    agent.passes(LATE);
    agent.open(false);
    agent.told_of(&[MAC]);
    assert!(!agent.uplinks.is_settled(BLUE));
    agent.passes(LATE);
    assert!(agent.uplinks.is_settled(BLUE), "but silence does");
}

#[test]
fn a_control_node_that_never_tells_an_end_is_left() {
    let mut agent = Agent::new();
    let many: Vec<Uuid> = (0..=INSTANCES_LEFT as u128).map(|number| Uuid(10 + number)).collect();
    agent.configure(&many);
    assert_eq!(agent.closed, Vec::<String>::new());
    agent.configure(&[BLUE]);
    insta::assert_snapshot!(agent.closed.join("\n"), @"it has not told the end of more than 32768 instances that were unsubscribed (the peer misbehaved)");
}
