//! What an agent and a control node of the previous version sent each other, to the byte, and the file that the agent kept:
//! the other end may be of this version. `docs/src/compatibility.md` has the rules.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::agent::uplinks::{self, Options, UplinkId, Uplinks};
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::control::{self, Access, ControlNode, Inventory, ServedSwitch};
use tandem_core::evpn::InstanceName;
use tandem_core::remembered::Remembered;
use tandem_core::status::UplinkStatus;
use tandem_core::xmpp::Stanza;
use tandem_core::xmpp::stream::{self, Event, Role, Stream, StreamOptions};
use tandem_core::{ConnId, Mac, Machine, Time, Uuid, Vni};

/// The bytes that the agent `agent-a` sent, from its opening to its end. It serves `tor1` and `tor2`, and drained once.
const AGENT: &str = include_str!("previous/agent.xml");

/// The bytes that the control node `control-1` sent meanwhile.
const CONTROL_NODE: &str = include_str!("previous/control.xml");

/// The configuration that the agent kept on disk.
const REMEMBERED: &[u8] = include_bytes!("previous/remembered-configuration");

const BLUE: Uuid = Uuid(0x6f1c_0d0e_0000_4000_8000_0000_0000_0001);
const INSTANCE: &str = "default-domain:default-project:blue:blue";
const CONN: ConnId = ConnId(1);
const NAMESPACE: &str = "\"urn:tandem:2\"";

/// The same conversation with extensions of another version, and with none. What an end adds is in its namespace.
fn with_other_extensions(recorded: &str) -> [String; 2] {
    assert!(recorded.contains(NAMESPACE), "it has extensions");
    ["\"urn:tandem:3\"", "\"urn:another:1\""].map(|other| recorded.replace(NAMESPACE, other))
}

/// Before the stream ends.
fn open(recorded: &str) -> &str {
    recorded.strip_suffix("</stream:stream>").expect("an orderly end")
}

/// One end of a stream without TLS, which receives what the other end sent. Returns what that means to it.
struct End {
    stream: Stream,
    sent: String,
}

impl End {
    fn new(role: Role, name: &str) -> Self {
        let stream = Stream::new(Time::ORIGIN, StreamOptions::new(role, name, false));
        let sent = String::new();
        let mut end = Self { stream, sent };
        assert_eq!(end.drain(), []);
        end
    }

    fn handle(&mut self, input: stream::Input) -> Vec<Event> {
        self.stream.handle(Time::ORIGIN, input);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(output) = self.stream.poll_output() {
            match output {
                stream::Output::Send(bytes) => self.sent.push_str(&String::from_utf8(bytes).expect("text")),
                stream::Output::Event(event) => events.push(event),
                stream::Output::StartTls | stream::Output::Close(_) => panic!("{output:?}"),
            }
        }
        events
    }

    fn receive(&mut self, bytes: &str) -> Vec<Event> {
        let mut events = self.handle(stream::Input::Bytes(bytes.into()));
        while self
            .stream
            .poll_timeout()
            .is_some_and(|due| due.why == stream::Why::MoreWork)
        {
            events.extend(self.handle(stream::Input::Timeout));
        }
        events
    }
}

fn network() -> Network {
    Network {
        name: "blue".into(),
        vni: Vni::new(5001).expect("a VNI"),
        remote_macs: BTreeMap::from([(mac(0xaa), Ipv4Addr::new(10, 0, 9, 1))]),
    }
}

fn mac(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, last])
}

fn switches() -> BTreeMap<&'static str, Switch> {
    let switch = |last, vlan| Switch {
        vtep: Some(Ipv4Addr::new(10, 0, 1, last)),
        ports: BTreeMap::from([("eth1".into(), BTreeMap::from([(vlan, BLUE)]))]),
        ..Switch::default()
    };
    BTreeMap::from([("tor1", switch(1, 10)), ("tor2", switch(2, 20))])
}

fn inventory() -> Inventory {
    let served = |(name, switch): (&str, Switch)| {
        let served = ServedSwitch {
            switch,
            agents: vec!["agent-a".into()],
            tsns: Vec::new(),
        };
        (name.into(), served)
    };
    Inventory {
        revision: 7,
        networks: BTreeMap::from([(BLUE, network())]),
        switches: switches().into_iter().map(served).collect(),
        access: Access::default(),
    }
}

/// A control node of this version, and its end of the stream.
struct Served {
    node: ControlNode,
    now: Time,
    end: End,
}

