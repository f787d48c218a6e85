//! The two ports that a proxy polls: an echo that proves that the worker runs, and the agent check.
//!
//! Both check the worker itself. A worker that two looks in a row find in the same step after [`STEP`] hangs, and counts as
//! unfit.

mod agent_check;
mod announcements;
mod echo;
mod looks;
mod thread;

#[cfg(test)]
mod tests;

use std::time::Duration;

use tandem_core::health::Grade;

pub use agent_check::serve_agent_check;
pub use announcements::Announcements;
pub use echo::serve_echo;
pub use looks::Looks;
pub use thread::serve_on_a_thread;

use crate::ports::Limits;

/// Health of the session worker.
pub trait Pulse: Send + Sync + 'static {
    /// The grade; `None` if the worker is gone or hangs. Does not wait: a busy worker would look like one that hangs, and
    /// would be busier still after its switches had been disconnected and had returned.
    fn grade(&self) -> Option<Grade>;
}

/// The longest time that a step of the worker may take; steps are designed to take a few milliseconds. A look that finds a
/// longer one is late. The second late look has to come as much later: a proxy that polls every 200 ms detects a hang
/// within a second.
pub const STEP: Duration = Duration::from_millis(250);

/// A step that takes that long is a hang at the first look.
pub const HANG: Duration = Duration::from_secs(1);

/// A check takes milliseconds; a client that stays longer is no proxy.
const LIMITS: Limits = Limits {
    connections: 128,
    time: Duration::from_secs(2),
};

/// The grade; unfit if the worker is gone or hangs.
fn grade(pulse: &impl Pulse) -> Grade {
    pulse.grade().unwrap_or(Grade::Unfit)
}
