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
