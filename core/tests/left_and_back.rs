//! A network that is unsubscribed and subscribed again: the end-of-RIB of an earlier subscription must not count for the
//! present one.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::agent::uplinks::{Input, Options, Output, UplinkId, Uplinks};
use tandem_core::bounds::QUIET;
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::evpn::{InstanceName, Key, NextHop, Path};
use tandem_core::machine::{CloseReason, CloseWhy};
use tandem_core::xmpp::Stanza;
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
    sent: Vec<Stanza>,
}

impl Agent {
    fn new() -> Self {
        let options = Options {
            nodes: vec![([10, 0, 0, 5], 5269).into()],
            certificates: Vec::new(),
            session: options(),
            stale_hold: None,
            seed: 1,
        };
        let mut agent = Self {
            uplinks: Uplinks::new(options),
            session: UplinkId(0),
            now: Time::ORIGIN,
            sent: Vec::new(),
        };
        agent.configure(&[BLUE]);
        agent.open(true);
        agent
    }

    fn open(&mut self, ours: bool) {
        self.handle(Input::Opened {
            id: self.session,
            name: "control-1".into(),
            ours,
            certificate: None,
        });
    }

    fn handle(&mut self, input: Input) {
        self.uplinks.handle(self.now, input);
        while let Some(output) = self.uplinks.poll_output() {
            match output {
                Output::Dial { id, .. } => self.session = id,
                Output::SendStanza { stanza, .. } => self.sent.push(stanza),
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
        self.handle(Input::Configured(Arc::new(configuration)));
    }

    /// The numbers of all subscriptions, the last one last.
    fn numbers(&self) -> Vec<Option<u64>> {
        let numbers = self.sent.iter().filter_map(|stanza| match stanza {
            Stanza::Subscribe { number, .. } => Some(*number),
            _ => None,
        });
        numbers.collect()
    }

    fn last_number(&self) -> u64 {
        let last = self.numbers().last().copied().flatten();
        last.expect("a numbered subscription")
    }

    fn receive_route(&mut self) {
        let path = Path {
            next_hops: vec![NextHop::vxlan(VTEP, vni())],
            ..Path::default()
        };
        self.receive(Stanza::Items {
            instance: blue(),
            items: vec![(key(MAC), path)],
        });
    }

    fn receive_end(&mut self, subscription: u64) {
        let instance = blue();
        self.receive(Stanza::InstanceEndOfRib { instance, subscription });
    }

    fn is_complete(&self) -> bool {
        self.uplinks.is_complete(BLUE)
    }

    fn receive(&mut self, stanza: Stanza) {
        let id = self.session;
        self.handle(Input::Received { id, stanza });
    }

    fn close(&mut self) {
        let (id, why) = (self.session, CloseWhy::new(CloseReason::PeerClosed, "it is over"));
        self.handle(Input::Closed { id, why });
    }

    fn passes(&mut self, span: Duration) {
        self.now = self.now + span;
        self.handle(Input::Timeout);
    }
}

fn name(network: &Uuid) -> String {
    match *network {
        BLUE | ANOTHER_BLUE => "blue".into(),
        Uuid(number) => panic!("network {number} has no name"),
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
fn the_end_of_an_earlier_subscription_completes_nothing_however_late_it_comes() {
    let mut agent = Agent::new();
    let mut earlier = vec![agent.last_number()];
    for _ in 0..2 {
        agent.configure(&[]);
        agent.configure(&[BLUE]);
        earlier.push(agent.last_number());
    }
    let present = earlier.pop().expect("the present one");
    for number in earlier {
        agent.passes(LATE);
        agent.receive_route();
        agent.receive_end(number);
        agent.receive(Stanza::EndOfRib);
        assert!(!agent.is_complete());
        agent.receive(Stanza::Retracts {
            instance: blue(),
            keys: vec![key(MAC)],
        });
        assert!(!agent.is_complete(), "nothing may be deleted yet");
    }
    agent.receive_route();
    agent.receive_end(present);
    assert!(agent.is_complete());
    assert_eq!(agent.uplinks.vtep(BLUE, MAC), Some(VTEP));
}

#[test]
fn the_present_subscription_is_complete_although_earlier_ends_never_come() {
    let mut agent = Agent::new();
    agent.configure(&[]);
    agent.configure(&[BLUE]);
    agent.receive_route();
    agent.receive_end(agent.last_number());
    assert!(agent.is_complete());
}

#[test]
fn a_network_that_was_complete_is_complete_again_only_with_the_end_of_its_next_subscription() {
    let mut agent = Agent::new();
    let first = agent.last_number();
    agent.receive_route();
    agent.receive_end(first);
    assert!(agent.is_complete());
    agent.configure(&[]);
    agent.receive_end(first);
    agent.configure(&[BLUE]);
    agent.receive_end(first);
    assert!(!agent.is_complete());
    agent.receive_end(agent.last_number());
    assert!(agent.is_complete());
}

#[test]
fn numbers_grow_within_a_session_and_begin_anew_with_the_next() {
    let mut agent = Agent::new();
    agent.configure(&[]);
    agent.configure(&[BLUE]);
    agent.close();
    agent.passes(LATE);
    agent.open(true);
    assert_eq!(agent.numbers(), [Some(1), Some(2), Some(1)]);
    agent.receive_end(2);
    assert!(!agent.is_complete(), "this was a subscription of the session before");
    agent.receive_end(1);
    assert!(agent.is_complete());
}

#[test]
fn another_network_of_the_same_name_is_subscribed_anew() {
    let mut agent = Agent::new();
    let first = agent.last_number();
    agent.receive_route();
    agent.receive_end(first);
    agent.sent.clear();
    agent.configure(&[ANOTHER_BLUE]);
    let words = agent.sent.iter().filter_map(|stanza| match stanza {
        Stanza::Unsubscribe { .. } => Some("unsubscribe"),
        Stanza::Subscribe { .. } => Some("subscribe"),
        _ => None,
    });
    assert_eq!(words.collect::<Vec<_>>(), ["unsubscribe", "subscribe"]);
    agent.receive_route();
    agent.receive_end(first);
    assert!(!agent.uplinks.is_complete(ANOTHER_BLUE));
    agent.receive_end(agent.last_number());
    assert!(agent.uplinks.is_complete(ANOTHER_BLUE));
    assert_eq!(agent.uplinks.vtep(ANOTHER_BLUE, MAC), Some(VTEP));
    assert_eq!(agent.uplinks.vtep(BLUE, MAC), None);
}

/// A control node of another version or make is sent no number, and its ends are not those of ours: the end-of-RIB of the
/// session counts, or silence.
#[test]
fn a_control_node_of_another_version_is_trusted_only_when_it_is_quiet() {
    let mut agent = Agent::new();
    agent.close();
    agent.passes(LATE);
    agent.open(false);
    assert_eq!(agent.numbers().last(), Some(&None));
    agent.receive_route();
    agent.receive(Stanza::Items {
        instance: blue(),
        items: Vec::new(),
    });
    agent.receive_end(1);
    agent.passes(QUIET / 2);
    assert!(!agent.is_complete());
    agent.receive_route();
    agent.passes(QUIET - Duration::from_secs(1));
    assert!(!agent.is_complete(), "it sent a route since");
    agent.passes(Duration::from_secs(1));
    assert!(agent.is_complete());
}

#[test]
fn the_end_of_rib_of_a_control_node_of_another_version_completes_every_instance() {
    let mut agent = Agent::new();
    agent.close();
    agent.passes(LATE);
    agent.open(false);
    agent.passes(QUIET / 2);
    agent.receive(Stanza::EndOfRib);
    assert!(agent.is_complete());
}
