//! The two ports that a proxy asks: an echo that proves that the worker lives, and the agent check.
//!
//! Both look at the worker itself. One that stays in one step for [`STEP`] is wedged, and counts as unfit.

mod agent_check;
mod announcements;
mod echo;
mod thread;

#[cfg(test)]
mod tests;

use std::time::Duration;

use tandem_core::health::Grade;

pub use agent_check::serve_agent_check;
pub use announcements::Announcements;
pub use echo::serve_echo;
pub use thread::serve_on_a_thread;

use crate::ports::Limits;

/// Looks how the worker is that handles the sessions.
pub trait Pulse: Send + Sync + 'static {
    /// The grade; `None` when the worker is gone or wedged. Waits for nobody: one that has much to do would look like one
    /// that is wedged, and would have all the more to do once its switches were cut off and came back.
    fn grade(&self) -> Option<Grade>;
}

/// How long a step of the worker may take: they are made to take a few milliseconds. A proxy that asks every 200 ms has
/// then seen within 500 ms that it is wedged.
pub const STEP: Duration = Duration::from_millis(250);

/// A check takes milliseconds; whoever stays longer is no proxy.
const LIMITS: Limits = Limits {
    connections: 128,
    time: Duration::from_secs(2),
};

/// The grade, where a worker that is gone or wedged is unfit.
fn grade(pulse: &impl Pulse) -> Grade {
    pulse.grade().unwrap_or(Grade::Unfit)
}
