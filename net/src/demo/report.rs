//! What a failover cost.

use serde::Serialize;

use super::Engine;

/// A failover that went well.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Who played the switch and the proxy.
    pub engine: Engine,
    /// Remote MACs in the switch.
    pub macs: u32,
    /// The agent that owned the switch and was killed.
    pub before: Party,
    /// The agent that took over.
    pub after: Party,
    /// What somebody outside could notice.
    pub impact: Impact,
    /// The steps of the agent that took over.
    pub steps: Steps,
    /// Broadcast rows that were repointed.
    pub broadcast_rows: usize,
    /// Rows that were inserted, deleted or written to, apart from the broadcast rows and the locators and locator
    /// sets that they consist of.
    pub rows_rewritten: usize,
}

/// An agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Party {
    /// Its name.
    pub name: String,
    /// The tunnel end of its services node.
    pub tsn: String,
}

/// Milliseconds since the kill.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Impact {
    /// The other agent had accepted the switch's connection.
    pub session: f64,
    /// The switch's database server told that every broadcast row named the other services node.
    pub broadcast: f64,
    /// The other agent had compared everything, and nothing differed from what is wanted.
    pub audited: f64,
}

/// Milliseconds since the kill; see [`Takeover`](tandem_core::status::Takeover).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Steps {
    /// The TLS handshake was done.
    pub tls: f64,
    /// The lock was the other agent's.
    pub locked: f64,
    /// Every table was read.
    pub read: f64,
}

impl Report {
    /// The line for programs.
    pub fn json(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Line {
            ok: bool,
            engine: &'static str,
            fault: &'static str,
            macs: u32,
            owner_before: String,
            owner_after: String,
            impact_ms: Impact,
            rows_rewritten: usize,
        }
        let tenths = |ms: f64| (ms * 10.0).round() / 10.0;
        Line {
            ok: true,
            engine: self.engine.name(),
            fault: "agent-kill",
            macs: self.macs,
            owner_before: self.before.name.clone(),
            owner_after: self.after.name.clone(),
            impact_ms: Impact {
                session: tenths(self.impact.session),
                broadcast: tenths(self.impact.broadcast),
                audited: tenths(self.impact.audited),
            },
            rows_rewritten: self.rows_rewritten,
        }
    }
}
