//! Peers that do not behave: each gets one clear line, and no other peer notices.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_net::listen::{ListenOptions, Listener};
use tandem_net::tls::Cause;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing_subscriber::fmt::MakeWriter;

use crate::authority::{Client, Folder, patiently};

/// The door, and its log. Everything runs on the thread of the test.
struct Lab {
    folder: Folder,
    listener: Listener,
    log: Log,
    _subscriber: tracing::subscriber::DefaultGuard,
}

impl Lab {
    fn new(options: ListenOptions) -> Self {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let folder = Folder::new();
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::bind(any, folder.acceptor(), options).expect("binds");
        Self {
            folder,
            listener,
            log,
            _subscriber: guard,
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Sends these bytes and waits until the door has refused them.
    async fn send(&self, bytes: &[u8], cause: Cause) {
        let counters = self.listener.counters();
        let before = counters.refused(cause);
        let mut peer = TcpStream::connect(self.address()).await.expect("connects");
        peer.write_all(bytes).await.expect("writes");
        until(|| counters.refused(cause) == before + 1).await;
    }

    /// A good switch is still let in, which proves that the door is open.
    async fn lets_a_switch_in(&mut self) {
        let client = Client::new(&self.folder.switch());
        let address = self.address();
        let (_client, accepted) =
            patiently(async { tokio::join!(client.connect(address), self.listener.accept()) }).await;
        assert!(accepted.expect("let in").peer.certificate.is_some());
    }
}

#[tokio::test]
async fn every_kind_of_stranger_gets_its_own_line() {
    let mut lab = Lab::new(ListenOptions::default());
    for (bytes, cause, level, text) in [
        (&tls_1_0_hello()[..], Cause::OldTls, "WARN", "TLS 1.0 at most"),
        (b"GET / HTTP/1.1\r\n\r\n", Cause::NotTls, "WARN", "HTTP"),
        (b"{\"method\":\"echo\"}", Cause::NotTls, "WARN", "ssl:"),
        (b"\x80\x01\x02garbage", Cause::NotTls, "WARN", "does not speak TLS"),
        (
            b"\x16\x03\x01\x00\x05\x63\x63\x63\x63\x63",
            Cause::NotTls,
            "WARN",
            "violated the TLS protocol",
        ),
        (
            &proxy_v2()[..],
            Cause::ProxyUnexpected,
            "WARN",
            "proxy_protocol = false",
        ),
    ] {
        lab.send(bytes, cause).await;
        let line = lab.log.last();
        assert!(line.contains(level) && line.contains("tandem::tls"), "{line}");
        assert!(line.contains(text) && line.contains(cause.label()), "{line}");
    }
    let lines = lab.log.lines();
    assert_eq!(lines.len(), 6, "{lines:#?}");
    lab.lets_a_switch_in().await;
    assert_eq!(lab.listener.counters().accepted(), 1);
}

#[tokio::test]
async fn a_health_probe_is_no_misbehaviour_and_garbage_is_counted() {
    let mut lab = Lab::new(ListenOptions::default());
    let counters = lab.listener.counters();
    drop(TcpStream::connect(lab.address()).await.expect("connects"));
    until(|| counters.refused(Cause::Probe) == 1).await;
    assert!(lab.log.last().contains("DEBUG"), "{}", lab.log.last());
    for _ in 0..30 {
        lab.send(b"garbage", Cause::NotTls).await;
    }
    assert_eq!(counters.refused(Cause::NotTls), 30);
    lab.lets_a_switch_in().await;
}

#[tokio::test]
async fn a_peer_that_leaves_in_the_middle_differs_from_a_probe() {
    let lab = Lab::new(ListenOptions::default());
    let counters = lab.listener.counters();
    let mut peer = TcpStream::connect(lab.address()).await.expect("connects");
    peer.write_all(&[0x16, 3, 1, 2, 0, 1, 0]).await.expect("writes");
    drop(peer);
    until(|| counters.refused(Cause::Closed) == 1).await;
    assert!(
        lab.log.last().contains("during the TLS handshake"),
        "{}",
        lab.log.last()
    );
}

#[tokio::test]
async fn a_proxied_listener_requires_v2_and_logs_it() {
    let options = ListenOptions {
        proxy_protocol: true,
        ..ListenOptions::default()
    };
    let mut lab = Lab::new(options);
    for (bytes, text) in [
        (&b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n"[..], "send-proxy-v2 instead"),
        (&[0x16, 3, 1, 2, 0], "requires a PROXY v2 header"),
        (b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c", "broken"),
    ] {
        lab.send(bytes, Cause::ProxyRequired).await;
        assert!(lab.log.last().contains(text), "{}", lab.log.last());
    }
    // The client of the proxy is at fault, not the proxy.
    lab.send(&[&proxy_v2()[..], b"garbage"].concat(), Cause::NotTls).await;
    assert!(lab.log.last().contains("peer=192.0.2.7:40000"), "{}", lab.log.last());
    let client = Client::new(&lab.folder.switch());
    let mut stream = TcpStream::connect(lab.address()).await.expect("connects");
    let own = stream.local_addr().expect("an address");
    stream.write_all(&proxy_v2()).await.expect("writes");
    let (_client, accepted) = patiently(async { tokio::join!(client.over(stream), lab.listener.accept()) }).await;
    let accepted = accepted.expect("let in");
    assert_eq!(accepted.peer.address, own);
    assert_eq!(
        accepted.peer.proxied,
        Some("192.0.2.7:40000".parse().expect("an address"))
    );
    assert_eq!(accepted.peer.origin(), "192.0.2.7:40000".parse().expect("an address"));
}

#[tokio::test]
async fn a_slow_handshake_ends_at_the_deadline_and_holds_no_other_up() {
    let options = ListenOptions {
        handshake_deadline: Duration::from_millis(300),
        ..ListenOptions::default()
    };
    let mut lab = Lab::new(options);
    let counters = lab.listener.counters();
    let mut slow = TcpStream::connect(lab.address()).await.expect("connects");
    slow.write_all(&[0x16]).await.expect("writes");
    let mut silent = TcpStream::connect(lab.address()).await.expect("connects");
    for peer in [&mut slow, &mut silent] {
        patiently(closed(peer)).await;
    }
    until(|| counters.refused(Cause::Deadline) == 2).await;
    let lines = lab.log.lines();
    for awaited in ["TLS", "anything"] {
        let words = format!("waited for {awaited}");
        assert!(lines.iter().any(|line| line.contains(&words)), "{lines:#?}");
    }
    lab.lets_a_switch_in().await;
}

#[tokio::test]
async fn above_the_bound_the_oldest_silent_connection_is_closed_for_a_new_one() {
    let options = ListenOptions {
        half_open_max: 2,
        silence: Duration::ZERO,
        ..ListenOptions::default()
    };
    let mut lab = Lab::new(options);
    let counters = lab.listener.counters();
    let mut first = TcpStream::connect(lab.address()).await.expect("connects");
    let second = TcpStream::connect(lab.address()).await.expect("connects");
    lab.lets_a_switch_in().await;
    patiently(closed(&mut first)).await;
    assert_eq!(counters.refused(Cause::HalfOpen), 1);
    assert!(
        lab.log
            .lines()
            .iter()
            .any(|line| line.contains("closed for a newer connection"))
    );
    // The other one still has its place.
    let client = Client::new(&lab.folder.switch());
    let (_client, accepted) = patiently(async { tokio::join!(client.over(second), lab.listener.accept()) }).await;
    accepted.expect("let in");
}

#[tokio::test]
async fn a_herd_of_honest_switches_gets_in_without_a_loss() {
    const HERD: usize = 40;
    let options = ListenOptions {
        half_open_max: 4,
        silence: Duration::from_secs(60),
        handshake_deadline: Duration::from_secs(120),
        ..ListenOptions::default()
    };
    let mut lab = Lab::new(options);
    let address = lab.address();
    let mut switches = tokio::task::JoinSet::new();
    for _ in 0..HERD {
        let client = Client::new(&lab.folder.switch());
        switches.spawn(async move { client.connect(address).await });
    }
    for _ in 0..HERD {
        patiently(lab.listener.accept()).await.expect("let in");
    }
    while let Some(connected) = switches.join_next().await {
        connected.expect("a task").expect("connects");
    }
    let counters = lab.listener.counters();
    assert_eq!(
        (counters.accepted(), counters.refused(Cause::HalfOpen)),
        (HERD as u64, 0)
    );
}

#[tokio::test]
async fn one_client_of_a_proxy_keeps_no_other_client_of_it_out() {
    let options = ListenOptions {
        proxy_protocol: true,
        half_open_max: 8,
        silence: Duration::from_secs(60),
        handshake_deadline: Duration::from_secs(120),
        ..ListenOptions::default()
    };
    let mut lab = Lab::new(options);
    let counters = lab.listener.counters();
    let address = lab.address();
    let dial = async |client: [u8; 4], hello: &[u8]| {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        let header = [&proxy_v2()[..16], &client, &proxy_v2()[20..], hello].concat();
        stream.write_all(&header).await.expect("writes");
        stream
    };
    // A good session, so that the proxy is known.
    let client = Client::new(&lab.folder.switch());
    let first = dial([192, 0, 2, 7], &[]).await;
    let (_first, accepted) = patiently(async { tokio::join!(client.over(first), lab.listener.accept()) }).await;
    accepted.expect("let in");
    // One client begins as many handshakes as there are places, and ends none.
    let mut crowd = Vec::new();
    for _ in 0..8 {
        crowd.push(dial([192, 0, 2, 66], &[0x16, 3, 1]).await);
    }
    let second = dial([192, 0, 2, 8], &[]).await;
    let (_second, accepted) = patiently(async { tokio::join!(client.over(second), lab.listener.accept()) }).await;
    accepted.expect("let in");
    assert_eq!(counters.refused(Cause::HalfOpen), 1);
}

#[tokio::test]
async fn a_dropped_listener_closes_the_port_and_leaves_sessions_alone() {
    let mut lab = Lab::new(ListenOptions::default());
    let address = lab.address();
    let client = Client::new(&lab.folder.switch());
    let (session, accepted) = patiently(async { tokio::join!(client.connect(address), lab.listener.accept()) }).await;
    let (mut session, mut accepted) = (session.expect("connects"), accepted.expect("let in"));
    let mut half_open = TcpStream::connect(address).await.expect("connects");
    drop(lab);
    patiently(closed(&mut half_open)).await;
    patiently(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    patiently(async {
        session.write_all(b"on").await.expect("writes");
        session.flush().await.expect("writes");
        let mut received = [0; 2];
        accepted.stream.read_exact(&mut received).await.expect("reads");
    })
    .await;
}

/// Runs itself again, alone, in a process that may open 64 files.
#[tokio::test]
async fn a_process_without_files_left_waits_for_some_and_goes_on() {
    const ALONE: &str = "TANDEM_TEST_WITH_FEW_FILES";
    if std::env::var_os(ALONE).is_none() {
        let name = "door::a_process_without_files_left_waits_for_some_and_goes_on";
        let again = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().expect("this program"))
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .expect("runs");
        let stdout = String::from_utf8_lossy(&again.stdout);
        assert!(again.status.success() && stdout.contains("1 passed"), "{again:?}");
        return;
    }
    let mut lab = Lab::new(ListenOptions::default());
    let counters = lab.listener.counters();
    let null = || std::fs::File::open("/dev/null").ok();
    let mut files: Vec<_> = std::iter::from_fn(null).collect();
    files.pop();
    // It takes the last one, so that none is left to accept it with.
    let waiting = TcpStream::connect(lab.address()).await.expect("connects");
    until(|| counters.refused(Cause::Accept) >= 3).await;
    assert!(lab.log.last().contains("cannot accept"), "{}", lab.log.last());
    drop(files);
    let client = Client::new(&lab.folder.switch());
    let (_client, accepted) = patiently(async { tokio::join!(client.over(waiting), lab.listener.accept()) }).await;
    accepted.expect("let in");
}

/// Waits until the other end has closed, orderly or not.
async fn closed(peer: &mut TcpStream) {
    let mut bytes = [0; 64];
    while peer.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
}

/// Waits for a condition; only a hang reaches the deadline.
async fn until(condition: impl Fn() -> bool) {
    patiently(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// A ClientHello of TLS 1.0: one cipher suite, no extensions (RFC 2246 7.4.1.2).
fn tls_1_0_hello() -> Vec<u8> {
    let mut body = vec![3, 1];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let length = u8::try_from(body.len()).expect("short");
    [&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length], &body[..]].concat()
}

fn proxy_v2() -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 127, 0, 0, 1, 0x9c, 0x40, 0x19, 0xf0];
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"[..], &addresses].concat()
}

/// The log, line by line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.0.lock().expect("unpoisoned")).into_owned();
        let ours = text.lines().filter(|line| line.contains("tandem::tls"));
        ours.map(str::to_owned).collect()
    }

    fn last(&self) -> String {
        self.lines().pop().unwrap_or_default()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
