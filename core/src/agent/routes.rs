//! Routes between sessions and control nodes: what one learned goes up, what others learned comes down.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::uplinks::{self, Change, Output as Up, Uplinks};
use super::{Agent, Known, Output, Why};
use crate::bounds::{LOOKS_PER_STEP, ROUTES_PER_STEP};
use crate::event::Route;
use crate::ids::{ConnId, Generation, Mac, Uuid};
use crate::machine::Machine;
use crate::session::Command;
use crate::time::{Deadline, Time};

impl Agent {
    /// Something happened between us and a control node.
    pub(super) fn uplink(&mut self, now: Time, input: uplinks::Input) {
        let Some(uplinks) = &mut self.uplinks else { return };
        uplinks.handle(now, input);
        let mut told = None;
        while let Some(output) = self.uplinks.as_mut().and_then(Uplinks::poll_output) {
            match output {
                Up::Dial { id, to } => self.outputs.push_back(Output::Dial { id, to }),
                Up::SendStanza { id, stanza } => self.outputs.push_back(Output::Say { id, stanza }),
                Up::Close { id, why } => self.outputs.push_back(Output::HangUp { id, why }),
                Up::Event(what) => self.outputs.push_back(Output::Event(what)),
                Up::Imported { network, mac, .. } => self.imported(network, mac),
                Up::RoutesComplete { network, complete } => self.settled(network, complete),
                Up::Configure {
                    configuration,
                    complete,
                } => told = Some((configuration, complete)),
            }
        }
        // They hear of it in turn: what they said so far comes first.
        if let Some((configuration, complete)) = told {
            self.configure(now, configuration, complete);
        }
    }

    pub(super) fn check_uplinks(&mut self, now: Time) {
        let due = self.uplinks.as_ref().and_then(Uplinks::poll_timeout);
        if due.is_some_and(|due| due.at <= now) {
            self.uplink(now, uplinks::Input::Timeout);
        }
    }

    /// Our sessions' word on a route changed.
    pub(super) fn advertise(&mut self, now: Time, route: Route, change: Change) {
        if self.uplinks.is_some() {
            let vteps = self.exports.vteps(route.network, route.mac).collect();
            let exported = uplinks::Input::Exported { route, change, vteps };
            self.uplink(now, exported);
        }
    }

    /// A session is over: what it alone vouched for is retracted.
    pub(super) fn retracted(&mut self, now: Time, generation: Generation) {
        for route in self.exports.retracted(generation) {
            self.advertise(now, route, Change::SessionOver);
        }
    }

    /// Another configuration is in force: sessions may take part in other networks.
    pub(super) fn attend_all(&mut self, now: Time) {
        if self.uplinks.is_some() {
            let configuration = Arc::clone(&self.configuration);
            self.uplink(now, uplinks::Input::Configured(configuration));
            for conn in self.sessions.keys().copied().collect::<Vec<_>>() {
                self.attend(conn);
            }
        }
    }

    /// A session hears of the networks that its switches take part in.
    pub(super) fn attend(&mut self, conn: ConnId) {
        let (Some(uplinks), Some(known)) = (&self.uplinks, self.sessions.get_mut(&conn)) else {
            return;
        };
        let served = known
            .served
            .iter()
            .filter_map(|name| self.configuration.switches.get(name));
        let networks = served.flat_map(|switch| switch.networks()).collect();
        let before = std::mem::replace(&mut known.networks, networks);
        for network in known.networks.difference(&before).copied() {
            known
                .unheard
                .extend(uplinks.fabric().macs_of(network).map(|mac| (network, mac)));
            if uplinks.is_complete(network) {
                known.settling.insert(network);
            }
        }
        // What it were told now of a network that it has left, it would still believe when it is back there.
        let networks = &known.networks;
        known.unheard.retain(|(network, _)| networks.contains(network));
        known.settling.retain(|network| networks.contains(network));
    }

    /// A MAC lives elsewhere now: every session that takes part in its network hears of it.
    fn imported(&mut self, network: Uuid, mac: Mac) {
        for known in self
            .sessions
            .values_mut()
            .filter(|known| known.networks.contains(&network))
        {
            known.unheard.insert((network, mac));
        }
    }

    /// Whether everything was told of a network. That it was is heard after it, and that it was not at once.
    fn settled(&mut self, network: Uuid, settled: bool) {
        let sessions = self.sessions.iter_mut();
        for (conn, known) in sessions.filter(|(_, known)| known.networks.contains(&network)) {
            if settled {
                known.settling.insert(network);
            } else {
                known.settling.remove(&network);
                let complete = false;
                let command = Command::RoutesComplete { network, complete };
                self.outputs.push_back(Output::Tell { conn: *conn, command });
            }
        }
    }

    /// Tells sessions, in turns, a bounded number of the routes that they have not heard of.
    pub(super) fn feed(&mut self) {
        for _ in 0..LOOKS_PER_STEP / ROUTES_PER_STEP {
            let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
            let is_due = |(_, known): &(&ConnId, &Known)| !known.unheard.is_empty() || !known.settling.is_empty();
            let next = self.sessions.range((after, Bound::Unbounded)).find(is_due);
            let next = next.or_else(|| self.sessions.iter().find(is_due));
            let Some(conn) = next.map(|(conn, _)| *conn) else {
                return;
            };
            self.turn = Some(conn);
            self.feed_one(conn);
        }
    }

    fn feed_one(&mut self, conn: ConnId) {
        let (Some(uplinks), Some(known)) = (&self.uplinks, self.sessions.get_mut(&conn)) else {
            return;
        };
        let mut tell = |command| self.outputs.push_back(Output::Tell { conn, command });
        let mut news: BTreeMap<Uuid, Vec<_>> = BTreeMap::new();
        for _ in 0..ROUTES_PER_STEP {
            let Some((network, mac)) = known.unheard.pop_first() else {
                break;
            };
            let macs = news.entry(network).or_default();
            macs.push((mac, uplinks.vtep(network, mac)));
        }
        for (network, macs) in news {
            tell(Command::Import { network, macs });
        }
        let all_heard = |network: &Uuid| {
            let mut unheard = known
                .unheard
                .range((*network, Mac([0; 6]))..=(*network, Mac::BROADCAST));
            unheard.next().is_none()
        };
        for network in known.settling.extract_if(.., all_heard) {
            let complete = true;
            tell(Command::RoutesComplete { network, complete });
        }
    }

    /// When there is more to tell, to sessions or to control nodes.
    pub(super) fn routes_due(&self) -> Option<Deadline<Why>> {
        let uplinks = self.uplinks.as_ref()?;
        let mut sessions = self.sessions.values();
        let more = sessions.any(|known| !known.unheard.is_empty() || !known.settling.is_empty());
        let more = more.then_some(Deadline {
            at: Time::ORIGIN,
            why: Why::MoreWork,
        });
        let due = uplinks.poll_timeout().map(|Deadline { at, why }| Deadline {
            at,
            why: Why::Uplink(why),
        });
        more.or(due)
    }
}
