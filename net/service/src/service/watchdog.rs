//! What systemd is told: that we are ready, that we live, that we go.

use std::sync::Arc;

use sd_notify::NotifyState;

use crate::http::StatusSource;

/// The ports are open.
pub(super) fn ready() {
    notify(NotifyState::Ready);
}

/// We are going, in an orderly manner.
pub(super) fn stopping() {
    notify(NotifyState::Stopping);
}

/// Feeds the watchdog of `WatchdogSec=`, for as long as the worker answers.
pub(super) async fn feed(handle: Arc<impl StatusSource>) {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut tick = tokio::time::interval(period / 2);
    loop {
        tick.tick().await;
        if handle.status().await.is_some() {
            notify(NotifyState::Watchdog);
        }
    }
}

/// Without systemd there is nobody to tell, and that is fine.
fn notify(state: NotifyState<'_>) {
    if let Err(problem) = sd_notify::notify(&[state]) {
        tracing::debug!(target: "tandem", "systemd was not told: {problem}");
    }
}
