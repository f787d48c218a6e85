//! What the agent tells the proxies about itself.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How fit the agent is to own a switch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Ready for switches.
    Fit,
    /// Never completely configured: every session would be empty-handed.
    Unfit,
    /// Going away: no new switches, please.
    Draining,
}

impl Grade {
    /// The line that HAProxy's `agent-check` reads, without its end.
    ///
    /// `drain` is sticky and only `ready` undoes it, so a fit agent always says both words. Percentages below
    /// 100 are a trap: of a weight of 1 they round to 0.
    pub const fn agent_check_text(self) -> &'static str {
        match self {
            Self::Fit => "ready up 100%",
            Self::Unfit => "down",
            Self::Draining => "drain",
        }
    }

    /// Whether a proxy's health check passes. A draining agent passes: failing would cut its sessions at once.
    pub const fn passes(self) -> bool {
        match self {
            Self::Fit | Self::Draining => true,
            Self::Unfit => false,
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fit => "fit",
            Self::Unfit => "unfit",
            Self::Draining => "draining",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Grade; 3] = [Grade::Fit, Grade::Unfit, Grade::Draining];

    #[test]
    fn only_ready_up_100_undoes_a_drain_so_a_fit_agent_always_says_it() {
        assert_eq!(ALL.map(Grade::agent_check_text), ["ready up 100%", "down", "drain"]);
    }

    #[test]
    fn a_draining_agent_passes_health_checks_and_an_unfit_one_does_not() {
        assert_eq!(ALL.map(Grade::passes), [true, false, true]);
    }

    #[test]
    fn the_word_in_status_is_the_word_in_json() {
        for grade in ALL {
            let json = serde_json::to_string(&grade).expect("JSON");
            assert_eq!(json, format!("\"{grade}\""));
        }
    }
}
