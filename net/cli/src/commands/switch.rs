//! `tandem switch`: the emulated switch on real sockets.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};
use tandem_core::event::LogEvent;
use tandem_core::{ConnId, Time};
use tandem_sim::device::{Device, Ended, Event, Manager, Options, Physical, Target};
use tandem_sim::switch::{self, SchemaVersion};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{Exit, Output};
use tandem_lab::actor::{Audience, Driver, Note, Tls};
use tandem_net::config::{Log, LogFormat};
use tandem_net::driver::env::TokioEnv;
use tandem_net::driver::log;
use tandem_net::logging;
use tandem_net::tls::{Acceptor, Connector, Settings};

/// Runs an emulated switch: an OVSDB server with the hardware_vtep schema, on real sockets
///
/// It dials its managers and serves their requests as a switch does; it forwards no packets. vtep-ctl and ovsdb-client
/// can connect to it. It keeps its database in memory.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem switch --name tor1 --port eth1 --port eth2 --listen ptcp:6640:127.0.0.1
  tandem switch --manager ssl:10.0.0.1:6640 --private-key k.pem --certificate c.pem --ca-cert ca.pem

Then, with the first:
  vtep-ctl --db=tcp:127.0.0.1:6640 show

Exit codes: 0 stopped by a signal, 2 it could not start")]
pub struct Args {
    /// Its name, in Physical_Switch
    #[arg(long, default_value = "tor1")]
    name: String,
    /// Its tunnel end
    #[arg(long, value_name = "IP", default_value = "10.0.1.1")]
    tunnel_ip: std::net::Ipv4Addr,
    /// A port; may be repeated
    #[arg(long = "port", value_name = "NAME")]
    ports: Vec<String>,
    /// An address to listen on, besides the Manager rows: ptcp:[PORT][:IP] or pssl:[PORT][:IP]; may be
    /// repeated
    #[arg(long = "listen", value_name = "TARGET", value_parser = listener)]
    listen: Vec<String>,
    /// A Manager row at the start: ssl:IP:PORT, tcp:IP:PORT, or a listener; may be repeated
    #[arg(long = "manager", value_name = "TARGET", value_parser = target)]
    managers: Vec<String>,
    /// The longest pause between two attempts to connect, of those rows (Manager.max_backoff; 8000 when not set)
    #[arg(long, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u32).range(1000..))]
    max_backoff: Option<u32>,
    /// The silence after which it sends a manager an echo, of those rows (Manager.inactivity_probe; 5000 when not set,
    /// 0 is never)
    #[arg(long, value_name = "MILLISECONDS")]
    inactivity_probe: Option<u32>,
    /// The key of its certificate; PEM
    #[arg(long, value_name = "FILE", requires_all = ["certificate", "ca_cert"])]
    private_key: Option<PathBuf>,
    /// Its certificate; PEM
    #[arg(long, value_name = "FILE", requires = "private_key")]
    certificate: Option<PathBuf>,
    /// The CA of its peers; PEM
    #[arg(long, value_name = "FILE", requires = "private_key")]
    ca_cert: Option<PathBuf>,
    /// The version of its schema, 1.0.0 to 1.7.0
    #[arg(long, value_name = "VERSION", default_value = "1.7.0", value_parser = schema)]
    schema: SchemaVersion,
    /// The seed of its uuids
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write each event as a JSON object to standard output, and not to the log
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    if let Err(why) = check(args) {
        writeln!(output.err, "the switch cannot start: {why}")?;
        return Ok(Exit::Environment);
    }
    let log = Log {
        format: LogFormat::Text,
        level: tracing::Level::INFO,
    };
    let started = logging::init(log, None)
        .map_err(|error| error.to_string())
        .and_then(|logging| Ok((logging, tls(args)?)))
        .and_then(|(_logging, tls)| {
            let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
            runtime.block_on(serve(args, tls))
        });
    match started {
        Ok(()) if args.json => output.json(&json!({"ok": true})).map(|()| Exit::Good),
        Ok(()) => Ok(Exit::Good),
        Err(error) => {
            writeln!(output.err, "the switch cannot start: {error}")?;
            Ok(Exit::Environment)
        }
    }
}

/// Runs the switch until a signal stops it; an error is the reason why it cannot run.
async fn serve(args: &Args, tls: Option<Tls>) -> Result<(), String> {
    let stop = |kind| signal(kind).map_err(|error| error.to_string());
    let (mut terminated, mut interrupted) = (stop(SignalKind::terminate())?, stop(SignalKind::interrupt())?);
    let (failed, mut failures) = mpsc::channel(1);
    let listener = Listener {
        json: args.json,
        fixed: args.listen.iter().filter_map(|target| target.parse().ok()).collect(),
        failed,
    };
    let device = Device::new(args.seed, options(args));
    let driver = Driver::new(TokioEnv::begin(), device, listener, tls);
    let (_commands, inbox) = mpsc::channel(1);
    tokio::select! {
        () = driver.run(inbox) => Ok(()),
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
        Some(why) = failures.recv() => Err(why),
    }
}

/// Whether the arguments make a switch that can be reached.
fn check(args: &Args) -> Result<(), String> {
    if args.name.trim().is_empty() {
        return Err("--name is empty, and agents know a switch by its name".into());
    }
    // A table with two such rows is refused whole, and all that is written with it.
    for (option, names) in [
        ("--manager", &args.managers),
        ("--listen", &args.listen),
        ("--port", &args.ports),
    ] {
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
            return Err(format!("{option} {twice} is there twice"));
        }
    }
    if args.ports.iter().any(|port| port.trim().is_empty()) {
        return Err("--port is empty, and a port has a name".into());
    }
    if args.managers.is_empty() && args.listen.is_empty() {
        return Err("it could not be reached: give it --listen, --manager, or both".into());
    }
    Ok(())
}

