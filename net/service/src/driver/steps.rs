//! Whether every task gives its thread back. One that stays in one step for long is wedged; one that has much to do is not,
//! and nothing would be gained by taking its switches away.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tandem_core::Time;

use super::env::Env;

/// The steps of the agent's task and of those of its sessions.
#[derive(Clone, Debug)]
pub struct Steps<E> {
    env: E,
    tasks: Arc<Mutex<Vec<Weak<AtomicU64>>>>,
}

/// Records that a task begins another step.
#[derive(Clone, Debug)]
pub(super) struct Pace<E> {
    env: E,
    /// When its step began, in microseconds; [`IDLE`] between steps.
    since: Arc<AtomicU64>,
}

const IDLE: u64 = u64::MAX;

impl<E: Env> Steps<E> {
    /// Of no task yet.
    pub fn new(env: E) -> Self {
        Self {
            env,
            tasks: Arc::default(),
        }
    }

    /// How long the longest of the steps has taken that are under way.
    pub fn longest(&self) -> Duration {
        let now = self.env.now();
        let mut tasks = self.tasks();
        tasks.retain(|task| task.strong_count() > 0);
        let since = tasks.iter().filter_map(Weak::upgrade);
        let since = since.map(|since| since.load(Ordering::Relaxed)).min();
        let since = since.filter(|since| *since != IDLE);
        since.map_or(Duration::ZERO, |since| {
            now.since(Time::ORIGIN + Duration::from_micros(since))
        })
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<Weak<AtomicU64>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task whose steps count: each runs until the task waits, or begins the next one.
    pub(super) async fn of<F: Future>(self, task: impl FnOnce(Pace<E>) -> F) -> F::Output {
        let since = Arc::new(AtomicU64::new(IDLE));
        let pace = Pace {
            env: self.env.clone(),
            since: Arc::clone(&since),
        };
        self.tasks().push(Arc::downgrade(&since));
        let mut running = pin!(task(pace.clone()));
        std::future::poll_fn(move |cx| {
            pace.step();
            let polled = running.as_mut().poll(cx);
            since.store(IDLE, Ordering::Relaxed);
            polled
        })
        .await
    }
}

impl<E: Env> Pace<E> {
    /// The next step begins.
    pub(super) fn step(&self) {
        self.since.store(self.env.now().micros(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::env::TokioEnv;
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_task_that_keeps_its_thread_differs_from_one_that_waits() {
        const LONG: Duration = Duration::from_millis(50);
        let steps = Steps::new(TokioEnv::begin());
        let (free, wedge) = mpsc::channel::<()>();
        let waiting = tokio::spawn(steps.clone().of(|_| std::future::pending::<()>()));
        let busy = tokio::spawn(steps.clone().of(|pace| async move {
            let _ = wedge.recv();
            pace.step();
            std::future::pending::<()>().await;
        }));
        while steps.longest() < LONG {
            tokio::task::yield_now().await;
        }
        assert!(free.send(()).is_ok());
        while steps.longest() > Duration::ZERO {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(LONG).await;
        assert_eq!(steps.longest(), Duration::ZERO, "a task that waits takes no step");
        waiting.abort();
        busy.abort();
    }
}
