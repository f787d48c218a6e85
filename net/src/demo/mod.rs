//! The demo: a failover, watched from outside.

mod engine;
mod failover;
mod interrupt;
mod progress;
mod report;
mod story;
mod watch;

use std::path::PathBuf;

pub use engine::Engine;
pub use failover::run;
pub use interrupt::Interrupt;
pub use progress::Progress;
pub use report::{Impact, Party, Report, Steps};

/// Why there is no failover to tell of.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The environment's fault: something is missing on this machine, or could not be started. The text says what to do.
    #[error("{0}")]
    Environment(String),
    /// Our fault: the parts ran, and the failover was not what it must be.
    #[error("{what}")]
    Wrong {
        /// What happened, or did not.
        what: String,
        /// Where configurations, databases and logs are kept; `None` if they could not be.
        kept: Option<PathBuf>,
    },
    /// Ctrl-C. Everything is cleaned up.
    #[error("interrupted")]
    Interrupted,
}
