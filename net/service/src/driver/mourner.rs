//! Speaks for a task that panicked: it can no longer say itself that it is over, and what it told would stay.

use tokio::sync::mpsc;

use super::env::Env;

/// Held by a task. If that panics, the last words reach whom it reported to.
pub(super) struct Mourner<E: Env, M: Send + 'static, F: FnOnce() -> M> {
    env: E,
    inbox: mpsc::Sender<M>,
    last_words: Option<F>,
}

impl<E: Env, M: Send + 'static, F: FnOnce() -> M> Mourner<E, M, F> {
    /// For a task that reports to this inbox.
    pub(super) fn new(env: E, inbox: mpsc::Sender<M>, last_words: F) -> Self {
        Self {
            env,
            inbox,
            last_words: Some(last_words),
        }
    }
}

impl<E: Env, M: Send + 'static, F: FnOnce() -> M> Drop for Mourner<E, M, F> {
    fn drop(&mut self) {
        if let Some(last_words) = self.last_words.take().filter(|_| std::thread::panicking()) {
            let (message, inbox) = (last_words(), self.inbox.clone());
            self.env.spawn(async move {
                let _ = inbox.send(message).await;
            });
        }
    }
}
