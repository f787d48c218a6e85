//! Against Open vSwitch and HAProxy as Debian ships them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use tandem::pki;
use tandem_core::Peer;
use tandem_net::listen::{Accepted, ListenOptions, Listener};
use tandem_net::tls::{Acceptor, Cause, Problem, Settings};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::authority::{patiently, settings};
use crate::programs::{Running, free_port, output, ovs_pki, run, v1_authority, v1_certificate};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_ovs_pki_work_as_they_are_and_can_be_revoked() {
    let scratch = TempDir::new().expect("a scratch folder");
    let dir = scratch.path();
    ovs_pki(dir);
    let mut settings = settings(dir, "agent-chain.pem", "agent-privkey.pem", "pki/switchca/cacert.pem");
    let mut door = Door::open(&settings, false);
    let answer = list_dbs(dir, door.address, SWITCH, "--ca-cert=pki/controllerca/cacert.pem").await;
    assert_eq!(answer.expect("ovsdb-client is served"), "hardware_vtep\n");
    let certificate = door.peer().await.certificate.expect("shown");
    let name = certificate.names.first().expect("a name");
    assert!(name.starts_with("switch id:"), "{name}");

    // An operator who mixes the two CAs up finds the reason.
    list_dbs(dir, door.address, AGENT, "--ca-cert=pki/controllerca/cacert.pem")
        .await
        .expect_err("an agent is no switch");
    door.refused(Cause::UnknownCa).await;
    list_dbs(dir, door.address, SWITCH, "--ca-cert=pki/switchca/cacert.pem")
        .await
        .expect_err("it does not trust us");
    door.refused(Cause::RefusedByPeer).await;

    // `openssl ca -gencrl` as ovs-pki configures it makes a version 1 CRL: shut. With extensions: it counts.
    let ca = dir.join("pki/switchca");
    fs::write(
        ca.join("crl.cnf"),
        fs::read_to_string(ca.join("ca.cnf")).expect("reads")
            + "\n[ crl_ext ]\nauthorityKeyIdentifier = keyid:always\n",
    )
    .expect("writes");
    let switch = dir.join("switch-cert.pem");
    run(
        &ca,
        "openssl",
        &["ca", "-config", "crl.cnf", "-revoke", &switch.to_string_lossy()],
    );
    run(
        &ca,
        "openssl",
        &["ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.pem"],
    );
    settings.crl = Some(ca.join("crl.pem"));
    let error = Acceptor::load(&settings).expect_err("shut");
    assert!(matches!(error.problem, Problem::CrlVersion1), "{error}");
    run(
        &ca,
        "openssl",
        &[
            "ca", "-config", "crl.cnf", "-gencrl", "-crlexts", "crl_ext", "-out", "crl.pem",
        ],
    );
    let door = Door::open(&settings, false);
    list_dbs(dir, door.address, SWITCH, "--ca-cert=pki/controllerca/cacert.pem")
        .await
        .expect_err("revoked");
    door.refused(Cause::Revoked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_bootstraps_gets_the_root() {
    let scratch = TempDir::new().expect("a scratch folder");
    let dir = scratch.path();
    pki::init(dir, true).expect("makes them");
    let mut door = Door::open(
        &settings(dir, "agent-cert.pem", "agent-key.pem", "switch-ca.pem"),
        false,
    );
    // The first try takes the CA and ends; what comes of it depends on the version of the client.
    let _first = list_dbs(dir, door.address, OURS, "--bootstrap-ca-cert=learned.pem").await;
    let openssl = |file: &str| {
        run(
            dir,
            "openssl",
            &["x509", "-in", file, "-noout", "-fingerprint", "-sha256"],
        )
    };
    assert_eq!(openssl("learned.pem"), openssl("agent-ca.pem"));
    let answer = list_dbs(dir, door.address, OURS, "--bootstrap-ca-cert=learned.pem").await;
    assert_eq!(answer.expect("trusted now"), "hardware_vtep\n");
    door.peer().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_switch_dials_in_with_certificates_of_pki_init() {
    let scratch = TempDir::new().expect("a scratch folder");
    let dir = scratch.path();
    pki::init(dir, false).expect("makes them");
    let settings = settings(dir, "agent-a-cert.pem", "agent-a-key.pem", "switch-ca.pem");
    let mut listener = listener(&settings, false);
    run(
        dir,
        "ovsdb-tool",
        &["create", "vtep.db", "/usr/share/openvswitch/vtep.ovsschema"],
    );
    let remote = format!("--remote=ssl:{}", listener.local_addr());
    let keys = [
        "--private-key=switch-key.pem",
        "--certificate=switch-cert.pem",
        "--ca-cert=agent-ca.pem",
    ];
    let control = format!("--unixctl={}", dir.join("control").display());
    let _switch = Running::start(
        dir,
        "ovsdb-server",
        &[&keys[..], &[&control, &remote, "vtep.db"]].concat(),
    );
    let mut accepted = patiently(listener.accept()).await.expect("it dials in");
    let certificate = accepted.peer.certificate.clone().expect("shown");
    assert_eq!(certificate.names, ["switch"]);
    patiently(async {
        let ask = br#"{"method":"list_dbs","params":[],"id":1}"#;
        accepted.stream.write_all(ask).await.expect("writes");
        accepted.stream.flush().await.expect("writes");
        let received = read_until(&mut accepted, "hardware_vtep").await;
        assert!(received.contains(r#""id":1"#), "{received}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_of_the_time_of_v1_is_served_with_v1_on_both_sides() {
    let scratch = TempDir::new().expect("a scratch folder");
    let dir = scratch.path();
    for name in ["controllerca", "switchca"] {
        v1_authority(dir, name);
    }
    v1_certificate(dir, "agent", "controllerca", "-sha512", "1", "30");
    v1_certificate(dir, "switch", "switchca", "-sha512", "1", "30");
    let mut settings = settings(dir, "agent-cert.pem", "agent-key.pem", "switchca.pem");
    let door = Door::open(&settings, false);
    list_dbs(dir, door.address, OURS, "--ca-cert=controllerca.pem")
        .await
        .expect_err("not allowed");
    door.refused(Cause::BadCertificate).await;
    settings.allow_x509_v1 = true;
    let mut door = Door::open(&settings, false);
    let answer = list_dbs(dir, door.address, OURS, "--ca-cert=controllerca.pem").await;
    assert_eq!(answer.expect("allowed"), "hardware_vtep\n");
    door.peer().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_names_the_client() {
    let scratch = TempDir::new().expect("a scratch folder");
    let dir = scratch.path();
    pki::init(dir, true).expect("makes them");
    let settings = settings(dir, "agent-cert.pem", "agent-key.pem", "switch-ca.pem");
    let mut door = Door::open(&settings, true);
    let front = free_port();
    let configuration = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         listen agents\n bind {front}\n server a {} send-proxy-v2 proxy-v2-options crc32c,unique-id\n",
        door.address
    );
    fs::write(dir.join("haproxy.cfg"), configuration).expect("writes");
    let _proxy = Running::start(dir, "haproxy", &["-db", "-f", "haproxy.cfg"]);
    patiently(listening(front)).await;
    let answer = list_dbs(dir, front, OURS, "--ca-cert=agent-ca.pem").await;
    assert_eq!(answer.expect("served"), "hardware_vtep\n");
    let peer = door.peer().await;
    let proxied = peer.proxied.expect("a PROXY header");
    assert!(proxied.ip().is_loopback() && proxied != peer.address, "{peer:?}");

    list_dbs(dir, door.address, OURS, "--ca-cert=agent-ca.pem")
        .await
        .expect_err("past the proxy");
    door.refused(Cause::ProxyRequired).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_of_tls_1_0_is_served_through_a_proxy_that_terminates_tls() {
    let scratch = TempDir::new().expect("a scratch folder");
    let dir = scratch.path();
    pki::init(dir, true).expect("makes them");
    for (name, parts) in [("front", "agent"), ("back", "switch")] {
        let read = |part: &str| fs::read_to_string(dir.join(format!("{parts}-{part}.pem"))).expect("reads");
        fs::write(dir.join(format!("{name}.pem")), read("cert") + &read("key")).expect("writes");
    }
    let settings = settings(dir, "agent-cert.pem", "agent-key.pem", "switch-ca.pem");
    let mut door = Door::open(&settings, false);
    let old = [
        "s_client",
        "-tls1",
        "-cipher",
        "DEFAULT@SECLEVEL=0",
        "-cert",
        "switch-cert.pem",
        "-key",
        "switch-key.pem",
        "-connect",
    ];
    let direct = output(dir, "openssl", &[&old[..], &[&door.address.to_string()]].concat());
    let stderr = String::from_utf8_lossy(&direct.stderr);
    assert!(stderr.contains("alert protocol version"), "{stderr}");
    door.refused(Cause::OldTls).await;

    let front = free_port();
    let configuration = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         listen old\n bind {front} ssl crt front.pem ca-file switch-ca.pem verify required \
         ssl-min-ver TLSv1.0 ciphers DEFAULT@SECLEVEL=0\n \
         server a {} ssl crt back.pem ca-file agent-ca.pem verify required\n",
        door.address
    );
    fs::write(dir.join("haproxy.cfg"), configuration).expect("writes");
    let _proxy = Running::start(dir, "haproxy", &["-db", "-f", "haproxy.cfg"]);
    patiently(listening(front)).await;
    let front = front.to_string();
    // It stays until the proxy has reached the agent.
    let _old = Running::start(dir, "openssl", &[&old[..], &[&front, "-ign_eof"]].concat());
    let certificate = door.peer().await.certificate.expect("the proxy's");
    assert_eq!(certificate.names, ["switch"]);
}

async fn listening(address: SocketAddr) {
    while tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

const OURS: [&str; 2] = ["switch-key.pem", "switch-cert.pem"];
const SWITCH: [&str; 2] = ["switch-privkey.pem", "switch-cert.pem"];
const AGENT: [&str; 2] = ["agent-privkey.pem", "agent-cert.pem"];

/// A listener that answers `list_dbs` to each peer that it lets in.
struct Door {
    address: SocketAddr,
    peers: mpsc::UnboundedReceiver<Peer>,
    counters: std::sync::Arc<tandem_net::listen::Counters>,
}

impl Door {
    fn open(settings: &Settings, proxy_protocol: bool) -> Self {
        let mut listener = listener(settings, proxy_protocol);
        let (sender, peers) = mpsc::unbounded_channel();
        let door = Self {
            address: listener.local_addr(),
            peers,
            counters: listener.counters(),
        };
        tokio::spawn(async move {
            while let Some(mut accepted) = listener.accept().await {
                let _test_is_over = sender.send(accepted.peer.clone());
                tokio::spawn(async move {
                    read_until(&mut accepted, "}").await;
                    let answer = br#"{"id":0,"result":["hardware_vtep"],"error":null}"#;
                    let _gone = accepted.stream.write_all(answer).await;
                    let _gone = accepted.stream.flush().await;
                    read_until(&mut accepted, "never").await;
                });
            }
        });
        door
    }

    async fn peer(&mut self) -> Peer {
        patiently(self.peers.recv()).await.expect("a peer is let in")
    }

    async fn refused(&self, cause: Cause) {
        patiently(async {
            while self.counters.refused(cause) == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

fn listener(settings: &Settings, proxy_protocol: bool) -> Listener {
    let acceptor = Acceptor::load(settings).expect("loads");
    let any = "127.0.0.1:0".parse().expect("an address");
    let options = ListenOptions {
        proxy_protocol,
        ..ListenOptions::default()
    };
    Listener::bind(any, acceptor.into(), options).expect("binds")
}

/// Reads until these words came, or the end.
async fn read_until(accepted: &mut Accepted, words: &str) -> String {
    let mut received = Vec::new();
    loop {
        let read = accepted.stream.read_buf(&mut received).await.unwrap_or(0);
        let text = String::from_utf8_lossy(&received);
        if read == 0 || text.contains(words) {
            return text.into_owned();
        }
    }
}

/// The output of `ovsdb-client list-dbs` with a key and certificate.
async fn list_dbs(dir: &Path, address: SocketAddr, pair: [&str; 2], trust: &str) -> Result<String, String> {
    let (dir, trust) = (dir.to_owned(), trust.to_owned());
    let [key, certificate] = [
        format!("--private-key={}", pair[0]),
        format!("--certificate={}", pair[1]),
    ];
    let call = move || {
        let remote = format!("ssl:{address}");
        output(
            &dir,
            "ovsdb-client",
            &["--timeout=30", &key, &certificate, &trust, "list-dbs", &remote],
        )
    };
    let output = tokio::task::spawn_blocking(call).await.expect("runs");
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
