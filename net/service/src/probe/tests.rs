use std::net::Ipv4Addr;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Generous: it only guards against hanging.
const LONG: Duration = Duration::from_secs(60);

fn probe(how: How, timeout: Duration) -> Probe {
    Probe {
        how,
        interval: Duration::from_millis(1),
        timeout,
        fall: 2,
        rise: 2,
    }
}

/// The result of one probe.
async fn once(how: How) -> Result<(), String> {
    probe(how, LONG).once().await
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

#[tokio::test]
async fn a_tcp_probe_passes_if_the_port_is_open() {
    let (listener, address) = listen().await;
    assert_eq!(once(How::Tcp(address)).await, Ok(()));
    drop(listener);
    let why = once(How::Tcp(address)).await.expect_err("the port is closed");
    assert!(why.starts_with(&format!("{address}: ")), "{why}");
}

#[tokio::test]
async fn an_http_probe_passes_with_a_status_of_success() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        for answer in [
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 503 No\r\n\r\n",
            "220 mail\r\n....",
        ] {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut asked = vec![0; 1024];
            let length = stream.read(&mut asked).await.expect("a request");
            assert!(asked[..length].starts_with(b"GET /health HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.expect("written");
        }
    });
    let url = Url::parse(&format!("http://{address}/health")).expect("a URL");
    assert_eq!(once(How::Http(url.clone())).await, Ok(()));
    let failed = |what: &str| Err(format!("http://{address}/health{what}"));
    assert_eq!(once(How::Http(url.clone())).await, failed(" answers 503"));
    assert_eq!(once(How::Http(url)).await, failed(": the answer is not HTTP"));
}

#[tokio::test]
async fn a_silent_server_fails_the_probe_at_its_deadline() {
    let (_listener, address) = listen().await;
    let url = Url::parse(&format!("http://{address}/")).expect("a URL");
    let probe = probe(How::Http(url), Duration::from_millis(10));
    assert_eq!(probe.once().await, Err("a probe took longer than 10ms".into()));
}

#[tokio::test]
async fn a_command_passes_when_it_exits_with_0() {
    let sh = |script: &str| How::Command(["/bin/sh", "-c", script].map(str::to_owned).into());
    assert_eq!(once(sh("exit 0")).await, Ok(()));
    assert_eq!(once(sh("exit 3")).await, Err("/bin/sh exited with 3".into()));
    assert_eq!(
        once(sh("kill -9 $$")).await,
        Err("/bin/sh was killed by signal 9".into())
    );
    let why = once(How::Command(vec!["/no/such/program".into()])).await;
    assert!(
        why.expect_err("no program")
            .starts_with("cannot run /no/such/program: ")
    );
}

/// A command that writes its own process id and that of a child to a file; both hang. It is no program that the test
/// writes: no file can be executed while a process has it open for writing, and each process that another test starts
/// inherits for a moment what this one has open.
fn hanging(folder: &Path) -> How {
    let script = format!(
        "sleep 1000 & echo $$ $! > {0}/pids.new; mv {0}/pids.new {0}/pids; wait",
        folder.display()
    );
    How::Command(["/bin/sh".to_owned(), "-c".to_owned(), script].into())
}

/// Whether the process exists and is no zombie.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_everything_that_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let pids = folder.path().join("pids");
    let probe = probe(hanging(folder.path()), LONG);
    let mut started: Vec<String> = Vec::new();
    // The probe is dropped once the program hangs for certain.
    tokio::select! {
        result = probe.once() => panic!("it hangs, but the probe ended with {result:?}"),
        () = async {
            while started.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let text = std::fs::read_to_string(&pids).unwrap_or_default();
                started = text.split_whitespace().map(str::to_owned).collect();
            }
        } => {}
    }
    assert_eq!(started.len(), 2);
    timeout(LONG, async {
        while started.iter().any(|pid| lives(pid)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("both are gone");
}

#[tokio::test]
async fn the_agent_is_notified_when_the_services_node_dies_and_when_it_returns() {
    let (listener, address) = listen().await;
    let (sender, mut messages) = mpsc::channel(1);
    tokio::spawn(probe(How::Tcp(address), LONG).run(sender));
    let mut alive = async || match timeout(LONG, messages.recv()).await {
        Ok(Some(Message::Tsn { alive })) => alive,
        other => panic!("{other:?}"),
    };
    assert!(alive().await);
    drop(listener);
    assert!(!alive().await);
    let _listener = TcpListener::bind(address).await.expect("the same port");
    assert!(alive().await);
}
