//! Notifies systemd: ready, alive, stopping.

use std::sync::Arc;

use sd_notify::NotifyState;

use crate::http::StatusSource;

/// The ports are open.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The process has begun to stop.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// The configuration file is read again. [`reloaded`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// The configuration file was read again, and applied or not.
pub(super) fn reloaded(is_successful: bool) {
    let status = match is_successful {
        true => "The configuration file is in force",
        false => "THE LAST RELOAD FAILED: the configuration from before is in force; see the log",
    };
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
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
            notify(&[NotifyState::Watchdog]);
        }
    }
}

/// Has no effect without systemd.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(problem) = sd_notify::notify(state) {
        tracing::debug!(target: "tandem", "cannot notify systemd: {problem}");
    }
}
