//! Received routes that each session has not been sent yet: MACs first, then the completeness of a network.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use super::Output;
use super::uplinks::Uplinks;
use crate::bounds::{LOOKS_PER_STEP, ROUTES_PER_STEP};
use crate::dirty_set::DirtySet;
use crate::ids::{ConnId, Mac, Uuid};
use crate::session::Command;

/// The imports that wait for each session.
#[derive(Clone, Debug, Default)]
pub(super) struct Imports {
    by_conn: BTreeMap<ConnId, Pending>,
    /// The session that had the last turn: the next one follows it.
    turn: Option<ConnId>,
}

#[derive(Clone, Debug, Default)]
struct Pending {
    /// The networks that its switches take part in.
    networks: BTreeSet<Uuid>,
    /// Imports not yet sent to this session.
    macs: DirtySet<(Uuid, Mac)>,
    /// Networks of which every MAC is to be sent, from this one on.
    walks: BTreeMap<Uuid, Mac>,
    /// Networks to mark complete once their queued imports have been sent.
    complete: DirtySet<Uuid>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.macs.is_empty() && self.walks.is_empty() && self.complete.is_empty()
    }
}

impl Imports {
    /// A session began.
    pub(super) fn on_opened(&mut self, conn: ConnId) {
        self.by_conn.insert(conn, Pending::default());
    }

    /// A session ended.
    pub(super) fn on_closed(&mut self, conn: ConnId) {
        self.by_conn.remove(&conn);
    }

    /// The switches of a session take part in these networks now. Everything of a network that is new to it will be sent.
    pub(super) fn set_networks(&mut self, conn: ConnId, networks: BTreeSet<Uuid>, uplinks: &Uplinks) {
        let Some(pending) = self.by_conn.get_mut(&conn) else {
            return;
        };
        let before = std::mem::replace(&mut pending.networks, networks);
        for network in pending.networks.difference(&before).copied() {
            pending.walks.insert(network, Mac([0; 6]));
            if uplinks.is_complete(network) {
                pending.complete.mark(network);
            }
        }
        // A session keeps every import. One of a network that it has left would be outdated when it joins the network again.
        let networks = &pending.networks;
        if before.is_subset(networks) {
            return;
        }
        pending.macs.retain(|(network, _)| networks.contains(network));
        pending.walks.retain(|network, _| networks.contains(network));
        pending.complete.retain(|network| networks.contains(network));
    }

    /// The best path of a MAC changed.
    pub(super) fn mark(&mut self, network: Uuid, mac: Mac) {
        for (_, pending) in self.members(network) {
            pending.macs.mark((network, mac));
        }
    }

    /// The routes of a network are complete, or are not any more. A session is notified of the former after its routes,
    /// and of the latter at once.
    pub(super) fn on_complete(&mut self, network: Uuid, complete: bool, outputs: &mut VecDeque<Output>) {
        for (conn, pending) in self.members(network) {
            if complete {
                pending.complete.mark(network);
            } else {
                pending.complete.unmark(&network);
                let command = Command::RoutesComplete { network, complete };
                outputs.push_back(Output::Command { conn, command });
            }
        }
    }

    /// Whether anything waits.
    pub(super) fn has_work(&self) -> bool {
        self.by_conn.values().any(|pending| !pending.is_empty())
    }

    /// Sends a bounded number of what waits; the sessions take turns.
    pub(super) fn send(&mut self, uplinks: &Uplinks, outputs: &mut VecDeque<Output>) {
        for _ in 0..LOOKS_PER_STEP / ROUTES_PER_STEP {
            let Some(conn) = self.next_turn() else { return };
            self.turn = Some(conn);
            if let Some(pending) = self.by_conn.get_mut(&conn) {
                let commands = pending.take(uplinks);
                outputs.extend(commands.into_iter().map(|command| Output::Command { conn, command }));
            }
        }
    }

    fn next_turn(&self) -> Option<ConnId> {
        let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let is_due = |(_, pending): &(&ConnId, &Pending)| !pending.is_empty();
        let later = self.by_conn.range((after, Bound::Unbounded)).find(is_due);
        later
            .or_else(|| self.by_conn.iter().find(is_due))
            .map(|(conn, _)| *conn)
    }

    fn members(&mut self, network: Uuid) -> impl Iterator<Item = (ConnId, &mut Pending)> {
        let all = self.by_conn.iter_mut().map(|(conn, pending)| (*conn, pending));
        all.filter(move |(_, pending)| pending.networks.contains(&network))
    }
}

impl Pending {
    /// Adds what a turn has room for of the networks of which every MAC is to be sent.
    fn walk(&mut self, uplinks: &Uplinks, taken: &mut Vec<(Uuid, Mac)>) {
        while taken.len() < ROUTES_PER_STEP
            && let Some((network, from)) = self.walks.pop_first()
        {
            let mut macs = uplinks.fabric().macs_from(network, from);
            let room = ROUTES_PER_STEP - taken.len();
            taken.extend(macs.by_ref().take(room).map(|mac| (network, mac)));
            if let Some(next) = macs.next() {
                self.walks.insert(network, next);
            }
        }
    }

