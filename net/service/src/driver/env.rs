//! The world that a driver runs in: time and tasks. Tokio now; a simulated one is a later choice.

use std::future::Future;
use std::time::Duration;

use tandem_core::Time;

/// The environment of a driver, besides its streams.
pub trait Env: Clone + Send + Sync + 'static {
    /// The time since this world began.
    fn now(&self) -> Time;

    /// Waits until then; returns at once if it has passed.
    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + Send;

    /// Runs a task beside the others.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);
}

/// The real world.
#[derive(Clone, Copy, Debug)]
pub struct TokioEnv {
    began: tokio::time::Instant,
}

impl TokioEnv {
    /// A world that begins now.
    pub fn begin() -> Self {
        Self {
            began: tokio::time::Instant::now(),
        }
    }

    /// When something happened that tokio has stamped.
    pub fn time(&self, instant: tokio::time::Instant) -> Time {
        Time::ORIGIN + instant.saturating_duration_since(self.began)
    }
}

impl Env for TokioEnv {
    fn now(&self) -> Time {
        self.time(tokio::time::Instant::now())
    }

    async fn sleep_until(&self, at: Time) {
        tokio::time::sleep_until(self.began + Duration::from_micros(at.micros())).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }
}
