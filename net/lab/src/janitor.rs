//! A process that cleans up after us, however we end.
//!
//! Destructors do not run on Ctrl-C, nor on `kill -9`. The janitor reads from a pipe that only we hold open: when it
//! ends, by our destructor or by our death, the janitor does its work and goes.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::{Error, Result};

/// Runs its script once, when it is dropped or this process ends.
pub(crate) struct Janitor(Child);

impl Janitor {
    /// `script` is for `sh`, with `argument` as `$1`.
    pub(crate) fn new(script: &str, argument: &str) -> Result<Self> {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            &format!("trap '' INT TERM HUP; cat; {script}"),
            "janitor",
            argument,
        ]);
        Self::start(shell)
    }

    /// Any command that does its work when its standard input ends.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C reaches the whole group of the foreground process.
            .process_group(0)
            .spawn()
            .map(Self)
            .map_err(Error::io("start the janitor"))
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // There is no one to report to here, and the folder that stays behind is harmless.
        let _ = self.0.wait();
    }
}
