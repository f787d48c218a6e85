//! Where the configuration comes from: one control node at a time, until it is lost.
//!
//! What a control node tells is put together anew for each of them; what was in force stays in force until the new
//! one has told everything. A control node of ours says when that is so, and which revision it was; others are quiet
//! for a while.

use std::sync::Arc;

use super::{Output, UplinkId, Uplinks, What};
use crate::agent::graph::{Graph, virtual_router};
use crate::bounds::{CHANGES_SETTLE, QUIET};
use crate::control::REVISION;
use crate::time::Time;
use crate::xmpp::graph::Change;
use crate::xmpp::stanza::Stanza;

/// The configuration as one control node tells it.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    /// Who tells it.
    from: Option<UplinkId>,
    graph: Graph,
    /// When it told something last that is not all in force yet.
    told: Option<Time>,
    /// It has told everything once.
    complete: bool,
    /// What is in force, wherever it came from.
    revision: Option<u64>,
}

impl Source {
    /// Whether this session tells it.
    pub(super) fn is(&self, id: Option<UplinkId>) -> bool {
        id.is_some() && self.from == id
    }

    /// A session is over.
    pub(super) fn lost(&mut self, id: UplinkId) {
        if self.from == Some(id) {
            *self = Self {
                revision: self.revision,
                ..Self::default()
            };
        }
    }

    /// When what was told is in force although nobody said that it was all: the first time late, later soon.
    pub(super) fn due(&self) -> Option<Time> {
        let wait = if self.complete { CHANGES_SETTLE } else { QUIET };
        self.told.map(|told| told + wait)
    }
}

impl Uplinks {
    /// If nobody tells the configuration, whoever is there is asked to.
    pub(super) fn choose_source(&mut self, now: Time) {
        if self.source.from.is_some() {
            return;
        }
        let up = self.slots.iter().find_map(|slot| match &slot.uplink.state {
            super::State::Up { id, name, .. } => Some((*id, name.clone())),
            super::State::Waiting { .. } | super::State::Dialling { .. } => None,
        });
        let Some((id, name)) = up else { return };
        self.source.from = Some(id);
        self.source.told = Some(now);
        let own = virtual_router(&self.options.session.agent);
        let stanza = Stanza::SubscribeConfiguration {
            kind: own.kind,
            name: own.name,
        };
        self.outputs.push_back(Output::Say { id, stanza });
        self.event(What::ConfiguredBy { name });
    }

    pub(super) fn graph_told(&mut self, now: Time, id: UplinkId, changes: Vec<Change>) {
        if self.source.from != Some(id) {
            return;
        }
        let own = virtual_router(&self.options.session.agent);
        let is_last =
            |change: &Change| matches!(change, Change::UpdateNode(node) if node.id == own && node.has(REVISION));
        let ended = changes.last().is_some_and(is_last);
        for change in changes {
            self.source.graph.apply(change);
        }
        self.source.told = Some(now);
        if ended {
            self.graph_ended();
        }
    }

    /// Everything was told: a control node of ours tells our own node, with its revision, last.
    fn graph_ended(&mut self) {
        self.source.complete = true;
        self.put_in_force();
    }

    /// Nothing was told for a while.
    pub(super) fn check_graph(&mut self, now: Time) {
        if self.source.due().is_some_and(|due| due <= now) {
            self.graph_ended();
        }
    }

    fn put_in_force(&mut self) {
        self.source.told = None;
        let agent = self.options.session.agent.clone();
        let revision = self.source.graph.revision(&agent);
        if let (Some(revision), Some(in_force)) = (revision, self.source.revision)
            && revision < in_force
        {
            return self.event(What::Outdated { revision, in_force });
        }
        self.source.revision = revision.or(self.source.revision);
        let (configuration, problems) = self.source.graph.configuration(&agent, self.options.session.clone());
        for what in problems {
            self.event(What::Unreadable { what });
        }
        let configuration = Arc::new(configuration);
        self.outputs.push_back(Output::Configure {
            configuration,
            complete: true,
        });
    }
}