fn options(args: &Args) -> Options {
    let mut options = Options::new(switch::Options::new(args.schema));
    options.startup.physical = Some(Physical {
        name: args.name.clone(),
        tunnel_ip: args.tunnel_ip.to_string(),
        ports: args.ports.clone(),
    });
    let manager = |target: &String| Manager {
        target: target.clone(),
        max_backoff: args.max_backoff,
        inactivity_probe: args.inactivity_probe,
    };
    options.startup.managers = args.managers.iter().map(manager).collect();
    options.remotes = args.listen.clone();
    options
}

/// What it shows and trusts. A target with TLS needs it; a row that comes later finds out by itself.
fn tls(args: &Args) -> Result<Option<Tls>, String> {
    let is_tls = |target: &&String| target.starts_with("ssl:") || target.starts_with("pssl:");
    let (Some(certificate), Some(private_key), Some(ca)) = (&args.certificate, &args.private_key, &args.ca_cert) else {
        return match args.managers.iter().chain(&args.listen).find(is_tls) {
            Some(target) => Err(format!("{target} needs --private-key, --certificate and --ca-cert")),
            None => Ok(None),
        };
    };
    let settings = Settings {
        certificate: certificate.clone(),
        private_key: private_key.clone(),
        ca: ca.clone(),
        crl: None,
        allow_x509_v1: false,
        pins: Vec::new(),
    };
    Ok(Some(Tls {
        acceptor: Acceptor::load(&settings).map_err(|error| error.to_string())?,
        connector: Connector::load(&settings).map_err(|error| error.to_string())?,
    }))
}

/// Writes down what happens.
struct Listener {
    json: bool,
    /// The listeners of the command line: without these, it does not start.
    fixed: Vec<Target>,
    failed: mpsc::Sender<String>,
}

#[derive(Serialize)]
struct Line<T> {
    seconds: f64,
    #[serde(flatten)]
    what: T,
}

impl Listener {
    fn write(&self, now: Time, what: impl Serialize) {
        // Divided, so that it has no more digits than the measurement.
        let seconds = now.micros() as f64 / 1e6;
        let Ok(line) = serde_json::to_string(&Line { seconds, what }) else {
            return;
        };
        // The reader is gone, or the disk is full: no reason for a switch to stop.
        let _ = writeln!(io::stdout(), "{line}");
    }
}

impl Audience<Device> for Listener {
    fn happened(&mut self, now: Time, event: Event) {
        if self.json {
            return self.write(now, &event);
        }
        match &event {
            Event::DialFailed { .. } | Event::TargetUnusable { .. } | Event::EditRejected { .. } => {
                warn!(target: "tandem", "{}: {event}", event.word());
            }
            Event::Disconnected {
                why: Ended::Lost | Ended::ServerClosed(_),
                ..
            } => {
                warn!(target: "tandem", "{}: {event}", event.word());
            }
            Event::Booted { .. }
            | Event::Listening { .. }
            | Event::Dialling { .. }
            | Event::Connected { .. }
            | Event::Disconnected { .. }
            | Event::Backoff { .. }
            | Event::Committed(_)
            | Event::NotOwner { .. }
            | Event::LockPassed { .. } => info!(target: "tandem", "{}: {event}", event.word()),
        }
    }

    fn noted(&mut self, now: Time, note: Note) {
        let is_ours = |at: SocketAddrV4| {
            let names = |target: &Target| matches!(target, Target::Listen { at: fixed, .. } if *fixed == at);
            self.fixed.iter().any(names)
        };
        if let Note::CannotListen { at, .. } = &note
            && is_ours(*at)
        {
            let _ = self.failed.try_send(note.to_string());
        }
        let word = note.word();
        if self.json {
            let address = match note {
                Note::Bound { bound, .. } => json!(bound),
                Note::CannotListen { at, .. } => json!(at),
                Note::ConnectionFailed { peer, .. } => json!(peer),
                Note::Overflowed { .. } | Note::Unsupported { .. } => Value::Null,
            };
            return self.write(
                now,
                json!({"word": snake(word), "address": address, "what": note.to_string()}),
            );
        }
        log::event(&note);
    }

    fn dials_tls(&self, device: &Device, conn: ConnId) -> bool {
        device.is_tls(conn)
    }

    fn takes_tls(&self, device: &Device, at: SocketAddrV4) -> bool {
        device.is_tls_at(at)
    }
}

/// `CannotListen` as `cannot_listen`, for JSON.
fn snake(word: &str) -> String {
    let mut snake = String::new();
    for (place, letter) in word.chars().enumerate() {
        if letter.is_uppercase() && place > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

fn target(text: &str) -> Result<String, String> {
    let parsed: Result<Target, _> = text.parse();
    parsed.map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn listener(text: &str) -> Result<String, String> {
    match text.parse() {
        Ok(Target::Listen { .. }) => Ok(text.to_owned()),
        Ok(Target::Dial { .. }) | Err(_) => {
            Err("a listener is ptcp:[PORT][:IP] or pssl:[PORT][:IP], with an IPv4 address".to_owned())
        }
    }
}

fn schema(text: &str) -> Result<SchemaVersion, String> {
    let mut versions = SchemaVersion::ALL.into_iter();
    let found = versions.find(|version| format!("{version:?}") == format!("V{}", text.replace('.', "_")));
    found
        .ok_or_else(|| "a version is 1.0.0, 1.1.0, 1.2.0, 1.3.0, 1.4.0, 1.4.1, 1.5.0, 1.5.1, 1.6.0 or 1.7.0".to_owned())
}
