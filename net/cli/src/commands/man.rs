//! `tandem man`: the manual pages, made from the same definition as `--help`.

use std::io;
use std::path::PathBuf;

use super::{Exit, Output};

/// Writes the manual pages, one for each command, into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tandem man /usr/local/share/man/man1

Exit codes: 0 written, 2 a page cannot be written")]
pub struct Args {
    /// The folder; it must exist
    folder: PathBuf,
}

/// Runs the command for a program that is defined so.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, program: clap::Command, output: &mut Output<'_>) -> io::Result<Exit> {
    match clap_mangen::generate_to(program, &args.folder) {
        Ok(()) => Ok(Exit::Good),
        Err(error) => {
            writeln!(
                output.err,
                "cannot write manual pages to {}: {error}",
                args.folder.display()
            )?;
            Ok(Exit::Environment)
        }
    }
}
