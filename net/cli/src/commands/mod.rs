//! One file for each subcommand: its arguments, and what it does.

pub mod agent;
pub mod check;
pub mod completions;
pub mod control;
pub mod ctl;
pub mod demo;
pub mod inventory;
pub mod lab;
pub mod man;
pub mod pki;
pub mod sim;
pub mod status;
pub mod switch;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// How a command ended, as its exit code shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// 0: it did what was asked.
    Good,
    /// 1: what was checked is wrong.
    Failed,
    /// 2: it could not do what was asked: the arguments, a file, the network.
    Environment,
    /// 130: Ctrl-C was pressed.
    Interrupted,
}

/// Where a command writes. Results go to `out`, everything else to `err`.
pub struct Output<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// Whether a person looks at `err`, in colours.
    pub colour: bool,
    /// Whether a person looks at `out`, on a terminal.
    pub is_terminal: bool,
}

impl Output<'_> {
    /// One JSON object on a line of its own, the last that a command writes.
    fn json(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        writeln!(self.out, "{}", serde_json::to_string(value)?)
    }

    /// The command cannot do its work; the text is the reason.
    fn refuse(&mut self, why: impl fmt::Display) -> io::Result<Exit> {
        writeln!(self.err, "{why}")?;
        Ok(Exit::Environment)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Good => 0,
            Exit::Failed => 1,
            Exit::Environment => 2,
            Exit::Interrupted => 130,
        })
    }
}

/// `1 switch`, `2 switches`.
pub(crate) fn count(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
