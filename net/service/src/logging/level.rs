//! The level of the log, which changes while the process runs.

use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::Level;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// The filter of this process, once logging has started.
static FILTER: OnceLock<Filter> = OnceLock::new();

/// The filter of a subscriber.
#[derive(Debug)]
pub(super) struct Filter {
    handle: reload::Handle<EnvFilter, Registry>,
    configured: String,
    in_force: Mutex<String>,
}

/// The filter of a process, by the directives of its environment, or else by the level of its configuration, and what
/// changes it later.
pub(super) fn filter(
    level: Level,
    directives: Option<&str>,
) -> Result<(reload::Layer<EnvFilter, Registry>, Filter), ParseError> {
    let directives = directives.map_or_else(|| default_directives(level), str::to_owned);
    let (layer, handle) = reload::Layer::new(EnvFilter::builder().parse(&directives)?);
    let filter = Filter {
        handle,
        configured: directives.clone(),
        in_force: Mutex::new(directives),
    };
    Ok((layer, filter))
}

/// The level applies to Tandem. Libraries stay at warnings: their details would hide Tandem's.
fn default_directives(level: Level) -> String {
    let libraries = level.min(Level::WARN);
    format!("{libraries},tandem={level}")
}

/// This filter is that of the process from now on.
pub(super) fn remember(filter: Filter) {
    let _ = FILTER.set(filter);
}

/// Logs from this level on, whatever the environment and the configuration have set; `None` returns to the configuration. Returns the directives in force.
pub fn set(level: Option<Level>) -> Option<String> {
    FILTER.get().map(|filter| filter.set(level))
}

/// Logs debug lines, or returns to the configuration. Returns the directives in force.
pub fn toggle() -> Option<String> {
    FILTER.get().map(Filter::toggle)
}

impl Filter {
    fn current(&self) -> String {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, level: Option<Level>) -> String {
        let directives = level.map_or_else(|| self.configured.clone(), default_directives);
        // Both kinds of directives are right, and the subscriber lives as long as the process.
        if let Ok(filter) = EnvFilter::builder().parse(&directives)
            && self.handle.reload(filter).is_ok()
        {
            *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = directives;
        }
        self.current()
    }

    fn toggle(&self) -> String {
        let debug = Level::DEBUG;
        let is_on = self.current() == default_directives(debug);
        self.set((!is_on).then_some(debug))
    }
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn debug_lines_can_be_switched_on_and_off_and_any_level_set() {
        let configured = default_directives(Level::INFO);
        let (layer, filter) = filter(Level::INFO, None).expect("directives");
        with_default(Registry::default().with(layer), || {
            let logs = || {
                let debug = tracing::enabled!(target: "tandem", Level::DEBUG);
                (debug, tracing::enabled!(target: "tandem", Level::INFO))
            };
            assert_eq!(logs(), (false, true));
            assert_eq!(filter.toggle(), "WARN,tandem=DEBUG");
            assert_eq!(logs(), (true, true));
            assert_eq!(filter.toggle(), configured);
            assert_eq!(logs(), (false, true));
            assert_eq!(filter.set(Some(Level::WARN)), "WARN,tandem=WARN");
            assert_eq!(logs(), (false, false));
            assert_eq!(filter.set(None), configured);
            assert_eq!(logs(), (false, true));
        });
    }
}
