//! A session as `tandem status` shows it.

use super::Session;
use super::reconciler::Wait;
use crate::bounds::STATUS_ENTRIES;
use crate::machine::Fingerprint;
use crate::status::SessionStatus;
use crate::text::short;
use crate::time::Time;

impl Session {
    /// The status at this time, for operators.
    pub fn status(&self, now: Time) -> SessionStatus {
        let no_port = self.missing_ports();
        let waiting = self.reconciler.waiting();
        let waiting = waiting.map(|(object, on)| (object.to_string(), self.reason(on)));
        let quarantined = self.reconciler.quarantined();
        let quarantined = quarantined.map(|(object, reason)| (object.to_string(), reason.into()));
        let schema = self.progress.schema().map(|schema| schema.version.clone());
        let may_write = self.lease.permit().is_some();
        SessionStatus {
            conn: self.id.conn,
            generation: self.id.generation,
            from: self.id.peer.origin(),
            unbound_certificate: self.unbound_certificate(),
            phase: self.phase(),
            ownership: self.ownership(),
            schema: schema.unwrap_or_default(),
            rows_local: self.replica.ucast_local.count(),
            rows_remote: self.replica.ucast_remote.count(),
            rows_desired: self.desired.rows(),
            pending: if may_write { self.reconciler.pending() } else { 0 },
            in_flight: self.in_flight(),
            blocked: no_port.chain(waiting).take(STATUS_ENTRIES).collect(),
            quarantine: quarantined.take(STATUS_ENTRIES).collect(),
            faults: self.faults.status().take(STATUS_ENTRIES).collect(),
            alarms: self.alarms(),
            repairs: self.stats.repairs(),
            keepalive_misses: self.wire.misses(),
            age_ms: now.since(self.id.accepted_at).as_secs_f64() * 1000.0,
            warnings: self.stats.warnings(),
            takeover_ms: self.stats.takeover(self.id.accepted_at),
        }
    }

    /// What an object waits for. Tools of the switch know a logical switch by its name, and not by its row.
    fn reason(&self, on: &Wait) -> String {
        if let Wait::Vni { tunnel_key, holder } = on
            && let Some(entry) = self.replica.logical_switches.row(*holder)
        {
            let foreign = if entry.network.is_none() {
                ", which is not ours"
            } else {
                ""
            };
            let name = short(entry.name.as_str());
            return format!("VNI {tunnel_key} is still in use by logical switch {name}{foreign}");
        }
        on.to_string()
    }

    /// The certificate of the switch, if another one of the CA would do as well.
    fn unbound_certificate(&self) -> Option<Fingerprint> {
        let switches = &self.desired.configuration().switches;
        let mut served = self.desired.served().iter().filter_map(|name| switches.get(name));
        let is_unbound = served.any(|switch| switch.certificate.is_none());
        let shown = self.id.peer.certificate.as_ref().filter(|_| is_unbound);
        shown.map(|shown| shown.fingerprint)
    }

    /// Ports that are configured and not there.
    fn missing_ports(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let missing = self
            .desired
            .ports()
            .filter(|(switch, port)| self.replica.ports.find(switch, port).is_none());
        missing.map(|(switch, port)| (format!("port {port} of {switch}"), "the switch has no such port".into()))
    }
}
