//! `tandem lab`: what a lab has done by a process of its own. The demo asks its own program, and so needs no other.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::prctl;

use super::{Exit, Output};
use tandem_lab::{Scratch, Signal};

/// Helps the demo to leave nothing behind
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem lab tether -- sleep 60
  tandem lab sweep /tmp/tandem-lab-AbCdEf

Exit codes: those of the program, 0 removed, 2 it could not")]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Becomes a program that dies with the process that started it
    Tether {
        /// The program, and its arguments
        #[arg(last = true, required = true)]
        program: Vec<OsString>,
    },
    /// Removes a scratch folder when standard input ends
    Sweep {
        /// Such as /tmp/tandem-lab-AbCdEf
        folder: PathBuf,
    },
}

/// Runs the command.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    let failed = match &args.task {
        Task::Tether { program } => become_tethered(program).to_string(),
        Task::Sweep { folder } => {
            io::copy(&mut io::stdin(), &mut io::sink())?;
            match Scratch::sweep(folder) {
                Ok(()) => return Ok(Exit::Good),
                Err(error) => error.to_string(),
            }
        }
    };
    writeln!(output.err, "{failed}")?;
    Ok(Exit::Environment)
}

/// Does not return, unless it fails.
fn become_tethered(program: &[OsString]) -> io::Error {
    let Some((program, args)) = program.split_first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    match prctl::set_pdeathsig(Signal::SIGKILL) {
        Ok(()) => Command::new(program).args(args).exec(),
        Err(errno) => errno.into(),
    }
}
