//! `tandem check`: whether a configuration file is right.

mod hints;
mod plan;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use tandem_core::configuration::{Network, Switch};

use super::{Exit, Output, count, status};
use hints::{hints, shared_authorities};
use plan::Plan;
use tandem_net::config::{self, Config, LoadError, Problem};
use tandem_net::tls::{Acceptor, Connector, Finding, Peers, TlsError};

/// Checks a configuration file; shows each problem with its place and the correct form
///
/// It reads the file and those that it names, exactly as `tandem agent` or `tandem control` does, and starts nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem check /etc/tandem/agent.toml
  tandem check /etc/tandem/control.toml
  tandem check /etc/tandem/control.toml --against http://127.0.0.1:6653

Exit codes: 0 the file is right, 1 it is wrong, 2 it cannot be read")]
pub struct Args {
    /// The configuration file of an agent or of a control node
    file: PathBuf,
    /// Print what the file of a control node would change on each switch, compared with what is in force at this running
    /// control node
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    let (exit, verdict) = match config::load_any(&args.file) {
        Ok(config) => {
            let kind = Some(kind(&config));
            match certificates(&config) {
                Ok(findings) => {
                    let plan = match args.against.as_deref().map(|url| plan(&config, url)).transpose() {
                        Ok(plan) => plan,
                        Err(why) => return output.refuse(why),
                    };
                    let is_bad = findings.iter().any(|finding| finding.is_bad);
                    let exit = if is_bad { Exit::Failed } else { Exit::Good };
                    if !args.json {
                        report(args, &config, &findings, output)?;
                        plan.iter().try_for_each(|plan| write!(output.out, "{plan}"))?;
                    }
                    let text = |finding: &Finding| finding.to_string();
                    let (bad, warnings): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.is_bad);
                    let warnings = warnings.into_iter().map(text);
                    let verdict = Verdict {
                        kind,
                        plan,
                        warnings: warnings.chain(shared_authorities(&config)).collect(),
                        hints: hints(&config),
                        error: bad.first().map(|bad| text(bad)),
                        ..Verdict::default()
                    };
                    (exit, verdict)
                }
                Err(error) => {
                    if !args.json {
                        writeln!(output.err, "{}: {error}", args.file.display())?;
                    }
                    let verdict = Verdict::error(error.to_string());
                    (Exit::Failed, Verdict { kind, ..verdict })
                }
            }
        }
        Err(LoadError::Wrong(problems)) => {
            if !args.json {
                writeln!(output.err, "{}", problems.render(output.colour))?;
            }
            let problems = problems.iter().map(Mistake::from).collect();
            let verdict = Verdict::default();
            (Exit::Failed, Verdict { problems, ..verdict })
        }
        Err(error @ LoadError::Unreadable { .. }) => {
            if !args.json {
                writeln!(output.err, "{error}")?;
            }
            (Exit::Environment, Verdict::error(error.to_string()))
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

/// What the file would change, compared with a running control node; an error is a sentence for a person.
fn plan(config: &Config, url: &str) -> Result<Plan, String> {
    match config {
        Config::Agent(_) => Err("`--against` compares the file of a control node; this one is of an agent".into()),
        Config::Control(control) => Ok(Plan::new(&control.inventory, &status::control_node(url)?)),
    }
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    #[serde(flatten)]
    verdict: Verdict,
}

#[derive(Default, Serialize)]
struct Verdict {
    /// The kind of file: `agent` or `control node`.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    problems: Vec<Mistake>,
    /// What the file would change.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Plan>,
    /// What is right, but not for long, or for anybody who could play another role.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What would be better.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<String>,
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

impl Verdict {
    fn error(error: String) -> Self {
        Self {
            error: Some(error),
            ..Self::default()
        }
    }
}

/// Prints what is wrong with the certificates, and the summary of a right file.
fn report(args: &Args, config: &Config, findings: &[Finding], output: &mut Output<'_>) -> io::Result<()> {
    let file = args.file.display();
    for finding in findings {
        let kind = if finding.is_bad { "error" } else { "warning" };
        writeln!(output.err, "{file}: {kind}: {finding}")?;
    }
    if findings.iter().any(|finding| finding.is_bad) {
        return Ok(());
    }
    for warning in shared_authorities(config) {
        writeln!(output.err, "{file}: warning: {warning}")?;
    }
    writeln!(output.out, "{file} is right: {}", summary(config))?;
    let mut hints = hints(config).into_iter();
    hints.try_for_each(|hint| writeln!(output.out, "hint: {hint}"))
}

/// Whether the process could start with the certificates, and what is wrong, or soon will be, with them.
fn certificates(config: &Config) -> Result<Vec<Finding>, TlsError> {
    let mut findings = Vec::new();
    match config {
        Config::Agent(agent) => {
            findings.extend(Acceptor::load_for(agent.peers(), &agent.tls)?.findings());
            if let Some(peer) = &agent.peer {
                findings.extend(Acceptor::load_for(Peers::Pair, &peer.tls)?.findings());
            }
            if let Some(tls) = agent.uplink_tls() {
                findings.extend(Connector::load_for("control", &tls)?.findings());
            }
        }
        Config::Control(control) => {
            if let Some(tls) = &control.tls {
                findings.extend(Acceptor::load_for(Peers::Clients, tls)?.findings());
            }
        }
    }
    // The certificate of [tls] serves several sections.
    let mut seen = BTreeSet::new();
    findings.retain(|finding| seen.insert(finding.to_string()));
    Ok(findings)
}

fn kind(config: &Config) -> &'static str {
    match config {
        Config::Agent(_) => "agent",
        Config::Control(_) => "control node",
    }
}

fn summary(config: &Config) -> String {
    match config {
        Config::Agent(agent) => {
            let configuration = &agent.configuration;
            let name = &configuration.session.agent;
            match &agent.uplinks {
                Some(uplinks) => format!(
                    "agent {name}, led by {}",
                    count(uplinks.nodes.len(), "control node", "control nodes")
                ),
                None => format!(
                    "agent {name}, {}",
                    contents(configuration.networks.values(), configuration.switches.values())
                ),
            }
        }
        Config::Control(control) => {
            let inventory = &control.inventory;
            let switches = inventory.switches.values();
            let agents: BTreeSet<_> = switches.clone().flat_map(|served| &served.agents).collect();
            format!(
                "control node {}, revision {}, {}, {}",
                control.name,
                inventory.revision,
                contents(inventory.networks.values(), switches.map(|served| &served.switch)),
                count(agents.len(), "agent", "agents"),
            )
        }
    }
}

fn contents<'a>(
    networks: impl ExactSizeIterator<Item = &'a Network>,
    switches: impl ExactSizeIterator<Item = &'a Switch>,
) -> String {
    let networks_total = count(networks.len(), "network", "networks");
    let switches_total = count(switches.len(), "switch", "switches");
    let macs: usize = networks.map(|network| network.remote_macs.len()).sum();
    let bindings = switches
        .flat_map(|switch| switch.ports.values())
        .map(|vlans| vlans.len());
    format!(
        "{networks_total} with {}, {switches_total} with {}",
        count(macs, "remote MAC", "remote MACs"),
        count(bindings.sum(), "port binding", "port bindings"),
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

    const HINT: &str = "hint: tor1 has no `certificate`: each holder of a certificate of the CA can take the name; `tandem status` shows the line to add\n";

    #[test]
    fn a_file_whose_switches_have_certificates_needs_no_hint() {
        let bound = RIGHT.replace(
            "name = \"tor1\",",
            "name = \"tor1\", certificate = \"name:tor1.example\",",
        );
        let (exit, out, _) = check(Some(&bound), false);
        assert_eq!((exit, out.lines().count()), (Exit::Good, 1), "{out}");
    }

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
            is_terminal: false,
        };
        let exit = run(
            &Args {
                file,
                against: None,
                json,
            },
            &mut output,
        )
        .expect("written");
        let text = |bytes| {
            String::from_utf8(bytes)
                .expect("text")
                .replace(&folder.path().display().to_string(), "DIR")
        };
        (exit, text(out), text(err))
    }

