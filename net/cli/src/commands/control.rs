//! `tandem control`: runs a control node.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::agent::read;
use super::{Exit, Output};
use crate::memory;
use tandem_net::config;
use tandem_net::tls::{Acceptor, Peers};
use tandem_net::{logging, service};

/// Runs a control node until SIGTERM (it ends the stream to every agent first)
///
/// SIGHUP reads the inventory again and sends each agent its differences.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tandem control --config /etc/tandem/control.toml

Exit codes: 0 stopped by a signal, 2 it could not start")]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    let Some(config) = read(config::load_control(&args.config), output)? else {
        return Ok(Exit::Environment);
    };
    let started = logging::init(config.log, Some(("control_node", &config.name)))
        .map_err(|error| error.to_string())
        .and_then(|_logging| {
            memory::return_when_free().map_err(|error| error.to_string())?;
            let acceptor = config.tls.as_ref();
            let acceptor = acceptor.map(|tls| Acceptor::load_for(Peers::Clients, tls)).transpose();
            let acceptor = acceptor.map_err(|error| error.to_string())?.map(Arc::new);
            let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
            runtime
                .block_on(service::control::run(args.config.clone(), config, acceptor))
                .map_err(|error| error.to_string())
        });
    match started {
        Ok(()) => Ok(Exit::Good),
        Err(error) => {
            writeln!(output.err, "the control node cannot start: {error}")?;
            Ok(Exit::Environment)
        }
    }
}
