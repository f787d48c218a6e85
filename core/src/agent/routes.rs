//! Routes between sessions and control nodes: what one learned goes up, what others learned comes down.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::uplinks::{self, Change, Output as Up, Uplinks};
use super::{Agent, Output, Why};
use crate::bounds::ROUTES_PER_STEP;
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
                Up::Say { id, stanza } => self.outputs.push_back(Output::Say { id, stanza }),
                Up::Close { id, why } => self.outputs.push_back(Output::HangUp { id, why }),
                Up::Event(what) => self.outputs.push_back(Output::Event(what)),
                Up::Imported { network, mac, .. } => self.imported(network, mac),
                Up::Settled { network, settled } => self.settled(network, settled),
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
            let settled = uplinks.is_settled(network);
            let command = Command::Settle { network, settled };
            self.outputs.push_back(Output::Tell { conn, command });
        }
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

    fn settled(&mut self, network: Uuid, settled: bool) {
        // Whatever was told before that comes first.
        while self.is_unheard(network) {
            self.feed();
        }
        for (conn, _) in self
            .sessions
            .iter()
            .filter(|(_, known)| known.networks.contains(&network))
        {
            let command = Command::Settle { network, settled };
            self.outputs.push_back(Output::Tell { conn: *conn, command });
        }
    }

    fn is_unheard(&self, network: Uuid) -> bool {
        let of_network = (network, Mac([0; 6]))..=(network, Mac::BROADCAST);
        let mut sessions = self.sessions.values();
        sessions.any(|known| known.unheard.range(of_network.clone()).next().is_some())
    }

    /// Tells each session a bounded number of the routes that it has not heard of.
    pub(super) fn feed(&mut self) {
        let Some(uplinks) = &self.uplinks else { return };
        for (conn, known) in self.sessions.iter_mut().filter(|(_, known)| !known.unheard.is_empty()) {
            let mut news: BTreeMap<Uuid, Vec<_>> = BTreeMap::new();
            for _ in 0..ROUTES_PER_STEP {
                let Some((network, mac)) = known.unheard.pop_first() else {
                    break;
                };
                let macs = news.entry(network).or_default();
                macs.push((mac, uplinks.vtep(network, mac)));
            }
            for (network, macs) in news {
                let command = Command::Import { network, macs };
                self.outputs.push_back(Output::Tell { conn: *conn, command });
            }
        }
    }

    /// When there is more to tell, to sessions or to control nodes.
    pub(super) fn routes_due(&self) -> Option<Deadline<Why>> {
        let uplinks = self.uplinks.as_ref()?;
        let more = self.sessions.values().any(|known| !known.unheard.is_empty());
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
