//! Reports a task that panicked: it can no longer report its end itself, and its owner would keep what it had sent.

use tokio::sync::mpsc;

use super::env::Env;

/// Held by a task. If the task panics, its owner receives the last message.
pub(super) struct PanicGuard<E: Env, M: Send + 'static, F: FnOnce() -> M> {
    env: E,
    owner: mpsc::Sender<M>,
    last_message: Option<F>,
}

impl<E: Env, M: Send + 'static, F: FnOnce() -> M> PanicGuard<E, M, F> {
    /// For a task that reports to this owner.
    pub(super) fn new(env: E, owner: mpsc::Sender<M>, last_message: F) -> Self {
        Self {
            env,
            owner,
            last_message: Some(last_message),
        }
    }
}

impl<E: Env, M: Send + 'static, F: FnOnce() -> M> Drop for PanicGuard<E, M, F> {
    fn drop(&mut self) {
        if let Some(last_message) = self.last_message.take().filter(|_| std::thread::panicking()) {
            let (message, owner) = (last_message(), self.owner.clone());
            self.env.spawn(async move {
                let _ = owner.send(message).await;
            });
        }
    }
}
