//! The configuration as one control node sends it.

use std::sync::Arc;

use super::What;
use crate::agent::graph::Graph;
use crate::bounds::{ALARM_AFTER, CHANGES_QUIET, GRAPH_BYTES, QUIET};
use crate::configuration::{Configuration, SessionOptions};
use crate::time::Time;
use crate::xmpp::graph::Change;

/// A control node that was asked for the configuration.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    name: String,
    /// It is a Tandem control node, and marks the end of its configuration.
    ours: bool,
    graph: Graph,
    /// When a change arrived that is not in the snapshot yet.
    changed_at: Option<Time>,
    snapshot: Option<Snapshot>,
    /// It sent more than an agent keeps, and, if a revision came with that, under which one.
    excess: Option<Option<u64>>,
    /// The difference between the snapshot and the configuration in force.
    difference: Option<Difference>,
}

/// The configuration of a control node that has sent everything.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// Control nodes of other makes have no revision.
    pub(super) revision: Option<u64>,
    pub(super) configuration: Arc<Configuration>,
    /// The parts that could not be read.
    pub(super) problems: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct Difference {
    since: Time,
    /// Of the snapshot.
    revision: Option<u64>,
    /// It has lasted, and was reported.
    is_reported: bool,
}

impl Provider {
    /// A control node that has just been asked.
    pub(super) fn new(now: Time, name: String, ours: bool) -> Self {
        Self {
            name,
            ours,
            graph: Graph::default(),
            changed_at: Some(now),
            snapshot: None,
            excess: None,
            difference: None,
        }
    }

    /// The name of the control node.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a Tandem control node.
    pub(super) fn is_ours(&self) -> bool {
        self.ours
    }

    /// Its configuration, once it has sent everything.
    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// The revision of its snapshot, if it has one.
    pub(super) fn revision(&self) -> Option<u64> {
        self.snapshot.as_ref()?.revision
    }

    /// Whether it sent more than an agent keeps. Its configuration is ignored then, and its routes are not.
    pub(super) fn exceeds(&self) -> bool {
        self.excess.is_some()
    }

    /// The end of a configuration arrived that was too large. Returns whether it is another revision than before, so that
    /// it may be smaller: only a new session makes the control node send all of it again.
    pub(super) fn on_end_of_excess(&mut self, revision: Option<u64>) -> bool {
        let before = self.excess.replace(revision).flatten();
        before.is_some() && before != revision
    }

    /// Changes arrived. Returns whether there is still room for what it sends.
    pub(super) fn on_changes(&mut self, now: Time, changes: Vec<Change>) -> bool {
        changes.into_iter().for_each(|change| self.graph.apply(change));
        self.changed_at = Some(now);
        if self.graph.bytes() <= GRAPH_BYTES {
            return true;
        }
        self.graph = Graph::default();
        (self.snapshot, self.changed_at, self.difference) = (None, None, None);
        self.excess = Some(None);
        false
    }

    /// Everything was sent: what there is now is what the control node asks for.
    pub(super) fn take_snapshot(&mut self, session: &SessionOptions) {
        let (configuration, problems) = self.graph.configuration(&session.agent, session.clone());
        self.changed_at = None;
        self.snapshot = Some(Snapshot {
            revision: self.graph.revision(&session.agent),
            configuration: Arc::new(configuration),
            problems,
        });
    }

    /// When silence means that everything was sent: the first time late, later soon. A Tandem control node marks the end.
    pub(super) fn quiet_at(&self) -> Option<Time> {
        let wait = if self.snapshot.is_some() { CHANGES_QUIET } else { QUIET };
        self.changed_at.filter(|_| !self.ours).map(|at| at + wait)
    }

    /// When its difference from the configuration in force is to be reported.
    pub(super) fn report_at(&self) -> Option<Time> {
        let unreported = self.difference.filter(|difference| !difference.is_reported)?;
        Some(unreported.since + ALARM_AFTER)
    }

    /// Whether it has differed from the configuration in force for so long that it was reported.
    pub(super) fn differs(&self) -> bool {
        self.difference.is_some_and(|difference| difference.is_reported)
    }

