//! The demo: a MAC that travels, a failover, and another MAC that travels, all watched from outside.

mod engine;
mod failover;
mod failure;
mod interrupt;
mod options;
mod owner;
mod progress;
mod report;
mod story;
mod untouched;
mod watch;

pub use engine::Engine;
pub use failover::run;
pub use failure::Failure;
pub use interrupt::Interrupt;
pub use options::Options;
pub use progress::Progress;
pub use report::{Gap, Impact, Party, Place, Report, Route, Steps, Travels, Trip};
