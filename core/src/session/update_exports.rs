//! The exports of a MAC follow the local tables of the switch.

use super::exporter::Learned;
use super::{Notice, Session};
use crate::event::What;
use crate::ids::{Mac, Uuid};

impl Session {
    /// Brings the exports of a MAC in line with the local tables of the switch. Only a session that may write exports.
    pub(super) fn update_exports(&mut self, network: Uuid, mac: Mac) {
        let Some(permit) = self.lease.permit() else { return };
        let learned = Learned::of(&self.replica, &self.desired, network, mac);
        let changes = self.exporter.export(&permit, network, mac, &learned);
        let just_learned = learned.is_just_now();
        if let Some(row) = self.replica.logical_switches.of_network(network)
            && learned.is_somewhere()
        {
            self.replica.ucast_local.settle(row, mac);
        }
        // In this order, so that the agent sees that a row went along with the tunnel end of its switch.
        for route in changes.exported {
            self.report(What::Exported(route));
            self.wire.notify(Notice::Exported { route, just_learned });
        }
        for route in changes.withdrawn {
            self.report(What::Withdrawn(route));
            self.wire.notify(Notice::Withdrawn(route));
        }
    }
}
