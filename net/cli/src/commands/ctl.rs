//! `tandem ctl`: orders to a running agent or control node.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tandem_core::SwitchName;
use tandem_core::agent::Answer;
use tandem_net::config;
use tandem_net::orders::{Request, default_path};

use super::{Exit, Output};

/// Gives an order to a running agent: log level, drain and resume, move a switch, retry
///
/// The agent takes orders at a local socket: `[listen] orders`, or NAME.sock in its runtime directory. Only root and the
/// user of the agent may connect. A control node has such a socket, too (`[control] orders`), and takes `log-level`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem ctl --config /etc/tandem/agent.toml release tor1
  tandem ctl --socket /run/tandem/agent/agent-a.sock log-level debug
  tandem ctl --config /etc/tandem/control.toml log-level debug

Exit codes: 0 done, 1 the agent refused, 2 no agent answered")]
pub struct Args {
    #[command(flatten)]
    agent: Agent,
    #[command(subcommand)]
    order: Order,
}

/// Confirms deletions that are withheld because a configuration or the routes lost too much at once
///
/// `tandem status` shows how many each switch has. Deletions that a later change adds are withheld anew. The agent takes the
/// order at its socket, as it does those of `tandem ctl`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem confirm --config /etc/tandem/agent.toml
  tandem confirm --config /etc/tandem/agent.toml tor1

Exit codes: 0 done, 1 the agent refused, 2 no agent answered")]
pub struct ConfirmArgs {
    #[command(flatten)]
    agent: Agent,
    /// The name of the switch; all without one
    switch: Option<String>,
}

/// The agent that an order is for, and the form of its answer.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("process").required(true)))]
struct Agent {
    /// The socket of the agent or control node
    #[arg(long, value_name = "PATH", group = "process")]
    socket: Option<PathBuf>,
    /// Take the socket from this configuration file
    #[arg(long, value_name = "FILE", group = "process")]
    config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    /// Logs from this level on, until the next order or restart; without a level, as configured
    LogLevel {
        /// error, warn, info, debug or trace
        level: Option<String>,
    },
    /// Hands every switch to the other agent and takes none, until `resume`; the process stays
    Drain,
    /// Takes switches again
    Resume,
    /// Moves one switch to the other agent, which must be fit; waits until it is there
    Release {
        /// The name of the switch
        switch: String,
    },
    /// Tries everything now that switches rejected
    Retry {
        /// The name of the switch; all without one
        switch: Option<String>,
    },
}

/// The runtime directories of the packaged units.
const AGENT_DIRECTORY: &str = "/run/tandem/agent";
const CONTROL_DIRECTORY: &str = "/run/tandem/control";

/// Longer than an agent takes for any order.
const PATIENCE: Duration = Duration::from_secs(35);

/// Runs the command.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    give(&args.agent, &request(&args.order), output)
}

/// Runs `tandem confirm`.
///
/// # Errors
/// The output cannot be written.
pub fn confirm(args: &ConfirmArgs, output: &mut Output<'_>) -> io::Result<Exit> {
    let switch = args.switch.as_deref().map(SwitchName::from);
    give(&args.agent, &Request::Confirm { switch }, output)
}

/// Gives an order, and prints the answer.
fn give(agent: &Agent, order: &Request, output: &mut Output<'_>) -> io::Result<Exit> {
    let asked = socket(agent).and_then(|socket| ask(&socket, order));
    let answer = match asked {
        Ok(answer) => answer,
        Err(why) => return output.refuse(why),
    };
    match (agent.json, answer.ok) {
        (true, _) => output.json(&answer)?,
        (false, true) => writeln!(output.out, "{}", answer.text)?,
        (false, false) => writeln!(output.err, "{}", answer.text)?,
    }
    Ok(if answer.ok { Exit::Good } else { Exit::Failed })
}

fn request(order: &Order) -> Request {
    let name = |switch: &String| SwitchName::from(switch.as_str());
    match order {
        Order::LogLevel { level } => Request::LogLevel { level: level.clone() },
        Order::Drain => Request::Drain {},
        Order::Resume => Request::Resume {},
        Order::Release { switch } => Request::Release { switch: name(switch) },
        Order::Retry { switch } => Request::Retry {
            switch: switch.as_ref().map(name),
        },
    }
}

fn socket(agent: &Agent) -> Result<PathBuf, String> {
    let Some(file) = &agent.config else {
        return agent
            .socket
            .clone()
            .ok_or_else(|| "--socket or --config is required".into());
    };
    let bytes = std::fs::read(file).map_err(|why| format!("cannot read {}: {why}", file.display()))?;
    let ends = config::ends(file, &bytes).map_err(|problems| problems.to_string())?;
    let directory = match ends.kind {
        "agent" => AGENT_DIRECTORY,
        _ => CONTROL_DIRECTORY,
    };
    let socket = match (ends.orders, ends.name) {
        (config::Orders::At(path), _) => Some(path),
        (config::Orders::Off, _) => None,
        (config::Orders::Default, Some(name)) => default_path(&name, Some(directory)),
        (config::Orders::Default, None) => return Err(format!("{} has no name", file.display())),
    };
    socket.ok_or_else(|| {
        format!(
            "{} has `orders = \"off\"`: this {} takes no orders",
            file.display(),
            ends.kind
        )
    })
}

/// Sends one order, and waits for its answer.
fn ask(socket: &Path, request: &Request) -> Result<Answer, String> {
    let failed = |why: io::Error| format!("no answer from {}: {why}", socket.display());
    let exchange = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        stream.write_all(line.as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    };
    exchange().map_err(failed)
}
