//! Gives free memory back to the system.
//!
//! mimalloc returns freed pages a second later, but only when some thread frees another page, or ends. A process that is
//! idle after a flood does neither. So a short thread ends at regular intervals.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The longest time that free memory stays with an idle process, beyond the delay of the allocator.
const INTERVAL: Duration = Duration::from_secs(5);

/// Gives free memory back until the process ends.
///
/// # Errors
/// There is no thread for it.
pub(crate) fn return_when_free() -> io::Result<()> {
    let named = |name: &str| thread::Builder::new().name(name.to_owned());
    let collect = move || {
        loop {
            thread::sleep(INTERVAL);
            // Without a thread now, the next one does it.
            let _ = named("memory-end").spawn(|| ()).map(JoinHandle::join);
        }
    };
    named("memory").spawn(collect).map(drop)
}
