//! Ctrl-C: the first asks the demo to clean up, the second ends it at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

/// How a shell reports a program that Ctrl-C ended.
const EXIT: i32 = 130;

/// Whether Ctrl-C was pressed.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches SIGINT from now on, for the rest of the process.
    pub fn catch() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut pressed = {
            let _inside = runtime.enter();
            signal(SignalKind::interrupt())?
        };
        let interrupt = Self::default();
        let flag = interrupt.clone();
        thread::spawn(move || {
            runtime.block_on(async {
                pressed.recv().await;
                flag.0.store(true, Ordering::Relaxed);
                pressed.recv().await;
                // The kernel kills the parts, and their janitor removes the folder.
                std::process::exit(EXIT);
            });
        });
        Ok(interrupt)
    }

    /// Whether it was pressed.
    pub fn pressed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
