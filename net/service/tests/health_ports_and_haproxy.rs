//! The health port and the agent check against a real HAProxy.
#![allow(clippy::print_stderr, reason = "measured times are for the reader of the output")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tandem_core::health::Grade;
use tandem_net::health::{Announcements, Pulse, serve_agent_check, serve_echo};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_follows_the_grade_and_sees_a_wedged_worker() {
    let worker = Arc::new(Worker::new(Some(Grade::Fit)));
    let announcements = Arc::new(Announcements::default());
    let (health, agent_check) = (listen().await, listen().await);
    let proxy = Proxy::start(port(&health), port(&agent_check));
    tokio::spawn(serve_echo(health, Arc::clone(&worker)));
    tokio::spawn(serve_agent_check(
        agent_check,
        Arc::clone(&worker),
        Arc::clone(&announcements),
    ));

    proxy.until("UP").await;

    worker.set(Some(Grade::Draining));
    let fetched = announcements.wait_for(Grade::Draining, PATIENCE).await;
    assert_eq!(fetched, Ok(()), "by the proxy");
    proxy.until("DRAIN").await;

    worker.set(Some(Grade::Fit));
    proxy.until("UP").await;

    worker.set(Some(Grade::Unfit));
    proxy.until("DOWN").await;

    worker.set(Some(Grade::Fit));
    proxy.until("UP").await;

    worker.set(None);
    proxy.until("DOWN").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_takes_a_fit_agent_out_of_the_proxy_is_not_overruled_and_its_own_drain_is_undone() {
    let worker = Arc::new(Worker::new(Some(Grade::Fit)));
    let announcements = Arc::new(Announcements::undoing_for(Duration::ZERO));
    let (health, agent_check) = (listen().await, listen().await);
    let proxy = Proxy::start(port(&health), port(&agent_check));
    tokio::spawn(serve_echo(health, Arc::clone(&worker)));
    tokio::spawn(serve_agent_check(
        agent_check,
        Arc::clone(&worker),
        Arc::clone(&announcements),
    ));
    proxy.until("UP").await;
    worker.polled(5).await;

    for state in ["maint", "drain"] {
        proxy.order(&format!("set server ovsdb/a state {state}")).await;
        proxy.until(&state.to_uppercase()).await;
        worker.polled(10).await;
        proxy.until(&state.to_uppercase()).await;
        proxy.order("set server ovsdb/a state ready").await;
        proxy.until("UP").await;
    }

    worker.set(Some(Grade::Isolated));
    proxy.until("DRAIN").await;
    worker.set(Some(Grade::Fit));
    proxy.until("UP").await;
}

/// The longest that anything here may take; nothing waits for it unless something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// Its grade, `None` if it is wedged, and how often it was asked.
struct Worker(Mutex<Option<Grade>>, AtomicUsize);

impl Worker {
    fn new(grade: Option<Grade>) -> Self {
        Self(Mutex::new(grade), AtomicUsize::new(0))
    }

    /// Waits for this many further checks.
    async fn polled(&self, times: usize) {
        let (started, before) = (Instant::now(), self.1.load(Ordering::Relaxed));
        while self.1.load(Ordering::Relaxed) < before + times {
            assert!(started.elapsed() < PATIENCE, "the proxy should poll");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn set(&self, grade: Option<Grade>) {
        *self.0.lock().expect("not poisoned") = grade;
    }
}

impl Pulse for Worker {
    fn grade(&self) -> Option<Grade> {
        self.1.fetch_add(1, Ordering::Relaxed);
        *self.0.lock().expect("not poisoned")
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("its address").port()
}

/// A HAProxy of our own, in a scratch folder; it ends with this value.
struct Proxy {
    process: Child,
    folder: TempDir,
}

impl Proxy {
    fn start(health: u16, agent_check: u16) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let configuration = format!(
            r#"
global
  stats socket {stats} level admin
defaults
  mode tcp
  timeout connect 300ms
  timeout client 1h
  timeout server 1h
listen ovsdb
  bind unix@{front}
  balance leastconn
  option redispatch 1
  timeout check 300ms
  option tcp-check
  tcp-check connect
  tcp-check send-binary {echo}
  tcp-check expect string result
  server a 127.0.0.1:{health} check port {health} weight 100 inter 200 fastinter 100 downinter 500 fall 2 rise 2 agent-check agent-port {agent_check} agent-inter 200 on-marked-down shutdown-sessions
"#,
            stats = path("stats.sock"),
            front = path("front.sock"),
            echo = hex(br#"{"method":"echo","params":[],"id":"h"}"#),
        );
        let file: PathBuf = folder.path().join("haproxy.cfg");
        std::fs::write(&file, configuration).expect("written");
        let process = Command::new("haproxy")
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .expect("haproxy starts: install the Debian package haproxy");
        Self { process, folder }
    }

    /// Waits until the proxy shows the server in this state, and prints how long that took.
    async fn until(&self, expected: &str) {
        let started = Instant::now();
        let mut shown = String::from("nothing");
        while started.elapsed() < PATIENCE {
            shown = self.server().await.unwrap_or(shown);
            if shown.starts_with(expected) {
                eprintln!("{expected} after {} ms", started.elapsed().as_millis());
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the proxy should show {expected}, but shows {shown}");
    }

    /// Gives an order of an administrator.
    async fn order(&self, line: &str) {
        let socket = self.folder.path().join("stats.sock");
        let mut stats = UnixStream::connect(socket).await.expect("the socket of the proxy");
        let line = format!("{line}\n");
        stats.write_all(line.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stats.read_to_string(&mut answer).await.expect("an answer");
        assert_eq!(answer.trim(), "", "{line}");
    }

    /// The column `status` of the only server; `None` while the proxy starts.
    async fn server(&self) -> Option<String> {
        let mut stats = UnixStream::connect(self.folder.path().join("stats.sock")).await.ok()?;
        stats.write_all(b"show stat -1 4 -1\n").await.ok()?;
        let mut table = String::new();
        stats.read_to_string(&mut table).await.ok()?;
        let mut lines = table.lines();
        let column = lines.next()?.split(',').position(|title| title == "status")?;
        lines.next()?.split(',').nth(column).map(str::to_owned)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
