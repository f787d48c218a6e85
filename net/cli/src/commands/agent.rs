//! `tandem agent`: runs a ToR agent.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Exit, Output};
use crate::memory;
use tandem_net::config::{self, LoadError};
use tandem_net::tls::Acceptor;
use tandem_net::{logging, service};

/// Runs a ToR agent until SIGTERM (it drains first: it releases its switches)
///
/// SIGHUP reads the configuration again; only differences reach the switches.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tandem agent --config /etc/tandem/agent.toml

Exit codes: 0 drained, 2 it could not start")]
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
    let Some(config) = read(config::load(&args.config), output)? else {
        return Ok(Exit::Environment);
    };
    let started = logging::init(config.log, Some(("agent", &config.configuration.session.agent)))
        .map_err(|error| error.to_string())
        .and_then(|_logging| {
            memory::return_when_free().map_err(|error| error.to_string())?;
            let acceptor = Acceptor::load_for(config.peers(), &config.tls).map_err(|error| error.to_string())?;
            let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
            runtime
                .block_on(service::run(args.config.clone(), config, Arc::new(acceptor)))
                .map_err(|error| error.to_string())
        });
    match started {
        Ok(()) => Ok(Exit::Good),
        Err(error) => {
            writeln!(output.err, "the agent cannot start: {error}")?;
            Ok(Exit::Environment)
        }
    }
}

/// A configuration, unless something is wrong with it, which is shown.
pub(super) fn read<T>(loaded: Result<T, LoadError>, output: &mut Output<'_>) -> io::Result<Option<T>> {
    match loaded {
        Ok(config) => return Ok(Some(config)),
        Err(LoadError::Wrong(problems)) => writeln!(output.err, "{}", problems.render(output.colour))?,
        Err(error @ LoadError::Unreadable { .. }) => writeln!(output.err, "{error}")?,
    }
    Ok(None)
}
