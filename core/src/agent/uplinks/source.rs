//! The source of the configuration: one control node at a time, until it is lost or turns out to be outdated.
//!
//! The graph of each control node is built up separately; what was in force stays in force until the next one has sent
//! everything. A Tandem control node marks the end, with the revision; others are quiet for a while.
//!
//! Every Tandem control node is asked, so that a higher revision is followed at once, and a difference is reported. One of
//! another make is asked when no other is left to follow, and followed until a Tandem control node is back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::connections::Connections;
use super::provider::{Provider, Snapshot};
use super::{Output, UplinkId, What};
use crate::agent::graph::virtual_router;
use crate::author::Author;
use crate::bounds::RECALL_AFTER;
use crate::configuration::{Configuration, SessionOptions};
use crate::contrail_schema::property::REVISION;
use crate::machine::{CloseReason, CloseWhy};
use crate::status::Ignored;
use crate::time::Time;
use crate::xmpp::Stanza;
use crate::xmpp::graph::{Change, NodeId};

/// The control nodes that send the configuration, and what is in force.
#[derive(Clone, Debug)]
pub(super) struct Source {
    session: SessionOptions,
    /// Those that were asked.
    providers: BTreeMap<UplinkId, Provider>,
    /// The one whose configuration is, or will be, in force.
    followed: Option<UplinkId>,
    /// Of those, the one that was reported: its configuration is in force.
    announced: Option<UplinkId>,
    /// Of the configuration in force, if a revision came with it.
    revision: Option<u64>,
    configuration: Option<Arc<Configuration>>,
    memory: Memory,
}

/// The configuration of an earlier life of this agent.
#[derive(Clone, Debug, Default)]
struct Memory {
    content: Option<(Arc<Configuration>, Option<u64>)>,
    /// When it is to be in force: no control node with a session may configure the agent, and nothing is in force.
    recall_at: Option<Time>,
    is_in_force: bool,
}

impl Source {
    /// No control node was asked yet.
    pub(super) fn new(session: SessionOptions) -> Self {
        Self {
            session,
            providers: BTreeMap::new(),
            followed: None,
            announced: None,
            revision: None,
            configuration: None,
            memory: Memory::default(),
        }
    }

    /// The configuration of an earlier life of this agent, for the time when no control node can be reached.
    pub(super) fn on_remembered(
        &mut self,
        now: Time,
        content: (Arc<Configuration>, Option<u64>),
        connections: &Connections,
    ) {
        if self.configuration.is_none() {
            self.memory.content = Some(content);
            self.plan_recall(now, connections);
        }
    }

    /// Whether a remembered configuration is in force.
    pub(super) fn is_remembered(&self) -> bool {
        self.memory.is_in_force
    }

    /// Of the configuration in force, if a revision came with it.
    pub(super) fn revision(&self) -> Option<u64> {
        self.revision
    }

    /// Whether the configuration of this session is in force.
    pub(super) fn is_in_force(&self, id: Option<UplinkId>) -> bool {
        id.is_some_and(|id| self.is_followed(id) && self.providers.get(&id).is_some_and(|it| it.snapshot().is_some()))
    }

    /// Whether the configuration of some session is in force. A control node of another make is trusted to send it: it
    /// marks no end, and its revision cannot be lower.
    pub(super) fn is_any_in_force(&self) -> bool {
        let followed = self.followed.and_then(|id| self.providers.get(&id));
        followed.is_some_and(|it| !it.is_ours() || it.snapshot().is_some())
    }

    /// Why the configuration of this session is ignored, if it is.
    pub(super) fn ignored(&self, id: Option<UplinkId>) -> Option<Ignored> {
        let provider = self.providers.get(&id?)?;
        let outdated = self.is_outdated(provider).then_some(Ignored::Outdated);
        provider.exceeds().then_some(Ignored::TooLarge).or(outdated)
    }

    fn is_followed(&self, id: UplinkId) -> bool {
        self.followed == Some(id)
    }

    /// The revision that this session sent, and whether that has differed from what is in force for long enough to be
    /// reported.
    pub(super) fn revision_from(&self, id: Option<UplinkId>) -> (Option<u64>, bool) {
        let provider = id.and_then(|id| self.providers.get(&id));
        (
            provider.and_then(Provider::revision),
            provider.is_some_and(Provider::differs),
        )
    }

    /// When silence means that everything was sent, or when a difference is to be reported.
    pub(super) fn due(&self) -> Option<Time> {
        let providers = self.providers.values();
        let due = providers.flat_map(|it| [it.quiet_at(), it.report_at()]).flatten();
        due.chain(self.memory.recall_at).min()
    }

