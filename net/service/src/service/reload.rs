//! Reads configuration and certificates again. Invalid ones change nothing; the log has the reason.

use std::path::Path;

use tracing::{error, info, warn};

use crate::config::{self, AgentConfig, LoadError, Problems};
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
    if !certificates(&acceptor.replace(&new.tls), acceptor, counters, "agent") {
        return false;
    }
    for name in config.reload(new) {
        warn!(target: "tandem", "Reload: {name} changes only after a restart");
    }
    info!(target: "tandem", "Reload: {} is read", path.display());
    true
}

/// The new configuration; its problems are logged.
pub(super) fn read<T>(loaded: Result<T, LoadError>) -> Option<T> {
    match loaded {
        Ok(read) => return Some(read),
        Err(LoadError::Wrong(problems)) => complain(&problems),
        Err(problem @ LoadError::Unreadable { .. }) => {
            error!(target: "tandem", "Reload: {problem}; nothing is changed");
        }
    }
    None
}

fn complain(problems: &Problems) {
    for problem in problems.iter().take(PROBLEMS) {
        let (file, at, message) = (problem.file(), problem.location(), problem.message());
        error!(target: "tandem", "Reload: {file}:{}:{}: {message}", at.line, at.column);
    }
    let count = match problems.count() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    error!(target: "tandem", "Reload: {count}; nothing is changed; `tandem check` shows them");
}

/// Logs the outcome of a reload of certificates. Returns whether they are valid.
pub(super) fn certificates(
    outcome: &Result<bool, TlsError>,
    acceptor: &Acceptor,
    counters: &Counters,
    whose: &str,
) -> bool {
    match outcome {
        Ok(true) => {
            counters.certificate(whose, acceptor.not_after());
            info!(target: "tandem", "Reload: new certificates; open sessions keep theirs");
        }
        Ok(false) => {}
        Err(problem) => warn!(target: "tandem", "Reload: {problem}; nothing is changed"),
    }
    outcome.is_ok()
}
