//! The alarms of a session: what an operator has to look at.

use super::Session;
use crate::alarm::{AlarmKind, SessionAlarm};
use crate::text::{count, tunnel_ips};

/// Faults of the switch that an alarm names.
const FAULTS_SHOWN: usize = 10;

/// MACs that an alarm names.
const MACS_SHOWN: usize = 3;

impl Session {
    /// Every fault that the session sees now.
    pub(super) fn alarms(&self) -> Vec<SessionAlarm> {
        let may_write = self.lease.permit().is_some();
        let stopped = self.write_faults().filter(|_| may_write);
        let found = self.unfenced().into_iter().chain(self.duplicate());
        let found = found.chain(self.wrong_tunnel_ends()).chain(self.switch_faults());
        found.chain(stopped).chain(self.not_exported()).collect()
    }

    /// The server grants a lock that fences nothing.
    fn unfenced(&self) -> Option<SessionAlarm> {
        let model = self.replica.server_model.filter(|model| !model.fences())?;
        Some(SessionAlarm {
            kind: AlarmKind::Unfenced,
            objects: 1,
            detail: format!("{model}; not writing"),
        })
    }

    /// Another switch of this name is programmed.
    fn duplicate(&self) -> Option<SessionAlarm> {
        let detail = self.barred.clone()?;
        Some(SessionAlarm {
            kind: AlarmKind::Duplicate,
            objects: 1,
            detail,
        })
    }

    /// Switches whose own tunnel ends are not the configured one.
    fn wrong_tunnel_ends(&self) -> impl Iterator<Item = SessionAlarm> + '_ {
        self.tunnel_ends.wrong().map(|(name, wrong)| SessionAlarm {
            kind: AlarmKind::WrongTunnelEnd,
            objects: 1,
            detail: format!(
                "{name} has {}, and vtep {} is configured",
                tunnel_ips(&wrong.tunnel_ips),
                wrong.vtep
            ),
        })
    }

    /// MACs that the switch learned, and that no route can name.
    fn not_exported(&self) -> Option<SessionAlarm> {
        let unreadable = self.unreadable_macs();
        let unplaced = self.exporter.unplaced().count();
        let mut detail = Vec::new();
        if unplaced > 0 {
            detail.push(format!(
                "a group address, or behind a locator that is missing, has no IPv4 address or another tunnel key than \
                 the network: {}",
                self.unplaced_macs(unplaced)
            ));
        }
        if unreadable > 0 {
            let rows = count(unreadable, "row", "rows");
            detail.push(format!("{rows} of Ucast_Macs_Local whose text is no MAC"));
        }
        let objects = unplaced + unreadable;
        (objects > 0).then(|| SessionAlarm {
            kind: AlarmKind::NotExported,
            objects,
            detail: detail.join("; "),
        })
    }

    /// Rows of the switch's own in networks of ours whose text is no MAC.
    fn unreadable_macs(&self) -> usize {
        let rows = |network| self.replica.logical_switches.of_network(network);
        let rows = self.desired.networks().filter_map(rows);
        rows.map(|row| self.replica.ucast_local.strays_of(row).count()).sum()
    }

    fn unplaced_macs(&self, objects: usize) -> String {
        let mut shown: Vec<String> = self
            .exporter
            .unplaced()
            .take(MACS_SHOWN)
            .map(|mac| mac.to_string())
            .collect();
        if objects > MACS_SHOWN {
            shown.push(format!("and {} more", objects - MACS_SHOWN));
        }
        shown.join(", ")
    }

    /// Faults that the switch reports.
    fn switch_faults(&self) -> Option<SessionAlarm> {
        let faults = self.faults.status();
        let mut detail: Vec<String> = faults.map(|fault| fault.to_string()).collect();
        let objects = detail.len();
        detail.truncate(FAULTS_SHOWN);
        let more = objects - detail.len();
        if more > 0 {
            detail.push(format!("and {more} more"));
        }
        (objects > 0).then(|| SessionAlarm {
            kind: AlarmKind::SwitchFault,
            objects,
            detail: detail.join("; "),
        })
    }
}
