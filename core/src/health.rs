//! The grade that the agent announces to proxies.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The fitness of the agent to own a switch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Ready for switches.
    Fit,
    /// No control node is left, or the services node is dead, and the other agent of the pair is fit: no new switches.
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

    /// The line that HAProxy's `agent-check` reads, without its end.
    ///
    /// `drain` is sticky and only `ready` undoes it, so a fit agent always sends both words. Percentages below
    /// 100 are a trap: of a weight of 1 they round to 0.
    pub const fn agent_check_text(self) -> &'static str {
        match self {
            // A switch must have a manager even when both are isolated.
            Self::Fit | Self::Alone => "ready up 100%",
            Self::Unfit => "down",
            Self::Draining | Self::Isolated => "drain",
        }
    }

    /// Whether an agent of this grade takes the lock of a switch that comes to it.
    pub(crate) const fn may_own(self) -> bool {
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

/// The lack that isolates an agent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Isolation {
    /// No session with any control node is open.
    NoControlNode,
    /// The services node failed its probes.
    DeadServicesNode,
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoControlNode => "no control node",
            Self::DeadServicesNode => "the services node is dead",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ready_up_100_undoes_a_drain_so_an_agent_that_takes_switches_always_says_it() {
        let texts = ["ready up 100%", "ready up 100%", "drain", "down", "drain"];
        assert_eq!(Grade::ALL.map(Grade::agent_check_text), texts);
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
