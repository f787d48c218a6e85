//! `tandem sim`: the agents in a simulated world, where everything that can break does.
//!
//! `tandem_sim` has the world, the plans and the checks, and touches no file, thread or clock. Here are those: what is
//! read and written, how many run at once, and what a person sees of it.

mod account;
mod determinism;
mod failovers;
mod filter;
mod hashes;
mod mutants;
mod panics;
mod print;
mod run;
mod saved;
mod show;
mod shrink;
mod source;
mod sweep;
mod text;
mod trial;

use std::io;

use super::{Exit, Output};

/// Tests the agents in a simulated world: crashes, partitions, dying proxies, interfering operators
///
/// A plan lists the nodes, the workload and the faults with their times. A seed expands to a plan; a file holds one. A
/// run goes through its faults, then heals a core and requires that it converges; checks watch all the time. The same
/// plan runs the same way every time, on any machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem sim run scenarios/
  tandem sim run --seed 7 --log
  tandem sim sweep --seeds 1..1000 -j 2
  tandem sim shrink --seed 7 --out scenarios/regressions/seven.toml

Exit codes: 0 nothing is wrong, 1 something is, 2 usage or environment, 130 Ctrl-C")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Run(run::Args),
    Sweep(sweep::Args),
    Failovers(failovers::Args),
    Replay(run::ReplayArgs),
    Shrink(shrink::Args),
    Mutants(mutants::Args),
    Hashes(hashes::Args),
}

/// Runs the command.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    let exit = match &args.command {
        Command::Run(args) => run::run(args, output),
        Command::Sweep(args) => sweep::run(args, output),
        Command::Failovers(args) => failovers::run(args, output),
        Command::Replay(args) => run::replay(args, output),
        Command::Shrink(args) => shrink::run(args, output),
        Command::Mutants(args) => mutants::run(args, output),
        Command::Hashes(args) => hashes::run(args, output),
    };
    match exit {
        // In other commands the reader may have read enough; here the exit code is the verdict, and there is none.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Environment),
        exit => exit,
    }
}