impl Served {
    /// After an agent sent these bytes.
    fn after(bytes: &str) -> Self {
        let mut served = Self {
            node: ControlNode::new(),
            now: Time::ORIGIN,
            end: End::new(Role::Server, "control-1"),
        };
        served.handle(control::Input::Configure(Arc::new(inventory())));
        for event in served.end.receive(bytes) {
            let conn = CONN;
            served.handle(match event {
                Event::Opened { peer, .. } => control::Input::Opened {
                    conn,
                    name: (*peer).into(),
                    address: (Ipv4Addr::LOCALHOST, 5000).into(),
                    certificate: None,
                },
                Event::Received(stanza) => control::Input::Stanza { conn, stanza },
                Event::Ended { why } => panic!("{why}"),
            });
        }
        while let Some(due) = served.node.poll_timeout() {
            served.now = served.now.max(due.at);
            served.handle(control::Input::Timeout);
        }
        served
    }

    fn handle(&mut self, input: control::Input) {
        self.node.handle(self.now, input);
        while let Some(output) = self.node.poll_output() {
            match output {
                control::Output::Send { stanza, .. } => {
                    assert_eq!(self.end.handle(stream::Input::Send(stanza)), []);
                }
                control::Output::Close { why, .. } => panic!("{why}"),
                control::Output::Event(_) => {}
            }
        }
    }
}

#[test]
fn a_control_node_serves_an_agent_of_the_previous_version() {
    let Served { node, end, .. } = Served::after(open(AGENT));
    let sent = end.sent;
    let status = node.status();
    let client = &status.clients[&"agent-a".into()];
    assert_eq!((client.configured, client.refused.len()), (Some(true), 0));
    let subscription = &client.subscriptions[&InstanceName::from(INSTANCE)];
    assert!(subscription.complete && subscription.published >= 1, "{subscription:?}");
    let owners = status.switches[&"tor1".into()].owners[&BLUE].iter();
    assert_eq!(owners.map(|owner| owner.as_str()).collect::<Vec<_>>(), ["agent-a"]);
    // The number of its subscription comes back, and its switches have the VLANs as a property.
    assert!(
        sent.contains("<end-of-rib xmlns=\"urn:tandem:2\">1</end-of-rib>"),
        "{sent}"
    );
    assert!(
        sent.contains("<tandem-revision>7<") && sent.contains("<tandem-vlans>10:"),
        "{sent}"
    );
}

#[test]
fn a_control_node_serves_an_agent_with_extensions_of_another_version_as_a_foreign_one() {
    for bytes in with_other_extensions(open(AGENT)) {
        let Served { node, end, .. } = Served::after(&bytes);
        let sent = end.sent;
        let client = &node.status().clients[&"agent-a".into()];
        assert_eq!((client.configured, client.refused.len()), (Some(true), 0));
        assert!(client.subscriptions[&InstanceName::from(INSTANCE)].published >= 1);
        assert!(!sent.contains("<end-of-rib"), "{sent}");
        // The form that Contrail has: a logical interface for each VLAN.
        assert!(
            sent.contains("logical-interface") && !sent.contains("<tandem-vlans>"),
            "{sent}"
        );
    }
}

/// An agent of this version, and the configuration that is in force.
struct Agent {
    uplinks: Uplinks,
    now: Time,
    session: Option<UplinkId>,
    in_force: Option<Arc<Configuration>>,
    end: End,
}

impl Agent {
    fn new() -> Self {
        let options = Options {
            nodes: vec![([10, 0, 0, 5], 5269).into()],
            certificates: Vec::new(),
            session: SessionOptions::new("agent-a", [10, 0, 0, 11].into()),
            stale_hold: None,
            seed: 1,
        };
        let mut agent = Self {
            uplinks: Uplinks::new(options),
            now: Time::ORIGIN,
            session: None,
            in_force: None,
            end: End::new(Role::Client, "agent-a"),
        };
        agent.handle(uplinks::Input::Timeout);
        agent
    }

    fn handle(&mut self, input: uplinks::Input) {
        self.uplinks.handle(self.now, input);
        while let Some(output) = self.uplinks.poll_output() {
            match output {
                uplinks::Output::Dial { id, .. } => self.session = Some(id),
                uplinks::Output::SendStanza { stanza, .. } => {
                    assert_eq!(self.end.handle(stream::Input::Send(stanza)), []);
                }
                uplinks::Output::Configure { configuration, .. } => {
                    self.in_force = Some(Arc::clone(&configuration));
                    self.uplinks.handle(self.now, uplinks::Input::Configured(configuration));
                }
                uplinks::Output::Close { why, .. } => panic!("{why}"),
                _ => {}
            }
        }
    }

