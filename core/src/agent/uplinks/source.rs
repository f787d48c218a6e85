//! Where the configuration comes from: one control node at a time, until it is lost or turns out to be outdated.
//!
//! What a control node tells is put together anew for each of them; what was in force stays in force until the new
//! one has told everything. A control node of ours says when that is so, and which revision it was; others are quiet
//! for a while.
//!
//! Those of ours are all asked, so that whoever tells a higher revision is followed at once, and whoever tells something
//! else than is in force is named. Another is asked when nobody else is left to follow, and followed until one of ours is
//! back.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::uplink::State;
use super::{Output, UplinkId, Uplinks, What};
use crate::agent::graph::{Graph, virtual_router};
use crate::bounds::{ALARM_AFTER, CHANGES_SETTLE, GRAPH_BYTES, QUIET};
use crate::configuration::Configuration;
use crate::control::REVISION;
use crate::machine::{CloseWhy, Fault};
use crate::time::Time;
use crate::xmpp::graph::Change;
use crate::xmpp::stanza::Stanza;

/// Who tells the configuration, and what they have told.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    /// Who was asked.
    tellers: BTreeMap<UplinkId, Teller>,
    /// Whose word counts.
    followed: Option<UplinkId>,
    /// What is in force, wherever it came from.
    revision: Option<u64>,
    configuration: Option<Arc<Configuration>>,
}

/// The configuration as one control node tells it.
#[derive(Clone, Debug)]
struct Teller {
    name: String,
    /// It says itself when it has told everything.
    ours: bool,
    graph: Graph,
    /// When it told something last that is no part of `whole` yet.
    told: Option<Time>,
    whole: Option<Whole>,
    /// How that is not what is in force.
    disagrees: Option<Disagreement>,
}

/// Somebody tells something else than what is in force.
#[derive(Clone, Copy, Debug)]
struct Disagreement {
    since: Time,
    /// Of what is told.
    revision: Option<u64>,
    /// It has lasted, and was said.
    is_said: bool,
}

/// What a control node wants when it has told everything.
#[derive(Clone, Debug)]
struct Whole {
    revision: Option<u64>,
    configuration: Arc<Configuration>,
    /// What could not be read.
    problems: Vec<String>,
}

impl Source {
    /// Whether this session tells what is in force, or is about to.
    pub(super) fn is(&self, id: Option<UplinkId>) -> bool {
        id.is_some() && self.followed == id
    }

    /// Which revision is told in this session, and whether that has been something else than what is in force for long
    /// enough to be said.
    pub(super) fn told(&self, id: Option<UplinkId>) -> (Option<u64>, bool) {
        let teller = id.and_then(|id| self.tellers.get(&id));
        let revision = teller.and_then(|teller| teller.whole.as_ref()?.revision);
        (
            revision,
            teller.is_some_and(|teller| teller.disagrees.is_some_and(|it| it.is_said)),
        )
    }

    /// A session is over.
    pub(super) fn lost(&mut self, id: UplinkId) {
        self.tellers.remove(&id);
        self.followed.take_if(|followed| *followed == id);
    }

    /// When what was told is in force although nobody said that it was all, or when a disagreement is to be told.
    pub(super) fn due(&self) -> Option<Time> {
        let due = self.tellers.values().filter_map(Teller::due);
        let unsaid = self.tellers.values().filter_map(|teller| teller.disagrees);
        let unsaid = unsaid.filter(|it| !it.is_said).map(|it| it.since + ALARM_AFTER);
        due.chain(unsaid).min()
    }

    /// Whether what is told is older than what is in force.
    fn is_outdated(&self, teller: &Teller) -> bool {
        let revision = teller.whole.as_ref().and_then(|whole| whole.revision);
        revision.is_some() && revision < self.revision
    }

    /// Whether what is told counts more than the word of the one that is followed: it is the first, comes after what is in
    /// force, or is told by one of ours and that other is not.
    fn is_better(&self, teller: &Teller) -> bool {
        let revision = teller.whole.as_ref().and_then(|whole| whole.revision);
        let followed = self.followed.and_then(|id| self.tellers.get(&id));
        let is_ours_alone = teller.ours && followed.is_some_and(|followed| !followed.ours);
        self.configuration.is_none() || revision > self.revision || is_ours_alone
    }

    /// Of those that are not outdated, one that has told everything, the latest; else whoever was asked first.
    fn best(&self) -> Option<UplinkId> {
        let current = self.tellers.iter().filter(|(_, teller)| !self.is_outdated(teller));
        let rank = |(id, teller): &(&UplinkId, &Teller)| {
            let revision = teller.whole.as_ref().map(|whole| whole.revision);
            (revision, Reverse(**id))
        };
        current.max_by_key(rank).map(|(id, _)| *id)
    }
}

impl Teller {
    /// The first time late, later soon.
    fn due(&self) -> Option<Time> {
        let wait = if self.whole.is_some() { CHANGES_SETTLE } else { QUIET };
        self.told.filter(|_| !self.ours).map(|told| told + wait)
    }
}

impl Uplinks {
    /// Of the configuration in force, if whoever told it said so.
    pub fn revision(&self) -> Option<u64> {
        self.source.revision
    }

