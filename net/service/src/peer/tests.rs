use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use tandem_core::agent::pair::PeerReport;
use tandem_core::health::Grade;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

use super::listen::{Silence, hear};
use super::*;
use crate::config::Peer;
use crate::driver::message::Message;
use crate::tls::{Acceptor, Settings};

/// Generous: it guards against hanging, nothing else.
const LONG: Duration = Duration::from_secs(60);

const PATIENT: Silence = Silence {
    opening: LONG,
    word: LONG,
};

fn word(agent: &str) -> PeerReport {
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

/// Agent B listens; what it hears.
async fn listening(peer: &Peer) -> (SocketAddr, mpsc::Receiver<Message>) {
    let acceptor = Arc::new(Acceptor::load(&peer.tls).expect("certificates"));
    let (agent, heard) = mpsc::channel(1);
    let address = listen(peer.listen, acceptor, "agent-b".into(), agent).expect("a port");
    (address, heard)
}

async fn next(heard: &mut mpsc::Receiver<Message>) -> PeerReport {
    match tokio::time::timeout(LONG, heard.recv()).await {
        Ok(Some(Message::Peer(word))) => word,
        other => panic!("{other:?}"),
    }
}

/// Says the word again and again, as an agent does, until somebody hears it.
async fn until_heard(said: &watch::Sender<Option<PeerReport>>, word: &PeerReport, heard: &mut mpsc::Receiver<Message>) {
    loop {
        said.send_replace(Some(word.clone()));
        tokio::select! {
            got = next(heard) => if got == *word { return },
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    }
}

#[tokio::test]
async fn words_arrive_again_when_either_end_has_started_anew() {
    let authority = Authority::new();
    let b = authority.peer("agent-b", NOWHERE);
    let (address, mut heard) = listening(&b).await;
    let a = authority.peer("agent-a", address);
    let (said, words) = watch::channel(None);
    let dialling = tokio::spawn(dial(a.clone(), "agent-a".into(), words));
    until_heard(&said, &word("first"), &mut heard).await;

    // The one that listens goes, with its port, and comes back.
    drop(heard);
    let again = Peer { listen: address, ..b };
    let mut heard = loop {
        let acceptor = Arc::new(Acceptor::load(&again.tls).expect("certificates"));
        let (agent, heard) = mpsc::channel(1);
        match listen(address, acceptor, "agent-b".into(), agent) {
            Ok(_) => break heard,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    until_heard(&said, &word("second"), &mut heard).await;

    // The one that dials goes, and comes back.
    drop(said);
    tokio::time::timeout(LONG, dialling)
        .await
        .expect("it ends")
        .expect("well");
    let (said, words) = watch::channel(None);
    tokio::spawn(dial(a, "agent-a".into(), words));
    until_heard(&said, &word("third"), &mut heard).await;
}

#[tokio::test]
async fn nobody_is_believed_whose_certificate_another_authority_signed() {
    let authority = Authority::new();
    let (address, mut heard) = listening(&authority.peer("agent-b", NOWHERE)).await;
    let stranger = Authority::new();
    let strangers = stranger.peer("agent-a", address);
    let why = dial::open(&strangers, "agent-a").await.map(drop);
    assert!(
        why.expect_err("we do not believe it")
            .starts_with("the TLS handshake failed: ")
    );
    // It believes us, and we do not believe it.
    let mut half = strangers.clone();
    half.tls.ca = authority.ca();
    assert!(dial::open(&half, "agent-a").await.is_err());

    let (said, words) = watch::channel(None);
    tokio::spawn(dial(authority.peer("agent-a", address), "agent-a".into(), words));
    until_heard(&said, &word("agent-a"), &mut heard).await;
}

#[tokio::test]
async fn of_many_connections_the_newest_are_listened_to() {
    let authority = Authority::new();
    let (address, mut heard) = listening(&authority.peer("agent-b", NOWHERE)).await;
    let a = authority.peer("agent-a", address);
    let mut links = Vec::new();
    for _ in 0..CONNECTIONS + 2 {
        links.push(dial::open(&a, "agent-a").await.expect("a link").1);
    }
    for link in &mut links[..2] {
        let closed = tokio::time::timeout(LONG, link.read_u8()).await.expect("it is closed");
        assert!(closed.is_err());
    }
    for (number, link) in links[2..].iter_mut().enumerate() {
        line::write(link, &word(&number.to_string())).await.expect("said");
        assert_eq!(next(&mut heard).await, word(&number.to_string()));
    }
}

/// What becomes of a link on which this is said.
async fn refused(said: &[u8], silence: Silence) -> (String, String) {
    let (mut near, far) = tokio::io::duplex(64 << 10);
    let (agent, _heard) = mpsc::channel(8);
    let hearing = tokio::spawn(async move { hear(far, silence, "agent-b", &agent).await });
    // It may be refused before it has said everything.
    let _refused = near.write_all(said).await;
    let why = tokio::time::timeout(LONG, hearing)
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
async fn who_does_not_speak_as_an_agent_does_is_refused_and_told_of() {
    let good = hello(PROTOCOL, "agent-a");
    let stories: [(Vec<u8>, &str); 6] = [
        (
            b"GET / HTTP/1.1\r\n\r\n".into(),
            "it said what is no line of the link: ",
        ),
        (hello(PROTOCOL + 1, "agent-a"), "it speaks protocol 2, and we speak 1"),
        (hello(PROTOCOL, "agent-b"), "it is called agent-b as well"),
        (
            [good.clone(), b"{}\n".into()].concat(),
            "it said what is no line of the link: missing field",
        ),
        (
            [good.clone(), b"[".repeat(10_000), b"\n".into()].concat(),
            "it said what is no line of the link: ",
        ),
        (
            [good, vec![b' '; LINE_BYTES + 1]].concat(),
            "it said a line of more than 4194304 bytes",
        ),
    ];
    for (said, wanted) in stories {
        let (why, _) = refused(&said, PATIENT).await;
        assert!(why.starts_with(wanted), "{why}");
    }
}

#[tokio::test]
async fn an_agent_with_another_protocol_is_told_ours() {
    let (_, answer) = refused(&hello(PROTOCOL + 1, "agent-a"), PATIENT).await;
    assert_eq!(answer.into_bytes(), hello_of("agent-b"));
}

fn hello_of(agent: &str) -> Vec<u8> {
    let mut line = serde_json::to_vec(&Hello::of(agent)).expect("JSON");
    line.push(b'\n');
    line
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_let_go() {
    let short = Duration::from_millis(20);
    let opening = Silence {
        opening: short,
        ..PATIENT
    };
    assert_eq!(refused(b"{", opening).await.0, "it said nothing for 20ms");
    let word = Silence { word: short, ..PATIENT };
    assert_eq!(
        refused(&hello(PROTOCOL, "agent-a"), word).await.0,
        "it said nothing for 20ms"
    );
}
