//! A control node of ours and one of another make: whose configuration is in force, and which one disagrees.

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

/// An agent, and its outputs.
struct Agent {
    uplinks: Uplinks,
    now: Time,
    /// The last dial of each control node.
    dials: [Option<UplinkId>; 2],
    /// The switches that are to be served.
    in_force: Vec<String>,
    /// Who changed the configuration.
    changes: Vec<String>,
    asked: Vec<UplinkId>,
}

impl Agent {
    fn new() -> Self {
        let nodes = [PORT, PORT + 1].map(|port| ([10, 0, 0, 5], port).into());
        let options = Options {
            nodes: nodes.to_vec(),
            certificates: Vec::new(),
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
            changes: Vec::new(),
        };
        agent.handle(Input::Timeout);
        agent
    }

    fn handle(&mut self, input: Input) {
        self.uplinks.handle(self.now, input);
        while let Some(output) = self.uplinks.poll_output() {
            match output {
                Output::Dial { id, to } => self.dials[usize::from(to.port() - PORT)] = Some(id),
                Output::SendStanza {
                    id,
                    stanza: Stanza::SubscribeConfiguration { .. },
                } => self.asked.push(id),
                Output::Configure {
                    configuration, change, ..
                } => {
                    self.changes.push(change.to_string());
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
            self.handle(Input::Timeout);
        }
        self.now = until;
    }

    fn id(&self, node: usize) -> UplinkId {
        self.dials[node].expect("a dial")
    }

    fn open(&mut self, node: usize) {
        let (id, ours) = (self.id(node), node == OURS);
        let name = ["ours", "foreign"][node].into();
        let certificate = None;
        self.handle(Input::Opened {
            id,
            name,
            ours,
            certificate,
        });
    }

    fn close(&mut self, node: usize) {
        let (id, why) = (
            self.id(node),
            CloseWhy::new(CloseReason::PeerClosed, "closed by the test"),
        );
        self.handle(Input::Closed { id, why });
    }

    /// A control node sends a configuration with one switch, and if it is ours, the revision.
    fn configure(&mut self, node: usize, switch: &str, revision: u64) {
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
        self.handle(Input::Received { id, stanza });
    }

    fn status(&self, node: usize) -> UplinkStatus {
        self.uplinks.status()[node].clone()
    }

    /// Both have a session; ours is lost, and the agent subscribes to the configuration of the other.
    fn bereft() -> Self {
        let mut agent = Self::new();
        agent.open(OURS);
        agent.configure(OURS, "tor1", 1);
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
fn a_change_of_the_configuration_names_the_control_node_and_both_revisions() {
    let mut agent = Agent::new();
    agent.open(OURS);
    agent.configure(OURS, "tor1", 7);
    agent.configure(OURS, "tor2", 8);
    assert_eq!(agent.changes, ["revision 7 by ours", "revision 7 -> 8 by ours"]);
}

#[test]
fn one_of_ours_that_comes_back_counts_before_a_foreign_one() {
    for absent_s in [1, 60] {
        let mut agent = Agent::bereft();
        agent.configure(FOREIGN, "tor2", 0);
        agent.pass(absent_s);
        agent.open(OURS);
        agent.configure(OURS, "tor1", 1);
        agent.pass(60);
        assert_eq!(agent.in_force, ["tor1"], "after {absent_s} s");
        assert!(agent.status(OURS).configures && !agent.status(OURS).disagrees);
        assert!(agent.status(FOREIGN).disagrees);
        // The configuration of the foreign one is in force again, at once.
        agent.close(OURS);
        assert_eq!(agent.in_force, ["tor2"]);
        assert!(agent.status(FOREIGN).configures && !agent.status(FOREIGN).disagrees);
    }
}

#[test]
fn a_foreign_one_with_the_same_configuration_does_not_disagree() {
    let mut agent = Agent::bereft();
    agent.configure(FOREIGN, "tor1", 0);
    agent.pass(60);
    assert_eq!(agent.in_force, ["tor1"]);
    assert!(agent.status(FOREIGN).configures && !agent.status(FOREIGN).disagrees);
    agent.open(OURS);
    agent.configure(OURS, "tor1", 1);
    agent.pass(60);
    assert!(agent.status(OURS).configures && !agent.status(FOREIGN).disagrees);
}
