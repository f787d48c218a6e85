//! Walks over many routes: a bounded number of them in each step, the others in later steps.
//!
//! Whatever concerns every route of a network or of a session with a control node is a walk: one long step would delay
//! the sessions with switches, and make a healthy agent look hung. A walk goes on where it stopped, in the order of MACs,
//! and looks at each as it is by then.

use std::collections::{BTreeMap, BTreeSet};

use crate::bounds::LOOKS_PER_STEP;
use crate::evpn::{InstanceName, Key};
use crate::ids::{Mac, Uuid};

/// The walks that are under way, and the first route that each has yet to look at.
#[derive(Clone, Debug, Default)]
pub(super) struct Walks {
    /// Routes that this step may still look at.
    pub(super) looks: usize,
    /// Our sessions are about to end: what we advertise gets copies.
    pub(super) releasing: Option<(Uuid, Mac)>,
    /// The live paths of any MAC of which copies are held may be others.
    pub(super) copying: Option<(Uuid, Mac)>,
    /// Networks that our switches have left: copies go.
    pub(super) uncopying: BTreeSet<Uuid>,
    /// Networks of which a control node has sent all routes: what only we know is presumed, before they count as complete.
    pub(super) presuming: BTreeMap<Uuid, Mac>,
    /// Complete networks in which something stale may be left.
    pub(super) sweeping: BTreeMap<Uuid, Mac>,
    /// Networks of which every route may have to be sent, and the instance that they were sent into.
    pub(super) marking: BTreeMap<(Uuid, InstanceName), Mark>,
}

/// Which routes of a network are to be marked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// Those that were sent, from this one on; then those that are published.
    Sent(Option<Key>),
    /// Those that are published, from this one on.
    Published(Mac),
}

/// Where a walk over MACs begins.
pub(super) const FIRST: Mac = Mac([0; 6]);

impl Walks {
    /// A step begins.
    pub(super) fn begin_step(&mut self) {
        self.looks = LOOKS_PER_STEP;
    }

    /// Whether any walk is under way.
    pub(super) fn is_any(&self) -> bool {
        let copies = self.copying.is_some() || !self.uncopying.is_empty();
        let complete = !self.presuming.is_empty() || !self.sweeping.is_empty();
        self.is_releasing() || copies || complete || self.is_marking()
    }

    /// Whether what we advertise still gets copies, for the time after our sessions.
    pub(super) fn is_releasing(&self) -> bool {
        self.releasing.is_some()
    }

    /// Whether some of what may have to be sent has yet to be marked.
    pub(super) fn is_marking(&self) -> bool {
        !self.marking.is_empty()
    }

    /// Every route of a network may have to be sent: those that were sent into an instance, and those published now.
    pub(super) fn mark_network(&mut self, network: Uuid, sent_into: InstanceName) {
        self.marking.insert((network, sent_into), Mark::Sent(None));
    }

    /// Something stale may be left in a complete network.
    pub(super) fn sweep_network(&mut self, network: Uuid) {
        self.sweeping.insert(network, FIRST);
    }

    /// Of these networks a control node has sent all routes, of no others.
    pub(super) fn presume(&mut self, complete: &BTreeSet<Uuid>, added: impl IntoIterator<Item = Uuid>) {
        self.presuming.retain(|network, _| complete.contains(network));
        for network in added {
            self.presuming.entry(network).or_insert(FIRST);
        }
    }

    /// The live paths of any MAC of which copies are held may be others.
    pub(super) fn copy_all(&mut self) {
        self.copying = Some((Uuid(0), FIRST));
    }

    /// Our sessions are about to end.
    pub(super) fn release(&mut self) {
        self.releasing = Some((Uuid(0), FIRST));
    }

    /// Our switches take part in a network no more.
    pub(super) fn leave(&mut self, network: Uuid) {
        self.uncopying.insert(network);
    }

    /// The networks that were left and are there again while copies of them are.
    pub(super) fn take_back(&mut self, is_there: impl Fn(Uuid) -> bool) -> Vec<Uuid> {
        self.uncopying.extract_if(.., |network| is_there(*network)).collect()
    }

    /// So many routes were looked at; nothing at all costs a look, too.
    pub(super) fn looked(&mut self, looks: usize) {
        self.looks = self.looks.saturating_sub(looks.max(1));
    }
}

/// Some keys, and the one to go on with.
pub(super) type Portion<K> = (Vec<K>, Option<K>);

/// The first keys of sorted iterators. Each of the iterators has been cut to one key more than `at_most`.
pub(super) fn portion<K: Ord>(keys: impl Iterator<Item = K>, at_most: usize) -> Portion<K> {
    let mut keys: Vec<K> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    let next = keys.drain(at_most.min(keys.len())..).next();
    (keys, next)
}
