mod damaged;
mod previous;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use tandem_core::agent::PeerReport;
use tandem_core::health::Grade;
use tandem_core::identity::IdentityRule;
use tandem_core::machine::{Certificate, Fingerprint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

use super::dial::open;
use super::hello::VERSIONS;
use super::listen::{Silence, receive};
use super::*;
use crate::config::Peer;
use crate::driver::message::Message;
use crate::tls::{Acceptor, Current, Settings};

/// Generous: it only guards against hanging.
const LONG: Duration = Duration::from_secs(60);

const PATIENT: Silence = Silence {
    opening: LONG,
    report: LONG,
};

fn report(agent: &str) -> PeerReport {
    PeerReport {
        agent: agent.into(),
        grade: Grade::Fit,
        ready: true,
        switches: BTreeMap::new(),
    }
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("written");
        Self { issuer, folder }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn peer(&self, name: &str, connect: SocketAddr) -> Peer {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        let [certificate, private_key] = [("cert", certificate), ("key", key.serialize_pem())].map(|(kind, pem)| {
            let file = self.folder.path().join(format!("{name}-{kind}.pem"));
            fs::write(&file, pem).expect("written");
            file
        });
        Peer {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            connect,
            certificates: Vec::new(),
            tls: Settings {
                certificate,
                private_key,
                ca: self.ca(),
                crl: None,
                allow_x509_v1: false,
                pins: Vec::new(),
            },
        }
    }
}

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

fn identities(peer: &Peer) -> Identities {
    Identities {
        own: "agent-b".into(),
        peer: peer.certificates.clone(),
    }
}

/// Agent B listens; the messages that it receives.
async fn listening(peer: &Peer) -> (SocketAddr, mpsc::Receiver<Message>) {
    let acceptor = Arc::new(Acceptor::load(&peer.tls).expect("certificates"));
    let (agent, received) = mpsc::channel(1);
    let address = listen(peer.listen, acceptor, identities(peer), agent).expect("a port");
    (address, received)
}

async fn next(received: &mut mpsc::Receiver<Message>) -> PeerReport {
    match tokio::time::timeout(LONG, received.recv()).await {
        Ok(Some(Message::Peer(report))) => report,
        other => panic!("{other:?}"),
    }
}

/// Sends the report again and again, as an agent does, until it is received.
async fn until_received(
    sender: &watch::Sender<Option<PeerReport>>,
    report: &PeerReport,
    received: &mut mpsc::Receiver<Message>,
) {
    loop {
        sender.send_replace(Some(report.clone()));
        tokio::select! {
            got = next(received) => if got == *report { return },
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    }
}

#[tokio::test]
async fn reports_arrive_again_after_either_end_has_restarted() {
    let authority = Authority::new();
    let b = authority.peer("agent-b", NOWHERE);
    let (address, mut received) = listening(&b).await;
    let a = authority.peer("agent-a", address);
    let (sender, reports) = watch::channel(None);
    let dialling = tokio::spawn(dial(a.clone(), "agent-a".into(), reports));
    until_received(&sender, &report("first"), &mut received).await;

    // The end that listens stops, closes its port, and starts again.
    drop(received);
    let again = Peer { listen: address, ..b };
    let mut received = loop {
        let acceptor = Arc::new(Acceptor::load(&again.tls).expect("certificates"));
        let (agent, received) = mpsc::channel(1);
        match listen(address, acceptor, identities(&again), agent) {
            Ok(_) => break received,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    until_received(&sender, &report("second"), &mut received).await;

    // The end that dials stops, and starts again.
    drop(sender);
    tokio::time::timeout(LONG, dialling)
        .await
        .expect("it ends")
        .expect("well");
    let (sender, reports) = watch::channel(None);
    tokio::spawn(dial(a, "agent-a".into(), reports));
    until_received(&sender, &report("third"), &mut received).await;
}

#[tokio::test]
async fn a_certificate_signed_by_another_ca_is_refused() {
    let authority = Authority::new();
    let (address, mut received) = listening(&authority.peer("agent-b", NOWHERE)).await;
    let stranger = Authority::new();
    let strangers = stranger.peer("agent-a", address);
    let why = open(&strangers, &Current::new("peer"), "agent-a").await.map(drop);
    assert!(why.expect_err("a refusal").starts_with("the TLS handshake failed: "));
    // It accepts our certificate, and we refuse its own.
    let mut half = strangers.clone();
    half.tls.ca = authority.ca();
    assert!(open(&half, &Current::new("peer"), "agent-a").await.is_err());

    let (sender, reports) = watch::channel(None);
    tokio::spawn(dial(authority.peer("agent-a", address), "agent-a".into(), reports));
    until_received(&sender, &report("agent-a"), &mut received).await;
}

#[tokio::test]
async fn of_many_connections_the_newest_are_read() {
    let authority = Authority::new();
    let (address, mut received) = listening(&authority.peer("agent-b", NOWHERE)).await;
    let a = authority.peer("agent-a", address);
    let mut links = Vec::new();
    for _ in 0..CONNECTIONS + 2 {
        links.push(open(&a, &Current::new("peer"), "agent-a").await.expect("a link").1);
    }
    for link in &mut links[..2] {
        let closed = tokio::time::timeout(LONG, link.read_u8()).await.expect("it is closed");
        assert!(closed.is_err());
    }
    for (number, link) in links[2..].iter_mut().enumerate() {
        line::write(link, &report(&number.to_string())).await.expect("sent");
        assert_eq!(next(&mut received).await, report(&number.to_string()));
    }
}

/// A certificate of the CA is enough for a connection, and not for the place of the peer's link.
#[tokio::test]
async fn silent_connections_of_another_agent_do_not_close_the_link_of_the_peer() {
    let authority = Authority::new();
    let (address, mut received) = listening(&authority.peer("agent-b", NOWHERE)).await;
    let a = authority.peer("agent-a", address);
    let (_, mut link) = open(&a, &Current::new("peer"), "agent-a").await.expect("a link");
    line::write(&mut link, &report("first")).await.expect("sent");
    assert_eq!(next(&mut received).await, report("first"));
    let other = authority.peer("agent-x", address);
    let connector = Current::new("peer").load(&other.tls).expect("certificates");
    let mut silent = Vec::new();
    for _ in 0..2 * CONNECTIONS {
        let stream = tokio::net::TcpStream::connect(address).await.expect("connected");
        silent.push(connector.connect(stream).await.expect("a handshake").0);
    }
    for stranger in &mut silent[..CONNECTIONS] {
        let closed = tokio::time::timeout(LONG, stranger.read_u8())
            .await
            .expect("it is closed");
        assert!(closed.is_err());
    }
    line::write(&mut link, &report("second")).await.expect("sent");
    assert_eq!(next(&mut received).await, report("second"));
}

fn agent_a() -> Certificate {
    Certificate {
        fingerprint: Fingerprint([1; 32]),
        names: Vec::new(),
        identities: vec!["agent-a".into()],
        not_after_unix_s: 0,
        pinned_only: false,
    }
}

/// The error of a link that receives these bytes, and the answer.
async fn refused(sent: &[u8], silence: Silence) -> (String, String) {
    let (mut near, far) = tokio::io::duplex(64 << 10);
    let (agent, _received) = mpsc::channel(8);
    let receiving = tokio::spawn(async move {
        let identities = Identities {
            own: "agent-b".into(),
            peer: Vec::new(),
        };
        let admitted = AtomicBool::new(false);
        receive(far, silence, (&identities, Some(&agent_a()), &admitted), &agent).await
    });
    // The link may be refused before everything is sent.
    let _refused = near.write_all(sent).await;
    let why = tokio::time::timeout(LONG, receiving)
        .await
        .expect("an end")
        .expect("no panic");
    let mut answer = String::new();
    near.read_to_string(&mut answer).await.expect("text");
    (why.expect_err("a refusal"), answer)
}

fn hello(protocol: u32, agent: &str) -> Vec<u8> {
    format!("{}\n", json!({ "protocol": protocol, "agent": agent })).into_bytes()
}

#[tokio::test]
async fn a_client_that_violates_the_protocol_is_refused_with_a_reason() {
    let good = hello(VERSIONS.0, "agent-a");
    let stories: [(Vec<u8>, &str); 7] = [
        (
            b"GET / HTTP/1.1\r\n\r\n".into(),
            "it sent a line that does not belong to this protocol: ",
        ),
        (
            hello(VERSIONS.1 + 1, "agent-a"),
            "agent-a has version 2 of the link at least, and this agent 1 at most: upgrade this agent",
        ),
        (hello(VERSIONS.0, "agent-b"), "it is called agent-b, too"),
        (
            hello(VERSIONS.0, "agent-c"),
            "the certificate of agent-a (sha256:0101010101010101010101010101010101010101010101010101010101010101) does not contain the name agent-c",
        ),
        (
            [good.clone(), b"{}\n".into()].concat(),
            "it sent a line that does not belong to this protocol: missing field",
        ),
        (
            [good.clone(), b"[".repeat(10_000), b"\n".into()].concat(),
            "it sent a line that does not belong to this protocol: ",
        ),
        (
            [good, vec![b' '; LINE_BYTES + 1]].concat(),
            "it sent a line of more than 4194304 bytes",
        ),
    ];
    for (sent, expected) in stories {
        let (why, _) = refused(&sent, PATIENT).await;
        assert!(why.starts_with(expected), "{why}");
    }
}

#[tokio::test]
async fn an_agent_without_a_common_version_receives_ours() {
    let (why, answer) = refused(&hello(VERSIONS.1 + 1, "agent-a"), PATIENT).await;
    let ours = serde_json::to_string(&Hello::of("agent-b").refusing(Some(&why))).expect("JSON");
    assert_eq!(answer, format!("{ours}\n"));
}

#[tokio::test]
async fn a_silent_client_is_disconnected() {
    let short = Duration::from_millis(20);
    let opening = Silence {
        opening: short,
        ..PATIENT
    };
    assert_eq!(refused(b"{", opening).await.0, "it was silent for 20ms");
    let report = Silence {
        report: short,
        ..PATIENT
    };
    assert_eq!(
        refused(&hello(VERSIONS.0, "agent-a"), report).await.0,
        "it was silent for 20ms"
    );
}

/// The error of a dial to an agent that presents the certificate of `agent-b`.
async fn dialled(authority: &Authority, change: impl FnOnce(&mut Peer)) -> Option<String> {
    let b = authority.peer("agent-b", NOWHERE);
    let (address, _received) = listening(&b).await;
    let mut a = authority.peer("agent-a", address);
    change(&mut a);
    open(&a, &Current::new("peer"), "agent-a").await.err()
}

#[tokio::test]
async fn a_peer_with_the_certificate_of_another_name_is_refused_at_both_ends() {
    let authority = Authority::new();
    assert_eq!(dialled(&authority, |_| {}).await, None);
    let only_c = |a: &mut Peer| a.certificates = vec![IdentityRule::Named("agent-c".into())];
    let why = dialled(&authority, only_c).await.expect("a refusal");
    assert!(
        why.contains("is not one that agent-b may present: name:agent-c"),
        "{why}"
    );

    // An agent of another pair gives the name of the peer.
    let b = authority.peer("agent-b", NOWHERE);
    let (address, mut received) = listening(&b).await;
    let c = authority.peer("agent-c", address);
    let why = open(&c, &Current::new("peer"), "agent-a").await.map(drop);
    let why = why.expect_err("agent-b refuses it, before the link counts as open");
    assert!(
        why.starts_with("it refuses this agent: the certificate of agent-c")
            && why.contains("does not contain the name agent-a"),
        "{why}"
    );
    assert!(received.try_recv().is_err(), "no report arrives");
}
