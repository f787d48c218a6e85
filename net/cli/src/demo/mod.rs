//! The demo: a MAC that travels, a failover, and another MAC that travels, all watched from outside.

mod engine;
mod failover;
mod interrupt;
mod owner;
mod progress;
mod report;
mod story;
mod untouched;
mod watch;

use std::path::PathBuf;

pub use engine::Engine;
pub use failover::run;
pub use interrupt::Interrupt;
pub use progress::Progress;
pub use report::{Gap, Impact, Party, Place, Report, Route, Steps, Travels, Trip};

/// What a demo is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// What plays the switches and the proxy.
    pub engine: Engine,
    /// Remote MACs in each switch that no switch of the demo has learned.
    pub macs: u32,
    /// Whether the agents hold copies of routes through a failover, and have a link to each other.
    pub stale_hold: bool,
}

/// The reason why there is no failover to report.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The environment's fault: something is missing on this machine, or could not be started. The text names the remedy.
    #[error("{0}")]
    Environment(String),
    /// Our fault: the parts ran, and what they did was not what it must be.
    #[error("{what}")]
    Wrong {
        /// What happened, or did not.
        what: String,
        /// What was seen of routes before.
        route: Route,
        /// Where configurations, databases and logs are kept; `None` if they could not be.
        kept: Option<PathBuf>,
    },
    /// Ctrl-C. Everything is cleaned up.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// What was seen of routes.
    pub fn route(&self) -> Route {
        match self {
            Self::Wrong { route, .. } => *route,
            Self::Environment(_) | Self::Interrupted => Route::default(),
        }
    }
}