    /// Asks every control node of ours, and if nobody is left to follow, one of the others.
    pub(super) fn choose_source(&mut self, now: Time) {
        let up = |slot: &super::Slot| match &slot.uplink.state {
            State::Up { id, name, ours, .. } => Some((*id, name.clone(), *ours)),
            State::Waiting { .. } | State::Dialling { .. } => None,
        };
        let mut up: Vec<_> = self.slots.iter().filter_map(up).collect();
        up.sort_by_key(|(.., ours)| !ours);
        for (id, name, ours) in up {
            let is_wanted = ours || self.source.best().is_none();
            if is_wanted && !self.source.tellers.contains_key(&id) {
                self.ask(now, id, name, ours);
            }
        }
        if self.source.followed.is_none()
            && let Some(best) = self.source.best()
        {
            self.follow(best);
        }
        self.compare(now);
    }

    fn ask(&mut self, now: Time, id: UplinkId, name: String, ours: bool) {
        let teller = Teller {
            name,
            ours,
            graph: Graph::default(),
            told: Some(now),
            whole: None,
            disagrees: None,
        };
        self.source.tellers.insert(id, teller);
        let own = virtual_router(&self.options.session.agent);
        let stanza = Stanza::SubscribeConfiguration {
            kind: own.kind,
            name: own.name,
        };
        self.outputs.push_back(Output::Say { id, stanza });
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

    /// Some have told nothing for a while, or have disagreed for a while.
    pub(super) fn check_graph(&mut self, now: Time) {
        let due = |(_, teller): &(&UplinkId, &Teller)| teller.due().is_some_and(|due| due <= now);
        let ended: Vec<_> = self.source.tellers.iter().filter(due).map(|(id, _)| *id).collect();
        for id in ended {
            self.graph_ended(now, id);
        }
        if self.source.due().is_some_and(|due| due <= now) {
            self.compare(now);
        }
    }

    /// Everything was told: a control node of ours tells our own node, with its revision, last.
    fn graph_ended(&mut self, now: Time, id: UplinkId) {
        let session = self.options.session.clone();
        let Some(teller) = self.source.tellers.get_mut(&id) else {
            return;
        };
        let (configuration, problems) = teller.graph.configuration(&session.agent.clone(), session);
        teller.told = None;
        teller.whole = Some(Whole {
            revision: teller.graph.revision(&self.options.session.agent),
            configuration: Arc::new(configuration),
            problems,
        });
        let teller = &self.source.tellers[&id];
        if self.source.is_outdated(teller) {
            self.source.followed.take_if(|followed| *followed == id);
        } else if self.source.is(Some(id)) || self.source.is_better(teller) {
            self.follow(id);
        }
        self.choose_source(now);
    }

    /// From now on the word of this one counts: what it has told, and what it will tell.
    fn follow(&mut self, id: UplinkId) {
        let Some(teller) = self.source.tellers.get(&id) else {
            return;
        };
        let (name, whole) = (teller.name.clone(), teller.whole.clone());
        if self.source.followed.replace(id) != Some(id) {
            self.event(What::ConfiguredBy { name: name.clone() });
        }
        let Some(whole) = whole else { return };
        let before = self.source.configuration.replace(Arc::clone(&whole.configuration));
        let is_same = before.as_ref() == Some(&whole.configuration);
        if let Some(revision) = whole.revision.filter(|_| whole.revision == self.source.revision)
            && !is_same
        {
            self.event(What::Contradicted { name, revision });
        }
        self.source.revision = whole.revision.or(self.source.revision);
        for what in whole.problems {
            self.event(What::Unreadable { what });
        }
        self.outputs.push_back(Output::Configure {
            configuration: whole.configuration,
            complete: true,
        });
    }

    /// Who has been telling something else than what is in force for a while is named.
    fn compare(&mut self, now: Time) {
        let (revision, configuration) = (self.source.revision, self.source.configuration.clone());
        let mut news = Vec::new();
        for teller in self.source.tellers.values_mut() {
            let whole = teller.whole.as_ref();
            // A foreign one has no revision: what it tells is all that counts.
            let is_other = |it: &&Whole| {
                let same = Some(&it.configuration) == configuration.as_ref();
                !same || it.revision.is_some_and(|told| Some(told) != revision)
            };
            let other = whole.filter(is_other);
            let Some(other) = other else {
                teller.disagrees = None;
                continue;
            };
            // Whoever tells something else again is another case.
            let before = teller.disagrees.filter(|it| it.revision == other.revision);
            let (since, said) = before.map_or((now, false), |it| (it.since, it.is_said));
            let is_due = now.since(since) >= ALARM_AFTER;
            teller.disagrees = Some(Disagreement {
                since,
                revision: other.revision,
                is_said: said || is_due,
            });
            if let (Some(told), Some(in_force), true) = (other.revision, revision, is_due && !said) {
                let name = teller.name.clone();
                news.push(match told == in_force {
                    true => What::Contradicted { name, revision: told },
                    false => What::RevisionOutdated {
                        name,
                        revision: told,
                        in_force,
                    },
                });
            }
        }
        news.into_iter().for_each(|what| self.event(what));
    }
}
