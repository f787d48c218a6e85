//! Notifies systemd: ready, alive, stopping.

use std::sync::Arc;

use sd_notify::NotifyState;

use crate::http::StatusSource;

/// The ports are open.
pub(super) fn ready() {
    notify(NotifyState::Ready);
}

/// The process has begun to stop.
pub(super) fn stopping() {
    notify(NotifyState::Stopping);
}

/// Feeds the watchdog of `WatchdogSec=` while the worker answers.
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

/// Has no effect without systemd.
fn notify(state: NotifyState<'_>) {
    if let Err(problem) = sd_notify::notify(&[state]) {
        tracing::debug!(target: "tandem", "cannot notify systemd: {problem}");
    }
}
