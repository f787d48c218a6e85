//! Certificates are renewed on disk while a switch is connected.

use std::fs;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tandem_lab::agent::Agent;
use tandem_lab::pair::Pair;
use tandem_lab::pki::Credentials;
use tandem_lab::pki::Pki;
use tandem_lab::switch::remote_mac;

use crate::pair::{LONG, audited, audited_by, between, delete_remote_mac, remote, session, start, wait, with_macs};
use crate::writers::writers;

#[test]
fn renewed_certificates_serve_new_handshakes_and_open_sessions_stay() {
    let mut pair = start(&with_macs(10));
    let owner = audited(&pair, "tor1");
    let stranger = pair.pki.issue("stranger").expect("a certificate");
    let name = pair.agents[owner].options().agent.name.clone();
    let (old, before) = (
        on_disk(&pair.agents[owner]),
        session(&pair, owner, "tor1").expect("a session"),
    );
    assert_eq!(served(&pair.agents[owner], &stranger), old);

    let renewed = SystemTime::now();
    pair.pki.issue(&name).expect("new files in the place of the old");
    let new = on_disk(&pair.agents[owner]);
    assert_ne!(new, old);
    wait(&pair, "the new certificate in a handshake", || {
        (served(&pair.agents[owner], &stranger) == new).then_some(())
    });
    println!(
        "certificates renewed on disk: in use after {}",
        between(renewed, SystemTime::now())
    );

    // The session of before still works, both ways.
    delete_remote_mac(&pair.switches[0], &remote_mac(3));
    wait(&pair, "the row to be put back", || {
        (remote(&pair.switches[0]).len() == 10).then_some(())
    });
    let after = session(&pair, owner, "tor1").expect("a session");
    assert_eq!(after["generation"], before["generation"]);

    // And the switch takes the new certificate when it dials again.
    leave_only(&mut pair, owner);
    wait(&pair, "a new session", || {
        let session = session(&pair, owner, "tor1")?;
        (session["generation"] != before["generation"]).then_some(())
    });
    audited_by(&pair, owner, "tor1");
    assert_eq!(writers(&pair, 0), [owner]);
}

/// The certificates of the switches are of another authority than the agent knows.
#[test]
fn an_agent_whose_handshakes_keep_failing_leaves_switches_to_its_peer_until_one_succeeds() {
    let mut options = with_macs(1);
    options.peer = true;
    let pair = start(&options);
    let owner = audited(&pair, "tor1");
    let agent = &pair.agents[1 - owner];
    let others = Pki::new(pair.scratch.folder("others").expect("a folder")).expect("an authority");
    let stranger = Credentials {
        ca: pair.pki.ca(),
        ..others.issue("tor2").expect("a certificate")
    };
    let grade = || agent.status().ok().map(|status| status["grade"].clone());
    wait(&pair, "an isolated agent", || {
        served(agent, &stranger);
        (grade()? == "isolated").then_some(())
    });
    let reason = "Graded: isolated (TLS handshakes with switches keep failing)";
    assert!(agent.log().iter().any(|line| line.contains(reason)), "{reason}");
    audited_by(&pair, owner, "tor1");

    let known = pair.pki.issue("tor3").expect("a certificate");
    wait(&pair, "a fit agent", || {
        served(agent, &known);
        (grade()? == "fit").then_some(())
    });
}

/// The other agent goes, and the proxy makes the switch dial again.
fn leave_only(pair: &mut Pair, agent: usize) {
    pair.agents[1 - agent].process.kill().expect("killed");
    pair.haproxy.restart().expect("a proxy");
}

fn on_disk(agent: &Agent) -> Vec<u8> {
    let file = &agent.options().tls.certificate;
    CertificateDer::from_pem_slice(&fs::read(file).expect("a file"))
        .expect("a certificate")
        .to_vec()
}

/// The certificate that the agent shows in a handshake.
fn served(agent: &Agent, credentials: &Credentials) -> Vec<u8> {
    let certificates = |file| {
        CertificateDer::pem_file_iter(file)
            .expect("a file")
            .map(|der| der.expect("PEM"))
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(&credentials.ca));
    let chain = certificates(&credentials.certificate).collect();
    let key = PrivateKeyDer::from_pem_file(&credentials.private_key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .expect("credentials");
    let name = ServerName::try_from(agent.options().agent.name.clone()).expect("a name");
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = TcpStream::connect(agent.options().listen.ovsdb).expect("connected");
    stream.set_read_timeout(Some(LONG)).expect("set");
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).expect("a handshake");
    }
    connection.peer_certificates().expect("a chain")[0].to_vec()
}
