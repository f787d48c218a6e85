//! The command line: one definition feeds parsing, help and dispatch.

use std::io::{self, ErrorKind, IsTerminal};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::{
    Exit, Output, agent, check, completions, control, ctl, demo, inventory, lab, man, pki, sim, status, switch,
};

/// A highly available ToR agent that manages switches through OVSDB
#[derive(Debug, Parser)]
#[command(
    name = "tandem",
    version,
    after_help = "\
Examples:
  tandem demo
  tandem check /etc/tandem/agent.toml

Exit codes: 0 good, 1 a check failed, 2 usage or environment"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Agent(agent::Args),
    Check(check::Args),
    Completions(completions::Args),
    Confirm(ctl::ConfirmArgs),
    Control(control::Args),
    Ctl(ctl::Args),
    Demo(demo::Args),
    Inventory(inventory::Args),
    #[command(hide = true)]
    Lab(lab::Args),
    Man(man::Args),
    Pki(pki::Args),
    Sim(sim::Args),
    Status(status::Args),
    Switch(switch::Args),
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut output = Output {
        out: &mut io::stdout().lock(),
        err: &mut io::stderr(),
        colour,
        is_terminal: io::stdout().is_terminal(),
    };
    let exit = match run(&cli, &mut output) {
        Ok(exit) => exit,
        // The reader has read enough, as in `tandem status | head -1`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Good,
        Err(error) => {
            let _ = writeln!(output.err, "cannot write the output: {error}");
            Exit::Environment
        }
    };
    exit.into()
}

fn run(cli: &Cli, output: &mut Output<'_>) -> io::Result<Exit> {
    let exit = match &cli.command {
        Command::Agent(args) => agent::run(args, output),
        Command::Check(args) => check::run(args, output),
        Command::Completions(args) => completions::run(args, Cli::command(), output),
        Command::Confirm(args) => ctl::confirm(args, output),
        Command::Control(args) => control::run(args, output),
        Command::Ctl(args) => ctl::run(args, output),
        Command::Demo(args) => demo::run(args, output),
        Command::Inventory(args) => inventory::run(args, output),
        Command::Lab(args) => lab::run(args, output),
        Command::Man(args) => man::run(args, Cli::command(), output),
        Command::Pki(args) => pki::run(args, output),
        Command::Sim(args) => sim::run(args, output),
        Command::Status(args) => status::run(args, output),
        Command::Switch(args) => switch::run(args, output),
    }?;
    match output.out.flush() {
        // The exit code shows a failure already.
        Err(_) if !matches!(exit, Exit::Good) => Ok(exit),
        flushed => flushed.map(|()| exit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_order_without_an_address_is_refused_with_both_ways_to_give_it() {
        for line in [
            "tandem ctl drain",
            "tandem confirm",
            "tandem confirm --config F --socket S",
        ] {
            let why = Cli::try_parse_from(line.split_whitespace())
                .expect_err(line)
                .to_string();
            assert!(
                why.contains("--socket <PATH>") && why.contains("--config <FILE>"),
                "{why}"
            );
        }
    }

    #[test]
    fn the_help_of_every_command_has_an_example_that_parses() {
        let program = Cli::command();
        let mut commands: Vec<_> = program.get_subcommands().cloned().collect();
        let sim = commands.iter().find(|command| command.get_name() == "sim");
        let below: Vec<_> = sim.into_iter().flat_map(|sim| sim.get_subcommands().cloned()).collect();
        commands.extend(below);
        commands.push(program);
        for mut command in commands {
            let help = command.render_long_help().to_string();
            let (_, examples) = help
                .split_once("Example")
                .unwrap_or_else(|| panic!("an example in {help}"));
            let lines: Vec<&str> = examples.lines().skip(1).take_while(|line| !line.is_empty()).collect();
            assert!(!lines.is_empty(), "{help}");
            for line in lines {
                assert!(Cli::try_parse_from(line.split_whitespace()).is_ok(), "{line}");
            }
        }
    }
}
