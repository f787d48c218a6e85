//! Remote MACs of which the last route was withdrawn, and whether their deletion is withheld.
//!
//! A control node that lost its routes must not empty a switch. Counted are the rows that would go together with those
//! that went within [`BRAKE_WINDOW`]: for each network, and for the whole switch. If there are too many, those that are
//! left wait until their routes are back, or until an operator confirms them. A MAC that is at another tunnel end now
//! needs no deletion, and one that the switch itself has learned does not count: it is known where it is. A route to the
//! switch's own tunnel end alone is no reason to delete its row: a control node that has wrong routes might have many.

use std::collections::{BTreeMap, BTreeSet};

use super::recent::Recent;
use crate::bounds::BRAKE_WINDOW;
use crate::brake::Brake;
use crate::ids::{Mac, Uuid};
use crate::time::Time;

/// The rows without a route, and the state of the brake on their deletion.
#[derive(Clone, Debug, Default)]
pub(super) struct Withdrawals {
    networks: BTreeMap<Uuid, Network>,
    switch: Scope,
    /// Something changed since the last [`judge`](Self::judge).
    changed: bool,
    /// When to judge without a change.
    wake: Option<Time>,
}

#[derive(Clone, Debug, Default)]
struct Network {
    /// MACs that have a row and no route.
    due: BTreeSet<Mac>,
    /// Those whose deletion an operator has confirmed.
    confirmed: BTreeSet<Mac>,
    /// Its routes were complete when it was judged: what is due was counted.
    is_counted: bool,
    scope: Scope,
}

/// Rows among which deletions are counted.
#[derive(Clone, Debug, Default)]
struct Scope {
    gone: Recent,
    held: Held,
}

/// Whether deletions are withheld.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Held {
    #[default]
    No,
    Yes,
    /// Yes, and there are not too many any more since then: others may be back soon.
    Falling(Time),
}

/// Deletions that are withheld from now on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Exceeded {
    /// Those of one network; `None`: those of the whole switch.
    pub(super) network: Option<Uuid>,
    /// They, and those that went within the window.
    pub(super) deletions: usize,
    /// The rows that there were before.
    pub(super) of: usize,
}

/// What has changed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Judged {
    pub(super) exceeded: Vec<Exceeded>,
    /// Networks whose deletions are no longer withheld, and the switch.
    pub(super) released: usize,
}

impl Withdrawals {
    /// A MAC has a row, and no route.
    pub(super) fn on_withdrawn(&mut self, network: Uuid, mac: Mac) {
        let network = self.networks.entry(network).or_default();
        if !network.confirmed.contains(&mac) {
            self.changed |= network.due.insert(mac);
        }
    }

    /// A MAC has a place again, or has no row any more. The row of one that was withdrawn was deleted.
    pub(super) fn on_settled(&mut self, now: Time, network: Uuid, mac: Mac, deleted: bool) {
        let Some(network) = self.networks.get_mut(&network) else {
            return;
        };
        network.confirmed.remove(&mac);
        if !network.due.remove(&mac) {
            return;
        }
        self.changed = true;
        if deleted {
            network.scope.gone.add(now, 1);
            self.switch.gone.add(now, 1);
        }
    }

    /// The routes of a network may still come.
    pub(super) fn on_incomplete(&mut self, network: Uuid) {
        if let Some(network) = self.networks.get_mut(&network) {
            network.is_counted = false;
        }
    }

    /// Other networks may be complete, or the brake another.
    pub(super) fn look_again(&mut self) {
        self.changed = true;
    }

