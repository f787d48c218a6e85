//! How many files, and so connections, this process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What most systems allow at least.
const USUAL: usize = 1024;

/// The files that this process may have open at a time.
pub(crate) fn limit() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).ok();
    limit.map_or(USUAL, |(files, _)| usize::try_from(files).unwrap_or(usize::MAX))
}

/// Raises the limit as far as the system allows: shells start programs with a limit that is too low for a thousand switches.
pub(crate) fn raise_limit() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // The limit from before is no error: then fewer connections have places.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}