    /// Compares the snapshot with what is in force. Returns what is to be reported: a difference that has lasted.
    pub(super) fn compare(
        &mut self,
        now: Time,
        in_force: Option<u64>,
        configuration: Option<&Arc<Configuration>>,
    ) -> Option<What> {
        // Without a revision, the configuration is all that counts.
        let differs = |it: &&Snapshot| {
            let same = Some(&it.configuration) == configuration;
            !same || it.revision.is_some_and(|revision| Some(revision) != in_force)
        };
        let Some(revision) = self.snapshot.as_ref().filter(differs).map(|it| it.revision) else {
            self.difference = None;
            return None;
        };
        // Another revision is another difference.
        let before = self.difference.filter(|it| it.revision == revision);
        let (since, was_reported) = before.map_or((now, false), |it| (it.since, it.is_reported));
        let is_due = now.since(since) >= ALARM_AFTER;
        self.difference = Some(Difference {
            since,
            revision,
            is_reported: was_reported || is_due,
        });
        let (revision, in_force) = (revision?, in_force?);
        let name = self.name.clone();
        (is_due && !was_reported).then_some(match revision == in_force {
            true => What::Contradicted { name, revision },
            false => What::RevisionOutdated {
                name,
                revision,
                in_force,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::agent::graph::virtual_router;
    use crate::contrail_schema::property::REVISION;
    use crate::xmpp::Element;
    use crate::xmpp::graph::Node;

    fn session() -> SessionOptions {
        SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST)
    }

    /// A control node of ours that has sent a revision, and nothing else.
    fn provider(revision: u64) -> Provider {
        let mut provider = Provider::new(Time::ORIGIN, "control-1".into(), true);
        let node = Node {
            id: virtual_router("agent-a"),
            properties: vec![Element::leaf(REVISION, revision.to_string())],
        };
        assert!(provider.on_changes(Time::ORIGIN, vec![Change::UpdateNode(node)]));
        provider.take_snapshot(&session());
        provider
    }

    #[test]
    fn a_difference_is_reported_once_when_it_has_lasted() {
        let mut provider = provider(3);
        let configuration = provider.snapshot().map(|it| Arc::clone(&it.configuration));
        let late = Time::ORIGIN + ALARM_AFTER;
        let mut compare = |now, in_force| provider.compare(now, Some(in_force), configuration.as_ref());
        assert_eq!(compare(Time::ORIGIN, 4), None);
        let expected = What::RevisionOutdated {
            name: "control-1".into(),
            revision: 3,
            in_force: 4,
        };
        assert_eq!(compare(late, 4), Some(expected));
        assert_eq!(compare(late, 4), None);
        assert_eq!(compare(late, 3), None, "it is the same now");
        assert!(!provider.differs());
    }

    #[test]
    fn the_same_revision_with_other_contents_is_a_contradiction() {
        let mut provider = provider(3);
        assert_eq!(provider.compare(Time::ORIGIN, Some(3), None), None);
        let expected = What::Contradicted {
            name: "control-1".into(),
            revision: 3,
        };
        assert_eq!(
            provider.compare(Time::ORIGIN + ALARM_AFTER, Some(3), None),
            Some(expected)
        );
        assert!(provider.differs());
    }

    #[test]
    fn silence_counts_only_where_a_control_node_is_not_ours_and_less_of_it_for_later_changes() {
        assert_eq!(Provider::new(Time::ORIGIN, "control-1".into(), true).quiet_at(), None);
        let mut foreign = Provider::new(Time::ORIGIN, "foreign".into(), false);
        assert_eq!(foreign.quiet_at(), Some(Time::ORIGIN + QUIET));
        foreign.take_snapshot(&session());
        assert_eq!(foreign.quiet_at(), None);
        foreign.on_changes(Time::ORIGIN, Vec::new());
        assert_eq!(foreign.quiet_at(), Some(Time::ORIGIN + CHANGES_QUIET));
    }
}
