//! A process beside its machine: the format of its status, its version, its age, and the last reload.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The format of the JSON of `/status`. It grows when a field goes or changes its meaning; a new field leaves it alone.
pub const STATUS_FORMAT: u32 = 1;

/// The part of `/status` that agents and control nodes share. A program without it has format 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessStatus {
    /// The format of the whole object: [`STATUS_FORMAT`].
    pub format: u32,
    /// The name of the agent or the control node.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// The clock of the process, in seconds since 1970.
    pub now_unix_s: f64,
    /// When the process read its configuration file for the first time, in seconds since 1970.
    pub started_unix_s: f64,
    /// The last time that it read the file, at the start or again.
    pub reload: Option<ReloadStatus>,
}

/// The last time that a process read its configuration file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReloadStatus {
    /// When, in seconds since 1970.
    pub at_unix_s: f64,
    /// Whether the file was applied.
    pub successful: bool,
    /// When a file was applied the last time, in seconds since 1970.
    pub applied_unix_s: f64,
    /// Why it was not applied: the first problems.
    pub problems: Vec<String>,
    /// What the file in force changes only after a restart.
    pub restart_required: Vec<String>,
    /// What is not yet as configured: objects of switches at an agent, clients at a control node.
    pub pending: usize,
}

/// The outcome of reading the configuration file: the keys that need a restart, or the problems of the file.
pub type Outcome = Result<Vec<String>, Vec<String>>;

/// The start of a process, and its last reload.
#[derive(Clone, Debug)]
pub struct Reload {
    started_at: SystemTime,
    at: SystemTime,
    /// The last success.
    applied_at: SystemTime,
    restart_required: Vec<String>,
    /// `None` after a success.
    problems: Option<Vec<String>>,
}

impl Reload {
    /// The configuration file was read, and this was `before`: `None` at the start.
    pub(crate) fn next(before: Option<Self>, outcome: Outcome, now: SystemTime) -> Self {
        let (started_at, applied_at, waiting) = match before {
            Some(before) => (before.started_at, before.applied_at, before.restart_required),
            None => (now, now, Vec::new()),
        };
        let (restart_required, problems) = match outcome {
            Ok(keys) => (keys, None),
            Err(problems) => (waiting, Some(problems)),
        };
        Self {
            started_at,
            at: now,
            applied_at: if problems.is_none() { now } else { applied_at },
            restart_required,
            problems,
        }
    }

    /// Whether the file was applied.
    pub(crate) fn is_successful(&self) -> bool {
        self.problems.is_none()
    }

    /// When a file was applied the last time.
    pub(crate) fn applied_unix_s(&self) -> f64 {
        unix_s(self.applied_at)
    }
}

impl ProcessStatus {
    /// The status of this process at this time.
    pub(crate) fn of(name: &str, reload: Option<&Reload>, pending: usize, now: SystemTime) -> Self {
        let status = |reload: &Reload| ReloadStatus {
            at_unix_s: unix_s(reload.at),
            successful: reload.is_successful(),
            applied_unix_s: reload.applied_unix_s(),
            problems: reload.problems.clone().unwrap_or_default(),
            restart_required: reload.restart_required.clone(),
            pending,
        };
        Self {
            format: STATUS_FORMAT,
            name: name.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            now_unix_s: unix_s(now),
            started_unix_s: unix_s(reload.map_or(now, |reload| reload.started_at)),
            reload: reload.map(status),
        }
    }
}

/// In whole milliseconds.
fn unix_s(time: SystemTime) -> f64 {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    (seconds * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_failed_reload_keeps_what_waits_for_a_restart_and_when_a_file_was_applied() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let started = Reload::next(None, Ok(vec![]), at(10));
        let applied = Reload::next(Some(started), Ok(vec!["[listen]".into()]), at(20));
        let failed = Reload::next(Some(applied), Err(vec!["line 3".into()]), at(30));
        let status = ProcessStatus::of("agent-a", Some(&failed), 4, at(40));
        assert_eq!(status.name, "agent-a");
        assert_eq!(
            (status.format, status.now_unix_s, status.started_unix_s),
            (1, 40.0, 10.0)
        );
        let expected = ReloadStatus {
            at_unix_s: 30.0,
            successful: false,
            applied_unix_s: 20.0,
            problems: vec!["line 3".into()],
            restart_required: vec!["[listen]".into()],
            pending: 4,
        };
        assert_eq!(status.reload, Some(expected));
        let repaired = Reload::next(Some(failed), Ok(vec![]), at(50));
        let reload = ProcessStatus::of("agent-a", Some(&repaired), 0, at(50))
            .reload
            .expect("a reload");
        assert!(reload.successful && reload.problems.is_empty() && reload.restart_required.is_empty());
    }
}
