//! SIGHUP: which settings apply at once, and which need a restart.

use super::settings::AgentConfig;

impl AgentConfig {
    /// Applies `new` on SIGHUP, except for settings that need a restart. Returns the names of those that differ.
    pub fn reload(&mut self, new: Self) -> Vec<&'static str> {
        let old = std::mem::replace(self, new);
        let mut waiting = Vec::new();
        let (ours, theirs) = (&mut self.configuration, old.configuration);
        let uplinks = keep(&mut self.uplinks, old.uplinks, "[control]");
        if uplinks.is_some() {
            // Networks and switches have one source: the file, or the control nodes.
            (ours.networks, ours.switches) = (theirs.networks, theirs.switches);
        }
        let (ours, theirs) = (&mut ours.session, theirs.session);
        ours.routed = theirs.routed;
        waiting.extend([
            keep(&mut ours.agent, theirs.agent, "[agent] name"),
            keep(&mut ours.tsn, theirs.tsn, "[agent] tsn_ip"),
            keep(&mut ours.lock, theirs.lock, "[agent] lock"),
            keep(
                &mut ours.logical_switch_prefix,
                theirs.logical_switch_prefix,
                "[agent] logical_switch_prefix",
            ),
            keep(&mut self.listen, old.listen, "[listen]"),
            keep(&mut self.log, old.log, "[log]"),
            keep(&mut self.stale_hold, old.stale_hold, "[failover]"),
            keep(&mut self.peer, old.peer, "[peer]"),
            keep(&mut self.probe, old.probe, "[tsn]"),
            uplinks,
        ]);
        if self.uplinks.is_some() {
            // These are merged into the configuration from control nodes once, at the start.
            waiting.extend([
                keep(&mut ours.keepalive, theirs.keepalive, "[keepalive]"),
                keep(&mut ours.local_macs_grace, theirs.local_macs_grace, "[audit]"),
                keep(&mut ours.brake, theirs.brake, "[brake]"),
                keep(&mut ours.manager, theirs.manager, "[manager]"),
            ]);
        }
        waiting.into_iter().flatten().collect()
    }
}

/// Restores the old value. Returns its name if it differs.
pub(super) fn keep<T: PartialEq>(ours: &mut T, old: T, name: &'static str) -> Option<&'static str> {
    let new = std::mem::replace(ours, old);
    (new != *ours).then_some(name)
}
