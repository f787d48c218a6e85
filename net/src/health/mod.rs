//! The two ports that a proxy asks: an echo that proves that the worker lives, and the agent check.
//!
//! Both ask the worker itself. One that does not answer within [`PULSE`] is wedged, and counts as unfit.

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

/// Asks the worker that handles the sessions how the agent is.
pub trait Pulse: Send + Sync + 'static {
    /// The grade, said by the worker; `None` when it is gone. Callers bring the deadline.
    fn grade(&self) -> impl Future<Output = Option<Grade>> + Send;
}

/// How long the worker may take. A proxy that asks every 200 ms and gives up after 300 ms has then seen
/// within 500 ms that nobody answers.
pub const PULSE: Duration = Duration::from_millis(250);

/// A check takes milliseconds; whoever stays longer is no proxy.
const LIMITS: Limits = Limits {
    connections: 128,
    time: Duration::from_secs(2),
};

/// The grade, where a worker that does not answer in time is unfit.
async fn grade(pulse: &impl Pulse) -> Grade {
    match tokio::time::timeout(PULSE, pulse.grade()).await {
        Ok(Some(grade)) => grade,
        Ok(None) | Err(_) => Grade::Unfit,
    }
}
