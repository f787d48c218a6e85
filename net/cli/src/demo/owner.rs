//! The status of the agents: which of them owns which switch, and since when.

use std::time::{Duration, Instant};

use tandem_core::ids::{ConnId, SwitchName};
use tandem_core::status::{AgentStatus, Ownership, SessionStatus};

use tandem_lab::Agent;

/// The status of an agent; `None` while it does not answer.
pub(super) fn status(agent: &Agent) -> Option<AgentStatus> {
    serde_json::from_value(agent.status().ok()?).ok()
}

/// Its newest session with a switch.
pub(super) fn session<'a>(status: &'a AgentStatus, switch: &str) -> Option<&'a SessionStatus> {
    status.switches.get(&SwitchName::from(switch))?.sessions.last()
}

/// Whether the agent owns the switch, and everything desired is there.
pub(super) fn is_complete(session: &SessionStatus) -> bool {
    let busy = session.pending + session.in_flight;
    session.ownership == Ownership::Held && session.takeover_ms.audited.is_some() && busy == 0
}

/// Whether the agent has received every route of so many control nodes.
pub(super) fn has_all_routes(status: &AgentStatus, control_nodes: usize) -> bool {
    let nodes = status.control_nodes.iter();
    let complete = nodes.filter(|node| node.instances > 0 && node.instances == node.instances_complete);
    complete.count() == control_nodes
}

/// When a session was accepted, computed from its age in each status.
#[derive(Default)]
pub(super) struct Accepted {
    conn: Option<ConnId>,
    pub(super) at: Option<Instant>,
}

impl Accepted {
    /// The agent answers after the request, so each result is too early, and the latest is the best.
    pub(super) fn observe(&mut self, requested: Instant, session: &SessionStatus) {
        let at = requested.checked_sub(Duration::from_secs_f64(session.age_ms.max(0.0) / 1000.0));
        self.at = match self.conn.replace(session.conn) == Some(session.conn) {
            true => self.at.max(at),
            false => at,
        };
    }
}
