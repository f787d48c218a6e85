//! `tandem demo`: a failover before your eyes.

use std::io;

use serde_json::json;

use super::{Exit, Output};
use crate::demo::{self, Engine, Failure, Interrupt, Options, Progress};

/// Kills the agent that owns a switch, and shows what the failover cost
///
/// Everything runs on this machine, on loopback addresses of its own, with real TLS: two agents, two control nodes, a
/// proxy and two switches. A MAC that one switch has learned reaches the other, before the failover and afterwards. Proxy
/// and switches are Tandem's own models of HAProxy and ovsdb-server, or with --real these themselves. The demo touches no
/// process that runs already, and leaves nothing behind.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem demo
  tandem demo --macs 10000
  tandem demo --stale-hold
  tandem demo --real
  tandem demo --json

With --json the only line is one object:
  ok              true
  engine          embedded, or with --real: real
  fault           agent-kill
  macs            the value of --macs
  owner_before    the agent that owned the first switch and was killed
  owner_after     the agent that took over
  impact_ms       since the kill: until the other agent accepted the switch's connection
                  (session), the switch's database named the other services node
                  (broadcast), everything was compared and right (audited)
  rows_rewritten  rows of that switch that were written to without need: 0
  route           whether a MAC that the first switch learned was seen in the second: one
                  from before the kill (before), one from afterwards (after); and for how
                  long the first of them was missing there (missing_ms)
When something goes wrong, ok is false, error is the reason, logs the folder of the logs, and route
what was seen until then.

With TANDEM_LAB_KEEP=1 in the environment, the configurations, databases and logs are kept.

Exit codes: 0 the other agent took over and both MACs arrived, 1 something of this went wrong,
2 a program is missing or cannot be started, 130 Ctrl-C (everything is cleaned up)")]
pub struct Args {
    /// Let the agents hold copies of routes through the failover (`failover.stale_hold`)
    #[arg(long)]
    stale_hold: bool,
    /// Start ovsdb-server and HAProxy, which have to be installed, instead of the models
    #[arg(long)]
    real: bool,
    /// Remote MACs in each switch
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=200_000))]
    macs: u32,
    /// Print one JSON object instead of the report
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    let engine = if args.real { Engine::Real } else { Engine::Embedded };
    let options = Options {
        engine,
        macs: args.macs,
        stale_hold: args.stale_hold,
    };
    match demo(options) {
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
                    "route": failure.route(),
                });
                output.json(&line)?;
            }
            Ok(exit)
        }
    }
}

fn demo(options: Options) -> Result<demo::Report, Failure> {
    let environment = |what: &str, why: io::Error| Failure::Environment(format!("{what}: {why}"));
    let tandem = std::env::current_exe().map_err(|why| environment("this program's own file is not found", why))?;
    let interrupt = Interrupt::catch().map_err(|why| environment("Ctrl-C cannot be caught", why))?;
    demo::run(options, &tandem, &interrupt, &Progress::new())
}
