//! Routes between sessions and control nodes: exports go up, imports come down.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::uplinks::{self, Change, Output as Up, Uplinks};
use super::{Agent, Output, Why};
use crate::bounds::LOOKS_PER_STEP;
use crate::event::Route;
use crate::ids::{ConnId, Generation, Uuid};
use crate::machine::Machine;
use crate::time::{Deadline, Time};

impl Agent {
    /// Something arrived from a control node, or is to be sent there.
    pub(super) fn on_uplink(&mut self, now: Time, input: uplinks::Input) {
        let Some(uplinks) = &mut self.uplinks else { return };
        uplinks.handle(now, input);
        let mut configured = None;
        while let Some(output) = uplinks.poll_output() {
            match output {
                Up::Dial { id, to } => self.outputs.push_back(Output::Dial { id, to }),
                Up::SendStanza { id, stanza } => self.outputs.push_back(Output::SendStanza { id, stanza }),
                Up::Close { id, why } => self.outputs.push_back(Output::CloseUplink { id, why }),
                Up::Event(what) => self.outputs.push_back(Output::Event(what)),
                Up::Remember {
                    configuration,
                    revision,
                } => self.outputs.push_back(Output::Remember {
                    configuration,
                    revision,
                }),
                Up::Imported { network, mac, .. } => self.imports.mark(network, mac),
                Up::RoutesComplete { network, complete } => {
                    self.imports.on_complete(network, complete, &mut self.outputs);
                }
                Up::Configure {
                    configuration,
                    complete,
                    change,
                } => configured = Some((configuration, complete, change)),
            }
        }
        // The uplinks are notified of it in turn, so their outputs come first.
        if let Some((configuration, complete, change)) = configured {
            self.configure(now, configuration, complete, &change);
        }
    }

    /// The time of an uplink may have come.
    pub(super) fn check_uplinks(&mut self, now: Time) {
        let due = self.uplinks.as_ref().and_then(Uplinks::poll_timeout);
        if due.is_some_and(|due| due.at <= now) {
            self.on_uplink(now, uplinks::Input::Timeout);
        }
    }

    /// The exports of a route changed: the uplinks send the change to the control nodes.
    pub(super) fn advertise(&mut self, now: Time, route: Route, change: Change) {
        if self.uplinks.is_some() {
            let vteps = self.exports.vteps(route.network, route.mac).collect();
            let exported = uplinks::Input::Exported { route, change, vteps };
            self.on_uplink(now, exported);
        }
    }

    /// A session ended: what it alone exported is retracted, a bounded number of routes in each step.
    pub(super) fn retract(&mut self, now: Time, generation: Generation) {
        self.exports.on_closed(generation);
        self.retract_some(now);
    }

    /// Goes on with what ended sessions exported, once copies of it are held if it is to stay. A session that exports one
    /// of these routes meanwhile keeps it.
    pub(super) fn retract_some(&mut self, now: Time) {
        if !self.may_retract() {
            return;
        }
        let routes = self.exports.retract(LOOKS_PER_STEP);
        if self.uplinks.is_some() {
            let vteps = |route: &Route| self.exports.vteps(route.network, route.mac).collect();
            let retracted = routes.iter().map(|route| (*route, vteps(route))).collect();
            self.on_uplink(now, uplinks::Input::Retracted(retracted));
        }
    }

    fn may_retract(&self) -> bool {
        let releases = self.uplinks.as_ref().is_some_and(Uplinks::is_releasing);
        self.exports.has_ended() && !releases
    }

    /// A configuration is in force: the switches may take part in other networks.
    pub(super) fn update_all_networks(&mut self, now: Time) {
        if self.uplinks.is_some() {
            let configuration = Arc::clone(&self.configuration);
            self.on_uplink(now, uplinks::Input::Configured(configuration));
            let conns: Vec<ConnId> = self.sessions.iter().map(|(conn, _)| conn).collect();
            for conn in conns {
                self.update_networks(conn);
            }
        }
    }

    /// A session imports the routes of the networks that its switches take part in.
    pub(super) fn update_networks(&mut self, conn: ConnId) {
        let (Some(uplinks), Some(known)) = (&self.uplinks, self.sessions.get(conn)) else {
            return;
        };
        let switches = &self.configuration.switches;
        let served = known.served().iter().filter_map(|name| switches.get(name));
        let networks: BTreeSet<Uuid> = served.flat_map(|switch| switch.networks()).collect();
        self.imports.set_networks(conn, networks, uplinks);
    }

    /// Sends sessions a bounded number of the routes that wait for them.
    pub(super) fn send_imports(&mut self) {
        if let Some(uplinks) = &self.uplinks {
            self.imports.send(uplinks, &mut self.outputs);
        }
    }

    /// When there is more to send, to sessions or to control nodes.
    pub(super) fn routes_due(&self) -> Option<Deadline<Why>> {
        let more = self.may_retract() || self.uplinks.is_some() && self.imports.has_work();
        let more = more.then_some(Deadline {
            at: Time::ORIGIN,
            why: Why::MoreWork,
        });
        let due = self.uplinks.as_ref().and_then(Uplinks::poll_timeout);
        let due = due.map(|Deadline { at, why }| Deadline {
            at,
            why: Why::Uplink(why),
        });
        more.or(due)
    }
}
