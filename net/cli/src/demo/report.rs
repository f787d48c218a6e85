//! What was seen: the travels of two MACs, and what a failover between them cost.

use serde::Serialize;

use super::options::Options;

/// A demo that succeeded: both MACs arrived, and the failover between them rewrote nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The options of the demo.
    pub options: Options,
    /// The switch whose owner was killed, and another one.
    pub switches: [Place; 2],
    /// The agent that owned the first switch and was killed.
    pub before: Party,
    /// The agent that took over.
    pub after: Party,
    /// Whether it had owned the other switch before.
    pub owns_other: bool,
    /// What became of MACs of the first switch at the other.
    pub travels: Travels,
    /// What could be noticed from outside.
    pub impact: Impact,
    /// The steps of the agent that took over.
    pub steps: Steps,
    /// Broadcast rows that were repointed.
    pub broadcast_rows: usize,
    /// Rows that were inserted, deleted or written to, apart from the broadcast rows and the locators and locator
    /// sets that they consist of.
    pub rows_rewritten: usize,
}

/// A switch.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Its tunnel end.
    pub vtep: String,
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
    /// The switch's database showed every broadcast row at the other services node.
    pub broadcast: f64,
    /// The other agent had compared everything, and nothing differed from the desired state.
    pub audited: f64,
}

/// Milliseconds since the kill; see [`Takeover`](tandem_core::status::Takeover).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Steps {
    /// The TLS handshake was done.
    pub tls: f64,
    /// The other agent held the lock.
    pub locked: f64,
    /// Every table was read.
    pub read: f64,
}

/// What became of the MACs of one switch at the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Travels {
    /// Of a MAC that was learned before the failure.
    pub before: Trip,
    /// When its row was missing after the kill.
    pub gaps: Vec<Gap>,
    /// Of a MAC that was learned afterwards.
    pub after: Trip,
}

/// The way of a MAC from the switch that learned it to the row in the other switch.
#[derive(Clone, Debug, PartialEq)]
pub struct Trip {
    /// The MAC.
    pub mac: String,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

/// When a row was missing, in milliseconds since the kill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gap {
    /// From the moment when the database showed that it is gone.
    pub from: f64,
    /// To the moment when the database showed it again.
    pub to: f64,
}

/// What was seen of routes, for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Route {
    /// A MAC that one switch learned before the failure was seen in the other, behind the right tunnel end.
    pub before: bool,
    /// The same of a MAC that was learned afterwards.
    pub after: bool,
    /// For how long the first of them was missing, in milliseconds; `None` if the demo did not come so far.
    pub missing_ms: Option<f64>,
}

impl Travels {
    /// For how long the first MAC was missing, in milliseconds.
    pub fn missing_ms(&self) -> f64 {
        // The sum of no numbers would be -0.0.
        self.gaps.iter().fold(0.0, |ms, gap| ms + gap.to - gap.from)
    }
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
            route: Route,
        }
        let tenths = |ms: f64| (ms * 10.0).round() / 10.0;
        Line {
            ok: true,
            engine: self.options.engine.name(),
            fault: "agent-kill",
            macs: self.options.macs,
            owner_before: self.before.name.clone(),
            owner_after: self.after.name.clone(),
            impact_ms: Impact {
                session: tenths(self.impact.session),
                broadcast: tenths(self.impact.broadcast),
                audited: tenths(self.impact.audited),
            },
            rows_rewritten: self.rows_rewritten,
            route: Route {
                before: true,
                after: true,
                missing_ms: Some(tenths(self.travels.missing_ms())),
            },
        }
    }
}
