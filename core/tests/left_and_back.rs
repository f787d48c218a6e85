//! A network that goes and comes back: what the control node said before it knew must not be taken for what it says now.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::agent::uplinks::{Input, Options, Output, UplinkId, Uplinks};
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::evpn::{InstanceName, Key, NextHop, Path};
use tandem_core::xmpp::stanza::Stanza;
use tandem_core::{Mac, Machine, Time, Uuid, Vni};

const BLUE: Uuid = Uuid(1);
const ANOTHER_BLUE: Uuid = Uuid(2);
const VTEP: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
/// As long as what was said before may be on its way.
const LATE: Duration = Duration::from_secs(5);

/// An agent that has a session with a control node of ours.
struct Agent {
    uplinks: Uplinks,
    session: UplinkId,
    now: Time,
    said: Vec<Stanza>,
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
        };
        agent.configure(&[BLUE]);
        agent.hear(Input::Opened {
            id: agent.session,
            name: "control-1".into(),
            ours: true,
        });
        agent
    }

    fn hear(&mut self, input: Input) {
        self.uplinks.handle(self.now, input);
        while let Some(output) = self.uplinks.poll_output() {
            match output {
                Output::Dial { id, .. } => self.session = id,
                Output::Say { stanza, .. } => self.said.push(stanza),
                _ => {}
            }
        }
    }

    /// Each of these networks is called `blue`.
    fn configure(&mut self, networks: &[Uuid]) {
        let network = |_: &Uuid| Network {
            name: "blue".into(),
            vni: vni(),
            remote_macs: BTreeMap::new(),
        };
        let mut switch = Switch::default();
        let ports = networks.iter().map(|it| ("eth1".into(), [(10, *it)].into()));
        switch.ports.extend(ports);
        let configuration = Configuration {
            session: options(),
            networks: networks.iter().map(|it| (*it, network(it))).collect(),
            switches: [("tor1".into(), switch)].into(),
        };
        self.hear(Input::Configured(Arc::new(configuration)));
    }

    /// Routes, and that they are all.
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
fn what_was_said_before_a_network_was_left_does_not_settle_it_when_it_is_back() {
    let mut agent = Agent::new();
    agent.configure(&[]);
    agent.configure(&[BLUE]);
    agent.told_of(&[MAC]);
    assert!(
        !agent.uplinks.is_settled(BLUE),
        "this may be of the subscription before"
    );
    agent.heard(Stanza::Retracts {
        instance: blue(),
        keys: vec![key(MAC)],
    });
    assert!(!agent.uplinks.is_settled(BLUE), "nothing may be deleted for that");
    agent.told_of(&[MAC]);
    agent.passes(LATE);
    assert!(agent.uplinks.is_settled(BLUE));
    assert_eq!(agent.uplinks.vtep(BLUE, MAC), Some(VTEP));
}

#[test]
fn a_network_that_comes_back_later_is_settled_as_soon_as_all_was_told() {
    let mut agent = Agent::new();
    agent.told_of(&[MAC]);
    assert!(agent.uplinks.is_settled(BLUE));
    agent.configure(&[]);
    agent.passes(LATE);
    agent.configure(&[BLUE]);
    assert!(!agent.uplinks.is_settled(BLUE));
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
    agent.passes(LATE);
    assert!(agent.uplinks.is_settled(ANOTHER_BLUE));
    assert_eq!(agent.uplinks.vtep(ANOTHER_BLUE, MAC), Some(VTEP));
    assert_eq!(agent.uplinks.vtep(BLUE, MAC), None);
}
