//! What stderr leads to: a pipe that is not read, and the journal.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::linux::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tandem_lab::Stage;
use tandem_lab::agent::AgentOptions;

/// More lines than a pipe holds: it has room for 64 KiB.
const PROBES: u64 = 2000;

#[test]
fn a_reader_that_stalls_delays_no_worker_and_finds_every_line_later() {
    let stage = Stage::new().expect("a stage");
    let mut options = stage.agent().expect("options");
    options.more = toml::toml! {
        [log]
        level = "debug"
    };
    let mut agent = Process::start(&stage, &options, Stdio::piped(), "");
    stage
        .wait("a fit agent", || {
            agent.http("/health").filter(|it| it.ends_with("fit\n"))
        })
        .expect("fit");
    let probe = || TcpStream::connect(options.listen.ovsdb);
    stage.wait("the port for switches", || probe().ok()).expect("open");
    for _ in 0..PROBES {
        drop(probe().expect("connected"));
    }
    // The agent counts each after it has logged it.
    let counted = || {
        let metrics = agent.http("/metrics")?;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(r#"tandem_refused_connections_total{cause="probe"} "#))?;
        (line.parse::<u64>().ok()? >= PROBES).then_some(metrics)
    };
    let metrics = stage
        .wait("all probes to be refused", counted)
        .expect("the worker works on");
    assert!(metrics.contains("tandem_log_lines_dropped_total 0\n"), "{metrics}");
    assert!(agent.http("/health").is_some_and(|it| it.ends_with("fit\n")));
    let stderr = agent.child.stderr.take().expect("a pipe");
    let lines = BufReader::new(stderr).lines().map(|line| line.expect("text"));
    let probes = lines.filter(|line| line.contains("HandshakeRefused: ") && line.contains("cause=\"probe\""));
    assert_eq!(probes.take(PROBES as usize).count() as u64, PROBES);
}

#[test]
fn an_agent_whose_log_is_on_a_full_disk_works_on_and_counts_the_lines() {
    let stage = Stage::new().expect("a stage");
    let options = stage.agent().expect("options");
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("the disk that is always full");
    let agent = Process::start(&stage, &options, full.into(), "");
    let fit = || agent.http("/health").filter(|it| it.ends_with("fit\n"));
    stage.wait("a fit agent", fit).expect("fit");
    let lost = || {
        let metrics = agent.http("/metrics")?;
        let mut lines = metrics.lines();
        let count = lines.find_map(|line| line.strip_prefix("tandem_log_lines_dropped_total "))?;
        count.parse::<u64>().ok().filter(|count| *count >= 2)
    };
    let count = stage.wait("lost lines", lost).expect("counted");
    println!("{count} lines lost");
}

#[test]
fn lines_for_the_journal_begin_with_their_priority_and_lines_for_a_file_do_not() {
    let stage = Stage::new().expect("a stage");
    let options = stage.agent().expect("options");
    let log = stage.scratch.folder("logs").expect("a folder").join("log");
    let first_lines = |is_announced: bool| {
        let file = File::create(&log).expect("a file");
        let metadata = file.metadata().expect("a number");
        let announced = match is_announced {
            true => format!("{}:{}", metadata.st_dev(), metadata.st_ino()),
            false => "1:1".into(),
        };
        let _agent = Process::start(&stage, &options, file.into(), &announced);
        let written = || Some(fs::read_to_string(&log).ok()?).filter(|log| log.contains("Serving: "));
        stage.wait("an agent that serves", written).expect("a log")
    };
    let lines = first_lines(true);
    assert!(
        lines
            .lines()
            .all(|line| line.starts_with("<6>") || line.starts_with("<4>")),
        "{lines}"
    );
    let lines = first_lines(false);
    assert!(!lines.contains('<'), "{lines}");
}

/// An agent that was started as systemd starts it.
struct Process {
    child: Child,
    http: SocketAddr,
}

impl Process {
    fn start(stage: &Stage, options: &AgentOptions, stderr: Stdio, journal_stream: &str) -> Self {
        let file = stage.scratch.folder("process").expect("a folder").join("agent.toml");
        fs::write(&file, options.toml().expect("a configuration")).expect("written");
        let child = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["agent", "--config"])
            .arg(file)
            .stdin(Stdio::null())
            .stderr(stderr)
            .env("JOURNAL_STREAM", journal_stream)
            .spawn()
            .expect("started");
        Self {
            child,
            http: options.listen.http,
        }
    }

    /// The answer with its head; `None` if there is none.
    fn http(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.http).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