    /// The commands of one turn.
    fn take(&mut self, uplinks: &Uplinks) -> Vec<Command> {
        let mut by_network: BTreeMap<Uuid, Vec<_>> = BTreeMap::new();
        let mut taken = self.macs.take(ROUTES_PER_STEP);
        self.walk(uplinks, &mut taken);
        for (network, mac) in taken {
            let macs = by_network.entry(network).or_default();
            macs.push((mac, uplinks.vtep(network, mac)));
        }
        let imports = by_network
            .into_iter()
            .map(|(network, macs)| Command::Import { network, macs });
        let mut commands: Vec<_> = imports.collect();
        let (macs, walks, ends) = (&self.macs, &self.walks, [Mac([0; 6]), Mac::BROADCAST]);
        let is_sent = |network: &Uuid| {
            let [first, last] = ends.map(|mac| (*network, mac));
            !macs.any_in(first..=last) && !walks.contains_key(network)
        };
        let complete = self.complete.take_ready(is_sent).into_iter();
        commands.extend(complete.map(|network| {
            let complete = true;
            Command::RoutesComplete { network, complete }
        }));
        commands
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::uplinks::Options;
    use super::*;
    use crate::configuration::SessionOptions;

    const NETWORK: Uuid = Uuid(1);

    fn uplinks() -> Uplinks {
        Uplinks::new(Options {
            nodes: Vec::new(),
            certificates: Vec::new(),
            session: SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST),
            stale_hold: None,
            seed: 1,
        })
    }

    /// Sessions that take part in the network, with so many MACs marked.
    fn imports(sessions: u64, macs: usize) -> Imports {
        let mut imports = Imports::default();
        for conn in (1..=sessions).map(ConnId) {
            imports.on_opened(conn);
            imports.set_networks(conn, [NETWORK].into(), &uplinks());
        }
        for number in 0..macs {
            let [high, low] = u16::try_from(number).expect("few").to_be_bytes();
            imports.mark(NETWORK, Mac([2, 0, 0, 0, high, low]));
        }
        imports
    }

    /// The commands of one step: each session, and the number of its MACs, or whether the network is complete.
    fn send(imports: &mut Imports) -> Vec<(u64, Result<usize, bool>)> {
        let mut outputs = VecDeque::new();
        imports.send(&uplinks(), &mut outputs);
        sent(outputs)
    }

    fn sent(outputs: VecDeque<Output>) -> Vec<(u64, Result<usize, bool>)> {
        let sent = outputs.into_iter().filter_map(|output| {
            let Output::Command { conn, command } = output else {
                return None;
            };
            match command {
                Command::Import { macs, .. } => Some((conn.0, Ok(macs.len()))),
                Command::RoutesComplete { complete, .. } => Some((conn.0, Err(complete))),
                Command::Changed(_)
                | Command::Configure { .. }
                | Command::Clear
                | Command::Bar(_)
                | Command::Fit
                | Command::Probe(_)
                | Command::Confirm
                | Command::Retry => None,
                Command::Drain | Command::HandOver | Command::Close(_) => None,
            }
        });
        sent.collect()
    }

    #[test]
    fn a_network_is_complete_after_the_last_of_its_routes() {
        let mut imports = imports(1, ROUTES_PER_STEP + 1);
        let mut at_once = VecDeque::new();
        imports.on_complete(NETWORK, true, &mut at_once);
        assert_eq!(sent(at_once), []);
        assert_eq!(
            send(&mut imports),
            [(1, Ok(ROUTES_PER_STEP)), (1, Ok(1)), (1, Err(true))]
        );
        assert!(!imports.has_work());
    }

    #[test]
    fn a_network_that_is_complete_no_more_is_notified_before_its_routes() {
        let mut imports = imports(1, 1);
        let mut at_once = VecDeque::new();
        imports.on_complete(NETWORK, true, &mut at_once);
        imports.on_complete(NETWORK, false, &mut at_once);
        assert_eq!(sent(at_once), [(1, Err(false))]);
        assert_eq!(send(&mut imports), [(1, Ok(1))]);
    }

    #[test]
    fn sessions_take_turns_and_a_step_is_bounded() {
        let most = LOOKS_PER_STEP / ROUTES_PER_STEP;
        let mut imports = imports(2, most * ROUTES_PER_STEP);
        let turns: Vec<u64> = send(&mut imports).into_iter().map(|(conn, _)| conn).collect();
        assert_eq!(turns, [1, 2].repeat(most / 2));
        assert!(imports.has_work());
        assert_eq!(send(&mut imports)[0], (1, Ok(ROUTES_PER_STEP)), "after the second");
    }

    #[test]
    fn a_session_is_sent_nothing_of_a_network_that_it_has_left() {
        let mut imports = imports(2, 1);
        imports.on_complete(NETWORK, true, &mut VecDeque::new());
        imports.set_networks(ConnId(1), BTreeSet::new(), &uplinks());
        imports.on_closed(ConnId(2));
        assert!(!imports.has_work());
        imports.mark(NETWORK, Mac([2, 0, 0, 0, 0, 1]));
        assert_eq!(send(&mut imports), []);
    }
}
