//! Tests of the source.

use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::bounds::{ALARM_AFTER, GRAPH_BYTES};
use crate::contrail_schema::kind;
use crate::contrail_schema::property::DISPLAY_NAME;
use crate::machine::CloseReason;
use crate::xmpp::Element;
use crate::xmpp::graph::Node;

/// Two control nodes with a session each: 1 and 2, which are of Tandem or not.
struct Both {
    source: Source,
    connections: Connections,
}

/// An action of the source: it asks a session, follows a name, or puts a configuration in force.
#[derive(Debug, Eq, PartialEq)]
enum Act {
    Ask(u64),
    Follow(String),
    Configure,
    Ignore,
    Close(u64),
}

fn acts(outputs: VecDeque<Output>) -> Vec<Act> {
    let acts = outputs.into_iter().filter_map(|output| {
        Some(match output {
            Output::SendStanza { id, .. } => Act::Ask(id.0),
            Output::Event(What::ConfiguredBy { name }) => Act::Follow(name),
            Output::Configure { .. } => Act::Configure,
            Output::Event(What::ConfigurationTooLarge { .. }) => Act::Ignore,
            Output::Close { id, .. } => Act::Close(id.0),
            Output::Remember { .. } => return None,
            other @ (Output::Dial { .. } | Output::Event(_)) => panic!("{other:?}"),
            other @ (Output::Imported { .. } | Output::RoutesComplete { .. }) => panic!("{other:?}"),
        })
    });
    acts.collect()
}

fn follow(number: u64) -> Act {
    Act::Follow(format!("control-{number}"))
}

impl Both {
    fn new(ours: [bool; 2]) -> (Self, Vec<Act>) {
        let nodes: [SocketAddr; 2] = [1, 2].map(|port| (Ipv4Addr::LOCALHOST, port).into());
        let mut connections = Connections::new(&nodes, 1);
        connections.dial(Time::ORIGIN, &mut VecDeque::new());
        for (number, ours) in (1..).zip(ours) {
            connections.on_opened(Time::ORIGIN, UplinkId(number), format!("control-{number}"), ours);
        }
        let source = Source::new(SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST));
        let mut both = Self { source, connections };
        let acts = both.choose();
        (both, acts)
    }

    fn choose(&mut self) -> Vec<Act> {
        let mut outputs = VecDeque::new();
        self.source.choose(Time::ORIGIN, &self.connections, &mut outputs);
        acts(outputs)
    }

    /// A session sends a whole configuration.
    fn send(&mut self, id: u64, revision: u64) -> Vec<Act> {
        acts(self.sent(id, revision))
    }

    /// The same. Answers the outputs.
    fn sent(&mut self, id: u64, revision: u64) -> VecDeque<Output> {
        let node = Node {
            id: self.source.own_node(),
            properties: vec![Element::leaf(REVISION, revision.to_string())],
        };
        let (id, changes) = (UplinkId(id), vec![Change::UpdateNode(node)]);
        let (mut outputs, connections) = (VecDeque::new(), &self.connections);
        self.source
            .on_changes(Time::ORIGIN, id, changes, connections, &mut outputs);
        outputs
    }

    /// A session sends a node with more text than an agent keeps, and the end of a revision.
    fn send_too_much(&mut self, id: u64, revision: u64) -> Vec<Act> {
        let node = Node {
            id: NodeId::new(kind::PHYSICAL_ROUTER, "default-global-system-config:tor1"),
            properties: vec![Element::leaf(DISPLAY_NAME, "x".repeat(GRAPH_BYTES))],
        };
        let mut outputs = VecDeque::new();
        let changes = vec![Change::UpdateNode(node)];
        self.source
            .on_changes(Time::ORIGIN, UplinkId(id), changes, &self.connections, &mut outputs);
        let mut acts = acts(outputs);
        acts.extend(self.send(id, revision));
        acts
    }

    fn close(&mut self, id: u64) -> Vec<Act> {
        self.connections
            .on_closed(Time::ORIGIN, UplinkId(id), CloseReason::ConnectionLost);
        self.source.on_closed(UplinkId(id));
        self.choose()
    }
}

#[test]
fn every_tandem_control_node_is_asked_and_the_first_is_followed() {
    let (mut both, acts) = Both::new([true, true]);
    assert_eq!(acts, [Act::Ask(1), Act::Ask(2)]);
    assert_eq!(both.choose(), [], "it is asked once");
    assert_eq!(both.send(1, 5), [follow(1), Act::Configure]);
}

