use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;

/// A worker with a given grade; `None` hangs.
struct Worker(Mutex<Option<Grade>>);

impl Worker {
    fn new(grade: Option<Grade>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(grade)))
    }

    fn set(&self, grade: Grade) {
        *self.0.lock().expect("not poisoned") = Some(grade);
    }
}

impl Pulse for Worker {
    fn grade(&self) -> Option<Grade> {
        *self.0.lock().expect("not poisoned")
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

async fn echo_port(worker: &Arc<Worker>) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(serve_echo(listener, Arc::clone(worker)));
    address
}

async fn agent_port(worker: &Arc<Worker>, announcements: &Arc<Announcements>) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(serve_agent_check(
        listener,
        Arc::clone(worker),
        Arc::clone(announcements),
    ));
    address
}

/// Sends the pieces and reads until the other end closes.
async fn ask(address: SocketAddr, pieces: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    for piece in pieces {
        stream.write_all(piece).await.expect("sent");
    }
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    // A reset ends the answer just as an orderly close does.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("text")
}

/// Polls the agent check as the proxy with this address.
async fn poll(address: SocketAddr, proxy: [u8; 4]) -> String {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((proxy, 0))).expect("a loopback address");
    let mut stream = socket.connect(address).await.expect("connected");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("a line");
    answer
}

const ECHO: &[u8] = br#"{"method":"echo","params":[],"id":"h"}"#;

