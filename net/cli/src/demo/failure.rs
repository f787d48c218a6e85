//! Why a demo ends without a report.

use std::path::PathBuf;

use super::report::Route;

/// The reason why there is no failover to report.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The environment's fault: something is missing on this machine, or could not be started. The text names the remedy.
    #[error("{0}")]
    Environment(String),
    /// Our fault: the parts ran, and what they did was not what it must be.
    #[error("{what}")]
    Wrong {
        /// The event, or its absence.
        what: String,
        /// The routes that were seen before.
        route: Route,
        /// Where configurations, databases and logs are kept; `None` if they could not be.
        kept: Option<PathBuf>,
    },
    /// Ctrl-C. Everything is cleaned up.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// The routes that were seen.
    pub fn route(&self) -> Route {
        match self {
            Self::Wrong { route, .. } => *route,
            Self::Environment(_) | Self::Interrupted => Route::default(),
        }
    }
}
