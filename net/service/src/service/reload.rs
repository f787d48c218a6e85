//! Reads configuration and certificates again. Invalid ones change nothing; the log has the reason.

use std::path::Path;

use super::certificates::{AGENT, Names, measure};
use crate::config::{self, AgentConfig, LoadError, Problems};
use crate::driver::log;
use crate::event::ServiceEvent;
use crate::metrics::Counters;
use crate::tls::{Acceptor, TlsError};

/// Problems of a file that the log names one by one.
const PROBLEMS: usize = 10;

/// Reads the file of a running agent again. Returns whether it was applied to `config`.
pub(super) fn agent(path: &Path, config: &mut AgentConfig, acceptor: &Acceptor, counters: &Counters) -> bool {
    let Some(new) = read(config::load(path)) else {
        return false;
    };
    // All or nothing: with invalid certificates the rest of the file is not applied either.
    if !certificates(&acceptor.replace(&new.tls), acceptor, counters, AGENT) {
        return false;
    }
    restart_required(config.reload(new));
    log::event(&done(path));
    true
}

/// The event of a file that was read again.
pub(super) fn done(path: &Path) -> ServiceEvent {
    ServiceEvent::Reloaded {
        file: path.display().to_string(),
    }
}

/// Logs the keys that changed and that a reload does not reach.
pub(super) fn restart_required(keys: impl IntoIterator<Item = impl ToString>) {
    for key in keys {
        log::event(&ServiceEvent::RestartRequired { key: key.to_string() });
    }
}

/// The new configuration; its problems are logged.
pub(super) fn read<T>(loaded: Result<T, LoadError>) -> Option<T> {
    match loaded {
        Ok(read) => return Some(read),
        Err(LoadError::Wrong(problems)) => complain(&problems),
        Err(problem @ LoadError::Unreadable { .. }) => {
            failed(format!("{problem}; nothing is changed"));
        }
    }
    None
}

fn complain(problems: &Problems) {
    for problem in problems.iter().take(PROBLEMS) {
        let (file, at, message) = (problem.file(), problem.location(), problem.message());
        failed(format!("{file}:{}:{}: {message}", at.line, at.column));
    }
    let count = match problems.count() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    failed(format!("{count}; nothing is changed; `tandem check` shows them"));
}

fn failed(problem: String) {
    log::event(&ServiceEvent::ReloadFailed { problem });
}

/// Logs the outcome of a reload of certificates. Returns whether they are valid.
pub(super) fn certificates(
    outcome: &Result<bool, TlsError>,
    acceptor: &Acceptor,
    counters: &Counters,
    names: Names,
) -> bool {
    match outcome {
        Ok(true) => {
            measure(counters, names, acceptor);
            log::event(&ServiceEvent::CertificatesReloaded);
        }
        Ok(false) => {}
        Err(problem) => log::event(&ServiceEvent::CertificatesRejected {
            problem: problem.to_string(),
        }),
    }
    outcome.is_ok()
}