    /// Whether there is something to judge.
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.changed || self.wake.is_some_and(|at| at <= now)
    }

    /// When there is something to judge, if nothing changes.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.wake
    }

    /// Are there too many? `rows` answers the remote rows of a network whose routes are complete: only of those anything
    /// is deleted. `all`: the remote rows of the switch.
    pub(super) fn judge(
        &mut self,
        now: Time,
        brake: Option<Brake>,
        rows: impl Fn(Uuid) -> Option<usize>,
        all: usize,
    ) -> Judged {
        let mut judged = Judged::default();
        let mut sum = 0;
        for (network, entry) in &mut self.networks {
            let rows = rows(*network);
            entry.is_counted = rows.is_some();
            let due = rows.map_or(0, |_| entry.due.len());
            sum += due;
            let change = entry.scope.judge(now, brake, due, rows.unwrap_or_default());
            judged.file(change, Some(*network), due, rows.unwrap_or_default(), &entry.scope);
        }
        let change = self.switch.judge(now, brake, sum, all);
        judged.file(change, None, sum, all, &self.switch);
        self.networks.retain(|_, network| !network.is_idle());
        let scopes = self.networks.values().map(|network| &network.scope);
        self.wake = scopes.chain([&self.switch]).filter_map(Scope::deadline).min();
        self.changed = false;
        judged
    }

    /// Whether the deletion of a MAC waits for an operator.
    pub(super) fn withholds(&self, network: Uuid, mac: Mac) -> bool {
        let entry = self.networks.get(&network);
        entry.is_some_and(|entry| self.holds(entry) && entry.due.contains(&mac))
    }

    /// The deletions that are withheld.
    pub(super) fn withheld(&self) -> usize {
        let held = self.networks.values().filter(|entry| self.holds(entry));
        held.map(|entry| entry.due.len()).sum()
    }

    /// Networks of which deletions are withheld.
    pub(super) fn networks(&self) -> impl Iterator<Item = Uuid> + '_ {
        let held = self
            .networks
            .iter()
            .filter(|(_, entry)| self.holds(entry) && !entry.due.is_empty());
        held.map(|(network, _)| *network)
    }

    /// An operator confirms what is withheld. Answers how much that is. A network whose routes may still come is not meant,
    /// nor is what is withdrawn later, which counts from zero.
    pub(super) fn confirm(&mut self) -> usize {
        let mut confirmed = 0;
        let all = self.switch.held != Held::No;
        for entry in self.networks.values_mut() {
            if entry.is_counted && (all || entry.scope.held != Held::No) {
                confirmed += entry.due.len();
                entry.confirmed.append(&mut entry.due);
                entry.scope = Scope::default();
            }
        }
        // A confirmation that covers nothing makes nothing that went before count less.
        if all && confirmed > 0 {
            self.switch = Scope::default();
        }
        self.changed |= confirmed > 0;
        confirmed
    }

    fn holds(&self, entry: &Network) -> bool {
        entry.is_counted && (self.switch.held != Held::No || entry.scope.held != Held::No)
    }
}

impl Judged {
    fn file(&mut self, change: Option<bool>, network: Option<Uuid>, due: usize, rows: usize, scope: &Scope) {
        let gone = scope.gone.count();
        let (deletions, of) = (due + gone, rows + gone);
        match change {
            Some(true) => self.exceeded.push(Exceeded { network, deletions, of }),
            Some(false) => self.released += 1,
            None => {}
        }
    }
}

impl Network {
    fn is_idle(&self) -> bool {
        self.due.is_empty() && self.confirmed.is_empty() && self.scope.is_idle()
    }
}

impl Scope {
    /// So many deletions are due among so many rows. Answers whether they are withheld, if that is a change.
    fn judge(&mut self, now: Time, brake: Option<Brake>, due: usize, rows: usize) -> Option<bool> {
        self.gone.forget(now);
        let gone = self.gone.count();
        let exceeds = due > 0 && brake.is_some_and(|brake| brake.withholds(due + gone, rows + gone));
        let held = match self.held {
            _ if exceeds => Held::Yes,
            _ if due == 0 || brake.is_none() => Held::No,
            Held::Yes => Held::Falling(now),
            Held::Falling(since) if since + BRAKE_WINDOW <= now => Held::No,
            before @ (Held::No | Held::Falling(_)) => before,
        };
        let before = std::mem::replace(&mut self.held, held);
        let is_held = held != Held::No;
        (is_held != (before != Held::No)).then_some(is_held)
    }

    fn deadline(&self) -> Option<Time> {
        let falls = match self.held {
            Held::Falling(since) => Some(since + BRAKE_WINDOW),
            Held::No | Held::Yes => None,
        };
        self.gone.deadline().into_iter().chain(falls).min()
    }

