//! What the demo is doing, for a person in front of a terminal.

use std::time::Duration;

use indicatif::ProgressBar;

/// One line on standard error that shows the present step; nothing where that is no terminal.
pub struct Progress(ProgressBar);

impl Progress {
    /// An empty line.
    pub fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Shows the step that begins now.
    pub fn step(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
