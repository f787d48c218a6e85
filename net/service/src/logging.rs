//! Logs to stderr: text for people, or one JSON object per line.

use std::env::{self, VarError};
use std::io::{self, IsTerminal};

use tracing::Level;
use tracing::dispatcher::SetGlobalDefaultError;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::{Log, LogFormat};

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
}

/// Starts logging for the whole process. `RUST_LOG` overrides the level of the configuration.
///
/// # Errors
/// `RUST_LOG` is wrong, or logging was started before.
pub fn init(log: Log) -> Result<(), LoggingError> {
    let directives = match env::var("RUST_LOG") {
        Ok(directives) if directives.trim().is_empty() => None,
        Ok(directives) => Some(directives),
        Err(VarError::NotPresent) => None,
        Err(VarError::NotUnicode(_)) => return Err(LoggingError::NotText),
    };
    let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = subscriber(log, directives.as_deref(), colour, io::stderr)?;
    Ok(tracing::subscriber::set_global_default(subscriber)?)
}

/// The subscriber that [`init`] installs, with its environment as arguments.
fn subscriber<W>(
    log: Log,
    directives: Option<&str>,
    colour: bool,
    writer: W,
) -> Result<impl tracing::Subscriber + Send + Sync, LoggingError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let directives = directives.map_or_else(|| default_directives(log.level), str::to_owned);
    let filter = EnvFilter::builder().parse(directives)?;
    let format = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match log.format {
        LogFormat::Text => format.with_ansi(colour).boxed(),
        LogFormat::Json => format.json().flatten_event(true).with_ansi(false).boxed(),
    };
    Ok(Registry::default().with(filter).with(lines))
}

/// The level applies to Tandem. Libraries stay at warnings: their details would hide Tandem's.
fn default_directives(level: Level) -> String {
    let libraries = level.min(Level::WARN);
    format!("{libraries},tandem={level}")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: Level, directives: Option<&str>, colour: bool) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            subscriber(Log { format, level }, directives, colour, move || writer.clone()).expect("a subscriber");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "tandem_core::session", switch = "tor1", "Claimed");
            tracing::debug!(target: "tandem_net", "detail");
            tracing::info!(target: "rustls", "library");
        });
        let bytes = lines.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("text")
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
        assert!(
            subscriber(
                Log {
                    format: LogFormat::Text,
                    level: Level::INFO
                },
                Some("tandem=loud"),
                false,
                io::sink
            )
            .is_err()
        );
    }
}