#[tokio::test]
async fn an_echo_is_answered_while_the_agent_is_fit_or_draining() {
    let worker = Worker::new(Some(Grade::Fit));
    let address = echo_port(&worker).await;
    assert_eq!(ask(address, &[ECHO]).await, r#"{"id":"h","result":[],"error":null}"#);
    worker.set(Grade::Draining);
    assert_eq!(ask(address, &[ECHO]).await, r#"{"id":"h","result":[],"error":null}"#);
    worker.set(Grade::Unfit);
    assert_eq!(ask(address, &[ECHO]).await, "");
}

#[tokio::test]
async fn an_echo_may_come_in_pieces_or_twice_and_returns_its_own_id_and_parameters() {
    let worker = Worker::new(Some(Grade::Fit));
    let address = echo_port(&worker).await;
    let (head, tail) = ECHO.split_at(11);
    let other = br#" {"id": {"a": [1]}, "params": ["x", 2], "method": "echo"}"#;
    assert_eq!(
        ask(address, &[head, tail, other]).await,
        r#"{"id":"h","result":[],"error":null}{"id":{"a": [1]},"result":["x", 2],"error":null}"#
    );
}

#[tokio::test]
async fn a_worker_that_hangs_closes_the_connection_without_an_answer() {
    let worker = Worker::new(None);
    let address = echo_port(&worker).await;
    assert_eq!(ask(address, &[ECHO]).await, "");
    let announcements = Arc::default();
    let address = agent_port(&worker, &announcements).await;
    assert_eq!(ask(address, &[]).await, "down\n");
}

#[tokio::test]
async fn other_requests_than_an_echo_are_closed_without_an_answer() {
    let worker = Worker::new(Some(Grade::Fit));
    let address = echo_port(&worker).await;
    let many = b"[".repeat(10_000);
    for bad in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        br#"{"method":"transact","params":[],"id":1}"#,
        &many,
        b"\xff",
    ] {
        assert_eq!(ask(address, &[bad]).await, "");
    }
    let endless = format!(r#"{{"method":"echo","params":["{}"#, "x".repeat(1 << 20));
    assert_eq!(ask(address, &[endless.as_bytes()]).await, "");
    assert_ne!(ask(address, &[ECHO]).await, "", "the port still answers");
}

#[tokio::test]
async fn silent_connections_do_not_lock_a_health_check_out() {
    let worker = Worker::new(Some(Grade::Fit));
    let address = echo_port(&worker).await;
    let mut silent = Vec::new();
    for _ in 0..LIMITS.connections * 2 {
        silent.push(TcpStream::connect(address).await.expect("connected"));
    }
    assert_ne!(ask(address, &[ECHO]).await, "");
    let mut first = silent.remove(0);
    assert_eq!(first.read(&mut [0; 8]).await.ok(), Some(0), "the oldest made room");
}

#[tokio::test]
async fn the_agent_check_sends_the_grade_in_one_line_even_to_a_peer_that_sends_something() {
    let worker = Worker::new(Some(Grade::Fit));
    let announcements = Arc::default();
    let address = agent_port(&worker, &announcements).await;
    assert_eq!(ask(address, &[]).await, "ready up 100%\n");
    assert_eq!(ask(address, &[b"agent-send\n"]).await, "ready up 100%\n");
    worker.set(Grade::Draining);
    assert_eq!(ask(address, &[]).await, "drain\n");
}

#[tokio::test]
async fn a_proxy_that_ends_its_check_with_a_reset_has_received_the_grade() {
    let worker = Worker::new(Some(Grade::Draining));
    let announcements = Arc::new(Announcements::default());
    let address = agent_port(&worker, &announcements).await;
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.read_to_string(&mut String::new()).await.expect("a line");
    let reset = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    reset.expect("no lingering");
    drop(stream);
    let result = announcements.wait_for(Grade::Draining, Duration::from_secs(30)).await;
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn a_drain_waits_until_every_proxy_that_polls_has_fetched_it() {
    let worker = Worker::new(Some(Grade::Fit));
    let announcements = Arc::new(Announcements::default());
    let address = agent_port(&worker, &announcements).await;
    let (one, two) = ([127, 0, 0, 11], [127, 0, 0, 12]);
    poll(address, one).await;
    poll(address, two).await;
    worker.set(Grade::Draining);
    let (second, result) = tokio::join!(
        async {
            assert_eq!(poll(address, one).await, "drain\n");
            poll(address, two).await
        },
        announcements.wait_for(Grade::Draining, Duration::from_secs(30))
    );
    assert_eq!(second, "drain\n");
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn a_drain_reports_the_proxies_that_did_not_poll_in_time() {
    let worker = Worker::new(Some(Grade::Fit));
    let announcements = Arc::new(Announcements::default());
    let address = agent_port(&worker, &announcements).await;
    assert_eq!(
        announcements.wait_for(Grade::Draining, Duration::ZERO).await,
        Ok(()),
        "no proxy polls"
    );
    poll(address, [127, 0, 0, 11]).await;
    let result = announcements.wait_for(Grade::Draining, Duration::from_millis(1)).await;
    assert_eq!(result, Err(vec![IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11))]));
}

#[test]
fn a_proxy_that_has_not_polled_for_a_minute_is_not_waited_for() {
    let announcements = Announcements::default();
    let (proxy, start) = (IpAddr::V4(Ipv4Addr::LOCALHOST), Instant::now());
    announcements.polled(proxy, Grade::Fit, start);
    announcements.fetched(proxy, Grade::Fit, start);
    assert_eq!(
        announcements.pending(Grade::Draining, start + Duration::from_secs(60)),
        [proxy]
    );
    assert_eq!(
        announcements.pending(Grade::Draining, start + Duration::from_secs(61)),
        [IpAddr::V4(Ipv4Addr::LOCALHOST); 0]
    );
}

#[test]
fn the_memory_of_proxies_is_bounded_and_forgets_the_least_recent() {
    let announcements = Announcements::default();
    let start = Instant::now();
    let address = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
    for n in 0..1000 {
        announcements.polled(address(n), Grade::Fit, start + Duration::from_millis(n.into()));
    }
    let known = announcements.pending(Grade::Fit, start + Duration::from_secs(2));
    assert_eq!(known.len(), 256);
    assert_eq!(known.last(), Some(&address(999)));
}
