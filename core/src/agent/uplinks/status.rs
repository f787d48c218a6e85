//! The status of the agent's control nodes.

use std::net::SocketAddr;

use super::Uplinks;
use super::source::Source;
use super::uplink::Uplink;
use crate::close::CloseCounts;
use crate::status::UplinkStatus;

impl Uplinks {
    /// The control nodes that a session is open with, by the name that each gave.
    pub fn peers(&self) -> impl Iterator<Item = &str> {
        self.connections.uplinks().map(Uplink::name)
    }

    /// Of the configuration in force, if a revision came with it.
    pub fn revision(&self) -> Option<u64> {
        self.source.revision()
    }

    /// The dials and sessions that ended.
    pub fn closed(&self) -> &CloseCounts {
        self.connections.closed()
    }

    /// The status of each control node, for operators.
    pub fn status(&self) -> Vec<UplinkStatus> {
        let slots = self.connections.slots();
        slots
            .map(|(address, failures, uplink)| slot(address, failures, uplink, &self.source))
            .collect()
    }
}

/// One slot: with an open session, what was exchanged in it.
fn slot(address: SocketAddr, failures: u32, uplink: Option<&Uplink>, source: &Source) -> UplinkStatus {
    let id = uplink.map(Uplink::id);
    let (revision, disagrees) = source.revision_from(id);
    let (instances, instances_complete) = uplink.map(|it| it.subscriptions().counts()).unwrap_or_default();
    let (routes_sent, routes_pending) = uplink.map(|it| it.rib_out().counts()).unwrap_or_default();
    UplinkStatus {
        address,
        name: uplink.map(|it| it.name().to_owned()),
        configures: source.is_in_force(id),
        ignored: source.ignored(id),
        revision,
        disagrees,
        failures,
        instances,
        instances_complete,
        routes_sent,
        routes_pending,
        routes_unusable: uplink.map(|it| it.unusable().clone()).unwrap_or_default(),
    }
}
