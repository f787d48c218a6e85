//! `tandem check`: whether a configuration file is right.

use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::{Exit, Output, count};
use crate::config::{self, AgentConfig, LoadError, Problem};
use crate::tls::Acceptor;

/// Says whether a configuration file is right; if not, where it is wrong and what to write instead
///
/// It reads the file and those that it names, exactly as `tandem agent` does, and starts nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tandem check /etc/tandem/agent.toml

Exit codes: 0 the file is right, 1 it is wrong, 2 it cannot be read")]
pub struct Args {
    /// The configuration file
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    let (exit, verdict) = match config::load(&args.file) {
        Ok(config) => match Acceptor::load(&config.tls) {
            Ok(_) => {
                if !args.json {
                    writeln!(output.out, "{} is right: {}", args.file.display(), summary(&config))?;
                }
                (Exit::Good, Verdict::default())
            }
            Err(error) => {
                if !args.json {
                    writeln!(output.err, "{}: {error}", args.file.display())?;
                }
                let error = Some(error.to_string());
                (
                    Exit::Failed,
                    Verdict {
                        error,
                        ..Verdict::default()
                    },
                )
            }
        },
        Err(LoadError::Wrong(problems)) => {
            if !args.json {
                writeln!(output.err, "{}", problems.render(output.colour))?;
            }
            let problems = problems.iter().map(Mistake::from).collect();
            (Exit::Failed, Verdict { problems, error: None })
        }
        Err(error @ LoadError::Unreadable { .. }) => {
            if !args.json {
                writeln!(output.err, "{error}")?;
            }
            let error = Some(error.to_string());
            (
                Exit::Environment,
                Verdict {
                    error,
                    ..Verdict::default()
                },
            )
        }
    };
    if args.json {
        output.json(&Report {
            ok: exit == Exit::Good,
            verdict,
        })?;
    }
    Ok(exit)
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    #[serde(flatten)]
    verdict: Verdict,
}

#[derive(Default, Serialize)]
struct Verdict {
    problems: Vec<Mistake>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Mistake {
    file: String,
    line: usize,
    column: usize,
    message: String,
    help: String,
}

impl From<&Problem> for Mistake {
    fn from(problem: &Problem) -> Self {
        let location = problem.location();
        Self {
            file: problem.file().to_owned(),
            line: location.line,
            column: location.column,
            message: problem.message().to_owned(),
            help: problem.advice().to_owned(),
        }
    }
}

fn summary(config: &AgentConfig) -> String {
    let configuration = &config.configuration;
    let macs: usize = configuration
        .networks
        .values()
        .map(|network| network.remote_macs.len())
        .sum();
    let bindings: usize = configuration
        .switches
        .values()
        .flat_map(|switch| switch.ports.values())
        .map(|vlans| vlans.len())
        .sum();
    format!(
        "agent {}, {} with {}, {} with {}",
        configuration.session.agent,
        count(configuration.networks.len(), "network", "networks"),
        count(macs, "remote MAC", "remote MACs"),
        count(configuration.switches.len(), "switch", "switches"),
        count(bindings, "port binding", "port bindings"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = r#"
agent = { name = "agent-a", tsn_ip = "10.0.0.11" }
listen = { ovsdb = "127.0.0.1:0" }
tls = { certificate = "pki/agent-cert.pem", private_key = "pki/agent-key.pem", ca = "pki/switch-ca.pem" }
network = [ { name = "blue", uuid = "6f1c0d0e-0000-4000-8000-000000000001", vni = 1, remote_macs_file = "blue.macs" } ]
switch = [ { name = "tor1", ports = [ { port = "eth1", vlan = 0, network = "blue" } ] } ]
"#;

    /// Runs the command in a folder with the file; the folder's name in the output is `DIR`.
    fn check(config: Option<&str>, json: bool) -> (Exit, String, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        crate::pki::init(&folder.path().join("pki"), true).expect("certificates");
        write("blue.macs", "02:00:00:00:00:01 10.0.9.1\n");
        config.into_iter().for_each(|config| write("agent.toml", config));
        let file = folder.path().join("agent.toml");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output {
            out: &mut out,
            err: &mut err,
            colour: false,
        };
        let exit = run(&Args { file, json }, &mut output).expect("written");
        let text = |bytes| {
            String::from_utf8(bytes)
                .expect("text")
                .replace(&folder.path().display().to_string(), "DIR")
        };
        (exit, text(out), text(err))
    }

    #[test]
    fn a_right_file_is_said_to_be_right_and_what_is_in_it() {
        let (exit, out, err) = check(Some(RIGHT), false);
        assert_eq!(
            (exit, out.as_str(), err.as_str()),
            (
                Exit::Good,
                "DIR/agent.toml is right: agent agent-a, 1 network with 1 remote MAC, 1 switch with 1 port binding\n",
                ""
            )
        );
        assert_eq!(
            check(Some(RIGHT), true),
            (Exit::Good, "{\"ok\":true,\"problems\":[]}\n".into(), String::new())
        );
    }

    #[test]
    fn a_wrong_file_exits_with_1_and_says_where() {
        let wrong = RIGHT.replace("vni = 1", "vni = 0").replace("blue.macs", "red.macs");
        let (exit, out, err) = check(Some(&wrong), false);
        assert_eq!((exit, out.as_str()), (Exit::Failed, ""));
        assert!(
            err.contains("[DIR/agent.toml:5:") && err.ends_with("2 problems.\n"),
            "{err}"
        );
        let (exit, out, err) = check(Some(&wrong), true);
        assert_eq!((exit, err.as_str()), (Exit::Failed, ""));
        insta::assert_snapshot!(out);
    }

    #[test]
    fn certificates_that_the_agent_could_not_start_with_are_said_to_be_wrong() {
        let wrong = RIGHT.replace("pki/agent-key.pem", "pki/switch-key.pem");
        let (exit, out, err) = check(Some(&wrong), false);
        assert_eq!((exit, out.as_str()), (Exit::Failed, ""));
        assert!(err.contains("the private key does not belong to"), "{err}");
    }

    #[test]
    fn a_file_that_is_not_there_exits_with_2() {
        let (exit, out, err) = check(None, false);
        assert_eq!((exit, out.as_str()), (Exit::Environment, ""));
        assert!(err.starts_with("cannot read DIR/agent.toml: "), "{err}");
        let (exit, out, _) = check(None, true);
        assert_eq!(exit, Exit::Environment);
        assert!(
            out.starts_with("{\"ok\":false,\"problems\":[],\"error\":\"cannot read "),
            "{out}"
        );
    }
}
