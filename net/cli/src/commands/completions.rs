//! `tandem completions`: what a shell needs to complete commands and options.

use std::io;

use clap_complete::Shell;

use super::{Exit, Output};

/// Prints the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem completions bash
  tandem completions zsh

Exit codes: 0 printed, 2 the output cannot be written")]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the command for a program that is defined so.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, mut program: clap::Command, output: &mut Output<'_>) -> io::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "tandem", &mut script);
    output.out.write_all(&script)?;
    Ok(Exit::Good)
}