    /// Asks every Tandem control node, and if none is left to follow, one of another make.
    pub(super) fn choose(&mut self, now: Time, connections: &Connections, outputs: &mut VecDeque<Output>) {
        let mut uplinks: Vec<_> = connections.uplinks().collect();
        uplinks.sort_by_key(|uplink| !uplink.is_ours());
        for uplink in uplinks {
            let is_desired = uplink.is_ours() || self.best().is_none();
            if is_desired && !self.providers.contains_key(&uplink.id()) {
                let provider = Provider::new(now, uplink.name().to_owned(), uplink.is_ours());
                self.ask(uplink.id(), provider, outputs);
            }
        }
        if self.followed.is_none()
            && let Some(best) = self.best()
        {
            self.follow(best, outputs);
        }
        self.plan_recall(now, connections);
        self.compare(now, outputs);
    }

    fn plan_recall(&mut self, now: Time, connections: &Connections) {
        let is_empty = self.memory.content.is_some() && self.configuration.is_none();
        let may_configure = |provider: &Provider| !self.is_outdated(provider) && !provider.exceeds();
        let mut uplinks = connections.uplinks();
        let waits = is_empty && !uplinks.any(|uplink| self.providers.get(&uplink.id()).is_none_or(may_configure));
        let at = self.memory.recall_at.or(Some(now + RECALL_AFTER));
        self.memory.recall_at = at.filter(|_| waits);
    }

    /// No control node configures the agent: what is remembered is in force, and deletes nothing, because it may be outdated.
    fn recall(&mut self, outputs: &mut VecDeque<Output>) {
        self.memory.recall_at = None;
        let Some((configuration, revision)) = self.memory.content.take() else {
            return;
        };
        self.configuration = Some(Arc::clone(&configuration));
        let change = Author::Memory.changes(self.revision, revision);
        self.revision = revision;
        self.memory.is_in_force = true;
        outputs.push_back(Output::Event(What::Recalled { revision }));
        outputs.push_back(Output::configure(configuration, false, change));
    }

    /// A session ended.
    pub(super) fn on_closed(&mut self, id: UplinkId) {
        self.providers.remove(&id);
        self.followed.take_if(|followed| *followed == id);
    }

    /// A control node sent changes. One of ours sends our own node, with the revision, last.
    pub(super) fn on_changes(
        &mut self,
        now: Time,
        id: UplinkId,
        changes: Vec<Change>,
        connections: &Connections,
        outputs: &mut VecDeque<Output>,
    ) {
        let own = self.own_node();
        let Some(provider) = self.providers.get_mut(&id) else {
            return;
        };
        let is_last =
            |change: &Change| matches!(change, Change::UpdateNode(node) if node.id == own && node.has(REVISION));
        let end = changes.last().filter(|change| is_last(change)).cloned();
        if provider.exceeds() {
            return self.on_excess(id, end, outputs);
        }
        if !provider.on_changes(now, changes) {
            let name = provider.name().to_owned();
            outputs.push_back(Output::Event(What::ConfigurationTooLarge { name }));
            self.followed.take_if(|followed| *followed == id);
            self.on_excess(id, end, outputs);
            return self.choose(now, connections, outputs);
        }
        if end.is_some() {
            self.on_end(now, id, connections, outputs);
        }
    }

    /// A control node that sent too much sends more. What it sends is ignored, until it ends another revision: then the
    /// session is opened again, so that the control node sends all of it.
    fn on_excess(&mut self, id: UplinkId, end: Option<Change>, outputs: &mut VecDeque<Output>) {
        let Some(Change::UpdateNode(node)) = end else { return };
        let revision = node.properties.iter().find(|it| &*it.name == REVISION);
        let revision = revision.and_then(|it| it.text.trim().parse().ok());
        let provider = self.providers.get_mut(&id);
        if provider.is_some_and(|it| it.on_end_of_excess(revision)) {
            let what = "its configuration changed since it was too large";
            let why = CloseWhy::new(CloseReason::BoundExceeded, what);
            outputs.push_back(Output::Close { id, why });
        }
    }

