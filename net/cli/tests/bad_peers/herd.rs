//! A thousand honest switches that come at one time.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use serde_json::{Value, json};
use tandem_core::bounds::MESSAGE_BYTES;
use tandem_core::ovsdb::Framer;
use tandem_lab::agent::SwitchSection;
use tandem_lab::{Agent, Stage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::peer::client;
use crate::talk::schema;

const SWITCHES: usize = 1000;

/// The time that the slowest handshake took.
static SLOWEST_MS: AtomicU64 = AtomicU64::new(0);

/// The time that a modelled switch takes for its answers: it is busy, and far away.
const LATENCY: Duration = Duration::from_millis(300);

#[test]
fn a_thousand_switches_that_dial_at_once_are_all_served_and_none_is_closed() {
    let (files, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    assert!(
        files > 2 * SWITCHES as u64,
        "this test needs more than {} open files in each process: raise `ulimit -n`, which is {files}",
        2 * SWITCHES
    );
    let stage = Stage::new().expect("a stage");
    let mut options = stage.agent().expect("options");
    options.keepalive.interval = "10s".into();
    options.switch = (0..SWITCHES).map(|number| section(&name(number))).collect();
    let address = options.listen.ovsdb;
    let agent = Agent::start(&stage.scratch, Path::new(env!("CARGO_BIN_EXE_tandem")), options).expect("an agent");
    let fit = || agent.status().ok().filter(|status| status["grade"] == "fit").map(drop);
    stage.wait("a fit agent", fit).expect("fit");
    let config = client(&stage.pki.issue("herd").expect("a certificate"), &stage.pki.ca());

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let began = Instant::now();
    let (release, go) = watch::channel(false);
    let mut herd = JoinSet::new();
    for number in 0..SWITCHES {
        let (connector, mut go) = (TlsConnector::from(Arc::clone(&config)), go.clone());
        let switch = async move {
            go.wait_for(|go| *go).await.expect("a test");
            serve(connector, address, name(number)).await
        };
        herd.spawn_on(switch, runtime.handle());
    }
    release.send_replace(true);
    let all = || {
        let status = agent.status().ok()?;
        let sessions = status["switches"].as_object()?;
        let served = sessions
            .values()
            .filter(|it| it["sessions"][0]["phase"] == "synced")
            .count();
        (served == SWITCHES).then_some(())
    };
    let served = stage
        .scratch
        .wait_until("a session with every switch", Duration::from_secs(120), all);
    let ended: Vec<_> = std::iter::from_fn(|| herd.try_join_next()).collect();
    assert!(
        ended.is_empty(),
        "{} connections ended, the first: {:?}",
        ended.len(),
        ended[0]
    );
    served.expect("all");
    println!(
        "{SWITCHES} switches served after {} ms; the slowest handshake took {} ms",
        began.elapsed().as_millis(),
        SLOWEST_MS.load(Ordering::Relaxed)
    );
    let closed = agent.lines(&["Closed: "]);
    assert!(closed.is_empty(), "{}", closed.join("\n"));
    let refused = agent.lines(&["HandshakeRefused: "]);
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

fn name(number: usize) -> String {
    format!("tor{number}")
}

fn section(name: &str) -> SwitchSection {
    SwitchSection {
        name: name.into(),
        vtep: "10.0.1.1".parse().expect("an address"),
        certificate: None,
        ports: Vec::new(),
    }
}

/// A switch that dials once, and answers what an agent asks until the connection ends. Returns why that was.
async fn serve(connector: TlsConnector, address: SocketAddr, name: String) -> std::io::Result<()> {
    let socket = TcpStream::connect(address).await?;
    let server = rustls_pki_types::ServerName::try_from("agent-a").expect("a name");
    let began = Instant::now();
    let mut stream = connector.connect(server, socket).await?;
    SLOWEST_MS.fetch_max(began.elapsed().as_millis() as u64, Ordering::Relaxed);
    let mut framer = Framer::new(MESSAGE_BYTES);
    let mut read = vec![0; 16 << 10];
    loop {
        let length = stream.read(&mut read).await?;
        if length == 0 {
            return Ok(());
        }
        framer.push(&read[..length]);
        let mut answers = String::new();
        while let Some(frame) = framer.next_frame().map_err(std::io::Error::other)? {
            let request: Value = serde_json::from_slice(frame.bytes())?;
            write!(answers, "{}", answer(&request, &name)).expect("text");
        }
        tokio::time::sleep(LATENCY).await;
        stream.write_all(answers.as_bytes()).await?;
        stream.flush().await?;
    }
}

/// What a switch answers whose tables are empty, and whose lock another agent holds.
fn answer(request: &Value, name: &str) -> Value {
    let result = match request["method"].as_str() {
        Some("get_schema") => serde_json::from_str::<Value>(&schema()).expect("JSON")["result"].clone(),
        Some("lock") => json!({ "locked": false }),
        Some("echo") => request["params"].clone(),
        Some("monitor" | "monitor_cond") if request["params"][2].get("Physical_Switch").is_some() => json!({
            "Physical_Switch": { "6f1c0d0e-0000-4000-8000-000000000009": { "new": {
                "name": name, "ports": ["set", []], "tunnel_ips": "10.0.1.1" } } }
        }),
        _ => json!({}),
    };
    json!({ "id": request["id"], "result": result, "error": null })
}
