//! Logs to stderr: text for people, or one JSON object per line. Writing never makes a worker wait, and a flood of events
//! is a few lines.

mod floods;
mod format;
mod journal;
mod level;
mod line;
mod writer;

use std::env::{self, VarError};
use std::io::{self, IsTerminal};
use std::os::linux::fs::MetadataExt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::dispatcher::SetGlobalDefaultError;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;

pub use journal::Counts;
pub use level::{set as set_level, toggle as toggle_debug};

use crate::config::Log;
use format::Format;
use journal::{Journal, Lines};

/// Why logging cannot start; the environment is at fault.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `RUST_LOG` cannot be parsed.
    #[error("RUST_LOG is not a list such as `info,tandem_core=debug`: {0}")]
    Directives(#[from] ParseError),
    /// `RUST_LOG` is not text.
    #[error("RUST_LOG is not UTF-8 text")]
    NotText,
    /// This process logs already.
    #[error(transparent)]
    Twice(#[from] SetGlobalDefaultError),
    /// There is no thread for it.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(#[from] io::Error),
}

/// Logs until it is dropped; then the last lines are written.
#[derive(Debug)]
#[must_use = "without it the last lines are lost"]
pub struct Logging(Arc<Journal>);

impl Drop for Logging {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The longest time that an answer waits for the log.
const FLUSH: Duration = Duration::from_millis(100);

static JOURNAL: OnceLock<Arc<Journal>> = OnceLock::new();

/// Starts logging for the whole process. `RUST_LOG` overrides the level of the configuration. JSON objects have a field
/// that names the process, such as `("agent", "agent-a")`.
///
/// # Errors
/// `RUST_LOG` is wrong, logging was started before, or there is no thread for it.
pub fn init(log: Log, process: Option<(&'static str, &str)>) -> Result<Logging, LoggingError> {
    let directives = match env::var("RUST_LOG") {
        Ok(directives) if directives.trim().is_empty() => None,
        Ok(directives) => Some(directives),
        Err(VarError::NotPresent) => None,
        Err(VarError::NotUnicode(_)) => return Err(LoggingError::NotText),
    };
    let format = Format {
        kind: log.format,
        colour: io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        priorities: writes_to_the_journal(),
        process: process.map(|(kind, name)| (kind, name.to_owned())),
    };
    let journal = Arc::new(Journal::new(format));
    let (filter, handle) = level::filter(log.level, directives.as_deref())?;
    tracing::subscriber::set_global_default(Registry::default().with(filter).with(Lines(Arc::clone(&journal))))?;
    level::remember(handle);
    let completing = Arc::clone(&journal);
    writer::start(journal.queue(), io::stderr(), move |batch| completing.complete(batch))?;
    let _ = JOURNAL.set(Arc::clone(&journal));
    Ok(Logging(journal))
}

/// The lines that this process has not written.
pub fn counts() -> Counts {
    JOURNAL.get().map(|journal| journal.counts()).unwrap_or_default()
}

/// Waits until every line so far is written, but not for a reader of the log that stalls.
pub(crate) async fn flush() {
    if let Some(journal) = JOURNAL.get() {
        let flushed = tokio::task::spawn_blocking(|| journal.queue().flush(FLUSH));
        let _ = flushed.await;
    }
}

/// Whether stderr is the stream of the journal that systemd has announced (`systemd.exec(5)`).
fn writes_to_the_journal() -> bool {
    let announced = env::var("JOURNAL_STREAM").unwrap_or_default();
    let stderr = std::fs::metadata("/proc/self/fd/2");
    stderr.is_ok_and(|stderr| announced == format!("{}:{}", stderr.st_dev(), stderr.st_ino()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing::Level;

    use super::*;
    use crate::config::LogFormat;

    fn logged(kind: LogFormat, level: Level, directives: Option<&str>, colour: bool) -> String {
        let journal = Arc::new(Journal::new(Format {
            kind,
            colour,
            ..Format::default()
        }));
        let (filter, _) = level::filter(level, directives).expect("directives");
        let subscriber = Registry::default().with(filter).with(Lines(Arc::clone(&journal)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "tandem_core::session", switch = "tor1", "Claimed");
            tracing::debug!(target: "tandem_net", "detail");
            tracing::info!(target: "rustls", "library");
        });
        String::from_utf8(journal.queue().take(Duration::ZERO).bytes).expect("text")
    }

    #[test]
    fn a_line_of_text_has_colours_only_on_request() {
        let text = logged(LogFormat::Text, Level::INFO, None, false);
        assert!(
            text.ends_with(" INFO tandem_core::session: Claimed switch=\"tor1\"\n"),
            "{text}"
        );
        assert!(!text.contains('\x1b'), "{text:?}");
        assert!(logged(LogFormat::Text, Level::INFO, None, true).contains('\x1b'));
    }

    #[test]
    fn a_line_of_json_is_one_flat_object() {
        let line = logged(LogFormat::Json, Level::INFO, None, true);
        let object: serde_json::Value = serde_json::from_str(&line).expect("one JSON object");
        assert_eq!(object["message"], "Claimed");
        assert_eq!(object["switch"], "tor1");
        assert_eq!(object["level"], "INFO");
    }

    #[test]
    fn the_level_applies_to_tandem_and_rust_log_overrides_it() {
        let lines = |level, directives| logged(LogFormat::Text, level, directives, false).lines().count();
        assert_eq!(lines(Level::INFO, None), 1);
        assert_eq!(lines(Level::DEBUG, None), 2);
        assert_eq!(lines(Level::ERROR, None), 0);
        assert_eq!(lines(Level::ERROR, Some("trace")), 3);
        assert!(level::filter(Level::INFO, Some("tandem=loud")).is_err());
    }

    #[test]
    fn the_level_of_a_process_that_does_not_log_cannot_be_changed() {
        assert_eq!(set_level(Some(Level::DEBUG)), None);
    }
}
