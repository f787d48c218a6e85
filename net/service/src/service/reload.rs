//! Reads configuration and certificates again. What is wrong with them changes nothing, and is in the log.

use std::path::Path;

use tracing::{error, info, warn};

use crate::config::{self, AgentConfig, LoadError, Problems};
use crate::metrics::Counters;
use crate::tls::{Acceptor, TlsError};

/// Problems of a file that the log names one by one.
const PROBLEMS: usize = 10;

/// Reads the file of a running agent again. Answers whether `config` is what the file now has.
pub(super) fn agent(path: &Path, config: &mut AgentConfig, acceptor: &Acceptor, counters: &Counters) -> bool {
    let Some(new) = read(config::load(path)) else {
        return false;
    };
    // All or nothing: with wrong certificates the rest of the file is not applied either.
    if !certificates(&acceptor.replace(&new.tls), acceptor, counters, "agent") {
        return false;
    }
    for name in config.reload(new) {
        warn!(target: "tandem", "Reload: {name} changes with a new start only");
    }
    info!(target: "tandem", "Reload: {} is read", path.display());
    true
}

/// What was read again; the log says what is wrong with it.
pub(super) fn read<T>(loaded: Result<T, LoadError>) -> Option<T> {
    match loaded {
        Ok(read) => return Some(read),
        Err(LoadError::Wrong(problems)) => complain(&problems),
        Err(problem @ LoadError::Unreadable { .. }) => {
            error!(target: "tandem", "Reload: {problem}; everything stays as it was");
        }
    }
    None
}

fn complain(problems: &Problems) {
    for problem in problems.iter().take(PROBLEMS) {
        let (file, at, message) = (problem.file(), problem.location(), problem.message());
        error!(target: "tandem", "Reload: {file}:{}:{}: {message}", at.line, at.column);
    }
    let count = problems.iter().count();
    error!(target: "tandem", "Reload: {count} problems; everything stays as it was; `tandem check` shows them");
}

/// Logs what became of the certificates. Answers whether they are right.
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
        Err(problem) => warn!(target: "tandem", "Reload: {problem}; everything stays as it was"),
    }
    outcome.is_ok()
}
