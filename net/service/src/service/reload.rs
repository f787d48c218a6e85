//! Reads configuration and certificates again. Invalid ones change nothing; the log has the reason.

use std::path::Path;

use super::certificates::{AGENT, Names, measure};
use crate::config::{self, AgentConfig, LoadError, Problems};
use crate::driver::log;
use crate::event::ServiceEvent;
use crate::metrics::Counters;
use crate::process::Outcome;
use crate::tls::{Acceptor, TlsError};

/// Problems of a file that the log names one by one.
const PROBLEMS: usize = 10;

/// Reads the file of a running agent again, and applies it to `config`.
pub(super) fn agent(path: &Path, config: &mut AgentConfig, acceptor: &Acceptor, counters: &Counters) -> Outcome {
    let new = read(config::load(path))?;
    // All or nothing: with invalid certificates the rest of the file is not applied either.
    certificates(&acceptor.replace(&new.tls), acceptor, counters, AGENT)?;
    let keys = restart_required(config.reload(new));
    log::event(&done(path));
    Ok(keys)
}

/// The event of a file that was read again.
pub(super) fn done(path: &Path) -> ServiceEvent {
    ServiceEvent::Reloaded {
        file: path.display().to_string(),
    }
}

/// Logs the keys that changed and that a reload does not reach, and returns them.
pub(super) fn restart_required(keys: Vec<&'static str>) -> Vec<String> {
    let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
    for key in &keys {
        log::event(&ServiceEvent::RestartRequired { key: key.clone() });
    }
    keys
}

/// The new configuration. Its problems are logged, and returned.
pub(super) fn read<T>(loaded: Result<T, LoadError>) -> Result<T, Vec<String>> {
    let problems = match loaded {
        Ok(read) => return Ok(read),
        Err(LoadError::Wrong(problems)) => texts(&problems),
        Err(problem @ LoadError::Unreadable { .. }) => vec![format!("{problem}; nothing is changed")],
    };
    for problem in &problems {
        let problem = problem.clone();
        log::event(&ServiceEvent::ReloadFailed { problem });
    }
    Err(problems)
}

/// The first problems, and their number.
fn texts(problems: &Problems) -> Vec<String> {
    let first = problems.iter().take(PROBLEMS).map(|problem| {
        let (file, at, message) = (problem.file(), problem.location(), problem.message());
        format!("{file}:{}:{}: {message}", at.line, at.column)
    });
    let count = match problems.count() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    let count = format!("{count}; nothing is changed; `tandem check` shows them");
    first.chain([count]).collect()
}

/// Logs the outcome of a reload of certificates. The error is what is wrong with them.
pub(super) fn certificates(
    outcome: &Result<bool, TlsError>,
    acceptor: &Acceptor,
    counters: &Counters,
    names: Names,
) -> Result<(), Vec<String>> {
    match outcome {
        Ok(true) => {
            measure(counters, names, acceptor);
            log::event(&ServiceEvent::CertificatesReloaded);
        }
        Ok(false) => {}
        Err(problem) => {
            let problem = problem.to_string();
            log::event(&ServiceEvent::CertificatesRejected {
                problem: problem.clone(),
            });
            return Err(vec![format!("{problem}; nothing is changed")]);
        }
    }
    Ok(())
}