    #[test]
    fn a_right_file_is_reported_with_its_content() {
        let (exit, out, err) = check(Some(RIGHT), false);
        assert_eq!(
            (exit, out.as_str(), err.as_str()),
            (
                Exit::Good,
                format!("DIR/agent.toml is right: agent agent-a, 1 network with 1 remote MAC, 1 switch with 1 port binding\n{HINT}").as_str(),
                ""
            )
        );
        assert_eq!(
            check(Some(RIGHT), true),
            (
                Exit::Good,
                format!(
                    "{{\"ok\":true,\"kind\":\"agent\",\"problems\":[],\"hints\":[\"{}\"]}}\n",
                    HINT.trim_start_matches("hint: ").trim_end()
                ),
                String::new()
            )
        );
    }

    #[test]
    fn a_file_of_either_kind_is_reported_as_that_kind() {
        let control = r#"
control = { name = "control-1" }
tls = { certificate = "pki/control-1-cert.pem", private_key = "pki/control-1-key.pem", ca = "pki/agent-ca.pem" }
inventory = { revision = 7 }
network = [ { name = "blue", uuid = "6f1c0d0e-0000-4000-8000-000000000001", vni = 1 } ]
switch = [ { name = "tor1", vtep = "10.0.1.1", agents = ["a", "b"], ports = [ { port = "eth1", vlan = 0, network = "blue" } ] } ]
"#;
        let (exit, out, _) = check(Some(control), false);
        let right = "control node control-1, revision 7, 1 network with 0 remote MACs, 1 switch with 1 port binding, 2 agents\n";
        assert_eq!(
            (exit, out),
            (Exit::Good, format!("DIR/agent.toml is right: {right}{HINT}"))
        );
        let (_, out, _) = check(Some(control), true);
        assert!(
            out.starts_with("{\"ok\":true,\"kind\":\"control node\",\"problems\":[],\"hints\":[\"tor1 has no"),
            "{out}"
        );

        let own = RIGHT.split_inclusive('\n').take(4).collect::<String>();
        let led = format!("{own}control = {{ nodes = [\"10.0.0.5\", \"10.0.0.6\"], ca = \"pki/agent-ca.pem\" }}\n");
        let (exit, out, err) = check(Some(&led), false);
        assert_eq!(exit, Exit::Good, "{err}");
        let right = "DIR/agent.toml is right: agent agent-a, led by 2 control nodes\n";
        let hint = "hint: the certificate DIR/pki/agent-cert.pem has the name agent and not agent-a: others refuse it, unless their \
                    `certificates` list admits it\n";
        assert_eq!(out, format!("{right}{hint}"));
        let (_, out, _) = check(Some(&led.replace("\"agent-a\"", "\"agent\"")), false);
        assert_eq!(out, right.replace("agent-a", "agent"));
        let (exit, _, err) = check(Some(&led.replace("\"pki/agent-ca.pem\" }", "\"blue.macs\" }")), false);
        assert_eq!(exit, Exit::Failed);
        assert!(err.contains("control.ca DIR/blue.macs: "), "{err}");
    }