#[test]
fn a_control_node_of_another_make_is_asked_when_no_other_is_left() {
    let (mut both, acts) = Both::new([false, true]);
    assert_eq!(acts, [Act::Ask(2)]);
    assert_eq!(both.close(2), [Act::Ask(1)]);
}

#[test]
fn a_higher_revision_is_followed_at_once_and_a_lower_never() {
    let (mut both, _) = Both::new([true, true]);
    assert_eq!(both.send(1, 5), [follow(1), Act::Configure]);
    assert_eq!(both.send(2, 6), [follow(2), Act::Configure]);
    assert_eq!(both.send(1, 4), []);
    assert_eq!(both.source.revision(), Some(6));
    assert!(both.source.is_in_force(Some(UplinkId(2))));
}

#[test]
fn a_control_node_with_a_lower_revision_is_never_reported_as_the_source() {
    let (mut both, _) = Both::new([true, true]);
    both.send(1, 5);
    assert_eq!([both.close(2), both.close(1)], [[], []]);
    both.connections
        .on_opened(Time::ORIGIN, UplinkId(1), "control-1".into(), true);
    both.connections.dial(Time::ORIGIN, &mut VecDeque::new());
    let mut outputs = VecDeque::new();
    let asked = both.source.own_node();
    both.source.ask(
        UplinkId(9),
        Provider::new(Time::ORIGIN, "control-1".into(), true),
        &mut outputs,
    );
    both.source.follow(UplinkId(9), &mut outputs);
    let stanza = Stanza::SubscribeConfiguration {
        kind: asked.kind,
        name: asked.name,
        compact: true,
        in_force: Some(5),
    };
    assert!(
        matches!(&outputs.make_contiguous()[..], [Output::SendStanza { stanza: sent, .. }] if *sent == stanza),
        "{outputs:?}"
    );
    assert_eq!(both.send(9, 3), []);
    assert!(!both.source.is_any_in_force() && !both.source.is_in_force(Some(UplinkId(9))));
}

/// A source that remembers revision 5, and none of its control nodes can be reached.
fn alone() -> (Source, Connections) {
    let nodes: [SocketAddr; 1] = [(Ipv4Addr::LOCALHOST, 1).into()];
    let mut connections = Connections::new(&nodes, 1);
    connections.dial(Time::ORIGIN, &mut VecDeque::new());
    let session = SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST);
    let mut source = Source::new(session.clone());
    let configuration = Configuration {
        session,
        networks: BTreeMap::new(),
        switches: BTreeMap::new(),
    };
    source.on_remembered(Time::ORIGIN, (Arc::new(configuration), Some(5)), &connections);
    (source, connections)
}

fn recalled(source: &mut Source, connections: &Connections, now: Time) -> Vec<Output> {
    let mut outputs = VecDeque::new();
    source.on_timeout(now, connections, &mut outputs);
    outputs.into()
}

#[test]
fn what_is_remembered_is_in_force_and_incomplete_when_no_control_node_is_reached() {
    let (mut source, connections) = alone();
    let due = Time::ORIGIN + RECALL_AFTER;
    assert_eq!(source.due(), Some(due));
    let outputs = recalled(&mut source, &connections, due);
    let [
        Output::Event(What::Recalled { revision: Some(5) }),
        Output::Configure { complete: false, .. },
    ] = &outputs[..]
    else {
        panic!("{outputs:?}");
    };
    assert!(source.is_remembered() && !source.is_any_in_force());
    assert_eq!((source.revision(), source.due()), (Some(5), None));
}

#[test]
fn a_control_node_takes_over_from_what_is_remembered_and_one_with_a_lower_revision_does_not() {
    for (revision, takes_over) in [(4, false), (5, true), (6, true)] {
        let (mut source, mut connections) = alone();
        recalled(&mut source, &connections, Time::ORIGIN + RECALL_AFTER);
        connections.on_opened(Time::ORIGIN, UplinkId(1), "control-1".into(), true);
        let mut outputs = VecDeque::new();
        source.choose(Time::ORIGIN, &connections, &mut outputs);
        let mut both = Both { source, connections };
        let acts = both.send(1, revision);
        assert_eq!(acts.contains(&Act::Configure), takes_over, "{revision}: {acts:?}");
        assert_eq!(both.source.is_remembered(), !takes_over, "{revision}");
    }
}

/// The revision in the file keeps older configurations out after a restart.
#[test]
fn another_revision_of_the_same_configuration_is_remembered_and_the_same_one_once() {
    let (mut both, _) = Both::new([true, true]);
    let mut remembers = |revision| {
        let is_remembered =
            |output: &Output| matches!(output, Output::Remember { revision: Some(it), .. } if *it == revision);
        both.sent(1, revision)
            .iter()
            .filter(|output| is_remembered(output))
            .count()
    };
    assert_eq!([5, 5, 6, 6].map(&mut remembers), [1, 0, 1, 0]);
}