    fn is_idle(&self) -> bool {
        self.held == Held::No && self.gone.count() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NETWORK: Uuid = Uuid(1);
    const BRAKE: Option<Brake> = Some(Brake { percent: 30, rows: 3 });

    fn mac(n: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, n])
    }

    fn at(seconds: u64) -> Time {
        Time::ORIGIN + Duration::from_secs(seconds)
    }

    #[test]
    fn rows_that_went_within_the_window_count_and_older_ones_do_not() {
        let mut withdrawals = Withdrawals::default();
        let judge = |withdrawals: &mut Withdrawals, now, rows| {
            let judged = withdrawals.judge(now, BRAKE, |_| Some(rows), 100);
            (judged.exceeded.len(), judged.released)
        };
        for n in 0..3 {
            withdrawals.on_withdrawn(NETWORK, mac(n));
            withdrawals.on_settled(at(0), NETWORK, mac(n), true);
        }
        assert_eq!(judge(&mut withdrawals, at(0), 7), (0, 0));
        withdrawals.on_withdrawn(NETWORK, mac(3));
        assert_eq!(judge(&mut withdrawals, at(50), 7), (1, 0), "4 of 10 within a minute");
        assert!(withdrawals.withholds(NETWORK, mac(3)));
        assert_eq!(withdrawals.deadline(), Some(at(61)));
        assert_eq!(judge(&mut withdrawals, at(61), 7), (0, 0), "1 of 7 may come back");
        assert_eq!(judge(&mut withdrawals, at(121), 7), (0, 1));
        assert!(!withdrawals.withholds(NETWORK, mac(3)));
    }

    #[test]
    fn nothing_of_a_network_is_judged_before_its_routes_are_complete() {
        let mut withdrawals = Withdrawals::default();
        (0..9).for_each(|n| withdrawals.on_withdrawn(NETWORK, mac(n)));
        assert_eq!(withdrawals.judge(at(0), BRAKE, |_| None, 10), Judged::default());
        assert_eq!(withdrawals.judge(at(0), BRAKE, |_| Some(10), 10).exceeded.len(), 2);
        assert_eq!(withdrawals.withheld(), 9);
    }

    #[test]
    fn a_confirmation_covers_no_network_whose_routes_may_still_come() {
        let mut withdrawals = Withdrawals::default();
        let late = Uuid(2);
        for n in 0..9 {
            withdrawals.on_withdrawn(NETWORK, mac(n));
            withdrawals.on_withdrawn(late, mac(n));
        }
        let complete = |network| (network == NETWORK).then_some(10);
        assert_eq!(withdrawals.judge(at(0), BRAKE, complete, 20).exceeded.len(), 2);
        assert_eq!((withdrawals.withheld(), withdrawals.networks().count()), (9, 1));
        assert_eq!(withdrawals.confirm(), 9);
        (0..9).for_each(|n| withdrawals.on_settled(at(1), NETWORK, mac(n), true));
        withdrawals.judge(at(1), BRAKE, |_| Some(10), 11);
        assert_eq!(withdrawals.withheld(), 9);
        assert!(withdrawals.withholds(late, mac(0)));
    }

    #[test]
    fn a_confirmation_while_no_routes_are_complete_covers_nothing() {
        let mut withdrawals = Withdrawals::default();
        (0..9).for_each(|n| withdrawals.on_withdrawn(NETWORK, mac(n)));
        let judged = withdrawals.judge(at(0), BRAKE, |_| Some(10), 10);
        assert_eq!(judged.exceeded.len(), 2);
        withdrawals.on_incomplete(NETWORK);
        assert_eq!(withdrawals.confirm(), 0);
        withdrawals.judge(at(1), BRAKE, |_| Some(10), 10);
        assert_eq!(withdrawals.withheld(), 9);
        assert_ne!(withdrawals.switch.held, Held::No, "it is still too much");
    }

    #[test]
    fn nothing_is_left_of_what_was_settled() {
        let mut withdrawals = Withdrawals::default();
        (0..9).for_each(|n| withdrawals.on_withdrawn(NETWORK, mac(n)));
        withdrawals.judge(at(0), BRAKE, |_| Some(10), 10);
        assert_eq!(withdrawals.confirm(), 9);
        (0..9).for_each(|n| withdrawals.on_settled(at(1), NETWORK, mac(n), true));
        withdrawals.judge(at(1), BRAKE, |_| Some(1), 1);
        assert!(withdrawals.networks.is_empty() && withdrawals.deadline().is_none());
    }
}
