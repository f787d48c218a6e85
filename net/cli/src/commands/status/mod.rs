//! `tandem status`: shows the status of a running agent or control node.

mod answer;
mod control;
mod detail;
mod fetch;
mod page;
#[cfg(test)]
mod previous;
mod process;
#[cfg(test)]
pub(super) mod samples;
mod table;
mod trouble;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tandem_core::control::ControlStatus;

use super::{Exit, Output};
pub(super) use process::date;
pub(super) use trouble::natural;

use answer::{Answer, Status};
use tandem_net::config::{self, Disk, Files};
use trouble::Shown;

/// Shows the status of a running agent or control node: owners, pending work, quarantine, paths
///
/// It asks over HTTP, at the address of `[listen] http` of an agent or `[control] http` of a control node.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  tandem status
  tandem status --config /etc/tandem/agent.toml
  tandem status --config /etc/tandem/control.toml
  tandem status --config /etc/tandem/agent.toml tor17
  tandem status --problems --check
  tandem status --wait synced --timeout 60s
  tandem status http://127.0.0.1:6653 --json

Exit codes: 0 it answered, 2 it did not; 1 with --check if something is wrong, or with --wait
if the time is over. A switch without a session is no failure: in a pair, one agent waits.")]
pub struct Args {
    /// The address at which the agent or control node serves its status (default http://127.0.0.1:6652), or switches to
    /// show instead of all
    #[arg(value_name = "URL or SWITCH")]
    subjects: Vec<String>,
    /// Take the address from this configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show only switches with problems
    #[arg(long)]
    problems: bool,
    /// Exit with 1 if anything is wrong
    #[arg(long)]
    check: bool,
    /// Wait until the process answers, and the shown sessions are synced and have nothing to write; a switch that is named
    /// needs a session
    #[arg(long, value_name = "STATE")]
    wait: Option<Wait>,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Wait {
    /// Each session has read everything, and differs from the configuration nowhere.
    Synced,
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let number = number.parse::<u32>();
    number
        .map(|number| Duration::from_secs(u64::from(number) * unit))
        .map_err(|_| "write a time such as 30s or 2m".to_owned())
}

impl Args {
    /// A subject with a colon is an address.
    fn url(&self) -> Option<&str> {
        self.subjects
            .iter()
            .map(String::as_str)
            .find(|subject| subject.contains(':'))
    }

    /// The switches to show; none means all.
    fn switches(&self) -> Vec<&str> {
        let subjects = self.subjects.iter().map(String::as_str);
        subjects.filter(|subject| !subject.contains(':')).collect()
    }
}

impl Answer {
    /// `total` switches are there, with those that the page leaves out.
    fn render(&self, args: &Args, total: usize, is_folded: bool) -> String {
        let named = &args.switches();
        let shown = Shown { named, total };
        match &self.status {
            Status::Agent(status) => table::render(&self.process, status, shown, is_folded),
            Status::Control(status) => {
                let is_brief = args.problems || !named.is_empty();
                control::render(&self.process, status, total, is_brief, is_folded)
            }
        }
    }

    /// Whether anything is wrong, a failed reload included.
    fn is_wrong(&self) -> bool {
        let reload = self.process.reload.as_ref();
        self.status.is_wrong() || reload.is_some_and(|reload| !reload.successful)
    }
}

/// Where an agent serves its status by default.
const DEFAULT_URL: &str = "http://127.0.0.1:6652";

/// Runs the command.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    let deadline = Instant::now() + args.timeout;
    let is_late = || args.wait.is_none() || Instant::now() >= deadline;
    loop {
        let mut answer = match status(args) {
            Ok(answer) => answer,
            // It may be starting.
            Err(_) if !is_late() => {
                std::thread::sleep(LOOK_AGAIN);
                continue;
            }
            Err(why) => {
                writeln!(output.err, "{why}")?;
                if args.json {
                    output.json(&serde_json::json!({ "error": why }))?;
                }
                return Ok(Exit::Environment);
            }
        };
        let (names, total) = (args.switches(), answer.status.switches());
        if let Err(why) = answer.status.select(&names) {
            return output.refuse(why);
        }
        let unsynced = |Wait::Synced| answer.status.unsynced(!names.is_empty());
        let pending = args.wait.map(unsynced).unwrap_or_default();
        if !pending.is_empty() && !is_late() {
            std::thread::sleep(LOOK_AGAIN);
            continue;
        }
        let is_wrong = args.check && answer.is_wrong();
        if args.problems {
            answer.status.keep_problems();
        }
        match args.json {
            true => output.json(&answer)?,
            false => write!(output.out, "{}", answer.render(args, total, output.is_terminal))?,
        }
        if !pending.is_empty() {
            let what = format!("not synced after {} s: {}", args.timeout.as_secs(), pending.join(", "));
            writeln!(output.err, "{what}")?;
        }
        return Ok(match is_wrong || !pending.is_empty() {
            true => Exit::Failed,
            false => Exit::Good,
        });
    }
}

