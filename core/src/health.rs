//! The grade that the agent announces to proxies.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(doc)]
use crate::bounds::UNDO_DRAIN;
use crate::time::Time;

/// The fitness of the agent to own a switch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Ready for switches.
    Fit,
    /// No control node is left whose configuration is not ignored, or the services node is dead, and the other agent of the
    /// pair is fit: no new switches.
    Isolated,
    /// The same, and no other agent could take a switch.
    Alone,
    /// Never completely configured: its sessions have no complete desired state.
    Unfit,
    /// Draining: it takes no new switches.
    Draining,
}

impl Grade {
    /// Every grade.
    pub const ALL: [Self; 5] = [Self::Fit, Self::Alone, Self::Isolated, Self::Unfit, Self::Draining];

    /// Whether an agent of this grade takes the lock of a switch that comes to it.
    pub const fn may_own(self) -> bool {
        match self {
            Self::Fit | Self::Isolated | Self::Alone => true,
            Self::Unfit | Self::Draining => false,
        }
    }

    /// Whether a proxy's health check passes. A draining agent passes: failing would cut its sessions at once.
    pub const fn passes(self) -> bool {
        match self {
            Self::Fit | Self::Draining | Self::Isolated | Self::Alone => true,
            Self::Unfit => false,
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fit => "fit",
            Self::Isolated => "isolated",
            Self::Alone => "alone",
            Self::Unfit => "unfit",
            Self::Draining => "draining",
        })
    }
}

/// Whether a proxy may hold a drain of this agent, or of an earlier process of it.
///
/// For HAProxy, `drain` is sticky: the order of an administrator, which only `ready` undoes. But `ready` also undoes what
/// an operator has set (`maint`, `drain`), so an agent answers `ready` only as long as it may have a drain of its own to
/// undo: for [`UNDO_DRAIN`], because one proxy may poll for several of its servers, and one answer undoes one of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Undo {
    /// It may, and has fetched no answer since that undoes it.
    #[default]
    Due,
    /// It has fetched one; others undo the drain until then.
    Until(Time),
    /// Everything is undone.
    Done,
}

impl Undo {
    /// The line that HAProxy's `agent-check` reads, without its end.
    ///
    /// Percentages below 100 are a trap: of a weight of 1 they round to 0.
    pub fn agent_check_text(&mut self, now: Time, grade: Grade) -> &'static str {
        match (grade, &self) {
            (Grade::Unfit, _) => "down",
            (Grade::Draining | Grade::Isolated, _) => {
                *self = Self::Due;
                "drain"
            }
            // A switch must have a manager even when both are isolated.
            (Grade::Fit | Grade::Alone, Self::Until(end)) if now >= *end => {
                *self = Self::Done;
                "up 100%"
            }
            (Grade::Fit | Grade::Alone, Self::Due | Self::Until(_)) => "ready up 100%",
            (Grade::Fit | Grade::Alone, Self::Done) => "up 100%",
        }
    }

    /// The proxy has fetched the answer of this grade. A drain is undone for this long from then, as a rule [`UNDO_DRAIN`].
    pub fn fetched(&mut self, now: Time, grade: Grade, lasts: Duration) {
        match (grade, &self) {
            (Grade::Fit | Grade::Alone, Self::Due) => *self = Self::Until(now + lasts),
            (Grade::Fit | Grade::Alone, Self::Until(_) | Self::Done)
            | (Grade::Unfit | Grade::Draining | Grade::Isolated, _) => {}
        }
    }
}

/// The lack that isolates an agent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// No session with any control node is open.
    NoControlNode,
    /// Sessions with control nodes are open, and the configuration of none of them is in force: they are outdated.
    NotConfigured,
    /// The services node failed its probes.
    DeadServicesNode,
    /// TLS handshakes with switches keep failing, and no session serves a switch.
    FailingHandshakes,
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoControlNode => "no control node",
            Self::NotConfigured => "no control node configures the agent",
            Self::DeadServicesNode => "the services node is dead",
            Self::FailingHandshakes => "TLS handshakes with switches keep failing",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::UNDO_DRAIN;

    fn second(n: u64) -> Time {
        Time::from_micros(n * 1_000_000)
    }

    #[test]
    fn a_new_agent_undoes_a_drain_for_a_minute_and_then_leaves_the_state_to_the_operator() {
        let mut undo = Undo::default();
        assert_eq!(undo.agent_check_text(second(0), Grade::Unfit), "down");
        undo.fetched(second(0), Grade::Unfit, UNDO_DRAIN);
        assert_eq!(undo.agent_check_text(second(500), Grade::Fit), "ready up 100%");
        undo.fetched(second(500), Grade::Fit, UNDO_DRAIN);
        assert_eq!(undo.agent_check_text(second(559), Grade::Alone), "ready up 100%");
        undo.fetched(second(559), Grade::Alone, UNDO_DRAIN);
        assert_eq!(undo.agent_check_text(second(560), Grade::Fit), "up 100%");
        assert_eq!(undo.agent_check_text(second(560), Grade::Unfit), "down");
        assert_eq!(undo.agent_check_text(second(561), Grade::Fit), "up 100%");
    }

    #[test]
    fn a_drain_of_its_own_is_undone_however_late_the_proxy_polls_again() {
        for grade in [Grade::Draining, Grade::Isolated] {
            let mut undo = Undo::Done;
            // The answer may reach the proxy without an acknowledgement.
            assert_eq!(undo.agent_check_text(second(1), grade), "drain");
            assert_eq!(undo.agent_check_text(second(9999), Grade::Fit), "ready up 100%");
            undo.fetched(second(9999), Grade::Fit, UNDO_DRAIN);
            assert_eq!(undo.agent_check_text(second(10_058), Grade::Fit), "ready up 100%");
            assert_eq!(undo.agent_check_text(second(10_059), Grade::Fit), "up 100%");
        }
    }

    #[test]
    fn an_agent_that_is_unfit_fails_health_checks_and_no_other() {
        assert_eq!(Grade::ALL.map(Grade::passes), [true, true, true, false, true]);
    }

    #[test]
    fn the_word_in_status_is_the_word_in_json() {
        for grade in Grade::ALL {
            let json = serde_json::to_string(&grade).expect("JSON");
            assert_eq!(json, format!("\"{grade}\""));
        }
    }
}
