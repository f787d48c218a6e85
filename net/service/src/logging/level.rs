//! The level of the log while the process runs.

use std::sync::OnceLock;

use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::{Layer, Registry};

static FILTER: OnceLock<Handle<EnvFilter, Registry>> = OnceLock::new();

/// The filter of a process, by the directives of its environment, or else by the level of its configuration. It can be
/// changed later.
pub(super) fn filter(
    level: Level,
    directives: Option<&str>,
) -> Result<(impl Layer<Registry> + use<>, Handle<EnvFilter, Registry>), ParseError> {
    let directives = directives.map_or_else(|| default_directives(level), str::to_owned);
    Ok(reload::Layer::new(EnvFilter::builder().parse(directives)?))
}

/// Lets [`set`] reach the filter of this process.
pub(super) fn remember(filter: Handle<EnvFilter, Registry>) {
    let _ = FILTER.set(filter);
}

/// Changes the level of the running process, whatever its environment and its configuration have set. Answers whether the
/// process logs at all.
pub fn set(level: Level) -> bool {
    let changed = FILTER
        .get()
        .map(|filter| filter.reload(EnvFilter::new(default_directives(level))));
    matches!(changed, Some(Ok(())))
}

/// The level applies to Tandem. Libraries stay at warnings: their details would hide Tandem's.
fn default_directives(level: Level) -> String {
    let libraries = level.min(Level::WARN);
    format!("{libraries},tandem={level}")
}