/// How often a waiting command asks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What a running agent or control node answers; an error is a sentence for a person.
pub(super) fn ask(url: &str, path: &str) -> Result<Vec<u8>, String> {
    get(&fetch::server(url)?, path)
}

/// The status of a running control node.
pub(super) fn control_node(url: &str) -> Result<ControlStatus, String> {
    match Answer::parse(&ask(url, "/status")?).map(|answer| answer.status) {
        Ok(Status::Control(status)) => Ok(status),
        Ok(Status::Agent(_)) => Err(format!("{url} is an agent; name a control node")),
        Err(why) => Err(format!("what {url} answers cannot be read: {why}")),
    }
}

fn get(server: &str, path: &str) -> Result<Vec<u8>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| format!("cannot start: {why}"))?;
    runtime.block_on(fetch::get(server, path))
}

/// Asks; an error is a sentence for a person.
fn status(args: &Args) -> Result<Answer, String> {
    let server = match (&args.config, args.url()) {
        (Some(_), Some(url)) => return Err(format!("`{url}` and `--config` exclude each other")),
        (Some(path), None) => configured(path)?,
        (None, url) => fetch::server(url.unwrap_or(DEFAULT_URL))?,
    };
    let body = get(&server, "/status")?;
    Answer::parse(&body).map_err(|why| format!("what http://{server}/status answers cannot be read: {why}"))
}

/// The address in a configuration file.
fn configured(path: &Path) -> Result<String, String> {
    let bytes = Disk
        .read(path)
        .map_err(|why| format!("cannot read {}: {why}", path.display()))?;
    let config::Ends { http, kind, .. } = config::ends(path, &bytes).map_err(|problems| problems.to_string())?;
    let http = http.ok_or_else(|| format!("{} has `http = \"off\"`: this {kind} serves no status", path.display()))?;
    Ok(reachable(http).to_string())
}

