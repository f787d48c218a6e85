//! `tandem pki`: certificates to start with.

use std::io;
use std::path::PathBuf;

use super::{Exit, Output};
use crate::pki;

/// Makes certificates to start with
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tandem pki init /etc/tandem/pki
  tandem pki init --shared-agent /etc/tandem/pki

Exit codes: 0 the files are there, 2 they could not be made")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Makes a CA each for agents, switches and control nodes, and certificates for two agents, a switch and two control
    /// nodes
    ///
    /// It prints the files that it made, and overwrites none.
    Init {
        /// The folder; made if it does not exist
        dir: PathBuf,
        /// One certificate for both agents, for switches that pin the certificate of their manager
        #[arg(long)]
        shared_agent: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    let Command::Init { dir, shared_agent } = &args.command;
    match pki::init(dir, *shared_agent) {
        Ok(files) => {
            for file in files {
                writeln!(output.out, "{}", file.display())?;
            }
            Ok(Exit::Good)
        }
        Err(error) => {
            writeln!(output.err, "{error}")?;
            Ok(Exit::Environment)
        }
    }
}