    /// Silence may mean that everything was sent, and a difference may have lasted.
    pub(super) fn on_timeout(&mut self, now: Time, connections: &Connections, outputs: &mut VecDeque<Output>) {
        let is_quiet = |provider: &Provider| provider.quiet_at().is_some_and(|at| at <= now);
        let quiet = self.providers.iter().filter(|(_, provider)| is_quiet(provider));
        for id in quiet.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.on_end(now, id, connections, outputs);
        }
        if self.memory.recall_at.is_some_and(|at| at <= now) {
            self.recall(outputs);
            self.compare(now, outputs);
        }
        if self.due().is_some_and(|due| due <= now) {
            self.compare(now, outputs);
        }
    }

    /// A control node has sent everything.
    fn on_end(&mut self, now: Time, id: UplinkId, connections: &Connections, outputs: &mut VecDeque<Output>) {
        let Some(provider) = self.providers.get_mut(&id) else {
            return;
        };
        provider.take_snapshot(&self.session);
        let provider = &self.providers[&id];
        if self.is_outdated(provider) {
            self.followed.take_if(|followed| *followed == id);
        } else if self.is_followed(id) || self.is_better(provider) {
            self.follow(id, outputs);
        }
        self.choose(now, connections, outputs);
    }

    fn ask(&mut self, id: UplinkId, provider: Provider, outputs: &mut VecDeque<Output>) {
        let compact = provider.is_ours();
        self.providers.insert(id, provider);
        let NodeId { kind, name } = self.own_node();
        let stanza = Stanza::SubscribeConfiguration {
            kind,
            name,
            compact,
            in_force: self.least_revision().filter(|_| compact),
        };
        outputs.push_back(Output::SendStanza { id, stanza });
    }

    /// From now on the configuration of this control node is in force: what it has sent, and what it will send. It is
    /// reported when there is something: what it sends may turn out to be outdated.
    fn follow(&mut self, id: UplinkId, outputs: &mut VecDeque<Output>) {
        let Some(provider) = self.providers.get(&id) else {
            return;
        };
        let (name, snapshot) = (provider.name().to_owned(), provider.snapshot().cloned());
        self.followed = Some(id);
        let Some(snapshot) = snapshot else { return };
        if self.announced.replace(id) != Some(id) {
            outputs.push_back(Output::Event(What::ConfiguredBy { name: name.clone() }));
        }
        self.put_in_force(name, snapshot, outputs);
    }

    fn put_in_force(&mut self, name: String, snapshot: Snapshot, outputs: &mut VecDeque<Output>) {
        let Snapshot {
            revision,
            configuration,
            problems,
        } = snapshot;
        let before = self.configuration.replace(Arc::clone(&configuration));
        let is_same = before.as_ref() == Some(&configuration);
        if let Some(known) = revision.filter(|_| revision == self.revision && !is_same) {
            let (name, revision) = (name.clone(), known);
            outputs.push_back(Output::Event(What::Contradicted { name, revision }));
        }
        let is_news = !is_same || revision != self.revision;
        let change = Author::ControlNode(name).changes(self.revision, revision);
        self.revision = revision.or(self.revision);
        self.memory = Memory::default();
        outputs.extend(is_news.then(|| Output::Remember {
            configuration: Arc::clone(&configuration),
            revision,
        }));
        outputs.extend(
            problems
                .into_iter()
                .map(|what| Output::Event(What::Unreadable { what })),
        );
        outputs.push_back(Output::configure(configuration, true, change));
    }

    /// Reports each control node whose configuration has differed from the one in force for a while.
    fn compare(&mut self, now: Time, outputs: &mut VecDeque<Output>) {
        let (revision, configuration) = (self.revision, self.configuration.as_ref());
        if configuration.is_none() {
            return;
        }
        let providers = self.providers.values_mut();
        let reports = providers.filter_map(|provider| provider.compare(now, revision, configuration));
        outputs.extend(reports.map(Output::Event));
    }

    /// Whether a control node's configuration is older than the one in force, or than the one that is remembered: a
    /// restart of this agent gives an old file no chance.
    fn is_outdated(&self, provider: &Provider) -> bool {
        provider.revision().is_some() && provider.revision() < self.least_revision()
    }

    /// The revision below which nothing is accepted.
    fn least_revision(&self) -> Option<u64> {
        let remembered = self.memory.content.as_ref().and_then(|(_, revision)| *revision);
        self.revision.max(remembered)
    }

    /// Whether a control node is to be followed rather than the present one: its configuration is the first or a later
    /// one, or it is a Tandem control node and the other is not.
    fn is_better(&self, provider: &Provider) -> bool {
        let followed = self.followed.and_then(|id| self.providers.get(&id));
        let is_ours_alone = provider.is_ours() && followed.is_some_and(|followed| !followed.is_ours());
        self.configuration.is_none() || provider.revision() > self.revision || is_ours_alone
    }

    /// Of the control nodes that are not outdated, one that has sent everything, the latest; else the one asked first.
    fn best(&self) -> Option<UplinkId> {
        let current = self
            .providers
            .iter()
            .filter(|(_, provider)| !self.is_outdated(provider) && !provider.exceeds());
        let rank = |(id, provider): &(&UplinkId, &Provider)| {
            let revision = provider.snapshot().map(|snapshot| snapshot.revision);
            (revision, Reverse(**id))
        };
        current.max_by_key(rank).map(|(id, _)| *id)
    }

    /// The node of the graph that stands for this agent.
    fn own_node(&self) -> NodeId {
        virtual_router(&self.session.agent)
    }
}

#[cfg(test)]
mod tests;