    #[test]
    fn a_wrong_file_exits_with_1_and_shows_the_place() {
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
    fn certificates_that_the_agent_could_not_start_with_are_reported_as_wrong() {
        let wrong = RIGHT.replace("pki/agent-key.pem", "pki/switch-key.pem");
        let (exit, out, err) = check(Some(&wrong), false);
        assert_eq!((exit, out.as_str()), (Exit::Failed, ""));
        assert!(err.contains("the private key does not belong to"), "{err}");
    }

    /// A pair that ends in this number of seconds, as PEM.
    fn pair(lasts_s: i64) -> String {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::default();
        let end = rustls_pki_types::UnixTime::now().as_secs().cast_signed() + lasts_s;
        let end = std::time::Duration::from_secs(end.cast_unsigned());
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + end;
        let certificate = params.self_signed(&key).expect("a certificate");
        format!("{}{}", certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_certificate_that_ends_soon_is_a_warning_and_one_that_has_ended_is_wrong() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pair.pem");
        let own = file.display().to_string();
        let config = RIGHT
            .replace("pki/agent-cert.pem", &own)
            .replace("pki/agent-key.pem", &own);
        std::fs::write(&file, pair(3 * 24 * 60 * 60 + 3600)).expect("written");
        let (exit, out, err) = check(Some(&config), false);
        assert_eq!(exit, Exit::Good, "{err}");
        assert!(
            out.contains(" is right: ") && err.contains("ends in 3 days; renew it"),
            "{out}{err}"
        );
        let (_, out, _) = check(Some(&config), true);
        assert!(
            out.starts_with("{\"ok\":true") && out.contains("\"warnings\":[\"tls.certificate "),
            "{out}"
        );

        std::fs::write(&file, pair(-60)).expect("written");
        let (exit, out, err) = check(Some(&config), false);
        assert_eq!((exit, out.as_str()), (Exit::Failed, ""));
        assert!(
            err.contains(": error: tls.certificate ") && err.contains("has ended"),
            "{err}"
        );
        let (_, out, _) = check(Some(&config), true);
        assert!(
            out.starts_with("{\"ok\":false") && out.contains("\"error\":\"tls.certificate "),
            "{out}"
        );
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