    /// Receives what a control node sent: its opening, then each stanza.
    fn receive(&mut self, bytes: &str) {
        for event in self.end.receive(bytes) {
            let id = self.session.expect("a dial");
            self.handle(match event {
                Event::Opened { peer, ours } => uplinks::Input::Opened {
                    id,
                    name: (*peer).to_owned(),
                    ours,
                    certificate: None,
                },
                Event::Received(stanza) => uplinks::Input::Received { id, stanza },
                Event::Ended { why } => panic!("{why}"),
            });
        }
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(due) = self.uplinks.poll_timeout().filter(|due| due.at <= until) {
            self.now = self.now.max(due.at);
            self.handle(uplinks::Input::Timeout);
        }
        self.now = until;
    }

    fn status(&self) -> UplinkStatus {
        self.uplinks.status()[0].clone()
    }

    /// It serves both switches as configured, and has the static route.
    fn assert_configured(&self) {
        let configuration = self.in_force.as_ref().expect("a configuration");
        let switches: BTreeMap<&str, Switch> = configuration
            .switches
            .iter()
            .map(|(name, switch)| (name.as_str(), switch.clone()))
            .collect();
        assert_eq!(switches, self::switches());
        assert_eq!(configuration.networks[&BLUE].vni, network().vni);
        assert_eq!(self.uplinks.vtep(BLUE, mac(0xaa)), Some(Ipv4Addr::new(10, 0, 9, 1)));
    }
}

#[test]
fn an_agent_serves_its_switches_with_a_control_node_of_the_previous_version() {
    let mut agent = Agent::new();
    agent.receive(open(CONTROL_NODE));
    // At once: the revision ends the configuration, and a number the routes.
    agent.assert_configured();
    let status = agent.status();
    assert_eq!((status.name.as_deref(), status.revision), (Some("control-1"), Some(7)));
    assert_eq!((status.instances, status.instances_complete), (1, 1));
    assert!(status.configures && status.routes_unusable.is_empty());
    assert!(
        agent
            .end
            .sent
            .contains("<subscription xmlns=\"urn:tandem:2\">1</subscription>")
    );
}

#[test]
fn an_agent_serves_its_switches_with_a_control_node_of_another_version_as_with_a_foreign_one() {
    for bytes in with_other_extensions(open(CONTROL_NODE)) {
        let mut agent = Agent::new();
        let (configuration, routes) = bytes.split_at(bytes.find("<message").expect("routes"));
        agent.receive(configuration);
        agent.pass(Duration::from_secs(60));
        agent.receive(routes);
        agent.pass(Duration::from_secs(60));
        agent.assert_configured();
        assert_eq!(agent.status().instances_complete, 1);
        assert!(!agent.end.sent.contains("urn:tandem"), "{}", agent.end.sent);
    }
}

#[test]
fn an_agent_remembers_the_configuration_that_the_previous_version_kept() {
    let remembered = Remembered::decode(REMEMBERED, "agent-a").expect("a configuration");
    assert_eq!(remembered.revision, Some(7));
    let session = SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST);
    let configuration = remembered.configuration(session);
    let switches: Vec<&Switch> = configuration.switches.values().collect();
    assert_eq!(switches, self::switches().values().collect::<Vec<_>>());
    assert_eq!(configuration.networks[&BLUE].name, "blue");
}

#[test]
fn extensions_that_a_later_version_adds_are_ignored() {
    let subscribe = "<iq type=\"set\" from=\"agent-a\" to=\"network-control@contrailsystems.com/bgp-peer\" id=\"subscribe0\">\
                     <pubsub xmlns=\"http://jabber.org/protocol/pubsub\"><subscribe node=\"blue\"><options>\
                     <instance-id>5</instance-id><weight xmlns=\"urn:tandem:2\">9</weight>\
                     <subscription xmlns=\"urn:tandem:2\">1</subscription></options></subscribe></pubsub></iq>";
    let expected = Stanza::Subscribe {
        instance: "blue".into(),
        instance_id: 5,
        no_ribout: false,
        number: Some(1),
    };
    assert_eq!(tandem_core::xmpp::read(subscribe.as_bytes()), Ok(vec![expected]));
}
