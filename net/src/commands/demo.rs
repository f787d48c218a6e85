//! `tandem demo`: a failover before your eyes.

use std::io;

use serde_json::json;

use super::{Exit, Output};
use crate::demo::{self, Engine, Failure, Interrupt, Progress};

/// Kills the agent that owns a switch, and shows what the failover cost
///
/// Everything runs on this machine, on loopback addresses of its own, with real TLS: two agents, a proxy and a switch.
/// Proxy and switch are Tandem's own models of HAProxy and ovsdb-server, or with --real these themselves. Nothing that
/// runs already is touched, and nothing is left behind.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem demo
  tandem demo --macs 10000
  tandem demo --real
  tandem demo --json

With TANDEM_LAB_KEEP=1 in the environment, the configurations, databases and logs are kept.

Exit codes: 0 the other agent took over, 1 the failover went wrong, 2 a program is missing or cannot be
started, 130 Ctrl-C (everything is cleaned up)")]
pub struct Args {
    /// Start ovsdb-server and HAProxy, which have to be installed, instead of the models
    #[arg(long)]
    real: bool,
    /// Remote MACs in the switch
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=200_000))]
    macs: u32,
    /// Print one JSON object instead of the story
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    let engine = if args.real { Engine::Real } else { Engine::Embedded };
    match demo(engine, args.macs) {
        Ok(report) => {
            match args.json {
                true => output.json(&report.json())?,
                false => write!(output.out, "{}", report.story())?,
            }
            Ok(Exit::Good)
        }
        Err(failure) => {
            let (exit, logs) = match &failure {
                Failure::Environment(_) => (Exit::Environment, None),
                Failure::Interrupted => (Exit::Interrupted, None),
                Failure::Wrong { kept, .. } => (Exit::Failed, kept.as_ref()),
            };
            writeln!(output.err, "{failure}")?;
            if let Some(folder) = logs {
                let folder = folder.display();
                writeln!(output.err, "Configurations, databases and logs are kept in {folder}")?;
            }
            if args.json {
                let error = failure.to_string();
                let line = json!({
                    "ok": false, "engine": engine.name(), "fault": "agent-kill", "macs": args.macs, "error": error, "logs": logs,
                });
                output.json(&line)?;
            }
            Ok(exit)
        }
    }
}

fn demo(engine: Engine, macs: u32) -> Result<demo::Report, Failure> {
    let environment = |what: &str, why: io::Error| Failure::Environment(format!("{what}: {why}"));
    let tandem = std::env::current_exe().map_err(|why| environment("this program's own file is not found", why))?;
    let interrupt = Interrupt::catch().map_err(|why| environment("Ctrl-C cannot be caught", why))?;
    demo::run(engine, &tandem, macs, &interrupt, &Progress::new())
}