/// A server that listens on every address is asked on loopback.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listens.port())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use tokio::net::TcpListener;

    use tandem_core::status::AgentStatus;

    use super::*;
    use tandem_net::http::{StatusSource, serve};
    use tandem_net::process::ProcessStatus;

    /// `None` is a worker that is gone.
    struct Worker(Option<AgentStatus>);

    impl StatusSource for Worker {
        type Status = AgentStatus;

        async fn status(&self) -> Option<AgentStatus> {
            self.0.clone()
        }
    }

    /// An agent's HTTP port, for as long as the runtime lives.
    fn agent(status: Option<AgentStatus>) -> (tokio::runtime::Runtime, SocketAddr) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (sender, receiver) = mpsc::channel();
        runtime.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            sender.send(listener.local_addr().expect("its address")).expect("sent");
            serve(listener, Arc::new(Worker(status)), Arc::default()).await;
        });
        (runtime, receiver.recv().expect("an address"))
    }

    fn run_status(url: &str, config: Option<PathBuf>, json: bool) -> (Exit, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output {
            out: &mut out,
            err: &mut err,
            colour: false,
            is_terminal: false,
        };
        let args = Args {
            subjects: [url]
                .iter()
                .filter(|url| !url.is_empty())
                .map(|&url| url.into())
                .collect(),
            config,
            json,
            ..Args::default()
        };
        let exit = run(&args, &mut output).expect("written");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (exit, text(out), text(err))
    }

    #[test]
    fn a_running_agent_is_shown_as_a_table_or_as_one_line_of_json() {
        let (_runtime, address) = agent(Some(samples::busy()));
        let (exit, out, err) = run_status(&format!("http://{address}/status"), None, false);
        assert_eq!((exit, err.as_str()), (Exit::Good, ""));
        assert!(out.starts_with("agent-a: fit, 3 alarms, "), "{out}");
        assert!(out.contains("\nversion "), "{out}");
        let (exit, out, _) = run_status(&address.to_string(), None, true);
        assert_eq!((exit, out.lines().count()), (Exit::Good, 1));
        assert_eq!(
            serde_json::from_str::<AgentStatus>(&out).expect("a status"),
            samples::busy()
        );
    }

    #[test]
    fn the_address_may_come_from_a_configuration_whose_key_we_may_not_read() {
        let (_runtime, address) = agent(Some(samples::busy()));
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("agent.toml");
        let config = format!(
            r#"
            agent = {{ name = "a", tsn_ip = "10.0.0.11" }}
            listen = {{ ovsdb = "127.0.0.1:6640", http = "0.0.0.0:{}" }}
            tls = {{ certificate = "none", private_key = "none", ca = "none" }}
            "#,
            address.port()
        );
        std::fs::write(&file, &config).expect("written");
        assert_eq!(run_status("", Some(file.clone()), false).0, Exit::Good);

        std::fs::write(&file, config.replace(&format!("0.0.0.0:{}", address.port()), "off")).expect("written");
        let (exit, _, err) = run_status("", Some(file), false);
        assert_eq!(exit, Exit::Environment);
        assert!(
            err.ends_with("has `http = \"off\"`: this agent serves no status\n"),
            "{err}"
        );
    }

    /// A server that gives each client the same answer after its request.
    fn server_of(json: String) -> SocketAddr {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let _asked = stream.read(&mut [0; 1024]).expect("a request");
                write!(stream, "HTTP/1.0 200 OK\r\n\r\n{json}").expect("written");
            }
        });
        address
    }

    #[test]
    fn a_control_node_is_shown_as_what_it_is() {
        let busy = samples::control::busy();
        let address = server_of(serde_json::to_string(&busy).expect("JSON"));
        let (exit, out, err) = run_status(&address.to_string(), None, false);
        assert_eq!((exit, err.as_str()), (Exit::Good, ""));
        assert_eq!(
            out,
            control::render(&ProcessStatus::default(), &busy, busy.switches.len(), false, false)
        );
        let (exit, out, _) = run_status(&address.to_string(), None, true);
        assert_eq!((exit, out.lines().count()), (Exit::Good, 1));
        assert_eq!(serde_json::from_str::<ControlStatus>(&out).expect("a status"), busy);

        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("control.toml");
        let config = format!(
            "control = {{ name = \"c\", tls = false, http = \"{address}\" }}\ninventory = {{ revision = 1 }}\n"
        );
        std::fs::write(&file, &config).expect("written");
        assert_eq!(run_status("", Some(file), false).0, Exit::Good);

        let address = server_of("{\"clients\":{}}".into());
        let (exit, _, err) = run_status(&address.to_string(), None, false);
        assert_eq!(exit, Exit::Environment);
        assert!(
            err.contains("is no status of an agent or control node: missing field"),
            "{err}"
        );
    }

    #[test]
    fn a_status_of_a_later_format_is_refused_with_the_version_that_reads_it() {
        let address = server_of(r#"{"format":2,"version":"9.1.0","clients":[]}"#.into());
        let (exit, _, err) = run_status(&address.to_string(), None, false);
        assert_eq!(exit, Exit::Environment);
        let why = "it has format 2, and this program reads formats up to 1; use `tandem` of version 9.1.0\n";
        assert!(err.ends_with(why), "{err}");
    }

    #[test]
    fn a_url_and_a_configuration_exclude_each_other() {
        let (exit, _, err) = run_status("http://127.0.0.1:1", Some("f".into()), false);
        assert_eq!(exit, Exit::Environment);
        assert!(err.contains("exclude each other"), "{err}");
    }

    #[test]
    fn a_file_with_mistakes_elsewhere_still_names_the_address() {
        let (_runtime, address) = agent(Some(samples::busy()));
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("agent.toml");
        let mistakes = "[agent]\nnmae = 7\ntsn_ip = \"no\"\n[[switch]]\nname = 3\n";
        std::fs::write(&file, format!("[listen]\nhttp = \"{address}\"\n{mistakes}")).expect("written");
        let (exit, _, err) = run_status("", Some(file), false);
        assert_eq!((exit, err.as_str()), (Exit::Good, ""));
    }

    #[test]
    fn one_switch_or_those_with_problems_are_shown_and_checked() {
        let (_runtime, address) = agent(Some(samples::busy()));
        let run = |subjects: &[&str], change: fn(&mut Args)| {
            let mut args = Args {
                subjects: [
                    &[address.to_string()][..],
                    &subjects.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(),
                ]
                .concat(),
                ..Args::default()
            };
            change(&mut args);
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut output = Output {
                out: &mut out,
                err: &mut err,
                colour: false,
                is_terminal: false,
            };
            let exit = run(&args, &mut output).expect("written");
            let text = |bytes| String::from_utf8(bytes).expect("text");
            (exit, text(out), text(err))
        };
        let (exit, out, _) = run(&["tor3"], |_| {});
        assert!(
            exit == Exit::Good && out.contains("tor3") && !out.contains("tor1"),
            "{out}"
        );
        assert_eq!(run(&["tor9"], |_| {}).0, Exit::Environment);
        let (exit, out, _) = run(&[], |args| (args.problems, args.check) = (true, true));
        assert_eq!(exit, Exit::Failed);
        assert!(
            out.contains("tor1") && out.contains("tor4") && !out.contains("tor3"),
            "{out}"
        );
        assert_eq!(run(&["tor3"], |args| args.check = true).0, Exit::Good);
        let (exit, _, err) = run(&["tor3"], |args| args.wait = Some(Wait::Synced));
        assert_eq!((exit, err.as_str()), (Exit::Failed, "not synced after 0 s: tor3\n"));
    }

    #[test]
    fn an_agent_that_does_not_answer_exits_with_2_and_a_sentence() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = closed.local_addr().expect("its address");
        drop(closed);
        let (exit, out, err) = run_status(&format!("http://{address}"), None, false);
        assert_eq!((exit, out.as_str()), (Exit::Environment, ""));
        assert!(err.starts_with(&format!("no answer from http://{address}: ")), "{err}");

        let (_runtime, address) = agent(None);
        let (exit, out, err) = run_status(&format!("http://{address}"), None, true);
        assert_eq!(exit, Exit::Environment);
        assert!(
            err.contains("503") && err.contains("the worker does not answer"),
            "{err}"
        );
        assert!(out.starts_with("{\"error\":\""), "{out}");
    }
}
