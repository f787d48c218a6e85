//! A control node of ours and one of another make: whose configuration is in force, and who is said to disagree.

use std::time::Duration;

use tandem_core::agent::uplinks::{Input, Options, Output, UplinkId, Uplinks};
use tandem_core::configuration::SessionOptions;
use tandem_core::contrail_schema::property::REVISION;
use tandem_core::contrail_schema::{kind, virtual_router};
use tandem_core::status::UplinkStatus;
use tandem_core::xmpp::graph::{Change, Link, Node, NodeId};
use tandem_core::xmpp::{Element, Stanza};
use tandem_core::{CloseReason, CloseWhy, Machine, Time};

const AGENT: &str = "agent-a";
const PORT: u16 = 5269;
const OURS: usize = 0;
const FOREIGN: usize = 1;

/// An agent, and what it does.
struct Agent {
    uplinks: Uplinks,
    now: Time,
    /// The last dial of each.
    dials: [Option<UplinkId>; 2],
    /// The switches that are to be served.
    in_force: Vec<String>,
    asked: Vec<UplinkId>,
}

impl Agent {
    fn new() -> Self {
        let nodes = [PORT, PORT + 1].map(|port| ([10, 0, 0, 5], port).into());
        let options = Options {
            nodes: nodes.to_vec(),
            session: SessionOptions::new(AGENT, [10, 0, 0, 11].into()),
            stale_hold: None,
            seed: 1,
        };
        let mut agent = Self {
            uplinks: Uplinks::new(options),
            now: Time::ORIGIN,
            dials: [None; 2],
            in_force: Vec::new(),
            asked: Vec::new(),
        };
        agent.hear(Input::Timeout);
        agent
    }

    fn hear(&mut self, input: Input) {
        self.uplinks.handle(self.now, input);
        while let Some(output) = self.uplinks.poll_output() {
            match output {
                Output::Dial { id, to } => self.dials[usize::from(to.port() - PORT)] = Some(id),
                Output::SendStanza {
                    id,
                    stanza: Stanza::SubscribeConfiguration { .. },
                } => self.asked.push(id),
                Output::Configure { configuration, .. } => {
                    self.in_force = configuration.switches.keys().map(ToString::to_string).collect();
                }
                _ => {}
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.uplinks.poll_timeout().filter(|due| due.at <= until) {
            self.now = self.now.max(due.at);
            self.hear(Input::Timeout);
        }
        self.now = until;
    }

    fn id(&self, node: usize) -> UplinkId {
        self.dials[node].expect("a dial")
    }

    fn open(&mut self, node: usize) {
        let (id, ours) = (self.id(node), node == OURS);
        let name = ["ours", "foreign"][node].into();
        self.hear(Input::Opened { id, name, ours });
    }

    fn close(&mut self, node: usize) {
        let (id, why) = (
            self.id(node),
            CloseWhy::new(CloseReason::PeerClosed, "the story says so"),
        );
        self.hear(Input::Closed { id, why });
    }

    /// It tells one switch, and if it is ours, the revision.
    fn tell(&mut self, node: usize, switch: &str, revision: u64) {
        let own = NodeId::new(kind::VIRTUAL_ROUTER, virtual_router(AGENT));
        let router = NodeId::new("physical-router", format!("default-global-system-config:{switch}"));
        let properties = match node {
            OURS => vec![Element::leaf(REVISION, revision.to_string())],
            _ => Vec::new(),
        };
        let link = Link {
            kind: "physical-router-virtual-router".into(),
            ends: [router.clone(), own.clone()],
        };
        let changes = vec![
            Change::UpdateNode(Node {
                id: router,
                properties: Vec::new(),
            }),
            Change::UpdateLink(link),
            Change::UpdateNode(Node { id: own, properties }),
        ];
        let (id, stanza) = (self.id(node), Stanza::Configuration(changes));
        self.hear(Input::Received { id, stanza });
    }

    fn status(&self, node: usize) -> UplinkStatus {
        self.uplinks.status()[node].clone()
    }

    /// Both have a session; ours is lost, and the other is asked.
    fn bereft() -> Self {
        let mut agent = Self::new();
        agent.open(OURS);
        agent.tell(OURS, "tor1", 1);
        agent.open(FOREIGN);
        agent.pass(60);
        assert_eq!(
            (agent.asked.len(), agent.in_force.as_slice()),
            (1, &["tor1".to_owned()][..])
        );
        agent.close(OURS);
        assert_eq!(agent.asked.last(), Some(&agent.id(FOREIGN)));
        agent
    }
}

#[test]
fn one_of_ours_that_comes_back_counts_before_a_foreign_one() {
    for absent_s in [1, 60] {
        let mut agent = Agent::bereft();
        agent.tell(FOREIGN, "tor2", 0);
        agent.pass(absent_s);
        agent.open(OURS);
        agent.tell(OURS, "tor1", 1);
        agent.pass(60);
        assert_eq!(agent.in_force, ["tor1"], "after {absent_s} s");
        assert!(agent.status(OURS).configures && !agent.status(OURS).disagrees);
        assert!(agent.status(FOREIGN).disagrees);
        // It counts once more: what it tells is what is in force, from that moment on.
        agent.close(OURS);
        assert_eq!(agent.in_force, ["tor2"]);
        assert!(agent.status(FOREIGN).configures && !agent.status(FOREIGN).disagrees);
    }
}

#[test]
fn a_foreign_one_that_tells_the_same_does_not_disagree() {
    let mut agent = Agent::bereft();
    agent.tell(FOREIGN, "tor1", 0);
    agent.pass(60);
    assert_eq!(agent.in_force, ["tor1"]);
    assert!(agent.status(FOREIGN).configures && !agent.status(FOREIGN).disagrees);
    agent.open(OURS);
    agent.tell(OURS, "tor1", 1);
    agent.pass(60);
    assert!(agent.status(OURS).configures && !agent.status(FOREIGN).disagrees);
}