#[test]
fn what_is_remembered_keeps_an_older_configuration_out_from_the_start() {
    for (revision, takes_over) in [(4, false), (5, true), (6, true)] {
        let (mut source, mut connections) = alone();
        connections.on_opened(Time::ORIGIN, UplinkId(1), "control-1".into(), true);
        let mut outputs = VecDeque::new();
        source.choose(Time::ORIGIN, &connections, &mut outputs);
        let asked = |output: &Output| {
            matches!(
                output,
                Output::SendStanza {
                    stanza: Stanza::SubscribeConfiguration { in_force: Some(5), .. },
                    ..
                }
            )
        };
        assert!(outputs.iter().any(asked), "{outputs:?}");
        let mut both = Both { source, connections };
        let acts = both.send(1, revision);
        assert_eq!(acts.contains(&Act::Configure), takes_over, "{revision}: {acts:?}");
        let due = (!takes_over).then_some(Time::ORIGIN + RECALL_AFTER);
        assert_eq!(both.source.memory.recall_at, due, "{revision}");
    }
}

#[test]
fn what_is_remembered_is_in_force_while_only_an_outdated_control_node_is_there() {
    let (mut source, mut connections) = alone();
    connections.on_opened(Time::ORIGIN, UplinkId(1), "control-1".into(), true);
    source.choose(Time::ORIGIN, &connections, &mut VecDeque::new());
    let mut both = Both { source, connections };
    both.send(1, 4);
    let now = Time::ORIGIN + RECALL_AFTER;
    let outputs = recalled(&mut both.source, &both.connections, now);
    assert!(
        matches!(&outputs[..], [Output::Event(What::Recalled { revision: Some(5) }), ..]),
        "{outputs:?}"
    );
    assert!(both.source.is_remembered() && !both.source.is_any_in_force());
    assert_eq!(both.source.ignored(Some(UplinkId(1))), Some(Ignored::Outdated));
    let outputs = recalled(&mut both.source, &both.connections, now + ALARM_AFTER);
    assert!(
        matches!(
            &outputs[..],
            [Output::Event(What::RevisionOutdated {
                revision: 4,
                in_force: 5,
                ..
            })]
        ),
        "{outputs:?}"
    );
    assert_eq!(both.send(1, 6), [follow(1), Act::Configure]);
    assert!(!both.source.is_remembered());
}

#[test]
fn a_session_that_opens_in_time_keeps_what_is_remembered_from_being_used() {
    let (mut source, mut connections) = alone();
    connections.on_opened(Time::ORIGIN, UplinkId(1), "control-1".into(), true);
    source.choose(Time::ORIGIN, &connections, &mut VecDeque::new());
    assert_eq!(source.due(), None);
    connections.on_closed(Time::ORIGIN, UplinkId(1), CloseReason::ConnectionLost);
    source.on_closed(UplinkId(1));
    source.choose(Time::ORIGIN, &connections, &mut VecDeque::new());
    assert_eq!(source.due(), Some(Time::ORIGIN + RECALL_AFTER));
}

#[test]
fn too_much_configuration_is_ignored_and_the_session_stays() {
    let (mut both, _) = Both::new([true, true]);
    both.send(1, 5);
    assert_eq!(both.send_too_much(1, 6), [Act::Ignore]);
    assert_eq!(both.source.ignored(Some(UplinkId(1))), Some(Ignored::TooLarge));
    assert_eq!(both.send(2, 5), [follow(2), Act::Configure]);
    assert_eq!(both.send_too_much(2, 6), [Act::Ignore]);
    assert_eq!(both.source.revision(), Some(5), "what is in force stays");
    assert_eq!(both.send(1, 6), [], "that is the same revision");
    assert_eq!(
        both.send(1, 7),
        [Act::Close(1)],
        "all of another revision is to be sent"
    );
}

#[test]
fn what_is_in_force_stays_when_only_an_outdated_control_node_is_left() {
    let (mut both, _) = Both::new([true, true]);
    both.send(1, 5);
    both.send(2, 6);
    assert_eq!(both.close(2), []);
    assert_eq!((both.source.revision(), both.source.followed), (Some(6), None));
    assert_eq!(both.source.ignored(Some(UplinkId(1))), Some(Ignored::Outdated));
    assert_eq!(both.send(1, 6), [follow(1), Act::Configure]);
}
