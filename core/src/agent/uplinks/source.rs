//! Where the configuration comes from: one control node at a time, until it is lost or turns out to be outdated.
//!
//! What a control node tells is put together anew for each of them; what was in force stays in force until the new
//! one has told everything. A control node of ours says when that is so, and which revision it was; others are quiet
//! for a while.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::uplink::State;
use super::{Output, UplinkId, Uplinks, What};
use crate::agent::graph::{Graph, virtual_router};
use crate::bounds::{CHANGES_SETTLE, GRAPH_BYTES, QUIET};
use crate::control::REVISION;
use crate::machine::{CloseWhy, Fault};
use crate::time::Time;
use crate::xmpp::graph::Change;
use crate::xmpp::stanza::Stanza;

/// Who tells the configuration, and what they have told.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    /// Who was asked: one, or more if what the others told is outdated.
    tellers: BTreeMap<UplinkId, Teller>,
    /// What is in force, wherever it came from.
    revision: Option<u64>,
}

/// The configuration as one control node tells it.
#[derive(Clone, Debug)]
struct Teller {
    /// It says itself when it has told everything.
    ours: bool,
    graph: Graph,
    /// When it told something last that is not all in force yet.
    told: Option<Time>,
    /// It has told everything once.
    complete: bool,
    /// What it told last is older than what is in force.
    outdated: bool,
}

impl Source {
    /// Whether this session tells what is in force, or is about to.
    pub(super) fn is(&self, id: Option<UplinkId>) -> bool {
        let teller = id.and_then(|id| self.tellers.get(&id));
        teller.is_some_and(|teller| !teller.outdated)
    }

    /// A session is over.
    pub(super) fn lost(&mut self, id: UplinkId) {
        self.tellers.remove(&id);
    }

    /// When what was told is in force although nobody said that it was all.
    pub(super) fn due(&self) -> Option<Time> {
        self.tellers.values().filter_map(Teller::due).min()
    }
}

impl Teller {
    /// The first time late, later soon.
    fn due(&self) -> Option<Time> {
        let wait = if self.complete { CHANGES_SETTLE } else { QUIET };
        self.told.filter(|_| !self.ours).map(|told| told + wait)
    }
}

impl Uplinks {
    /// Of the configuration in force, if whoever told it said so.
    pub fn revision(&self) -> Option<u64> {
        self.source.revision
    }

    /// If nobody tells the configuration, or only outdated ones, whoever else is there is asked to.
    pub(super) fn choose_source(&mut self, now: Time) {
        let tellers = &self.source.tellers;
        if tellers.values().any(|teller| !teller.outdated) {
            return;
        }
        let up = self.slots.iter().find_map(|slot| match &slot.uplink.state {
            State::Up { id, name, ours, .. } if !tellers.contains_key(id) => Some((*id, name.clone(), *ours)),
            State::Up { .. } | State::Waiting { .. } | State::Dialling { .. } => None,
        });
        let Some((id, name, ours)) = up else { return };
        let teller = Teller {
            ours,
            graph: Graph::default(),
            told: Some(now),
            complete: false,
            outdated: false,
        };
        self.source.tellers.insert(id, teller);
        let own = virtual_router(&self.options.session.agent);
        let stanza = Stanza::SubscribeConfiguration {
            kind: own.kind,
            name: own.name,
        };
        self.outputs.push_back(Output::Say { id, stanza });
        self.event(What::ConfiguredBy { name });
    }

    pub(super) fn graph_told(&mut self, now: Time, id: UplinkId, changes: Vec<Change>) {
        let own = virtual_router(&self.options.session.agent);
        let Some(teller) = self.source.tellers.get_mut(&id) else {
            return;
        };
        let is_last =
            |change: &Change| matches!(change, Change::UpdateNode(node) if node.id == own && node.has(REVISION));
        let ended = changes.last().is_some_and(is_last);
        for change in changes {
            teller.graph.apply(change);
        }
        teller.told = Some(now);
        if teller.graph.bytes() > GRAPH_BYTES {
            let what = format!("it told more than {} MiB of configuration", GRAPH_BYTES >> 20);
            let why = CloseWhy::fault(Fault::PeerMisbehaved, what);
            self.source.lost(id);
            return self.outputs.push_back(Output::Close { id, why });
        }
        if ended {
            self.graph_ended(now, id);
        }
    }

    /// Some have told nothing for a while.
    pub(super) fn check_graph(&mut self, now: Time) {
        let due = |(_, teller): &(&UplinkId, &Teller)| teller.due().is_some_and(|due| due <= now);
        let ended: Vec<_> = self.source.tellers.iter().filter(due).map(|(id, _)| *id).collect();
        for id in ended {
            self.graph_ended(now, id);
        }
    }

    /// Everything was told: a control node of ours tells our own node, with its revision, last.
    fn graph_ended(&mut self, now: Time, id: UplinkId) {
        let agent = self.options.session.agent.clone();
        let in_force = self.source.revision;
        let Some(teller) = self.source.tellers.get_mut(&id) else {
            return;
        };
        teller.told = None;
        teller.complete = true;
        let revision = teller.graph.revision(&agent);
        teller.outdated = revision.is_some() && revision < in_force;
        if let (Some(revision), Some(in_force), true) = (revision, in_force, teller.outdated) {
            self.event(What::Outdated { revision, in_force });
            return self.choose_source(now);
        }
        let (configuration, problems) = teller.graph.configuration(&agent, self.options.session.clone());
        for what in problems {
            self.event(What::Unreadable { what });
        }
        if let Some(revision) = revision.filter(|_| revision == in_force)
            && configuration != *self.configuration
        {
            self.event(What::Contradicted { revision });
        }
        self.source.revision = revision.or(in_force);
        self.outputs.push_back(Output::Configure {
            configuration: Arc::new(configuration),
            complete: true,
        });
    }
}
